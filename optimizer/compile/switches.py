"""Switches: costs that are paid while anything that fits them is in use, however much of it.

A switch belongs to pools: it fits a pool when it fits the pool's candidate and the pool's region. Amounts are USD per hour; what
is paid once is spread over its months, what is paid monthly over 730 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Model, Quality, Variant, worst
from optimizer.compile.candidates import CandidateTable
from optimizer.compile.offers import fits
from optimizer.compile.places import storage_price
from optimizer.costs.data import data_usd
from optimizer.costs.horizon import amortised_usd_per_hour
from optimizer.costs.licence import licence_usd_per_hour
from optimizer.costs.maintenance import maintenance_usd_per_hour
from optimizer.costs.people import people_usd_per_hour
from optimizer.costs.setup import setup_usd
from optimizer.costs.storage import storage_usd_per_hour
from optimizer.costs.transfer import download_usd_per_hour
from optimizer.instance import HOURS_PER_MONTH, FlatLicence, Instance, Match, SetupPrices
from optimizer.performance.modelled import weights_gib

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

    @cached_property
    def usd_per_hour(self) -> npt.NDArray[np.float64]:
        """Give what a pool of each candidate in each region switches on, all of it; shape (n_candidates, n_regions)."""
        alike, which = np.unique(self.candidate, axis=1, return_inverse=True)
        price = np.array([s.usd_per_hour for s in self.switches], dtype=np.float64)
        return np.asarray(((price[:, None] * alike).T @ self.region)[which.reshape(-1)])

    def of_pools(self, candidate: npt.NDArray[np.int64], region: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which switches belong to which pools; shape (n_switches, n_pools)."""
        return np.asarray(self.candidate[:, candidate] & self.region[:, region])


def switch_table(table: CandidateTable) -> SwitchTable:
    """Collect what the instance prices by use: people, flat licences, data, setup and maintenance of variants."""
    found = [*_switches(table.instance), *_kept_weights(table)]
    switches = sorted((s for s in found if s.usd_per_hour > 0), key=lambda s: (s.head, s.name))
    places = [name.split("/", 1) for name in table.offers.regions]
    fitting: dict[Match, npt.NDArray[np.bool_]] = {}
    for s in switches:
        if (of := _anywhere(s.when)) not in fitting:
            fitting[of] = table.matching(of)
    region = [[fits(s.when.provider, p) and fits(s.when.region, r) for p, r in places] for s in switches]
    return SwitchTable(
        switches=tuple(switches),
        candidate=np.array([fitting[_anywhere(s.when)] for s in switches], dtype=bool).reshape(len(switches), len(table)),
        region=np.array(region, dtype=bool).reshape(len(switches), len(places)),
    )


def _anywhere(when: Match) -> Match:
    return when.model_copy(update={"provider": None, "region": None})


def _kept_weights(table: CandidateTable) -> Iterator[Switch]:
    """Give what keeping each variant's weights in each region costs, and fetching each new version of them."""
    instance, versions = table.instance, table.instance.policy.weight_versions_per_month
    if not instance.storage:
        return
    prices = {region: storage_price(instance.storage, region) for region in table.offers.regions}
    made = {(c.model, c.precision, c.compression) for c in map(table.configuration, range(len(table)))}
    for name, precision, compression in sorted(made):
        model = instance.models[name]
        variant = model.variant(precision, compression)
        gib, stated = weights_gib(model, variant, precision), variant is not None and variant.weights_gib is not None
        label = precision if compression == "none" else f"{precision}+{compression}"
        for region, price in prices.items():
            if price is None:
                continue
            provider, _, place = region.partition("/")
            form = {"model": name, "precision": precision, "compression": compression}
            when = Match(workload=tuple(w.name for w in table.workloads), provider=provider, region=place, **form)
            quality = worst([price.quality, model.quality, *([] if stated else [Quality.DERIVED])])
            stored = float(storage_usd_per_hour(gib, price.usd_per_gib_month))
            fetched = float(download_usd_per_hour(gib, price.usd_per_gib_fetched, versions / HOURS_PER_MONTH))
            yield Switch(f"{name} {label} in {region}", "storage", stored, when, quality, price.source)
            yield Switch(f"{name} {label} in {region}", "transfer", fetched, when, quality, price.source)


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
        if d.kept_in is not None and (price := storage_price(instance.storage, d.kept_in)) is not None:
            usd, quality = storage_usd_per_hour(d.kept_gib, price.usd_per_gib_month), worst([d.quality, price.quality])
            yield Switch(d.name, "storage", float(usd), d.when, quality, price.source)
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
