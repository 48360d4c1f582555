"""Whole counts and exact shares from a solver's floats, once.

Counts are rounded with a named tolerance. Shares become multiples of 1e-12 that sum to one. What a solver's tolerance left
overloaded is mended here by moving traffic, and where there is no room by one more replica, never by looking away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.decode.mending import DUST, SHARE_UNIT, SMALLEST_SHARE, balanced, used
from optimizer.decode.recourse import recourse_of
from optimizer.errors import AllocationError
from solvers import Solution

__all__ = ["INTEGRALITY_TOLERANCE", "SHARE_UNIT", "Choice", "choice_of"]

INTEGRALITY_TOLERANCE = 1e-5
"""How far from whole a count may come back; backends promise 1e-6."""
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen: ``replicas`` per replica column, ``shares`` per routing column in SHARE_UNITs.

    ``used`` accelerators and rented ``instances`` have shape (n_offers, n_periods); committed offers have one count for all,
    training jobs that run on them included; what jobs rent by use is told by ``ways`` alone, the way of each; shape (n_jobs,).
    ``recourse`` are shares after losses, per column of them, none where a loss strikes nothing.
    """

    replicas: IntArray
    used: IntArray
    instances: IntArray
    shares: IntArray
    ways: IntArray
    unserved: IntArray
    recourse: IntArray


def choice_of(compiled: Compiled, solution: Solution) -> Choice:
    """Round, mend and recount a solution.

    Raises
    ------
    AllocationError : a count is not whole within tolerance, or an overload cannot be mended
    """
    if solution.values is None:
        raise AllocationError("a solution without values cannot be decoded")
    columns = compiled.columns
    replicas = _whole(solution.values[: columns.first_instance], compiled)
    shares = np.clip(solution.values[columns.first_routing : columns.first_start], 0.0, 1.0)
    shares = np.where(shares < SMALLEST_SHARE, 0.0, shares)
    part = _served(compiled, shares)  # dust is served or not
    unserved = _unserved(compiled, np.where(part < DUST, 0.0, np.where(part > 1.0 - SMALLEST_SHARE, 1.0, part)))
    served = np.ones(int(columns.routing_demand.max(initial=-1)) + 1)
    served[columns.shed.demand] = 1.0 - unserved / SHARE_UNIT
    shares = balanced(compiled, replicas, shares, served)
    unserved = _unserved(compiled, _served(compiled, shares))  # mending may leave a trace more
    exact = _exact(compiled, shares, unserved)
    replicas = _without_idle(compiled, replicas, exact)
    recourse = recourse_of(compiled, solution.values[columns.first_recourse :], replicas, exact, unserved)
    ways = _ways(compiled, solution.values[columns.first_training : columns.first_routing])
    taken = used(compiled, replicas)
    instances = _instances(compiled, taken, ways)
    np.add.at(taken, *_on_committed(compiled, ways, columns.training.accelerators))
    return Choice(replicas, taken, instances, exact, ways, unserved, recourse)


def _without_idle(compiled: Compiled, replicas: IntArray, shares: IntArray) -> IntArray:
    """Leave out replicas of cells that carry nothing: on an instance that others fill they cost nothing, and are of no use.

    They may be of use where starting, changing or losing replicas counts: there they stay.
    """
    columns = compiled.columns
    if len(columns.starts) or columns.changes.in_force is not None or len(columns.losses.events):
        return replicas
    busy = np.zeros(len(columns.pool_candidate) * columns.n_periods, dtype=bool)
    busy[columns.routing_cell[shares > 0]] = True
    return np.where(busy[columns.replica_cell], replicas, 0)


def _ways(compiled: Compiled, values: FloatArray) -> IntArray:
    """Give the one way chosen of each training job."""
    runs, chosen = compiled.columns.training, np.flatnonzero(_whole(values, compiled, compiled.columns.first_training))
    if runs.job[chosen].tolist() != list(range(len(runs.jobs))):
        raise AllocationError("a training job has not exactly one way in the solver's answer")
    return chosen


def _on_committed(
    compiled: Compiled, ways: IntArray, amount: FloatArray
) -> tuple[tuple[IntArray, IntArray], npt.NDArray[np.int64]]:
    """Give where the chosen runs occupy committed offers, as (offers, periods), and how much of ``amount`` each does."""
    runs = compiled.columns.training
    run, period = runs.touched
    mine = np.isin(run, ways) & runs.offers.committed[runs.offer[run]]
    return (runs.offer[run[mine]], period[mine]), amount[run[mine]].astype(np.int64)


def _instances(compiled: Compiled, used: IntArray, ways: IntArray) -> IntArray:
    """Count the instances that hold what is used; reserved and owned ones are held in all periods alike."""
    offers = compiled.candidates.offers
    needed, in_force = (-(-used // offers.size[:, None])).astype(np.int64), compiled.columns.changes.in_force
    np.add.at(needed, *_on_committed(compiled, ways, compiled.columns.training.instances))
    kept = np.zeros(len(offers), dtype=np.int64) if in_force is None else in_force.committed
    bought = -(-np.maximum(needed.max(axis=1), kept) // offers.lot) * offers.lot
    return np.where(offers.committed[:, None], bought[:, None], needed)


def _whole(values: FloatArray, compiled: Compiled, first: int = 0) -> IntArray:
    counts = np.rint(values)
    off = np.abs(values - counts)
    if (off > INTEGRALITY_TOLERANCE).any():
        worst = int(np.argmax(off))
        label = compiled.model.column_label(first + worst)
        raise AllocationError(f"column {label}: {values[worst]!r} is not whole within {INTEGRALITY_TOLERANCE:g}")
    return counts.astype(np.int64)


def _served(compiled: Compiled, shares: FloatArray) -> FloatArray:
    """Give how much shares serve of each class of which some may be left unserved."""
    columns = compiled.columns
    return np.bincount(columns.routing_demand, weights=shares, minlength=1)[columns.shed.demand].astype(np.float64)


def _unserved(compiled: Compiled, served: FloatArray) -> IntArray:
    """Give what is then left unserved, in SHARE_UNITs, at most what is allowed."""
    most = [math.floor(Fraction(repr(x)) * SHARE_UNIT) for x in compiled.columns.shed.upper.tolist()]
    return np.asarray(np.minimum(np.rint((1.0 - served) * SHARE_UNIT).astype(np.int64), np.array(most, dtype=np.int64)))


def _exact(compiled: Compiled, shares: FloatArray, unserved: IntArray) -> IntArray:
    """Turn shares into whole multiples of 1 / SHARE_UNIT that sum to what is served of each class; the largest takes the rest."""
    key = compiled.columns.routing_demand
    units = np.where(shares < SMALLEST_SHARE, 0, np.rint(shares * SHARE_UNIT).astype(np.int64))
    order = np.lexsort((-units, key))
    first = order[np.r_[True, key[order][1:] != key[order][:-1]][: len(order)]]
    sums = np.zeros(int(key.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(sums, key, units)
    sums[compiled.columns.shed.demand] += unserved
    units[first] += SHARE_UNIT - sums[key[first]]
    return units
