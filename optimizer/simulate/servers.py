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
            when, who = _sent_again(when, who, number, np.flatnonzero(hit), leaves, place < lost, lost_at_s)
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
    when: FloatArray,
    who: IntArray,
    number: int,
    hit: IntArray,
    leaves: FloatArray,
    is_lost: npt.NDArray[np.bool_],
    at_s: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """Put requests that lost servers held back in line, at the moment of the loss; rows are padded with requests at infinity."""
    held = {int(row): np.flatnonzero(is_lost[row] & (leaves[row] > at_s[row])) for row in hit}
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


def serve_batches(stream: Stream, server: BatchServer, servers: int, balancer: str, rng: np.random.Generator) -> FloatArray:
    """Give when each request leaves, shape (n_replications, n_requests). A central queue is served by whoever is free first."""
    rows, requests = stream.when_s.shape
    is_central, all_rows = balancer == "central", np.arange(rows)
    queues = 1 if is_central else servers
    free, waiting, started = np.zeros((rows, servers)), np.zeros((rows, queues)), np.zeros((rows, queues), dtype=np.int64)
    log, nothing = _Log(), np.zeros(rows, dtype=np.int64)

    def start(now: FloatArray) -> None:
        """Start every batch that is due by now, in order of time."""
        while True:
            due = np.where(waiting > 0, free, np.inf)
            first = due.argmin(axis=1)
            begins = due[all_rows, first]
            row = np.flatnonzero((begins <= now) & np.isfinite(begins))
            if not len(row):
                return
            place, queue = first[row], np.zeros(len(row), dtype=np.int64) if is_central else first[row]
            count = np.minimum(waiting[row, queue], server.most)
            free[row, place] = begins[row] + server.fixed_s + server.each_s * count
            waiting[row, queue] -= count
            started[row, queue] += count.astype(np.int64)
            log.add(row * queues + queue, started[row, queue], free[row, place])

    queue_of, ordinal = np.zeros((2, rows, requests), dtype=np.int64)
    for number in range(requests):
        now = stream.when_s[:, number]
        start(now)
        left = np.maximum(free - now[:, None], 0.0)
        work = left if is_central else left + np.ceil(waiting / server.most) * server.fixed_s + waiting * server.each_s
        queue = nothing if is_central else _chosen(work, nothing, number, balancer, rng)
        np.maximum(free, now[:, None], out=free)  # whoever is free by now has nobody waiting
        waiting[all_rows, queue] += 1
        queue_of[:, number] = all_rows * queues + queue
        ordinal[:, number] = started[all_rows, queue] + waiting[all_rows, queue].astype(np.int64)
    start(np.full(rows, np.inf))
    return log.leaving(queue_of, ordinal)


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
