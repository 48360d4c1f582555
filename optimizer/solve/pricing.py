"""Pricing: the best plan of every block at the prices of what blocks share, first by heuristic, at last exactly."""

from __future__ import annotations

import numpy as np

from optimizer.solve.blocks import BoolArray, FloatArray, IntArray
from optimizer.solve.parts import block_model
from optimizer.solve.plans import Plans, Ragged
from optimizer.solve.search import Search
from solvers import SolveOptions, Termination

BOUND_SHARE = 0.25
"""Share of the asked gap that blocks not solved to the end may cost the bound."""
SHORT_TURN_S, LONG_TURN = 1.0, 0.05
"""Seconds that a block may take at first; share of all time in a second turn, where it may still lose much."""

STUBBORN_S, STUBBORN_GAP = 0.3, 0.01
"""What a block without a heuristic plan may take while prices are rough."""
FEW, LEFT_NARROW = 25, 0.05
"""Replica columns of a block that are tried first; share of what may be lost that is left alone then."""

__all__ = ["price_exactly", "price_narrowly", "price_roughly", "price_stubborn"]


def price_roughly(search: Search, duals: FloatArray, *, deep: bool = False) -> FloatArray:
    """Add plans found without a solver; give what the best plan known of each block costs at the duals, infinite where none."""
    cost = search.blocks.reduced_costs(duals)
    kept = search.reduction.keep(cost, _known(search, duals))
    found = search.heuristic.plans(cost, kept, deep=deep)
    search.heuristic_blocks = np.union1d(search.heuristic_blocks, found.block)
    search.plans = search.plans.joined(found)
    return _known(search, duals)


def price_narrowly(search: Search, duals: FloatArray) -> FloatArray:
    """Add plans that the backend finds among few columns; give what the best plan known of each block costs at the duals."""
    _narrow(search, search.blocks.reduced_costs(duals), duals)
    return _known(search, duals)


def _narrow(search: Search, cost: FloatArray, duals: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Improve plans among few columns; give what columns are left, what plans cost then, and what they cost at least."""
    reduction, most = search.reduction, price_roughly(search, duals, deep=True)
    kept = reduction.keep(cost, most)
    bounds = np.minimum(np.maximum(reduction.least(cost, kept), _settled(search, kept, most)), most)
    _solve_blocks(search, cost, reduction.narrowed(cost, kept, FEW), most, bounds.copy(), SHORT_TURN_S, proving=False)
    kept = reduction.keep(cost, most)
    return kept, most, np.minimum(np.maximum(bounds, reduction.least(cost, kept)), most)


def price_stubborn(search: Search, duals: FloatArray) -> None:
    """Add plans, by the backend, of the few blocks for which the heuristic finds none, such as training jobs."""
    known = np.isin(np.arange(search.blocks.count), search.heuristic_blocks)
    cost = search.blocks.reduced_costs(duals)
    most = np.where(known, -np.inf, _known(search, duals))
    kept = search.reduction.keep(cost, np.where(known, np.inf, most))
    found = dict[int, tuple[IntArray, FloatArray]]()
    options = SolveOptions(STUBBORN_S, STUBBORN_GAP, seed=search.wishes.seed)
    mine = np.flatnonzero(~known).tolist()
    parts = [block_model(search.blocks, k, kept, cost) for k in mine]
    for k, part, answer in zip(mine, parts, search.answers([part.model for part in parts], options), strict=False):
        if answer.values is not None:
            used = np.flatnonzero(answer.values)
            found[k] = part.columns[used], answer.values[used]
    search.plans = search.plans.joined(_plans(search, found))


def price_exactly(search: Search, duals: FloatArray) -> FloatArray:
    """Add the best plan of every block, as far as time allows; give what a plan of each costs at least at the duals.

    First among few columns, since a better plan known leaves fewer in question; then among all that are left.
    """
    cost = search.blocks.reduced_costs(duals)
    kept, most, bounds = _narrow(search, cost, duals)
    for limit_s in (SHORT_TURN_S, max(SHORT_TURN_S, LONG_TURN * search.clock.limit_s)):
        _solve_blocks(search, cost, kept, most, bounds, limit_s, proving=True)
    return bounds


def _solve_blocks(
    search: Search,
    cost: FloatArray,
    kept: BoolArray,
    most: FloatArray,
    bounds: FloatArray,
    limit_s: float,
    *,
    proving: bool,
) -> None:
    """Solve blocks, those first that may lose most, until little may be lost; better ``most`` and, proving, ``bounds``."""
    found = dict[int, tuple[IntArray, FloatArray]]()
    loss = np.where(np.isfinite(most), most, 0.0) - bounds
    loss[~np.isfinite(most)] = np.inf
    allowed = BOUND_SHARE * search.wishes.relative_gap * float(np.abs(np.where(np.isfinite(most), most, 0.0)).sum())
    if not proving and np.isfinite(loss).all():
        allowed = max(allowed, LEFT_NARROW * float(loss.sum()))
    options = SolveOptions(limit_s, BOUND_SHARE * search.wishes.relative_gap, seed=search.wishes.seed)
    order, step = np.argsort(-loss, kind="stable"), search.workers.batch
    for at in range(0, len(order), step):
        if search.clock.stopped or float(loss.sum()) <= allowed:
            break
        mine = [k for k in order[at : at + step].tolist() if loss[k] > 0]
        parts = [block_model(search.blocks, k, kept, cost) for k in mine]
        for k, part, answer in zip(mine, parts, search.answers([part.model for part in parts], options), strict=False):
            if answer.termination is Termination.INFEASIBLE and not np.isfinite(most[k]):
                search.infeasible |= proving
                continue
            if answer.values is not None and answer.objective is not None:
                used = np.flatnonzero(answer.values)
                found[k] = part.columns[used], answer.values[used]
                most[k] = min(most[k], answer.objective)
            if answer.dual_bound is not None:  # of few columns: none of the block, but the loss is as good as gone
                bounds[k] = max(bounds[k], min(answer.dual_bound, most[k]))
            loss[k] = most[k] - bounds[k] if np.isfinite(most[k]) else np.inf
    search.plans = search.plans.joined(_plans(search, found))


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
