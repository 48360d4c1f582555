"""The most of anything that could be needed: upper bounds of columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.errors import InvalidInputError, Problem

__all__ = ["most_instances", "most_replicas"]

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
    return np.asarray(most)
