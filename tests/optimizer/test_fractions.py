"""Slots of accelerators: by hand, counted exactly beside whole replicas, and the laws of cutting."""

from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.errors import InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import verify_plan
from solvers import SolveOptions, get_backend
from tests.optimizer.tiny import accelerator, instance, model, offer, profile, workload

EXACT = Options(relative_gap=1e-6)
HALF: dict[str, Any] = {
    "name": "2 x half",
    "accelerator": "a",
    "slots": 2,
    "memory_share": 0.5,
    "rate_share": 0.5,
    "interference_factor": 0.9,
    "source": "made up",
}
ACCEPTS = {"allowed_quality": ["measured", "assumed"]}
QUICK = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 50.0}]


def small(**changes: Any) -> Instance:
    """Two models of 4 queries/s each on cards of 10 queries/s held at 50 ms (130 asked), 1 USD/h."""
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0)],
        "profiles": [profile(name, "a", 10.0, latency=QUICK) for name in "mn"],
        "models": [model("m"), model("n")],
        "workloads": [workload("one", 4.0, **ACCEPTS), workload("two", 4.0, model="n", **ACCEPTS)],
        "fractions": [HALF],
    }
    return instance(**{**parts, **changes})


def test_two_small_models_share_one_card(backend: str) -> None:
    """A half does 10 x 0.5 x 0.9 = 4.5/s at 50 / 0.45 = 111 ms: 4/s fit, 1 USD/h instead of 2; 5/s need a whole card each."""
    options = Options(backend=backend, relative_gap=1e-6)
    plan = allocate(small(), options)
    assert plan.usd_per_hour == pytest.approx(1.0)
    assert [(d.pattern, d.slots, d.usd_per_hour, d.quality) for d in plan.deployments] == [("2 x half", 2, 0.5, "assumed")] * 2
    assert plan.rentals[0].accelerators_used == 1
    assert [f.value_ms for w in plan.workloads for f in w.latency] == [pytest.approx(50 / 0.45)] * 2
    assert allocate(small(fractions=[]), options).usd_per_hour == pytest.approx(2.0)
    more = [workload("one", 5.0, **ACCEPTS), workload("two", 5.0, model="n", **ACCEPTS)]
    assert allocate(small(workloads=more), options).usd_per_hour == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"workloads": [workload("one", 4.0, latency=[{**QUICK[0], "at_most_ms": 110.0}], **ACCEPTS)]}, "latency"),
        ({"workloads": [workload("one", 4.0)]}, "quality"),
        ({"accelerators": [accelerator("a", memory_gib=2.0)]}, "memory"),
    ],
    ids=["a stretched time", "an assumed figure", "too little memory"],
)
def test_a_slot_is_refused(change: dict[str, Any], code: str) -> None:
    """At 110 ms a half would need 50 <= 49.5; of 2 GiB a half leaves 0.9 for weights of 1 GiB."""
    table = compile_instance(small(**{"workloads": [workload("one", 4.0, **ACCEPTS)], **change})).candidates
    refused = [r for r in table.rejected if r.configuration.pattern and r.configuration.engine]
    assert [r.code for r in refused] == [code]
    assert len(table) == 1


def test_slots_and_whole_replicas_share_an_instance_exactly(backend: str) -> None:
    """Instances of 4 for 4 USD/h. One takes two cards, three halves another one and a half: 3.5 of 4, one instance."""
    options = Options(backend=backend, relative_gap=1e-6)
    forms = [workload("one", 20.0, **ACCEPTS), *[workload(f"s{n}", 4.0, model="n", **ACCEPTS) for n in range(3)]]
    quota = {"name": "n", "match": {"model": "n"}, "max_accelerators": 1.5}
    plan = allocate(small(offers=[offer("a", 4, 4.0)], workloads=forms, limits=[quota]), options)
    assert plan.usd_per_hour == pytest.approx(4.0)
    assert [(r.instances, r.accelerators_used) for r in plan.rentals] == [(1, 3.5)]
    assert [(x.used, x.binding) for x in plan.limits] == [(1.5, True)]


def test_a_job_pays_its_part_of_a_commitment_that_slots_share(backend: str) -> None:
    """Pairs of cards kept for 3 USD/h, one for the job, which works on one card, one for queries on a half: 6 USD/h, 2 to 1."""
    job = {"name": "job", "kind": "training", "model": "n", "gangs": [1], "precisions": [{"precision": "fp16"}]}
    job |= {"work": {"accelerator_hours_on": {"a": 100.0}, "precision": "fp16", "quality": "measured", "source": "made up"}}
    job |= {
        "memory": {"parameters_b": 1.0},
        "deadline_hours": 700.0,
        "scaling": {"kept_per_doubling": 0.8, "quality": "measured"},
    }
    kept = offer("a", 2, 3.0)
    kept["prices"][0]["option"] = "reserved"
    plan = allocate(
        small(offers=[kept], workloads=[workload("one", 4.0, **ACCEPTS), job]), Options(backend=backend, relative_gap=1e-6)
    )
    assert [(r.instances, r.accelerators_used) for r in plan.rentals] == [(2, 1.5)]
    assert (plan.training[0].usd_per_hour, plan.deployments[0].usd_per_hour) == (pytest.approx(4.0), pytest.approx(2.0))


def drawn(seed: int, **changes: Any) -> Instance:
    """Three small workloads of two models on instances of 1 and 2 cards, one kind of card cut in four."""
    rng = np.random.default_rng(9100 + seed)
    quarter = {**HALF, "name": "quarter", "slots": 4, "memory_share": 0.25, "rate_share": 0.25, "interference_factor": 0.8}
    rates = rng.integers(1, 14, size=3) / 2
    forms = [workload(f"w{n}", float(rate), model="mn"[n % 2], **ACCEPTS) for n, rate in enumerate(rates)]
    for entry in forms:
        entry["latency"][0]["at_most_ms"] = float(rng.choice([130.0, 300.0]))
    price = float(rng.integers(3, 9)) / 4
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 1, price * 1.25), offer("a", 2, price * 2), offer("b", 1, float(rng.integers(2, 8)) / 4)],
        "profiles": [profile(name, card, rate, latency=QUICK) for name in "mn" for card, rate in (("a", 10.0), ("b", 6.0))],
        "workloads": forms,
        "fractions": [HALF if rng.random() < 0.5 else quarter],
    }
    return small(**{**parts, **changes})


def least_cost(question: Instance) -> float:
    """Try up to two whole a, two whole b and eight slots a workload; count the cards cut and then the instances they need."""
    (cut,) = question.fractions
    speed = cut.rate_share * cut.interference_factor
    choices = []
    for w in question.workloads:
        rate, fits = w.classes[0].rate.at("always"), w.latency[0].at_most_ms * speed >= 50.0
        able = [
            x for x in product(range(3), range(3), range(9)) if 10 * x[0] + 6 * x[1] + 10 * speed * fits * x[2] >= rate - 1e-9
        ]
        choices.append([x for x in able if not any(y != x and all(a <= b for a, b in zip(y, x, strict=True)) for y in able)])
    one, two, b = (o.prices[0].usd_per_hour for o in sorted(question.catalogs.offers, key=lambda o: o.label))
    best = float("inf")
    for chosen in product(*choices):
        whole, others, slots = (sum(x[n] for x in chosen) for n in range(3))
        cards = whole + -(-slots // cut.slots)
        best = min([best, *(one * (cards - 2 * n if cards > 2 * n else 0) + two * n + b * others for n in range(cards // 2 + 2))])
    return best


def test_backend_agrees_with_brute_force(backend: str) -> None:
    cut = 0
    for seed in range(25):
        plan = allocate(drawn(seed), Options(backend=backend, relative_gap=1e-6))
        assert plan.usd_per_hour == pytest.approx(least_cost(drawn(seed)), abs=1e-6), seed
        cut += any(d.pattern for d in plan.deployments)
    assert cut >= 8


def test_worse_neighbours_never_help_and_nothing_dominated_is_missed() -> None:
    solver, rises = get_backend("ortools"), 0
    for seed in range(12):
        question, costs = drawn(seed), []
        for factor in (1.0, 0.9, 0.6, 0.3):
            cut = question.fractions[0].model_copy(update={"interference_factor": factor})
            costs.append(allocate(question.replace(fractions=[cut]), EXACT).usd_per_hour)
        costs.append(allocate(question.replace(fractions=[]), EXACT).usd_per_hour)
        assert all(a <= b + 1e-5 for a, b in pairwise(costs)), (seed, costs)
        rises += costs[0] < costs[-1]
        whole = solver.solve(compile_instance(question, dominance=False).model, SolveOptions(relative_gap=0.0)).objective
        assert whole == pytest.approx(allocate(question, EXACT).usd_per_hour, abs=1e-5)
    assert rises >= 3


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ([{**HALF, "accelerator": "b"}], "/fractions/0/accelerator"),
        ([HALF, {**HALF, "name": "other"}], "/fractions/1/accelerator"),
        ([{**HALF, "slots": 4}], "/fractions/0"),
    ],
)
def test_patterns_that_cannot_be_are_refused(change: list[dict[str, Any]], place: str) -> None:
    with pytest.raises((InvalidInputError, ValueError)) as caught:
        small(fractions=change)
    assert place.rpartition("/")[2] in str(caught.value) or place in [p.pointer for p in getattr(caught.value, "problems", [])]


@pytest.mark.parametrize(
    ("rules", "changes"),
    [
        ({"configuration", "latency"}, {"pattern": None}),
        ({"instances", "rent", "configuration", "latency"}, {"slots": 4}),
        ({"configuration", "latency"}, {"pattern": "3 x third"}),
    ],
)
def test_verify_refuses_another_cut(rules: set[str], changes: dict[str, Any]) -> None:
    document = allocate(small(), EXACT).model_dump(mode="json")
    document["deployments"][0].update(changes)
    failures = verify_plan(small(), Plan.model_validate_json(json.dumps(document))).failures
    assert {failure.partition(":")[0] for failure in failures} == rules, failures


def test_a_plan_with_slots_can_be_started_from() -> None:
    plan = allocate(small(), EXACT)
    assert allocate(small(), EXACT, plan_in_force=plan).deployments == plan.deployments
