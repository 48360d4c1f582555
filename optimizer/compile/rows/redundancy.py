"""Rows of losses: the share that is insured is served by what each loss leaves, one loss at a time."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock
from optimizer.compile.rows.demand import averaged, cell_name, kept_above_floor

__all__ = [
    "left_rows",
    "lost_rows",
    "recourse_accuracy_rows",
    "recourse_piece_rows",
    "recourse_rows",
    "recourse_use_rows",
    "victim_rows",
]


def recourse_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """recourse[v, w, b, t]:  Σ_p g[v, p, b, t] + share[v, w] · u[w, b, t] = share[v, w]   for each event v that w insures."""
    events, demands = columns.losses, int(columns.routing_demand.max(initial=0)) + 1
    share = events.share(columns.routing_workload[events.route])
    keys = events.event[events.route_cell] * demands + columns.routing_demand[events.route]
    unique, first, row = np.unique(keys, return_index=True, return_inverse=True)
    right = share[first]
    shed = {int(demand): at for at, demand in enumerate(columns.shed.demand.tolist())}
    there = [(r, shed[int(key % demands)]) for r, key in enumerate(unique.tolist()) if int(key % demands) in shed]
    shed_row, shed_at = np.array(there, dtype=np.int64).reshape(-1, 2).T
    return RowBlock(
        group="recourse",
        row=np.concatenate([row, shed_row]),
        column=np.concatenate([columns.first_recourse + np.arange(len(row)), columns.first_shed + shed_at]),
        value=np.concatenate([np.ones(len(row)), right[shed_row]]),
        lower=right,
        upper=right,
        name=lambda r: f"{_event(columns, int(unique[r] // demands))},{unique[r] % demands}",
    )


def recourse_accuracy_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """left_accuracy[v, w]:  Σ_{p,b,t} traffic[w, b, t] · (accuracy[p] - floor[w]) · g[v, p, b, t] ≥ 0, as ``accuracy``."""
    events = columns.losses
    workload, count = columns.routing_workload[events.route], len(table.workloads)
    mine = np.flatnonzero(np.isin(workload, averaged(table)))
    keys, row = np.unique(events.event[events.route_cell[mine]] * count + workload[mine], return_inverse=True)
    return RowBlock(
        group="left_accuracy",
        row=row,
        column=columns.first_recourse + mine,
        value=kept_above_floor(table, columns, events.route[mine]),
        lower=np.zeros(len(keys)),
        upper=np.full(len(keys), np.inf),
        name=lambda r: f"{_event(columns, int(keys[r] // count))},{table.workloads[keys[r] % count].name}",
    )


def left_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """left[v, p, t]:  Σ_b load · g[v, p, b, t] + Σ_b' load · f[p, b', t] + k[v] · z[v, p, t] ≤ Σ_{o left} n[p, o, t].

    Classes b are insured, classes b' of other members of a shared pool are not and stay; k replicas are lost where they are the
    pool's own.
    """
    events = columns.losses
    victim = events.victim
    return RowBlock(
        group="left",
        row=np.concatenate([events.route_cell, events.kept_cell, victim, events.left_cell]),
        column=np.concatenate(
            [
                columns.first_recourse + np.arange(len(events.route)),
                columns.first_routing + events.kept,
                columns.first_loss + np.arange(len(victim)),
                events.left,
            ]
        ),
        value=np.concatenate(
            [
                *map(columns.load_of, (events.route, events.kept)),
                events.replicas_lost[victim].astype(np.float64),
                -np.ones(len(events.left)),
            ]
        ),
        lower=np.full(len(events.pool), -np.inf),
        upper=np.zeros(len(events.pool)),
        name=lambda r: _cell(table, columns, r),
    )


def victim_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """victim[v, p, b, t]:  g[v, p, b, t] ≤ z[v, p, t], and f[p, b', t] ≤ z[v, p, t] of classes that stay."""
    events = columns.losses
    place = np.full(len(events.pool), -1, dtype=np.int64)
    place[events.victim] = np.arange(len(events.victim))
    cell = np.concatenate([events.route_cell, events.kept_cell])
    column = np.concatenate([columns.first_recourse + np.arange(len(events.route)), columns.first_routing + events.kept])
    mine = np.flatnonzero(place[cell] >= 0)
    rows = np.arange(len(mine))
    return RowBlock(
        group="victim",
        row=np.concatenate([rows, rows]),
        column=np.concatenate([column[mine], columns.first_loss + place[cell[mine]]]),
        value=np.concatenate([np.ones(len(rows)), -np.ones(len(rows))]),
        lower=np.full(len(rows), -np.inf),
        upper=np.zeros(len(rows)),
        name=lambda r: f"{_cell(table, columns, int(cell[mine[r]]))},{r}",
    )


def recourse_use_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """recourse_use[v, w, b, t, s]:  Σ_{p of w in s} g[v, p, b, t] ≤ y[s]: what only a loss needs is paid for as well."""
    events, demands = columns.losses, int(columns.routing_demand.max(initial=0)) + 1
    pools = columns.switch_pools[:, columns.routing_pool[events.route]]
    at, which = np.nonzero(pools)
    width = demands * max(len(events.events), 1)
    key = at * width + events.event[events.route_cell[which]] * demands + columns.routing_demand[events.route[which]]
    keys, row = np.unique(key, return_inverse=True)
    on = np.arange(len(keys))
    return RowBlock(
        group="recourse_use",
        row=np.concatenate([row.reshape(-1), on]).astype(np.int64),
        column=np.concatenate([columns.first_recourse + which, columns.first_switch + keys // width]),
        value=np.concatenate([np.ones(len(which)), -np.ones(len(keys))]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{_event(columns, int(keys[r] % width // demands))},{keys[r]}",
    )


def lost_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """left_staff[v, p, t, j]:  Σ_b busy · g + Σ_b' busy · f ≤ Σ_r (slope[r, j] · e[v, p, t, r] + intercept[r, j] · d[v, …]).

    The row ``staff`` of the servers that an event leaves.
    """
    events, cap = columns.losses, table.instance.policy.utilization_cap
    pieces = events.pieces
    at, budget, slope, intercept = pieces.lines
    width = int(budget.max(initial=0)) + 1
    keys, line_row = np.unique(pieces.cell[at] * width + budget, return_inverse=True)
    cell = np.concatenate([events.route_cell, events.kept_cell])
    column = np.concatenate([columns.first_recourse + np.arange(len(events.route)), columns.first_routing + events.kept])
    value = columns.load_of(np.concatenate([events.route, events.kept])) * cap
    row, which = np.nonzero((keys // width)[:, None] == cell[None, :])
    first, count = columns.first_loss + len(events.victim), len(pieces.cell)
    return RowBlock(
        group="left_staff",
        row=np.concatenate([row, line_row, line_row]),
        column=np.concatenate([column[which], first + count + at, first + at]),
        value=np.concatenate([value[which], -slope, -intercept]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{_cell(table, columns, int(keys[r] // width))},{keys[r] % width}",
    )


def recourse_piece_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """left_piece[v, p, t]:  the rows ``piece``, ``staffed`` and ``range`` of the servers that an event leaves.

    Σ_r d ≤ 1;  Σ_r e + k[v] · z ≤ Σ_{o left} n;  first[r] · d ≤ e ≤ last[r] · d.
    """
    events = columns.losses
    pieces, count = events.pieces, len(events.pieces.cell)
    cells, row = np.unique(pieces.cell, return_inverse=True)
    chosen = columns.first_loss + len(events.victim) + np.arange(count)
    victim, left = np.flatnonzero(np.isin(events.victim, cells)), np.flatnonzero(np.isin(events.left_cell, cells))
    n, rows = len(cells), np.arange(count)
    lost = events.replicas_lost[events.victim[victim]].astype(np.float64)
    ranges = 2 * n + np.concatenate([rows, rows, count + rows, count + rows])
    return RowBlock(
        group="left_piece",
        row=np.concatenate(
            [
                row,
                n + row,
                n + np.searchsorted(cells, events.victim[victim]),
                n + np.searchsorted(cells, events.left_cell[left]),
                ranges,
            ]
        ),
        column=np.concatenate(
            [
                chosen,
                chosen + count,
                columns.first_loss + victim,
                events.left[left],
                chosen + count,
                chosen,
                chosen + count,
                chosen,
            ]
        ),
        value=np.concatenate(
            [np.ones(2 * count), lost, -np.ones(len(left)), -np.ones(count), pieces.first, np.ones(count), -pieces.last]
        ),
        lower=np.full(2 * n + 2 * count, -np.inf),
        upper=np.concatenate([np.ones(n), np.zeros(n + 2 * count)]),
        name=lambda r: f"{r}",
    )


def _event(columns: Columns, number: int) -> str:
    event = columns.losses.events[number]
    return f"{event.kind} {event.lost}"


def _cell(table: CandidateTable, columns: Columns, cell: int) -> str:
    events = columns.losses
    base = int(events.pool[cell] * columns.n_periods + events.period[cell])
    return f"{_event(columns, int(events.event[cell]))},{cell_name(table, columns, base)}"
