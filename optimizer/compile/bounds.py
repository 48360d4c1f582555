"""The most of anything that could be needed: upper bounds of columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.in_force import Changes
from optimizer.compile.training import TrainingTable
from optimizer.errors import InvalidInputError, Problem

__all__ = ["committed_bounds", "most_instances", "most_replicas"]

IntArray = npt.NDArray[np.int64]
BIGGEST_COUNT = 10**9
"""A count above this is a mistake in the input; integers stay exact in every backend far beyond it."""


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
