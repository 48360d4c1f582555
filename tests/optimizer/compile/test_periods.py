"""Periods and commitments, on paper: demand that moves, what is paid by use and what is paid for all hours."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.oracle import random_instance
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, two_types, variant, workload

HALVES = [{"name": "day", "hours": 12.0, "per_month": 365 / 12}, {"name": "night", "hours": 12.0, "per_month": 365 / 12}]


def daily(name: str, day: float, night: float, **changes: Any) -> dict[str, Any]:
    entry = workload(name, 0.0, **changes)
    entry["classes"][0]["rate"]["value"] = {"day": day, "night": night}
    return entry


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))


def replicas(plan: Plan, period: str) -> int:
    return sum(d.replicas for d in plan.deployments if d.period == period)


def test_a_plan_follows_demand(backend: str) -> None:
    """20/s by day, 10/s by night on replicas of 5/s at 1 $/h: 4 and 2, on average 3 $/h."""
    plan = solve(backend, **(two_types(0.0) | {"workloads": [daily("w", 20.0, 10.0)]}), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert (replicas(plan, "day"), replicas(plan, "night")) == (4, 2)
    assert plan.workloads[0].utilization == pytest.approx(1.0)
    assert plan.usd_per_month == pytest.approx(3.0 * 730)


def test_weights_are_hours(backend: str) -> None:
    """6 hours of 20/s and 18 of 10/s: (6 x 4 + 18 x 2) / 24 = 2.5 $/h."""
    uneven = [{**HALVES[0], "hours": 6.0}, {**HALVES[1], "hours": 18.0}]
    plan = solve(backend, **(two_types(0.0) | {"workloads": [daily("w", 20.0, 10.0)]}), periods=uneven)
    assert plan.usd_per_hour == pytest.approx(2.5)


def test_nothing_runs_in_a_period_without_demand(backend: str) -> None:
    plan = solve(backend, **(two_types(0.0) | {"workloads": [daily("w", 20.0, 0.0)]}), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(2.0)
    assert {d.period for d in plan.deployments} == {"day"}


def reserved(usd_per_hour: float) -> dict[str, Any]:
    small = offer("small", 1, 1.0)
    term = {"option": "reserved", "usd_per_hour": usd_per_hour, "as_of": "2026-11-01", "source": "made up: one year"}
    small["prices"].append(term)
    return two_types(0.0) | {"offers": [small, offer("large", 1, 30.0)], "workloads": [daily("w", 20.0, 10.0)]}


@pytest.mark.parametrize(("price", "cost", "held"), [(0.6, 2.2, 2), (0.4, 1.6, 4), (1.1, 3.0, 0)])
def test_what_always_runs_is_reserved(backend: str, price: float, cost: float, held: int) -> None:
    """At 0.6: 2 x 0.6 always and 2 x 1.0 by day = 2.2 (4 x 0.6 = 2.4). At 0.4 all four: 1.6. At 1.1 none: 3.0."""
    plan = solve(backend, **reserved(price), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(cost)
    assert {r.period: r.instances for r in plan.rentals if r.option == "reserved"} == (
        {"day": held, "night": held} if held else {}
    )


def test_an_idle_commitment_is_paid_and_told(backend: str) -> None:
    """Demand by day only; 4 reserved at 0.4 cost 1.6, by use 4 x 1.0 / 2 = 2.0: reserved, though idle at night."""
    parts = reserved(0.4) | {"workloads": [daily("w", 20.0, 0.0)]}
    plan = solve(backend, **parts, periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(1.6)
    assert {(r.period, r.accelerators_used) for r in plan.rentals} == {("day", 4), ("night", 0)}
    assert sum(plan.quality_shares.values()) == pytest.approx(1.0)


def test_a_limit_holds_in_every_period(backend: str) -> None:
    """At most 3 small: 20/s by day needs a large one; by night two small are enough: (2 x 1 + 3 + 2) / 2 = 3.5."""
    limits = [{"name": "quota", "match": {"accelerator": "small"}, "max_accelerators": 3}]
    parts = two_types(0.0) | {"workloads": [daily("w", 20.0, 10.0)]}
    plan = solve(backend, **parts, periods=HALVES, limits=limits)
    assert plan.usd_per_hour == pytest.approx(3.5)
    assert plan.limits[0].used == 2
    closed = [*limits, {"name": "none", "match": {"accelerator": "large"}, "max_accelerators": 0}]
    with pytest.raises(InfeasibleError):
        solve(backend, **parts, periods=HALVES, limits=closed)


def test_an_averaged_floor_spans_periods(backend: str) -> None:
    """20/s by day, 20/s by night, floor 0.99: all fp8 (2 replicas) in one half, all fp16 (4) in the other, or mixed: 3 $/h."""
    models = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98))]
    parts = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0)],
        "profiles": [profile("m", "a", 5.0), profile("m", "a", 10.0, precision="fp8")],
        "models": models,
        "workloads": [daily("w", 20.0, 20.0, accuracy={**FLOOR, "aggregation": "traffic_weighted"})],
    }
    plan = solve(backend, **parts, periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert plan.workloads[0].accuracy_kept == pytest.approx(0.99)


def test_people_are_paid_for_the_month_whenever_they_are_needed(backend: str) -> None:
    """By day alone small costs 2 and its engineer 1.5 all month; large by day 2 x 3 / 2 = 3.0."""
    people = [
        {"name": "x", "when": {"accelerator": "small"}, "people": 1.0, "usd_per_person_hour": 1.5, "hours_per_month": 730.0}
    ]
    plan = solve(backend, **(two_types(0.0) | {"workloads": [daily("w", 20.0, 0.0)]}), periods=HALVES, people=people)
    assert plan.usd_per_hour == pytest.approx(3.0)


def test_without_commitments_periods_are_separate_questions() -> None:
    """Rent by use, floors per request: the cost of two periods is the mean of the costs of each alone."""
    checked = 0
    for seed in range(40):
        question = random_instance(seed)
        weighted = any(w.accuracy is not None and w.accuracy.aggregation == "traffic_weighted" for w in question.workloads)
        alone = [_cost(_scaled(question, factor)) for factor in (1.0, 0.5)]
        if weighted or None in alone:
            continue
        checked += 1
        assert _cost(_both(question)) == pytest.approx((alone[0] + alone[1]) / 2, rel=2e-6)
    assert checked >= 10


def _cost(question: Instance) -> Any:
    try:
        return allocate(question, Options(relative_gap=1e-6)).usd_per_hour
    except InfeasibleError:
        return None


def _scaled(question: Instance, factor: float) -> Instance:
    document = question.model_dump(mode="json")
    for entry in (c for w in document["workloads"] for c in w["classes"]):
        entry["rate"]["value"] *= factor
    return question.replace(workloads=document["workloads"])


def _both(question: Instance) -> Instance:
    document = question.model_dump(mode="json")
    for entry in (c for w in document["workloads"] for c in w["classes"]):
        rate = entry["rate"]["value"]
        entry["rate"]["value"] = {"day": rate, "night": rate / 2}
    return question.replace(workloads=document["workloads"], periods=HALVES)


def test_warm_start_from_a_plan_of_periods_changes_nothing(backend: str) -> None:
    question = instance(**reserved(0.6), periods=HALVES)
    plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
    again = allocate(question, Options(backend=backend, relative_gap=1e-6), plan_in_force=plan)
    assert again.usd_per_hour == pytest.approx(plan.usd_per_hour)


def test_periods_that_are_not_the_month_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="730"):
        instance(**(two_types(0.0) | {"workloads": [daily("w", 20.0, 10.0)]}), periods=[HALVES[0], {**HALVES[1], "hours": 6.0}])


def test_a_commitment_missing_in_one_period_is_refused_by_verification() -> None:
    from optimizer.verify import verify_plan

    question = instance(**reserved(0.6), periods=HALVES)
    plan = allocate(question, Options(relative_gap=1e-6))
    fewer = tuple(r for r in plan.rentals if (r.option, r.period) != ("reserved", "night"))
    failures = verify_plan(question, plan.model_copy(update={"rentals": fewer})).failures
    assert {f.partition(":")[0] for f in failures} >= {"instances", "bill"}
