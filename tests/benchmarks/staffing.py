"""What staffing reckons with beside simulations of its own: tables 7, 8, 10 and 11 of docs/latency.md, made by ``latency.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.instance import Balancer
from optimizer.performance.figures import POOLING
from optimizer.performance.service import SAFE_TAIL, SAFE_WAIT, batches_met, safe_residual, service_quantile
from optimizer.performance.staffing import Wait, curve_of, erlang_c, most_load, wait_quantile
from optimizer.simulate import Renewal
from optimizer.simulate.servers import BatchServer, serve_batches, serve_singly
from optimizer.simulate.streams import Stream

Rows = list[Sequence[str]]
SERVERS, LOADS, VARIATIONS = (1, 2, 4, 8, 16, 32, 64), (0.5, 0.7, 0.8, 0.9, 0.95), (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
Times = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def drawn(rng: np.random.Generator, shape: tuple[int, ...], variation: float, kind: str) -> Times:
    """Draw service times of mean 1."""
    if variation == 0:
        return np.ones(shape)
    if kind == "gamma":
        return rng.gamma(1 / variation, size=shape) * variation
    spread = np.log1p(variation)
    return np.exp(rng.normal(-spread / 2, np.sqrt(spread), shape))


def served(servers: int, load: float, variation: float, kind: str, requests: int) -> Times:
    """Give the times of requests of mean service 1 with one queue for all servers; shape (n_replications, n_counted)."""
    rng, rows = np.random.default_rng([servers, round(100 * load), round(100 * variation)]), 256
    warm = int(min(20_000, max(500, 20 * servers, 4 * (1 + variation) / (1 - load) ** 2)))
    when = np.cumsum(rng.exponential(1 / (load * servers), size=(rows, warm + max(requests // rows, 100))), axis=1)
    stream = Stream(when, np.zeros(when.shape, dtype=np.int64))
    leaves = serve_singly(stream, drawn(rng, when.shape, variation, kind), servers, "central", rng)
    return np.asarray((leaves - when)[:, warm:])


def promised(servers: int, load: float, variation: float, percentile: float) -> float:
    """Give the time that staffing reckons with, in mean services: the wait's percentile and the service's, at the safe side."""
    wait = wait_quantile(servers, load * servers, percentile) * safe_residual(variation)
    return wait + service_quantile(variation, 1 - SAFE_TAIL * (1 - percentile))


def staffed(requests: int) -> Rows:
    """Put staffing beside simulation over a grid.

    The time of a request that staffing reckons with, the wait's percentile and the service's at the safe side, over the simulated
    one, less 1: the lowest and the highest at 50, 70, 80, 90 and 95 % load, for gamma and lognormal service times of a squared
    coefficient of variation, one queue, Poisson arrivals, 1,000,000 requests each. Negative is the unsafe side, *noise* where the
    95 % interval of the simulation holds the figure. Variability below 1 is counted as 1, waits above a variability of 2 as 1.6
    times, others as 1.15 times the formula's; without that it is up to 31 % low.
    """
    rows: Rows = []
    for kind in ("gamma", "lognormal"):
        for variation in VARIATIONS:
            found = {(c, x): served(c, x, variation, kind, requests) for c in SERVERS for x in LOADS}
            for percentile in (0.95, 0.99):
                told = {(c, x): promised(c, x, variation, percentile) for c in SERVERS for x in LOADS}
                cells = [spanned([error(told[c, x], found[c, x], percentile) for x in LOADS]) for c in SERVERS]
                rows.append([kind, f"{variation:g}", f"p{100 * percentile:g}", *cells])
    return rows


def spanned(errors: Sequence[tuple[float, bool]]) -> str:
    """Say the lowest and the highest of some errors, percent, and whether the lowest is on the unsafe side."""
    low, high = min(errors), max(errors)
    mark = "" if low[0] >= 0 else " noise" if low[1] else " LOW"
    return f"{100 * low[0]:+.0f} to {100 * high[0]:+.0f}{mark}"


def error(told_s: float, times: Times, percentile: float | None) -> tuple[float, bool]:
    """Give what a figure (None: the mean) is over the simulated one, less 1, and whether it lies in the simulation's interval."""

    def statistic(of: Times) -> float:
        return float(of.mean() if percentile is None else np.quantile(of, percentile))

    value, parts = statistic(times), [statistic(part) for part in np.array_split(times, 20)]
    margin = 2.093 * float(np.std(parts, ddof=1)) / np.sqrt(len(parts))
    return told_s / value - 1, told_s >= value - margin


def counted(requests: int) -> Rows:
    """Count the servers for 24 requests in service on average, and what they would miss.

    One queue of servers that take 20 ms at a variability, asked for a p99 (no factor for spread). *Pooled* is the model of a
    plan, at a cap of 95 %; *alone* loads every server as one alone bears it; *80 %* asks for nothing but the flat cap, *on the
    mean* for the target as a mean. Simulated p99 over the target stands behind each; above 1 it misses.
    """
    rows: Rows = []
    for variation, target_ms in ((0.0, 40.0), (0.0, 80.0), (1.0, 110.0), (1.0, 160.0), (4.0, 260.0), (4.0, 400.0)):
        unit = safe_residual(variation)
        budget = target_ms / 20.0 - service_quantile(variation, 1 - SAFE_TAIL * 0.01)
        wait, mean = Wait(budget / unit, 0.01), Wait((target_ms / 20.0 - 1) / unit, None)
        pooled, on_mean = (curve_of([w], 0.95, 24.0, pooled=True) for w in (wait, mean))
        counts = [
            max(1 if pooled is None else pooled.needed(24.0), int(np.ceil(24.0 / 0.95))),
            int(np.ceil(24.0 / min(most_load(1, wait), 0.95))),
            30,
            max(1 if on_mean is None else on_mean.needed(24.0), 25),
        ]
        cells = []
        for count in counts:
            got = float(np.quantile(served(count, 24.0 / count, variation, "gamma", requests), 0.99)) * 20.0 / target_ms
            cells.append(f"{count} ({got:.2f}{' MISS' if got > 1 else ''})")
        rows.append([f"{variation:g}", f"{target_ms:g} ms", *cells])
    return rows


BATCH_SHAPES = ((1.0, 0.0, 2), (1.0, 0.0, 4), (1.0, 0.1, 16), (1.0, 0.0, 16), (1.0, 0.0, 64))
BATCH_SERVERS, BATCH_LOADS = (1, 2, 4, 16, 64), (0.5, 0.8, 0.95)


def batches(requests: int) -> Rows:
    """Put the staffing of batch servers beside simulation over a grid.

    The time that staffing reckons with over the simulated one, less 1: the lowest and the highest at 50, 80 and 95 % load, for
    batches of `a + b k`, at most B. Negative is the unsafe side, *noise* where the 95 % interval of the simulation holds the
    figure. Poisson arrivals, a fifth of the requests of table 7.
    """
    rows: Rows = []
    for balancer in (Balancer.CENTRAL, Balancer.LEAST_WORK, Balancer.POWER_OF_TWO, Balancer.RANDOM):
        for fixed, each, most in BATCH_SHAPES:
            server = BatchServer(fixed, each, most)
            found = {(c, x): in_batches(c, x, server, balancer, requests) for c in BATCH_SERVERS for x in BATCH_LOADS}
            for percentile in (None, 0.95, 0.99):
                told = {key: promised_in_batches(*key, server, balancer, percentile) for key in found}
                cells = [spanned([error(told[c, x], found[c, x], percentile) for x in BATCH_LOADS]) for c in BATCH_SERVERS]
                name = "mean" if percentile is None else f"p{100 * percentile:g}"
                rows.append([balancer.value, f"{fixed:g} + {each:g} k, {most}", name, *cells])
    return rows


def in_batches(
    servers: int, load: float, server: BatchServer, balancer: Balancer, requests: int, variation: float = 1.0, kind: str = "gamma"
) -> Times:
    """Give the times of requests on servers of batches; shape (n_replications, n_counted)."""
    full, rows = server.fixed_s + server.each_s * server.most, 1024 if servers * server.most <= 64 else 64
    rng = np.random.default_rng([servers, round(100 * load), server.most])
    warm = int(max(6 * servers * server.most, 500, min(4 * variation / (1 - load) ** 2, 8000)))  # six full batches of each
    shape = (rows, warm + max(requests // rows, 2 * servers * server.most))
    when = np.cumsum(between(rng, shape, variation, kind) * full / (load * servers * server.most), axis=1)
    leaves = serve_batches(Stream(when, np.zeros(shape, dtype=np.int64)), server, servers, balancer.value, rng)
    return np.asarray((leaves - when)[:, warm:])


def promised_in_batches(
    servers: int, load: float, server: BatchServer, balancer: Balancer, percentile: float | None, variation: float = 1.0
) -> float:
    """Give the time that staffing reckons with: what a request meets at any load, and the wait for full batches."""
    full, pooled = server.fixed_s + server.each_s * server.most, servers if balancer in POOLING else 1
    wait = reckoned(pooled, load * pooled, percentile, variation) * SAFE_WAIT * full * variation / (2 * server.most)
    return full * batches_met(percentile, balancer) + wait


def reckoned(servers: int, load: float, percentile: float | None, variation: float) -> float:
    """Give the wait that staffing reckons with, in units of the queue: the mean or a percentile, of bursts as if all waited."""
    if variation > 1:
        return Wait(1.0, None if percentile is None else 1 - percentile, is_bursty=True).spare / (servers - load)
    return erlang_c(servers, load) / (servers - load) if percentile is None else wait_quantile(servers, load, percentile)


def between(rng: np.random.Generator, shape: tuple[int, int], variation: float, kind: str) -> Times:
    """Draw times between arrivals, of mean 1: gamma, or exponential of two means as ``allocate simulate`` draws them."""
    if kind == "gamma":
        return rng.gamma(1 / variation, size=shape) * variation
    return np.diff(Renewal(variation).times(rng, 1.0, *shape), axis=1, prepend=0.0)


def in_bursts(servers: int, load: float, service: float, variation: float, kind: str, requests: int) -> Times:
    """Give the times of requests in bursts, of mean service 1 and a variability; shape (n_replications, n_counted)."""
    rng, rows = np.random.default_rng([servers, round(100 * load), round(variation)]), 1024 if servers <= 4 else 128
    # near full load a queue forgets slowly: many replications, since each is hardly more than one draw of its longest waits
    warm = int(max(800, 20 * servers, min(4 * (variation + service) / (1 - load) ** 2, 8000)))
    shape = (rows, warm + max(requests // rows, 500))
    when = np.cumsum(between(rng, shape, variation, kind) / (load * servers), axis=1)
    leaves = serve_singly(
        Stream(when, np.zeros(shape, dtype=np.int64)), drawn(rng, shape, service, "gamma"), servers, "central", rng
    )
    return np.asarray((leaves - when)[:, warm:])


BURST_SERVERS, BURST_SERVICES = (1, 4, 16, 64), (0.0, 1.0, 4.0, BatchServer(1.0, 0.0, 2), BatchServer(1.0, 0.1, 16))


def bursty(requests: int) -> Rows:
    """Put staffing beside simulation of arrivals that vary more than Poisson's.

    As in tables 7 and 10, one queue: the lowest and the highest error at 50, 80 and 95 % load, of gamma times between arrivals
    and of exponential ones of two means, at a squared coefficient of variation. Service is one request of a variability, or
    batches of `a + b k`. Everyone is reckoned to wait, since Erlang's share of those that do is up to 78 % low in bursts.
    """
    rows: Rows = []
    for service in BURST_SERVICES:
        for variation in (2.0, 4.0, 16.0):
            ways = [(c, x, kind) for c in BURST_SERVERS for x in BATCH_LOADS for kind in ("gamma", "two means")]
            found = {way: _in_bursts(service, variation, requests, *way) for way in ways}
            for percentile in (None, 0.95, 0.99):
                cells = [
                    spanned([
                        error(_told(service, variation, percentile, c, x), found[c, x, kind], percentile)
                        for at, x, kind in ways if at == c
                    ])
                    for c in BURST_SERVERS
                ]  # fmt: skip
                what = (
                    f"{service:g}"
                    if isinstance(service, float)
                    else f"{service.fixed_s:g} + {service.each_s:g} k, {service.most}"
                )
                rows.append([what, f"{variation:g}", "mean" if percentile is None else f"p{100 * percentile:g}", *cells])
    return rows


def _in_bursts(service: float | BatchServer, variation: float, requests: int, servers: int, load: float, kind: str) -> Times:
    if isinstance(service, BatchServer):
        return in_batches(servers, load, service, Balancer.CENTRAL, requests, variation, kind)
    return in_bursts(servers, load, service, variation, kind, requests)


def _told(service: float | BatchServer, variation: float, percentile: float | None, servers: int, load: float) -> float:
    if isinstance(service, BatchServer):
        return promised_in_batches(servers, load, service, Balancer.CENTRAL, percentile, variation)
    alone = 1.0 if percentile is None else service_quantile(service, 1 - SAFE_TAIL * (1 - percentile))
    return alone + reckoned(servers, load * servers, percentile, variation) * safe_residual(service, variation)
