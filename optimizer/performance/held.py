"""Rates at which a percentile was held (MLPerf Server and Interactive): used as they are, or not at all.

Such a rate already contains its queue, for the number of accelerators that was measured: no staffing formula goes on top. It
speaks for a workload only when it held every one of the workload's targets at least as strictly (same quantity, at least as high
a percentile, a bound no larger) on requests of the same lengths, counted in the same unit; where classes differ in length, each
class has the rate of a row at its own. Rates measured with no latency watched
speak only for workloads without a latency target. Rates are per second in the profile's unit.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from optimizer.catalog import LoadKind, Profile, worst
from optimizer.instance import LatencyTarget, RequestClass
from optimizer.performance.figures import Answer, Kind, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.profiles import Configuration, configuration_of, is_same_shape, same_shapes

__all__ = ["Held", "accepted", "held_answers", "held_rates", "percentile_of", "refusal"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

ONE_ACCELERATOR_AGREEMENT = 0.10
"""A system counts as so many single replicas when its rate per accelerator is this near a one-accelerator row's."""
PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?)")
KINDS = {LoadKind.HELD_RATE: Kind.HELD, LoadKind.MAX_THROUGHPUT: Kind.THROUGHPUT}


@dataclass(frozen=True, slots=True)
class Held:
    """A rate of one configuration, on the whole system that was measured, and the bounds it held for each target asked, ms."""

    configuration: Configuration
    rate_per_s: float
    bounds_ms: tuple[float, ...]
    profile: Profile
    note: str = ""

    @property
    def per_accelerator(self) -> float:
        """Give the rate per accelerator, per second."""
        return self.rate_per_s / self.configuration.accelerators_per_replica


def held_answers(question: Question, profiles: Sequence[Profile]) -> dict[Configuration, Answer]:
    """Answer from rates measured whole: an estimate or a reason for every configuration that has such a row."""
    good: list[Held] = []
    answers: dict[Configuration, Answer] = {}
    for profile in profiles:
        if profile.load.kind in KINDS:
            found = accepted(question, profile)
            if isinstance(found, Held):
                good.append(found)
            else:
                answers.setdefault(system_of(profile), found)
    answers |= {held.configuration: _estimate(question, held) for held in held_rates(good)}
    return answers | _class_by_class(question, profiles, answers) if len(question.classes) > 1 else answers


def _class_by_class(
    question: Question, profiles: Sequence[Profile], answers: Mapping[Configuration, Answer]
) -> dict[Configuration, Answer]:
    """Answer for configurations no row of which speaks for all classes, but for each class some row does.

    The rate of each class is that of the median row at its own lengths.
    """
    rows = [p for p in profiles if p.load.kind in KINDS and isinstance(answers[system_of(p)], Rejection)]
    alone = [replace(question, classes=(c,)) for c in question.classes]
    wanted = [(c.input_tokens, c.output_tokens) for c in question.classes]
    found: dict[Configuration, Answer] = {}
    for group in _groups(rows, lambda p: (system_of(p), p.load.kind)).values():
        at = _groups(group, lambda p: (p.input_tokens, p.output_tokens))
        same, each = same_shapes(at, wanted), list[Held | None]()
        for one, lengths in zip(alone, wanted, strict=True):
            near = [p for measured in same[lengths] for p in at[measured]]
            each.append(_median([a for p in near if isinstance(a := accepted(one, p), Held)]))
        held = [row for row in each if row is not None]
        if len(held) == len(each):
            parts = [_estimate(one, row) for one, row in zip(alone, held, strict=True)]
            found[parts[0].configuration] = replace(
                parts[0],
                rate_per_s=np.concatenate([p.rate_per_s for p in parts]),
                latency_ms=np.concatenate([p.latency_ms for p in parts]),
                quality=worst(p.quality for p in parts),
                basis=f"a rate for each class's lengths; {parts[0].basis}",
            )
    return found


def _median(rows: Sequence[Held]) -> Held | None:
    ordered = sorted(rows, key=lambda held: (held.rate_per_s, held.profile.source))
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def system_of(profile: Profile) -> Configuration:
    """Give the configuration of a row measured whole: the replica is the system that was measured."""
    return configuration_of(profile, profile.load.accelerators_measured)


def accepted(question: Question, profile: Profile) -> Held | Rejection:
    """Tell whether a row speaks for the workload; the bounds it held stand beside the targets asked."""
    why = refusal(question, profile)
    if why is not None:
        return why
    bounds = tuple(_strictest_held(profile, target) or np.nan for target in question.targets)
    return Held(system_of(profile), profile.load.value, bounds, profile)


def refusal(question: Question, profile: Profile) -> Rejection | None:
    """Give the reason why a row measured whole does not speak for a workload, or None."""
    if profile.availability == "preview" and not question.include_preview:
        return Rejection(RejectionCode.PREVIEW, "measured on a preview system; policy.include_preview is off")
    for asked in question.classes:
        lengths = (asked.input_tokens, asked.output_tokens)
        if not is_same_shape((profile.input_tokens, profile.output_tokens), lengths):
            ours, theirs = _words(*lengths), _words(profile.input_tokens, profile.output_tokens)
            return Rejection(RejectionCode.SHAPE, f"measured on requests of {theirs}, class {asked.name} has {ours}")
        if _units(profile, asked) is None:
            return Rejection(RejectionCode.UNIT, f"measured in {profile.unit}, class {asked.name} counts {asked.rate.unit}")
    for target in question.targets:
        if _strictest_held(profile, target) is None:
            return _not_as_strict(profile, target)
    return None


def _units(profile: Profile, asked: RequestClass) -> float | None:
    """Give how many of the class's unit one of the profile's is; None where nothing says."""
    if profile.unit == asked.rate.unit:
        return 1.0
    if profile.output_tokens is None or {profile.unit, asked.rate.unit} != {"tokens/s", "requests/s"}:
        return None
    return 1.0 / profile.output_tokens if profile.unit == "tokens/s" else float(profile.output_tokens)


def _words(input_tokens: int | None, output_tokens: int | None) -> str:
    if input_tokens is None and output_tokens is None:
        return "the benchmark's own lengths"
    return f"{input_tokens}/{output_tokens} tokens"


def _strictest_held(profile: Profile, target: LatencyTarget) -> float | None:
    """Give the least bound (ms) held at least as strictly as the target asks; a held percentile says nothing of a mean."""
    if profile.load.kind is not LoadKind.HELD_RATE or target.percentile is None:
        return None
    bounds = [
        time.at_most_ms
        for time in profile.latency
        if time.at_most_ms is not None
        and time.quantity is target.quantity
        and percentile_of(time.statistic) >= target.percentile
        and time.at_most_ms <= target.at_most_ms
    ]
    return min(bounds, default=None)


def percentile_of(statistic: str) -> float:
    """Give the percentile that a statistic names as a fraction, 0 where it names none."""
    named = PERCENTILE.fullmatch(statistic)
    return float(named.group(1)) / 100.0 if named else 0.0


def _not_as_strict(profile: Profile, target: LatencyTarget) -> Rejection:
    asked = f"{target.statistic} {target.quantity} at most {target.at_most_ms:g} ms"
    if profile.load.kind is not LoadKind.HELD_RATE:
        return Rejection(RejectionCode.LATENCY, f"measured with no latency watched; asked: {asked}", None, target.at_most_ms)
    bounds = [time for time in profile.latency if time.quantity is target.quantity and time.at_most_ms is not None]
    said = ", ".join(f"{time.statistic} at most {time.at_most_ms:g} ms" for time in bounds) or f"nothing about {target.quantity}"
    number = min((time.at_most_ms for time in bounds if time.at_most_ms is not None), default=None)
    return Rejection(RejectionCode.LATENCY, f"held {said}; asked: {asked}", number, target.at_most_ms)


def held_rates(rows: Sequence[Held]) -> list[Held]:
    """Give one rate per replica: the median row of each configuration, as single replicas where a one-accelerator row agrees.

    Rows of one configuration under one set of bounds: the lower median. Under several sets that all suffice: the largest.
    A system is counted as single replicas when its rate per accelerator is within ``ONE_ACCELERATOR_AGREEMENT`` of a
    one-accelerator row of the same variant, accelerator and availability (which also shows that the model fits one); the
    lower of the rates that agree is used.
    """
    medians: dict[Configuration, Held] = {}
    for group in _groups(rows, lambda held: (held.configuration, held.bounds_ms, held.profile.load.kind)).values():
        median = _median(group)
        assert median is not None
        before = medians.get(median.configuration)
        if before is None or median.rate_per_s > before.rate_per_s:
            medians[median.configuration] = median
    replicas: dict[Configuration, Held] = {}
    for group in _groups(medians.values(), _apart_from_size).values():
        for held in _single_replicas(group):
            before = replicas.get(held.configuration)
            if before is None or held.rate_per_s < before.rate_per_s:
                replicas[held.configuration] = held
    return list(replicas.values())


def _groups(rows: Iterable[T], key: Callable[[T], K]) -> Mapping[K, list[T]]:
    found: dict[K, list[T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _apart_from_size(held: Held) -> Hashable:
    c = held.configuration
    return c.model, c.precision, c.compression, c.accelerator, c.availability, held.profile.load.kind


def _single_replicas(group: Sequence[Held]) -> list[Held]:
    """Split the systems that agree with a one-accelerator row of their group; the others stay whole."""
    singles = [held for held in group if held.configuration.accelerators_per_replica == 1]
    found = list(singles)
    for held in group:
        if held in singles:
            continue
        near = [one for one in singles if abs(held.per_accelerator / one.rate_per_s - 1) <= ONE_ACCELERATOR_AGREEMENT]
        found.append(_split(held, min(near, key=lambda one: one.rate_per_s)) if near else held)
    return found


def _split(held: Held, single: Held) -> Held:
    """Count a system as single replicas, at the lower of its rate per accelerator and the agreeing one-accelerator rate."""
    count = held.configuration.accelerators_per_replica
    note = f"{held.per_accelerator:.5g} per accelerator on {count}, {single.rate_per_s:.5g} on one: the lower, one per replica"
    bounds = tuple(np.maximum(held.bounds_ms, single.bounds_ms).tolist())
    configuration = replace(held.configuration, accelerators_per_replica=1)
    return Held(configuration, min(held.per_accelerator, single.rate_per_s), bounds, held.profile, note)


def _estimate(question: Question, held: Held) -> ReplicaEstimate:
    profile = held.profile
    bounds = ", ".join(f"{t.statistic} {t.quantity} <= {t.at_most_ms:g} ms" for t in profile.latency if t.at_most_ms is not None)
    what = f"held {bounds}" if profile.load.kind is LoadKind.HELD_RATE else "no latency watched"
    where = held.note or f"the whole system of {held.configuration.accelerators_per_replica}"
    return ReplicaEstimate(
        configuration=held.configuration,
        rate_per_s=np.array([held.rate_per_s * (_units(profile, asked) or 1.0) for asked in question.classes]),
        latency_ms=question.held_array(held.bounds_ms),
        quality=profile.quality,
        kind=KINDS[profile.load.kind],
        basis=f"{held.rate_per_s:.5g} {profile.unit}, {what}; {where}",
        source=profile.source,
    )
