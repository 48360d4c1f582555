"""Rows on power and carbon: what is on and what is busy draws at most what a limit or a site's own cap allows."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import SMALLEST_LOAD, CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.energy import Cap
from optimizer.compile.rows.block import RowBlock

__all__ = ["energy_rows"]

SCALE = 1000.0
"""The right side of a row, so that a solver's absolute tolerance is small beside it."""


def energy_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """energy[l, t]: Σ_{o in l} idle[o] · size[o] · instances[o, t] + Σ_{p in l, b} more[p] · busy[p, b, t] · f[p, b, t] ≤ most.

    ``idle`` is what an accelerator that is on draws or emits, ``more`` what one that is busy adds, in kW or gCO2/h;
    ``busy[p, b, t]`` are the accelerators that the whole class keeps busy.
    Reserved and owned offers are on by their commitment r[o], in every period. A limit that names workloads, teams or variants
    counts the accelerators of their replicas, Σ idle[o] · size[p] · n[p, o, t]. Training runs keep their gangs busy in all
    periods that they touch. Rows are scaled to a right side of 1000.
    """
    caps = table.offers.caps
    terms = [_coefficients(table, columns, cap, period) for cap in caps for period in range(columns.n_periods)]
    used = [np.flatnonzero(values) for values in terms]
    most = np.repeat([cap.most for cap in caps], columns.n_periods)
    scale = np.where(most > 0, SCALE / np.where(most > 0, most, 1.0), 1.0)
    scaled = [np.maximum(values[at] * by, SMALLEST_LOAD) for values, at, by in zip(terms, used, scale, strict=True)]
    names = [f"{cap.limit.name} {cap.unit}" + _when(table, t) for cap in caps for t in range(columns.n_periods)]
    return RowBlock(
        group="energy",
        row=np.repeat(np.arange(len(terms)), [len(at) for at in used]),
        column=np.concatenate([*used, np.zeros(0, dtype=np.int64)]).astype(np.int64),
        value=np.concatenate([*scaled, np.zeros(0)]),
        lower=np.full(len(terms), -np.inf),
        upper=most * scale,
        name=names.__getitem__,
    )


def _coefficients(table: CandidateTable, columns: Columns, cap: Cap, period: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give what one unit of each column adds to a cap in a period; shape (n_columns,)."""
    offers, values = table.offers, np.zeros(len(columns.upper))
    mine = table.limited[cap.number, columns.pool_candidate]
    training, (run, when) = columns.training, columns.training.touched
    run = run[training.limited[cap.number, run] & (when == period)]
    values[columns.first_training + run] = cap.busy[training.place][run] * training.accelerators[run]
    if cap.limit.match.speaks_of_replicas:
        counted = mine[columns.replica_pool] & (columns.replica_period == period)
        on = np.where(counted, cap.idle[columns.replica_offer], 0.0)
        values[: columns.first_instance] = on * columns.replica_size
        values[columns.first_training + run] += cap.idle[training.offer[run]] * training.accelerators[run]
    else:
        on = cap.idle * offers.size
        column, offer, when, instances = columns.held
        floating = ~offers.committed[offer] & (when == period)
        values[column[floating]] += (on[offer] * instances)[floating]
        values[columns.first_commit : columns.first_switch] = on[columns.commit_offer]
    counted = mine[columns.routing_pool] & (columns.routing_period == period)
    values[columns.first_routing : columns.first_start] = np.where(
        counted, cap.busy[columns.routing_place] * columns.routing_busy, 0.0
    )
    return values


def _when(table: CandidateTable, period: int) -> str:
    return f",{table.instance.periods[period].name}" if len(table.hours_share) > 1 else ""
