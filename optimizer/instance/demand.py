"""Demand: periods, workloads of each kind, and what each requires."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from optimizer.catalog import Quality, Quantity, Record
from optimizer.catalog.record import Fraction01, Name, NonNegative, Positive, PositiveInt, Text
from optimizer.instance.earning import Penalty, Revenue, Shedding
from optimizer.instance.redundancy import Redundancy
from optimizer.instance.training import Checkpoint, Scaling, TrainingLayout, TrainingMemory, TrainingPrecision, Work

__all__ = [
    "HOURS_PER_MONTH",
    "AccuracyFloor",
    "Aggregation",
    "BatchWorkload",
    "LatencyTarget",
    "Period",
    "Rate",
    "RequestClass",
    "ServingWorkload",
    "TrainingWorkload",
    "Workload",
]

HOURS_PER_MONTH = 730.0
SMALLEST_RATE, LARGEST_RATE = 1e-6, 1e12
"""Per second: one request in 12 days, and a thousand times all tokens that are served on Earth."""


class Period(Record):
    """A stretch of time with its own demand: ``hours`` long, ``per_month`` times a month."""

    name: Name
    hours: Positive
    per_month: Positive

    @property
    def month_share(self) -> float:
        """Give the share of a 730-hour month that this period covers."""
        return self.hours * self.per_month / HOURS_PER_MONTH


class Aggregation(StrEnum):
    """Over what an accuracy floor holds."""

    PER_REQUEST = "per_request"
    TRAFFIC_WEIGHTED = "traffic_weighted"


class AccuracyFloor(Record):
    """The share of the baseline's score that must be kept on one metric of one evaluation."""

    metric: Name
    evaluation: Name
    floor_fraction_of_baseline: Fraction01
    aggregation: Aggregation = Aggregation.PER_REQUEST


class LatencyTarget(Record):
    """A bound on a statistic (``mean``, ``p50`` ... ``p99.9``) of a time, in ms; every class must meet it."""

    quantity: Quantity
    statistic: Annotated[str, Field(pattern=r"^(mean|p(50|[5-9][0-9](\.[0-9]{1,2})?))$")]
    at_most_ms: Positive

    @property
    def percentile(self) -> float | None:
        """Give the percentile as a fraction in [0.5, 1), or None for the mean."""
        return None if self.statistic == "mean" else float(self.statistic[1:]) / 100.0


class Rate(Record):
    """Demand of a class per second: one number or one per period; ``scale`` is already applied and kept for the record."""

    value: NonNegative | dict[Name, NonNegative]
    unit: Name = "requests/s"
    statistic: Name = "mean"
    scale: Positive = 1.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_none_or_noticeable(self) -> Rate:
        rates = self.value.values() if isinstance(self.value, dict) else (self.value,)
        if any(0 < rate < SMALLEST_RATE or rate > LARGEST_RATE for rate in rates):
            raise ValueError(f"rates of 0 or {SMALLEST_RATE:g} to {LARGEST_RATE:g} per second")
        return self

    def at(self, period: str) -> float:
        """Give the rate in a period, per second."""
        return self.value[period] if isinstance(self.value, dict) else self.value


def _whole(origins: dict[str, float] | None) -> dict[str, float] | None:
    if origins is not None and abs(sum(origins.values()) - 1) > 1e-9:
        raise ValueError("shares of origins that sum to 1")
    return origins


Origins = Annotated[dict[Name, Positive] | None, AfterValidator(_whole)]
"""The share of requests that comes from each place."""


class RequestClass(Record):
    """Requests alike in size. Token counts are null where the workload keeps a benchmark's own lengths.

    ``origins`` says where requests come from and their answers go, shares that sum to one (the workload's own if null);
    ``gib_per_request`` and ``bytes_per_token`` (of the output) what an answer sends there. ``regions_allowed`` narrows the
    workload's.
    """

    name: Name
    input_tokens: PositiveInt | None = None
    output_tokens: PositiveInt | None = None
    prefix_cached_fraction: Fraction01 = 0.0
    rate: Rate
    regions_allowed: tuple[Name, ...] | None = None
    origins: Origins = None
    gib_per_request: NonNegative = 0.0
    bytes_per_token: NonNegative = 0.0

    @property
    def gib_sent(self) -> float:
        """Give what an answer sends to where it was asked, GiB."""
        return self.gib_per_request + self.bytes_per_token * (self.output_tokens or 0) / 2**30

    @model_validator(mode="after")
    def _counts_its_tokens(self) -> RequestClass:
        if self.bytes_per_token and self.output_tokens is None:
            raise ValueError("bytes_per_token needs output_tokens")
        return self


class _Demand(Record):
    """What the three kinds of workload share."""

    name: Name
    model: Name
    team: Name | None = None
    regions_allowed: tuple[Name, ...] | None = None
    origins: Origins = None
    latency: tuple[LatencyTarget, ...] = ()
    accuracy: AccuracyFloor | None = None
    max_spot_fraction: Fraction01 = 0.0
    allowed_quality: tuple[Quality, ...] = (Quality.MEASURED, Quality.INTERPOLATED, Quality.DERIVED, Quality.MODELLED)
    revenue: Revenue | None = None
    shedding: Shedding | None = None
    penalty: Penalty | None = None
    note: Text = ""


class ServingWorkload(_Demand):
    """A demand that arrives continuously and must be answered at once.

    ``arrival_variation`` is the squared coefficient of variation of the times between requests: 1 where they come independently
    of one another, more where they come in bursts. Smoother arrivals count as 1.
    """

    kind: Literal["serving"] = "serving"
    arrival_variation: Annotated[float, Field(ge=1, le=100)] = 1.0
    classes: Annotated[tuple[RequestClass, ...], Field(min_length=1)]
    redundancy: tuple[Redundancy, ...] | None = None

    @model_validator(mode="after")
    def _insures_once(self) -> ServingWorkload:
        against = [(r.event, r.count) for r in self.redundancy or ()]
        if len(set(against)) < len(against):
            raise ValueError("redundancy against each loss once")
        return self


class BatchWorkload(_Demand):
    """A volume of work by a deadline, each time its first period comes round; the cheapest hours may be used.

    ``volume_requests`` counts ``unit``. The work may start with the period ``start`` (the first one if null) and use the periods
    that follow, each whole, as long as they end within ``deadline_hours``; the month comes round after the last period.
    """

    kind: Literal["batch"]
    volume_requests: Positive
    unit: Name = "requests"
    deadline_hours: Positive
    start: Name | None = None
    input_tokens: PositiveInt | None = None
    output_tokens: PositiveInt | None = None
    gib_per_request: NonNegative = 0.0

    def window(self, periods: Sequence[Period]) -> tuple[Period, ...]:
        """Give the periods that may be used: whole ones from the start that end by the deadline."""
        names = [p.name for p in periods]
        first = names.index(self.start) if self.start in names else 0
        found: list[Period] = []
        for period in (*periods[first:], *periods[:first]):
            if sum(p.hours for p in found) + period.hours > self.deadline_hours * (1 + 1e-9):
                break
            found.append(period)
        return tuple(found)

    def as_serving(self, periods: Sequence[Period]) -> ServingWorkload:
        """Give the serving workload of one class ``volume`` whose rate in each period would do all the work there."""
        rates = {p.name: 0.0 for p in periods} | {p.name: self.volume_requests / (3600 * p.hours) for p in self.window(periods)}
        rate = Rate(value=rates, unit=f"{self.unit}/s", statistic="volume")
        mine = {name: getattr(self, name) for name in ("input_tokens", "output_tokens", "gib_per_request")}
        volume = RequestClass(name="volume", rate=rate, **mine)
        shared = {name: getattr(self, name) for name in _Demand.model_fields}
        return ServingWorkload(kind="serving", classes=(volume,), **shared)


class TrainingWorkload(_Demand):
    """Work by a deadline on one gang of accelerators: one configuration, gang and offer for all runs of the job.

    A run may start with any period from ``start`` (the first one if null) on, once round, and goes on without a break; it must
    end within ``deadline_hours`` of the start of ``start``. ``max_spot_fraction`` 1 allows spot, for the whole gang. ``layouts``
    come in order of preference; the first that fits is used. Without a ``checkpoint`` nothing may be interrupted.
    ``max_instances`` is the most that one gang may span: what ``scaling`` keeps is of gangs on so many, and no slower a network.
    """

    kind: Literal["training"]
    work: Work
    gangs: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    deadline_hours: Positive
    start: Name | None = None
    runs_per_month: Annotated[float, Field(gt=0, le=1e5)] = 1.0
    max_instances: PositiveInt | None = None
    scaling: Scaling | None = None
    precisions: Annotated[tuple[TrainingPrecision, ...], Field(min_length=1)] = (TrainingPrecision(precision="bf16"),)
    layouts: Annotated[tuple[TrainingLayout, ...], Field(min_length=1)] = (TrainingLayout(),)
    memory: TrainingMemory = TrainingMemory()
    checkpoint: Checkpoint | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> TrainingWorkload:
        if self.latency:
            raise ValueError("a deadline, no latency targets")
        if self.shedding or (self.revenue and self.revenue.usd_per_request + self.revenue.impressions_per_request):
            raise ValueError("a job that is done whole: no shedding, and revenue by subscription or contract, not by request")
        if 0 < self.max_spot_fraction < 1:
            raise ValueError("max_spot_fraction 0 or 1, since a gang is on one offer as a whole")
        if self.scaling is None and len(set(self.gangs)) > 1:
            raise ValueError("gangs of several sizes with the scaling between them")
        if (
            self.scaling is not None
            and self.scaling.table
            and (missing := set(self.gangs) - {row.gang for row in self.scaling.table})
        ):
            raise ValueError(f"a row of the scaling table for every gang, also {', '.join(map(str, sorted(missing)))}")
        forms = [(p.precision, p.compression) for p in self.precisions]
        if len(set(forms)) < len(forms) or len(set(self.gangs)) < len(self.gangs):
            raise ValueError("each precision and each gang once")
        return self


Workload = Annotated[ServingWorkload | BatchWorkload | TrainingWorkload, Field(discriminator="kind")]
