"""What the shipped questions beyond language show: plans within 0.5 %, and heads without which another plan is best."""

from __future__ import annotations

from functools import cache

import pytest

from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.read import load_instance
from tests.instances.small import INSTANCES

OPTIONS = Options(backend="ortools", relative_gap=0.001, time_limit_s=20)


@cache
def question(name: str) -> Instance:
    return load_instance(INSTANCES / f"{name}.json")


@cache
def shipped() -> Plan:
    """Give the plan of recommendation.json, solved once."""
    return allocate(question("recommendation"), OPTIONS)


@pytest.mark.parametrize("name", ["cv", "dialogue"])
def test_the_question_has_a_verified_plan(name: str) -> None:
    plan = allocate(question(name), Options(backend="ortools", relative_gap=0.05, time_limit_s=30))
    assert plan.verification is not None
    assert plan.verification.passed
    assert plan.relative_gap is not None
    assert plan.relative_gap <= 0.05


def test_recommendation_is_planned_within_half_a_percent() -> None:
    assert shipped().relative_gap is not None
    assert shipped().relative_gap <= 0.005
    assert {line.name for line in shipped().workloads} == {w.name for w in question("recommendation").workloads}


@pytest.mark.parametrize("head", ["data", "interruptions"])
def test_without_a_head_the_shipped_plan_is_no_longer_the_best(head: str) -> None:
    """The shipped plan would cost at most as much without the head; the best plan then costs less than its bound allows."""
    paid = shipped().costs.get({"interruptions": "risk"}.get(head, head))
    kept = shipped().usd_per_hour - (paid.usd_per_hour if paid else 0.0)
    best = allocate(question("recommendation").replace(**{head: []}), OPTIONS).usd_per_hour
    assert shipped().bound_usd is not None
    assert best < kept - (shipped().usd_per_hour - shipped().bound_usd)


def test_setup_keeps_the_second_form_out() -> None:
    question_ = question("recommendation")
    free = question_.replace(policy=question_.policy.model_copy(update={"setup": None}))
    assert "int8-interaction" not in {d.compression for d in shipped().deployments}
    assert "int8-interaction" in {d.compression for d in allocate(free, OPTIONS).deployments}


def test_reserved_prices_say_that_they_are_an_example() -> None:
    prices = [p for o in question("dialogue").catalogs.offers for p in o.prices if p.option.value == "reserved"]
    assert prices
    assert all(p.quality.value == "assumed" and "example rule" in p.source for p in prices)


def test_the_day_of_dialogue_is_24_hours_of_one_month() -> None:
    periods = question("dialogue").periods
    assert len(periods) == 24
    assert sum(p.hours * p.per_month for p in periods) == pytest.approx(730, rel=1e-6)
