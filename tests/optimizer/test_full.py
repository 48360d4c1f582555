"""Every feature on at once: backends agree, what is left out moves nothing, and the laws that hold for every question.

``ALLOCATE_SEEDS=300 pytest -s tests/optimizer/test_full.py`` draws more questions and prints how often each family of rows binds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from optimizer.compile import Compiled, candidate_table, compile_table
from optimizer.errors import InfeasibleError
from optimizer.instance import Instance, ServingWorkload
from optimizer.pipeline import Options, allocate
from solvers import SolveOptions, Termination, get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.harder import HARDER, INSURED, Document, earlier_percentiles, times
from tests.optimizer.merging import merged, read, scoped
from tests.seeds import seeds

SHOWING = (0, 2, 3, 6, 17, 18, 20, 29, 30, 32)
"""Few that show everything between them."""
SEEDS = tuple(range(seeds(0))) or SHOWING
LIGHT = SEEDS if SEEDS is not SHOWING else (0, 2, 3, 6, 20, 32)
"""Of the few, those that are solved in a moment: enough for nearly each change to be felt."""
ENOUGH = len(SEEDS) if SEEDS is not SHOWING else 1
"""Questions of the few in which a family has to bind; of many all are counted."""
FAMILIES = {"demand", "capacity", "switch", "use", "accuracy", "instances", "commitment", "lot", "limit", "budget", "energy"}
FAMILIES |= {"spot", "start", "train", "train_use"}
"""All that can be without a plan in force; those that compare with one bind in compile/test_in_force.py."""
KINDS = {"on_demand", "spot", "reserved", "owned", "people", "licence", "transfer", "storage", "power", "shared", "cut"}
KINDS |= {"accelerators", "kW", "gCO2/h", "unserved", "setup"}
INSURED_SEEDS = SEEDS if SEEDS is not SHOWING else (3, 4, 7, 11)
"""Of the few with servers and insurance too, those that are solved in a moment and feel all that is theirs alone."""
TOLERANCE = 3e-6
"""Of a cost found to a gap of 1e-6, against another one."""


def solved(question: Instance, backend: str = "ortools") -> tuple[float, frozenset[str]]:
    """Give USD per hour, infinite where there is no plan, and what the plan shows; it verifies itself on the way."""
    try:
        plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
    except InfeasibleError:
        return math.inf, frozenset()
    found = {d.option for d in plan.deployments} | {head for head, cost in plan.costs.items() if cost.usd_per_hour}
    found |= {x.unit for x in plan.limits if x.binding} | {"unserved" for _ in plan.unserved}
    found |= {"shared" for d in plan.deployments if d.shared_pool} | {"cut" for d in plan.deployments if d.pattern}
    return plan.usd_per_hour, frozenset(found)


@cache
def base(seed: int) -> tuple[float, frozenset[str]]:
    """Give what a seed's question costs, and what its plan shows."""
    return solved(full_instance(seed))


@cache
def compiled(seed: int, insured: bool = False) -> Compiled | None:
    """Give the whole model, nothing left out beforehand; None where a workload has no candidate."""
    try:
        return compile_table(candidate_table(full_instance(seed, insured)), dominance=False)
    except InfeasibleError:
        return None


@cache
def whole(seed: int, insured: bool = False) -> float:
    """Give what the whole model costs."""
    found = compiled(seed, insured)
    if found is None:
        return math.inf
    best = get_backend("ortools").solve(found.model, SolveOptions(relative_gap=4e-7))
    if best.termination is Termination.INFEASIBLE:
        return math.inf
    assert best.objective is not None
    return best.objective + found.columns.constant_usd_per_hour


def binds(seed: int, family: str) -> bool:
    """Say whether a plan near the best without a family's rows is cheaper than the best with them.

    ``switch`` is implied by ``capacity`` at whole counts: it binds where the relaxation is cheaper without it.
    """
    found = compiled(seed)
    assert found is not None
    assert callable(found.model.row_groups)
    gone, relaxed = np.array([group == family for group in found.model.row_groups()]), found.model
    sides = {"row_lower": np.where(gone, -np.inf, relaxed.row_lower), "row_upper": np.where(gone, np.inf, relaxed.row_upper)}
    models = [relaxed, replace(relaxed, **sides)]
    if family == "switch":
        models = [replace(model, integer=np.zeros_like(model.integer)) for model in models]
    limits = SolveOptions(relative_gap=0.05, time_limit_s=2.0)
    best = [get_backend("ortools").solve(model, limits).objective for model in models[family != "switch" :]]
    least = whole(seed) - found.columns.constant_usd_per_hour if family != "switch" else best[0]
    return best[-1] is not None and (least is None or best[-1] < least - TOLERANCE * abs(least))


def families(seed: int) -> set[str]:
    """Give the families of rows that a question has."""
    found = compiled(seed)
    assert found is None or callable(found.model.row_groups)
    return set() if found is None else set(found.model.row_groups())


@cache
def changed(seed: int, name: str, insured: bool = False) -> float:
    """Give what the question costs after a change."""
    document: Document = full_instance(seed, insured).model_dump(mode="json")
    if name:
        (HARDER | INSURED | {"earlier_percentiles": earlier_percentiles})[name](document)
    return solved(read(document))[0]


def test_the_draw_shows_every_feature() -> None:
    """At most a third infeasible; plans with every kind of purchase, cost and limit."""
    seen = Counter(kind for seed in SEEDS for kind in base(seed)[1])
    feasible = sum(math.isfinite(base(seed)[0]) for seed in SEEDS)
    print(f"\n{feasible} of {len(SEEDS)} feasible; plans that show: {dict(sorted(seen.items()))}")
    assert set(seen) >= KINDS
    assert feasible >= 2 * len(SEEDS) / 3


def test_every_family_of_rows_binds() -> None:
    """A family binds where the question would cost less without its rows."""
    there, binding = Counter[str](), Counter[str]()
    for seed in SEEDS:
        there.update(families(seed))
        wanted = [f for f in families(seed) if math.isfinite(whole(seed)) and binding[f] < ENOUGH]
        binding.update(f for f in wanted if binds(seed, f))
    print("\n" + "\n".join(f"{f}: in {there[f]} questions of {len(SEEDS)}, binds in {binding[f]}" for f in sorted(there)))
    assert set(there) == FAMILIES
    assert set(binding) == FAMILIES


@pytest.mark.parametrize("seed", SEEDS)
def test_backends_agree(seed: int) -> None:
    assert solved(full_instance(seed), "cbc")[0] == pytest.approx(base(seed)[0], rel=TOLERANCE)


@pytest.mark.parametrize("seed", SEEDS)
def test_leaving_out_what_is_dominated_moves_no_optimum(seed: int) -> None:
    assert whole(seed) == pytest.approx(base(seed)[0], rel=TOLERANCE)


@pytest.mark.parametrize("harder", HARDER)
@pytest.mark.parametrize("seed", LIGHT)
def test_a_harder_question_is_never_cheaper(seed: int, harder: str) -> None:
    assert changed(seed, harder) >= base(seed)[0] * (1 - TOLERANCE)


@pytest.mark.parametrize("harder", HARDER)
def test_each_change_is_felt(harder: str) -> None:
    assert any(
        changed(seed, harder) > base(seed)[0] * (1 + TOLERANCE) for seed in sorted(SEEDS, key=lambda seed: seed not in LIGHT)
    )


@pytest.mark.parametrize("seed", LIGHT)
def test_scaling_every_amount_of_money_scales_the_cost(seed: int) -> None:
    document: Document = full_instance(seed).model_dump(mode="json")
    times(document, 3.0)
    assert solved(read(document))[0] == pytest.approx(3 * base(seed)[0], rel=TOLERANCE)


@pytest.mark.parametrize("seed", LIGHT)
def test_the_order_of_everything_changes_nothing(seed: int) -> None:
    document: Document = full_instance(seed).model_dump(mode="json")
    for part in ("accelerators", "offers", "models", "profiles", "regions"):
        document["catalogs"][part].reverse()
    for part in document:
        if isinstance(document[part], list) and part != "periods":
            document[part].reverse()
    for pool in document["shared_pools"]:
        pool["workloads"].reverse()
    for workload in document["workloads"]:
        workload.get("classes", []).reverse()
    assert solved(read(document))[0] == pytest.approx(base(seed)[0], rel=1e-12)


@pytest.mark.parametrize("seed", LIGHT[::2])
def test_questions_that_share_nothing_add(seed: int) -> None:
    one, two = scoped(seed), scoped(seed + 1, policy_of=seed)
    apart = solved(read(one))[0] + solved(read(two))[0]
    assert solved(merged(one, two))[0] == pytest.approx(apart, rel=TOLERANCE)
    assert json.dumps(one) != json.dumps(two)


@pytest.mark.parametrize("harder", [*HARDER, *INSURED])
@pytest.mark.parametrize("seed", INSURED_SEEDS)
def test_a_harder_question_with_servers_and_insurance_is_never_cheaper(seed: int, harder: str) -> None:
    assert changed(seed, harder, True) >= changed(seed, "", True) * (1 - TOLERANCE)


def test_a_server_that_nothing_comes_to_keeps_nobody_waiting() -> None:
    """In this draw a host of our own stands idle at night, too few servers for any burst; that misses no target."""
    assert math.isfinite(changed(2, "bursts", True))


@pytest.mark.parametrize("seed", INSURED_SEEDS)
def test_a_stricter_percentile_is_never_cheaper(seed: int) -> None:
    assert changed(seed, "", True) >= changed(seed, "earlier_percentiles", True) * (1 - TOLERANCE)


@pytest.mark.parametrize("harder", INSURED)
def test_each_change_of_servers_and_insurance_is_felt(harder: str) -> None:
    assert any(changed(seed, harder, True) > changed(seed, "", True) * (1 + TOLERANCE) for seed in INSURED_SEEDS)


@pytest.mark.parametrize("seed", INSURED_SEEDS)
def test_with_servers_and_insurance_too_backends_agree_and_nothing_needed_is_left_out(seed: int) -> None:
    question = full_instance(seed, insured=True)
    plain, usd = base(seed)[0], solved(question)[0]
    assert solved(question, "cbc")[0] == pytest.approx(usd, rel=TOLERANCE)
    assert whole(seed, True) == pytest.approx(usd, rel=TOLERANCE)
    if all(w.redundancy is None for w in question.workloads if isinstance(w, ServingWorkload)):
        assert usd <= plain * (1 + TOLERANCE), "more to choose from never costs more"
