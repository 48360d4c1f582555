"""Servers that take one request at a time, or whole batches: replications in lockstep, one arrival of each at a time.

A server of batches is busy for ``a + b k`` with k requests, at most B; when it is free it takes whoever waits, without delay.
Times s. Rows are replications.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.simulate.streams import Stream

__all__ = ["BatchServer", "serve_batches", "serve_singly"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BatchServer:
    """A server of batches: ``fixed_s`` + ``each_s`` times the requests in a batch, at most ``most`` of them."""

    fixed_s: float
    each_s: float
    most: int


def serve_singly(
    stream: Stream,
    service_s: FloatArray,
    servers: int,
    balancer: str,
    rng: np.random.Generator,
    *,
    lost: int = 0,
    lost_at_s: FloatArray | None = None,
) -> FloatArray:
    """Give when each request leaves, shape (n_replications, n_requests), from its service time of the same shape.

    ``lost`` servers of each replication stop at ``lost_at_s``, shape (n_replications,); what they held starts anew elsewhere.
    Requests are committed to a server when they come; behind the one with the least work that is the same as one central queue.
    """
    rows, requests = stream.when_s.shape
    when, who = stream.when_s, np.tile(np.arange(requests), (rows, 1))
    leaves, place, all_rows = np.full((rows, requests), np.nan), np.zeros((rows, requests), dtype=np.int64), np.arange(rows)
    free, number, gone = np.zeros((rows, servers)), 0, np.zeros(rows, dtype=np.int64)
    while number < when.shape[1]:
        if lost and lost_at_s is not None and (hit := (gone == 0) & (when[:, number] >= lost_at_s)).any():
            held = {r: np.flatnonzero((place[r] < lost) & (leaves[r] > lost_at_s[r])) for r in np.flatnonzero(hit).tolist()}
            when, who = _sent_again(when, who, number, held, lost_at_s)
            free[hit, :lost], gone[hit] = np.inf, lost
        now, mine = when[:, number], who[:, number]
        server = _chosen(free, gone, number, balancer, rng)
        done = np.maximum(now, free[all_rows, server]) + service_s[all_rows, np.minimum(mine, requests - 1)]
        real = np.isfinite(now)
        free[all_rows[real], server[real]] = done[real]
        leaves[all_rows[real], mine[real]], place[all_rows[real], mine[real]] = done[real], server[real]
        number += 1
    return leaves


def _sent_again(
    when: FloatArray, who: IntArray, number: int, held: dict[int, IntArray], at_s: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Put requests that lost servers held back in line, at the moment of the loss; rows are padded with requests at infinity."""
    more = max((len(found) for found in held.values()), default=0)
    when = np.pad(when, ((0, 0), (0, more)), constant_values=np.inf)
    who = np.pad(who, ((0, 0), (0, more)))
    for row, found in held.items():
        rest = when.shape[1] - len(found)
        when[row] = np.concatenate([when[row, :number], np.full(len(found), at_s[row]), when[row, number:rest]])
        who[row] = np.concatenate([who[row, :number], found, who[row, number:rest]])
    return when, who


def _chosen(work: FloatArray, gone: IntArray, number: int, balancer: str, rng: np.random.Generator) -> IntArray:
    """Give the server of each row's arrival; the first ``gone`` of them are lost."""
    rows, servers = work.shape
    whole = servers - gone
    found: IntArray
    if balancer == "random":
        found = gone + (rng.random(rows) * whole).astype(np.int64)
    elif balancer == "round_robin":
        found = gone + number % whole
    elif balancer == "power_of_two":
        two, all_rows = gone + (rng.random((2, rows)) * whole).astype(np.int64), np.arange(rows)
        found = np.where(work[all_rows, two[0]] <= work[all_rows, two[1]], two[0], two[1])
    else:
        found = work.argmin(axis=1)
    return found


def serve_batches(
    stream: Stream,
    server: BatchServer,
    servers: int,
    balancer: str,
    rng: np.random.Generator,
    *,
    lost: int = 0,
    lost_at_s: FloatArray | None = None,
) -> FloatArray:
    """Give when each request leaves, shape (n_replications, n_requests). A central queue is served by whoever is free first.

    ``lost`` servers of each replication stop at ``lost_at_s``, shape (n_replications,); what they held starts anew elsewhere.
    """
    rows, requests = stream.when_s.shape
    when, who = stream.when_s, np.tile(np.arange(requests), (rows, 1))
    state, all_rows, number = _Batches(server, rows, servers, balancer == "central"), np.arange(rows), 0
    gone, queue_of, ordinal = np.zeros(rows, dtype=np.int64), *np.zeros((2, rows, requests), dtype=np.int64)
    while number < when.shape[1]:
        if lost and lost_at_s is not None and (hit := (gone == 0) & (when[:, number] >= lost_at_s)).any():
            state.start(np.where(hit, lost_at_s, 0.0))
            held = state.lose(np.flatnonzero(hit), lost, lost_at_s, queue_of, ordinal)
            when, who = _sent_again(when, who, number, held, lost_at_s)
            gone[hit] = lost
        real = np.isfinite(when[:, number])
        now, row = np.where(real, when[:, number], 0.0), all_rows[real]
        state.start(now)
        queue = state.nothing if state.is_central else _chosen(state.work(now), gone, number, balancer, rng)
        place = state.join(row, queue[row], now)
        mine = who[row, number]
        queue_of[row, mine], ordinal[row, mine] = row * state.queues + queue[row], place
        number += 1
    state.start(np.full(rows, np.inf))
    return state.log.leaving(queue_of, ordinal)


class _Batches:
    """Servers of batches as they stand: when each is free, who waits in which queue, and how many of it have been taken."""

    def __init__(self, server: BatchServer, rows: int, servers: int, is_central: bool) -> None:
        self.server, self.is_central, self.queues = server, is_central, 1 if is_central else servers
        self.rows, self.nothing = np.arange(rows), np.zeros(rows, dtype=np.int64)
        self.free, self.waiting = np.zeros((rows, servers)), np.zeros((rows, self.queues))
        self.started, self.log = np.zeros((rows, self.queues), dtype=np.int64), _Log()
        self.first, self.last = np.zeros((2, rows, servers), dtype=np.int64)  # of the batch that each server took last

    def start(self, now: FloatArray) -> None:
        """Start every batch that is due by now, in order of time."""
        while True:
            due = np.where(self.waiting > 0, self.free, np.inf)
            place = due.argmin(axis=1)
            begins = due[self.rows, place]
            row = np.flatnonzero((begins <= now) & np.isfinite(begins))
            if not len(row):
                return
            at, queue = place[row], self.nothing[row] if self.is_central else place[row]
            count = np.minimum(self.waiting[row, queue], self.server.most)
            self.free[row, at] = begins[row] + self.server.fixed_s + self.server.each_s * count
            self.waiting[row, queue] -= count
            self.first[row, at] = self.started[row, queue] + 1
            self.started[row, queue] += count.astype(np.int64)
            self.last[row, at] = self.started[row, queue]
            self.log.add(row * self.queues + queue, self.started[row, queue], self.free[row, at])

    def work(self, now: FloatArray) -> FloatArray:
        """Give how long each server is busy with what it has, s."""
        batches = np.ceil(self.waiting / self.server.most) * self.server.fixed_s + self.waiting * self.server.each_s
        return np.maximum(self.free - now[:, None], 0.0) + batches

    def join(self, row: IntArray, queue: IntArray, now: FloatArray) -> IntArray:
        """Put one request of each row into a queue and give its number there; whoever is free by now has nobody waiting."""
        np.maximum(self.free, now[:, None], out=self.free)
        self.waiting[row, queue] += 1
        return np.asarray(self.started[row, queue] + self.waiting[row, queue].astype(np.int64))

    def lose(self, hit: IntArray, lost: int, at_s: FloatArray, queue_of: IntArray, ordinal: IntArray) -> dict[int, IntArray]:
        """Stop servers of some rows and give the requests that they held: the batch going on, and who waits for one of them."""
        found: dict[int, IntArray] = {}
        for row in hit.tolist():
            held = np.zeros(ordinal.shape[1], dtype=bool)
            for k in range(lost):
                mine = (ordinal[row] > 0) & (queue_of[row] == row * self.queues + (0 if self.is_central else k))
                if self.free[row, k] > at_s[row]:
                    held |= mine & (ordinal[row] >= self.first[row, k]) & (ordinal[row] <= self.last[row, k])
                if not self.is_central:
                    held |= mine & (ordinal[row] > self.started[row, k])
                    self.waiting[row, k] = 0
                self.free[row, k] = np.inf
            found[row] = np.flatnonzero(held)
        return found


class _Log:
    """Batches as they start: their queue, how many of it are served with them, and when they end."""

    def __init__(self) -> None:
        self.parts: list[tuple[IntArray, IntArray, FloatArray]] = []

    def add(self, queue: IntArray, served: IntArray, ends: FloatArray) -> None:
        self.parts.append((queue, served, ends.copy()))

    def leaving(self, queue: IntArray, ordinal: IntArray) -> FloatArray:
        """Give when requests leave, by their queue and their number in it."""
        queues, served, ends = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        span = int(ordinal.max()) + 1
        key = queues * span + served
        order = np.argsort(key)
        found: FloatArray = ends[order][np.searchsorted(key[order], queue * span + ordinal)]
        return found
