"""Shedding, revenue and penalties, on instances small enough to solve on paper, and against brute force."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from optimizer.errors import InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.report.text import render
from tests.optimizer.full import full_instance
from tests.optimizer.tiny import accelerator, instance, offer, profile, two_types, workload

EXACT = Options(relative_gap=1e-6)
DOLLAR = 1 / 3600
"""USD a request, so that one request a second costs or earns 1 USD/h."""


def ask(demand: float, objective: str = "cost", **changes: Any) -> Instance:
    """Small alone: 5/s for 1 USD/h."""
    served = workload("w", demand, **changes)
    parts = two_types(0.0, workloads=[served], offers=[offer("small", 1, 1.0), offer("large", 1, 30.0)])
    return instance(**parts, objective=objective)


def solve(backend: str, demand: float, objective: str = "cost", **changes: Any) -> Plan:
    return allocate(ask(demand, objective, **changes), Options(backend=backend, relative_gap=1e-6))


@pytest.mark.parametrize(
    ("price", "replicas", "unserved"),
    [
        (0.4, 2, 2.0),
        (0.6, 3, 0.0),
    ],
)
def test_requests_are_left_unserved_where_that_is_cheaper(backend: str, price: float, replicas: int, unserved: float) -> None:
    """12/s: a third replica for the last 2/s costs 1 USD/h, losing them 2 x price."""
    shed = {"max_unserved_fraction": 0.5, "usd_per_request": price * DOLLAR}
    plan = solve(backend, 12.0, shedding=shed)
    assert plan.replicas == {"small": replicas}
    assert plan.usd_per_hour == plan.objective_usd == pytest.approx(replicas + unserved * price)
    assert sum(u.requests_per_hour for u in plan.unserved) == pytest.approx(unserved * 3600)
    assert plan.costs["risk"].usd_per_hour == pytest.approx(unserved * price)


def test_no_more_is_left_unserved_than_may_be(backend: str) -> None:
    """A tenth of 12/s may be lost: 10.8/s need three replicas all the same, and then all is served."""
    plan = solve(backend, 12.0, shedding={"max_unserved_fraction": 0.1, "usd_per_request": 0.4 * DOLLAR})
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert plan.unserved == ()


def test_a_workload_may_go_wholly_unserved(backend: str) -> None:
    plan = solve(backend, 12.0, shedding={"max_unserved_fraction": 1.0, "usd_per_request": 0.1 * DOLLAR})
    assert plan.usd_per_hour == pytest.approx(1.2)
    assert plan.deployments == plan.rentals == ()


@pytest.mark.parametrize(("revenue", "replicas", "profit"), [(0.1, 0, 0.0), (0.3, 2, 1.0), (0.6, 3, 4.2)])
def test_profit_serves_what_earns_more_than_it_costs(backend: str, revenue: float, replicas: int, profit: float) -> None:
    """12/s: a replica earns 5 x revenue for 1 USD/h, the third only 2 x revenue."""
    shed = {"max_unserved_fraction": 1.0, "usd_per_request": 0.0}
    plan = solve(backend, 12.0, "profit", shedding=shed, revenue={"usd_per_request": revenue * DOLLAR})
    assert sum(plan.replicas.values()) == replicas
    assert plan.profit_usd_per_hour == pytest.approx(profit, abs=1e-9)
    assert plan.objective_usd == pytest.approx(12 * revenue - profit), "the bill and the revenue lost"


def test_revenue_is_told_and_changes_nothing_where_cost_is_the_objective(backend: str) -> None:
    """12 USD/h of requests, 1 of advertising, 2 of subscriptions, 1 by contract; 3 replicas; a penalty of 0.5 USD/h."""
    revenue = {
        "usd_per_request": DOLLAR,
        "impressions_per_request": 2.0,
        "usd_per_thousand_impressions": 1000 * DOLLAR / 24,
        "subscribers": 73.0,
        "usd_per_subscriber_month": 20.0,
        "contract_usd_per_month": 730.0,
    }
    plan = solve(backend, 12.0, revenue=revenue, penalty={"usd_each": 730.0, "expected_per_month": 0.5})
    assert plan.usd_per_hour == pytest.approx(3.5)
    assert plan.objective_usd == pytest.approx(3.0), "penalties are expected whatever is chosen"
    assert plan.costs["risk"].usd_per_hour == pytest.approx(0.5)
    assert plan.revenue_usd_per_hour == pytest.approx(16.0)
    assert plan.profit_usd_per_hour == pytest.approx(12.5)
    assert [e.margin_usd_per_hour for e in plan.earnings] == [pytest.approx(12.5)]
    assert plan.baselines.good_practice.saving_usd_per_hour == pytest.approx(0.0)


def test_the_report_tells_what_is_left_unserved_and_earned() -> None:
    shed = {"max_unserved_fraction": 1.0, "usd_per_request": 0.0}
    text = render(solve("ortools", 12.0, "profit", shedding=shed, revenue={"usd_per_request": 0.3 * DOLLAR}))
    assert "Left unserved" in text
    assert "16.7%" in text
    assert "profit after the whole bill 1.00" in text


def test_a_budget_on_everything_holds_penalties_too(backend: str) -> None:
    """3 replicas and 0.5 USD/h of penalties need 2,555 USD a month; a budget of 2,400 lets a request go unserved."""
    question = ask(
        12.0,
        shedding={"max_unserved_fraction": 1.0, "usd_per_request": 0.4 * DOLLAR},
        penalty={"usd_each": 730.0, "expected_per_month": 0.5},
    )
    limit = {"name": "all", "match": {}, "max_usd_per_month": 3.3 * 730}
    plan = allocate(question.replace(limits=[limit]), Options(backend=backend, relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(2 + 2 * 0.4 + 0.5)


def test_a_volume_may_be_left_undone(backend: str) -> None:
    """Two replicas all month would do all of it; half may be left for 0.5 USD/h, half of what a replica costs."""
    volume = 2 * 5 * 3600 * 730.0
    batch = {"name": "b", "kind": "batch", "model": "m", "volume_requests": volume, "unit": "queries", "deadline_hours": 730.0}
    shed = {"max_unserved_fraction": 0.5, "usd_per_request": 0.1 * DOLLAR}
    parts = two_types(0.0, workloads=[{**batch, "shedding": shed}], offers=[offer("small", 1, 1.0), offer("large", 1, 30.0)])
    plan = allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(1.5)
    assert [u.share for u in plan.unserved] == [0.5]


@pytest.mark.parametrize(
    ("changes", "objective"),
    [
        ({"shedding": {"max_unserved_fraction": 0.5, "usd_per_request": 0.0}}, "cost"),
        ({"shedding": {"max_unserved_fraction": 0.9999, "usd_per_request": 1.0}}, "cost"),
        ({}, "profit"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], objective: str) -> None:
    with pytest.raises((InvalidInputError, ValueError)):
        ask(12.0, objective, **changes)


def drawn(seed: int) -> Instance:
    """Two workloads of one class each on two accelerators, all of which may be left unserved."""
    rng = np.random.default_rng(seed)
    workloads = [
        workload(
            f"w{i}",
            float(rng.integers(3, 16)),
            shedding={"max_unserved_fraction": float(rng.choice([0.2, 0.5, 1.0])), "usd_per_request": 0.0},
            revenue={"usd_per_request": float(rng.integers(1, 9)) / 32 * DOLLAR},
        )
        for i in range(2)
    ]
    return instance(
        accelerators=[accelerator("x"), accelerator("y")],
        offers=[offer(name, 1, float(rng.integers(4, 12)) / 4) for name in ("x", "y")],
        profiles=[profile("m", name, float(rng.integers(4, 12))) for name in ("x", "y")],
        workloads=workloads,
        objective="profit",
    )


def brute_force(question: Instance) -> float:
    """Try every count of both accelerators for each workload; what they cannot carry is lost."""
    mu = {p.accelerator: p.load.value for p in question.catalogs.profiles}
    price = {o.accelerator: o.prices[0].usd_per_hour for o in question.catalogs.offers}
    total = 0.0
    for w in question.demands:
        rate, best = w.classes[0].rate.at("always"), -math.inf
        assert w.shedding is not None
        assert w.revenue is not None
        for x in range(6):
            for y in range(6):
                served = min(rate, x * mu["x"] + y * mu["y"])
                if served >= rate * (1 - w.shedding.max_unserved_fraction) - 1e-12:
                    best = max(best, served * 3600 * w.revenue.usd_per_request - x * price["x"] - y * price["y"])
        total += best
    return total


def test_profit_agrees_with_brute_force() -> None:
    profits = {seed: allocate(drawn(seed), EXACT) for seed in range(40)}
    assert [s for s, plan in profits.items() if plan.profit_usd_per_hour != pytest.approx(brute_force(drawn(s)), abs=1e-5)] == []
    assert sum(bool(plan.unserved) for plan in profits.values()) >= 10
    assert sum(bool(plan.deployments) for plan in profits.values()) >= 10


def test_more_revenue_never_lowers_profit_and_backends_agree() -> None:
    """Full instances, as much of each workload shed as may be; doubling what requests earn adds at least nothing."""
    wrong, grown = [], 0
    for seed in (0, 1, 2, 4, 5):
        document = full_instance(seed).model_dump(mode="json")
        document["objective"] = "profit"
        for w in document["workloads"]:
            if w["kind"] == "serving":
                w["shedding"] = {"max_unserved_fraction": 1.0, "usd_per_request": 0.0}
                w["revenue"] = {"usd_per_request": 4 / 2**15}
        richer = json.loads(json.dumps(document))
        for w in richer["workloads"]:
            if w["kind"] == "serving":
                w["revenue"]["usd_per_request"] *= 2
        asked = [Instance.model_validate_json(json.dumps(d)) for d in (document, richer)]
        one, two = (allocate(q, EXACT).profit_usd_per_hour for q in asked)
        other = allocate(asked[0], Options(backend="cbc", relative_gap=1e-6)).profit_usd_per_hour
        assert one is not None
        assert two is not None
        grown += two > one
        if two < one - 1e-4 or one != pytest.approx(other, abs=1e-4):
            wrong.append((seed, one, two, other))
    assert wrong == []
    assert grown
