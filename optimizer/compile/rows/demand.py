"""Rows that tie routing to replicas: all traffic is served, by replicas that can carry it, at the accuracy asked."""

from __future__ import annotations

import numpy as np

from optimizer.compile.candidates import SMALLEST_LOAD, CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock
from optimizer.instance import Aggregation

__all__ = ["accuracy_rows", "capacity_rows", "demand_rows", "switching_rows", "use_rows"]


def demand_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """demand[w, b]:  Σ_{p of w} f[p, b] = 1   for each class b with demand."""
    workload, number = columns.pool_workload[columns.routing_pool], columns.routing_class
    keys, row = np.unique(workload * table.load.shape[1] + number, return_inverse=True)
    which = np.divmod(keys, table.load.shape[1])
    return RowBlock(
        group="demand",
        row=row,
        column=columns.first_routing + np.arange(len(row)),
        value=np.ones(len(row)),
        lower=np.ones(len(keys)),
        upper=np.ones(len(keys)),
        name=lambda r: f"{table.workloads[which[0][r]].name},{table.workloads[which[0][r]].classes[which[1][r]].name}",
    )


def capacity_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """capacity[p]:  Σ_b load[p, b] · f[p, b] ≤ Σ_o n[p, o]   where load = rate / (μ · utilization_cap), in replicas."""
    pools, load = len(columns.pool_candidate), _routing_load(table, columns)
    return RowBlock(
        group="capacity",
        row=np.concatenate([columns.routing_pool, columns.replica_pool]),
        column=np.concatenate([columns.first_routing + np.arange(len(load)), np.arange(len(columns.replica_pool))]),
        value=np.concatenate([load, -np.ones(len(columns.replica_pool))]),
        lower=np.full(pools, -np.inf),
        upper=np.zeros(pools),
        name=lambda r: _pool_name(table, columns, r),
    )


def switching_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """switch[p, b]:  f[p, b] ≤ Σ_o n[p, o]   where one replica could carry the whole class (load < 1).

    No class is routed to a pool without a replica. Where load ≥ 1 the capacity row already says more. The coefficient 1 is the
    tightest there is: f ≤ 1 ≤ n as soon as the pool exists; no big-M is needed.
    """
    routed = np.flatnonzero(_routing_load(table, columns) < 1.0)
    pool = columns.routing_pool[routed]
    start = np.searchsorted(columns.replica_pool, pool, side="left")  # replica columns come ordered by pool
    count = np.searchsorted(columns.replica_pool, pool, side="right") - start
    rows = np.arange(len(routed))
    offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return RowBlock(
        group="switch",
        row=np.concatenate([rows, np.repeat(rows, count)]),
        column=np.concatenate([columns.first_routing + routed, np.repeat(start, count) + offset]),
        value=np.concatenate([np.ones(len(rows)), -np.ones(int(count.sum()))]),
        lower=np.full(len(rows), -np.inf),
        upper=np.zeros(len(rows)),
        name=lambda r: f"{_pool_name(table, columns, int(pool[r]))},{columns.routing_class[routed[r]]}",
    )


def use_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """use[w, b, s]:  Σ_{p of w in s} f[p, b] ≤ y[s]   for each switch s that some pool of w belongs to.

    Whatever is routed to pools of the switch turns it on. The sum over the pools of one class is at most 1, so the coefficient 1
    of y is the tightest there is.
    """
    width = table.load.shape[1]
    key = columns.pool_workload[columns.routing_pool] * width + columns.routing_class
    at, column = np.nonzero(columns.switch_pools[:, columns.routing_pool])
    keys, row = np.unique(at * (len(table.workloads) * width) + key[column], return_inverse=True)
    which = np.divmod(keys, len(table.workloads) * width)
    on = np.arange(len(keys))
    return RowBlock(
        group="use",
        row=np.concatenate([row.reshape(-1), on]).astype(np.int64),
        column=np.concatenate([columns.first_routing + column, columns.first_switch + which[0]]),
        value=np.concatenate([np.ones(len(column)), -np.ones(len(keys))]),
        lower=np.full(len(keys), -np.inf),
        upper=np.zeros(len(keys)),
        name=lambda r: f"{_class_name(table, int(which[1][r]))},{columns.switches.switches[columns.switch[which[0][r]]].name}",
    )


def accuracy_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """accuracy[w]:  Σ_{p, b} traffic[w, b] · (accuracy[p] - floor[w]) · f[p, b] ≥ 0   where the floor is traffic-weighted.

    ``traffic`` is the class's share of the workload's demand; per-request floors were settled when candidates were judged.
    """
    floors = [w.accuracy for w in table.workloads]
    averaged = [f is not None and f.aggregation is Aggregation.TRAFFIC_WEIGHTED for f in floors]
    weighted = np.flatnonzero(averaged)
    floor = np.array([f.floor_fraction_of_baseline if f is not None else 0.0 for f in floors])
    workload = columns.pool_workload[columns.routing_pool]
    mine = np.flatnonzero(np.isin(workload, weighted))
    owner, number = workload[mine], columns.routing_class[mine]
    traffic = table.demand[owner, number] / np.maximum(table.demand[owner].sum(axis=1), 1e-300)
    margin = table.accuracy[columns.pool_candidate[columns.routing_pool[mine]]] - floor[owner]
    value = traffic * margin  # what a backend would drop is rounded to the strict side
    value = np.where(np.abs(value) >= SMALLEST_LOAD, value, np.where(value < 0, -SMALLEST_LOAD, 0.0))
    return RowBlock(
        group="accuracy",
        row=np.searchsorted(weighted, owner),
        column=columns.first_routing + mine,
        value=value,
        lower=np.zeros(len(weighted)),
        upper=np.full(len(weighted), np.inf),
        name=lambda r: table.workloads[weighted[r]].name,
    )


def _routing_load(table: CandidateTable, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give the replicas each routing column takes when its share is 1."""
    load: np.ndarray[tuple[int], np.dtype[np.float64]] = table.load[
        columns.pool_candidate[columns.routing_pool], columns.routing_class
    ]
    return load


def _class_name(table: CandidateTable, key: int) -> str:
    workload, number = divmod(key, table.load.shape[1])
    return f"{table.workloads[workload].name},{table.workloads[workload].classes[number].name}"


def _pool_name(table: CandidateTable, columns: Columns, pool: int) -> str:
    k = columns.pool_candidate[pool]
    workload = table.workloads[table.workload[k]].name
    return f"{workload},{table.configuration(k).label},{table.offers.regions[columns.pool_region[pool]]}"
