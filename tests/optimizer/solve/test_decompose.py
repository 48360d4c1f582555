"""Price and branch against the whole model: the direct optimum lies between its bound and its cost, whatever the features."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.errors import InfeasibleError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.solve import improve
from optimizer.solve.blocks import blocks_of, seeds_of
from optimizer.solve.improve import start_whole
from optimizer.solve.master import slack_prices
from optimizer.solve.search import new_search
from optimizer.solve.settle import settle
from optimizer.synthetic import synthetic_document
from solvers import get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.oracle import least_costs, random_instance
from tests.seeds import seeds

SEEDS = sorted({*range(seeds(2)), 7, 12, 48, 89, 210})
"""In 7 spot stands alone that may not; 12 is infeasible with everything on: prices of broken rows must not grow for ever. In 48
the backend leaves dust on a pool that costs storage, in 210 a trace too much on one whose requests may be left unserved. In 89
nothing at all is left of a block for which the heuristic has no plan."""


def interval(question: Instance, backend: str = "ortools", gap: float = 1e-3) -> tuple[float, float]:
    """Give bound and cost of the decomposed solve, infinite where there is no plan; the plan verifies itself on the way."""
    try:
        plan = allocate(question, Options(backend=backend, method="decompose", relative_gap=gap, time_limit_s=60.0))
    except InfeasibleError:
        return math.inf, math.inf
    assert plan.method.startswith("decompose: ")
    return -math.inf if plan.bound_usd is None else plan.bound_usd, plan.objective_usd


def optimum(question: Instance) -> float:
    try:
        return allocate(question, Options(method="direct", relative_gap=1e-6)).objective_usd
    except InfeasibleError:
        return math.inf


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("draw", [full_instance, random_instance])
def test_the_optimum_lies_between_bound_and_cost(draw: Callable[[int], Instance], seed: int, backend: str) -> None:
    question = draw(seed)
    least, (bound, cost) = optimum(question), interval(question, backend)
    assert bound <= least * (1 + 1e-6)
    assert least <= cost * (1 + 1e-6)


def test_the_whole_master_chooses_among_few_plans_and_among_all_where_these_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else finds a plan here; of the best plan of each block alone, none is left where limits are tight."""
    question = Instance.model_validate_json(json.dumps(synthetic_document(8, 6, shared_supply=True)))
    compiled, found = compile_instance(question), list[float]()
    for name in ("construct", "_mend"):
        monkeypatch.setattr(improve, name, lambda *_: None)
    for more, tries in ((10**6, 1), (6, 2), (0, 3)):
        monkeypatch.setattr(improve, "MORE_PLANS", more)
        blocks = blocks_of(compiled.model, seeds_of(compiled))
        search = new_search(compiled.model, blocks, get_backend("ortools"), Options())
        for kind in ("rough", "deep"):
            settle(search, slack_prices(blocks), kind, 60.0)
        calls = search.clock.calls
        start_whole(search)
        assert search.clock.calls - calls == tries  # with few, the relaxed master of all first
        found.append(search.cost)
    assert found[0] <= found[1] < 1.02 * found[0]
    assert found[2] == found[0]


def test_rows_that_healed_are_not_told_as_broken(caplog: pytest.LogCaptureFixture) -> None:
    """In the first round rows are broken, since each block has one plan; in the last, with which prices have settled, none is."""
    compiled = compile_instance(Instance.model_validate_json(json.dumps(synthetic_document(8, 6, shared_supply=True))))
    blocks = blocks_of(compiled.model, seeds_of(compiled))
    search = new_search(compiled.model, blocks, get_backend("ortools"), Options())
    with caplog.at_level(logging.INFO):
        found = settle(search, slack_prices(blocks), "rough", 60.0, gap=1.0)
    told = [record.getMessage() for record in caplog.records if " rough " in record.getMessage()]
    assert "rows broken" in told[-2]
    assert "rows broken" not in told[-1]
    assert found.broken == 0


def test_prices_that_no_model_takes_are_scaled_down() -> None:
    """Rows that stay broken have prices that grow; a column must not cost more than a model may say."""
    compiled = compile_instance(Instance.model_validate_json(json.dumps(synthetic_document(3, 6, shared_supply=True))))
    blocks = blocks_of(compiled.model, seeds_of(compiled))
    search = new_search(compiled.model, blocks, get_backend("ortools"), Options())
    settle(search, slack_prices(blocks), "rough", 60.0)
    search.duals = np.full(len(blocks.coupling), -1e15)
    settle(search, slack_prices(blocks), "exact", 1.0)
    assert len(np.unique(search.plans.block)) == blocks.count


@pytest.mark.parametrize("seed", SEEDS)
def test_small_questions_agree_with_brute_force(seed: int) -> None:
    question = random_instance(seed)
    least = least_costs(question)[0]
    _, cost = interval(question, gap=1e-6)
    assert (math.inf if least is None else least) == pytest.approx(cost, rel=1e-6)
