"""What is really paid for an instance-hour, worked out anew and exactly from list prices, terms and rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from optimizer.catalog import Offer, Price, worst
from optimizer.instance import HOURS_PER_MONTH, Instance, PriceRule

__all__ = ["Sold", "prices_paid"]


@dataclass(frozen=True)
class Sold:
    """An offer at the price that is paid, with what the catalog says and the names of the rules."""

    offer: Offer
    option: str
    price: Price
    list_usd_per_hour: float
    rules: tuple[str, ...]


def prices_paid(instance: Instance) -> Iterator[Sold]:
    """Yield every price of every offer, and the reserved prices that a rule makes."""
    changing = [r for r in instance.price_rules if r.makes is None]
    for offer in instance.catalogs.offers:
        stated = {p.option.value: p for p in offer.prices}
        for price in offer.prices:
            yield _paid(offer, price, price.option.value, [], changing, instance)
        if "on_demand" in stated and "reserved" not in stated:
            makers = [r for r in instance.price_rules if r.makes and _applies(r, offer, "on_demand", instance)]
            if makers:
                yield _paid(offer, stated["on_demand"], "reserved", makers[:1], changing, instance)


def _paid(
    offer: Offer, price: Price, option: str, makers: list[PriceRule], changing: list[PriceRule], instance: Instance
) -> Sold:
    usd = Fraction(repr(price.usd_per_hour))
    if price.upfront_usd and price.term_months is not None:
        usd += Fraction(repr(price.upfront_usd)) / (Fraction(repr(price.term_months)) * Fraction(HOURS_PER_MONTH))
    mine = [r for r in changing if _applies(r, offer, option, instance)]
    for rules in (makers, mine):
        for rule in rules:
            usd *= 1 + Fraction(repr(rule.percent)) / 100
        usd += sum((Fraction(repr(rule.fee_usd_per_hour)) for rule in rules), Fraction(0))
    quality = worst([price.quality, *(r.quality for r in (*makers, *mine))])
    paid = price.model_copy(update={"usd_per_hour": float(usd), "quality": quality})
    return Sold(offer, option, paid, price.usd_per_hour, tuple(r.name for r in (*makers, *mine)))


def _applies(rule: PriceRule, offer: Offer, option: str, instance: Instance) -> bool:
    card = instance.accelerators[offer.accelerator]
    facts = {
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "accelerator": card.name,
        "family": card.family,
        "kind": card.kind.value,
        "option": option,
    }
    for field, fact in facts.items():
        wanted = getattr(rule.match, field)
        if wanted is not None and fact != wanted and (isinstance(wanted, str) or fact not in wanted):
            return False
    return True
