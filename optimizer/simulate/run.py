"""One pool put through its requests: independent replications, warm-up discarded, percentiles with their 95 % intervals.

A pool of many replicas is cut into slices that share no replica: less pooling than it has, so on the safe side. Times s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quantity
from optimizer.errors import CheckFailedError, Problem, UsageError
from optimizer.performance import ClassCurve, ServiceTime
from optimizer.simulate.arrivals import Arrivals
from optimizer.simulate.flow import Engine, Stream, serve_together
from optimizer.simulate.pools import Load, Pool
from optimizer.simulate.servers import BatchServer, serve_batches, serve_singly

__all__ = ["Estimated", "Loss", "Run", "engine_of", "estimate", "put_through"]

FloatArray = npt.NDArray[np.float64]

MOST_REPLICAS = 32
"""Replicas of a slice."""
WARM_LIVES, COOL_LIVES = 3.0, 1.0
"""Lives of a request at the pool's load that pass before counting begins, and after it ends."""
MOST_REPLICATIONS, FEWEST_REPLICATIONS = 256, 40
MOST_BEFORE_LOSS = 2e7
GROUPS, T_QUANTILE = 20, 2.093
"""Replications are put into groups; the interval is a group's spread by Student's t at 97.5 % with 19 degrees of freedom."""


@dataclass(frozen=True)
class Loss:
    """Replicas of a pool that stop at a moment, counted from the first request that counts."""

    replicas: int
    at_s: float


@dataclass(frozen=True)
class Estimated:
    """A statistic with its 95 % interval, ms, over ``requests``."""

    value_ms: float
    low_ms: float
    high_ms: float
    requests: int


@dataclass(frozen=True, eq=False)
class Run:
    """What requests met, shape (n_replications, n_counted): their class, and their times, s."""

    classes: npt.NDArray[np.int64]
    ttft_s: FloatArray
    e2e_s: FloatArray
    counted: npt.NDArray[np.bool_]

    def times_s(self, quantity: Quantity, output_tokens: int) -> FloatArray:
        """Give each request's time of one quantity, s."""
        if quantity is Quantity.TTFT:
            return self.ttft_s
        return self.e2e_s if quantity is Quantity.E2E else (self.e2e_s - self.ttft_s) / max(output_tokens - 1, 1)


def engine_of(curves: Sequence[ClassCurve]) -> Engine:
    """Give the engine that moves at the speeds of curves: straight lines in logs between points, the first point below it.

    Admission stops at the smallest of the classes' largest measured concurrencies.
    """
    most = min(curve.most_in_flight for curve in curves)
    load = np.log(np.maximum(np.arange(most + 1.0), 1.0))
    columns = []
    for curve in curves:
        grid = np.log(curve.concurrency)
        first, each = (np.exp(np.interp(load, grid, np.log(times))) / 1e3 for times in (curve.ttft_ms, curve.tpot_ms))
        columns += [first, np.full(most + 1, np.nan) if curve.output_tokens == 1 else (curve.output_tokens - 1) * each]
    return Engine(np.stack(columns, axis=1))


def _steady(pool: Pool, replicas: float) -> tuple[float, float]:
    """Give the requests in flight at which a replica keeps up with its part of the load, and that over the most it ever does."""
    rates = np.array([load.per_s for load in pool.loads]) / replicas
    servers = [load.curve for load in pool.loads if isinstance(load.curve, ServiceTime)]
    if servers:
        load = float(sum(rate / server.most_per_s for rate, server in zip(rates, servers, strict=True)))
        return max(server.most for server in servers) * 2.0 / max(1.0 - load, 1e-9), load
    seconds = engine_of(_curves(pool)).seconds
    life = np.nansum(seconds * np.repeat(rates / rates.sum(), 2), axis=1)[1:]
    leaving = np.arange(1, len(life) + 1) / life
    return float(np.argmax(leaving >= rates.sum()) + 1), float(rates.sum() / leaving.max())


def _curves(pool: Pool) -> list[ClassCurve]:
    return [load.curve for load in pool.loads if isinstance(load.curve, ClassCurve)]


def put_through(
    pool: Pool, requests: int, arrivals: Arrivals, balancer: str, seed: np.random.SeedSequence, loss: Loss | None = None
) -> Run:
    """Simulate a pool until about ``requests`` requests are counted.

    Raises
    ------
    CheckFailedError : the load is more than the replicas can ever do
    """
    _refuse_unstable(pool, loss)
    slices = 1 if loss else math.ceil(pool.replicas / MOST_REPLICAS)
    replicas = pool.replicas // slices
    steady, load = _steady(pool, pool.replicas)
    warm = int(max(WARM_LIVES * steady * replicas, 500.0, 10.0 / (1.0 - load) ** 2))
    cool = int(COOL_LIVES * steady * replicas) + 10
    rows = int(np.clip(requests / (2 * (warm + cool)), FEWEST_REPLICATIONS, MOST_REPLICATIONS))
    before = loss.at_s * pool.per_s if loss else 0.0  # those that come before the loss do not count
    if rows * before > MOST_BEFORE_LOSS:
        raise UsageError(f"--lose {pool.name}: {before:,.0f} requests come before it; lose replicas earlier")
    each = max(math.ceil(requests / rows), 10) + math.ceil(before)
    rng, rates = np.random.default_rng(seed), [load.per_s for load in pool.loads]
    when = arrivals.times(rng, pool.per_s * replicas / pool.replicas, rows, warm + each + cool)
    stream, counts = Stream.of(when, rates, rng), slice(warm, warm + each)
    lost = (loss.replicas, when[:, warm] + loss.at_s) if loss else (0, None)
    first, last = _served(pool, stream, replicas, balancer, rng, warm + each, *lost)
    came, first, last = when[:, counts], first[:, counts], last[:, counts]
    counted = np.ones(came.shape, dtype=bool) if lost[1] is None else last >= lost[1][:, None]
    return Run(stream.classes[:, counts], first - came, last - came, counted)


def _served(
    pool: Pool,
    stream: Stream,
    replicas: int,
    balancer: str,
    rng: np.random.Generator,
    until: int,
    lost: int,
    lost_at_s: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """Give when requests have their first and their last token, shape (n_replications, n_requests), s; a server has but one."""
    servers = [load.curve for load in pool.loads if isinstance(load.curve, ServiceTime)]
    if not servers:
        served = serve_together(
            engine_of(_curves(pool)), replicas, stream, balancer, rng, until=until, lost=lost, lost_at_s=lost_at_s
        )
        return served.first_s, served.last_s
    if (most := min(server.most for server in servers)) > 1:
        slowest = BatchServer(max(s.fixed_ms for s in servers) / 1e3, max(s.each_ms for s in servers) / 1e3, most)
        leaves = serve_batches(stream, slowest, replicas, balancer, rng, lost=lost, lost_at_s=lost_at_s)
        return leaves, leaves
    mean_s = np.array([(s.fixed_ms + s.each_ms) / 1e3 for s in servers])[stream.classes]
    variation = np.array([s.variation for s in servers])[stream.classes]
    shape = 1.0 / np.maximum(variation, 1e-12)
    service_s = np.where(variation > 0, rng.gamma(np.minimum(shape, 1e6)) * mean_s / shape, mean_s)
    leaves = serve_singly(stream, service_s, replicas, balancer, rng, lost=lost, lost_at_s=lost_at_s)
    return leaves, leaves


def _refuse_unstable(pool: Pool, loss: Loss | None) -> None:
    left = pool.replicas - (loss.replicas if loss else 0)
    if left <= 0:
        found = f"{loss.replicas if loss else 0} replicas lost of {pool.replicas}"
        raise CheckFailedError("nothing is left to simulate", [Problem(None, pool.name, found, "fewer than the pool has")])
    _, load = _steady(pool, left)
    if load >= 0.999:
        needed = math.floor(load * left) + 1
        found = f"{pool.per_s:.4g} requests/s for {left} replicas in {pool.period}, {load:.1%} of all they can do"
        hint = f"{needed} replicas would keep up"
        raise CheckFailedError("unstable load", [Problem(None, pool.name, found, "below 100 %", hint)])


def estimate(run: Run, number: int, load: Load, quantity: Quantity, percentile: float | None) -> Estimated:
    """Give a statistic of one class: over all its requests, with the interval that groups of replications give.

    Raises
    ------
    UsageError : no request of the class was counted
    """
    tokens = load.curve.output_tokens if isinstance(load.curve, ClassCurve) else 1
    times = 1e3 * run.times_s(quantity, tokens)
    mine = (run.classes == number) & run.counted
    parts = [part[chosen] for part, chosen in zip(np.array_split(times, GROUPS), np.array_split(mine, GROUPS), strict=True)]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise UsageError(f"no request of {load.workload}/{load.name} was counted; raise --requests, or lose replicas earlier")
    value = _statistic(np.concatenate(parts), percentile)
    spread = float(np.std([_statistic(part, percentile) for part in parts], ddof=1)) if len(parts) > 1 else math.inf
    margin = T_QUANTILE * spread / math.sqrt(len(parts))
    return Estimated(value, max(value - margin, 0.0), value + margin, int(mine.sum()))


def _statistic(times: FloatArray, percentile: float | None) -> float:
    return float(times.mean() if percentile is None else np.quantile(times, percentile))
