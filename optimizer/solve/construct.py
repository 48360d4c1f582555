"""A first plan of the whole, built block by block: each is planned in what the others left, at the prices of what is scarce."""

from __future__ import annotations

import numpy as np

from optimizer.solve.blocks import BoolArray, FloatArray
from optimizer.solve.parts import neighbourhood
from optimizer.solve.plans import plans_of_point
from optimizer.solve.search import Search

__all__ = ["construct"]

SCARCE_ROWS = ("limit", "budget", "energy", "change")
"""Row families whose duals are paid for while a plan is built; what is shared is bought whole at its own price."""
TURN_SHARE = 0.02
"""Share of the time that one block may take."""


def construct(search: Search) -> None:
    """Plan block after block, the dearest first, with what is shared; believe the whole if every block finds its place.

    Blocks not yet planned use nothing, so that rows that limit use hold from the first block to the last.
    """
    blocks, model = search.blocks, search.blocks.model
    groups = np.array(search.model.row_groups() if callable(search.model.row_groups) else search.model.row_groups or [])
    if len(groups) < search.model.n_rows:
        return
    scarce = np.isin(blocks.coupling, np.flatnonzero(np.isin(groups, SCARCE_ROWS)))
    cost = blocks.reduced_costs(np.where(scarce, search.duals, 0.0))
    kept = search.reduction.keep(blocks.reduced_costs(search.duals))
    values, placed = np.zeros(model.n_columns), list[int]()
    for k in np.argsort(-_size(search), kind="stable").tolist():
        if not _place(search, k, placed, kept, values, cost):
            return
        placed.append(k)
    search.plans = search.plans.joined(plans_of_point(blocks, values, np.ones(blocks.count, dtype=bool)))
    search.believe(values)


def _place(search: Search, k: int, placed: list[int], kept: BoolArray, values: FloatArray, cost: FloatArray) -> bool:
    """Plan a block in what the others left, or together with the last placed, ever more of them; say whether it has its place."""
    beside = 0
    while not search.clock.stopped:
        chosen = np.sort([k, *placed[len(placed) - beside :]])
        part = neighbourhood(search.blocks, chosen, kept | (values > 0), values, cost=cost)
        answer = search.solve(part.model, search.wishes.relative_gap, limit_s=TURN_SHARE * search.clock.limit_s)
        if answer.values is not None:
            values[np.isin(search.blocks.owner, chosen)] = 0.0
            values[part.columns] = answer.values
            return True
        if beside == len(placed):
            return False
        beside = min(max(2 * beside, 1), len(placed))
    return False


def _size(search: Search) -> FloatArray:
    """Give what the best known plan of each block costs at the prices."""
    least = np.full(search.blocks.count, np.inf)
    np.minimum.at(least, search.plans.block, search.plans.priced(search.duals))
    return np.where(np.isfinite(least), least, 0.0)
