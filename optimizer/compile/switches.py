"""Switches: costs that are paid while anything that fits them is in use, however much of it.

A switch belongs to pools: it fits a pool when it fits the pool's candidate and the pool's region. Amounts are USD per hour; what
is paid once is spread over its months, what is paid monthly over 730 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Model, Quality, Variant
from optimizer.compile.candidates import CandidateTable
from optimizer.compile.offers import fits
from optimizer.costs.data import data_usd
from optimizer.costs.horizon import amortised_usd_per_hour
from optimizer.costs.licence import licence_usd_per_hour
from optimizer.costs.maintenance import maintenance_usd_per_hour
from optimizer.costs.people import people_usd_per_hour
from optimizer.costs.setup import setup_usd
from optimizer.instance import FlatLicence, Instance, Match, SetupPrices

__all__ = ["Switch", "SwitchTable", "switch_table"]


@dataclass(frozen=True)
class Switch:
    """One cost that a choice switches on, and what it belongs to."""

    name: str
    head: str
    usd_per_hour: float
    when: Match
    quality: Quality
    source: str


@dataclass(frozen=True, eq=False)
class SwitchTable:
    """The switches of an instance in canonical order; those that cost nothing are left out.

    ``candidate`` has shape (n_switches, n_candidates), ``region`` (n_switches, n_regions): the two parts of fitting a pool.
    """

    switches: tuple[Switch, ...]
    candidate: npt.NDArray[np.bool_]
    region: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Give the number of switches."""
        return len(self.switches)

    def of_pools(self, candidate: npt.NDArray[np.int64], region: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which switches belong to which pools; shape (n_switches, n_pools)."""
        return np.asarray(self.candidate[:, candidate] & self.region[:, region])


def switch_table(table: CandidateTable) -> SwitchTable:
    """Collect what the instance prices by use: people, flat licences, data, setup and maintenance of variants."""
    switches = sorted((s for s in _switches(table.instance) if s.usd_per_hour > 0), key=lambda s: (s.head, s.name))
    places = [name.split("/", 1) for name in table.offers.regions]
    region = [[fits(s.when.provider, p) and fits(s.when.region, r) for p, r in places] for s in switches]
    return SwitchTable(
        switches=tuple(switches),
        candidate=np.array([table.matching(s.when) for s in switches], dtype=bool).reshape(len(switches), len(table)),
        region=np.array(region, dtype=bool).reshape(len(switches), len(places)),
    )


def _switches(instance: Instance) -> Iterator[Switch]:
    for x in instance.people:
        usd = people_usd_per_hour(x.usd_per_person_hour, x.people, x.hours_per_month, x.management_usd_per_month)
        yield Switch(x.name, "people", float(usd), x.when, x.quality, x.source)
    for licence in instance.licences:
        if isinstance(licence, FlatLicence):
            usd = licence_usd_per_hour(usd_per_platform_month=licence.usd_per_month, platforms=1.0)
            yield Switch(licence.name, "licence", float(usd), licence.when, licence.quality, licence.source)
    for d in instance.data:
        once = data_usd(d.usd_per_item, d.items, d.usd_per_labelling_hour, d.labelling_hours)
        yield Switch(d.name, "data", float(amortised_usd_per_hour(once, d.horizon_months)), d.when, d.quality, d.source)
    for model in sorted(instance.catalogs.models, key=lambda m: m.name):
        for variant in model.variants:
            yield from _variant_switches(model, variant, instance.policy.setup)


def _variant_switches(model: Model, variant: Variant, prices: SetupPrices | None) -> Iterator[Switch]:
    """Give what making and keeping one variant costs; making it is free for the next workload that uses it."""
    when = Match(model=model.name, precision=variant.precision, compression=variant.compression)
    name, work = f"{model.name} {variant.label}", variant.setup
    if work is not None and prices is not None:
        once = setup_usd(
            work.accelerator_hours,
            prices.usd_per_accelerator_hour,
            work.labelling_hours,
            prices.usd_per_labelling_hour,
            work.items,
            prices.usd_per_item,
        )
        usd = float(amortised_usd_per_hour(once, prices.horizon_months))
        yield Switch(name, "setup", usd, when, max(work.quality, prices.quality, key=lambda q: q.rank), work.source)
    usd = float(maintenance_usd_per_hour(usd_per_month=variant.maintenance_usd_per_month))
    yield Switch(name, "maintenance", usd, when, Quality.ASSUMED, model.source)
