"""Pricing: the best plan of every block at the prices of what blocks share, first by heuristic, at last exactly."""

from __future__ import annotations

import numpy as np

from optimizer.solve.blocks import BoolArray, FloatArray, IntArray
from optimizer.solve.parts import block_model
from optimizer.solve.plans import Plans, Ragged
from optimizer.solve.search import Search
from solvers import Termination

NEARLY = 1e-7
"""Relative; a block whose bound is this near its best plan is solved."""
TURNS, SHORTEST_TURN_S = 0.2, 0.5
"""A block may take its even share of this part of the time left, or the shortest turn where that is less."""

__all__ = ["price_exactly", "price_roughly"]


def price_roughly(search: Search, duals: FloatArray, *, deep: bool = False) -> FloatArray:
    """Add plans found without a solver; give what the best plan known of each block costs at the duals, infinite where none."""
    cost = search.blocks.reduced_costs(duals)
    kept = search.reduction.keep(cost, _known(search, duals))
    search.plans = search.plans.joined(search.heuristic.plans(cost, kept, deep=deep))
    return _known(search, duals)


def price_exactly(search: Search, duals: FloatArray) -> FloatArray:
    """Add the best plan of every block, as far as time allows; give what a plan of each costs at least at the duals."""
    blocks, cost = search.blocks, search.blocks.reduced_costs(duals)
    most = price_roughly(search, duals, deep=True)
    kept = search.reduction.keep(cost, most)
    bounds = np.minimum(np.maximum(search.reduction.least(cost, kept), _settled(search, kept, most)), most)
    near = NEARLY * np.abs(np.where(np.isfinite(most), most, 0.0))
    open_ = np.flatnonzero(bounds < most - near)
    found = dict[int, tuple[IntArray, FloatArray]]()
    for number, k in enumerate(open_.tolist()):
        if search.clock.stopped:
            break
        part = block_model(blocks, k, kept, cost)
        turn_s = max(SHORTEST_TURN_S, TURNS * search.clock.left_s / (len(open_) - number))
        answer = search.solve(part.model, search.wishes.relative_gap / 4, limit_s=turn_s)
        if answer.termination is Termination.INFEASIBLE and not np.isfinite(most[k]):
            search.infeasible = True
            break
        if answer.dual_bound is not None:
            bounds[k] = max(bounds[k], min(answer.dual_bound, most[k]))
        if answer.values is not None:
            used = np.flatnonzero(answer.values)
            found[k] = part.columns[used], answer.values[used]
    search.plans = search.plans.joined(_plans(search, found))
    return bounds


def _known(search: Search, duals: FloatArray) -> FloatArray:
    most = np.full(search.blocks.count, np.inf)
    np.minimum.at(most, search.plans.block, search.plans.priced(duals))
    return most


def _settled(search: Search, kept: BoolArray, most: FloatArray) -> FloatArray:
    """Give the cost of blocks of one replica column, which leave no choice, and -inf for the rest."""
    blocks = search.blocks
    whole = blocks.model.integer & (blocks.owner >= 0) & kept
    columns = np.bincount(blocks.owner[whole], minlength=blocks.count)
    replicas = np.bincount(blocks.owner[whole & (blocks.cell >= 0)], minlength=blocks.count)
    return np.where((columns == 1) & (replicas == 1) & np.isfinite(most), most, -np.inf)


def _plans(search: Search, found: dict[int, tuple[IntArray, FloatArray]]) -> Plans:
    lists = list(found.values())
    content = Ragged(
        np.cumsum([0] + [len(columns) for columns, _ in lists]),
        np.concatenate([np.zeros(0, np.int64), *(columns for columns, _ in lists)]),
        np.concatenate([np.zeros(0), *(values for _, values in lists)]),
    )
    return Plans.of(search.blocks, np.array(list(found), dtype=np.int64), content)
