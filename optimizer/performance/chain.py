r"""The largest rate that one continuous-batching replica may carry: percentiles derived from closed-loop curves.

In-flight requests form a birth-death chain: Poisson arrivals at rate λ, and n requests in flight leave at rate
:math:`d_n = n / (TTFT_n + (out - 1) TPOT_n)`. At most N, the largest measured concurrency, are admitted; later arrivals wait
and leave at :math:`d_N`. An arrival that finds n in flight makes it n + 1 (Poisson arrivals see time averages), and that is the
concurrency whose central times it is given. The rate is the largest λ at which, for each target on the p-th percentile, the time
at the concurrency so reached, times a factor for the spread between runs, is within the bound and at most 1 - p of arrivals wait.
Times at a given concurrency are taken as certain: the chain moves the load, the factor moves the time.

Classes that share replicas share what is in flight: one that bears many in flight must not crowd out one that bears few. So the
rates of all classes of a configuration are those at which the requests in flight stay within what every one of them bears
(``bearable``); then so does any mix whose shares of those rates sum to one, as far as the classes' times grow alike.

Times ms, rates requests/s; everything is for whole arrays of chains at once, shape (n_chains, ...). Below the smallest measured
concurrency a time is that of the smallest (safe: it is never faster). Source: Kleinrock (1975), Queueing Systems, vol. 1,
sections 3.1 (birth-death equilibrium) and 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quantity
from optimizer.instance import LatencyTarget

__all__ = ["Chains", "Rates", "bearable", "chains", "largest_rates", "most_known"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RATE_TOLERANCE = 1e-9
"""Relative accuracy to which a rate is solved, before it is cut to ``RATE_DIGITS`` significant digits."""
RATE_DIGITS = 8
ROUNDING = 1e-12
"""Relative slack in comparing a time with its bound: a time read at a measured point may differ from it in the last digit."""
MOST_ITERATIONS = 100
LEAST_LOG_RATE = -60.0


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """Birth-death chains, one per row; column n - 1 is n requests in flight.

    Attributes
    ----------
    ttft_ms, tpot_ms, e2e_ms : shape (n_chains, n_states), nondecreasing along a row
    departures_per_s : shape (n_chains, n_states), requests/s
    size : shape (n_chains,), the most requests in flight; 0 where nothing is known. Columns beyond it mean nothing.
    """

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    e2e_ms: FloatArray
    departures_per_s: FloatArray
    size: IntArray

    def times_ms(self, quantity: Quantity) -> FloatArray:
        """Give the times of one quantity."""
        return {Quantity.TTFT: self.ttft_ms, Quantity.TPOT: self.tpot_ms, Quantity.E2E: self.e2e_ms}[quantity]

    def take(self, rows: npt.NDArray[np.bool_]) -> Chains:
        """Give some of the chains."""
        return Chains(self.ttft_ms[rows], self.tpot_ms[rows], self.e2e_ms[rows], self.departures_per_s[rows], self.size[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """What chains may carry.

    Attributes
    ----------
    per_s : shape (n_chains,), requests/s; 0 where a target is out of reach at any load
    reached_ms : shape (n_chains, n_targets), the value of each target's statistic at that rate, spread factor included
    lightest_ms : shape (n_chains, n_targets), the same at the lightest load, one request in flight
    """

    per_s: FloatArray
    reached_ms: FloatArray
    lightest_ms: FloatArray


def chains(
    concurrency: npt.ArrayLike,
    ttft_ms: npt.ArrayLike,
    tpot_ms: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    most_in_flight: npt.ArrayLike = np.inf,
) -> Chains:
    """Build chains from times on a common grid of concurrencies.

    Parameters
    ----------
    concurrency : shape (n_points,), increasing, at least 1
    ttft_ms, tpot_ms : shape (n_chains, n_points), ms; NaN from some point on where nothing is known
    output_tokens : shape (n_chains,), tokens of a request, at least 1
    most_in_flight : shape (n_chains,), a further limit on the requests in flight (memory)

    >>> one = chains([1, 2], [[100.0, 200.0]], [[10.0, 10.0]], [1])
    >>> one.departures_per_s.round(6).tolist()
    [[10.0, 10.0]]
    """
    grid = np.asarray(concurrency, dtype=np.float64)
    first, each = np.atleast_2d(np.asarray(ttft_ms, dtype=np.float64)), np.atleast_2d(np.asarray(tpot_ms, dtype=np.float64))
    size = np.minimum(most_known(grid, first, each), np.asarray(most_in_flight, dtype=np.float64)).astype(np.int64)
    states = np.arange(1, max(int(size.max(initial=0)), 1) + 1)
    ttft, tpot = (_at_states(grid, times, states) for times in (first, each))
    e2e = ttft + (np.asarray(output_tokens, dtype=np.float64)[:, None] - 1.0) * tpot
    return Chains(ttft, tpot, e2e, 1e3 * states / e2e, np.maximum(size, 0))


def most_known(grid: FloatArray, ttft_ms: FloatArray, tpot_ms: FloatArray) -> FloatArray:
    """Give the largest concurrency up to which both times are known, shape (n_chains,); 0 where not even the first is."""
    known = np.isfinite(ttft_ms) & np.isfinite(tpot_ms)
    points = np.where(known.all(axis=1), len(grid), known.argmin(axis=1))
    largest: FloatArray = np.where(points > 0, grid[points - 1], 0.0)
    return largest


def _at_states(grid: FloatArray, times: FloatArray, states: IntArray) -> FloatArray:
    """Interpolate log-log from the grid to every number in flight; a time never falls as load rises, and holds at the ends."""
    raised = np.fmax.accumulate(times, axis=1)
    position = np.interp(np.log(states), np.log(grid), np.arange(len(grid), dtype=np.float64))
    hats = np.maximum(0.0, 1.0 - np.abs(position - np.arange(len(grid))[:, None]))  # (n_points, n_states), columns sum to 1
    times_at_states: FloatArray = np.exp(np.log(np.where(np.isfinite(raised), raised, 1.0)) @ hats)
    return times_at_states


def bearable(given: Chains, targets: Sequence[LatencyTarget], spread_factor: float) -> FloatArray:
    """Give what each chain bears in flight, shape (n_chains, n_targets): at most for a percentile, on average for a mean."""
    found = np.empty((len(given.size), len(targets)))
    for column, target in enumerate(targets):
        if target.percentile is not None:
            found[:, column] = _allowed(given, [target], spread_factor)
        else:
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                weights = _Weights(given)
                rates = _mean_rates(given, weights, target, spread_factor)
                found[:, column] = _mean_in_flight(weights, np.log(np.maximum(rates, np.exp(LEAST_LOG_RATE))))
    return found


def largest_rates(
    given: Chains, targets: Sequence[LatencyTarget], spread_factor: float = 1.0, borne: FloatArray | None = None
) -> Rates:
    """Give the largest rate of each chain at which every target holds; without targets the largest departure rate.

    Parameters
    ----------
    given : n_chains chains
    targets : bounds in ms on percentiles or means
    spread_factor : multiplies every time before it is compared with a bound, dimensionless, at least 1
    borne : shape (n_chains, n_targets), what all classes that share the replicas bear in flight; null where a class is alone

    >>> one = chains([1, 2], [[100.0, 100.0]], [[10.0, 10.0]], [1])  # departures 10/s and 20/s
    >>> target = LatencyTarget(quantity=Quantity.TTFT, statistic="p50", at_most_ms=100.0)
    >>> round(float(largest_rates(one, [target]).per_s[0]), 3)  # r = λ/20: 1 + 2r = 2r²/(1 - r), so r = (1 + √17)/8
    12.808
    """
    possible = given.size > 0
    lightest, reached = np.full((2, len(possible), len(targets)), np.nan)
    for column, target in enumerate(targets):
        lightest[possible, column] = spread_factor * given.times_ms(target.quantity)[possible, 0]
    for column, target in enumerate(targets):
        possible &= lightest[:, column] <= target.at_most_ms * (1.0 + ROUNDING)
    rates = np.zeros(len(possible))
    if possible.any():  # the others carry nothing: half of the chains of a usual workload
        borne = None if borne is None else borne[possible]
        rates[possible], reached[possible] = _rates_and_reached(given.take(possible), targets, spread_factor, borne)
    return Rates(rates, reached, lightest)


def _rates_and_reached(
    given: Chains, targets: Sequence[LatencyTarget], spread_factor: float, borne: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Solve chains of which every target holds at the lightest load; the value of each target's statistic at their rates."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        weights = _Weights(given)
        rates = _largest_departure(given)
        for percentile in sorted({t.percentile for t in targets if t.percentile is not None}):
            allowed = _allowed(given, [t for t in targets if t.percentile == percentile], spread_factor)
            if borne is not None:
                columns = [t.percentile == percentile for t in targets]
                allowed = np.minimum(allowed, borne[:, columns].min(axis=1).astype(np.int64))
            rates = np.minimum(rates, _percentile_rates(given, weights, allowed, percentile))
        for column, target in enumerate(targets):
            if target.percentile is None:
                rates = np.minimum(rates, _mean_rates(given, weights, target, spread_factor))
                if borne is not None:
                    rates = np.minimum(rates, _in_flight_rates(weights, borne[:, column]))
        rates = _rounded_down(rates)
        return rates, spread_factor * _reached(given, weights, rates, targets)


def _rounded_down(rates: FloatArray) -> FloatArray:
    """Cut rates to ``RATE_DIGITS`` significant digits, so that the last bits of a sum over a batch are not part of an answer."""
    step = 10.0 ** (np.floor(np.log10(np.where(rates > 0, rates, 1.0))) - (RATE_DIGITS - 1))
    cut: FloatArray = np.where(rates > 0, np.floor(rates / step) * step, 0.0)
    return cut


def _last(values: FloatArray, size: IntArray) -> FloatArray:
    """Give each row's entry for its largest number in flight."""
    return np.take_along_axis(values, np.maximum(size - 1, 0)[:, None], axis=1)[:, 0]


def _within(given: Chains) -> npt.NDArray[np.bool_]:
    return np.arange(1, given.departures_per_s.shape[1] + 1) <= given.size[:, None]


def _largest_departure(given: Chains) -> FloatArray:
    largest: FloatArray = np.where(_within(given), given.departures_per_s, 0.0).max(axis=1)
    return largest


def _allowed(given: Chains, targets: Sequence[LatencyTarget], spread_factor: float) -> IntArray:
    """Give the most requests in flight at which all of the targets' times hold; times rise along a row, so it is a count."""
    holds = _within(given)
    for target in targets:
        holds = holds & (given.times_ms(target.quantity) * spread_factor <= target.at_most_ms * (1.0 + ROUNDING))
    count: IntArray = holds.sum(axis=1)
    return count


class _Weights:
    """Unnormalised probabilities of 0 ... N in flight at given log rates; the last holds the geometric queue beyond N too."""

    def __init__(self, given: Chains) -> None:
        n_states = given.departures_per_s.shape[1]
        log_departures = np.log(given.departures_per_s)
        self.count = np.arange(n_states + 1, dtype=np.float64)
        self.drop = np.zeros((len(given.size), n_states + 1))
        np.cumsum(log_departures, axis=1, out=self.drop[:, 1:])
        self.drop[self.count > given.size[:, None]] = np.inf
        self.log_limit = _last(log_departures, given.size)
        self.rows = np.arange(len(given.size))
        self.size = given.size

    def at(self, log_rate: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the weights, shape (n_chains, n_states + 1), and the load λ / d_N, shape (n_chains,)."""
        load = np.exp(np.minimum(log_rate - self.log_limit, -1e-15))
        weight = np.multiply.outer(log_rate, self.count)
        weight -= self.drop
        weight[self.rows, self.size] -= np.log1p(-load)
        weight -= weight.max(axis=1, keepdims=True)
        return np.exp(weight, out=weight), load


def _percentile_rates(given: Chains, weights: _Weights, allowed: IntArray, percentile: float) -> FloatArray:
    """Solve P(in flight >= allowed) = 1 - p for the rate, by Newton steps on the log-odds kept inside a shrinking bracket.

    The odds rise with the rate, at the slope E[n | n >= allowed] - E[n | n < allowed] in logs.
    """
    above = (weights.count >= allowed[:, None]).astype(np.float64)
    goal = np.log1p(-percentile) - np.log(percentile)
    low, high = np.full(len(allowed), LEAST_LOG_RATE), weights.log_limit
    near = np.log(np.take_along_axis(given.departures_per_s, np.maximum(allowed - 1, 0)[:, None], axis=1)[:, 0])
    rate = np.minimum(near, high) - 2.0 / np.sqrt(np.maximum(allowed, 1))
    found = allowed <= 0
    for _ in range(MOST_ITERATIONS):
        odds, slope = _log_odds(weights, rate, above)
        excess = odds - goal
        low, high = np.where(excess > 0, low, rate), np.where(excess > 0, rate, high)
        step = rate - excess / slope
        following = np.where((step >= low) & (step <= high), step, (low + high) / 2.0)
        moved = np.abs(following - rate)
        rate = np.where(found, rate, following)  # a chain that is done stays: its answer does not hang on its neighbours
        found |= moved < RATE_TOLERANCE / 10
        if found.all():
            break
    return np.where(allowed > 0, np.exp(rate - RATE_TOLERANCE), 0.0)


def _log_odds(weights: _Weights, log_rate: FloatArray, above: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the log-odds of being in a state marked 1, and their slope against the log rate."""
    weight, load = weights.at(log_rate)
    queued = weight[weights.rows, weights.size] * load / (1.0 - load)
    total, mean = weight.sum(axis=1), weight @ weights.count + queued
    upper = weight * above
    sum_upper, mean_upper = upper.sum(axis=1), upper @ weights.count + queued
    sum_lower = np.maximum(total - sum_upper, 1e-300)
    return np.log(sum_upper / sum_lower), mean_upper / sum_upper - (mean - mean_upper) / sum_lower


def _mean_rates(given: Chains, weights: _Weights, target: LatencyTarget, spread_factor: float) -> FloatArray:
    """Solve mean time = bound for the rate; the mean rises with the rate, waiting included."""
    possible = _allowed(given, [target], spread_factor) > 0

    def holds(log_rate: FloatArray) -> npt.NDArray[np.bool_]:
        return spread_factor * _mean_ms(given, weights, log_rate, target.quantity) <= target.at_most_ms

    return np.where(possible, _bisected(weights, holds), 0.0)


def _in_flight_rates(weights: _Weights, most: FloatArray) -> FloatArray:
    """Solve mean requests in flight = most for the rate."""
    return _bisected(weights, lambda log_rate: _mean_in_flight(weights, log_rate) <= most)


def _bisected(weights: _Weights, holds: Callable[[FloatArray], npt.NDArray[np.bool_]]) -> FloatArray:
    """Give the largest rates at which something holds that holds at all lower ones."""
    low, high = np.full(len(weights.size), LEAST_LOG_RATE), weights.log_limit.copy()
    for _ in range(MOST_ITERATIONS):
        open_still = high - low >= RATE_TOLERANCE  # a chain that is done stays: its answer does not hang on its neighbours
        if not open_still.any():
            break
        middle = (low + high) / 2.0
        held = holds(middle)
        low, high = np.where(held & open_still, middle, low), np.where(held | ~open_still, high, middle)
    rates: FloatArray = np.exp(low)
    return rates


def _mean_in_flight(weights: _Weights, log_rate: FloatArray) -> FloatArray:
    """Give the mean number of requests in flight and waiting."""
    weight, load = weights.at(log_rate)
    queued = weight[weights.rows, weights.size] * load / (1.0 - load)
    mean: FloatArray = (weight @ weights.count + queued) / weight.sum(axis=1)
    return mean


def _mean_ms(given: Chains, weights: _Weights, log_rate: FloatArray, quantity: Quantity) -> FloatArray:
    """Give the mean time of arrivals; those that find N in flight wait first, which TTFT and end-to-end times include."""
    weight, load = weights.at(log_rate)
    times = given.times_ms(quantity)
    met = np.concatenate([times, times[:, -1:]], axis=1)
    met[weights.rows, weights.size] = _last(times, given.size)  # who waits is then the N-th in flight
    total = weight.sum(axis=1)
    mean: FloatArray = (weight * met).sum(axis=1) / total
    if quantity is not Quantity.TPOT:
        waiting = weight[weights.rows, weights.size] / total / (1.0 - load)
        mean = mean + 1e3 * waiting * np.exp(-weights.log_limit)
    return mean


def _reached(given: Chains, weights: _Weights, rates: FloatArray, targets: Sequence[LatencyTarget]) -> FloatArray:
    """Give the value of each target's statistic at some rates, ms, shape (n_chains, n_targets); NaN where the rate is 0."""
    log_rate = np.log(np.where(rates > 0, rates, 1e-300))
    weight, _ = weights.at(log_rate)
    share = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    reached = np.empty((len(rates), len(targets)))
    for column, target in enumerate(targets):
        if target.percentile is None:
            reached[:, column] = _mean_ms(given, weights, log_rate, target.quantity)
        else:
            met = np.minimum((share < target.percentile * (1.0 - 1e-12)).sum(axis=1), given.size - 1)
            reached[:, column] = given.times_ms(target.quantity)[weights.rows, np.maximum(met, 0)]
    reached[rates <= 0] = np.nan
    return reached
