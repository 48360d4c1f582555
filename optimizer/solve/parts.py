"""Models of a few blocks, alone at given prices or together with what they share while all else stands still."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from optimizer.solve.blocks import Blocks, BoolArray, FloatArray, IntArray
from solvers import Model

__all__ = ["Part", "block_marks", "block_model", "neighbourhood"]


@dataclass(frozen=True, eq=False)
class Part:
    """A model and the columns of the whole that its columns are."""

    model: Model
    columns: IntArray


def block_model(blocks: Blocks, k: int, kept: BoolArray, cost: FloatArray) -> Part:
    """Give block ``k`` alone, in its own rows, at the prices ``cost`` of the columns ``kept``."""
    columns = blocks.columns_of(k)
    columns = columns[kept[columns]]
    return _cut(blocks, columns, blocks.rows_of(k), cost[columns], 0.0)


def block_marks(blocks: Blocks, cost: FloatArray) -> IntArray:
    """Give each block a number that tells all of it at the prices ``cost``: equal ones are the same question, of any instance."""
    kept, marks = np.ones(blocks.model.n_columns, dtype=bool), np.zeros(blocks.count, dtype=np.int64)
    for k in range(blocks.count):
        model, told = block_model(blocks, k, kept, cost).model, hashlib.blake2b(digest_size=7)
        for part in (model.objective, model.lower, model.upper, model.integer, model.row_start, model.column, model.value):
            told.update(np.ascontiguousarray(part).tobytes())
        for side in (model.row_lower, model.row_upper):
            told.update(np.ascontiguousarray(side).tobytes())
        marks[k] = int.from_bytes(told.digest(), "little")
    return marks


def neighbourhood(
    blocks: Blocks,
    chosen: IntArray,
    kept: BoolArray,
    values: FloatArray,
    slack: FloatArray | None = None,
    cost: FloatArray | None = None,
) -> Part:
    """Give the ``chosen`` blocks with all shared columns, while the other blocks stay at ``values``.

    Where ``slack`` gives prices, coupling rows may be broken at them; those columns come last and are none of the whole's.
    ``cost`` of the columns is the model's own if None.
    """
    free = np.zeros(blocks.count + 1, dtype=bool)
    free[chosen] = True
    order, start = blocks.columns
    mine = np.concatenate([order[start[k] : start[k + 1]] for k in chosen])
    columns = np.sort(np.concatenate([mine[kept[mine]], blocks.shared]))
    order, start = blocks.rows
    rows = np.concatenate([*(order[start[k] : start[k + 1]] for k in chosen), blocks.coupling])
    row, column, value, _ = blocks.joint
    still = np.where((blocks.owner >= 0) & ~free[blocks.owner], values, 0.0)
    used = np.bincount(row, weights=value * still[column], minlength=len(blocks.coupling))
    taken = np.concatenate([np.zeros(len(rows) - len(blocks.coupling)), used])
    cost = blocks.model.objective if cost is None else cost
    return _cut(blocks, columns, rows, cost[columns], taken, slack)


def _cut(
    blocks: Blocks,
    columns: IntArray,
    rows: IntArray,
    cost: FloatArray,
    taken: FloatArray | float,
    slack: FloatArray | None = None,
) -> Part:
    model = blocks.model
    count = np.diff(model.row_start)[rows]
    at = np.repeat(model.row_start[rows] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
    place = np.searchsorted(columns, model.column[at])
    place[place == len(columns)] = 0
    mine = columns[place] == model.column[at] if len(columns) else np.zeros(len(at), dtype=bool)
    row = np.repeat(np.arange(len(rows)), count)[mine]
    lower, upper = model.row_lower[rows] - taken, model.row_upper[rows] - taken
    extra = np.zeros(0, dtype=np.int64)
    if slack is not None:
        extra = len(rows) - len(slack) + np.arange(len(slack))
        cost = np.concatenate([cost, slack, slack])
    n, s = len(columns), len(extra)
    needed = (np.bincount(np.concatenate([row, extra]), minlength=len(rows)) > 0) | (lower > 1e-9) | (upper < -1e-9)
    number = np.cumsum(needed) - 1
    return Part(
        Model.from_triplets(
            objective=cost,
            lower=np.concatenate([model.lower[columns], np.zeros(2 * s)]),
            upper=np.concatenate([model.upper[columns], np.full(2 * s, 1e9)]),
            integer=np.concatenate([model.integer[columns], np.zeros(2 * s, dtype=bool)]),
            row=number[np.concatenate([row, extra, extra])],
            column=np.concatenate([place[mine], n + np.arange(2 * s)]),
            value=np.concatenate([model.value[at[mine]], np.full(s, -1.0), np.ones(s)]),
            row_lower=lower[needed],
            row_upper=upper[needed],
            name="part",
        ),
        columns,
    )
