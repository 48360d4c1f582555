"""What is paid beside rent: costs switched on by use, and charges for each rented instance; worked out anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from optimizer.catalog import Quality, worst
from optimizer.instance import HOURS_PER_MONTH, FlatLicence, Instance, Match, UnitLicence
from optimizer.plan import Deployment
from optimizer.verify.changes import change_charges
from optimizer.verify.earnings import risk_charges
from optimizer.verify.energy import busy_usd_per_hour, idle_usd_per_hour
from optimizer.verify.facts import Facts, differs, fraction, remembered
from optimizer.verify.matching import offer_fits, pool_fits
from optimizer.verify.places import storage_price, stored_gib, transfer_usd_per_hour

__all__ = ["charge_quality", "heads", "instance_usd_per_hour", "switches_rule", "unit_charges"]

MONTH = Fraction(HOURS_PER_MONTH)


@dataclass(frozen=True)
class _Due:
    """A cost that is due while something that fits is routed to."""

    head: str
    name: str
    usd_per_hour: Fraction
    when: Match
    quality: Quality


def _dues(instance: Instance) -> Iterator[_Due]:
    for x in instance.people:
        work = fraction(x.usd_per_person_hour) * fraction(x.people) * fraction(x.hours_per_month)
        yield _Due("people", x.name, (work + fraction(x.management_usd_per_month)) / MONTH, x.when, x.quality)
    for licence in instance.licences:
        if isinstance(licence, FlatLicence):
            yield _Due("licence", licence.name, fraction(licence.usd_per_month) / MONTH, licence.when, licence.quality)
    for d in instance.data:
        once = fraction(d.items) * fraction(d.usd_per_item) + fraction(d.labelling_hours) * fraction(d.usd_per_labelling_hour)
        yield _Due("data", d.name, once / (fraction(d.horizon_months) * MONTH), d.when, d.quality)
        if d.kept_in is not None and (price := storage_price(instance, *d.kept_in.split("/", 1))) is not None:
            hourly = fraction(d.kept_gib) * fraction(price.usd_per_gib_month) / MONTH
            yield _Due("storage", d.name, hourly, d.when, worst([d.quality, price.quality]))
    for model in instance.catalogs.models:
        for v in model.variants:
            when = Match(model=model.name, precision=v.precision, compression=v.compression)
            monthly = fraction(v.maintenance_usd_per_month) / MONTH
            yield _Due("maintenance", f"{model.name} {v.label}", monthly, when, Quality.ASSUMED)
            if v.setup is not None and (prices := instance.policy.setup) is not None:
                once = fraction(v.setup.accelerator_hours) * fraction(prices.usd_per_accelerator_hour)
                once += fraction(v.setup.labelling_hours) * fraction(prices.usd_per_labelling_hour)
                once += fraction(v.setup.items) * fraction(prices.usd_per_item)
                hourly, quality = once / (fraction(prices.horizon_months) * MONTH), worst([v.setup.quality, prices.quality])
                yield _Due("setup", f"{model.name} {v.label}", hourly, when, quality)


def _kept_weights(facts: Facts) -> Iterator[_Due]:
    """Yield what keeping weights costs where they are in use; a missing price or size is told by the rule ``switches``."""
    for model, precision, compression, provider, region in sorted({_kept(d) for d in facts.plan.deployments}):
        gib, price = stored_gib(facts, model, precision, compression), storage_price(facts.instance, provider, region)
        if gib is not None and price is not None:
            form = {"model": model, "precision": precision, "compression": compression}
            when = Match(workload=tuple(facts.workloads), provider=provider, region=region, **form)
            name = f"{model} {precision}{'' if compression == 'none' else '+' + compression} in {provider}/{region}"
            quality = worst([price.quality, gib[1]])
            yield _Due("storage", name, gib[0] * fraction(price.usd_per_gib_month) / MONTH, when, quality)
            fetched = fraction(price.usd_per_gib_fetched) * fraction(facts.instance.policy.weight_versions_per_month)
            yield _Due("transfer", name, gib[0] * fetched / MONTH, when, quality)


def _kept(d: Deployment) -> tuple[str, str, str, str, str]:
    return d.model, d.precision, d.compression, d.provider, d.region


@remembered
def _expected(facts: Facts) -> dict[tuple[str, str], tuple[_Due, set[str]]]:
    """Give what routed traffic switches on, by (head, name), with the pools that do."""
    routed = {r.pool for r in facts.plan.routing if r.share > 0} | {r.pool for r in facts.plan.recourse if r.share > 0}
    found: dict[tuple[str, str], tuple[_Due, set[str]]] = {}
    for due in (*_dues(facts.instance), *_kept_weights(facts)):
        if due.usd_per_hour == 0:
            continue
        pools = {d.pool for d, w, o, _ in facts.known if d.pool in routed and pool_fits(due.when, d, w, o, facts)}
        pools |= {run.job for run, job, o, _ in facts.runs if pool_fits(due.when, run, job, o, facts)}
        if pools:
            found[due.head, due.name] = (due, pools)
    return found


def switches_rule(facts: Facts) -> Iterator[str]:
    """Check that exactly the costs are switched on that belong to pools in use, at the instance's amounts."""
    for model, precision, compression, provider, region in {_kept(d) for d in facts.plan.deployments if facts.instance.storage}:
        if not stored_gib(facts, model, precision, compression) or not storage_price(facts.instance, provider, region):
            yield f"keeping {model} {precision} {compression} in {provider}/{region} has no price"
    expected, told = _expected(facts), {(s.head, s.name): s for s in facts.plan.switches}
    for key in expected.keys() | told.keys():
        if key not in told or key not in expected:
            yield f"{key[0]} {key[1]!r} is {'in use' if key in expected else 'not in use'}, the plan tells otherwise"
            continue
        (due, pools), s = expected[key], told[key]
        if differs(s.usd_per_hour, due.usd_per_hour) or s.quality is not due.quality:
            yield f"{key[0]} {key[1]!r} costs {float(due.usd_per_hour)} USD/h ({due.quality}), the plan says {s.usd_per_hour}"
        if set(s.pools) != pools:
            yield f"{key[0]} {key[1]!r} belongs to {sorted(pools)}, the plan says {sorted(s.pools)}"


@remembered
def unit_charges(facts: Facts) -> dict[str, Fraction]:
    """Give what is charged for instances beside rent, by head, USD per hour; for electricity of sites also what load draws."""
    found = {"licence": Fraction(0), "risk": Fraction(0), "power": busy_usd_per_hour(facts)}
    for key, r in facts.rentals.items():
        if key[:2] in facts.sold:
            for head, usd in _beside_rent(facts, *key[:2]).items():
                found[head] += usd * r.instances * facts.weight(r.period)
    for run, _, _, _ in facts.runs:
        for head, usd in _beside_rent(facts, run.offer, run.option).items():
            found[head] += usd * facts.run_use(run)
    return found


@remembered
def instance_usd_per_hour(facts: Facts, offer: str, option: str) -> Fraction:
    """Give what an hour of one instance costs, rent and all that is charged beside it."""
    return fraction(facts.sold[offer, option][1].usd_per_hour) + sum(_beside_rent(facts, offer, option).values(), Fraction(0))


@remembered
def _beside_rent(facts: Facts, label: str, option: str) -> dict[str, Fraction]:
    """Give what is charged beside rent for an hour of one instance, by head."""
    offer = facts.sold[label, option][0]
    found = {"licence": Fraction(0), "risk": Fraction(0), "power": idle_usd_per_hour(facts, offer)}
    for x in facts.instance.licences:
        if isinstance(x, UnitLicence) and offer_fits(x.when, offer, option, facts):
            monthly = fraction(x.usd_per_accelerator_month) * offer.accelerators_per_instance
            found["licence"] += (monthly + fraction(x.usd_per_instance_month)) / MONTH
    for event in facts.instance.interruptions:
        if offer_fits(event.when, offer, option, facts):
            found["risk"] += fraction(event.per_hour) * fraction(event.usd_each)
    return found


def charge_quality(facts: Facts, head: str) -> Quality:
    """Give the quality of the unit charges of a head: the worst of their rates."""
    if head == "power":
        return facts.instance.power_quality
    entries = facts.instance.licences if head == "licence" else facts.instance.interruptions
    return worst(entry.quality for entry in entries)


@remembered
def heads(facts: Facts) -> dict[str, Fraction]:
    """Give the whole bill by head, worked out anew, USD per hour."""
    found = {"compute": facts.rent, "transfer": transfer_usd_per_hour(facts), **unit_charges(facts)}
    for due, _ in _expected(facts).values():
        found[due.head] = found.get(due.head, Fraction(0)) + due.usd_per_hour
    found["setup"] = found.get("setup", Fraction(0)) + sum(change_charges(facts).values(), Fraction(0))
    found["risk"] += sum(risk_charges(facts).values(), Fraction(0))
    return found
