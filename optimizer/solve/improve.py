"""From plans of blocks to a plan of the whole, and better ones: the whole master, then neighbourhoods of a few blocks.

A neighbourhood plans a few blocks and what is shared anew while all other blocks stand still. While no plan of the whole is
known, rows may be broken at a price; the blocks that use broken rows are planned anew until none is.
"""

from __future__ import annotations

import logging

import numpy as np

from optimizer.solve.blocks import BoolArray, FloatArray, IntArray
from optimizer.solve.construct import construct
from optimizer.solve.master import clipped, master_model, slack_prices
from optimizer.solve.parts import neighbourhood
from optimizer.solve.plans import Plans, plans_of_point
from optimizer.solve.search import Search
from solvers import Solution

__all__ = ["LARGEST_WHOLE", "improve", "plan_mixed", "plan_whole", "start_whole"]

logger = logging.getLogger(__name__)

LARGEST_WHOLE = 300_000
"""Non-zeros up to which a model is handed to the backend whole for what is left."""
MASTER_GAP_SHARE = 0.05
"""Of the asked gap, to which the whole master is solved: what it loses, bounds of blocks must make up for."""
MASTER_SHARE = 0.1
"""Share of the time that the whole master may take."""
PART_SHARE = 0.03
"""Share of the time that one neighbourhood may take."""
MORE_PLANS = 6_000
"""Plans that the whole master chooses among, beside one a block: a relaxed one mixes no more blocks than there are rows."""
FIRST_SIZE = 6
"""Blocks of the first neighbourhoods; they grow while time is left and nothing more is found."""
BROKEN = 1e-6


def start_whole(search: Search) -> None:
    """Choose one plan for every block among those known, as the master does best; mend what it must break."""
    blocks = search.blocks
    if search.infeasible or search.clock.stopped or len(np.unique(search.plans.block)) < blocks.count:
        return
    tries = list[tuple[Plans, FloatArray | None]]()
    if len(search.plans) > blocks.count + MORE_PLANS:
        tries.append((_cheapest(search), None))
    tries += [(search.plans, None)] if search.values is None or not tries else []
    tries += [(search.plans, 100 * slack_prices(blocks))] if search.values is None else []
    for plans, slack in tries:
        master = master_model(blocks, plans, slack)
        answer = search.solve(
            master.model, MASTER_GAP_SHARE * search.wishes.relative_gap, limit_s=MASTER_SHARE * search.clock.limit_s
        )
        if answer.values is None:
            continue
        chosen = np.flatnonzero(master.weights(answer.values) > 0.5)
        values = plans.values(chosen, blocks.model.n_columns)
        values[blocks.shared] = answer.values[master.n_plans : master.n_plans + master.n_shared]
        if slack is None:
            search.believe(values)
        else:
            _mend(search, values)
        break
    if search.values is None:
        construct(search)
    logger.info("%6.1f s whole master: cost %.6g, gap %s", search.clock.used_s, search.cost, search.gap)


def _cheapest(search: Search) -> Plans:
    """Give the best plan of each block at the relaxed master's prices, and of others so many, the nearest to the best."""
    blocks, followers = search.blocks, search.followers
    relaxed = master_model(blocks, search.plans, slack_prices(blocks), followers).model
    answer = search.solve(relaxed, 0.0, limit_s=MASTER_SHARE * search.clock.limit_s, duals=True)
    duals = search.duals
    if answer.row_duals is not None:
        duals = followers.follow(blocks, clipped(blocks, answer.row_duals[: len(blocks.coupling)]))
    excess = search.plans.priced(duals)
    least = np.full(search.blocks.count, np.inf)
    np.minimum.at(least, search.plans.block, excess)
    order = np.argsort(excess - least[search.plans.block], kind="stable")
    return search.plans.chosen(np.sort(order[: search.blocks.count + MORE_PLANS]))


def _mend(search: Search, values: FloatArray) -> None:
    """Plan blocks that use broken rows anew, more and more of them, until no row is broken."""
    blocks, prices, size = search.blocks, 100 * slack_prices(search.blocks), FIRST_SIZE
    row, column, value, _ = blocks.joint
    while not search.clock.stopped:
        broken = _broken(search, values)
        if not (broken > 0).any():
            search.believe(values)
            return
        involved = (broken[row] > 0) & (values[column] != 0) & (blocks.owner[column] >= 0)
        weight = np.bincount(
            blocks.owner[column[involved]], weights=np.abs(value * values[column])[involved], minlength=blocks.count
        )
        chosen = np.argsort(-weight, kind="stable")[: min(size, blocks.count)]
        better = _replanned(search, np.sort(chosen), values, np.ones(len(values), dtype=bool), prices)
        if better is not None and _broken(search, better).sum() < broken.sum() - BROKEN:
            values = better
        elif size >= blocks.count:
            return
        else:
            size *= 2


def _broken(search: Search, values: FloatArray) -> FloatArray:
    """Give by how much each coupling row is broken."""
    blocks = search.blocks
    row, column, value, _ = blocks.joint
    activity = np.bincount(row, weights=value * values[column], minlength=len(blocks.coupling))
    low, high = blocks.model.row_lower[blocks.coupling], blocks.model.row_upper[blocks.coupling]
    amount = np.maximum(np.maximum(low - activity, activity - high), 0.0)
    return np.where(amount > BROKEN * np.maximum(1.0, np.abs(activity)), amount, 0.0)


def _replanned(
    search: Search, chosen: IntArray, values: FloatArray, kept: BoolArray, slack: FloatArray | None = None
) -> FloatArray | None:
    """Give the point with the chosen blocks and what is shared planned anew among ``kept``; their plans are remembered."""
    blocks = search.blocks
    part = neighbourhood(blocks, chosen, kept | (values > 0), values, slack)
    n = len(part.columns)
    start = None if slack is not None else values[part.columns]
    answer = search.solve(part.model, search.wishes.relative_gap / 4, limit_s=PART_SHARE * search.clock.limit_s, start=start)
    if answer.values is None:
        return None
    found = values.copy()
    found[part.columns] = answer.values[:n]
    gone = np.isin(blocks.owner, chosen)
    gone[part.columns] = False
    found[gone] = 0.0
    which = np.zeros(blocks.count, dtype=bool)
    which[chosen] = True
    search.plans = search.plans.joined(plans_of_point(blocks, found, which))
    return found


def plan_mixed(search: Search, weights: FloatArray | None) -> None:
    """Plan anew, together, the blocks for which the master mixes plans; the others stand still at the plan it chose whole."""
    if weights is None or search.done:
        return
    block = search.plans.block[: len(weights)]
    order = np.lexsort((-weights, block))
    first = order[np.unique(block[order], return_index=True)[1]]
    mixed = block[first][weights[first] < 1.0 - BROKEN]
    if len(mixed):
        found = _replanned(search, mixed, search.plans.values(first, search.blocks.model.n_columns), _kept(search))
        if found is not None:
            search.believe(found)


def improve(search: Search, until_s: float) -> None:
    """Plan neighbourhoods anew, round and round, larger each time that a round finds nothing."""
    blocks = search.blocks
    if search.values is None:
        return
    size, kept = min(FIRST_SIZE, blocks.count), _kept(search)
    while not search.done and search.clock.used_s < until_s:
        found = False
        for chosen in _neighbourhoods(search, size):
            if search.done or search.clock.used_s >= until_s:
                return
            better = _replanned(search, chosen, search.values, kept)
            found |= better is not None and search.believe(better)
        logger.info("%6.1f s neighbourhoods of %d: cost %.6g, gap %s", search.clock.used_s, size, search.cost, search.gap)
        if not found:
            if size >= blocks.count:
                return
            size = min(2 * size, blocks.count)


def plan_whole(search: Search, gap: float, limit_s: float) -> Solution | None:
    """Hand the whole model to the backend, from the best plan so far, where it is small enough or nothing else is known.

    Give its answer, whose plan is known then; None where it was not asked.
    """
    if search.done or (search.model.n_nonzeros > LARGEST_WHOLE and search.values is not None):
        return None
    start = None if search.values is None else search.values[: search.blocks.n_original]
    answer = search.solve(search.model, gap, limit_s=limit_s, start=start)
    if answer.values is not None:
        search.start_at(answer.values)
    return answer


def _kept(search: Search) -> BoolArray:
    """Say which columns the best plans at the search's prices may need."""
    return search.reduction.keep(search.blocks.reduced_costs(search.duals))


def _neighbourhoods(search: Search, size: int) -> list[IntArray]:
    """Give groups of blocks, those first whose plans are furthest from their best at the prices."""
    blocks, values = search.blocks, search.values
    assert values is not None
    paid = np.bincount(
        np.maximum(blocks.owner, 0),
        weights=np.where(blocks.owner >= 0, blocks.reduced_costs(search.duals) * values, 0.0),
        minlength=blocks.count,
    )
    least = np.full(blocks.count, np.inf)
    np.minimum.at(least, search.plans.block, search.plans.priced(search.duals))
    order = np.argsort(-(paid - least), kind="stable")
    return [np.sort(order[at : at + size]) for at in range(0, len(order), size)]
