"""Starts and stops between periods, on instances small enough to solve on paper, and against brute force."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from optimizer.errors import InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.tiny import accelerator, instance, offer, profile, two_types, workload

HALVES = [{"name": "day", "hours": 12.0, "per_month": 365 / 12}, {"name": "night", "hours": 12.0, "per_month": 365 / 12}]


def daily(day: float, night: float, **changes: Any) -> dict[str, Any]:
    found = workload("w", day, **changes)
    found["classes"][0]["rate"]["value"] = {"day": day, "night": night}
    return found


def solve(backend: str, day: float, night: float, **parts: Any) -> Plan:
    """Small alone: 5/s for 1 USD/h, so 4 replicas by day for 20/s and 1 by night for 5/s unless the parts say otherwise."""
    base = two_types(0.0, workloads=[daily(day, night)], offers=[offer("small", 1, 1.0), offer("large", 1, 30.0)])
    return allocate(instance(**(base | parts), periods=HALVES), Options(backend=backend, relative_gap=1e-6))


def start(**changes: Any) -> dict[str, Any]:
    return {"name": "start", "when": {"accelerator": "small"}, **changes}


@pytest.mark.parametrize(("usd", "cost", "nights"), [(6.0, 2.5 + 0.75, 1), (24.0, 4.0, 4)])
def test_a_start_that_costs_more_than_the_night_is_not_made(backend: str, usd: float, cost: float, nights: int) -> None:
    """Rent alone is 2.5 USD/h. 3 starts at 6 USD a day add 0.75 < 1.5; at 24 USD they would add 3 > 1.5."""
    plan = solve(backend, 20.0, 5.0, starts=[start(usd_per_start=usd)])
    assert plan.usd_per_hour == pytest.approx(cost)
    assert sum(d.replicas for d in plan.deployments if d.period == "night") == nights
    told = [(c.period, c.before, c.after, c.usd_per_hour) for c in plan.starts]
    assert told == ([("day", 1, 4, pytest.approx(0.75))] if nights == 1 else [])
    assert plan.costs["setup"].usd_per_hour == pytest.approx(0.75 if nights == 1 else 0.0)


def test_stops_and_hours_of_warm_up_are_paid_too(backend: str) -> None:
    """3 stops at 2 USD are 0.25 USD/h, 3 starts of 2 hours at 1 USD another 0.25; on reserved machines there is none to pay."""
    plan = solve(backend, 20.0, 5.0, starts=[start(usd_per_stop=2.0), start(name="warm", warm_up_hours=2.0)])
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert {c.period: c.usd_per_hour for c in plan.starts} == pytest.approx({"day": 0.25, "night": 0.25})


def test_replicas_may_be_kept_through_a_period_without_demand(backend: str) -> None:
    """Nothing to do by night: 4 replicas are kept for 2 USD/h rather than started for 4 x 24 / 24 = 4."""
    plan = solve(backend, 20.0, 0.0, starts=[start(usd_per_start=24.0)])
    assert plan.usd_per_hour == pytest.approx(4.0)
    assert solve(backend, 20.0, 0.0).usd_per_hour == pytest.approx(2.0)


def test_a_price_of_starts_pushes_to_another_accelerator(backend: str) -> None:
    """2 small kept and a large, 12/s for 2.5 USD/h, by day: 3.25. Small alone: 2.5 and 3 starts of 16 USD, 4.5; or 4 kept, 4."""
    offers = [offer("small", 1, 1.0), offer("large", 1, 2.5)]
    plan = solve(backend, 20.0, 5.0, offers=offers, starts=[start(usd_per_start=16.0)])
    assert plan.usd_per_hour == pytest.approx(3.25)
    assert plan.replicas == {"small": 4, "large": 1}


def test_baselines_pay_for_their_starts(backend: str) -> None:
    plan = solve(backend, 20.0, 5.0, starts=[start(usd_per_start=6.0)])
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(3.25)


def test_one_period_has_no_starts(backend: str) -> None:
    plan = allocate(instance(**two_types(20.0), starts=[start(usd_per_start=6.0)]), Options(backend=backend))
    assert plan.usd_per_hour == pytest.approx(4.0)


def test_a_price_that_points_nowhere_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="smal"):
        instance(**two_types(1.0), starts=[start(when={"accelerator": "smal"})])


THIRDS = [{"name": name, "hours": hours, "per_month": 365 / 12} for name, hours in (("a", 6.0), ("b", 6.0), ("c", 12.0))]


def drawn(seed: int) -> Instance:
    """Two accelerators, three periods, one workload of one class; at most three replicas of either are ever needed."""
    rng = np.random.default_rng(seed)
    rates = {p["name"]: float(rng.choice([0.0, 3.0, 7.0, 11.0])) for p in THIRDS}
    rates["a"] = 11.0
    served = workload("w", 1.0)
    served["classes"][0]["rate"]["value"] = rates
    starts = [
        {"name": name, "when": {"accelerator": name}, "usd_per_start": float(rng.integers(0, 30))}
        | {"usd_per_stop": float(rng.integers(0, 9)), "warm_up_hours": float(rng.integers(0, 4))}
        for name in ("x", "y")
    ]
    return instance(
        accelerators=[accelerator("x"), accelerator("y")],
        offers=[offer(name, 1, float(rng.integers(4, 12)) / 4) for name in ("x", "y")],
        profiles=[profile("m", "x", float(rng.integers(4, 7))), profile("m", "y", float(rng.integers(4, 12)))],
        workloads=[served],
        periods=THIRDS,
        starts=starts,
    )


def brute_force(question: Instance) -> float:
    """Try every count of both accelerators in all three periods."""
    names = ("x", "y")
    mu = np.array([next(p.load.value for p in question.catalogs.profiles if p.accelerator == n) for n in names])
    price = np.array([next(o.prices[0].usd_per_hour for o in question.catalogs.offers if o.accelerator == n) for n in names])
    fee = {s.name: s for s in question.starts}
    up = np.array([fee[n].usd_per_start + fee[n].warm_up_hours * p for n, p in zip(names, price, strict=True)])
    down = np.array([fee[n].usd_per_stop for n in names])
    rates = [question.demands[0].classes[0].rate.at(p.name) for p in question.periods]
    share = np.array([p.month_share for p in question.periods])
    best = math.inf
    options = [[c for c in product(range(4), repeat=2) if np.dot(c, mu) >= r] for r in rates]
    for counts in product(*options):
        n = np.array(counts)
        rise = n - np.roll(n, 1, axis=0)
        daily = np.maximum(rise, 0).sum(axis=0) @ up + np.maximum(-rise, 0).sum(axis=0) @ down
        best = min(best, float(share @ n @ price + daily / 24))
    return best


def test_starts_agree_with_brute_force() -> None:
    wrong, kept = [], 0
    for seed in range(40):
        question = drawn(seed)
        plan = allocate(question, Options(backend="ortools", relative_gap=1e-6))
        kept += plan.usd_per_hour > allocate(question.replace(starts=()), Options(relative_gap=1e-6)).usd_per_hour + 1e-9
        if plan.usd_per_hour != pytest.approx(brute_force(question), rel=2e-6):
            wrong.append(seed)
    assert wrong == []
    assert kept >= 20
