"""What is paid beside rent: people, licences, data, interruptions, starts and stops."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Positive, Text
from optimizer.instance.limits import Match

__all__ = [
    "DataSet",
    "FlatLicence",
    "Interruption",
    "Licence",
    "People",
    "StartPrice",
    "UnitLicence",
]


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
    """Data that must be acquired and labelled once, for all that use it, paid off over some months.

    ``kept_gib`` of it are kept in the region ``kept_in`` (``provider/region``) while anything that fits ``when`` is in use.
    """

    items: NonNegative = 0.0
    usd_per_item: NonNegative = 0.0
    labelling_hours: NonNegative = 0.0
    usd_per_labelling_hour: NonNegative = 0.0
    horizon_months: Positive = 12.0
    kept_gib: NonNegative = 0.0
    kept_in: Annotated[Name, Field(pattern="/")] | None = None

    @model_validator(mode="after")
    def _is_kept_somewhere(self) -> Self:
        if self.kept_gib and self.kept_in is None:
            raise ValueError("kept_gib needs kept_in, the region that it is kept in")
        return self


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


class StartPrice(Record):
    """What starting or stopping a replica costs each time the number running changes from one period to the next.

    ``warm_up_hours`` before a replica serves are paid at the rent of its accelerators, where the offer is paid by use; what is
    reserved or owned is paid already. Prices that match the same replica add.
    """

    name: Name
    when: Match = Match()
    usd_per_start: NonNegative = 0.0
    usd_per_stop: NonNegative = 0.0
    warm_up_hours: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""
