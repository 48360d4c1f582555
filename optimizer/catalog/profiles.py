"""Profiles: what one configuration was measured to do at one load point.

Times ms, rates per second in ``unit``, for the whole deployment that was measured. Five kinds of load are never mixed:
``concurrency`` (closed loop, central values), ``held_rate`` (open loop, a percentile was held), ``max_throughput``
(no latency was watched: never evidence for a latency target), ``single_stream`` (one request at a time, its time) and
``batches`` (one batch at a time, its time by its size).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from optimizer.catalog.record import Name, NonNegative, Positive, PositiveInt, Quality, Record, Text

__all__ = ["BatchTime", "Latency", "Layout", "Load", "LoadKind", "Profile", "Quantity"]

MOST_IN_A_BATCH = 4096


class LoadKind(StrEnum):
    """What was held fixed while measuring."""

    CONCURRENCY = "concurrency"
    HELD_RATE = "held_rate"
    MAX_THROUGHPUT = "max_throughput"
    SINGLE_STREAM = "single_stream"
    BATCHES = "batches"

    @property
    def is_of_servers(self) -> bool:
        """Say whether the time that a request or a batch keeps a server busy was measured."""
        return self in (LoadKind.SINGLE_STREAM, LoadKind.BATCHES)


class Quantity(StrEnum):
    """What a time is the time of: first token, each further token, or the whole request."""

    TTFT = "ttft"
    TPOT = "tpot"
    E2E = "e2e"


class Layout(Record):
    """How a replica is spread over its accelerators: degrees of each kind of parallelism; null where the source is silent."""

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1
    attention_data: PositiveInt | None = None
    expert: PositiveInt | None = None


class Load(Record):
    """The load of a point: requests in flight, or a rate in the profile's unit, on ``accelerators_measured`` accelerators."""

    kind: LoadKind
    value: Positive
    accelerators_measured: PositiveInt


class Latency(Record):
    """A time at the point: either a statistic's value (``ms``) or the bound that was held (``at_most_ms``)."""

    quantity: Quantity
    statistic: Name
    ms: Positive | None = None
    at_most_ms: Positive | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Latency:
        if (self.ms is None) == (self.at_most_ms is None):
            raise ValueError("give exactly one of ms and at_most_ms")
        return self


class BatchTime(Record):
    """What a batch keeps a server busy for, ms: ``fixed_ms``, and ``each_ms`` for every request in it."""

    fixed_ms: Positive
    each_ms: NonNegative = 0.0


class Profile(Record):
    """One measured point of one configuration.

    ``rate`` is the throughput that the source itself reports at the point, in ``unit``, where it does.
    ``input_tokens`` and ``output_tokens`` are null where the source's requests are its own (MLPerf).
    ``service_variation``, only of ``single_stream``, is the squared coefficient of variation of the times of requests, whose mean
    ``latency`` states as that of ``e2e``: 0 where all take the same time, 1 for exponential times.
    ``batch``, only of ``batches``, is the time of a batch of up to ``load.value`` requests; whoever waits is taken at once.
    """

    model: Name
    precision: Name
    compression: Name = "none"
    accelerator: Name
    accelerators_per_replica: PositiveInt
    engine: Name
    engine_version: Name | None = None
    layout: Layout = Layout()
    input_tokens: PositiveInt | None = None
    output_tokens: PositiveInt | None = None
    unit: Name
    load: Load
    rate: Positive | None = None
    latency: tuple[Latency, ...] = ()
    service_variation: Annotated[NonNegative | None, Field(le=100)] = None
    batch: BatchTime | None = None
    availability: Name = "available"
    as_of: Name | None = None
    quality: Quality = Quality.MEASURED
    source: Text

    @model_validator(mode="after")
    def _serves_one_at_a_time(self) -> Profile:
        is_single, is_batch = self.load.kind is LoadKind.SINGLE_STREAM, self.load.kind is LoadKind.BATCHES
        if is_single != (self.service_variation is not None):
            raise ValueError("service_variation with single_stream load, and only there")
        if is_batch != (self.batch is not None):
            raise ValueError("batch with a load of batches, and only there")
        means = [x for x in self.latency if x.quantity is Quantity.E2E and x.statistic == "mean" and x.ms is not None]
        if is_single and (len(means) != 1 or self.load.value != 1):
            raise ValueError("single_stream load of 1 with one mean e2e time in ms")
        if is_batch and (self.load.value < 2 or self.load.value % 1 or self.load.value > MOST_IN_A_BATCH or self.latency):
            raise ValueError(f"batches of a whole number of 2 to {MOST_IN_A_BATCH} requests at most, their time in batch alone")
        if self.load.kind.is_of_servers and self.load.accelerators_measured != self.accelerators_per_replica:
            raise ValueError(f"{self.load.kind} load on the accelerators of one replica")
        return self
