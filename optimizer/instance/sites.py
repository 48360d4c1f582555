"""Sites: places of one's own, what their electricity costs and emits, and the hosts that stand or may be bought there.

A site is a region of its own: no rented offer is in it, so that no pool straddles rented and owned machines.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Day, Fraction01, Name, NonNegative, Positive, PositiveInt, Text
from optimizer.instance.limits import Limit, Match

__all__ = ["Draw", "Figure", "Host", "Site"]


class Figure(Record):
    """A number with what it is made of and where it is from."""

    value: NonNegative
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Draw(Record):
    """What one accelerator draws at a site before PUE, its share of the host included, W: on and idle, and at full load."""

    accelerator: Name
    idle_w: NonNegative
    active_w: Positive
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _rises_with_load(self) -> Self:
        if self.idle_w > self.active_w:
            raise ValueError("an accelerator at full load draws at least its idle watts")
        return self


class Host(Record):
    """A kind of machine that stands at a site (``paid``: maintenance and power only) or may be bought, ``available`` of them.

    The purchase price is depreciated to ``residual_usd`` by straight line. Maintenance is a share of the purchase price a year,
    an amount a year, or both. ``as_of`` is the day of the prices, the instance's own if null.
    """

    instance_type: Name
    accelerator: Name
    accelerators_per_host: PositiveInt
    available: PositiveInt
    paid: bool = False
    purchase_usd: Positive | None = None
    residual_usd: NonNegative = 0.0
    depreciation_months: Positive | None = None
    maintenance_fraction_per_year: Fraction01 = 0.0
    maintenance_usd_per_year: NonNegative = 0.0
    as_of: Day | None = None
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_priced(self) -> Self:
        if not self.paid and (self.purchase_usd is None or self.depreciation_months is None):
            raise ValueError("a host that is not paid needs purchase_usd and depreciation_months")
        if self.residual_usd > (self.purchase_usd or 0.0):
            raise ValueError("residual_usd is at most purchase_usd")
        loses = not self.paid and self.residual_usd < (self.purchase_usd or 0.0)
        kept_up = self.maintenance_usd_per_year + self.maintenance_fraction_per_year * (self.purchase_usd or 0.0)
        if not loses and kept_up < 0.1:
            raise ValueError("a host that loses no value needs its maintenance stated: a missing cost is never zero")
        return self


class Site(Record):
    """A place of one's own: tariff (USD/kWh), PUE, carbon (gCO2/kWh), caps on mean power (kW) and carbon (gCO2/h), and hosts.

    Where ``draws`` does not tell what an accelerator draws, it is the catalog's TDP at full load and a share of it
    (``policy.idle_share_of_tdp``) when idle. Hosts that are held are on in every period.
    """

    name: Name
    provider: Name
    region: Name
    usd_per_kwh: Figure
    pue: Figure
    gco2_per_kwh: Figure | None = None
    max_power_kw: Figure | None = None
    max_gco2_per_hour: Figure | None = None
    draws: tuple[Draw, ...] = ()
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _can_be_reckoned(self) -> Self:
        if self.pue.value < 1:
            raise ValueError("pue is at least 1: energy at the meter over energy of the machines")
        if self.usd_per_kwh.value <= 0:
            raise ValueError("usd_per_kwh is above 0: a missing tariff is never zero")
        if self.max_gco2_per_hour is not None and self.gco2_per_kwh is None:
            raise ValueError("max_gco2_per_hour needs gco2_per_kwh")
        return self

    @property
    def label(self) -> str:
        """Give the place, ``provider/region``."""
        return f"{self.provider}/{self.region}"

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Give the site's own caps as limits."""
        match, found = Match(site=self.name), []
        if (kw := self.max_power_kw) is not None:
            name = f"{self.name[:100]} power"
            found.append(Limit(name=name, match=match, max_power_kw=kw.value, quality=kw.quality, reason=kw.source))
        if (grams := self.max_gco2_per_hour) is not None:
            name = f"{self.name[:100]} carbon"
            cap = Limit(name=name, match=match, max_gco2_per_hour=grams.value, quality=grams.quality, reason=grams.source)
            found.append(cap)
        return tuple(found)
