"""Electricity and carbon: what accelerators draw where, the hosts of sites as offers, and the limits that count either.

Figures are at the meter, PUE included: kW per accelerator that is on, and what it draws more while it is busy. A rented instance
draws by its accelerators' TDP and ``policy.rented_pue``; what is not known is NaN and never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Offer, Option, Price
from optimizer.costs.compute import owned_usd_per_hour
from optimizer.costs.horizon import MONTHS_PER_YEAR
from optimizer.costs.maintenance import maintenance_usd_per_hour
from optimizer.costs.power import emissions_gco2_per_hour, energy_kwh_per_hour, energy_usd
from optimizer.instance import Host, Instance, Limit

__all__ = ["Cap", "EnergyTable", "caps_of", "energy_table", "host_offers"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EnergyTable:
    """What an accelerator draws at a place, by region and accelerator of the offers.

    ``idle_kw`` when it is on, ``busy_kw`` more while it is busy, both (n_regions, n_accelerators); ``usd_per_kwh`` (n_regions,)
    the tariff of a site, 0 where power is in the rent; ``gco2_per_kwh`` (n_regions,). NaN where a figure is unknown.
    """

    idle_kw: FloatArray
    busy_kw: FloatArray
    usd_per_kwh: FloatArray
    gco2_per_kwh: FloatArray

    @property
    def idle_usd_per_hour(self) -> FloatArray:
        """Give what an accelerator that is on costs in electricity; shape (n_regions, n_accelerators)."""
        return np.where(self.usd_per_kwh[:, None] > 0, energy_usd(self.idle_kw, self.usd_per_kwh[:, None]), 0.0)

    @property
    def busy_usd_per_hour(self) -> FloatArray:
        """Give what one that is busy costs more; shape (n_regions, n_accelerators)."""
        return np.where(self.usd_per_kwh[:, None] > 0, energy_usd(self.busy_kw, self.usd_per_kwh[:, None]), 0.0)


@dataclass(frozen=True, eq=False)
class Cap:
    """A limit on power or carbon: what an accelerator adds to it when it is on, and more when it is busy.

    ``unit`` is kW or gCO2/h; ``number`` says which of ``all_limits``. ``idle`` has shape (n_offers,), ``busy`` (n_regions,
    n_accelerators), since load belongs to pools: zero where nothing is counted, NaN where unknown.
    """

    limit: Limit
    number: int
    unit: str
    most: float
    idle: FloatArray
    busy: FloatArray


def energy_table(instance: Instance, regions: Sequence[str], accelerators: Sequence[str]) -> EnergyTable:
    """Look up what each accelerator draws in each region, and what electricity costs and emits there."""
    draws = [[instance.draw(place, card) for card in accelerators] for place in regions]
    watts = np.array([[(d.idle_w, d.active_w) if d else (np.nan, np.nan) for d in row] for row in draws], dtype=np.float64)
    watts = watts.reshape(len(regions), len(accelerators), 2)
    known = {region.label: region.gco2_per_kwh for region in instance.catalogs.regions}
    pue, tariff, carbon = np.full(len(regions), instance.policy.rented_pue.value), np.zeros(len(regions)), np.zeros(len(regions))
    for at, place in enumerate(regions):
        grams = known.get(place)
        if (site := instance.site_at.get(place)) is not None:
            pue[at], tariff[at] = site.pue.value, site.usd_per_kwh.value
            grams = site.gco2_per_kwh.value if site.gco2_per_kwh is not None else None
        carbon[at] = np.nan if grams is None else grams
    idle, active = watts[:, :, 0], watts[:, :, 1]
    return EnergyTable(
        energy_kwh_per_hour(1.0, idle, pue[:, None]), energy_kwh_per_hour(1.0, active - idle, pue[:, None]), tariff, carbon
    )


def caps_of(
    limits: Sequence[Limit],
    limited: npt.NDArray[np.bool_],
    energy: EnergyTable,
    region: npt.NDArray[np.int64],
    accelerator: npt.NDArray[np.int64],
) -> tuple[Cap, ...]:
    """Give the limits on power and carbon; ``limited`` has shape (n_limits, n_offers), the others (n_offers,)."""
    found = []
    for number, limit in enumerate(limits):
        counted, placed = limited[number], np.zeros_like(energy.idle_kw, dtype=bool)
        placed[region[counted], accelerator[counted]] = True  # a pool's load is counted whole if one of its offers is
        for unit, most in (("kW", limit.max_power_kw), ("gCO2/h", limit.max_gco2_per_hour)):
            if most is None:
                continue
            idle, busy = energy.idle_kw, energy.busy_kw
            if unit != "kW":
                idle, busy = (emissions_gco2_per_hour(x, energy.gco2_per_kwh[:, None]) for x in (idle, busy))
            on = np.where(counted, idle[region, accelerator], 0.0)
            found.append(Cap(limit, number, unit, most, on, np.where(placed, busy, 0.0)))
    return tuple(found)


def host_offers(instance: Instance) -> list[tuple[Offer, Price, float]]:
    """Give the hosts of sites as owned offers with their price per hour, and how many there are."""
    found = []
    for site in instance.sites:
        for host in site.hosts:
            day = host.as_of or instance.as_of
            usd = _host_usd_per_hour(host)
            price = Price(option=Option.OWNED, usd_per_hour=usd, as_of=day, quality=host.quality, source=host.source)
            parts: dict[str, Any] = {"provider": site.provider, "region": site.region, "instance_type": host.instance_type}
            parts |= {"accelerator": host.accelerator, "accelerators_per_instance": host.accelerators_per_host}
            found.append((Offer(**parts, prices=(price,)), price, float(host.available)))
    return found


def _host_usd_per_hour(host: Host) -> float:
    """Give depreciation and maintenance of one host; one that is paid loses nothing any more."""
    purchase = host.purchase_usd or 0.0
    years = (host.depreciation_months or MONTHS_PER_YEAR) / MONTHS_PER_YEAR
    residual = purchase if host.paid else host.residual_usd
    yearly = maintenance_usd_per_hour(usd_per_month=host.maintenance_usd_per_year / MONTHS_PER_YEAR)
    return float(owned_usd_per_hour(purchase, residual, years, host.maintenance_fraction_per_year) + yearly)
