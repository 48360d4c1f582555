"""Rows on what is rented: instances hold replicas, commitments hold instances, limits cap what is used, spot has its share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import SMALLEST_LOAD, CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.objective import bill, busy_usd_per_hour
from optimizer.compile.rows.block import RowBlock
from optimizer.instance import HOURS_PER_MONTH, Match

__all__ = ["budget_rows", "commitment_rows", "instance_rows", "limit_rows", "lot_rows", "spot_rows"]


def instance_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """instances[o, t]:  Σ_p size[p] · n[p, o, t] ≤ size[o] · i[o, t]   for offers whose instances several replicas share.

    Counting is exact because the replica sizes on an offer divide its size and one another (1, 2, 4, 8).
    """
    slots = columns.instance_offer * columns.n_periods + columns.instance_period
    mine = np.flatnonzero(~columns.lone)
    slot = columns.replica_offer[mine] * columns.n_periods + columns.replica_period[mine]
    rows = np.arange(len(slots))
    return RowBlock(
        group="instances",
        row=np.concatenate([np.searchsorted(slots, slot), rows]),
        column=np.concatenate([mine, columns.first_instance + rows]),
        value=np.concatenate([columns.replica_size[mine], -table.offers.size[columns.instance_offer]]).astype(np.float64),
        lower=np.full(len(slots), -np.inf),
        upper=np.zeros(len(slots)),
        name=lambda r: _slot_name(table, int(slots[r])),
    )


def commitment_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """commitment[o, t]:  instances[o, t] ≤ r[o]   for reserved and owned offers: what runs was committed for all periods."""
    column, offer, period, instances = columns.held
    mine = np.flatnonzero(table.offers.committed[offer])
    slot = offer[mine] * columns.n_periods + period[mine]
    slots, row = np.unique(slot, return_inverse=True)
    rows = np.arange(len(slots))
    commit = columns.first_commit + np.searchsorted(columns.commit_offer, slots // columns.n_periods)
    return RowBlock(
        group="commitment",
        row=np.concatenate([row, rows]),
        column=np.concatenate([column[mine], commit]),
        value=np.concatenate([instances[mine], -np.ones(len(slots))]),
        lower=np.full(len(slots), -np.inf),
        upper=np.zeros(len(slots)),
        name=lambda r: _slot_name(table, int(slots[r])),
    )


def lot_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """lot[o]:  r[o] = lot[o] · l[o]   for reserved and owned offers that are bought in lots of several instances."""
    offers = columns.commit_offer[columns.lot_commit]
    rows = np.arange(len(offers))
    return RowBlock(
        group="lot",
        row=np.concatenate([rows, rows]),
        column=np.concatenate([columns.first_commit + columns.lot_commit, columns.first_lot + rows]),
        value=np.concatenate([np.ones(len(rows)), -table.offers.lot[offers].astype(np.float64)]),
        lower=np.zeros(len(rows)),
        upper=np.zeros(len(rows)),
        name=lambda r: table.offers.label(int(offers[r])),
    )


def limit_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """limit[l, t]:  Σ_{o in l} size[o] · instances[o, t] ≤ max_accelerators[l],  or without size ≤ max_instances[l].

    Reserved and owned offers are counted by their commitment r[o], in every period. A limit that names workloads, teams or
    variants counts the accelerators of their replicas, Σ size[p] · n[p, o, t], instead.
    """
    limits, periods = range(len(table.instance.all_limits)), range(columns.n_periods)
    terms = [t for number in limits for period in periods for t in _limit_terms(table, columns, number, period)]
    sizes = [len(t.column) for t in terms]
    row = np.repeat(np.arange(len(terms)), sizes) if terms else np.zeros(0, dtype=np.int64)
    return RowBlock(
        group="limit",
        row=row,
        column=np.concatenate([t.column for t in terms]) if terms else np.zeros(0, dtype=np.int64),
        value=np.concatenate([t.value for t in terms]) if terms else np.zeros(0),
        lower=np.full(len(terms), -np.inf),
        upper=np.array([t.most for t in terms], dtype=np.float64),
        name=lambda r: terms[r].name,
    )


@dataclass(frozen=True, eq=False)
class _Terms:
    name: str
    column: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    most: float


def _limit_terms(table: CandidateTable, columns: Columns, number: int, period: int) -> list[_Terms]:
    limit, size = table.instance.all_limits[number], table.offers.size
    fits = table.offers.limited[number]
    found: list[_Terms] = []
    if limit.match.speaks_of_replicas:
        counted = table.limited[number, columns.pool_candidate[columns.replica_pool]]
        replicas = np.flatnonzero(fits[columns.replica_offer] & counted & (columns.replica_period == period))
        run, when = columns.training.touched
        mine = run[columns.training.limited[number, run] & (when == period)]
        column = np.concatenate([replicas, columns.first_training + mine])
        accelerators = np.concatenate([columns.replica_size[replicas], columns.training.accelerators[mine]]).astype(np.float64)
        count = np.ones(len(column))
    else:
        column, offer, _, count = columns.held
        floating = columns.held_in(np.flatnonzero(fits & ~table.offers.committed), period)
        held = np.flatnonzero(fits[columns.commit_offer])
        column = np.concatenate([column[floating], columns.first_commit + held])
        count = np.concatenate([count[floating], np.ones(len(held))])
        accelerators = count * size[np.concatenate([offer[floating], columns.commit_offer[held]])]
    name = limit.name + (f",{table.instance.periods[period].name}" if columns.n_periods > 1 else "")
    if limit.max_accelerators is not None:
        found.append(_Terms(name, column, accelerators, limit.max_accelerators))
    if limit.max_instances is not None:
        found.append(_Terms(f"{name} (instances)", column, count, limit.max_instances))
    return [t for t in found if len(t.column)]


def budget_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """budget[l]:  what the limit's match covers costs at most max_usd_per_month[l] / 730.

    A match that asks nothing covers the whole bill. One that asks of offers covers what their instances cost, commitments
    included; one that asks of replicas (team, workload, variant) the share of the price that their accelerators are of the
    instance, Σ hours_share · price[o] · size[p] / size[o] · n[p, o, t]; both with what the load they count draws at sites.
    """
    limits = [x for x in table.instance.all_limits if x.max_usd_per_month is not None]
    costs, fixed = [_covered(table, columns, limit.match) for limit in limits], columns.constant_usd_per_hour
    entries = [np.flatnonzero(cost) for cost in costs]
    return RowBlock(
        group="budget",
        row=np.repeat(np.arange(len(limits)), [len(e) for e in entries]),
        column=np.concatenate([*entries, np.zeros(0, dtype=np.int64)]).astype(np.int64),
        value=np.concatenate(
            [*(np.maximum(cost[e], SMALLEST_LOAD) for cost, e in zip(costs, entries, strict=True)), np.zeros(0)]
        ),
        lower=np.full(len(limits), -np.inf),
        upper=np.array([(x.max_usd_per_month or 0.0) / HOURS_PER_MONTH - fixed * (x.match == Match()) for x in limits]),
        name=lambda r: limits[r].name,
    )


def _covered(table: CandidateTable, columns: Columns, match: Match) -> npt.NDArray[np.float64]:
    """Give what a match covers of each column's cost, USD per hour; shape (n_columns,)."""
    cost = bill(table, columns)
    if match == Match():
        return cost
    number = [limit.match for limit in table.instance.all_limits].index(match)
    fits, covered = table.offers.limited[number], np.zeros(len(cost))
    runs = columns.first_training + np.arange(len(columns.training))
    loaded = table.offers.placed(number)[columns.routing_place]
    loaded &= table.limited[number, columns.pool_candidate[columns.routing_pool]]
    covered[columns.first_routing : columns.first_start] = busy_usd_per_hour(table, columns) * loaded
    if not match.speaks_of_replicas:
        rented, held = columns.rent_column, columns.first_commit + np.arange(len(columns.commit_offer))
        covered[rented] = cost[rented] * fits[columns.rent_offer]
        covered[held] = cost[held] * fits[columns.commit_offer]
        covered[runs] = cost[runs] * fits[columns.training.offer]
        return covered
    counted = table.limited[number, columns.pool_candidate[columns.replica_pool]] & fits[columns.replica_offer]
    share = columns.replica_size / table.offers.size[columns.replica_offer] * table.hours_share[columns.replica_period]
    covered[: columns.first_instance] = table.offers.usd_per_hour[columns.replica_offer] * share * counted
    paid = table.offers.usd_per_hour[columns.training.offer] * columns.training.use
    covered[runs] = (paid + columns.training.busy_usd_per_hour) * columns.training.limited[number]
    return covered


def spot_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """spot[p, t]:  Σ_{o spot} n[p, o, t] ≤ spot_share[p, t] · Σ_o n[p, o, t]   where some spot is allowed, not only spot.

    The share is ``max_spot_fraction[w]`` as whole replicas can have it (``bounds.spot_shares``).
    """
    on_spot = np.zeros(len(columns.spot_share), dtype=bool)
    on_spot[columns.replica_cell[columns.capped]] = True
    mine = np.flatnonzero(on_spot[columns.replica_cell])
    cells, row = np.unique(columns.replica_cell[mine], return_inverse=True)
    return RowBlock(
        group="spot",
        row=row,
        column=mine,
        value=columns.capped[mine].astype(np.float64) - columns.spot_share[columns.replica_cell[mine]],
        lower=np.full(len(cells), -np.inf),
        upper=np.zeros(len(cells)),
        name=lambda r: f"{table.owners[columns.pool_workload[cells[r] // columns.n_periods]].name},{cells[r]}",
    )


def _slot_name(table: CandidateTable, slot: int) -> str:
    offer, period = divmod(slot, len(table.hours_share))
    when = f",{table.instance.periods[period].name}" if len(table.hours_share) > 1 else ""
    return table.offers.label(offer) + when
