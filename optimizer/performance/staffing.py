"""How much servers of one request (or batch) at a time may carry together so that a percentile of the wait keeps its budget.

Erlang-C with the Allen-Cunneen correction. Load is in erlangs (busy servers on average), times in units of the residual time
``E[S^2] / (2 E[S])``, the mean rest of the service that an arrival finds going on: then the variability of the service is in the
unit, and the mix of classes matters through that one time only. What a server is busy for, and how far its figures are on the
safe side, is settled in ``service``; nothing here knows of seconds.

Sources: Erlang B by its recursion; Allen (1990), Probability, Statistics and Queueing Theory, section 5.3; Whitt (1993),
Approximations for the GI/G/m queue, Production and Operations Management 2(2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_LOSS", "MOST_SERVERS", "Curve", "Wait", "curve_of", "erlang_c", "most_load", "wait_quantile"]

FloatArray = npt.NDArray[np.float64]

MOST_SERVERS = 10_000
"""Servers of one queue; the formulas are checked up to here."""
MOST_LOSS = 0.02
"""Share of the load that a straight piece may lie below what servers could carry."""
FIRST = (1, 3, 5, 7, 9, 12, 17, 24, 36, 57, 99, 195, 470, 1614)
"""Where pieces begin, whatever the budget, so that a looser one never carries less; two counts each up to 8, which are exact,
then as many as lose 2 % at most for tails from 0.5 to 0.0001 and waits from none to 5 residual times."""
HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Wait:
    """A budget of ``ratio`` residual times that at most the share ``tail`` of requests outwaits; None: the mean wait keeps it.

    ``is_bursty``: whoever comes in a burst finds all servers busy, however few are on average. Everyone is reckoned to wait.
    """

    ratio: float
    tail: float | None
    is_bursty: bool = False

    @property
    def spare(self) -> float:
        """Give the servers that must be free on average where everyone waits."""
        needed = 1.0 if self.tail is None else -math.log(self.tail)
        return needed / self.ratio if self.ratio > 0 else math.inf


def erlang_c(servers: int, load: float) -> float:
    """Give the probability that a request waits, M/M/c at ``load`` erlangs below ``servers``.

    >>> round(erlang_c(8, 6.4), 4)
    0.4576
    """
    blocked = 1.0  # Erlang B by its recursion: every step adds positive terms, so that nothing cancels
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1.0 - load / servers * (1.0 - blocked))


def wait_quantile(servers: int, load: float, percentile: float) -> float:
    """Give the wait that a share ``percentile`` of requests keeps within, in residual times.

    >>> round(wait_quantile(1, 0.7, 0.99), 3)
    14.162
    """
    return max(0.0, math.log(erlang_c(servers, load) / (1.0 - percentile)) / (servers - load))


@lru_cache(maxsize=65536)
def most_load(servers: int, wait: Wait) -> float:
    """Give the most erlangs with which a budget is kept, from below.

    >>> round(most_load(1, Wait(0.0, 0.05)), 9), round(most_load(1, Wait(1.0, None)), 9)
    (0.05, 0.5)
    """
    if wait.is_bursty:
        return max(servers - wait.spare, 0.0)
    low, high = 0.0, float(servers)
    for _ in range(HALVINGS):
        load = (low + high) / 2
        if load >= servers or not _keeps(servers, load, wait):
            high = load
        else:
            low = load
    return low


def _keeps(servers: int, load: float, wait: Wait) -> bool:
    """Say whether a budget is kept at a load."""
    waits, spare = erlang_c(servers, load), servers - load
    if wait.tail is None:
        return waits <= wait.ratio * spare
    return waits * math.exp(-spare * wait.ratio) <= wait.tail


@dataclass(frozen=True, eq=False)
class Curve:
    """The load that n servers carry, in straight pieces over fixed ranges of n; the model of a pool.

    Piece r holds for ``first[r] <= n <= last[r]`` (the last without end), where budget i is kept up to ``slope[i, r] * n +
    intercept[i, r]`` erlangs; shapes (n_pieces,) and (n_budgets, n_pieces). Every piece lies under what servers could carry, by
    at most ``loss``. Load over n never falls with n: so two pools made one carry at least what both did.
    """

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    slope: FloatArray
    intercept: FloatArray
    loss: float

    def carried(self, servers: npt.ArrayLike) -> FloatArray:
        """Give the erlangs that numbers of servers carry under all budgets; none carry none."""
        n = np.asarray(servers)
        r = np.clip(np.searchsorted(self.first, n, side="right") - 1, 0, None)
        load = (self.slope[:, r] * n + self.intercept[:, r]).min(axis=0)
        return np.maximum(np.where(n > 0, load, 0.0), 0.0)

    def needed(self, load: float) -> int:
        """Give the fewest servers that carry a load, erlangs."""
        high = 1
        while self.carried(high) < load:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.carried(middle) >= load else (middle, high)
        return high

    def covers(self, other: Curve) -> bool:
        """Say whether every number of servers carries at least as much here, under the cap and of the load the curve is for."""
        last = int(self.last[-1])
        n = np.arange(1, int(self.first[-1]) if last > MOST_SERVERS else last + 1)
        return self is other or bool((self.carried(n) >= other.carried(n)).all())


def curve_of(waits: Sequence[Wait], cap: float, load: float, *, pooled: bool) -> Curve | None:
    """Give the pieces up to where servers carry ``load`` erlangs; None where the utilization cap alone says as much.

    ``pooled``: a request is served by whichever server is free first. Otherwise every server has requests of its own, at random.
    Where servers carry the share ``cap`` of their number and more, the cap is the last piece.

    Raises
    ------
    OverflowError : more than ``MOST_SERVERS`` are needed
    """
    if not waits or min(most_load(1, w) for w in waits) >= cap:
        return None
    if not pooled:
        alone = np.array([[most_load(1, w)] for w in waits])
        return Curve(np.array([1]), np.array([MOST_SERVERS]), alone, np.zeros_like(alone), 0.0)
    if waits[0].is_bursty:  # n servers carry n less a constant: one piece, exact
        spare = np.array([[w.spare] for w in waits])
        if load + spare.max() > MOST_SERVERS:
            raise OverflowError(f"more than {MOST_SERVERS} servers for {load:.6g} erlangs")
        return Curve(np.array([1]), np.array([MOST_SERVERS]), np.ones_like(spare), -spare, 0.0)
    return _pieces(tuple(waits), cap, load)


_Piece = tuple[int, int, tuple[tuple[float, float], ...], float]
"""First, last, (slope, intercept) of each budget, loss."""


@lru_cache(maxsize=4096)
def _cut(waits: tuple[Wait, ...], cap: float) -> list[_Piece]:
    """Hold the pieces found so far for some budgets: first, last, (slope, intercept) a budget, loss; more are added as needed."""
    return []


def _pieces(waits: tuple[Wait, ...], cap: float, load: float) -> Curve:
    cut, found = _cut(waits, cap), list[_Piece]()
    while not found or min(s * found[-1][1] + b for s, b in found[-1][2]) < load:  # no more than needed, whatever was cut before
        first = found[-1][1] + 1 if found else 1
        if first >= MOST_SERVERS:
            raise OverflowError(f"more than {MOST_SERVERS} servers for {load:.6g} erlangs")
        if len(found) == len(cut):
            cut.append(_piece(waits, cap, first))
        found.append(cut[len(found)])
    lines = np.array([piece[2] for piece in found])
    return Curve(
        first=np.array([piece[0] for piece in found], dtype=np.int64),
        last=np.array([piece[1] for piece in found], dtype=np.int64),
        slope=lines[:, :, 0].T,
        intercept=lines[:, :, 1].T,
        loss=max(piece[3] for piece in found),
    )


def _piece(waits: tuple[Wait, ...], cap: float, first: int) -> _Piece:
    """Give the piece that begins with ``first`` servers: the line through it and its neighbour.

    What servers carry is convex in their number, so that the line through two neighbours lies under it everywhere.
    """
    if all(most_load(first, w) >= cap * first for w in waits):
        return first, MOST_SERVERS**2, tuple((cap, 0.0) for _ in waits), 0.0
    lines = []
    for wait in waits:
        here, there = most_load(first, wait), most_load(first + 1, wait)
        lines.append((there - here, here - (there - here) * first))
    last = next((n - 1 for n in FIRST if n > first), MOST_SERVERS)
    while last > first + 1 and _loss(waits, lines, last) > MOST_LOSS:  # beyond what the pieces were laid out for
        last = (first + last) // 2
    return first, last, tuple(lines), _loss(waits, lines, last) if last > first + 1 else 0.0


def _loss(waits: Sequence[Wait], lines: Sequence[tuple[float, float]], servers: int) -> float:
    """Give the largest share of the load by which lines lie below what servers could carry."""
    most = ((line, most_load(servers, wait)) for wait, line in zip(waits, lines, strict=True))
    return max((1.0 - (s * servers + b) / load for (s, b), load in most if load > 0), default=0.0)
