"""Offers as arrays: one row for each way to buy an instance, and which of them dominate others.

Prices are USD per instance-hour. Offers without a usable price are left out here, once, with the reason kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Offer, Option, Price
from optimizer.compile.energy import Cap, EnergyTable, caps_of, energy_table, host_offers
from optimizer.compile.matching import fits
from optimizer.compile.prices import ruled_offers
from optimizer.costs.compute import rent_usd_per_hour
from optimizer.costs.licence import licence_usd_per_hour
from optimizer.costs.risk import interruption_usd_per_hour
from optimizer.instance import Instance, Match, UnitLicence

__all__ = ["OfferTable", "fits", "matching_offers", "offer_facts", "offer_table", "price_age_days"]


@dataclass(frozen=True, eq=False)
class OfferTable:
    """Priced offers in canonical order; row o is one (offer, option).

    ``heads`` holds what one instance-hour costs by head of the bill (rent, unit licences, interruptions, idle draw at sites),
    ``usd_per_hour`` their sum; ``size`` (accelerators per instance), ``accelerator`` and ``region`` (indices into
    ``accelerators`` and ``regions``) have shape (n_offers,); ``limited`` has shape (n_limits, n_offers): whether the offer part
    of a limit fits; ``interrupted_per_hour`` (n_offers,) how often an instance is taken away. ``available`` (n_offers,) is how
    many hosts of a site there are, infinite for what is rented; ``energy`` tells what is drawn where, ``caps`` the limits on it.
    ``left_out`` holds (accelerator, offer label, reason) of what had no usable price; ``facts`` what a match may ask.
    """

    offers: tuple[Offer, ...]
    prices: tuple[Price, ...]
    heads: dict[str, npt.NDArray[np.float64]]
    usd_per_hour: npt.NDArray[np.float64]
    size: npt.NDArray[np.int64]
    accelerator: npt.NDArray[np.int64]
    region: npt.NDArray[np.int64]
    limited: npt.NDArray[np.bool_]
    interrupted_per_hour: npt.NDArray[np.float64]
    accelerators: tuple[str, ...]
    regions: tuple[str, ...]
    left_out: tuple[tuple[str, str, str], ...]
    facts: Facts
    available: npt.NDArray[np.float64]
    energy: EnergyTable
    caps: tuple[Cap, ...]

    @property
    def draws(self) -> npt.NDArray[np.float64]:
        """Give what an accelerator of each offer adds to every cap, on and busy, and to the bill; shape (n_draws, n_offers)."""
        at = self.region, self.accelerator
        told = [x for cap in self.caps for x in (cap.idle, cap.busy[at])]
        return np.array([*told, self.energy.busy_usd_per_hour[at]])

    def unknown(self, cap: Cap) -> npt.NDArray[np.bool_]:
        """Say which offers a cap counts, or the load on them, without knowing what they draw or emit; shape (n_offers,)."""
        return np.asarray(np.isnan(cap.idle) | np.isnan(cap.busy[self.region, self.accelerator]))

    def placed(self, limit: int) -> npt.NDArray[np.bool_]:
        """Say where offers are that a limit counts, and with them the load of pools; shape (n_regions, n_accelerators)."""
        found = np.zeros((len(self.regions), len(self.accelerators)), dtype=bool)
        found[self.region[self.limited[limit]], self.accelerator[self.limited[limit]]] = True
        return found

    @cached_property
    def committed(self) -> npt.NDArray[np.bool_]:
        """Say which offers are paid for all periods alike, used or not: reserved and owned; shape (n_offers,)."""
        return np.array([price.option in (Option.RESERVED, Option.OWNED) for price in self.prices], dtype=bool)

    @cached_property
    def spot(self) -> npt.NDArray[np.bool_]:
        """Say which offers are spot; shape (n_offers,)."""
        return np.array([price.option is Option.SPOT for price in self.prices], dtype=bool)

    @cached_property
    def on_demand(self) -> npt.NDArray[np.bool_]:
        """Say which offers are on demand; shape (n_offers,)."""
        return np.array([price.option is Option.ON_DEMAND for price in self.prices], dtype=bool)

    @cached_property
    def lot(self) -> npt.NDArray[np.int64]:
        """Give how many instances of each offer are bought at once; shape (n_offers,)."""
        return np.array([price.lot for price in self.prices], dtype=np.int64)

    def __len__(self) -> int:
        """Give the number of priced offers."""
        return len(self.offers)

    def label(self, o: int) -> str:
        """Name row ``o`` for people."""
        return f"{self.offers[o].label} {self.prices[o].option}"


def price_age_days(price: Price, as_of: str) -> int:
    """Count the days from a price's own date to the instance's day."""
    return (date.fromisoformat(as_of) - date.fromisoformat(price.as_of)).days


def offer_table(instance: Instance) -> OfferTable:
    """Collect the priced offers of an instance in canonical order (accelerator, label, option)."""
    rows: list[tuple[str, str, str, Offer, Price, float]] = []
    left_out: list[tuple[str, str, str]] = []
    longest = instance.policy.max_price_age_days
    sold: list[tuple[Offer, Price | None, float]] = [
        (offer, price, np.inf) for offer in ruled_offers(instance) for price in offer.prices or (None,)
    ]
    for offer, price, available in (*sold, *host_offers(instance)):
        name = instance.accelerators[offer.accelerator].name
        if price is None:
            left_out.append((name, offer.label, "no price is known"))
        elif (age := price_age_days(price, instance.as_of)) > longest:
            left_out.append((name, f"{offer.label} {price.option}", f"its price is {age} days old, more than {longest:g}"))
        else:
            rows.append((name, offer.label, price.option.value, offer, price, available))
    rows.sort(key=lambda row: row[:3])
    names, regions = sorted({r[0] for r in rows}), sorted({f"{r[3].provider}/{r[3].region}" for r in rows})
    at, where = {n: i for i, n in enumerate(names)}, {n: i for i, n in enumerate(regions)}
    facts = offer_facts([(r[3], r[4]) for r in rows], instance)
    matched = [matching_offers(limit.match, facts, len(rows)) for limit in instance.all_limits]
    limited = np.array(matched, dtype=bool).reshape(len(matched), len(rows))
    accelerator = np.array([at[r[0]] for r in rows], dtype=np.int64)
    region = np.array([where[f"{r[3].provider}/{r[3].region}"] for r in rows], dtype=np.int64)
    energy = energy_table(instance, regions, names)
    heads = _heads(instance, [(r[3], r[4]) for r in rows], facts)
    heads["power"] = energy.idle_usd_per_hour[region, accelerator] * [float(r[3].accelerators_per_instance) for r in rows]
    return OfferTable(
        offers=tuple(r[3] for r in rows),
        prices=tuple(r[4] for r in rows),
        heads=heads,
        usd_per_hour=np.sum(list(heads.values()), axis=0),
        size=np.array([r[3].accelerators_per_instance for r in rows], dtype=np.int64),
        accelerator=accelerator,
        region=region,
        limited=limited,
        interrupted_per_hour=np.sum(
            [np.zeros(len(rows)), *(x.per_hour * matching_offers(x.when, facts, len(rows)) for x in instance.interruptions)],
            axis=0,
        ),
        accelerators=tuple(names),
        regions=tuple(regions),
        left_out=tuple(left_out),
        facts=facts,
        available=np.array([r[5] for r in rows]),
        energy=energy,
        caps=caps_of(instance.all_limits, limited, energy, region, accelerator),
    )


Facts = dict[str, npt.NDArray[np.str_]]


def offer_facts(sold: Sequence[tuple[Offer, Price]], instance: Instance) -> Facts:
    """Give what a match may ask of an offer, by field; shape (n_offers,) each, "" where there is nothing."""
    cards = [instance.accelerators[offer.accelerator] for offer, _ in sold]
    columns: dict[str, list[str]] = {
        "provider": [offer.provider for offer, _ in sold],
        "region": [offer.region for offer, _ in sold],
        "zone": [offer.zone or "" for offer, _ in sold],
        "instance_type": [offer.instance_type for offer, _ in sold],
        "accelerator": [card.name for card in cards],
        "family": [card.family for card in cards],
        "kind": [card.kind.value for card in cards],
        "option": [price.option.value for _, price in sold],
        "site": [at.name if (at := instance.site_at.get(f"{o.provider}/{o.region}")) else "" for o, _ in sold],
    }
    return {field: np.array(names, dtype=np.str_) for field, names in columns.items()}


def matching_offers(match: Match, facts: Facts, count: int) -> npt.NDArray[np.bool_]:
    """Say which offers fit the part of a match that speaks of offers; shape (n_offers,)."""
    fit = np.ones(count, dtype=bool)
    for field, values in facts.items():
        if (wanted := getattr(match, field)) is not None:
            fit &= np.isin(values, wanted)
    return fit


def _heads(instance: Instance, sold: Sequence[tuple[Offer, Price]], facts: Facts) -> dict[str, npt.NDArray[np.float64]]:
    """Give what one instance-hour of each offer costs, by head."""
    size = np.array([offer.accelerators_per_instance for offer, _ in sold], dtype=np.float64)
    licence, risk = np.zeros(len(sold)), np.zeros(len(sold))
    for entry in instance.licences:
        if isinstance(entry, UnitLicence):
            mine = matching_offers(entry.when, facts, len(sold))
            licence += mine * licence_usd_per_hour(entry.usd_per_accelerator_month, size, entry.usd_per_instance_month, 1.0)
    for event in instance.interruptions:
        risk += matching_offers(event.when, facts, len(sold)) * interruption_usd_per_hour(1.0, event.per_hour, event.usd_each)
    rent = rent_usd_per_hour([price.usd_per_hour for _, price in sold], np.ones(len(sold)))
    return {"compute": rent, "licence": licence, "risk": risk}
