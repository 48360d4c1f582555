"""Rows that tie routing to replicas: all traffic is served, by replicas that can carry it, at the accuracy asked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import SMALLEST_LOAD, CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.grouping import numbered
from optimizer.compile.rows.block import RowBlock
from optimizer.instance import Aggregation

__all__ = [
    "accuracy_rows",
    "averaged",
    "capacity_rows",
    "cell_name",
    "demand_rows",
    "kept_above_floor",
    "switching_rows",
    "use_rows",
]


def demand_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """demand[w, b, t]:  Σ_{p of w} f[p, b, t] + u[w, b, t] = 1   for each class b with demand in period t.

    Over all t for a volume. The unserved share u is there only where the workload states ``shedding``.
    """
    keys, row = numbered(columns.routing_demand)
    shed = np.arange(len(columns.shed))
    return RowBlock(
        group="demand",
        row=np.concatenate([row, np.searchsorted(keys, columns.shed.demand)]),
        column=np.concatenate([columns.first_routing + np.arange(len(row)), columns.first_shed + shed]),
        value=np.ones(len(row) + len(shed)),
        lower=np.ones(len(keys)),
        upper=np.ones(len(keys)),
        name=lambda r: _demand_name(table, int(keys[r])),
    )


def capacity_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """capacity[p, t]:  Σ_b load[p, b, t] · f[p, b, t] ≤ Σ_o n[p, o, t]   where load = rate / (μ · utilization_cap) replicas."""
    routed, replicas = len(columns.routing_pool), len(columns.replica_pool)
    cells, row = numbered(np.concatenate([columns.replica_cell, columns.routing_cell]))
    column = np.arange(replicas + routed)
    column[replicas:] += columns.first_routing - replicas
    value = np.full(len(column), -1.0)
    value[replicas:] = columns.routing_load
    return RowBlock(
        group="capacity",
        row=row,
        column=column,
        value=value,
        lower=np.full(len(cells), -np.inf),
        upper=np.zeros(len(cells)),
        name=lambda r: cell_name(table, columns, int(cells[r])),
    )


def switching_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """switch[p, b, t]:  f[p, b, t] ≤ Σ_{o not capped} n[p, o, t]   where (1 − share of capped replicas) · load < 1.

    No class is routed to a pool without a replica, and not all of its replicas are on spot where their share is capped below 1:
    whatever a pool serves, one of the others is there. Elsewhere ``capacity`` and ``spot`` say more together. The coefficient 1
    is the tightest there is: f ≤ 1 ≤ n as soon as the pool exists; no big-M is needed.
    """
    counted = np.flatnonzero(~columns.capped)
    cells, share = len(columns.spot_share), np.zeros(len(columns.spot_share))
    share[columns.replica_cell[columns.capped]] = columns.spot_share[columns.replica_cell[columns.capped]]
    routed = np.flatnonzero(columns.routing_load * (1.0 - share[columns.routing_cell]) < 1.0).astype(np.int32)
    cell = columns.routing_cell[routed]
    of_cell = np.bincount(columns.replica_cell[counted], minlength=cells)  # replica columns come by cell
    count = of_cell[cell] + 1  # the replicas' columns, then the class's own
    end = np.cumsum(count)
    place = np.arange(int(count.sum())) + np.repeat((np.cumsum(of_cell) - of_cell)[cell] - (end - count), count)
    column = np.append(counted, 0)[np.minimum(place, len(counted))]
    column[end - 1] = columns.first_routing + routed
    value = np.full(len(column), -1.0)
    value[end - 1] = 1.0
    return RowBlock(
        group="switch",
        row=np.repeat(np.arange(len(routed)), count),
        column=column,
        value=value,
        lower=np.full(len(routed), -np.inf),
        upper=np.zeros(len(routed)),
        name=lambda r: _routed_name(table, columns, int(routed[r])),
    )


def use_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """use[w, b, t, s]:  Σ_{p of w in s} f[p, b, t] ≤ y[s]   for each switch s that some pool of w belongs to.

    Whatever is routed to pools of the switch turns it on. The sum over the pools of one class is at most 1, so the coefficient 1
    of y is the tightest there is.
    """
    demands = int(columns.routing_demand.max(initial=0)) + 1
    at, column = np.nonzero(columns.switch_pools[:, columns.routing_pool])
    keys, row = np.unique(at * demands + columns.routing_demand[column], return_inverse=True)
    which = np.divmod(keys, demands)
    on = np.arange(len(keys))
    return RowBlock(
        group="use",
        row=np.concatenate([row.reshape(-1), on]).astype(np.int64),
        column=np.concatenate([columns.first_routing + column, columns.first_switch + which[0]]),
        value=np.concatenate([np.ones(len(column)), -np.ones(len(keys))]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{_demand_name(table, int(which[1][r]))},{columns.switches.switches[columns.switch[which[0][r]]].name}",
    )


def accuracy_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """accuracy[w]:  Σ_{p,b,t} traffic[w, b, t] · (accuracy[p] - floor[w]) · f[p, b, t] ≥ 0   where the floor is traffic-weighted.

    ``traffic`` is the share of the workload's requests in that class and period; per-request floors were settled when candidates
    were judged.
    """
    weighted = averaged(table)
    mine = np.flatnonzero(np.isin(columns.routing_workload, weighted))
    return RowBlock(
        group="accuracy",
        row=np.searchsorted(weighted, columns.routing_workload[mine]),
        column=columns.first_routing + mine,
        value=kept_above_floor(table, columns, mine),
        lower=np.zeros(len(weighted)),
        upper=np.full(len(weighted), np.inf),
        name=lambda r: table.workloads[weighted[r]].name,
    )


def averaged(table: CandidateTable) -> npt.NDArray[np.int64]:
    """Give the workloads whose floor is traffic-weighted."""
    floors = (w.accuracy for w in table.workloads)
    return np.flatnonzero([f is not None and f.aggregation is Aggregation.TRAFFIC_WEIGHTED for f in floors])


def kept_above_floor(table: CandidateTable, columns: Columns, mine: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give what serving a whole class by a pool adds to its workload's average above the floor, of some routing columns."""
    floor = np.array([0.0 if w.accuracy is None else w.accuracy.floor_fraction_of_baseline for w in table.workloads])
    owner, number, pool = columns.routing_workload[mine], columns.routing_number[mine], columns.routing_pool[mine]
    requests = table.demand[:, :, None] * table.shape * table.hours_share
    total = np.maximum(requests.sum(axis=(1, 2)), 1e-300)  # of a workload's own classes; those of shared pools repeat them
    traffic = requests[owner, number, columns.routing_period[mine]] / total[owner]
    traffic = np.where(table.batch[owner], 1.0, traffic)  # a volume's shares are shares of its work already
    margin = table.kept[columns.pool_candidate[pool], columns.routing_class[mine]] - floor[owner]
    value = traffic * margin  # what a backend would drop is rounded to the strict side
    return np.where(np.abs(value) >= SMALLEST_LOAD, value, np.where(value < 0, -SMALLEST_LOAD, 0.0))


def _demand_name(table: CandidateTable, key: int) -> str:
    key, period = divmod(key, len(table.hours_share))
    workload, number = divmod(key, table.load.shape[1])
    found = f"{table.workloads[workload].name},{table.workloads[workload].classes[number].name}"
    return found + _when(table, period)


def cell_name(table: CandidateTable, columns: Columns, cell: int) -> str:
    """Name a pool in a period for people."""
    pool, period = divmod(cell, columns.n_periods)
    k = columns.pool_candidate[pool]
    name = f"{table.owners[table.workload[k]].name},{table.configuration(k).label}"
    return f"{name},{table.offers.regions[columns.pool_region[pool]]}{_when(table, period)}"


def _routed_name(table: CandidateTable, columns: Columns, j: int) -> str:
    """Name the pool, period and class of a routing column for people."""
    cell = int(columns.routing_pool[j] * columns.n_periods + columns.routing_period[j])
    return f"{cell_name(table, columns, cell)},{columns.routing_class[j]}"


def _when(table: CandidateTable, period: int) -> str:
    return f",{table.instance.periods[period].name}" if len(table.hours_share) > 1 else ""
