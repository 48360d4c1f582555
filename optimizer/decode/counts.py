"""Whole counts and exact shares from a solver's floats, once.

Counts are rounded with a named tolerance. Shares become multiples of 1e-12 that sum to one. What a solver's tolerance left
overloaded is mended here by moving traffic, and where there is no room by one more replica, never by looking away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.errors import AllocationError
from solvers import Solution

__all__ = ["INTEGRALITY_TOLERANCE", "SHARE_UNIT", "Choice", "choice_of"]

INTEGRALITY_TOLERANCE = 1e-5
"""How far from whole a count may come back; backends promise 1e-6."""
SHARE_UNIT = 10**12
"""Shares are whole multiples of 1 / SHARE_UNIT."""
SMALLEST_SHARE = 1e-9
"""A smaller share is a solver's dust, not a route."""
OVERLOAD_TOLERANCE = 1e-10
"""Relative overload of a pool that is left alone; ``verify`` allows 1e-9."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen: ``replicas`` per replica column, ``instances`` per offer, ``shares`` per routing column in SHARE_UNITs."""

    replicas: IntArray
    instances: IntArray
    shares: IntArray


def choice_of(compiled: Compiled, solution: Solution) -> Choice:
    """Round, mend and recount a solution.

    Raises
    ------
    AllocationError : a count is not whole within tolerance, or an overload cannot be mended
    """
    if solution.values is None:
        raise AllocationError("a solution without values cannot be decoded")
    columns = compiled.columns
    replicas = _whole(compiled, solution.values[: columns.first_instance])
    shares = np.clip(solution.values[columns.first_routing :], 0.0, 1.0)
    shares = _balanced(compiled, replicas, np.where(shares < SMALLEST_SHARE, 0.0, shares))
    exact = _exact(compiled, shares)
    return Choice(replicas, instances_of(compiled, replicas), exact)


def instances_of(compiled: Compiled, replicas: IntArray) -> IntArray:
    """Count the instances that hold the replicas, per offer; shape (n_offers,)."""
    columns, offers = compiled.columns, compiled.candidates.offers
    used = np.zeros(len(offers), dtype=np.int64)
    np.add.at(used, columns.replica_offer, replicas * columns.replica_size)
    return -(-used // offers.size)


def _whole(compiled: Compiled, values: FloatArray) -> IntArray:
    counts = np.rint(values)
    off = np.abs(values - counts)
    if (off > INTEGRALITY_TOLERANCE).any():
        worst = int(np.argmax(off))
        label = compiled.model.column_label(worst)
        raise AllocationError(f"column {label}: {values[worst]!r} is not whole within {INTEGRALITY_TOLERANCE:g}")
    return counts.astype(np.int64)


def _balanced(compiled: Compiled, replicas: IntArray, shares: FloatArray) -> FloatArray:
    """Make shares sum to one over pools that exist, and move what overloads a pool to where there is room."""
    columns, table = compiled.columns, compiled.candidates
    room = np.zeros(len(columns.pool_candidate))
    np.add.at(room, columns.replica_pool, replicas)
    pool, width = columns.routing_pool, table.load.shape[1]
    load = table.load[columns.pool_candidate[pool], columns.routing_class]
    shares = np.where(room[pool] > 0, shares, 0.0)
    key = columns.pool_workload[pool] * width + columns.routing_class
    total = np.bincount(key, weights=shares, minlength=len(table.workloads) * width)
    if (total[key] <= 0.5).any():
        raise AllocationError("a class with demand is routed nowhere in the solver's answer")
    shares = shares / total[key]
    used = np.bincount(pool, weights=load * shares, minlength=len(room)).astype(np.float64)
    for p in np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE)):
        _unload(int(p), pool, key, load, shares, used, room)
    over = np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE))
    for p in over:
        _add_replica(compiled, int(p), replicas)
    return shares


def _unload(
    p: int, pool: IntArray, key: IntArray, load: FloatArray, shares: FloatArray, used: FloatArray, room: FloatArray
) -> None:
    """Move the excess of pool ``p``, class by class, to pools of the same class with room; changes shares and used."""
    for mine in np.flatnonzero((pool == p) & (shares > 0)):
        for other in np.flatnonzero((key == key[mine]) & (pool != p) & (room[pool] > 0)):
            excess, slack = used[p] - room[p], room[pool[other]] - used[pool[other]]
            if excess <= 0:
                return
            if slack > 0:
                moved = min(shares[mine], excess * (1 + 1e-6) / load[mine], slack / load[other])
                shares[mine] -= moved
                shares[other] += moved
                used[p] -= moved * load[mine]
                used[pool[other]] += moved * load[other]


def _add_replica(compiled: Compiled, p: int, replicas: IntArray) -> None:
    """Give an overloaded pool one more replica, on an offer where the instance has room or else the first that it uses."""
    columns, offers = compiled.columns, compiled.candidates.offers
    mine = np.flatnonzero((columns.replica_pool == p) & (replicas > 0))
    used = np.zeros(len(offers), dtype=np.int64)
    np.add.at(used, columns.replica_offer, replicas * columns.replica_size)
    free = (-used[columns.replica_offer[mine]]) % offers.size[columns.replica_offer[mine]] >= columns.replica_size[mine]
    replicas[mine[np.argmax(free)]] += 1


def _exact(compiled: Compiled, shares: FloatArray) -> IntArray:
    """Turn shares into whole multiples of 1 / SHARE_UNIT that sum to SHARE_UNIT for each class; the largest takes the rest."""
    columns, width = compiled.columns, compiled.candidates.load.shape[1]
    units = np.rint(shares * SHARE_UNIT).astype(np.int64)
    units = np.where(shares < SMALLEST_SHARE, 0, units)
    key = columns.pool_workload[columns.routing_pool] * width + columns.routing_class
    order = np.lexsort((-units, key))
    first = order[np.r_[True, key[order][1:] != key[order][:-1]]]
    sums = np.zeros(int(key.max()) + 1 if len(key) else 0, dtype=np.int64)
    np.add.at(sums, key, units)
    units[first] += SHARE_UNIT - sums[key[first]]
    return units
