"""Which columns belong together: blocks of workloads, and the rows that join them.

Any partition of the columns gives a valid decomposition; this one keeps in a block what only one workload, or a group of
workloads that share pools, can use. Every row whose columns lie in one block is that block's own; every other row couples. A
column that many blocks pay for together, such as a switch, is copied into each block that it has rows with alone, so that those
rows stay in the block whole, and one row ``copy ≤ column`` couples instead of many. Of a question of several periods, what no row
of a block joins, such as the hours of a day of which none hangs on another, are blocks of their own; so are many that a row about
their average alone would join, which couples them instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from solvers import Model

__all__ = ["Blocks", "Seeds", "average_rows", "blocks_of", "seeds_of"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

JOINING_ROWS = {"demand", "capacity", "switch", "spot", "accuracy", "staff", "staffed"}
JOINING_ROWS |= {"recourse", "left", "left_staff", "left_accuracy"}
"""Row families of pools: workloads that have such a row together are one block. Rows of any other family couple blocks."""


AVERAGE_ROWS, MANY_PARTS = {"accuracy", "left_accuracy"}, 8
"""Row families about an average over all periods, and of how many parts that nothing else joins such a row couples them."""

COMMON_ROWS = {"instances", "commitment", "lot", "limit", "budget", "energy", "change", "kept"}
"""Row families that workloads not looked at might have columns in: of no block where only some of them are looked at."""


@dataclass(frozen=True, eq=False)
class Seeds:
    """What is known of columns before rows are looked at; shape (n_columns,) each, -1 where it does not apply.

    ``workload`` is whose replicas or routing a column is, ``cell`` the pool and period that it stands in. ``common`` says what no
    block may have to itself: all that other workloads might use too, where only some of them are looked at; ``partly`` says that.
    ``periods`` is how many there are.
    """

    workload: IntArray
    cell: IntArray
    common: BoolArray
    partly: bool
    periods: int


def seeds_of(compiled: Compiled, *, partly: bool = False) -> Seeds:
    """Read workloads and cells off a compiled question's columns; ``partly`` where only some of its workloads are looked at."""
    columns, model = compiled.columns, compiled.model
    workload, cell = np.full((2, model.n_columns), -1, dtype=np.int64)
    replicas, routes = (
        slice(columns.first_instance),
        slice(columns.first_routing, columns.first_routing + len(columns.routing_pool)),
    )
    workload[replicas], workload[routes] = (
        columns.pool_workload[columns.replica_pool],
        columns.pool_workload[columns.routing_pool],
    )
    cell[replicas], cell[routes] = columns.replica_cell, columns.routing_cell
    pieces = np.tile(columns.queues.cell, 2)
    cell[columns.first_piece : columns.first_loss] = pieces
    workload[columns.first_piece : columns.first_loss] = columns.pool_workload[pieces // columns.n_periods]
    losses = columns.losses
    at = np.concatenate([losses.victim, np.tile(losses.pieces.cell, 2), losses.route_cell])
    workload[columns.first_loss :] = columns.pool_workload[losses.pool[at]]
    jobs = np.array([run.job for run in columns.training.runs], dtype=np.int64)  # a job is a block as a workload is
    workload[columns.first_training : columns.first_training + len(jobs)] = len(compiled.candidates.owners) + jobs
    common = np.zeros(model.n_columns, dtype=bool)
    common[columns.first_instance : columns.first_training] = partly
    common[columns.first_changed : columns.first_piece] = partly
    return Seeds(workload, cell, common, partly, columns.n_periods)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A model cut into blocks and what joins them.

    ``model`` is the whole question with the copies behind its own ``n_original`` columns and their rows behind its own rows.
    ``owner`` (n_columns,) and ``row_owner`` (n_rows,) give the block of each, -1 for what is shared. ``copy_of`` gives the
    shared column that each copy stands for. ``cell`` is as in ``Seeds``, -1 for copies. ``loosened`` are the rows about an
    average that couple what they would join.
    """

    model: Model
    n_original: int
    owner: IntArray
    row_owner: IntArray
    copy_of: IntArray
    cell: IntArray
    count: int
    loosened: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @cached_property
    def shared(self) -> IntArray:
        """Give the columns of no block."""
        return np.flatnonzero(self.owner < 0)

    @cached_property
    def coupling(self) -> IntArray:
        """Give the rows of no block."""
        return np.flatnonzero(self.row_owner < 0)

    @cached_property
    def columns(self) -> tuple[IntArray, IntArray]:
        """Give the columns in order of block, and where each block starts among them; shape (count + 1,)."""
        return _sorted_by(self.owner, self.count)

    @cached_property
    def rows(self) -> tuple[IntArray, IntArray]:
        """Give the rows in order of block, and where each block starts among them; shape (count + 1,)."""
        return _sorted_by(self.row_owner, self.count)

    @cached_property
    def by_column(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Give the matrix by column: where each starts, shape (n_columns + 1,), then rows and values of the entries."""
        model = self.model
        order = np.argsort(model.column, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(model.column, minlength=model.n_columns))])
        return start, model.row[order], model.value[order]

    def activity(self, values: FloatArray) -> FloatArray:
        """Give A·x where few of ``values`` are not zero; shape (n_rows,)."""
        start, row, value = self.by_column
        used = np.flatnonzero(values)
        count = (start[1:] - start[:-1])[used]
        at = np.repeat(start[used] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
        amount = value[at] * np.repeat(values[used], count)
        return np.bincount(row[at], weights=amount, minlength=self.model.n_rows).astype(np.float64)

    @cached_property
    def joint(self) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
        """Give the entries of coupling rows in order of column: row (counted among coupling rows), column, value.

        Last comes where each column starts; shape (n_columns + 1,).
        """
        model = self.model
        number = np.full(model.n_rows, -1, dtype=np.int64)
        number[self.coupling] = np.arange(len(self.coupling))
        row = number[model.row]
        mine = np.flatnonzero(row >= 0)
        mine = mine[np.argsort(model.column[mine], kind="stable")]
        column = model.column[mine]
        return row[mine], column, model.value[mine], np.searchsorted(column, np.arange(model.n_columns + 1))

    @cached_property
    def rises(self) -> FloatArray:
        """Give for each entry of ``joint`` what the column does in its row if that is ``loosened``, more being better, else 0."""
        row, _, value, _ = self.joint
        row = self.coupling[row]
        signed = np.where(np.isposinf(self.model.row_upper[row]), value, -value)
        return np.where(np.isin(row, self.loosened), signed, 0.0)

    def reduced_costs(self, duals: FloatArray) -> FloatArray:
        """Give c − Aᵀy over the coupling rows for duals of shape (n_coupling_rows,); shape (n_columns,)."""
        row, column, value, _ = self.joint
        priced = np.bincount(column, weights=value * duals[row], minlength=self.model.n_columns)
        return np.asarray(self.model.objective - priced, dtype=np.float64)

    def columns_of(self, k: int) -> IntArray:
        """Give the columns of block ``k``, ascending."""
        order, start = self.columns
        return order[start[k] : start[k + 1]]

    def rows_of(self, k: int) -> IntArray:
        """Give the rows of block ``k``, ascending."""
        order, start = self.rows
        return order[start[k] : start[k + 1]]

    def first(self, workload: IntArray, none: int) -> IntArray:
        """Give each block's first workload by those of the model's own columns, ``none`` if it has none; shape (n_blocks,)."""
        mine = np.flatnonzero((workload >= 0) & (self.owner[: self.n_original] >= 0))
        found = np.full(self.count, none, dtype=np.int64)
        np.minimum.at(found, self.owner[mine], workload[mine])
        return found


def _sorted_by(owner: IntArray, count: int) -> tuple[IntArray, IntArray]:
    order = np.argsort(owner, kind="stable")
    start = np.searchsorted(owner[order], np.arange(count + 1))
    return order, start


def blocks_of(model: Model, seeds: Seeds, loosened: IntArray | None = None) -> Blocks:
    """Cut a model into blocks by its rows; ``loosened`` are rows that have to couple blocks, found here if it is None."""
    row = model.row
    groups = _groups(model)
    owner = _merged(model, row, seeds.workload, ~np.isin(groups, list(JOINING_ROWS)))
    own = ~np.isin(groups, list(COMMON_ROWS)) | (not seeds.partly)
    owner = _localised(model, row, owner, own, seeds.common)
    _, dense = np.unique(owner[owner >= 0], return_inverse=True)
    owner = owner.copy()
    owner[owner >= 0] = dense.reshape(-1)
    blocks = _with_copies(model, row, owner, own, seeds.cell)
    if seeds.periods == 1:  # what a workload does in one period hangs together anyway
        return blocks
    if loosened is None:
        averages = average_rows(model)
        loosened = _loosened(blocks, averages[blocks.row_owner[averages] >= 0])
    return _apart(blocks, loosened)


def average_rows(model: Model) -> IntArray:
    """Give the rows about an average over all periods."""
    return np.flatnonzero(np.isin(_groups(model), list(AVERAGE_ROWS)))


def _groups(model: Model) -> npt.NDArray[np.str_]:
    return np.array(model.row_groups() if callable(model.row_groups) else model.row_groups or [""] * model.n_rows)


def _spans(row: IntArray, of: IntArray, n_rows: int) -> tuple[IntArray, IntArray]:
    """Give the least and greatest block of each row's entries that have one; rows without have a greatest of -1."""
    high, mine = np.full(n_rows, -1, dtype=np.int64), of >= 0
    row, of = row[mine], of[mine]
    np.maximum.at(high, row, of)
    return _lowest(row, of, n_rows), high


def _lowest(row: IntArray, of: IntArray, n_rows: int) -> IntArray:
    low = np.full(n_rows, np.iinfo(np.int64).max)
    np.minimum.at(low, row, of)
    return low


def _merged(model: Model, row: IntArray, workload: IntArray, may_be_shared: BoolArray) -> IntArray:
    """Give the least workload of each group of workloads that have a row together which blocks may not share."""
    count = int(workload.max(initial=-1)) + 1
    of = workload[model.column]
    bound = ~may_be_shared[row] & (of >= 0)
    root = _least(row[bound], of[bound], count, model.n_rows)
    return np.where(workload >= 0, root[np.maximum(workload, 0)], -1) if count else workload


def _least(row: IntArray, of: IntArray, count: int, n_rows: int) -> IntArray:
    """Give the least of each group of ``count`` things that have rows together; ``of`` is the thing of each entry."""
    root = np.arange(count)
    while True:
        low = _lowest(row, root[of], n_rows)
        found = root.copy()
        np.minimum.at(found, of, low[row])
        np.minimum.at(found, root, found.copy())
        found = found[found]
        if (found == root).all():
            return root
        root = found


def _localised(model: Model, row: IntArray, owner: IntArray, own: BoolArray, common: BoolArray) -> IntArray:
    """Give columns of no block, but ``common`` ones, to the only block that they have rows with that may be of one block."""
    while True:
        low, high = _spans(row, owner[model.column], model.n_rows)
        single = ((low == high) & own)[row] & (owner[model.column] < 0)
        first, last = _spans(model.column[single], low[row[single]], model.n_columns)
        mine = (owner < 0) & ~common & (last >= 0) & (first == last)
        if not mine.any():
            return owner
        owner = np.where(mine, last, owner)


def _with_copies(model: Model, row: IntArray, owner: IntArray, own: BoolArray, cell: IntArray) -> Blocks:
    """Copy shared columns into the blocks that they have rows with alone, where only making them larger helps those rows."""
    column, value, count = model.column, model.value, int(owner.max(initial=-1)) + 1
    low, high = _spans(row, owner[column], model.n_rows)
    single = ((low == high) & own)[row]
    entry = single & (owner[column] < 0)
    helps = np.where(value < 0, np.isneginf(model.row_lower[row]), np.isposinf(model.row_upper[row]))
    spoilt = np.zeros(model.n_rows, dtype=bool)
    spoilt[row[entry & ~helps]] = True
    entry = np.flatnonzero(entry & ~spoilt[row])
    row_owner = np.where((low == high) & own & ~spoilt, high, -1)
    keys, at = np.unique(low[row[entry]] * model.n_columns + column[entry], return_inverse=True)
    copy_of, block, n, m = keys % model.n_columns, keys // model.n_columns, model.n_columns, model.n_rows
    column = column.copy()
    column[entry] = n + at.reshape(-1)
    fresh = np.arange(len(keys))
    whole = (
        Model.from_triplets(
            objective=np.concatenate([model.objective, np.zeros(len(keys))]),
            lower=np.concatenate([model.lower, model.lower[copy_of]]),
            upper=np.concatenate([model.upper, model.upper[copy_of]]),
            integer=np.concatenate([model.integer, model.integer[copy_of]]),
            row=np.concatenate([row, m + fresh, m + fresh]),
            column=np.concatenate([column, n + fresh, copy_of]),
            value=np.concatenate([value, np.ones(len(keys)), -np.ones(len(keys))]),
            row_lower=np.concatenate([model.row_lower, np.full(len(keys), -np.inf)]),
            row_upper=np.concatenate([model.row_upper, np.zeros(len(keys))]),
            objective_offset=model.objective_offset,
            name=model.name,
        )
        if len(keys)
        else model
    )
    shared = np.full(len(keys), -1, dtype=np.int64)
    return Blocks(
        model=whole,
        n_original=n,
        owner=np.concatenate([owner, block]),
        row_owner=np.concatenate([row_owner, shared]),
        copy_of=copy_of,
        cell=np.concatenate([cell, shared]),
        count=count,
    )


def _apart(blocks: Blocks, loosened: IntArray) -> Blocks:
    """Cut blocks into what their own rows join but for those ``loosened``."""
    model, n, row_owner = blocks.model, blocks.model.n_columns, blocks.row_owner.copy()
    row_owner[loosened] = -1
    inside = row_owner[model.row] >= 0
    row, column, mine = model.row[inside], model.column[inside], np.flatnonzero(blocks.owner >= 0)
    keys, number = np.unique(blocks.owner[mine] * n + _least(row, column, n, model.n_rows)[mine], return_inverse=True)
    owner = np.full(n, -1)
    owner[mine] = number.reshape(-1)
    row_owner[row] = owner[column]
    return replace(blocks, owner=owner, row_owner=row_owner, count=len(keys), loosened=loosened)


def _loosened(blocks: Blocks, averages: IntArray) -> IntArray:
    """Give those rows about an average that alone would join many parts of a block."""
    if not len(averages):
        return averages
    model, apart = blocks.model, _apart(blocks, averages)
    mine = np.isin(model.row, averages) & (apart.owner[model.column] >= 0)
    pairs = np.unique(np.stack([model.row[mine], apart.owner[model.column[mine]]]), axis=1)
    parts = np.bincount(pairs[0], minlength=model.n_rows)
    return averages[parts[averages] >= MANY_PARTS]
