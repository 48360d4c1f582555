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


@pytest.fixture(scope="module")
def science() -> Plan:
    return allocate(question("science"), Options(backend="ortools", relative_gap=0.004, time_limit_s=60))


def test_science_is_planned_alike_by_both_backends_within_half_a_percent(science: Plan) -> None:
    other = allocate(question("science"), Options(backend="cbc", relative_gap=0.004, time_limit_s=60))
    assert science.relative_gap is not None
    assert science.relative_gap <= 0.005
    for one, two in ((science, other), (other, science)):
        assert one.verification.passed
        assert one.bound_usd is None or one.bound_usd <= two.usd_per_hour
    assert {run.job for run in science.training} == {"adapt-dictation", "pretrain-reports", "train-organs", "tune-whisper"}


def test_a_deadline_makes_a_gang_larger_and_a_job_of_the_night_shares_what_the_day_reserves(science: Plan) -> None:
    """Eight A100 on spot would take 96 hours for the organs, and 72 are allowed."""
    late = {"deadline_hours": 730.0}
    eased = [w.model_copy(update=late) if w.name == "train-organs" else w for w in question("science").workloads]
    plan = allocate(question("science").replace(workloads=eased), Options(backend="ortools", relative_gap=0.004, time_limit_s=60))
    runs = {run.job: run for run in science.training}
    assert runs["train-organs"].gang > {run.job: run.gang for run in plan.training}["train-organs"]
    assert runs["train-organs"].lost_hours > 0
    assert (runs["adapt-dictation"].option, runs["adapt-dictation"].periods) == ("reserved", ("night",))
    assert (runs["adapt-dictation"].offer, "reserved") in {(d.offer, d.option) for d in science.deployments if d.period == "day"}


def test_reserved_prices_say_that_they_are_an_example() -> None:
    prices = [p for o in question("dialogue").catalogs.offers for p in o.prices if p.option.value == "reserved"]
    assert prices
    assert all(p.quality.value == "assumed" and "example rule" in p.source for p in prices)


def test_the_day_of_dialogue_is_24_hours_of_one_month() -> None:
    periods = question("dialogue").periods
    assert len(periods) == 24
    assert sum(p.hours * p.per_month for p in periods) == pytest.approx(730, rel=1e-6)
