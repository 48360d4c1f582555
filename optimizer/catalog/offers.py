"""Offers: what a provider rents out, where, and at which price on which day.

Prices are USD per hour for a whole instance. A price that is not known is absent; it is never zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from optimizer.catalog.record import Day, Name, NonNegative, Positive, PositiveInt, Quality, Record, Text

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
    """One price of one offer: USD per instance-hour under one option, with its own date and source.

    What is reserved or owned may also cost ``upfront_usd`` an instance, once in ``term_months``, and be sold in lots of ``lot``
    instances only.
    """

    option: Option
    upfront_usd: NonNegative = 0.0
    term_months: Positive | None = None
    usd_per_hour: Annotated[float, Field(ge=0, le=1e9)]
    as_of: Day
    quality: Quality = Quality.MEASURED
    source: Text
    lot: PositiveInt = 1

    @field_validator("usd_per_hour")
    @classmethod
    def _is_no_missing_price(cls, value: float, info: ValidationInfo) -> float:
        if value < 1e-6 and not info.data.get("upfront_usd"):
            raise ValueError("Input should be greater than or equal to 1e-06")
        return value

    @model_validator(mode="after")
    def _has_a_term(self) -> Price:
        committed = self.option in (Option.RESERVED, Option.OWNED)
        if self.upfront_usd and (self.term_months is None or not committed):
            raise ValueError("upfront_usd needs term_months, and an option that is reserved or owned")
        if self.lot > 1 and not committed:
            raise ValueError("only what is reserved or owned is bought in lots")
        return self


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
