"""What a solver's tolerance left overloaded, mended: traffic moves to where there is room or changes places with other traffic.

Where neither is possible, a trace of it is left unserved, if that is allowed; else one more replica is added.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.compile.queues import erlangs_of
from optimizer.errors import AllocationError

__all__ = [
    "DUST",
    "OVERLOAD_TOLERANCE",
    "SHARE_UNIT",
    "SMALLEST_SHARE",
    "add_replica",
    "balanced",
    "leave",
    "queued",
    "unload",
    "used",
]

SHARE_UNIT = 10**12
"""Shares are whole multiples of 1 / SHARE_UNIT."""
SMALLEST_SHARE = 3e-8
"""A smaller share is a solver's dust, not a route: switches and rows may be off by 1e-8 each."""
DUST = 1e-6
"""Where all of a class may be left unserved, less than this share of it is not served."""
OVERLOAD_TOLERANCE = 1e-10
"""Relative overload of a pool that is left alone; ``verify`` allows 1e-9."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Places:
    """Routing columns by their cell and by their class, ascending; sorted when first asked for: most plans need no mending."""

    def __init__(self, cell: IntArray, key: IntArray) -> None:
        self._cell, self._key = cell, key

    @cached_property
    def _by_cell(self) -> tuple[IntArray, IntArray]:
        order = np.argsort(self._cell, kind="stable")
        return order, self._cell[order]

    @cached_property
    def _by_key(self) -> tuple[IntArray, IntArray]:
        order = np.argsort(self._key, kind="stable")
        return order, self._key[order]

    def in_cell(self, c: int) -> IntArray:
        """Give the columns of a cell."""
        order, ascending = self._by_cell
        return order[slice(*np.searchsorted(ascending, [c, c + 1]))]

    def of_class(self, key: int) -> IntArray:
        """Give the columns of a class."""
        order, ascending = self._by_key
        return order[slice(*np.searchsorted(ascending, [key, key + 1]))]


def used(compiled: Compiled, replicas: IntArray) -> IntArray:
    """Count the accelerators that replicas use, per offer and period."""
    columns, offers = compiled.columns, compiled.candidates.offers
    used = np.zeros((len(offers), columns.n_periods), dtype=columns.replica_size.dtype)
    np.add.at(used, (columns.replica_offer, columns.replica_period), replicas * columns.replica_size)
    return used


def balanced(compiled: Compiled, replicas: IntArray, shares: FloatArray, served: FloatArray) -> FloatArray:
    """Make shares sum to what is served over cells that exist, and move what overloads a cell to where there is room."""
    columns = compiled.columns
    cell, key, load = columns.routing_cell, columns.routing_demand, columns.routing_load
    room = np.bincount(columns.replica_cell, weights=replicas, minlength=int(cell.max(initial=-1)) + 1).astype(np.float64)
    room = queued(compiled, room)
    shares = np.where(room[cell] > 0, shares, 0.0)
    total = np.bincount(key, weights=shares)
    if (total[key] <= 0.5 * served[key] - DUST).any():
        raise AllocationError("a class with demand is routed nowhere in the solver's answer")
    shares = shares * (served[key] / np.maximum(total[key], SMALLEST_SHARE))
    used = np.bincount(cell, weights=load * shares, minlength=len(room)).astype(np.float64)
    places = Places(cell, key)
    for c in np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE)):
        unload(int(c), cell, key, load, shares, used, room, places)
    spare = np.zeros(len(served))
    spare[columns.shed.demand] = columns.shed.upper - (1.0 - served[columns.shed.demand])
    for c in np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE)):
        leave(places.in_cell(int(c)), int(c), key, load, shares, used, room, spare)
    for c in np.flatnonzero(used > room * (1 + OVERLOAD_TOLERANCE)):
        add_replica(compiled, int(c), replicas)
    return shares


def leave(
    here: IntArray,
    c: int,
    key: IntArray,
    load: FloatArray,
    shares: FloatArray,
    used: FloatArray,
    room: FloatArray,
    spare: FloatArray,
) -> None:
    """Leave the excess of cell ``c``, whose columns are ``here``, unserved where a class allows it; changes shares and used.

    ``spare`` is how much more of each class may be left. Only what a tolerance explains is, at most ``DUST``: a plan that leaves
    something unserved fills its replicas to the brim.
    """
    for mine in here[shares[here] > 0]:
        excess = used[c] - room[c]
        if excess <= 0:
            return
        left = min(excess * (1 + 1e-6) / load[mine], spare[key[mine]])  # a hair less may be enough: overload has its tolerance
        if 0 < left <= min(shares[mine], DUST):
            shares[mine] -= left
            spare[key[mine]] -= left
            used[c] -= left * load[mine]


def queued(compiled: Compiled, room: FloatArray) -> FloatArray:
    """Give the loads at the cap that replicas of each cell may carry: as many as they are, or what their queue allows."""
    columns, table, found = compiled.columns, compiled.candidates, room.copy()
    cap, staffed = table.instance.policy.utilization_cap, np.flatnonzero(room)
    for c, k in zip(staffed.tolist(), columns.pool_candidate[staffed // columns.n_periods].tolist(), strict=True):
        if k in table.curves:
            found[c] = min(room[c], erlangs_of(table.queues[k], int(room[c])) / cap)
    return found


def unload(
    c: int,
    cell: IntArray,
    key: IntArray,
    load: FloatArray,
    shares: FloatArray,
    used: FloatArray,
    room: FloatArray,
    places: Places | None = None,
) -> None:
    """Move the excess of cell ``c``, class by class, to cells of the same class with room; changes shares and used.

    ``places`` are those of the columns, for a caller that unloads several cells.
    """
    places = Places(cell, key) if places is None else places
    here = places.in_cell(c)
    for mine in here[shares[here] > 0]:
        for other in _elsewhere(places.of_class(int(key[mine])), c, cell, room):
            excess, slack = used[c] - room[c], room[cell[other]] - used[cell[other]]
            if excess <= 0:
                return
            if slack > 0:
                moved = min(shares[mine], excess * (1 + 1e-6) / load[mine], slack / load[other])
                shares[mine] -= moved
                shares[other] += moved
                used[c] -= moved * load[mine]
                used[cell[other]] += moved * load[other]
    if used[c] > room[c]:
        _swap(c, cell, key, load, shares, used, room, places)


def _elsewhere(columns: IntArray, c: int, cell: IntArray, room: FloatArray) -> IntArray:
    """Give those of some columns that are in other cells with room."""
    return np.asarray(columns[(cell[columns] != c) & (room[cell[columns]] > 0)])


def _swap(
    c: int,
    cell: IntArray,
    key: IntArray,
    load: FloatArray,
    shares: FloatArray,
    used: FloatArray,
    room: FloatArray,
    places: Places,
) -> None:
    """Let cell ``c`` and a full one change places: traffic for other traffic that loads the full one alike, and ``c`` less.

    A solver's plan of many classes fills several cells to the brim at once, though the same replicas could carry all with room.
    """
    here = places.in_cell(c)
    of_key = dict(zip(key[here].tolist(), here.tolist(), strict=True))
    best, chosen = 0.0, None
    for mine in here[shares[here] > 0]:
        for other in _elsewhere(places.of_class(int(key[mine])), c, cell, room):
            there = places.in_cell(int(cell[other]))
            for back in there[shares[there] > 0]:
                again = of_key.get(int(key[back]))
                if again is not None and load[back] > 0:
                    each = load[other] / load[back]
                    spared = load[mine] - each * load[again]
                    if spared > best and spared * min(shares[mine], shares[back] / each) > 2 * (used[c] - room[c]):
                        best, chosen = spared, (mine, other, back, again, each)
    if chosen is not None:
        mine, other, back, again, each = chosen
        moved = (used[c] - room[c]) * (1 + 1e-6) / best
        for column, amount in ((mine, -moved), (other, moved), (back, -each * moved), (again, each * moved)):
            shares[column] += amount
            used[cell[column]] += amount * load[column]


def add_replica(compiled: Compiled, c: int, replicas: IntArray) -> None:
    """Give an overloaded cell one more replica, on an offer where the instance has room or else the first that it uses."""
    columns, offers = compiled.columns, compiled.candidates.offers
    mine = np.flatnonzero((columns.replica_cell == c) & (replicas > 0))
    offer, period = columns.replica_offer[mine], columns.replica_period[mine]
    free = (-used(compiled, replicas)[offer, period]) % offers.size[offer] >= columns.replica_size[mine]
    replicas[mine[np.argmax(free)]] += 1
