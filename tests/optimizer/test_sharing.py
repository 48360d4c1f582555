"""Workloads of one model behind one queue: by hand, against brute force, and the laws of sharing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from optimizer.compile import compile_instance
from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import verify_plan
from solvers import SolveOptions, get_backend
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, variant, workload

COUNT = int(os.environ.get("ALLOCATE_SHARED_SEEDS", "30"))
EXACT = Options(relative_gap=1e-6)
BOTH = {"name": "both", "workloads": ["two", "one"]}


def target(ms: float, statistic: str = "p99") -> list[dict[str, Any]]:
    return [{"quantity": "e2e", "statistic": statistic, "at_most_ms": ms}]


def quick(rate: float, ms: float, card: str = "a") -> dict[str, Any]:
    """Give a rate at which a tighter bound was held, by an engine of its own."""
    return profile("m", card, rate, engine="quick", latency=target(ms))


def two(**changes: Any) -> Instance:
    """Two workloads of 4 and 5 queries/s on cards that carry 10 queries/s for 1 USD/h."""
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0)],
        "profiles": [profile("m", "a", 10.0)],
        "workloads": [workload("one", 4.0, team="t"), workload("two", 5.0, team="t")],
    }
    return instance(**{**parts, **changes})


def test_two_half_empty_pools_become_one(backend: str) -> None:
    """Apart each needs a card: 2 USD/h. Together they are 0.9 of one: 1 USD/h, of which 4/9 and 5/9 are charged."""
    options = Options(backend=backend, relative_gap=1e-6)
    assert allocate(two(), options).usd_per_hour == pytest.approx(2.0)
    plan = allocate(two(shared_pools=[BOTH]), options)
    assert plan.usd_per_hour == pytest.approx(1.0)
    assert [(d.shared_pool, d.workloads, d.replicas) for d in plan.deployments] == [("both", ("one", "two"), 1)]
    assert [(w.usd_per_hour, w.utilization) for w in plan.workloads] == [(pytest.approx(4 / 9), 0.9), (pytest.approx(5 / 9), 0.9)]


def test_a_shared_queue_keeps_the_strictest_target_of_all(backend: str) -> None:
    """10/s at 130 ms, 6/s at 60 ms; one asks 130, two asks 60. Shared, 9/s need 1.5 replicas at 60 ms: no better than apart.

    With 1/s of one, 6/6 fill one card, against two apart. With 11/s, ten stay on a card of their own and one joins two: 2 cards
    against 3.
    """
    profiles = [profile("m", "a", 10.0), quick(6.0, 60.0)]
    for one, apart, together in ((4.0, 2.0, 2.0), (11.0, 3.0, 2.0), (1.0, 2.0, 1.0)):
        workloads = [workload("one", one), workload("two", 5.0, latency=target(60.0))]
        parts: dict[str, Any] = {"profiles": profiles, "workloads": workloads}
        found = [allocate(two(**parts, shared_pools=s), Options(backend=backend)) for s in ([], [BOTH])]
        assert [p.usd_per_hour for p in found] == [apart, together]
    shared = [f for w in found[1].workloads for f in w.latency]
    assert [(f.target_ms, f.value_ms) for f in shared] == [(130.0, 60.0), (60.0, 60.0)]


def test_adapters_take_memory_and_rate() -> None:
    """A card of 80 GiB has 72 usable and 71 beside the weights; 7.1 GiB of adapters take a tenth of the rate, the factor half.

    10/s held at 60 ms meet 130 ms at half the speed: 10 x 0.5 x 0.9 = 4.5/s, so 9/s need 2 replicas; apart 1 + 1 as well.
    At 60 ms asked nothing is left: the rate was held at 60 ms and not at 30.
    """
    adapters = {**BOTH, "adapter_memory_gib": {"one": 7.0, "two": 0.1}, "rate_factor": 0.5, "source": "made up"}
    accepts = {"allowed_quality": ["measured", "assumed"]}
    for ms, loads in ((130.0, [4.0 / 4.5, 5.0 / 4.5]), (60.0, None)):
        asked = [workload(n, r, latency=target(ms), **accepts) for n, r in (("one", 4.0), ("two", 5.0))]
        table = compile_instance(two(profiles=[quick(10.0, 60.0)], workloads=asked, shared_pools=[adapters])).candidates
        mine = table.load[table.workload == 2]
        assert mine.tolist() == ([] if loads is None else [pytest.approx(loads)])
    strict = [workload("one", 4.0), workload("two", 5.0)]
    table = compile_instance(two(profiles=[quick(10.0, 60.0)], workloads=strict, shared_pools=[adapters])).candidates
    assert [r.code for r in table.rejected if r.workload == "both" and r.configuration.engine] == ["quality"]


def test_members_keep_their_own_floors_regions_and_spot(backend: str) -> None:
    """fp16 does 10/s, fp8 15/s and keeps 0.98. Two (20/s) asks 0.99 on average, so that half may be on fp8; one asks nothing.

    Two takes a card of each; its fp8 card has room for 5/s of one: 2 USD/h, against 3 apart. With 10/s of one there is no room,
    and spot (0.1 USD/h) or a card abroad (0.2) are one's alone: 2.1 USD/h.
    """
    forms = model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98))
    asked = {**FLOOR, "floor_fraction_of_baseline": 0.99, "aggregation": "traffic_weighted"}
    parts: dict[str, Any] = {
        "models": [forms],
        "profiles": [profile("m", "a", 10.0), profile("m", "a", 15.0, precision="fp8")],
        "workloads": [workload("one", 5.0), workload("two", 20.0, accuracy=asked, regions_allowed=["r"])],
    }
    options = Options(backend=backend, relative_gap=1e-6)
    apart, together = allocate(two(**parts), options), allocate(two(**parts, shared_pools=[BOTH]), options)
    assert (apart.usd_per_hour, together.usd_per_hour) == (pytest.approx(3.0), pytest.approx(2.0))
    assert [w.accuracy_kept for w in together.workloads] == [None, pytest.approx(0.99)]
    parts["workloads"][0] = workload("one", 10.0, max_spot_fraction=1.0)
    parts["offers"] = [offer("a", 1, 1.0, spot=0.1), offer("a", 1, 0.2, region="s")]
    plan = allocate(two(**parts, shared_pools=[BOTH]), options)
    assert plan.usd_per_hour == pytest.approx(0.1 + 2.0)
    assert {(d.option, d.region) for d in plan.deployments if d.shared_pool} <= {("on_demand", "r")}


def test_the_team_that_pays_is_limited() -> None:
    """Team u may have no card, so that two is served only where t pays, from t's budget of 1 USD/h, all of which it uses.

    A limit that names two counts the pool whole, whoever pays.
    """
    workloads = [workload("one", 4.0, team="t"), workload("two", 5.0, team="u")]
    quota = {"name": "u", "match": {"team": "u"}, "max_accelerators": 0}
    budget = {"name": "t", "match": {"team": "t"}, "max_usd_per_month": 730.0}
    pools = [[{**BOTH, "pays": team}] for team in "tu"]
    plan = allocate(two(workloads=workloads, limits=[quota, budget], shared_pools=pools[0]), EXACT)
    assert plan.usd_per_hour == pytest.approx(1.0)
    assert [(x.name, x.used) for x in plan.limits] == [("u", 0), ("t", 730.0)]
    named = {"name": "two", "match": {"workload": "two"}, "max_accelerators": 0}
    for limits, shared in (([quota], pools[1]), ([named], pools[0]), ([quota, {**budget, "max_usd_per_month": 700.0}], pools[0])):
        with pytest.raises(InfeasibleError):
            allocate(two(workloads=workloads, limits=limits, shared_pools=shared), EXACT)


@pytest.mark.parametrize(
    ("pool", "place"),
    [
        ({"workloads": ["one", "none"]}, "/shared_pools/0/workloads/1"),
        ({"workloads": ["one", "one"]}, "/shared_pools/0/workloads/1"),
        ({"name": "one"}, "/shared_pools/0"),
        ({"workloads": ["one", "other"]}, "/shared_pools/0/workloads"),
        ({"workloads": ["one", "abroad"]}, "/shared_pools/0/pays"),
        ({"pays": "nobody"}, "/shared_pools/0/pays"),
        ({"adapter_memory_gib": {"three": 1.0}}, "/shared_pools/0/adapter_memory_gib/three"),
    ],
)
def test_pools_that_cannot_be_shared_are_refused(pool: dict[str, Any], place: str) -> None:
    workloads = [workload(n, 4.0, team="t") for n in ("one", "two")]
    workloads += [workload("other", 4.0, model="n", team="t"), workload("abroad", 4.0, team="u")]
    with pytest.raises(InvalidInputError) as caught:
        two(workloads=workloads, models=[model("m"), model("n")], shared_pools=[{**BOTH, **pool}])
    assert place in [p.pointer for p in caught.value.problems]


def drawn(seed: int) -> Instance:
    """Two workloads with targets of their own on two cards and two engines, a limit, and a shared pool that may cost rate."""
    rng = np.random.default_rng(7000 + seed)
    rates = rng.integers(5, 12, size=4).astype(float).tolist()
    profiles = [profile("m", "a", rates[0]), profile("m", "b", rates[1]), quick(rates[2] / 2, 60.0), quick(rates[3], 60.0, "b")]
    accepts = {"allowed_quality": ["measured", "assumed"]}
    asked = [(name, float(rng.integers(1, 9)), float(rng.choice([60.0, 130.0]))) for name in ("one", "two")]
    costs: dict[str, Any] = {"rate_factor": float(rng.choice([0.9, 0.45]))} if rng.random() < 0.5 else {}
    if costs and rng.random() < 0.5:
        costs["adapter_memory_gib"] = {"one": 7.1}
    return two(
        accelerators=[accelerator("a"), accelerator("b")],
        offers=[offer("a", 1, float(rng.integers(4, 12)) / 4), offer("b", 1, float(rng.integers(4, 12)) / 4)],
        profiles=profiles,
        workloads=[workload(name, rate, latency=target(ms), **accepts) for name, rate, ms in asked],
        limits=[{"name": "a", "match": {"accelerator": "a"}, "max_accelerators": int(rng.integers(0, 3))}]
        * int(rng.random() < 0.5),
        shared_pools=[{**BOTH, **costs}],
    )


def least_cost(question: Instance) -> float:
    """Try up to three replicas of every pool, cheapest first; a linear program says whether they carry all that is asked."""
    (pool,), most = question.shared_pools, {x.match.accelerator: x.max_accelerators for x in question.limits}
    price = {o.accelerator: o.prices[0].usd_per_hour for o in question.catalogs.offers}
    room = 1.0 - sum(pool.adapter_memory_gib.values()) / 71.0
    pools = []
    for owners in ((0,), (1,), (0, 1)):
        speed = pool.rate_factor if len(owners) == 2 else 1.0
        ms = min(question.workloads[w].latency[0].at_most_ms for w in owners)
        profiles = [
            p for p in question.catalogs.profiles if p.latency[0].at_most_ms <= ms * speed and most.get(p.accelerator) != 0
        ]
        pools += [(owners, p.accelerator, p.load.value * speed * (room if len(owners) == 2 else 1.0)) for p in profiles]
    prices = np.array([price[card] for _, card, _ in pools])
    counts = np.array(list(product(range(4), repeat=len(pools)))) if len(pools) <= 6 else _few(len(pools))
    for card, allowed in most.items():
        counts = counts[counts[:, [c == card for _, c, _ in pools]].sum(axis=1) <= allowed]
    asked = [c.rate.at("always") for w in question.workloads for c in w.classes]
    for count in counts[np.argsort(counts @ prices, kind="stable")]:
        if _carries(pools, count, asked):
            return float(count @ prices)
    return float("inf")


def _few(width: int, most: int = 4) -> np.ndarray[Any, Any]:
    """Give counts of at most ``most`` replicas in all, which carry any two workloads drawn."""
    found: set[tuple[int, ...]] = {(0,) * width}
    for _ in range(most):
        found |= {(*c[:at], c[at] + 1, *c[at + 1 :]) for c in found for at in range(width)}
    return np.array(sorted(found))


def _carries(pools: list[Any], count: np.ndarray[Any, Any], asked: list[float]) -> bool:
    """Say whether shares of both workloads exist that no pool is overloaded by."""
    if any(sum(n * mu for (o, _, mu), n in zip(pools, count, strict=True) if w in o) < asked[w] - 1e-9 for w in (0, 1)):
        return False
    columns = [(p, w) for p, (owners, _, _) in enumerate(pools) for w in owners]
    loads = np.array([[asked[w] / pools[p][2] if p == row else 0.0 for p, w in columns] for row in range(len(pools))])
    shares = np.array([[1.0 if w == row else 0.0 for _, w in columns] for row in (0, 1)])
    found = linprog(np.zeros(len(columns)), A_ub=loads, b_ub=count + 1e-9, A_eq=shares, b_eq=np.ones(2))
    return bool(found.status == 0)


def test_backend_agrees_with_brute_force(backend: str) -> None:
    """The pool that is shared is used in a third and helps in a fifth."""
    used = helps = 0
    for seed in range(COUNT):
        question = drawn(seed)
        plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
        assert plan.usd_per_hour == pytest.approx(least_cost(question), abs=1e-6), seed
        used += any(d.shared_pool for d in plan.deployments)
        helps += plan.usd_per_hour < allocate(question.replace(shared_pools=()), EXACT).usd_per_hour - 1e-6
    assert used >= COUNT / 3
    assert helps >= COUNT / 5


def test_leaving_out_what_is_dominated_moves_no_optimum() -> None:
    solver, smaller = get_backend("ortools"), 0
    for seed in range(COUNT):
        whole, reduced = (compile_instance(drawn(seed), dominance=d).model for d in (False, True))
        smaller += reduced.n_columns < whole.n_columns
        costs = [solver.solve(m, SolveOptions(relative_gap=0.0)).objective for m in (whole, reduced)]
        assert costs[0] == pytest.approx(costs[1], abs=1e-6), seed
    assert smaller >= COUNT / 2


def test_sharing_never_costs_and_what_it_costs_never_helps() -> None:
    """No pool allowed >= a pool that costs half its rate >= one that costs nothing."""
    grows = 0
    for seed in range(COUNT // 2):
        question = drawn(seed)
        choices = [(), ({**BOTH, "rate_factor": 0.5},), ({**BOTH, "rate_factor": 0.95},), (BOTH,)]
        costs = [allocate(question.replace(shared_pools=list(c)), EXACT).usd_per_hour for c in choices]
        assert all(a >= b - 1e-5 for a, b in pairwise(costs)), (seed, costs)
        grows += costs[0] > costs[-1]
    assert grows >= COUNT / 8


def test_a_plan_with_a_shared_pool_can_be_started_from() -> None:
    question = two(shared_pools=[BOTH])
    plan = allocate(question, EXACT)
    assert allocate(question, EXACT, plan_in_force=plan).deployments == plan.deployments


Change = Callable[[dict[str, Any]], Any]


def one(listed: str, **changes: Any) -> Change:
    return lambda document: document[listed][0].update(changes)


@pytest.mark.parametrize(
    ("rules", "plan_change", "question_change"),
    [
        ({"names"}, one("deployments", workloads=["two", "one"]), None),
        ({"names", "configuration", "latency", "workload figures"}, one("deployments", shared_pool=None), None),
        ({"workload figures"}, one("workloads", usd_per_hour=0.5), None),
        ({"region"}, None, one("workloads", regions_allowed=["s"])),
        ({"spot"}, None, one("workloads", max_spot_fraction=0.5)),
        ({"accuracy"}, None, one("workloads", accuracy={**FLOOR, "floor_fraction_of_baseline": 1.0})),
        ({"configuration", "latency", "workload figures"}, None, one("shared_pools", rate_factor=0.8)),
        ({"capacity", "workload figures"}, None, one("workloads", classes=workload("one", 6.0)["classes"])),
        ({"limits"}, None, one("limits", match={"workload": ["two"]}, max_accelerators=0)),
    ],
)
def test_verify_refuses(rules: set[str], plan_change: Change | None, question_change: Change | None) -> None:
    """Each member's own demands on a shared pool are checked, and whom the plan says it serves and charges."""
    forms = model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.995))
    workloads = [workload(n, r, team="t", max_spot_fraction=1.0, accuracy=FLOOR) for n, r in (("one", 4.0), ("two", 4.0))]
    asked = two(
        models=[forms],
        offers=[offer("a", 1, 1.0, spot=0.5), offer("a", 1, 2.0, region="s")],
        profiles=[profile("m", "a", 10.0, precision="fp8", latency=target(100.0))],
        workloads=workloads,
        shared_pools=[{**BOTH, "rate_factor": 0.9, "quality": "measured"}],
        limits=[{"name": "t", "match": {"team": "t"}, "max_accelerators": 9}],
        people=[{"name": "all", "usd_per_person_hour": 1.0, "people": 1.0, "hours_per_month": 7.3}],
    )
    plan, document = allocate(asked, EXACT).model_dump(mode="json"), asked.model_dump(mode="json")
    assert len(plan["deployments"]) == 1
    for changed, change in ((plan, plan_change), (document, question_change)):
        if change is not None:
            change(changed)
    question = Instance.model_validate_json(json.dumps(document))
    plan["instance"]["hash"] = question.hash
    failures = verify_plan(question, Plan.model_validate_json(json.dumps(plan))).failures
    assert {failure.partition(":")[0] for failure in failures} == rules, failures
