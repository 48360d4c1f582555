"""Mutation tests of the rules about money and change, as in ``test_verify``, on a question with two periods."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.test_verify import Mutation, change, fired
from tests.optimizer.tiny import instance, two_types, workload

HALVES = [{"name": "day", "hours": 12.0, "per_month": 365 / 12}, {"name": "night", "hours": 12.0, "per_month": 365 / 12}]


@pytest.fixture(scope="module")
def question() -> Instance:
    """Four small replicas by day and one by night, started for 4 USD each; by day the plan in force has one large too."""
    served = workload("w", 20.0)
    served["classes"][0]["rate"]["value"] = {"day": 20.0, "night": 5.4}
    start = {"name": "start", "when": {"accelerator": "small"}, "usd_per_start": 4.0, "quality": "measured"}
    served |= {"shedding": {"max_unserved_fraction": 0.1, "usd_per_request": 1e-6, "quality": "derived"}}
    served |= {"revenue": {"usd_per_request": 0.0001}, "penalty": {"usd_each": 73.0, "expected_per_month": 1.0}}
    found = instance(**two_types(0.0, workloads=[served]), periods=HALVES, starts=[start], objective="profit")
    policy = {"usd_per_replica_stop": 73.0, "minimum_saving_usd_per_month": 1.0, "max_changed_fraction": 0.5}
    return found.replace(policy={**found.policy.model_dump(mode="json"), "change": policy})


@pytest.fixture(scope="module")
def force(question: Instance) -> Plan:
    """Answer for a dearer small: 1 large and 2 small by day."""
    document = question.model_dump(mode="json")["catalogs"]
    document["offers"][0]["prices"][0]["usd_per_hour"] = 1.4
    return allocate(question.replace(catalogs=document), Options(relative_gap=1e-6))


@pytest.fixture(scope="module")
def plan(question: Instance, force: Plan) -> Plan:
    found = allocate(question, Options(relative_gap=1e-6), plan_in_force=force)
    assert found.change is not None
    assert found.change.moves
    assert found.unserved
    return found


EVERYTHING = {"shares", "earnings", "bill", "objective", "baselines", "quality shares"}


MUTATIONS: list[tuple[str, str, Mutation, set[str]]] = [
    ("starts", "a start forgotten", lambda d: d["starts"].clear(), set()),
    ("starts", "a start told too cheap", change("starts", 0, "usd_per_hour")(0.1), set()),
    ("starts", "another number", change("starts", 0, "before")(0), set()),
    ("starts", "told twice", lambda d: d["starts"].append(d["starts"][0]), set()),
    ("unserved", "too few requests", change("unserved", 0, "requests_per_hour")(1.0), set()),
    ("unserved", "told too cheap", change("unserved", 0, "usd_per_hour")(0.0), {"earnings"}),
    ("unserved", "told twice", lambda d: d["unserved"].append(d["unserved"][0]), EVERYTHING),
    ("shares", "served and told unserved", change("unserved", 0, "share")(0.05), {"unserved", *EVERYTHING}),
    ("earnings", "nothing told", change("earnings")([]), set()),
    ("earnings", "a larger margin", change("earnings", 0, "margin_usd_per_hour")(99.0), set()),
    ("earnings", "a larger profit", change("profit_usd_per_hour")(99.0), set()),
    ("earnings", "no penalty", change("earnings", 0, "penalty_usd_per_hour")(0.0), set()),
    ("changes", "nothing told", change("change")(None), {"bill", "objective", "baselines", "quality shares"}),
    ("changes", "a move forgotten", lambda d: d["change"]["moves"].pop(), set()),
    ("changes", "a move told too cheap", change("change", "moves", 0, "usd_per_hour")(1.0), set()),
    ("changes", "another number", change("change", "moves", 0, "before")(7), set()),
    ("changes", "too few started", change("change", "started")(0.0), set()),
    ("changes", "a smaller share", change("change", "changed_fraction")(0.1), set()),
    ("changes", "another plan in force", change("change", "plan_in_force")("0" * 64), set()),
    (
        "changes",
        "a commitment invented",
        lambda d: d["change"]["commitments"].append({"offer": "p/r/smallx1", "option": "reserved", "instances": 1}),
        set(),
    ),
]


@pytest.mark.parametrize(("rule", "what", "mutation", "companions"), MUTATIONS, ids=[f"{m[0]}: {m[1]}" for m in MUTATIONS])
def test_rule_refuses(
    question: Instance, plan: Plan, force: Plan, rule: str, what: str, mutation: Mutation, companions: set[str]
) -> None:
    document: dict[str, Any] = plan.model_dump(mode="json")
    mutation(document)
    assert fired(question, document, force) == {rule, *companions}
