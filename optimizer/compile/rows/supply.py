"""Rows on what is rented: instances hold their replicas, limits cap what is used, spot has its share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import REPLICA_FIELDS, CandidateTable
from optimizer.compile.columns import Columns
from optimizer.compile.rows.block import RowBlock

__all__ = ["instance_rows", "limit_rows", "spot_rows"]


def instance_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """instances[o]:  Σ_p size[p] · n[p, o] ≤ size[o] · i[o]   for offers whose instances several replicas share.

    Counting is exact because the replica sizes on an offer divide its size and one another (1, 2, 4, 8).
    """
    shared = columns.instance_offer
    mine = np.flatnonzero(np.isin(columns.replica_offer, shared))
    rows = np.arange(len(shared))
    return RowBlock(
        group="instances",
        row=np.concatenate([np.searchsorted(shared, columns.replica_offer[mine]), rows]),
        column=np.concatenate([mine, columns.first_instance + rows]),
        value=np.concatenate([columns.replica_size[mine], -table.offers.size[shared]]).astype(np.float64),
        lower=np.full(len(shared), -np.inf),
        upper=np.zeros(len(shared)),
        name=lambda r: table.offers.label(int(shared[r])),
    )


def limit_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """limit[l]:  Σ_{o in l} size[o] · instances[o] ≤ max_accelerators[l],  or without size ≤ max_instances[l].

    A limit that names workloads, teams or variants counts the accelerators of their replicas, Σ size[p] · n[p, o], instead.
    """
    terms = [t for number in range(len(table.instance.limits)) for t in _limit_terms(table, columns, number)]
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


def _limit_terms(table: CandidateTable, columns: Columns, number: int) -> list[_Terms]:
    limit = table.instance.limits[number]
    fits = table.offers.limited[number]
    found: list[_Terms] = []
    if limit.match.speaks_of_replicas:
        counted = table.matching(limit.match, REPLICA_FIELDS)
        mine = np.flatnonzero(fits[columns.replica_offer] & counted[columns.pool_candidate[columns.replica_pool]])
        size = columns.replica_size[mine].astype(np.float64)
    else:
        rented = np.flatnonzero(fits[columns.rent_offer])
        mine, size = columns.rent_column[rented], table.offers.size[columns.rent_offer[rented]].astype(np.float64)
    if limit.max_accelerators is not None:
        found.append(_Terms(limit.name, mine, size, limit.max_accelerators))
    if limit.max_instances is not None:
        found.append(_Terms(f"{limit.name} (instances)", mine, np.ones(len(mine)), limit.max_instances))
    return [t for t in found if len(t.column)]


def spot_rows(table: CandidateTable, columns: Columns) -> RowBlock:
    """spot[p]:  Σ_{o spot} n[p, o] ≤ max_spot_fraction[w] · Σ_o n[p, o]   where some spot is allowed, but not only spot."""
    spot = np.array([price.option.value == "spot" for price in table.offers.prices], dtype=bool)
    share = np.array([w.max_spot_fraction for w in table.workloads])[columns.pool_workload]
    on_spot = np.zeros(len(share), dtype=bool)
    on_spot[columns.replica_pool[spot[columns.replica_offer]]] = True
    pools = np.flatnonzero(on_spot & (share < 1.0))
    mine = np.flatnonzero(np.isin(columns.replica_pool, pools))
    pool = columns.replica_pool[mine]
    return RowBlock(
        group="spot",
        row=np.searchsorted(pools, pool),
        column=mine,
        value=spot[columns.replica_offer[mine]].astype(np.float64) - share[pool],
        lower=np.full(len(pools), -np.inf),
        upper=np.zeros(len(pools)),
        name=lambda r: table.workloads[columns.pool_workload[pools[r]]].name + f",{pools[r]}",
    )
