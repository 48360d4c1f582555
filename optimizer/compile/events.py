"""Losses that workloads insure against: which there are, and the columns of what is served by what each leaves.

An *event cell* is a cell (a pool in a period) in an event that concerns its owner, as far as replicas of it may be left. In it
stand the routing ``g`` of the classes that are insured, the pieces of what its servers carry where it has a curve, and where
replicas of the pool itself are lost, ``z``: whether it has any to lose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.queues import QueueColumns
from optimizer.errors import InfeasibleError, Problem
from optimizer.instance import Loss

__all__ = ["Event", "EventColumns", "event_columns", "insured"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """One loss: what is lost, its offers or its pool, and the share that each workload (by number) must still be served of."""

    kind: Loss
    lost: str
    replicas: int
    offers: frozenset[int]
    pool: int
    shares: dict[int, float]


@dataclass(frozen=True, eq=False)
class EventColumns:
    """Event cells and their columns, in the order ``z``, pieces, ``g``.

    ``event``, ``pool``, ``period`` and ``is_victim`` have shape (n_event_cells,). ``victim`` (n_z,) gives the event cell of each
    ``z``; ``route_cell``, ``route`` (n_g,) the event cell of each ``g`` and the routing column that it stands for. ``kept_cell``,
    ``kept`` (n_kept,) are routing columns of classes that are not insured and stay where they are. ``left_cell``, ``left``
    (n_left,) are the replica columns that an event leaves of a cell.
    """

    events: tuple[Event, ...]
    event: IntArray
    pool: IntArray
    period: IntArray
    is_victim: npt.NDArray[np.bool_]
    pieces: QueueColumns
    route_cell: IntArray
    route: IntArray
    kept_cell: IntArray
    kept: IntArray
    left_cell: IntArray
    left: IntArray

    @property
    def victim(self) -> IntArray:
        """Give the event cell of each ``z``."""
        return np.flatnonzero(self.is_victim)

    def __len__(self) -> int:
        """Give the number of columns."""
        return len(self.victim) + len(self.pieces) + len(self.route)

    @property
    def upper(self) -> FloatArray:
        """Give the upper bounds of all columns."""
        return np.concatenate([np.ones(len(self.victim)), self.pieces.upper, np.ones(len(self.route))])

    @property
    def replicas_lost(self) -> IntArray:
        """Give how many replicas each event cell loses of its own if it has any, shape (n_event_cells,)."""
        lost = np.array([e.replicas for e in self.events], dtype=np.int64)
        return np.where(self.is_victim, lost[self.event] if len(lost) else 0, 0).astype(np.int64)

    def share(self, route_workload: IntArray) -> FloatArray:
        """Give the share that must still be served of the workload of each ``g``."""
        at = zip(self.event[self.route_cell].tolist(), route_workload.tolist(), strict=True)
        return np.array([self.events[e].shares[w] for e, w in at], dtype=np.float64)


def insured(table: CandidateTable, fewest: int = 0) -> npt.NDArray[np.bool_]:
    """Say which owners have a member that insures against something, if it is of ``fewest`` replicas; shape (n_owners,)."""
    insures = np.array([any(r.count >= fewest for r in w.redundancy or ()) for w in table.workloads], dtype=bool)
    return np.asarray((table.is_member & insures).any(axis=1))


def event_columns(
    table: CandidateTable,
    pools: Sequence[IntArray] | IntArray,
    replicas: tuple[IntArray, IntArray, IntArray],
    most: IntArray,
    routing: tuple[IntArray, ...],
) -> EventColumns:
    """Lay out the columns of all events.

    ``pools`` are candidates and regions, ``replicas`` pools, offers and periods with the ``most`` of each, ``routing`` pools,
    classes and periods.

    Raises
    ------
    InfeasibleError : an event leaves nothing that may serve some class
    """
    events = _events(table, pools, replicas) if insured(table).any() else []
    periods, found = len(table.hours_share), _Found()
    by_cell = _grouped(replicas[0] * periods + replicas[2]) if events else {}
    routes = _grouped(routing[0] * periods + routing[2]) if events else {}
    owner = table.workload[pools[0]]
    for number, event in enumerate(events):
        mine = _with(table, event.shares)
        for cell, columns in by_cell.items():
            pool = cell // periods
            if not mine[owner[pool]]:
                continue
            left = [j for j in columns if int(replicas[1][j]) not in event.offers]
            if left:
                who = {j: int(table.class_workload[owner[pool], routing[1][j]]) for j in routes.get(cell, ())}
                found.add(number, cell, periods, event, left, who, max(int(most[j]) for j in left))
    laid = found.laid_out(table, tuple(events), pools[0])
    _refuse_unserved(table, laid, owner, routing)
    return laid


def _with(table: CandidateTable, workloads: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Say which owners have one of some workloads among their members; shape (n_owners,)."""
    return np.asarray(table.is_member[:, list(workloads)].any(axis=1))


class _Found:
    """Event cells as they are found."""

    def __init__(self) -> None:
        self.cells: list[tuple[int, int, int, bool, int]] = []
        self.routes: list[tuple[int, int]] = []
        self.kept: list[tuple[int, int]] = []
        self.left: list[tuple[int, int]] = []

    def add(self, number: int, cell: int, periods: int, event: Event, left: list[int], who: dict[int, int], most: int) -> None:
        at = len(self.cells)
        self.cells.append((number, cell // periods, cell % periods, event.pool == cell // periods, most))
        self.left += [(at, j) for j in left]
        self.routes += [(at, j) for j, w in who.items() if w in event.shares]
        self.kept += [(at, j) for j, w in who.items() if w not in event.shares]

    def laid_out(self, table: CandidateTable, events: tuple[Event, ...], candidate: IntArray) -> EventColumns:
        event, pool, period, victim, most = np.array(self.cells, dtype=np.int64).reshape(-1, 5).T
        pairs = [np.array(x, dtype=np.int64).reshape(-1, 2).T for x in (self.routes, self.kept, self.left)]
        pieces = QueueColumns.of(table.curves, np.arange(len(pool)), candidate[pool], most)
        return EventColumns(events, event, pool, period, victim.astype(bool), pieces, *pairs[0], *pairs[1], *pairs[2])


def _grouped(keys: IntArray) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for at, key in enumerate(keys.tolist()):
        found[key].append(at)
    return found


def _events(
    table: CandidateTable, pools: Sequence[IntArray] | IntArray, replicas: tuple[IntArray, IntArray, IntArray]
) -> list[Event]:
    """Give every loss that may strike a pool of a workload that insures against it, in a fixed order."""
    owner = table.workload[pools[0]]
    found: list[Event] = []
    asked: dict[tuple[Loss, int], dict[int, float]] = defaultdict(dict)
    for number, workload in enumerate(table.workloads):
        for entry in workload.redundancy or ():
            asked[entry.event, entry.count][number] = entry.served_fraction
    for (kind, count), shares in sorted(asked.items(), key=lambda x: (x[0][0].value, x[0][1])):
        members = _with(table, shares)
        mine = np.unique(replicas[1][members[owner[replicas[0]]]]).tolist()
        zones = _zones(table)
        if kind is Loss.REPLICAS:
            for pool in np.flatnonzero(members[owner]).tolist():
                whose = {w: s for w, s in shares.items() if table.is_member[owner[pool], w]}
                found.append(Event(kind, f"pool {pool}", count, frozenset(), pool, whose))
            continue
        lost: dict[str, set[int]] = defaultdict(set)
        for o in mine:
            for name in _names(table, kind, o, zones):
                lost[name].add(o)
        found += [Event(kind, name, 0, frozenset(those), -1, dict(shares)) for name, those in sorted(lost.items())]
    return found


def _zones(table: CandidateTable) -> dict[int, list[str]]:
    """Give the zones that offers of each region name."""
    pairs = {(int(r), o.zone) for r, o in zip(table.offers.region, table.offers.offers, strict=True) if o.zone is not None}
    found: dict[int, list[str]] = defaultdict(list)
    for region, zone in sorted(pairs):
        found[region].append(zone)
    return found


def _names(table: CandidateTable, kind: Loss, o: int, zones: Mapping[int, list[str]]) -> list[str]:
    """Name the losses of a kind that strike an offer."""
    offers = table.offers
    region = offers.regions[offers.region[o]]
    if kind is Loss.REGION:
        return [region]
    if kind is Loss.SPOT:
        return [offers.offers[o].label] if offers.spot[o] else []
    if (zone := offers.offers[o].zone) is not None:
        return [f"{region}/{zone}"]
    return [f"{region}/{zone}" for zone in zones.get(int(offers.region[o]), [])] or [region]


def _refuse_unserved(table: CandidateTable, laid: EventColumns, owner: IntArray, routing: tuple[IntArray, ...]) -> None:
    """Raise when an event leaves nothing that may serve a class."""
    served = set()
    for at, j in zip(laid.route_cell.tolist(), laid.route.tolist(), strict=True):
        pool, b = int(routing[0][j]), int(routing[1][j])
        whose = int(table.class_workload[owner[pool], b]), int(table.class_number[owner[pool], b])
        served.add((int(laid.event[at]), *whose, int(routing[2][j])))
    problems = []
    for number, event in enumerate(laid.events):
        for w in event.shares:
            workload = table.workloads[w]
            for b, asked in enumerate(workload.classes):
                busy = [t for t, p in enumerate(table.instance.periods) if asked.rate.at(p.name) > 0]
                if any((number, w, b, t) not in served for t in busy) and event.kind is not Loss.REPLICAS:
                    place = f"/workloads/{workload.name}/redundancy"
                    found = f"the loss of {event.kind} {event.lost} leaves class {asked.name} nothing to be served by"
                    hint = "allow another region, or insure against less"
                    problems.append(Problem(None, place, found, "something left to serve it", hint))
    if problems:
        raise InfeasibleError("no plan: some losses leave nothing", problems)
