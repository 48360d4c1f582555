"""Queues of servers with known service times: what several replicas of a candidate carry, in pieces, and the columns for it.

A candidate of kind ``service`` has a curve where the utilization cap alone does not say as much. In each of its cells (a pool in
a period) one piece of the curve is chosen, ``d[p, t, r]``, with the replicas it counts, ``e[p, t, r]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.errors import InvalidInputError, Problem
from optimizer.performance.figures import Queue
from optimizer.performance.staffing import MOST_SERVERS, Curve, Wait, curve_of, most_load

__all__ = ["QueueColumns", "curve_for", "erlangs_of"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def erlangs_of(queue: Queue, servers: int) -> float:
    """Give the most erlangs that servers of a queue carry, exactly."""
    pooled = servers if queue.is_pooled else 1
    return min((most_load(pooled, wait) for wait in _waits(queue)), default=float(pooled)) * (servers / pooled)


def _waits(queue: Queue) -> list[Wait]:
    return [Wait(wait_s / queue.residual_s, tail, queue.is_bursty) for wait_s, tail in queue.waits]


def curve_for(queue: Queue, cap: float, load: float, place: str) -> Curve | None:
    """Give the load that servers of a queue carry, up to ``load`` erlangs; None where the cap alone says as much.

    Raises
    ------
    InvalidInputError : more servers than one queue may have
    """
    try:
        return curve_of(_waits(queue), cap, load, pooled=queue.is_pooled)
    except OverflowError:
        found = f"{load:.6g} servers kept busy by one queue"
        hint = "split the workload, or leave out what is so slow"
        raise InvalidInputError(
            "demand beyond one queue", [Problem(None, place, found, f"at most {MOST_SERVERS:,}", hint)]
        ) from None


@dataclass(frozen=True, eq=False)
class QueueColumns:
    """The pieces of curves, cell by cell and piece by piece; all have shape (n_pieces,).

    First come the columns ``d``, then the columns ``e``, in the same order. ``first`` and ``last`` are the counts between which a
    piece holds.
    """

    curves: Mapping[int, Curve]
    cell: IntArray
    piece: IntArray
    curve: IntArray
    first: IntArray
    last: IntArray

    def __len__(self) -> int:
        """Give the number of columns."""
        return 2 * len(self.cell)

    @property
    def upper(self) -> FloatArray:
        """Give the upper bounds of all columns."""
        return np.concatenate([np.ones(len(self.cell)), self.last]).astype(np.float64)

    @cached_property
    def lines(self) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Give what each piece says of each budget of its cell: piece's place, budget, slope and intercept, shape (n_lines,)."""
        found: list[tuple[int, int, float, float]] = []
        for at, (k, r) in enumerate(zip(self.curve.tolist(), self.piece.tolist(), strict=True)):
            curve = self.curves[k]
            found += [(at, i, float(curve.slope[i, r]), float(curve.intercept[i, r])) for i in range(len(curve.slope))]
        columns = np.array(found, dtype=np.float64).reshape(-1, 4).T
        return columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3]

    @classmethod
    def of(cls, curves: Mapping[int, Curve], cell: IntArray, candidate: IntArray, most: IntArray) -> QueueColumns:
        """Lay out the pieces that cells, ascending, of candidates may need for ``most`` replicas."""
        mine = [n for n, k in enumerate(candidate.tolist()) if k in curves]
        found: list[tuple[int, int, int, int, int]] = []
        for n in mine:
            curve = curves[int(candidate[n])]
            for r in np.flatnonzero(curve.first <= most[n]).tolist():
                last = min(int(curve.last[r]), int(most[n]))
                found.append((int(cell[n]), r, int(candidate[n]), int(curve.first[r]), last))
        columns = np.array(found, dtype=np.int64).reshape(-1, 5).T
        return cls(curves, *columns)

    @classmethod
    def of_replicas(
        cls, curves: Mapping[int, Curve], candidate: IntArray, periods: int, pool: IntArray, period: IntArray, most: IntArray
    ) -> QueueColumns:
        """Lay out the pieces of every cell; ``pool``, ``period`` and ``most`` are of replica columns, in order of cell."""
        cells, first = np.unique(pool * periods + period, return_index=True)
        return cls.of(curves, cells, candidate[cells // periods], np.maximum.reduceat(most, first) if len(most) else most)

    def of_counts(self, cell: IntArray, count: FloatArray) -> FloatArray:
        """Give the values of all columns for numbers of replicas in cells: the piece that holds for as many."""
        replicas = np.zeros(int(max(cell.max(initial=-1), self.cell.max(initial=-1))) + 1)
        np.add.at(replicas, cell, count)
        mine = replicas[self.cell]
        begins = np.r_[True, self.cell[1:] != self.cell[:-1]]
        ends = np.r_[begins[1:], True] if len(begins) else begins
        chosen = (self.first <= mine) & ((mine <= self.last) | ends[: len(mine)])
        return np.concatenate([chosen.astype(np.float64), np.where(chosen, np.minimum(mine, self.last), 0.0)])
