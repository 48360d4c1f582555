"""What is served after each loss, as exact shares: the certificate that a plan's insurances hold.

A loss that strikes no replica of the workloads that insure against it needs no word: their routing stays.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.compile.queues import erlangs_of
from optimizer.decode.mending import OVERLOAD_TOLERANCE, SHARE_UNIT, SMALLEST_SHARE, Places, unload
from optimizer.errors import AllocationError

__all__ = ["recourse_of", "struck"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
MOST_MENDED = 100


def struck(compiled: Compiled, replicas: IntArray) -> npt.NDArray[np.bool_]:
    """Say which events strike replicas of a workload that insures against them; shape (n_events,)."""
    columns, table = compiled.columns, compiled.candidates
    found = np.zeros(len(columns.losses.events), dtype=bool)
    there = np.flatnonzero(replicas)
    staffed = set(columns.replica_pool[there].tolist())
    for number, event in enumerate(columns.losses.events):
        if not event.offers and event.pool not in staffed:
            continue  # most pools of a question have no replicas
        concerned = np.asarray(table.is_member[:, list(event.shares)].any(axis=1))
        mine = there[concerned[columns.pool_workload[columns.replica_pool[there]]]]
        hit = np.isin(columns.replica_offer[mine], list(event.offers)) | (columns.replica_pool[mine] == event.pool)
        found[number] = hit.any()
    return found


def recourse_of(compiled: Compiled, values: FloatArray, replicas: IntArray, routed: IntArray, unserved: IntArray) -> IntArray:
    """Give the shares after losses in SHARE_UNITs, one a column; ``replicas`` grows where what is left is overloaded.

    Raises
    ------
    AllocationError : an overload cannot be mended
    """
    columns, losses = compiled.columns, compiled.columns.losses
    if not len(losses.route):
        return np.zeros(0, dtype=np.int64)
    matters = struck(compiled, replicas)[losses.event[losses.route_cell]]
    shares = np.where((values >= SMALLEST_SHARE) & matters, np.clip(values, 0.0, 1.0), 0.0)
    demands = int(columns.routing_demand.max()) + 1
    _, key = np.unique(losses.event[losses.route_cell] * demands + columns.routing_demand[losses.route], return_inverse=True)
    wanted, places = _wanted(compiled, unserved), Places(losses.route_cell, key)
    for _ in range(MOST_MENDED):
        room = _room(compiled, replicas, routed)
        mended = np.where(room[losses.route_cell] > 0, shares, 0.0)
        total = np.bincount(key, weights=mended)[key]
        if (matters & (total <= 0)).any():
            raise AllocationError("an insured class is routed nowhere after a loss in the solver's answer")
        mended = mended * (wanted / SHARE_UNIT) / np.where(total > 0, total, 1.0)
        load = columns.routing_load[losses.route]
        used = np.bincount(losses.route_cell, weights=load * mended, minlength=len(room)).astype(np.float64)
        for c in np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE)):
            unload(int(c), losses.route_cell, key, load, mended, used, room, places)
        over = np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE))
        if not len(over):
            return _exact(mended, wanted, key, matters)
        mine = losses.left[(losses.left_cell == over[0]) & (replicas[losses.left] > 0)]
        replicas[mine[0]] += 1
    raise AllocationError("what is left after a loss stays overloaded")


def _wanted(compiled: Compiled, unserved: IntArray) -> IntArray:
    """Give what each column's class must still be served, in SHARE_UNITs, rounded up."""
    columns, losses = compiled.columns, compiled.columns.losses
    left = np.full(int(columns.routing_demand.max()) + 1, SHARE_UNIT, dtype=np.int64)
    left[columns.shed.demand] -= unserved
    share = losses.share(columns.routing_workload[losses.route]).tolist()
    served = left[columns.routing_demand[losses.route]].tolist()
    return np.array([math.ceil(Fraction(repr(s)) * n) for s, n in zip(share, served, strict=True)], dtype=np.int64)


def _room(compiled: Compiled, replicas: IntArray, routed: IntArray) -> FloatArray:
    """Give the loads that event cells have room for beside what stays in them: replicas left, or what their queue allows."""
    columns, table, losses = compiled.columns, compiled.candidates, compiled.columns.losses
    count = np.bincount(losses.left_cell, weights=replicas[losses.left], minlength=len(losses.pool)).astype(np.float64)
    count = np.maximum(count - losses.replicas_lost, 0.0)
    cap, room = table.instance.policy.utilization_cap, count.copy()
    for c, k in enumerate(columns.pool_candidate[losses.pool].tolist()):
        if k in table.curves and count[c] > 0:
            room[c] = min(count[c], erlangs_of(table.queues[k], int(count[c])) / cap)
    load = columns.routing_load[losses.kept] * (routed[losses.kept] / SHARE_UNIT)
    return room - np.bincount(losses.kept_cell, weights=load, minlength=len(room))


def _exact(shares: FloatArray, wanted: IntArray, key: IntArray, matters: npt.NDArray[np.bool_]) -> IntArray:
    """Turn shares into whole multiples of 1 / SHARE_UNIT that sum to what is wanted; the largest of a class takes the rest."""
    units = np.where(shares < SMALLEST_SHARE, 0, np.rint(shares * SHARE_UNIT).astype(np.int64))
    order = np.lexsort((-units, key))
    first = order[np.r_[True, key[order][1:] != key[order][:-1]]]
    sums = np.zeros(int(key.max()) + 1, dtype=np.int64)
    np.add.at(sums, key, units)
    units[first] += wanted[first] - sums[key[first]]
    return np.where(matters, units, 0)
