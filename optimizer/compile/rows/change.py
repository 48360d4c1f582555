"""Rows on what changes from one period to the next."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock

__all__ = ["start_rows"]


def start_rows(_: CandidateTable, columns: Columns) -> RowBlock:
    """start[p, o, t]:  n[p, o, t] - n[p, o, t-1] ≤ s⁺[p, o, t],  and for a stop n[p, o, t-1] - n[p, o, t] ≤ s⁻[p, o, t].

    Where they are priced; the first period follows the last. A column that costs something is never larger than it must be.
    """
    starts, rows = columns.starts, np.arange(len(columns.starts))
    sign = starts.sign.astype(np.float64)
    return RowBlock(
        group="start",
        row=np.concatenate([rows, rows, rows]),
        column=np.concatenate([starts.now, starts.before, columns.first_start + rows]),
        value=np.concatenate([sign, -sign, -np.ones(len(rows))]),
        lower=np.full(len(rows), -np.inf),
        upper=np.zeros(len(rows)),
        name=lambda r: f"{'up' if starts.sign[r] > 0 else 'down'},{starts.now[r]}",
    )
