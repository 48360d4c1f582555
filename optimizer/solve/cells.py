"""What cells (pools in a period) carry, read off the matrix: routes, loads, demand rows, and rows that bind replicas.

A plain cell has one row ``Σ load·f ≤ Σ n`` over its routes, rows ``f ≤ Σ n`` of single routes, and rows of replicas alone, such
as a spot share; each route stands in one row of demand. Other cells are *odd*: nothing is concluded about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.solve.blocks import Blocks, BoolArray, FloatArray, IntArray

__all__ = ["Cells", "Entries"]


@dataclass(frozen=True, eq=False)
class Entries:
    """Matrix entries of the rows that belong to blocks, and what they do there.

    A column *helps* a row that more of it slackens, and *hurts* one that more of it tightens; an entry is *inside* where its row
    lies in one cell, and *of routes* where its row has routes of that cell.
    """

    row: IntArray
    column: IntArray
    value: FloatArray
    helps: BoolArray
    hurts: BoolArray
    inside: BoolArray
    of_routes: BoolArray

    @classmethod
    def of(cls, blocks: Blocks) -> Entries:
        """Collect them."""
        model = blocks.model
        row = model.row
        own = (blocks.row_owner >= 0)[row]
        row, column, value = row[own], model.column[own], model.value[own]
        floor, ceiling = np.isneginf(model.row_lower[row]), np.isposinf(model.row_upper[row])
        low, high = np.full(model.n_rows, np.iinfo(np.int64).max), np.full(model.n_rows, -1, dtype=np.int64)
        np.minimum.at(low, row, blocks.cell[column])
        np.maximum.at(high, row, blocks.cell[column])
        inside = ((low == high) & (low >= 0))[row]
        routes = np.zeros(model.n_rows, dtype=bool)
        routes[row[inside & ~model.integer[column]]] = True
        helps, hurts = np.where(value < 0, floor, ceiling), np.where(value > 0, floor, ceiling)
        return cls(row, column, value, helps, hurts, inside, routes[row])


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells by number; (n_cells,) or, one slot a row of demand of the cell's part, (n_cells, n_slots).

    A *part* is demand that cells tie together, such as all classes of a workload in a period; its demand rows are numbered by
    slot. ``load`` is what a route puts on the replicas, infinite where the cell has no such route, ``route`` its column or -1.
    ``same`` marks what else a route stands in and ``gain`` is what it does there, more being better: a route may stand for
    another of the same mark and no more gain. ``rise`` is the same in a row that couples blocks, ``Blocks.loosened``, whose price
    has the sign that makes more of it cheaper. ``fee`` is what a route costs where no row has a price.
    """

    part: IntArray
    odd: BoolArray
    load: FloatArray
    route: IntArray
    same: FloatArray
    gain: FloatArray
    rise: FloatArray
    fee: FloatArray
    part_block: IntArray

    @classmethod
    def of(cls, blocks: Blocks, e: Entries) -> Cells:
        """Read them off the rows of blocks."""
        model, cells = blocks.model, int(blocks.cell.max(initial=-1)) + 1
        route = (blocks.cell >= 0) & ~model.integer & (model.lower == 0)
        mine, cell = np.flatnonzero(route), blocks.cell[route]
        odd, load = _loads(blocks, cells, route, e)
        demand, demanded = _demand(blocks, route, e)
        odd[cell[demand[mine] < 0]] = True
        part_of_row, slot_of_row, part_block = _parts(blocks, mine[demand[mine] >= 0], demand)
        mine = mine[~odd[cell] & (demand[mine] >= 0)]
        cell, slots = blocks.cell[mine], int(slot_of_row.max(initial=-1)) + 1
        part = np.full(cells, -1, dtype=np.int64)
        part[cell] = part_of_row[demand[mine]]
        at = cell, slot_of_row[demand[mine]]
        same, gain, rise = _others(blocks, e, ~e.inside & ~demanded[e.row], mine, part[cell])
        return cls(
            part,
            odd | (part < 0),
            _table((cells, slots), np.inf, at, load[mine]),
            _table((cells, slots), -1, at, mine).astype(np.int64),
            _table((cells, slots), 0.0, at, same),
            _table((cells, slots), 0.0, at, gain),
            _table((cells, slots), 0.0, at, rise),
            _table((cells, slots), 0.0, at, model.objective[mine]),
            part_block,
        )

    def fees(self, cost: FloatArray, cell: IntArray) -> FloatArray:
        """Give what whole routes of some cells cost at the prices ``cost``, 0 where there is none; shape (n_cells, n_slots)."""
        route = self.route[cell]
        return np.where(route >= 0, cost[route], 0.0)

    @cached_property
    def demanded(self) -> BoolArray:
        """Say which slots of each part are in use; shape (n_parts, n_slots)."""
        there = np.zeros((len(self.part_block), self.load.shape[1]), dtype=bool)
        np.logical_or.at(there, self.part[~self.odd], np.isfinite(self.load[~self.odd]))
        return there


def _table(shape: tuple[int, int], empty: float, at: tuple[IntArray, IntArray], values: FloatArray) -> FloatArray:
    table = np.full(shape, empty)
    table[at] = values
    return table


def _loads(blocks: Blocks, cells: int, route: BoolArray, e: Entries) -> tuple[BoolArray, FloatArray]:
    """Give which cells have rows of another kind, and each route's load."""
    model, cell = blocks.model, blocks.cell
    routed = route[e.column] & e.inside
    per_row = np.bincount(e.row[routed], minlength=model.n_rows)
    per_cell = np.bincount(cell[route], minlength=cells)
    of_row = np.zeros(model.n_rows, dtype=np.int64)
    of_row[e.row[routed]] = cell[e.column[routed]]
    full = (per_row > 0) & (per_row == per_cell[of_row])
    strange = routed & (
        (e.value <= 0) | (model.row_upper[e.row] != 0) | (~full[e.row] & ((per_row[e.row] != 1) | (e.value > 1.0)))
    )
    strange |= (per_row > 0)[e.row] & ~route[e.column] & (e.value != -1.0)
    odd = np.bincount(cell[e.column[strange]], minlength=cells) > 0
    odd |= np.bincount(of_row[full & (per_cell[of_row] > 1)], minlength=cells) > 1
    load, counted = np.zeros(model.n_columns), routed & full[e.row]
    np.maximum.at(load, e.column[counted], e.value[counted])
    return odd | (np.bincount(cell[e.column[counted]], minlength=cells) == 0), load


def _demand(blocks: Blocks, route: BoolArray, e: Entries) -> tuple[IntArray, BoolArray]:
    """Give the row of demand of each route, -1 where it has none or several, and which rows are rows of demand."""
    model = blocks.model
    lone = (model.row_lower == 1.0) & (model.row_upper == 1.0) & (blocks.row_owner >= 0)
    lone[e.row[~route[e.column] | (e.value != 1.0)]] = False
    mine = lone[e.row]
    found = np.full(model.n_columns, -1, dtype=np.int64)
    found[e.column[mine]] = e.row[mine]
    found[np.bincount(e.column[mine], minlength=model.n_columns) != 1] = -1
    return found, lone


def _parts(blocks: Blocks, routes: IntArray, demand: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Give the part and slot of each row, and the block of each part: rows of demand that some cell has routes of together."""
    cell, row = blocks.cell[routes], demand[routes]
    root = np.arange(blocks.model.n_rows)
    while True:
        least = np.full(int(cell.max(initial=-1)) + 1, blocks.model.n_rows)
        np.minimum.at(least, cell, root[row])
        found = root.copy()
        np.minimum.at(found, row, least[cell])
        found = found[found]
        if (found == root).all():
            break
        root = found
    rows = np.unique(row)
    roots, part = np.unique(root[rows], return_inverse=True)
    part = part.reshape(-1)
    order = np.lexsort((rows, part))
    slot = np.empty(len(rows), dtype=np.int64)
    slot[order] = np.arange(len(rows)) - np.searchsorted(part[order], part[order])
    part_of, slot_of = np.full(blocks.model.n_rows, -1, dtype=np.int64), np.zeros(blocks.model.n_rows, dtype=np.int64)
    part_of[rows], slot_of[rows] = part, slot
    return part_of, slot_of, blocks.row_owner[roots]


def _others(
    blocks: Blocks, e: Entries, other: BoolArray, routes: IntArray, part: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the mark of each route in rows besides its cell's and its demand's, its gain in one of its block and in a loose one.

    What neither gain tells is in the mark.
    """
    helped = np.where(e.helps[other], 1.0, np.where(e.hurts[other], -1.0, np.nan)) * np.abs(e.value[other])
    same, gain = _alone(blocks, e.row[other], e.column[other], e.value[other], helped, routes, part)
    row, column, value, _ = blocks.joint
    row = blocks.coupling[row]
    loose = blocks.rises != 0
    told, rise = _alone(blocks, row[loose], column[loose], value[loose], blocks.rises[loose], routes, part)
    weight = value * np.random.default_rng(2).random(blocks.model.n_rows)[row]
    joint = np.bincount(column[~loose], weights=weight[~loose], minlength=blocks.model.n_columns)[routes]
    return same + told + joint, gain, rise


def _alone(
    blocks: Blocks, row: IntArray, column: IntArray, value: FloatArray, helped: FloatArray, routes: IntArray, part: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Give the mark and the gain of each route in entries of rows.

    Where routes of a part stand in one such row at most, the row is the mark and what helps it the gain, 0 where a route is not
    in it; otherwise the mark tells all rows and coefficients.
    """
    model, parts = blocks.model, int(part.max(initial=-1)) + 1
    mark = np.random.default_rng(1).random(model.n_rows)
    all_told = np.bincount(column, weights=value * mark[row], minlength=model.n_columns)[routes]
    count = np.bincount(column, minlength=model.n_columns)[routes]
    only, gain = np.full(model.n_columns, -1, dtype=np.int64), np.zeros(model.n_columns)
    only[column], gain[column] = row, helped
    low, high = np.full(parts, model.n_rows), np.full(parts, -1, dtype=np.int64)
    mine = count == 1
    np.minimum.at(low, part[mine], only[routes[mine]])
    np.maximum.at(high, part[mine], only[routes[mine]])
    most = np.zeros(parts, dtype=np.int64)
    np.maximum.at(most, part, count)
    simple = ((most <= 1) & (low >= high))[part] & ~np.isnan(gain[routes])
    same = np.where(simple, mark[np.maximum(high, 0)][part] * (high >= 0)[part], all_told)
    return same, np.where(simple, gain[routes], 0.0)
