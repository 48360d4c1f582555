"""Rows of servers with known service times: what a pool carries at its percentiles, in pieces over the number of its replicas."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock
from optimizer.compile.rows.demand import cell_name

__all__ = ["piece_rows", "range_rows", "staff_rows", "staffed_rows"]


def staff_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """staff[p, t, j]:  Σ_b busy[p, b, t] · f[p, b, t] ≤ Σ_r (slope[j, r] · e[p, t, r] + intercept[j, r] · d[p, t, r]).

    For each cell with a curve and each of its budgets j; ``busy`` servers on average, so that the cap stays a row of its own.
    """
    queues, cap = columns.queues, table.instance.policy.utilization_cap
    at, budget, slope, intercept = queues.lines
    width = int(budget.max(initial=0)) + 1
    keys, line_row = np.unique(queues.cell[at] * width + budget, return_inverse=True)
    routed, row = _matched(columns.routing_cell, keys // width)
    first, count = columns.first_piece, len(queues.cell)
    return RowBlock(
        group="staff",
        row=np.concatenate([row, line_row, line_row]),
        column=np.concatenate([columns.first_routing + routed, first + count + at, first + at]),
        value=np.concatenate([columns.load_of(routed) * cap, -slope, -intercept]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{cell_name(table, columns, int(keys[r] // width))},{keys[r] % width}",
    )


def piece_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """piece[p, t]:  Σ_r d[p, t, r] ≤ 1."""
    queues = columns.queues
    cells, row = np.unique(queues.cell, return_inverse=True)
    return RowBlock(
        group="piece",
        row=row,
        column=columns.first_piece + np.arange(len(row)),
        value=np.ones(len(row)),
        lower=np.full(len(cells), -np.inf),
        upper=np.ones(len(cells)),
        name=lambda r: cell_name(table, columns, int(cells[r])),
    )


def staffed_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """staffed[p, t]:  Σ_r e[p, t, r] ≤ Σ_o n[p, o, t]."""
    queues = columns.queues
    cells, row = np.unique(queues.cell, return_inverse=True)
    replicas, replica_row = _matched(columns.replica_cell, cells)
    return RowBlock(
        group="staffed",
        row=np.concatenate([row, replica_row]),
        column=np.concatenate([columns.first_piece + len(row) + np.arange(len(row)), replicas]),
        value=np.concatenate([np.ones(len(row)), -np.ones(len(replicas))]),
        lower=np.full(len(cells), -np.inf),
        upper=np.zeros(len(cells)),
        name=lambda r: cell_name(table, columns, int(cells[r])),
    )


def range_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """range[p, t, r]:  first[r] · d[p, t, r] ≤ e[p, t, r] ≤ last[r] · d[p, t, r], two rows."""
    queues = columns.queues
    count = len(queues.cell)
    rows, chosen = np.arange(2 * count), columns.first_piece + np.tile(np.arange(count), 2)
    sign = np.repeat([-1.0, 1.0], count)
    bound = np.concatenate([queues.first, queues.last])
    return RowBlock(
        group="range",
        row=np.concatenate([rows, rows]),
        column=np.concatenate([chosen + count, chosen]),
        value=np.concatenate([sign, -sign * bound]),
        lower=np.full(2 * count, -np.inf),
        upper=np.zeros(2 * count),
        name=lambda r: f"{cell_name(table, columns, int(queues.cell[r % count]))},{bound[r]}",
    )


def _matched(of: npt.NDArray[np.int64], cells: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give (place, row) of everything that stands in a cell of a row; several rows may be of one cell, which ascend."""
    if not len(cells):
        return cells, cells
    order = np.argsort(of, kind="stable")
    start, end = np.searchsorted(of[order], cells, side="left"), np.searchsorted(of[order], cells, side="right")
    row = np.repeat(np.arange(len(cells)), end - start)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(end - start) - (end - start), end - start)
    return order[np.repeat(start, end - start) + offset], row
