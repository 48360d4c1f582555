"""Each cost head that changes the answer, on an instance small enough to solve on paper."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import InvalidInputError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, two_types, variant, workload


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))


def person(name: str, usd_per_hour: float, **when: str) -> dict[str, Any]:
    """Someone who costs so much for each hour of the month while what fits is in use."""
    return {"name": name, "when": when, "people": 1.0, "usd_per_person_hour": usd_per_hour, "hours_per_month": 730.0}


def test_people_for_a_platform_push_to_the_other(backend: str) -> None:
    """2 small cost 2, 1 large 3; an engineer of 1.5 $/h for small makes it 3.5, so large at 3 wins."""
    assert solve(backend, **two_types(10.0)).replicas == {"small": 2}
    plan = solve(backend, **two_types(10.0), people=[person("small", 1.5, accelerator="small")])
    assert plan.replicas == {"large": 1}
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert plan.switches == ()


def test_people_are_paid_once_for_all_workloads(backend: str) -> None:
    """Two workloads of 10/s: 4 small and one engineer of 1.5 cost 5.5, 2 large 6, one of each 2 + 1.5 + 3 = 6.5."""
    parts = two_types(0.0) | {"workloads": [workload("one", 10.0), workload("two", 10.0)]}
    plan = solve(backend, **parts, people=[person("small", 1.5, accelerator="small")])
    assert plan.usd_per_hour == pytest.approx(5.5)
    assert plan.costs["people"].usd_per_hour == pytest.approx(1.5)
    assert plan.costs["compute"].usd_per_hour == pytest.approx(4.0)
    assert len(plan.switches[0].pools) == 2


def test_management_counts(backend: str) -> None:
    """730 $/month of management is 1 $/h."""
    entry = {"name": "ops", "people": 0.0, "usd_per_person_hour": 0.0, "management_usd_per_month": 730.0}
    assert solve(backend, **two_types(10.0), people=[entry]).costs["people"].usd_per_hour == pytest.approx(1.0)


def test_a_flat_licence_is_paid_once_and_a_unit_licence_per_accelerator(backend: str) -> None:
    """Small at 730 $/month each adds 1 $/h: 2 small cost 4; large costs 3 and its flat 73 $/month 0.1 $/h."""
    licences = [
        {"name": "per card", "kind": "unit", "when": {"accelerator": "small"}, "usd_per_accelerator_month": 730.0},
        {"name": "console", "kind": "flat", "when": {"accelerator": "large"}, "usd_per_month": 73.0},
    ]
    plan = solve(backend, **two_types(10.0), licences=licences)
    assert plan.replicas == {"large": 1}
    assert plan.usd_per_hour == pytest.approx(3.1)


def test_a_unit_licence_counts_idle_accelerators_of_a_rented_instance(backend: str) -> None:
    """One replica on an instance of four: four licences of 1 $/h."""
    parts = two_types(5.0) | {"offers": [offer("small", 4, 4.0)]}
    licences = [{"name": "per card", "kind": "unit", "usd_per_accelerator_month": 730.0, "usd_per_instance_month": 365.0}]
    assert solve(backend, **parts, licences=licences).costs["licence"].usd_per_hour == pytest.approx(4.5)


def distilled(setup_hours: float, **policy: Any) -> dict[str, Any]:
    """Give a distilled variant twice as fast: 10/s against 5/s at 1 $/h; demand 20/s is 2 replicas against 4."""
    cheap = variant("fp16", 0.995, compression="distilled", setup={"accelerator_hours": setup_hours, "source": "made up"})
    return {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0)],
        "profiles": [profile("m", "a", 5.0), profile("m", "a", 10.0, compression="distilled")],
        "models": [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, cheap)],
        "workloads": [workload("w", 20.0, accuracy=FLOOR)],
        **policy,
    }


@pytest.mark.parametrize(("hours", "compression", "cost"), [(730.0, "distilled", 3.0), (2190.0, "none", 4.0)])
def test_making_a_variant_once_must_pay_for_itself(backend: str, hours: float, compression: str, cost: float) -> None:
    """730 hours at 12 $ spread over 12 months cost 1 $/h: 2 + 1 < 4. Three times as much does not pay: 2 + 3 > 4."""
    question = instance(**distilled(hours))
    prices = {"usd_per_accelerator_hour": 12.0, "horizon_months": 12.0}
    question = question.replace(policy={**question.policy.model_dump(mode="json"), "setup": prices})
    plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
    assert {d.compression for d in plan.deployments} == {compression}
    assert plan.usd_per_hour == pytest.approx(cost)


def test_setup_is_free_for_the_next_workload_that_uses_the_variant(backend: str) -> None:
    """3 $/h of setup does not pay for one workload that saves 2, but for two that save 4: 4 + 3 < 8."""
    parts = distilled(2190.0) | {"workloads": [workload("one", 20.0, accuracy=FLOOR), workload("two", 20.0, accuracy=FLOOR)]}
    question = instance(**parts)
    prices = {"usd_per_accelerator_hour": 12.0, "horizon_months": 12.0}
    question = question.replace(policy={**question.policy.model_dump(mode="json"), "setup": prices})
    plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(7.0)
    assert plan.costs["setup"].usd_per_hour == pytest.approx(3.0)


def test_maintenance_of_a_variant_is_paid_while_it_is_used(backend: str) -> None:
    """Keeping the distilled variant for 1.5 $/h still pays (2 + 1.5 < 4); for 2.5 $/h it does not."""
    for monthly, cost in ((1095.0, 3.5), (1825.0, 4.0)):
        parts = distilled(0.0)
        parts["models"][0]["variants"][1]["maintenance_usd_per_month"] = monthly
        assert solve(backend, **parts).usd_per_hour == pytest.approx(cost)


def test_data_is_bought_once_for_all_that_use_it(backend: str) -> None:
    """10 $/item x 1000 items + 20 $/h x 100 h = 12,000 $ over 12 months: 12,000 / 8,760 $/h, needed by the distilled form."""
    bought = {"name": "labels", "when": {"compression": "distilled"}, "items": 1000.0, "usd_per_item": 10.0}
    bought |= {"labelling_hours": 100.0, "usd_per_labelling_hour": 20.0}
    plan = solve(backend, **distilled(0.0), data=[bought])
    assert plan.costs["data"].usd_per_hour == pytest.approx(12_000 / 8_760)
    assert plan.usd_per_hour == pytest.approx(2.0 + 12_000 / 8_760)


def test_interruptions_make_spot_less_cheap(backend: str) -> None:
    """Spot at 0.5 $/h, lost once in ten hours at 6 $ each, costs 1.1 $/h: more than on demand at 1 $/h."""
    parts = two_types(10.0) | {
        "offers": [offer("small", 1, 1.0, spot=0.5), offer("large", 1, 30.0)],
        "workloads": [workload("w", 10.0, max_spot_fraction=1.0)],
    }
    assert {d.option for d in solve(backend, **parts).deployments} == {"spot"}
    lost = [{"name": "reclaimed", "when": {"option": "spot"}, "per_hour": 0.1, "usd_each": 6.0}]
    plan = solve(backend, **parts, interruptions=lost)
    assert {d.option for d in plan.deployments} == {"on_demand"}
    kept = solve(backend, **parts, interruptions=[{**lost[0], "usd_each": 1.0}])
    assert kept.costs["risk"].usd_per_hour == pytest.approx(0.2)


def test_a_limit_may_count_a_variant(backend: str) -> None:
    """At most one accelerator may run the distilled form: 10/s on it, 10/s on two of the other, 3 $/h."""
    limits = [{"name": "pilot", "match": {"compression": "distilled"}, "max_accelerators": 1}]
    assert solve(backend, **distilled(0.0), limits=limits).usd_per_hour == pytest.approx(3.0)


def test_a_baseline_pays_for_what_it_switches_on(backend: str) -> None:
    """Alone, large at 3 $/h beats 2 small and an engineer of 1.5 $/h; the plan and good practice agree."""
    plan = solve(backend, **two_types(10.0), people=[person("small", 1.5, accelerator="small")])
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(3.0)
    assert plan.baselines.good_practice.switched_usd_per_hour == 0.0


@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("people", {**person("x", 1.0), "when": {"option": "spot"}}),
        ("licences", {"name": "x", "kind": "unit", "when": {"team": "t"}}),
        ("interruptions", {"name": "x", "when": {"precision": "fp8"}, "per_hour": 1.0, "usd_each": 1.0}),
        ("people", {**person("x", 1.0), "when": {"accelerator": "nothing"}}),
    ],
)
def test_a_cost_that_cannot_be_counted_is_refused(part: str, entry: dict[str, Any]) -> None:
    question = instance(**two_types(1.0))
    with pytest.raises(InvalidInputError):
        question.replace(**{part: [entry]})
