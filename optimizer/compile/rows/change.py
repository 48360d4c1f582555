"""Rows on what changes: from one period to the next, and against the plan in force."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock
from optimizer.compile.starts import Steps

__all__ = ["change_rows", "kept_rows", "move_rows", "start_rows"]


def start_rows(_: CandidateTable, columns: Columns) -> RowBlock:
    """start[p, o, t]:  n[p, o, t] - n[p, o, t-1] ≤ s⁺[p, o, t],  and for a stop n[p, o, t-1] - n[p, o, t] ≤ s⁻[p, o, t].

    Where they are priced; the first period follows the last. A column that costs something is never larger than it must be.
    """
    return _step_rows("start", columns.starts, columns.first_start)


def move_rows(_: CandidateTable, columns: Columns) -> RowBlock:
    """move[p, o, t]:  n[p, o, t] - held[p, o, t] ≤ m⁺[p, o, t],  held[p, o, t] - n[p, o, t] ≤ m⁻[p, o, t]."""
    return _step_rows("move", columns.moves, columns.first_move)


def _step_rows(group: str, steps: Steps, first: int) -> RowBlock:
    rows, sign = np.arange(len(steps)), steps.sign.astype(np.float64)
    earlier = np.flatnonzero(steps.before >= 0)
    return RowBlock(
        group=group,
        row=np.concatenate([rows, earlier, rows]),
        column=np.concatenate([steps.now, steps.before[earlier], first + rows]),
        value=np.concatenate([sign, -sign[earlier], -np.ones(len(rows))]),
        lower=np.full(len(rows), -np.inf),
        upper=sign * steps.held + 0.0,
        name=lambda r: f"{'up' if sign[r] > 0 else 'down'},{steps.now[r]}",
    )


def change_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """change[l]:  Σ hours_share[t] · (m⁺ + m⁻) ≤ max_changes.

    With size[p] as another factor ≤ max_changed_accelerators; as a share of what is in force and in the plan together
    Σ hours_share[t] · (m⁺ + m⁻ - fraction · n) ≤ fraction · Σ hours_share[t] · held.
    """
    in_force, moves, replicas = columns.changes.in_force, columns.moves, len(columns.replica_pool)
    found: list[tuple[str, np.ndarray[tuple[int], np.dtype[np.float64]], float]] = []
    if in_force is not None:
        policy, weight = in_force.policy, table.hours_share[columns.replica_period[moves.now]]
        nothing = np.zeros(replicas)
        if policy.max_changes is not None:
            found.append(("replicas", np.concatenate([nothing, weight]), policy.max_changes))
        if policy.max_changed_accelerators is not None:
            size = columns.replica_size[moves.now]
            found.append(("accelerators", np.concatenate([nothing, weight * size]), policy.max_changed_accelerators))
        if (fraction := policy.max_changed_fraction) is not None:
            both = -fraction * table.hours_share[columns.replica_period]
            found.append(("fraction", np.concatenate([both, weight]), fraction * in_force.replicas(table.hours_share)))
    column = np.concatenate([np.arange(replicas), columns.first_move + np.arange(len(moves))])
    used = [np.flatnonzero(value) for _, value, _ in found]
    return RowBlock(
        group="change",
        row=np.repeat(np.arange(len(found)), [len(u) for u in used]),
        column=np.concatenate([column[:0], *(column[u] for u in used)]),
        value=np.concatenate([np.zeros(0), *(value[u] for u, (_, value, _) in zip(used, found, strict=True))]),
        lower=np.full(len(found), -np.inf),
        upper=np.array([most for _, _, most in found], dtype=np.float64),
        name=lambda r: found[r][0],
    )


def kept_rows(_: CandidateTable, columns: Columns) -> RowBlock:
    """kept[p, o]:  Σ_t m[p, o, t] ≤ (what its bounds sum to) · c:  where nothing may change, nothing does."""
    moves, there = columns.moves, columns.first_lot > columns.first_changed
    key = (columns.replica_pool * len(columns.table.offers) + columns.replica_offer)[moves.now] * 2 + (moves.sign > 0)
    keys, row = np.unique(key[: len(key) * there], return_inverse=True)
    bound = np.bincount(row, weights=columns.upper[columns.first_move : columns.first_move + len(row)], minlength=len(keys))
    return RowBlock(
        group="kept",
        row=np.concatenate([row, np.arange(len(keys))]),
        column=np.concatenate([columns.first_move + np.arange(len(row)), np.full(len(keys), columns.first_changed)]),
        value=np.concatenate([np.ones(len(row)), -bound]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{'up' if keys[r] % 2 else 'down'},{keys[r] // 2}",
    )
