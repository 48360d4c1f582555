"""The most of anything that could be needed: upper bounds of columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.events import insured
from optimizer.compile.in_force import Changes
from optimizer.compile.training import TrainingTable
from optimizer.errors import InvalidInputError, Problem

__all__ = ["committed_bounds", "most_instances", "most_replicas", "spot_shares"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BIGGEST_COUNT = 10**9
"""A count above this is a mistake in the input; integers stay exact in every backend far beyond it."""
LARGEST_TIGHTENED, WHOLE = 1000, 1e-9
"""Replicas up to which a share of them is tightened, and how far below a whole number it may be, as ``verify`` reads decimals."""


def most_instances(table: CandidateTable) -> npt.NDArray[np.float64]:
    """Give the most instances of each offer that there are and any one limit allows, infinite where none says; (n_offers,)."""
    room = table.offers.available.copy()
    for number, limit in enumerate(table.instance.all_limits):
        if limit.match.speaks_of_replicas:
            continue
        counted = table.offers.limited[number]
        if limit.max_accelerators is not None:
            room[counted] = np.minimum(room[counted], limit.max_accelerators // table.offers.size[counted])
        if limit.max_instances is not None:
            room[counted] = np.minimum(room[counted], np.floor(limit.max_instances))
    return room


def most_replicas(table: CandidateTable, candidate: IntArray) -> IntArray:
    """Give the most replicas that all of a workload's demand needs of each candidate; shape (n_pools, n_periods)."""
    load = np.einsum("pb,pbt->pt", table.load[candidate], table.shape[table.workload[candidate]])
    if (load > BIGGEST_COUNT).any():
        k = int(candidate[np.argmax(load.max(axis=1))])
        found = f"{load.max():.3g} replicas of {table.configuration(k).label} would be needed"
        place = f"/workloads/{table.owners[table.workload[k]].name}"
        raise InvalidInputError("demand beyond counting", [Problem(None, place, found, f"at most {BIGGEST_COUNT:g}")])
    most = np.maximum(np.ceil(load + 1e-9), 1).astype(np.int64)
    cap = table.instance.policy.utilization_cap
    for p, k in enumerate(candidate.tolist()):
        if (curve := table.curves.get(k)) is not None:
            most[p] = np.maximum(most[p], [curve.needed(erlangs) for erlangs in (load[p] * cap).tolist()])
    lost = np.array([max((r.count for r in w.redundancy or ()), default=0) for w in table.workloads], dtype=np.int64)
    spare = (table.is_member * lost).max(axis=1, initial=0)
    return np.asarray(most + spare[table.workload[candidate]][:, None])


def spot_shares(table: CandidateTable, changes: Changes, candidate: IntArray) -> FloatArray:
    """Give the share of each pool's replicas in a period that may be on spot, as whole replicas have it; (n_pools, n_periods).

    Of two replicas no fifth is on spot: up to the most that all demand needs, ``greatest_share`` is as much as there can be. A
    plan with more replicas loses the ones too many, spot first, then others: as few stay on demand as the share asks of those
    that stay, and nothing gets dearer. Not so where replicas that carry nothing may be of use: beside a loss that is insured, in
    the queue of servers, or since starting and stopping costs.
    """
    owner = table.workload[candidate]
    stated = np.array([w.max_spot_fraction for w in table.owners], dtype=np.float64)[owner, None]
    share = np.broadcast_to(stated, (len(candidate), len(table.hours_share)))
    if len(changes.starts) or changes.in_force is not None:
        return share
    loose = insured(table)[owner] | np.isin(candidate, list(table.curves))
    return np.where(loose[:, None] | (share >= 1.0), share, greatest_share(share, most_replicas(table, candidate)))


def greatest_share(share: FloatArray, most: IntArray) -> FloatArray:
    """Give the greatest ⌊share · n⌋ / n for n from 1 to ``most``, which it is for far more as well; shapes are equal.

    >>> greatest_share(np.array([0.3, 0.3, 0.2, 0.5]), np.array([3, 8, 4, 9]))
    array([0.        , 0.28571429, 0.        , 0.5       ])
    """
    found = share.copy()
    for stated in np.unique(share):
        count = np.arange(1, LARGEST_TIGHTENED + 1)
        best = np.maximum.accumulate(np.floor(stated * count + WHOLE) / count)
        mine = (share == stated) & (most <= LARGEST_TIGHTENED)
        found[mine] = np.minimum(best[most[mine] - 1], stated)
    return found


def committed_bounds(
    table: CandidateTable,
    candidate: IntArray,
    pair: IntArray,
    offer: IntArray,
    count: IntArray,
    changes: Changes,
    training: TrainingTable,
) -> tuple[IntArray, IntArray, IntArray]:
    """Give the reserved and owned offers in use or in force, and the fewest and the most instances of each."""
    lower = np.zeros(len(table.offers), dtype=np.int64) if changes.in_force is None else changes.in_force.committed
    committed = np.union1d(offer[table.offers.committed[offer]], np.flatnonzero(training.shared_offers | (lower > 0)))
    peak = np.zeros(int(pair.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(peak, pair, np.ceil(count * table.size[candidate] / table.offers.size[offer]).astype(np.int64))
    last, upper = np.unique(pair, return_index=True)[1], np.zeros(len(table.offers), dtype=np.int64)
    np.add.at(upper, offer[last], peak[pair[last]])
    for job in np.unique(training.job):
        largest, mine = np.zeros_like(upper), np.flatnonzero(training.job == job)
        np.maximum.at(largest, training.offer[mine], training.instances[mine])
        upper += largest
    lot = table.offers.lot[committed]
    return committed, -(-lower[committed] // lot) * lot, -(-upper[committed] // lot) * lot
