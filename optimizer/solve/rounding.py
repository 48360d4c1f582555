"""Rows that rounding up implies: a class that needs 1.3 replicas needs 2, wherever they stand.

They cut off fractions only, never a plan, so that optimum and bound stay those of the compiled model, in the same columns. They
are no part of it: in large questions, which are cut into blocks, they would outnumber all other rows. The argument is in
``compile/FORMULATION.md``, "What a direct solve adds".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from solvers import Model

__all__ = ["rounded_up"]

FloatArray = npt.NDArray[np.float64]

LARGEST_NONZEROS = 8_000
"""Models with more are left as they are, and so are those without routes: there the rows cost more than they cut off."""
MOST_ROWS = 12
"""Rows for one class in one period: those of the smallest loads, where rounding up tells most."""
SMALLEST_FRACTION = 0.02
"""Of a replica, above a whole number: less gains nothing, and would divide by it."""
SAFETY = 1e-9
"""Relative: right sides are lowered by more than sums of loads are wrong by."""


def rounded_up(compiled: Compiled) -> Model:
    """Give the model with a row for each load of a class that is no whole number; see the module."""
    model, columns = compiled.model, compiled.columns
    if model.n_nonzeros > LARGEST_NONZEROS or not len(columns.routing_pool):
        return model
    load, cell, demand = columns.routing_load, columns.routing_cell, columns.routing_demand
    first = np.searchsorted(columns.replica_cell, cell, side="left")  # replica columns come ordered by cell
    count = np.searchsorted(columns.replica_cell, cell, side="right") - first
    shed = {int(key): columns.first_shed + n for n, key in enumerate(columns.shed.demand)}
    order = np.argsort(demand, kind="stable")
    rows, entries, least = 0, [(model.row, model.column, model.value)], [model.row_lower]
    for mine in np.split(order, np.flatnonzero(np.diff(demand[order])) + 1):
        levels, weight, whole = _rounded(load[mine])
        at = np.repeat(first[mine] - np.cumsum(count[mine]) + count[mine], count[mine]) + np.arange(count[mine].sum())
        weight = np.repeat(weight, count[mine], axis=1)
        if (unserved := shed.get(int(demand[mine[0]]))) is not None:
            at = np.append(at, unserved)
            weight = np.column_stack([weight, levels / (levels - np.floor(levels))])
        where = model.n_rows + rows + np.arange(len(levels))
        entries.append((np.repeat(where, len(at)), np.tile(at, len(levels)), weight.ravel()))
        least.append(whole * (1.0 - SAFETY))
        rows += len(levels)
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return Model.from_triplets(
        objective=model.objective,
        lower=model.lower,
        upper=model.upper,
        integer=model.integer,
        row=row,
        column=column,
        value=value,
        row_lower=np.concatenate(least),
        row_upper=np.concatenate([model.row_upper, np.full(rows, np.inf)]),
        objective_offset=model.objective_offset,
        column_labels=model.column_labels,
        row_labels=lambda: [*map(model.row_label, range(model.n_rows)), *(f"rounded[{n}]" for n in range(rows))],
        name=model.name,
    )


def _rounded(load: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the loads that make a row, the weight of a replica of each pool in it, and the whole number it must reach.

    Shapes (n_rows,), (n_rows, n_pools) and (n_rows,).

    >>> _rounded(np.array([1.25, 1.25, 5.0, 0.5]))[1:]
    (array([[1., 1., 1., 2.]]), array([2.]))
    """
    levels = np.unique(load[load >= 1.0].round(9))
    over = levels - np.floor(levels)
    levels, over = levels[over >= SMALLEST_FRACTION][:MOST_ROWS], over[over >= SMALLEST_FRACTION][:MOST_ROWS]
    share = levels[:, None] / load
    floor = np.floor(share)
    whole = np.ceil(levels)
    weight = np.minimum(floor + np.minimum(1.0, (share - floor) / over[:, None]), whole[:, None])
    _, first = np.unique((weight / whole[:, None]).round(9), axis=0, return_index=True)
    first.sort()
    return levels[first], weight[first], whole[first]
