"""Continuous batching, event by event: many replications of one pool advanced in lockstep, one event of each at a time.

A request in flight first waits for its first token and then for the rest; it moves through each phase at the speed that goes with
the requests in flight on its replica at that moment: ``1 / seconds[n]`` of the phase a second. Requests of one class and phase on
one replica move alike, so they leave in the order in which they came, and each such queue needs one clock and the mark at which
its head leaves.
Beyond the largest measured concurrency requests wait, first come first served: at their replica, or in one central queue.

Times s. Arrays have a row a replication, or a row a replica (replication times replicas plus replica).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.simulate.streams import Stream

__all__ = ["Engine", "Served", "Stream", "serve_together"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NEVER = np.inf
OUT_OF_REACH = 1 << 40
"""Requests on a replica that is lost, as the balancer sees it."""
STEPS_BETWEEN_LOOKS = 512


@dataclass(frozen=True, eq=False)
class Engine:
    """One replica: the seconds of each phase of each class with n requests in flight, shape (most + 1, 2 * n_classes).

    Column 2 b is the time to the first token of class b, column 2 b + 1 the time from it to the last; NaN there where the first
    token is the last.
    """

    seconds: FloatArray

    @property
    def most(self) -> int:
        """Give the most requests in flight."""
        return len(self.seconds) - 1


@dataclass(frozen=True, eq=False)
class Served:
    """When each request had its first and its last token, shape (n_replications, n_requests), s; NaN where it had not."""

    first_s: FloatArray
    last_s: FloatArray


def serve_together(
    engine: Engine,
    replicas: int,
    stream: Stream,
    balancer: str,
    rng: np.random.Generator,
    *,
    until: int,
    lost: int = 0,
    lost_at_s: FloatArray | None = None,
) -> Served:
    """Serve a stream by replicas of an engine, until the requests numbered below ``until`` are through in every replication.

    ``lost`` replicas of each replication stop at ``lost_at_s``, shape (n_replications,); what they held starts anew elsewhere.
    """
    pool = _Pool(engine, replicas, stream, balancer, rng)
    if lost and lost_at_s is not None:
        pool.will_lose(lost, lost_at_s)
    while pool.is_busy(until):
        for _ in range(STEPS_BETWEEN_LOOKS):
            pool.step()
    return Served(pool.first, pool.last)


class _Pool:
    """The state of all replications; ``step`` moves each to its next event."""

    def __init__(self, engine: Engine, replicas: int, stream: Stream, balancer: str, rng: np.random.Generator) -> None:
        rows, requests = stream.classes.shape
        self.most, self.phases = engine.most, engine.seconds.shape[1]
        self.replicas, self.balancer, self.rng = replicas, balancer, rng
        self.seconds = np.where(np.isnan(engine.seconds), 1.0, engine.seconds)
        self.speed = 1.0 / self.seconds
        self.is_final = np.roll(np.isnan(engine.seconds[-1]), -1) | (np.arange(self.phases) % 2 == 1)
        self.who = np.tile(np.arange(requests + 1, dtype=np.int32), (rows, 1))
        self.when, self.classes = np.pad(stream.when_s, ((0, 0), (0, 1)), constant_values=NEVER), stream.classes
        self.place = np.arange(rows) * self.when.shape[1]
        self.first, self.last = np.full((2, rows, requests), np.nan)
        self.row, self.base = np.arange(rows), np.arange(rows) * replicas
        places, queues = rows * replicas, rows * replicas * self.phases
        self.n, self.busy = np.zeros((2, places), dtype=np.int64)
        self.clock, self.mark = np.zeros((places, self.phases)), np.full((places, self.phases), NEVER)
        self.moment, self.event = np.zeros(places), np.full(places, NEVER)
        self.which = np.zeros(places, dtype=np.int64)
        self.ring_who, self.ring_mark = np.zeros((queues, self.most), dtype=np.int32), np.zeros((queues, self.most))
        self.head, self.length = np.zeros((2, queues), dtype=np.int64)
        self.waiting = np.zeros(places, dtype=np.int64)
        self.front, self.back = np.zeros((2, places), dtype=np.int64)
        self.behind = np.zeros((rows, requests), dtype=np.int32)
        self.lost, self.lost_at = 0, np.full(rows, NEVER)

    def will_lose(self, lost: int, at_s: FloatArray) -> None:
        """Remember when replicas stop, and keep room for what then comes a second time."""
        self.lost, self.lost_at = lost, at_s.copy()
        rows, width = self.when.shape
        self.when = np.pad(self.when, ((0, 0), (0, width)), constant_values=NEVER)
        self.who = np.pad(self.who, ((0, 0), (0, width)))
        self.place = np.arange(rows) * self.when.shape[1]

    def is_busy(self, until: int) -> bool:
        """Say whether a request below ``until`` is not through yet; replications that are done no longer move."""
        moving = np.isnan(self.last[self.row, :until]).any(axis=1)
        self.row = self.row[moving]
        self.base = self.row * self.replicas
        return bool(len(self.row))

    def step(self) -> None:
        """Move every replication to its next event: an arrival, a first token or a last one."""
        if not len(self.row):
            return
        found = self.event.reshape(-1, self.replicas)[self.row]
        place = self.base + found.argmin(axis=1)
        due = self.event[place]
        coming = self.when.reshape(-1)[self.place[self.row]]
        if coming.max() == NEVER and (over := np.isinf(np.minimum(due, coming))).any():
            self.row, self.base = self.row[~over], self.base[~over]  # nothing is left to come or to go
            return
        if self.lost and (stops := self.lost_at[self.row] <= np.minimum(due, coming)).any():
            for row in self.row[stops & (self.lost_at[self.row] > -NEVER)]:
                self._lose(int(row))
            found = self.event.reshape(-1, self.replicas)[self.row]
            place = self.base + found.argmin(axis=1)
            due, coming = self.event[place], self.when.reshape(-1)[self.place[self.row]]
        arrives = coming <= due
        new, old = np.flatnonzero(arrives), np.flatnonzero(~arrives)
        now = np.where(arrives, coming, due)
        place[new] = self._chosen(new)
        self.clock[place] += (now - self.moment[place])[:, None] * self.speed[self.n[place]]
        self.moment[place] = now
        came = self._arrive(new, place[new])
        moved = self._move_on(old, place[old], now[old])
        self._push(*(np.concatenate(pair) for pair in zip(came, moved, strict=True)))
        left = (self.mark[place] - self.clock[place]) * self.seconds[self.n[place]]
        soonest = left.argmin(axis=1)
        self.which[place] = soonest
        self.event[place] = now + np.maximum(left[np.arange(len(place)), soonest], 0.0)

    def _lose(self, row: int) -> None:
        """Stop the first replicas of a replication; what they hold comes again at that moment, in its old order."""
        mine = slice(row * self.replicas, row * self.replicas + self.lost)
        queues = slice(mine.start * self.phases, mine.stop * self.phases)
        held: list[int] = []
        for queue in range(queues.start, queues.stop):
            spots = (self.head[queue] + np.arange(self.length[queue])) % self.most
            held += self.ring_who[queue, spots].tolist()
        for place in range(mine.start, mine.stop) if self.balancer != "central" else ():
            who = int(self.front[place])
            for _ in range(int(self.waiting[place])):
                held.append(who)
                who = int(self.behind[row, who])
            self.waiting[place] = 0
        self.n[mine], self.busy[mine], self.event[mine] = 0, OUT_OF_REACH, NEVER
        self.length[queues], self.mark[mine] = 0, NEVER
        held.sort()
        at, width = int(self.place[row] - row * self.when.shape[1]), self.when.shape[1] - len(held)
        self.when[row] = np.concatenate([self.when[row, :at], np.full(len(held), self.lost_at[row]), self.when[row, at:width]])
        self.who[row] = np.concatenate([self.who[row, :at], held, self.who[row, at:width]])
        self.lost_at[row] = -NEVER

    def _chosen(self, new: IntArray) -> IntArray:
        """Give the replica of each arrival, as the balancer chooses."""
        whole, base = self.replicas - self.lost_now(new), self.base[new]
        gone = self.replicas - whole
        if self.balancer == "random":
            drawn: IntArray = base + gone + (self.rng.random(len(new)) * whole).astype(np.int64)
            return drawn
        if self.balancer == "round_robin":
            in_turn: IntArray = base + gone + (self.place[self.row[new]] - self.row[new] * self.when.shape[1]) % whole
            return in_turn
        if self.balancer == "power_of_two":
            two = base + gone + (self.rng.random((2, len(new))) * whole).astype(np.int64)
            better: IntArray = np.where(self.busy[two[0]] <= self.busy[two[1]], two[0], two[1])
            return better
        least: IntArray = base + self.busy.reshape(-1, self.replicas)[self.row[new]].argmin(axis=1)
        return least

    def lost_now(self, new: IntArray) -> IntArray:
        """Give how many replicas each arrival's replication has lost by now."""
        return np.where(self.lost_at[self.row[new]] == -NEVER, self.lost, 0)

    def _arrive(self, new: IntArray, place: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Take arrivals in: those that find room are handed on to be pushed, the others wait."""
        row = self.row[new]
        at = self.place[row]
        who = self.who.reshape(-1)[at]
        self.place[row] = at + 1
        room = self.n[place] < self.most
        self.busy[place] += 1
        if not room.all():
            self._wait(place[~room], row[~room], who[~room])
            place, row, who = place[room], row[room], who[room]
        self.n[place] += 1
        return place, 2 * self.classes[row, who], who

    def _wait(self, place: IntArray, row: IntArray, who: IntArray) -> None:
        queue = row * self.replicas if self.balancer == "central" else place
        if self.balancer == "central":
            self.busy[place] -= 1  # nobody's yet
        some = self.waiting[queue] > 0
        self.behind[row[some], self.back[queue[some]]] = who[some]
        self.front[queue[~some]] = who[~some]
        self.back[queue] = who
        self.waiting[queue] += 1

    def _move_on(self, old: IntArray, place: IntArray, now: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
        """Take the heads that are due out of their queues: into the next phase, or out, and call in who waits for the place."""
        row, phase = self.row[old], self.which[place]
        queue = place * self.phases + phase
        head = self.head[queue]
        who = self.ring_who[queue, head]
        head = (head + 1) % self.most
        self.head[queue] = head
        self.length[queue] -= 1
        self.mark[place, phase] = np.where(self.length[queue] > 0, self.ring_mark[queue, head], NEVER)
        begins = phase % 2 == 0
        self.first[row[begins], who[begins]] = now[begins]
        ends = self.is_final[phase]
        self.last[row[ends], who[ends]] = now[ends]
        out, row_out = place[ends], row[ends]
        self.n[out] -= 1
        self.busy[out] -= 1
        queue = row_out * self.replicas if self.balancer == "central" else out
        some = self.waiting[queue] > 0
        stay = ~ends
        if not some.any():
            return place[stay], phase[stay] + 1, who[stay]
        out, row_out, queue = out[some], row_out[some], queue[some]
        called = self.front[queue]
        self.front[queue] = self.behind[row_out, called]
        self.waiting[queue] -= 1
        self.n[out] += 1
        if self.balancer == "central":
            self.busy[out] += 1
        taken = out, 2 * self.classes[row_out, called], called
        kept = place[stay], phase[stay] + 1, who[stay]
        return tuple(np.concatenate(pair) for pair in zip(kept, taken, strict=True))  # type: ignore[return-value]

    def _push(self, place: IntArray, phase: IntArray, who: IntArray) -> None:
        """Put requests at the end of the queues of their phase; none gets more than one."""
        queue = place * self.phases + phase
        length = self.length[queue]
        spot = (self.head[queue] + length) % self.most
        mark = self.clock[place, phase] + 1.0
        self.ring_who[queue, spot] = who
        self.ring_mark[queue, spot] = mark
        empty = length == 0
        self.mark[place[empty], phase[empty]] = mark[empty]
        self.length[queue] = length + 1
