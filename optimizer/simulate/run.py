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
from optimizer.errors import CheckFailedError, Problem
from optimizer.performance import ClassCurve
from optimizer.simulate.arrivals import Arrivals
from optimizer.simulate.flow import Engine, Stream, serve_together
from optimizer.simulate.pools import Load, Pool

__all__ = ["Estimated", "Loss", "Run", "engine_of", "estimate", "put_through"]

FloatArray = npt.NDArray[np.float64]

MOST_REPLICAS = 32
"""Replicas of a slice."""
WARM_LIVES, COOL_LIVES = 3.0, 1.0
"""Lives of a request at the pool's load that pass before counting begins, and after it ends."""
MOST_REPLICATIONS, FEWEST_REPLICATIONS = 256, 40
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


def steady_in_flight(engine: Engine, per_s: Sequence[float]) -> tuple[float, float]:
    """Give the requests in flight at which one replica keeps up with rates, and the load over the most it can ever do."""
    share = np.repeat(np.array(per_s) / np.sum(per_s), 2)
    life = np.nansum(engine.seconds * share, axis=1)[1:]
    leaving = np.arange(1, engine.most + 1) / life
    load = float(np.sum(per_s) / leaving.max())
    return float(np.argmax(leaving >= np.sum(per_s)) + 1), load


def put_through(
    pool: Pool, requests: int, arrivals: Arrivals, balancer: str, seed: np.random.SeedSequence, loss: Loss | None = None
) -> Run:
    """Simulate a pool until about ``requests`` requests are counted.

    Raises
    ------
    CheckFailedError : the load is more than the replicas can ever do
    """
    engine = engine_of([load.curve for load in pool.loads])
    slices = 1 if loss else math.ceil(pool.replicas / MOST_REPLICAS)
    replicas = pool.replicas // slices
    rates = [load.per_s / pool.replicas for load in pool.loads]
    _refuse_unstable(pool, engine, rates, loss)
    steady, load = steady_in_flight(engine, rates)
    in_flight = steady * replicas
    warm = int(max(WARM_LIVES * in_flight, 500.0, 10.0 / (1.0 - load) ** 2))
    cool = int(COOL_LIVES * in_flight) + 10
    rows = int(np.clip(requests / (2 * (warm + cool)), FEWEST_REPLICATIONS, MOST_REPLICATIONS))
    each = max(math.ceil(requests / rows), 10)
    rng = np.random.default_rng(seed)
    when = arrivals.times(rng, sum(rates) * replicas, rows, warm + each + cool)
    stream = Stream.of(when, rates, rng)
    lost_at = when[:, warm] + loss.at_s if loss else None
    served = serve_together(
        engine, replicas, stream, balancer, rng, until=warm + each, lost=loss.replicas if loss else 0, lost_at_s=lost_at
    )
    counts = slice(warm, warm + each)
    came, first, last = when[:, counts], served.first_s[:, counts], served.last_s[:, counts]
    counted = np.ones(came.shape, dtype=bool) if lost_at is None else last >= lost_at[:, None]
    return Run(stream.classes[:, counts], first - came, last - came, counted)


def _refuse_unstable(pool: Pool, engine: Engine, rates: Sequence[float], loss: Loss | None) -> None:
    left = pool.replicas - (loss.replicas if loss else 0)
    if left <= 0:
        found = f"{loss.replicas if loss else 0} replicas lost of {pool.replicas}"
        raise CheckFailedError("nothing is left to simulate", [Problem(None, pool.name, found, "fewer than the pool has")])
    _, load = steady_in_flight(engine, [rate * pool.replicas / left for rate in rates])
    if load >= 0.999:
        needed = math.floor(load * left) + 1
        found = f"{pool.per_s:.4g} requests/s for {left} replicas in {pool.period}, {load:.1%} of all they can do"
        hint = f"{needed} replicas would keep up"
        raise CheckFailedError("unstable load", [Problem(None, pool.name, found, "below 100 %", hint)])


def estimate(run: Run, number: int, load: Load, quantity: Quantity, percentile: float | None) -> Estimated:
    """Give a statistic of one class: over all its requests, with the interval that groups of replications give."""
    times = 1e3 * run.times_s(quantity, load.curve.output_tokens)
    mine = (run.classes == number) & run.counted
    parts = [part[chosen] for part, chosen in zip(np.array_split(times, GROUPS), np.array_split(mine, GROUPS), strict=True)]
    parts = [part for part in parts if len(part)]
    everything = np.concatenate(parts) if parts else np.full(1, np.nan)
    value = _statistic(everything, percentile)
    spread = float(np.std([_statistic(part, percentile) for part in parts], ddof=1)) if len(parts) > 1 else math.inf
    margin = T_QUANTILE * spread / math.sqrt(max(len(parts), 1))
    return Estimated(value, max(value - margin, 0.0), value + margin, int(mine.sum()))


def _statistic(times: FloatArray, percentile: float | None) -> float:
    return float(times.mean() if percentile is None else np.quantile(times, percentile))
