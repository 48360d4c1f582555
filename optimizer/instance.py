"""The instance: one complete planning question, frozen.

Catalogs, workloads, limits and policy together; what a plan answers. Everything later parts need has its place in the schema;
what is not built yet is refused by name (``not_yet``), never ignored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticSerializationError, to_json

from optimizer.catalog import Accelerator, Model, Offer, Profile, Quality, Quantity, Record
from optimizer.catalog.efficiencies import Efficiencies
from optimizer.catalog.record import Day, Fraction01, Name, NonNegative, Positive, PositiveInt, Text
from optimizer.errors import InvalidInputError, Problem
from optimizer.problems import not_yet_problems, reference_problems, validation_problems

__all__ = [
    "HOURS_PER_MONTH",
    "SCHEMA_VERSION",
    "AccuracyFloor",
    "Aggregation",
    "BatchWorkload",
    "DataSet",
    "FlatLicence",
    "Instance",
    "Interruption",
    "LatencyTarget",
    "Licence",
    "Limit",
    "Match",
    "People",
    "Period",
    "Policy",
    "Rate",
    "RequestClass",
    "ServingWorkload",
    "SetupPrices",
    "Stated",
    "TrainingWorkload",
    "UnitLicence",
    "Workload",
]

SCHEMA_VERSION = 1
HOURS_PER_MONTH = 730.0
SMALLEST_RATE, LARGEST_RATE = 1e-6, 1e12
"""Per second: one request in 12 days, and a thousand times all tokens that are served on Earth."""


class Stated(Record):
    """A number with what it is made of and why it was chosen."""

    value: Positive
    quality: Quality = Quality.ASSUMED
    reason: Text = ""


class Period(Record):
    """A stretch of time with its own demand: ``hours`` long, ``per_month`` times a month."""

    name: Name
    hours: Positive
    per_month: Positive

    @property
    def month_share(self) -> float:
        """Give the share of a 730-hour month that this period covers."""
        return self.hours * self.per_month / HOURS_PER_MONTH


class SetupPrices(Record):
    """What making a variant once costs per unit of work, and the months over which it is paid off."""

    usd_per_accelerator_hour: NonNegative = 0.0
    usd_per_labelling_hour: NonNegative = 0.0
    usd_per_item: NonNegative = 0.0
    horizon_months: Positive = 12.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Policy(Record):
    """What holds for every workload unless it says otherwise."""

    max_price_age_days: NonNegative = 730.0
    utilization_cap: Annotated[float, Field(ge=0.01, le=1)] = 0.8
    run_to_run_spread_factor: Stated = Stated(value=1.5, reason="spread of repeated runs around a published central value")
    include_preview: bool = False
    setup: SetupPrices | None = None


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


class RequestClass(Record):
    """Requests alike in size. Token counts are null where the workload keeps a benchmark's own lengths."""

    name: Name
    input_tokens: PositiveInt | None = None
    output_tokens: PositiveInt | None = None
    prefix_cached_fraction: Fraction01 = 0.0
    rate: Rate


class _Demand(Record):
    """What the three kinds of workload share."""

    name: Name
    model: Name
    team: Name | None = None
    regions_allowed: tuple[Name, ...] | None = None
    latency: tuple[LatencyTarget, ...] = ()
    accuracy: AccuracyFloor | None = None
    max_spot_fraction: Fraction01 = 0.0
    allowed_quality: tuple[Quality, ...] = (Quality.MEASURED, Quality.INTERPOLATED, Quality.DERIVED, Quality.MODELLED)
    note: Text = ""


class ServingWorkload(_Demand):
    """A demand that arrives continuously and must be answered at once."""

    kind: Literal["serving"] = "serving"
    classes: Annotated[tuple[RequestClass, ...], Field(min_length=1)]
    redundancy: dict[str, Any] | None = None
    revenue: dict[str, Any] | None = None


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
        volume = RequestClass(name="volume", input_tokens=self.input_tokens, output_tokens=self.output_tokens, rate=rate)
        shared = {name: getattr(self, name) for name in _Demand.model_fields}
        return ServingWorkload(kind="serving", classes=(volume,), **shared)


class TrainingWorkload(_Demand):
    """Work by a deadline on gangs of accelerators; part B builds it."""

    kind: Literal["training"]
    work: dict[str, Any]
    gangs: tuple[PositiveInt, ...] = ()
    deadline_hours: Positive


Workload = Annotated[ServingWorkload | BatchWorkload | TrainingWorkload, Field(discriminator="kind")]
OneOrMore = Name | tuple[Name, ...]


class Match(Record):
    """Which deployments a limit or a cost counts: every field given must fit; a list fits when one of its members does."""

    provider: OneOrMore | None = None
    region: OneOrMore | None = None
    zone: OneOrMore | None = None
    instance_type: OneOrMore | None = None
    accelerator: OneOrMore | None = None
    family: OneOrMore | None = None
    kind: OneOrMore | None = None
    option: OneOrMore | None = None
    team: OneOrMore | None = None
    workload: OneOrMore | None = None
    model: OneOrMore | None = None
    precision: OneOrMore | None = None
    compression: OneOrMore | None = None
    site: OneOrMore | None = None

    @property
    def speaks_of_replicas(self) -> bool:
        """Say whether it tells replicas of one instance apart: by whom or what they serve."""
        return any(getattr(self, f) is not None for f in ("team", "workload", "model", "precision", "compression"))

    @property
    def speaks_of_offers(self) -> bool:
        """Say whether it tells offers of one region apart: by zone, instance type, option or site."""
        return any(getattr(self, f) is not None for f in ("zone", "instance_type", "option", "site"))


class Limit(Record):
    """A cap on what matching deployments may use together: accelerators in rented instances, or whole instances."""

    name: Name
    match: Match
    max_accelerators: NonNegative | None = None
    max_instances: NonNegative | None = None
    max_usd_per_month: NonNegative | None = None
    max_power_kw: NonNegative | None = None
    max_gco2_per_hour: NonNegative | None = None
    quality: Quality = Quality.ASSUMED
    reason: Text = ""


class _Priced(Record):
    """A cost that is paid while anything that fits ``when`` is in use."""

    name: Name
    when: Match = Match()
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_switched_by_pools(self) -> Self:
        if self.when.speaks_of_offers:
            raise ValueError("a cost is switched on by provider, region, accelerator, variant or workload, not by single offers")
        return self


class People(_Priced):
    """Engineers who keep a platform or variant alive, and their management."""

    people: NonNegative
    usd_per_person_hour: NonNegative
    hours_per_month: NonNegative = 160.0
    management_usd_per_month: NonNegative = 0.0


class FlatLicence(_Priced):
    """A licence paid once however much runs."""

    kind: Literal["flat"] = "flat"
    usd_per_month: NonNegative


class UnitLicence(Record):
    """A licence paid for each accelerator or instance rented."""

    kind: Literal["unit"]
    name: Name
    when: Match = Match()
    usd_per_accelerator_month: NonNegative = 0.0
    usd_per_instance_month: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _counts_instances(self) -> Self:
        if self.when.speaks_of_replicas:
            raise ValueError(
                "a licence per unit counts rented accelerators, so it cannot tell teams, workloads or variants apart"
            )
        return self


Licence = Annotated[FlatLicence | UnitLicence, Field(discriminator="kind")]


class DataSet(_Priced):
    """Data that must be acquired and labelled once, for all that use it, paid off over some months."""

    items: NonNegative = 0.0
    usd_per_item: NonNegative = 0.0
    labelling_hours: NonNegative = 0.0
    usd_per_labelling_hour: NonNegative = 0.0
    horizon_months: Positive = 12.0


class Interruption(Record):
    """How often a rented instance is taken away, and what each time costs."""

    name: Name
    when: Match = Match()
    per_hour: NonNegative
    usd_each: NonNegative
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _counts_instances(self) -> Self:
        if self.when.speaks_of_replicas:
            raise ValueError("interruptions are counted on instances, so they cannot tell teams, workloads or variants apart")
        return self


class Catalogs(Record):
    """What can be bought and run."""

    accelerators: tuple[Accelerator, ...]
    offers: tuple[Offer, ...]
    models: tuple[Model, ...]
    profiles: tuple[Profile, ...] = ()
    efficiencies: Annotated[tuple[Efficiencies, ...], Field(max_length=1)] = ()


class Instance(Record):
    """One complete planning question. ``as_of`` is the day ages are counted from; the clock is never read."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)]
    name: Name
    description: Text = ""
    as_of: Day
    time_zone: Name = "UTC"
    objective: Literal["cost", "profit"] = "cost"
    periods: tuple[Period, ...] = (Period(name="always", hours=HOURS_PER_MONTH, per_month=1.0),)
    policy: Policy = Policy()
    catalogs: Catalogs
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    limits: tuple[Limit, ...] = ()
    people: tuple[People, ...] = ()
    licences: tuple[Licence, ...] = ()
    data: tuple[DataSet, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    sites: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _references_hold(self, info: ValidationInfo) -> Instance:
        if not (info.context or {}).get("references_checked"):
            document = self.model_dump(mode="json")
            if problems := reference_problems(document) + not_yet_problems(document):
                raise InvalidInputError("the instance does not hold together", problems)
        return self

    def replace(self, **changes: Any) -> Instance:
        """Give a changed copy, validated anew; the original stays as it was.

        Raises
        ------
        InvalidInputError : a change does not fit the schema or breaks a reference.
        """
        checked, problems = {}, []
        for name, value in changes.items():
            try:
                checked[name] = _as_field(name, value) if name in type(self).model_fields else value
            except ValidationError as error:
                problems += [dataclasses.replace(p, pointer=f"/{name}{p.pointer}") for p in validation_problems(error)]
            except PydanticSerializationError as error:
                problems.append(Problem(None, f"/{name}", str(error), "plain values or records"))
        try:
            if not problems:
                return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | checked)
        except ValidationError as error:
            problems = validation_problems(error)
        raise InvalidInputError("the changed instance is not valid", problems)

    @cached_property
    def hash(self) -> str:
        """Give the SHA-256 of the canonical JSON of the whole question, catalogs included."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def demands(self) -> tuple[ServingWorkload, ...]:
        """Give every workload as a serving one, batches as their volume, in order of name."""
        found = [w.as_serving(self.periods) if isinstance(w, BatchWorkload) else w for w in self.workloads]
        return tuple(sorted((w for w in found if isinstance(w, ServingWorkload)), key=lambda w: w.name))

    @cached_property
    def batches(self) -> frozenset[str]:
        """Give the names of the batch workloads, whose shares sum to one over all periods together."""
        return frozenset(w.name for w in self.workloads if isinstance(w, BatchWorkload))

    @cached_property
    def accelerators(self) -> Mapping[str, Accelerator]:
        """Give the accelerators by name and alias."""
        return {name: a for a in self.catalogs.accelerators for name in (a.name, *a.aliases)}

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Give the models by name and alias."""
        return {name: m for m in self.catalogs.models for name in (m.name, *m.aliases)}


def _as_field(name: str, value: object) -> Any:
    """Judge a value for a field as if a file held it: a changed copy of a record was never validated, a list is no tuple."""
    return _adapter(name).validate_json(to_json(value, inf_nan_mode="constants"), strict=True)


@lru_cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = Instance.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(kind)
