"""Mutation tests of the rules about starts, as in ``test_verify``, on a question with two periods."""

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
    """Four small replicas by day and one by night, started for 6 USD each."""
    served = workload("w", 20.0)
    served["classes"][0]["rate"]["value"] = {"day": 20.0, "night": 5.0}
    start = {"name": "start", "when": {"accelerator": "small"}, "usd_per_start": 6.0, "quality": "measured"}
    return instance(**two_types(0.0, workloads=[served]), periods=HALVES, starts=[start])


@pytest.fixture(scope="module")
def plan(question: Instance) -> Plan:
    return allocate(question, Options(relative_gap=1e-6))


MUTATIONS: list[tuple[str, str, Mutation, set[str]]] = [
    ("starts", "a start forgotten", lambda d: d["starts"].clear(), set()),
    ("starts", "a start told too cheap", change("starts", 0, "usd_per_hour")(0.1), set()),
    ("starts", "another number", change("starts", 0, "before")(0), set()),
    ("starts", "told twice", lambda d: d["starts"].append(d["starts"][0]), set()),
]


@pytest.mark.parametrize(("rule", "what", "mutation", "companions"), MUTATIONS, ids=[f"{m[0]}: {m[1]}" for m in MUTATIONS])
def test_rule_refuses(question: Instance, plan: Plan, rule: str, what: str, mutation: Mutation, companions: set[str]) -> None:
    document: dict[str, Any] = plan.model_dump(mode="json")
    mutation(document)
    assert fired(question, document) == {rule, *companions}
