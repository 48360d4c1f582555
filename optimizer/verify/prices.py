"""What is paid for an instance-hour, worked out anew and exactly: list prices, terms and rules, and what hosts cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from optimizer.catalog import Offer, Option, Price, worst
from optimizer.instance import HOURS_PER_MONTH, Host, Instance, PriceRule

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
    """Yield every price of every offer, the reserved prices that a rule makes, and the hosts of sites, which no rule changes."""
    changing = [r for r in instance.price_rules if r.makes is None]
    for offer in instance.catalogs.offers:
        stated = {p.option.value: p for p in offer.prices}
        for price in offer.prices:
            yield _paid(offer, price, price.option.value, [], changing, instance)
        if "on_demand" in stated and "reserved" not in stated:
            makers = [r for r in instance.price_rules if r.makes and _applies(r, offer, "on_demand", instance)]
            if makers:
                yield _paid(offer, stated["on_demand"], "reserved", makers[:1], changing, instance)
    for site in instance.sites:
        for host in site.hosts:
            usd, day = float(_host_usd_per_hour(host)), host.as_of or instance.as_of
            price = Price(option=Option.OWNED, usd_per_hour=usd, as_of=day, quality=host.quality, source=host.source)
            offer = Offer(
                provider=site.provider,
                region=site.region,
                instance_type=host.instance_type,
                accelerator=host.accelerator,
                accelerators_per_instance=host.accelerators_per_host,
                prices=(price,),
            )
            yield Sold(offer, price.option.value, price, usd, ())


def _host_usd_per_hour(host: Host) -> Fraction:
    """Give what an owned host costs without electricity: what it loses, unless it is paid, and its maintenance."""
    purchase = Fraction(repr(host.purchase_usd or 0.0))
    yearly = Fraction(repr(host.maintenance_usd_per_year)) + purchase * Fraction(repr(host.maintenance_fraction_per_year))
    lost = Fraction(0)
    if not host.paid and host.depreciation_months is not None:
        lost = (purchase - Fraction(repr(host.residual_usd))) / Fraction(repr(host.depreciation_months))
    return (lost + yearly / 12) / Fraction(HOURS_PER_MONTH)


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
    paid = price.model_copy(update={"option": Option(option), "usd_per_hour": float(usd), "quality": quality})
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
