"""Servers of one request or one batch at a time: from the times of profiles to what one server does and what a wait may be.

A profile measured one request at a time states the mean time of a request and how it varies. A target on the whole time,
less the service's own percentile, leaves a budget for the wait; the smallest of a workload's classes holds for their queue, since
nobody in it knows who waits with him. The residual time ``E[S^2] / (2 E[S])`` is that of the class with the largest: no mix of
classes has a larger one. How many servers keep the budget at which load is worked out in ``staffing``; nothing here counts them.

A server that is busy for ``a + b k`` with k requests, at most B, takes whoever waits. At any load a request may find a batch
begun and have a full one of its own, and one between them where it is committed to a server by its work: the target less so many
full batches is the budget of whoever finds B waiting as well. Those wait for batches, which are full, take a fixed time and come
as B requests do: by Allen-Cunneen at a B-th of the variability of arrivals. A batch of several classes is as slow as the slowest.

Percentiles of the service that nobody measured are the larger of a gamma's and a lognormal's of the same mean and variability.
Times s, but for targets and profiles, ms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from optimizer.catalog import Profile, Quality, Quantity, worst
from optimizer.instance import Balancer, RequestClass
from optimizer.performance.data import ServiceTime
from optimizer.performance.figures import POOLING, Answer, Kind, Question, Queue, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.held import percentile_of
from optimizer.performance.profiles import Configuration, configuration_of, is_same_shape

__all__ = [
    "HEAVY_VARIATION",
    "HEAVY_WAIT",
    "LEAST_VARIATION",
    "SAFE_TAIL",
    "SAFE_WAIT",
    "batches_met",
    "safe_residual",
    "service_answers",
    "service_quantile",
    "service_times",
]

LEAST_VARIATION = 1.0
"""Service that varies less is counted as if it varied so: the formula is up to 31 % low there (docs/latency.md, table 7)."""
SAFE_WAIT, HEAVY_WAIT, HEAVY_VARIATION = 1.15, 1.6, 2.0
"""Factor on waits, since the formula is up to 10 % low for service that varies more; and above a variability, where tails as
heavy as a lognormal's make a few servers' waits longer by a third (docs/latency.md, table 7)."""
SAFE_TAIL = 0.9
"""Factor on the share of requests that may be served longer than reckoned: some of those that wait are served long as well."""
COMMITTING = (Balancer.LEAST_WORK, Balancer.POWER_OF_TWO)
"""Balancers that commit a request to a server by its work, which may end a batch later than another's."""
ROUNDED_DOWN = 1.0 - 1e-12
"""So that what is added up to a target is never above it."""


@dataclass(frozen=True, slots=True)
class _Served:
    """One class on a server: the profile it rests on, the server's time, and its unit's count a request."""

    profile: Profile
    time: ServiceTime
    units: float

    def residual_s(self, arrivals: float) -> float:
        """Give the unit of the queue, at the safe side, s: the mean rest of a service and what ``arrivals`` that vary add.

        Of batches their arrivals alone.
        """
        if self.time.most > 1:
            return SAFE_WAIT * self.time.full_s * arrivals / (2 * self.time.most)
        return self.time.full_s * safe_residual(self.time.variation, arrivals)

    def at_s(self, percentile: float | None, balancer: Balancer) -> float:
        """Give the time of who finds no queue: the mean or a percentile, as measured or at the safe side, s."""
        mean_s, variation = self.time.full_s, self.time.variation
        if self.time.most > 1:
            return mean_s * batches_met(percentile, balancer)
        if percentile is None:
            return mean_s
        percentile = 1.0 - SAFE_TAIL * (1.0 - percentile)
        stated = [(percentile_of(x.statistic), x.ms) for x in self.profile.latency if x.quantity is Quantity.E2E and x.ms]
        known = [ms / 1e3 for p, ms in stated if p >= percentile]
        return min(known, default=mean_s * service_quantile(variation, percentile))

    def __str__(self) -> str:
        """Say it in a few words."""
        time = self.time
        if time.most > 1:
            return f"{time.fixed_ms:.4g} + {time.each_ms:.4g} k ms for a batch of k up to {time.most}"
        return f"{time.fixed_ms:.4g} ms (variability {time.variation:g})"


def service_answers(question: Question, profiles: Sequence[Profile]) -> dict[Configuration, Answer]:
    """Answer for every configuration that was measured one request or batch at a time: an estimate or a reason."""
    groups: dict[Configuration, list[Profile]] = defaultdict(list)
    for profile in profiles:
        if profile.load.kind.is_of_servers:
            groups[configuration_of(profile)].append(profile)
    return {configuration: _answer(question, configuration, mine) for configuration, mine in groups.items()}


def service_times(question: Question, profiles: Sequence[Profile]) -> tuple[ServiceTime, ...] | None:
    """Give each class's time on a server that was measured one request or batch at a time, as data; None where it was not."""
    found = _served(question, profiles)
    return None if isinstance(found, Rejection) else tuple(x.time for x in found)


def _answer(question: Question, configuration: Configuration, profiles: Sequence[Profile]) -> Answer:
    served = _served(question, profiles)
    if isinstance(served, Rejection):
        return served
    targets, balancer = question.targets, question.balancer
    alone = np.array([x.at_s(t.percentile, balancer) for x in served for t in targets]).reshape(len(served), len(targets))
    tails = [None if t.percentile is None else 1.0 - t.percentile for t in targets]
    residual_s = max(x.residual_s(question.arrival_variation) for x in served)
    asked = np.array([t.at_most_ms / 1e3 / question.spread_factor for t in targets])
    budget = (asked - alone).min(axis=0) if len(asked) else asked
    is_pooled, is_bursty = balancer in POOLING, question.is_bursty
    for tail, left in zip(tails, budget.tolist(), strict=True):
        if left < 0 or (left == 0 and (tail is None or is_bursty)):  # any load at all makes a mean longer, and a burst wait
            return _too_slow(question, alone, "when nothing waits")
    burst = np.array([residual_s * (1.0 if tail is None else -math.log(tail)) for tail in tails])
    if is_bursty and not is_pooled and (budget <= burst).any():
        return _too_slow(question, alone + burst, "in a burst at the lightest load")
    waits = tuple(zip(budget.tolist(), tails, strict=True))
    quality = worst([*(x.profile.quality for x in served), Quality.DERIVED if waits else Quality.MEASURED])
    what = "batch" if served[0].time.most > 1 else "request"
    return ReplicaEstimate(
        configuration=configuration,
        rate_per_s=np.array([x.units * x.time.most_per_s for x in served]),
        latency_ms=(budget + alone) * (1e3 * question.spread_factor * ROUNDED_DOWN),
        quality=quality,
        kind=Kind.SERVICE,
        basis=f"one {what} at a time, each {', '.join(dict.fromkeys(map(str, served)))}",
        source=served[0].profile.source,
        queue=Queue(residual_s, waits, is_pooled, is_bursty) if waits else None,
    )


def _served(question: Question, profiles: Sequence[Profile]) -> list[_Served] | Rejection:
    """Give each class on the server: the slowest row of its lengths; of batches the slowest of all, where there are any."""
    profiles = [p for p in profiles if p.availability != "preview" or question.include_preview]
    if not profiles:
        return Rejection(RejectionCode.PREVIEW, "measured on a preview system; policy.include_preview is off")
    profiles = [p for p in profiles if p.batch is not None] or profiles
    how = "one batch at a time" if profiles[0].batch else "one request at a time"
    if any(t.quantity is Quantity.TPOT for t in question.targets):
        return Rejection(RejectionCode.NO_FIGURE, f"measured {how}, whole; asked for the time of a token")
    found, times = list[_Served](), list[ServiceTime]()
    for asked in question.classes:
        lengths = (asked.input_tokens, asked.output_tokens)
        rows = [p for p in profiles if is_same_shape((p.input_tokens, p.output_tokens), lengths)]
        if not rows:
            return Rejection(RejectionCode.SHAPE, f"not measured {how} at the lengths of class {asked.name}")
        units = [(_units(p, asked), p) for p in rows]
        known = [_Served(p, _time_of(p), u) for u, p in units if u is not None]
        if not known:
            return Rejection(RejectionCode.UNIT, f"measured in {rows[0].unit}, class {asked.name} counts {asked.rate.unit}")
        found.append(max(known, key=lambda x: (x.time.full_s / x.time.most * (1 + x.time.variation), x.profile.source)))
        times += [x.time for x in known]
    if not profiles[0].batch:
        return found
    slowest = ServiceTime(max(t.fixed_ms for t in times), max(t.each_ms for t in times), min(t.most for t in times))
    return [replace(x, time=slowest) for x in found]


def _time_of(profile: Profile) -> ServiceTime:
    if profile.batch is not None:
        return ServiceTime(profile.batch.fixed_ms, profile.batch.each_ms, int(profile.load.value))
    mean_ms = next(x.ms for x in profile.latency if x.statistic == "mean" and x.ms is not None)
    return ServiceTime(mean_ms, variation=profile.service_variation or 0.0)


def _units(profile: Profile, asked: RequestClass) -> float | None:
    """Give how many of the class's unit a request is; None where nothing says."""
    if profile.unit == asked.rate.unit:
        return 1.0
    return float(asked.output_tokens) if asked.rate.unit == "tokens/s" and asked.output_tokens else None


def _too_slow(question: Question, alone_s: np.ndarray[tuple[int, int], np.dtype[np.float64]], when: str) -> Rejection:
    """Name the class and target whose least time is furthest over its bound, with both numbers."""
    times = alone_s * (1e3 * question.spread_factor)
    bounds = np.array([t.at_most_ms for t in question.targets])
    number, which = divmod(int((times / bounds).argmax()), len(bounds))
    target, time = question.targets[which], float(times[number, which])
    return Rejection(
        RejectionCode.LATENCY,
        f"{target.quantity} of class {question.classes[number].name} is {time:.4g} ms at {target.statistic} {when} "
        f"(x {question.spread_factor:g} for spread), asked at most {target.at_most_ms:g} ms",
        time,
        target.at_most_ms,
    )


def batches_met(percentile: float | None, balancer: Balancer) -> float:
    """Give the time of a request that finds no queue of batches, over that of a full batch, at the safe side.

    >>> batches_met(0.99, Balancer.CENTRAL), batches_met(0.99, Balancer.LEAST_WORK)
    (2.0, 3.0)
    """
    rest = 1.0 if percentile is not None else SAFE_WAIT / 2
    return 1.0 + rest * (2.0 if balancer in COMMITTING else 1.0)


def safe_residual(variation: float, arrivals: float = 1.0) -> float:
    """Give the unit of a queue over the mean time of a service, at the safe side; for Poisson arrivals the residual time.

    >>> safe_residual(0.5), round(safe_residual(3.0), 3), round(safe_residual(1.0, 4.0), 3)
    (1.15, 3.2, 2.875)
    """
    factor = SAFE_WAIT if variation <= HEAVY_VARIATION else HEAVY_WAIT
    return factor * (arrivals + max(variation, LEAST_VARIATION)) / 2


@lru_cache(maxsize=4096)
def service_quantile(variation: float, percentile: float) -> float:
    """Give the larger percentile of a gamma and a lognormal of mean 1 and a squared coefficient of variation.

    >>> round(service_quantile(1.0, 0.95), 3), round(-math.log(0.05), 3), service_quantile(0.0, 0.99)
    (2.996, 2.996, 1.0)
    """
    if variation == 0:
        return 1.0
    spread = math.log1p(variation)
    lognormal = math.exp(NormalDist().inv_cdf(percentile) * math.sqrt(spread) - spread / 2)
    shape, low, high = 1.0 / variation, 0.0, 1.0
    while _gamma_below(shape, high * shape) < percentile:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_below(shape, middle * shape) < percentile else (low, middle)
    return max(lognormal, high)


def _gamma_below(shape: float, x: float) -> float:
    """Give the probability that a gamma of a shape and scale 1 is at most x: its series, or the fraction of its rest.

    Source: Abramowitz and Stegun (1964), 6.5.29 and 6.5.31.
    """
    weight = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1.0 / shape
        k = shape
        while term > total * 1e-17:
            k += 1
            term *= x / k
            total += term
        return weight * total
    low, c = x + 1 - shape, 1e300  # Lentz's method
    d = 1.0 / low
    rest = d
    for k in range(1, 10_000):
        step = -k * (k - shape)
        low += 2
        d, c = 1.0 / (step * d + low), low + step / c
        rest *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return 1.0 - weight * rest
