"""What places cost, worked out anew: answers from origins, sizes and prices of routes; weights from their size and place."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog import Quality, worst
from optimizer.instance import Instance, RequestClass, StoragePrice
from optimizer.performance.modelled import weights_gib
from optimizer.plan import Route
from optimizer.verify.facts import Facts, differs, fraction, remembered

__all__ = ["storage_price", "stored_gib", "transfer_rule", "transfer_usd_per_hour"]


def transfer_rule(facts: Facts) -> Iterator[str]:
    """Check that every route may be taken, has a price, and tells what sending its answers costs."""
    for r, usd in zip(facts.plan.routing, _routes_usd_per_hour(facts), strict=True):
        if usd is None:
            yield f"{r.workload}/{r.request_class}: {r.pool!r} may not serve it, or its way back has no price"
        elif differs(r.transfer_usd_per_hour, usd):
            yield f"{r.workload}/{r.request_class}: its answers cost {float(usd)} USD/h, the plan says {r.transfer_usd_per_hour}"


@remembered
def _routes_usd_per_hour(facts: Facts) -> list[Fraction | None]:
    """Give what sending the answers of each route of the plan costs, in its order."""
    return [route_usd_per_hour(facts, r) for r in facts.plan.routing]


@remembered
def transfer_usd_per_hour(facts: Facts) -> Fraction:
    """Give what sending all answers costs, USD per hour of the month."""
    found = zip(facts.plan.routing, _routes_usd_per_hour(facts), strict=True)
    return sum((usd * facts.weight(r.period) for r, usd in found if usd), Fraction(0))


def route_usd_per_hour(facts: Facts, route: Route) -> Fraction | None:
    """Give what sending a route's answers costs while its period lasts; None where it may not be taken or has no price."""
    workload, members = facts.workloads.get(route.workload), facts.pools.get(route.pool, ())
    c = facts.class_named.get((route.workload, route.request_class))
    if c is None or workload is None or not members or route.period not in facts.month_share:
        return Fraction(0)  # other rules tell
    d = members[0]
    if c.regions_allowed is not None and d.region not in c.regions_allowed:
        return None
    if not (gib := _gib(c)):
        return Fraction(0)
    share = (c.origins or workload.origins or {}).items()
    prices = {place: _price(facts, d.provider, d.region, place) for place, _ in share}
    if None in prices.values():
        return None
    mean = sum((fraction(part) * (prices[place] or Fraction(0)) for place, part in share), Fraction(0))
    return fraction(c.rate.at(route.period)) * 3600 * gib * mean * fraction(route.share)


def _gib(c: RequestClass) -> Fraction:
    return fraction(c.gib_per_request) + fraction(c.bytes_per_token) * (c.output_tokens or 0) / 2**30


@remembered
def _price(facts: Facts, provider: str, region: str, place: str) -> Fraction | None:
    """Give the price of a route: by place, then region, then provider, then what holds everywhere."""
    stated = {(x.to, x.region, x.provider): fraction(x.usd_per_gib) for x in facts.instance.routes}
    for to in (place, None):
        if to is None and place == f"{provider}/{region}":
            return Fraction(0)
        for here in ((region, provider), (region, None), (None, provider), (None, None)):
            if (to, *here) in stated:
                return stated[to, *here]
    return None


def storage_price(instance: Instance, provider: str, region: str) -> StoragePrice | None:
    """Give the price of keeping something: by region, then provider, then what holds everywhere."""
    stated = {(x.region, x.provider): x for x in instance.storage}
    found = (stated.get(here) for here in ((region, provider), (region, None), (None, provider), (None, None)))
    return next((x for x in found if x is not None), None)


@remembered
def stored_gib(facts: Facts, model: str, precision: str, compression: str) -> tuple[Fraction, Quality] | None:
    """Give the size of a variant's weights and how good that figure is; None where it is not known."""
    if (of := facts.instance.models.get(model)) is None:
        return None
    variant = of.variant(precision, compression)
    gib = weights_gib(of, variant, precision)
    stated = variant is not None and variant.weights_gib is not None
    return (fraction(gib), worst([of.quality, *([] if stated else [Quality.DERIVED])])) if gib > 0 else None
