"""Mutation tests: for every rule a good plan is broken in one way, and that rule must refuse it.

Companions are the other rules that the same break sets off; they are listed, so that a rule that stops firing is noticed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import RULES, verify_plan
from tests.optimizer.test_training import MUTATIONS as TRAINING_MUTATIONS
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, variant, workload

Mutation = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def question() -> Instance:
    """Two workloads, shared and whole instances, spot, both kinds of floor, two classes, a binding limit."""
    models = [model("m"), model("n", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98))]
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 4, 8.0), offer("b", 1, 3.0, spot=1.0), offer("b", 2, 5.0, region="s")],
        "profiles": [
            profile("m", "a", 10.0),
            profile("m", "b", 8.0),
            profile("n", "a", 6.0),
            profile("n", "b", 20.0, precision="fp8"),
        ],
        "models": models,
    }
    averaged = {**FLOOR, "floor_fraction_of_baseline": 0.99, "aggregation": "traffic_weighted"}
    workloads = [
        workload("one", {"q": 20.0, "s": 15.0}, max_spot_fraction=0.5, accuracy=FLOOR, team="t", origins={"eu": 0.5, "p/r": 0.5}),
        workload("two", 10.0, model="n", accuracy=averaged, regions_allowed=["r"]),
    ]
    workloads[0]["classes"][1]["gib_per_request"] = 2.0**-20
    limits = [
        {"name": "a quota", "match": {"accelerator": "a"}, "max_accelerators": 4, "reason": "made up"},
        {"name": "b machines", "match": {"accelerator": "b"}, "max_instances": 9, "reason": "made up"},
    ]
    charges = {
        "people": [{"name": "a engineers", "when": {"accelerator": "a"}, "people": 0.01, "usd_per_person_hour": 90.0}],
        "licences": [
            {"name": "suite", "kind": "unit", "when": {"accelerator": "b"}, "usd_per_accelerator_month": 7.3},
            {"name": "console", "kind": "flat", "usd_per_month": 73.0},
        ],
        "price_rules": [{"name": "support", "match": {"accelerator": "b"}, "fee_usd_per_hour": 0.25}],
        "storage": [{"usd_per_gib_month": 7.3, "usd_per_gib_fetched": 1.0}],
        "policy": {"utilization_cap": 0.8, "weight_versions_per_month": 2.0},
        "routes": [{"usd_per_gib": 0.5, "to": "eu"}, {"usd_per_gib": 0.25}],
        "interruptions": [{"name": "spot", "when": {"option": "spot"}, "per_hour": 0.01, "usd_each": 2.0}],
    }
    return instance(**parts, workloads=workloads, limits=limits, **charges)


@pytest.fixture(scope="module")
def plan(question: Instance) -> Plan:
    return allocate(question, Options(relative_gap=1e-6))


def test_the_good_plan_has_all_that_mutations_need(plan: Plan) -> None:
    assert plan.verification.passed
    assert {d.option for d in plan.deployments} == {"on_demand", "spot"}
    assert any(r.accelerators_per_instance > 1 for r in plan.rentals)
    assert len({r.pool for r in plan.routing if r.workload == "one"}) > 1
    assert any(x.binding for x in plan.limits)
    assert plan.bound_usd is not None


def change(*path: Any) -> Callable[[Any], Mutation]:
    """Give a mutation that sets the value at a path, or applies a function to it."""

    def to(value: Any) -> Mutation:
        def mutate(document: dict[str, Any]) -> None:
            here = document
            for step in path[:-1]:
                here = here[step]
            here[path[-1]] = value(here[path[-1]]) if callable(value) else value

        return mutate

    return to


def everywhere(listed: str, field: str, value: Any, **where: Any) -> Mutation:
    """Set a field of every entry of a list that fits."""

    def mutate(document: dict[str, Any]) -> None:
        hit = [entry for entry in document[listed] if all(entry[k] == v for k, v in where.items())]
        assert hit, "the mutation touches nothing"
        for entry in hit:
            entry[field] = value(entry[field]) if callable(value) else value

    return mutate


def all_of(*mutations: Mutation) -> Mutation:
    def mutate(document: dict[str, Any]) -> None:
        for mutation in mutations:
            mutation(document)

    return mutate


def first(document: dict[str, Any], listed: str, **where: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(e for e in document[listed] if all(e[k] == v for k, v in where.items()))
    return found


def drop_replica(document: dict[str, Any]) -> None:
    entry = max(document["deployments"], key=lambda d: d["replicas"])
    entry["replicas"] -= 1


def all_spot(document: dict[str, Any]) -> None:
    first(document, "deployments", option="on_demand", accelerator="b")["option"] = "spot"


def reroute(document: dict[str, Any]) -> None:
    """Send all of one class to the pool that serves least of it."""
    routes = [r for r in document["routing"] if r["workload"] == "one" and r["request_class"] == "q"]
    routes[0]["share"] = 1.0
    document["routing"] = [r for r in document["routing"] if r not in routes[1:]]


def more_instances(document: dict[str, Any]) -> None:
    first(document, "rentals", accelerator="b")["instances"] += 1


def swap_shares(document: dict[str, Any]) -> None:
    """Trade the averaged workload's shares between its two pools, so that the poorer variant serves more."""
    routes = [r for r in document["routing"] if r["workload"] == "two"]
    assert len(routes) == 2
    routes[0]["share"], routes[1]["share"] = routes[1]["share"], routes[0]["share"]


def storage_forgotten(document: dict[str, Any]) -> None:
    document["switches"] = [s for s in document["switches"] if s["head"] != "storage"]


BILLED = {"bill", "objective", "baselines", "quality shares"}
"""What fires with a cost that is no longer what the plan says."""

MUTATIONS: list[tuple[str, str, Mutation, set[str]]] = [
    ("instance", "another hash", change("instance", "hash")("0" * 64), set()),
    ("instance", "another name", change("instance", "name")("else"), set()),
    ("names", "an unknown offer", change("deployments", 0, "offer")("p/r/none"), {"instances", "rent", "switches"}),
    (
        "names",
        "an unknown workload",
        change("deployments", 0, "workloads")(["ghost"]),
        {"latency", "shares", "switches", "workload figures"},
    ),
    ("names", "another region", change("deployments", 0, "region")("s"), {"transfer", *BILLED}),
    (
        "names",
        "another model",
        everywhere("deployments", "model", "n", workloads=["one"]),
        {"configuration", "latency", "switches", *BILLED},
    ),
    (
        "names",
        "an unknown period",
        change("deployments", 0, "period")("night"),
        {"instances", "rent", "capacity", "workload figures", "quality shares"},
    ),
    ("complete", "a workload left out", lambda d: d["workloads"].pop(), set()),
    ("complete", "a workload twice", lambda d: d["workloads"].append(copy.deepcopy(d["workloads"][0])), set()),
    ("configuration", "another engine", everywhere("deployments", "engine", "other"), {"latency"}),
    ("configuration", "another basis", change("deployments", 0, "basis")("hearsay"), set()),
    (
        "configuration",
        "too many accelerators",
        everywhere("deployments", "accelerators_per_replica", 2, workloads=["two"]),
        {"instances", "rent", "latency"},
    ),
    ("quality", "better than it is", everywhere("deployments", "quality", "assumed"), {"quality shares"}),
    ("accuracy", "the poorer variant serves more", swap_shares, {"workload figures"}),
    ("accuracy", "accuracy told too high", change("workloads", 1, "accuracy_kept")(1.0), set()),
    ("accuracy", "another floor told", change("workloads", 0, "accuracy_floor")(0.5), set()),
    ("price", "a cheaper price", everywhere("rentals", "usd_per_instance_hour", lambda x: x / 2), {"rent"}),
    ("price", "another list price", change("rentals", 0, "list_usd_per_instance_hour")(2.0), set()),
    ("price", "a rule left out", everywhere("rentals", "price_rules", [], accelerator="b"), set()),
    ("price", "a fresher price", change("rentals", 0, "price_as_of")("2026-11-21"), set()),
    ("spot", "all on spot", all_spot, {"complete", "instances", "rent"}),
    ("shares", "a share too small", change("routing", 0, "share")(lambda x: x * 0.999), {"workload figures"}),
    ("shares", "off by a trillionth", change("routing", 0, "share")(lambda x: round(x - 1e-12, 12)), set()),
    (
        "shares",
        "to a pool without replicas",
        change("routing", 0, "pool")("nowhere"),
        {"latency", "workload figures"},
    ),
    ("transfer", "answers sent for nothing", everywhere("routing", "transfer_usd_per_hour", 0.0), set()),
    ("capacity", "one replica fewer", drop_replica, {"instances", "rent", "workload figures"}),
    ("capacity", "a class on one pool", reroute, {"workload figures", "latency", "switches"}),
    (
        "instances",
        "one instance too many",
        more_instances,
        {"limits", "rent", "bill", "objective", "baselines", "quality shares"},
    ),
    ("instances", "accelerators used miscounted", change("rentals", 0, "accelerators_used")(1), set()),
    ("limits", "use told too low", change("limits", 1, "used")(0.0), set()),
    ("limits", "told to bind with room", change("limits", 1, "binding")(True), set()),
    ("limits", "a limit left out", lambda d: d["limits"].pop(), set()),
    ("rent", "a rental undercharged", change("rentals", 0, "usd_per_hour")(lambda x: x * 0.99), set()),
    (
        "rent",
        "a share overcharged",
        change("deployments", 0, "usd_per_hour")(lambda x: x * 1.01),
        {"quality shares", "workload figures"},
    ),
    ("switches", "weights kept for nothing", storage_forgotten, {"quality shares"}),
    ("switches", "people forgotten", lambda d: d["switches"].pop(), {"quality shares"}),
    ("switches", "a licence told too cheap", change("switches", 0, "usd_per_hour")(0.01), {"quality shares"}),
    ("switches", "a pool forgotten", change("switches", 0, "pools")([]), set()),
    ("bill", "a head hidden", change("costs", "compute", "usd_per_hour")(lambda x: x - 0.01), set()),
    ("bill", "a total too low", change("usd_per_hour")(lambda x: x - 1e-6), set()),
    ("bill", "a month of 720 hours", change("usd_per_month")(lambda x: x * 720 / 730), set()),
    ("bill", "a head left out", lambda d: d["costs"].pop("power"), set()),
    ("energy", "an unknown draw told as none", change("deployments", 0, "kwh_per_hour")(0.0), set()),
    ("energy", "more known than is", change("energy", "carbon_known_fraction")(1.0), set()),
    ("objective", "an objective too low", change("objective_usd")(lambda x: x * 0.999), {"proof"}),
    ("proof", "a bound above the cost", change("bound_usd")(lambda x: x * 1.1), set()),
    ("proof", "a gap told too small", all_of(change("bound_usd")(lambda x: x * 0.9)), set()),
    ("proof", "optimal without proof", all_of(change("bound_usd")(None), change("relative_gap")(None)), set()),
    ("proof", "feasible though proved", change("status")("feasible"), set()),
    ("workload figures", "utilization told too low", change("workloads", 0, "utilization")(0.1), set()),
    ("workload figures", "cost told too low", change("workloads", 0, "usd_per_hour")(lambda x: x / 2), set()),
    ("workload figures", "a limit that does not bind", change("workloads", 0, "binding_limits")(["b machines"]), set()),
    ("latency", "a figure told too low", change("workloads", 0, "latency", 0, "value_ms")(1.0), set()),
    ("latency", "a figure left out", lambda d: d["workloads"][0]["latency"].pop(), set()),
    ("baselines", "a dearer baseline", change("baselines", "good_practice", "usd_per_hour")(lambda x: x * 2), set()),
    ("baselines", "a larger saving", change("baselines", "good_practice", "saving_fraction")(0.99), set()),
    ("quality shares", "all measured", change("quality_shares", "measured")(0.5), set()),
    ("quality shares", "a fresher oldest price", change("oldest_price")("2026-11-21"), set()),
    ("candidates", "one candidate lost", change("candidates", "kept")(lambda x: x - 1), set()),
]


def fired(question: Instance, document: dict[str, Any], force: Plan | None = None) -> set[str]:
    found = verify_plan(question, Plan.model_validate_json(_json(document)), force)
    return {failure.partition(":")[0] for failure in found.failures}


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document)


@pytest.mark.parametrize(("rule", "what", "mutation", "companions"), MUTATIONS, ids=[f"{m[0]}: {m[1]}" for m in MUTATIONS])
def test_rule_refuses(question: Instance, plan: Plan, rule: str, what: str, mutation: Mutation, companions: set[str]) -> None:
    document = plan.model_dump(mode="json")
    mutation(document)
    assert fired(question, document) == {rule, *companions}


ELSEWHERE: list[tuple[str, str, Mutation, set[str]]] = [
    ("region", "the region is no longer allowed", lambda q: q["workloads"][1].update(regions_allowed=["s"]), set()),
    (
        "transfer",
        "a class may not be there",
        lambda q: q["workloads"][0]["classes"][1].update(regions_allowed=["s"]),
        BILLED,
    ),
    ("transfer", "the route has no price", lambda q: q.update(routes=[]), BILLED),
    ("switches", "weights have no price here", lambda q: q["storage"][0].update(region="s"), BILLED),
    ("accuracy", "the floor rose", lambda q: q["workloads"][0]["accuracy"].update(metric="em"), set()),
    (
        "configuration",
        "measured figures are not allowed",
        lambda q: q["workloads"][0].update(allowed_quality=["assumed"]),
        {"latency"},
    ),
    ("configuration", "the target is tighter", lambda q: q["workloads"][0]["latency"][0].update(at_most_ms=10.0), {"latency"}),
    ("price", "the price is stale", lambda q: q["policy"].update(max_price_age_days=1.0), set()),
    ("capacity", "demand doubled", lambda q: q["workloads"][1]["classes"][0]["rate"].update(value=20.0), {"workload figures"}),
    ("capacity", "the cap fell", lambda q: q["policy"].update(utilization_cap=0.4), {"workload figures"}),
    ("limits", "the quota fell", lambda q: q["limits"][0].update(max_accelerators=1.0), set()),
    ("spot", "spot is no longer allowed", lambda q: q["workloads"][0].update(max_spot_fraction=0.1), set()),
]


@pytest.mark.parametrize(("rule", "what", "mutation", "companions"), ELSEWHERE, ids=[f"{m[0]}: {m[1]}" for m in ELSEWHERE])
def test_rule_refuses_a_plan_of_an_easier_question(
    question: Instance, plan: Plan, rule: str, what: str, mutation: Mutation, companions: set[str]
) -> None:
    """The plan stays, and is told to be of an instance that asks for more."""
    changed = question.model_dump(mode="json")
    mutation(changed)
    other = Instance.model_validate_json(_json(changed))
    document = plan.model_dump(mode="json")
    document["instance"]["hash"] = other.hash
    assert fired(other, document) == {rule, *companions}


def test_every_rule_has_a_mutation() -> None:
    from tests.optimizer.compile.test_queues import RULE as QUEUE
    from tests.optimizer.compile.test_redundancy import RULE as REDUNDANCY
    from tests.optimizer.test_verify_money import MUTATIONS as MONEY

    assert {m[0] for m in MUTATIONS + TRAINING_MUTATIONS + ELSEWHERE + MONEY} | {QUEUE, REDUNDANCY} == set(RULES)
