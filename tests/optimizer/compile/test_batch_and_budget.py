"""Volumes with deadlines and budgets, on paper."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import verify_plan
from tests.optimizer.compile.test_periods import HALVES, daily
from tests.optimizer.tiny import instance, offer, profile, two_types, workload

SIX = 6 * 3600.0


def batch(name: str, volume: float, hours: float, **changes: Any) -> dict[str, Any]:
    """Give a volume of queries by a deadline on model m."""
    base = {"name": name, "kind": "batch", "model": "m", "volume_requests": volume, "unit": "queries", "deadline_hours": hours}
    return {**base, **changes}


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))


def one_type(*workloads: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Replicas of 5 queries/s at 1 $/h."""
    return (
        two_types(0.0)
        | {"offers": [offer("small", 1, 1.0)], "profiles": [profile("m", "small", 5.0)]}
        | changes
        | {"workloads": list(workloads)}
    )


def test_a_volume_takes_the_replicas_it_needs_by_its_deadline(backend: str) -> None:
    """10 queries/s for 12 hours is the volume; in the day alone it takes 2 replicas of 5/s: 2 x 1 $/h x half the month = 1."""
    plan = solve(backend, **one_type(batch("b", 10 * 12 * 3600.0, 12.0)), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(1.0)
    assert {(d.period, d.replicas) for d in plan.deployments} == {("day", 2)}


def test_a_later_deadline_spreads_the_work(backend: str) -> None:
    """The same volume in 24 hours: one replica day and night, or two for half of it; both cost 1 $/h of the month."""
    plan = solve(backend, **one_type(batch("b", 10 * 12 * 3600.0, 24.0)), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(1.0)
    assert sum(r.share for r in plan.routing) == pytest.approx(1.0)


def test_a_volume_fills_the_gaps_that_serving_leaves(backend: str) -> None:
    """Two accelerators at most; serving needs two by day, one by night, so the volume of one replica-night fits at night only."""
    limits = [{"name": "quota", "match": {"accelerator": "small"}, "max_accelerators": 2}]
    parts = one_type(daily("w", 10.0, 5.0), batch("b", 5 * 12 * 3600.0, 24.0))
    plan = solve(backend, **parts, periods=HALVES, limits=limits)
    assert {d.period for d in plan.deployments if d.workloads == ("b",)} == {"night"}
    late = [batch("b", 5 * 12 * 3600.0, 12.0, start="day"), daily("w", 10.0, 5.0)]
    with pytest.raises(InfeasibleError):
        solve(backend, **one_type(*late), periods=HALVES, limits=limits)


def test_a_volume_uses_what_a_commitment_leaves_idle(backend: str) -> None:
    """One reserved instance for serving by day is idle at night: the volume of a replica-night costs nothing more."""
    small = offer("small", 1, 1.0)
    small["prices"].append({"option": "reserved", "usd_per_hour": 0.4, "as_of": "2026-11-01", "source": "made up"})
    parts = one_type(daily("w", 5.0, 0.0), batch("b", 5 * 12 * 3600.0, 12.0, start="night"), offers=[small])
    assert solve(backend, **parts, periods=HALVES).usd_per_hour == pytest.approx(0.4)


def test_an_even_spread_is_the_baseline_of_a_volume(backend: str) -> None:
    """Good practice runs one replica all 24 hours: 1 $/h."""
    plan = solve(backend, **one_type(batch("b", 10 * 12 * 3600.0, 24.0)), periods=HALVES)
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(1.0)


def test_a_batch_needs_no_latency_and_may_rest_on_full_throughput(backend: str) -> None:
    """A point of full throughput, 20/s, serves a volume (1 replica) and never a workload with a target (5/s: 2 replicas)."""
    full = profile("m", "small", 20.0, latency=[], engine="full")
    full["load"]["kind"] = "max_throughput"
    profiles = [profile("m", "small", 5.0), full]
    volume = solve(backend, **one_type(batch("b", 10 * 12 * 3600.0, 12.0), profiles=profiles), periods=HALVES)
    assert volume.replicas == {"small": 1}
    assert solve(backend, **one_type(workload("w", 10.0), profiles=profiles)).replicas == {"small": 2}


def test_a_deadline_before_the_first_period_ends_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="deadline_hours"):
        instance(**one_type(batch("b", 1000.0, 8.0)))


def test_work_outside_its_window_is_refused_by_verification() -> None:
    question = instance(**one_type(batch("b", 10 * 12 * 3600.0, 12.0)), periods=HALVES)
    plan = allocate(question, Options(relative_gap=1e-6))
    moved = tuple(r.model_copy(update={"period": "night"}) for r in plan.routing)
    failures = verify_plan(question, plan.model_copy(update={"routing": moved})).failures
    assert any(f.startswith("shares") for f in failures)


def test_a_budget_over_all_is_a_cap_on_the_whole_bill(backend: str) -> None:
    """20/s on small costs 4 $/h, 2,920 $ a month: a budget of that is met, one dollar less is infeasible."""
    budget = {"name": "all", "match": {}, "max_usd_per_month": 2920.0}
    plan = solve(backend, **two_types(20.0), limits=[budget])
    assert plan.limits[0].used == pytest.approx(2920.0)
    assert plan.limits[0].binding
    with pytest.raises(InfeasibleError):
        solve(backend, **two_types(20.0), limits=[{**budget, "max_usd_per_month": 2919.0}])


def test_a_teams_budget_counts_its_replicas_share_of_instances(backend: str) -> None:
    """Two teams share an instance of two accelerators at 2 $/h: each pays 1 $/h, 730 $ a month."""
    workloads = [workload("mine", 5.0, team="t"), workload("theirs", 5.0, team="u")]
    parts = one_type(*workloads, offers=[offer("small", 2, 2.0)])
    budget = {"name": "t", "match": {"team": "t"}, "max_usd_per_month": 730.0}
    plan = solve(backend, **parts, limits=[budget])
    assert plan.limits[0].used == pytest.approx(730.0)
    with pytest.raises(InfeasibleError):
        solve(backend, **parts, limits=[{**budget, "max_usd_per_month": 729.0}])


def test_a_providers_budget_pushes_the_rest_elsewhere(backend: str) -> None:
    """At most 2 $/h of small: the other 10/s of 20 go to a large one for 3: 5 $/h."""
    budget = {"name": "small", "match": {"accelerator": "small"}, "max_usd_per_month": 1460.0}
    plan = solve(backend, **two_types(20.0), limits=[budget])
    assert plan.usd_per_hour == pytest.approx(5.0)


def test_an_overspent_budget_is_refused_by_verification() -> None:
    budget = {"name": "all", "match": {}, "max_usd_per_month": 2920.0}
    question = instance(**two_types(20.0), limits=[budget])
    plan = allocate(question, Options(relative_gap=1e-6))
    other = question.replace(limits=[{**budget, "max_usd_per_month": 2000.0}])
    told = plan.instance.model_copy(update={"hash": other.hash})
    failures = verify_plan(other, plan.model_copy(update={"instance": told})).failures
    assert any("2000.00" in f and f.startswith("limits") for f in failures)
