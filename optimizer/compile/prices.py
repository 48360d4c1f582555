"""What is really paid for an instance-hour: list prices, terms spread over their months, and the user's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optimizer.catalog import Offer, Option, Price, worst
from optimizer.compile.matching import fits
from optimizer.costs.compute import reserved_usd_per_hour, ruled_price_usd_per_hour
from optimizer.instance import Instance, PriceRule

__all__ = ["RuledPrice", "ruled_offers"]


class RuledPrice(Price):
    """A price that terms or rules have changed: what it was, and the names of the rules in order."""

    list_usd_per_hour: float
    rules: tuple[str, ...]


def ruled_offers(instance: Instance) -> Iterator[Offer]:
    """Yield the offers with the prices that are paid; those that nothing changes are the catalog's own."""
    for offer in instance.catalogs.offers:
        found = tuple(_ruled(offer, price, (), instance) for price in offer.prices)
        if all(price.option is not Option.RESERVED for price in found):
            makers = [r for r in instance.price_rules if r.makes is not None]
            of = next((price for price in offer.prices if price.option is Option.ON_DEMAND), None)
            maker = None if of is None else next((r for r in makers if _fits(r, offer, of.option, instance)), None)
            if of is not None and maker is not None:
                made = of.model_copy(update={"option": Option.RESERVED})
                found = (*found, _ruled(offer, made, (maker,), instance))
        yield offer if found == offer.prices else offer.model_copy(update={"prices": found})


def _ruled(offer: Offer, price: Price, makers: Sequence[PriceRule], instance: Instance) -> Price:
    """Give a price with its term spread and its rules applied; the price itself where nothing changes it."""
    others = [r for r in instance.price_rules if r.makes is None and _fits(r, offer, price.option, instance)]
    rules = [*makers, *others]
    if not rules and not price.upfront_usd:
        return price
    usd = reserved_usd_per_hour(price.upfront_usd, price.term_months or 1.0, price.usd_per_hour)
    for some in (makers, others):  # what is made is made first, fee and all
        usd = ruled_price_usd_per_hour(usd, [r.percent for r in some], [r.fee_usd_per_hour for r in some])
    told = {"list_usd_per_hour": price.usd_per_hour, "rules": tuple(r.name for r in rules)}
    quality = worst([price.quality, *(r.quality for r in rules)])
    return RuledPrice.model_construct(**dict(price) | told | {"usd_per_hour": float(usd), "quality": quality})


def _fits(rule: PriceRule, offer: Offer, option: Option, instance: Instance) -> bool:
    card, m = instance.accelerators[offer.accelerator], rule.match
    asked = (m.provider, m.region, m.zone, m.instance_type, m.accelerator, m.family, m.kind, m.option)
    facts = (offer.provider, offer.region, offer.zone, offer.instance_type, card.name, card.family, card.kind.value, option.value)
    return all(fits(wanted, fact) for wanted, fact in zip(asked, facts, strict=True))
