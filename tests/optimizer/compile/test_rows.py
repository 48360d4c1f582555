"""Each row family on an instance small enough to solve on paper; the arithmetic is in the docstring."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.compile import compile_instance
from optimizer.errors import InfeasibleError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from solvers import get_backend
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, two_types, variant, workload


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))


def test_two_small_beat_one_large(backend: str) -> None:
    """Demand 10/s. Small: 5/s for 1 $/h -> 2 replicas, 2 $/h. Large: 12/s for 3 $/h -> 1 replica, 3 $/h."""
    plan = solve(backend, **two_types(10.0))
    assert plan.usd_per_hour == pytest.approx(2.0)
    assert plan.replicas == {"small": 2}
    assert plan.status == "optimal"


def test_a_mix_beats_either_type_alone(backend: str) -> None:
    """Demand 16/s: 4 small cost 4, 2 large 6, one large with one small (12 + 5 >= 16) 3 + 1 = 4; 17/s: mix still 4, small 4."""
    parts = two_types(16.0) | {"offers": [offer("small", 1, 1.5), offer("large", 1, 3.0)]}
    plan = solve(backend, **parts)  # 4 small 6.0, 2 large 6.0, one of each 4.5
    assert plan.usd_per_hour == pytest.approx(4.5)
    assert plan.replicas == {"large": 1, "small": 1}


def test_the_utilization_cap_takes_headroom(backend: str) -> None:
    """Demand 10/s at a cap of 0.8: small carries 4/s -> 3 replicas, 3 $/h; large carries 9.6/s -> 2 replicas, 6 $/h."""
    plan = solve(backend, **two_types(10.0), utilization_cap=0.8)
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert plan.workloads[0].utilization == pytest.approx(10 / 15)


def test_an_exact_fit_needs_no_spare_replica(backend: str) -> None:
    """Demand 15/s on 5/s replicas is three, not four, although solvers work with tolerances."""
    assert solve(backend, **two_types(15.0)).replicas == {"small": 3}


def test_a_class_is_not_served_by_a_fraction_of_a_replica(backend: str) -> None:
    """Demand 1/s: a fifth of a small replica would cost 0.2 $/h; a whole one costs 1."""
    assert solve(backend, **two_types(1.0)).usd_per_hour == pytest.approx(1.0)


def test_classes_share_a_replica(backend: str) -> None:
    """2/s and 3/s on small replicas of 5/s: together they fill one."""
    parts = two_types(0.0) | {"workloads": [workload("w", {"q": 2.0, "s": 3.0})]}
    assert solve(backend, **parts).replicas == {"small": 1}


def test_a_class_without_demand_is_not_routed(backend: str) -> None:
    parts = two_types(0.0) | {"workloads": [workload("w", {"q": 5.0, "idle": 0.0})]}
    plan = solve(backend, **parts)
    assert {r.request_class for r in plan.routing} == {"q"}
    assert plan.replicas == {"small": 1}


def shared(*workloads: dict[str, Any], size: int = 4) -> dict[str, Any]:
    return {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", size, 4.0)],
        "profiles": [profile("m", "a", 5.0), profile("n", "a", 5.0, size=2)],
        "models": [model("m"), model("n")],
        "workloads": list(workloads),
    }


def test_replicas_share_instances(backend: str) -> None:
    """Two replicas of one accelerator and one of two fill one instance of four: 4 $/h, not 8."""
    plan = solve(backend, **shared(workload("one", 10.0), workload("two", 5.0, model="n")))
    assert plan.usd_per_hour == pytest.approx(4.0)
    assert [(r.instances, r.accelerators_used) for r in plan.rentals] == [(1, 4)]


def test_one_replica_more_needs_another_instance(backend: str) -> None:
    """Three of one accelerator and one of two need five accelerators: two instances of four."""
    plan = solve(backend, **shared(workload("one", 15.0), workload("two", 5.0, model="n")))
    assert plan.usd_per_hour == pytest.approx(8.0)


def test_a_limit_on_accelerators_pushes_to_the_dearer_type(backend: str) -> None:
    """Demand 20/s: 4 small cost 4; at most 2 small leave 10/s for a large one: 2 + 3 = 5."""
    limits = [{"name": "small quota", "match": {"accelerator": "small"}, "max_accelerators": 2}]
    plan = solve(backend, **two_types(20.0), limits=limits)
    assert plan.usd_per_hour == pytest.approx(5.0)
    assert plan.limits[0].binding
    assert plan.workloads[0].binding_limits == ("small quota",)


def test_a_limit_counts_rented_accelerators_idle_ones_too(backend: str) -> None:
    """One replica of two on an instance of four rents four accelerators: a limit of three forbids it."""
    limits = [{"name": "quota", "match": {"accelerator": "a"}, "max_accelerators": 3}]
    with pytest.raises(InfeasibleError):
        solve(backend, **shared(workload("two", 5.0, model="n")), limits=limits)


def test_a_limit_on_instances_counts_instances(backend: str) -> None:
    """Five accelerators need two instances of four; at most one is infeasible, two are enough."""
    parts = shared(workload("one", 15.0), workload("two", 5.0, model="n"))
    limits = [{"name": "machines", "match": {"accelerator": "a"}, "max_instances": 2}]
    assert solve(backend, **parts, limits=limits).limits[0].used == 2
    with pytest.raises(InfeasibleError):
        solve(backend, **parts, limits=[{**limits[0], "max_instances": 1}])


def test_a_team_limit_counts_the_teams_replicas_only(backend: str) -> None:
    """Team t may use 2 accelerators of 'small'; its 20/s then needs a large one (2 + 3), the other team's 15/s does not (3)."""
    workloads = [workload("mine", 20.0, team="t"), workload("theirs", 15.0, team="u")]
    limits = [{"name": "t quota", "match": {"team": "t", "accelerator": "small"}, "max_accelerators": 2}]
    plan = solve(backend, **(two_types(0.0) | {"workloads": workloads}), limits=limits)
    assert plan.usd_per_hour == pytest.approx(8.0)


def test_a_limit_of_zero_closes_an_offer(backend: str) -> None:
    limits = [{"name": "none", "match": {"accelerator": "small"}, "max_accelerators": 0}]
    assert solve(backend, **two_types(10.0), limits=limits).replicas == {"large": 1}


def test_spot_takes_its_share_of_a_pool_and_no_more(backend: str) -> None:
    """Four replicas of small at 1 $/h, spot 0.25: half may be spot, 2 + 0.5 = 2.5; all spot 1.0; none 4.0."""
    offers = [offer("small", 1, 1.0, spot=0.25), offer("large", 1, 30.0)]
    for share, cost in ((0.0, 4.0), (0.5, 2.5), (1.0, 1.0)):
        parts = two_types(0.0) | {"offers": offers, "workloads": [workload("w", 20.0, max_spot_fraction=share)]}
        assert solve(backend, **parts).usd_per_hour == pytest.approx(cost)


def test_spot_elsewhere_keeps_the_on_demand_instances_beside_it(backend: str) -> None:
    """On demand costs 1 $/h in a and in b, spot 0.25 in b alone: half of four replicas on spot is 2.5 only if all are in b."""
    offers = [offer("small", 1, 1.0, region="a"), offer("small", 1, 1.0, region="b", spot=0.25), offer("large", 1, 30.0)]
    parts = two_types(0.0) | {"offers": offers, "workloads": [workload("w", 20.0, max_spot_fraction=0.5)]}
    plan = solve(backend, **parts)
    assert plan.usd_per_hour == pytest.approx(2.5)
    assert {d.region for d in plan.deployments} == {"b"}


def floors(aggregation: str, floor: float) -> dict[str, Any]:
    """fp8 keeps 0.98 and carries 10/s, fp16 is the baseline and carries 5/s, both 1 $/h; demand 20/s."""
    models = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98))]
    asked = {**FLOOR, "floor_fraction_of_baseline": floor, "aggregation": aggregation}
    return {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0)],
        "profiles": [profile("m", "a", 5.0), profile("m", "a", 10.0, precision="fp8")],
        "models": models,
        "workloads": [workload("w", 20.0, accuracy=asked)],
    }


def test_a_floor_per_request_forbids_the_poorer_variant(backend: str) -> None:
    """fp16 alone: 4 replicas. Without the floor fp8 would need 2."""
    assert solve(backend, **floors("per_request", 0.99)).usd_per_hour == pytest.approx(4.0)
    assert solve(backend, **floors("per_request", 0.98)).usd_per_hour == pytest.approx(2.0)


def test_a_floor_on_average_lets_half_the_traffic_be_poorer(backend: str) -> None:
    """0.99 on average of 1.0 and 0.98 allows half: 10/s on one fp8 replica, 10/s on two of fp16, 3 $/h."""
    plan = solve(backend, **floors("traffic_weighted", 0.99))
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert plan.workloads[0].accuracy_kept == pytest.approx(0.99)


def test_demand_above_every_limit_is_infeasible(backend: str) -> None:
    limits = [{"name": n, "match": {"accelerator": n}, "max_accelerators": 1} for n in ("small", "large")]
    with pytest.raises(InfeasibleError, match="limits"):
        solve(backend, **two_types(18.0), limits=limits)


def test_a_workload_without_candidates_is_told_candidate_by_candidate() -> None:
    tight = workload("w", 1.0, latency=[{"quantity": "e2e", "statistic": "p99", "at_most_ms": 100.0}])
    with pytest.raises(InfeasibleError) as caught:
        allocate(instance(**(two_types(0.0) | {"workloads": [tight]})))
    told = [str(p) for p in caught.value.problems]
    assert len(told) >= 2
    assert all("w" in text for text in told)
    assert any("130" in text and "100" in text for text in told)


def test_the_relaxation_rents_no_half_of_a_replica_on_spot() -> None:
    """Demand 1/s of 5/s replicas, 1 $/h or 0.5 on spot, half of them at most: a first one is on demand, 1 $/h.

    If half of one were on spot the relaxation would cost 0.75; so it would if demand of 7/s, 1.4 replicas, 1.05: with one of each
    on demand and on spot it takes 1 on demand and 0.4 on spot, 1.2.
    """
    for demand, cost in ((1.0, 1.0), (7.0, 1.2)):
        offers = [offer("small", 1, 1.0, spot=0.5), offer("large", 1, 30.0)]
        parts = two_types(0.0) | {"offers": offers, "workloads": [workload("w", demand, max_spot_fraction=0.5)]}
        model = compile_instance(instance(**parts)).model
        assert get_backend("ortools").solve(model.relaxed()).objective == pytest.approx(cost)
