"""Rows of training jobs: each runs in one way, and what it runs on is switched on. What it occupies is counted in ``supply``."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock

__all__ = ["train_rows", "train_use_rows"]


def train_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """train[j]:  Σ_c x[j, c] = 1   for each training job j: one precision, gang, offer and start."""
    runs = columns.training
    return RowBlock(
        group="train",
        row=runs.job,
        column=columns.first_training + np.arange(len(runs)),
        value=np.ones(len(runs)),
        lower=np.ones(len(runs.jobs)),
        upper=np.ones(len(runs.jobs)),
        name=lambda r: runs.jobs[r].name,
    )


def train_use_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """train_use[j, s]:  Σ_{c in s} x[j, c] ≤ y[s]   for each switch s that some way of j belongs to."""
    runs = columns.training
    at, run = np.nonzero(columns.switch_runs)
    keys, row = np.unique(at * max(len(runs.jobs), 1) + runs.job[run], return_inverse=True)
    switch, job = np.divmod(keys, max(len(runs.jobs), 1))
    return RowBlock(
        group="train_use",
        row=np.concatenate([row.reshape(-1), np.arange(len(keys))]).astype(np.int64),
        column=np.concatenate([columns.first_training + run, columns.first_switch + switch]),
        value=np.concatenate([np.ones(len(run)), -np.ones(len(keys))]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{runs.jobs[job[r]].name},{columns.switches.switches[columns.switch[switch[r]]].name}",
    )
