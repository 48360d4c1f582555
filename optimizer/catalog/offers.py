"""Offers: what a provider rents out, where, and at which price on which day.

Prices are USD per hour for a whole instance. A price that is not known is absent; it is never zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from optimizer.catalog.record import Day, Name, NonNegative, PositiveInt, Quality, Record, Text

__all__ = ["Offer", "Option", "Price"]


class Option(StrEnum):
    """A way to buy an instance.

    ``on_demand`` and ``spot`` are paid by use, period by period; ``reserved`` and ``owned`` for all periods alike, used or not.
    """

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"


class Price(Record):
    """One price of one offer: USD per instance-hour under one option, with its own date and source."""

    option: Option
    usd_per_hour: Annotated[float, Field(ge=1e-6, le=1e9)]
    as_of: Day
    quality: Quality = Quality.MEASURED
    source: Text


class Offer(Record):
    """One instance type in one region of one provider."""

    provider: Name
    region: Name
    zone: Name | None = None
    instance_type: Name
    accelerator: Name
    accelerators_per_instance: PositiveInt
    vcpus: NonNegative | None = None
    host_memory_gib: NonNegative | None = None
    prices: tuple[Price, ...]

    @property
    def label(self) -> str:
        """Give the offer's unique name, ``provider/region[/zone]/instance_type``."""
        place = self.region if self.zone is None else f"{self.region}/{self.zone}"
        return f"{self.provider}/{place}/{self.instance_type}"
