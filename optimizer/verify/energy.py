"""What is drawn and emitted, worked out anew: the electricity of sites, what the plan tells, and the limits on both."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog import Offer
from optimizer.instance import HOURS_PER_MONTH, Limit
from optimizer.plan import LimitUse, TrainingRun
from optimizer.verify.facts import COMMITTED, Facts, differs, fraction, remembered
from optimizer.verify.matching import offer_fits, replica_fits

__all__ = ["busy_usd_per_hour", "cap_failures", "energy_rule", "idle_usd_per_hour"]

Rates = tuple[Fraction, Fraction]
"""What an accelerator adds when it is on, and more when it is busy."""


def _place(offer: Offer) -> str:
    return f"{offer.provider}/{offer.region}"


@remembered
def _kw(facts: Facts, place: str, accelerator: str) -> Rates | None:
    """Give what an accelerator draws at the meter in a place, kW; None where unknown."""
    site, draw = facts.instance.site_at.get(place), facts.instance.draw(place, accelerator)
    if draw is None:
        return None
    pue = fraction((facts.instance.policy.rented_pue if site is None else site.pue).value)
    idle, active = fraction(draw.idle_w), fraction(draw.active_w)
    return idle * pue / 1000, (active - idle) * pue / 1000


@remembered
def _grams(facts: Facts, place: str) -> Fraction | None:
    """Give the carbon of a kWh in a place, gCO2; None where unknown."""
    if (site := facts.instance.site_at.get(place)) is not None:
        return None if site.gco2_per_kwh is None else fraction(site.gco2_per_kwh.value)
    found = [r.gco2_per_kwh for r in facts.instance.catalogs.regions if r.label == place]
    return fraction(found[0]) if found and found[0] is not None else None


def _counted(facts: Facts, offer: Offer, unit: str) -> Rates | None:
    """Give the rates of an offer in kW or gCO2/h; None where unknown."""
    kw = _kw(facts, _place(offer), offer.accelerator)
    grams = Fraction(1) if unit == "kW" else _grams(facts, _place(offer))
    return None if kw is None or grams is None else (kw[0] * grams, kw[1] * grams)


def _usd(facts: Facts, offer: Offer) -> Rates:
    """Give the electricity of an accelerator of an offer, USD per hour; nothing where it is in the rent."""
    site, kw = facts.instance.site_at.get(_place(offer)), _kw(facts, _place(offer), offer.accelerator)
    if site is None or kw is None:
        return Fraction(0), Fraction(0)
    return kw[0] * fraction(site.usd_per_kwh.value), kw[1] * fraction(site.usd_per_kwh.value)


def idle_usd_per_hour(facts: Facts, offer: Offer) -> Fraction:
    """Give the electricity of an instance that is on and without work."""
    return _usd(facts, offer)[0] * offer.accelerators_per_instance


def _fitting(limit: Limit, facts: Facts, offer: Offer) -> bool:
    """Say whether a limit counts load where an offer is: whether it counts any offer of that accelerator there."""
    card = facts.instance.accelerators[offer.accelerator]
    alike = (x for x in facts.sold.values() if _place(x[0]) == _place(offer))
    return any(
        facts.instance.accelerators[o.accelerator] is card and offer_fits(limit.match, o, p.option, facts) for o, p in alike
    )


def _loads(facts: Facts, limit: Limit | None = None) -> Iterator[tuple[Offer, str, Fraction]]:
    """Yield (an offer of the pool, period, accelerators kept busy) of the load that a limit counts, or of all."""
    firsts = {d.pool: (d, w, o) for d, w, o, _ in reversed(facts.known)}
    for (pool, period), load in facts.busy.items():
        if pool in firsts and load:
            d, workload, offer = firsts[pool]
            if limit is None or (replica_fits(limit.match, d, workload) and _fitting(limit, facts, offer)):
                yield offer, period, load * d.accelerators


def _runs(facts: Facts, limit: Limit | None = None) -> Iterator[tuple[TrainingRun, Offer, Fraction]]:
    """Yield (run, offer, share of the month that it works) of the training runs that a limit counts, or of all."""
    for run, job, offer, price in facts.runs:
        if limit is None or (replica_fits(limit.match, run, job) and offer_fits(limit.match, offer, price.option, facts)):
            yield run, offer, fraction(run.hours) * fraction(job.runs_per_month) / Fraction(HOURS_PER_MONTH)


def busy_usd_per_hour(facts: Facts, limit: Limit | None = None) -> Fraction:
    """Give what load and training cost at sites beyond idle draw, in the mean of the month: what a limit counts, or all."""
    served = sum((_usd(facts, o)[1] * busy * facts.weight(t) for o, t, busy in _loads(facts, limit)), Fraction(0))
    return sum((_usd(facts, o)[1] * run.gang * share for run, o, share in _runs(facts, limit)), served)


def energy_rule(facts: Facts) -> Iterator[str]:
    """Check that energy and carbon of each deployment and of the whole plan are as told, and unknown only where they are."""
    replicas: dict[tuple[str, str], int] = {}
    for d in facts.plan.deployments:
        replicas[d.pool, d.period] = replicas.get((d.pool, d.period), 0) + d.replicas
    for d, _, offer, _ in facts.known:
        rental = facts.rentals.get((d.offer, d.option, d.period))
        if rental is None or not rental.accelerators_used:
            continue
        held = rental.instances * offer.accelerators_per_instance / Fraction(rental.accelerators_used)
        busy = facts.busy.get((d.pool, d.period), Fraction(0)) / replicas[d.pool, d.period]
        for unit, told in (("kW", d.kwh_per_hour), ("gCO2/h", d.gco2_per_hour)):
            rates = _counted(facts, offer, unit)
            drawn = None if rates is None else (rates[0] * held + rates[1] * busy) * d.replicas * d.accelerators
            if _otherwise(told, drawn):
                yield f"{d.pool}: {_shown(drawn)} {unit} on {d.offer}, the plan says {told}"
    energy = facts.plan.energy
    told_all = (
        ("kW", energy.kwh_per_hour, energy.energy_known_fraction),
        ("gCO2/h", energy.gco2_per_hour, energy.carbon_known_fraction),
    )
    for unit, told, share in told_all:
        drawn, known = _in_all(facts, unit)
        if _otherwise(told, drawn if known else None) or differs(share, known):
            yield f"{_shown(drawn)} {unit} in all, known for {float(known):.6f}; the plan says {told}, for {share}"


@remembered
def _in_all(facts: Facts, unit: str) -> tuple[Fraction, Fraction]:
    """Give the mean of the month where known, and the share of accelerators in instances for which it is."""
    total, known, held = Fraction(0), Fraction(0), Fraction(0)
    for key, r in facts.rentals.items():
        if key[:2] in facts.sold:
            offer = facts.sold[key[:2]][0]
            count, rates = r.instances * offer.accelerators_per_instance * facts.weight(r.period), _counted(facts, offer, unit)
            held += count
            known += count if rates is not None else 0
            total += count * rates[0] if rates is not None else 0
    loads = [(_counted(facts, o, unit), busy * facts.weight(t)) for o, t, busy in _loads(facts)]
    for run, offer, share in _runs(facts):
        rates, count = _counted(facts, offer, unit), facts.run_use(run) * offer.accelerators_per_instance
        held += count
        known += count if rates is not None else 0
        total += count * rates[0] if rates is not None else 0
        loads.append((rates, run.gang * share))
    total += sum((rates[1] * busy for rates, busy in loads if rates is not None), Fraction(0))
    return total, known / held if held else Fraction(0)


def _otherwise(told: float | None, exact: Fraction | None) -> bool:
    return told is not None if exact is None else told is None or differs(told, exact)


def _shown(figure: Fraction | None) -> str:
    return "an unknown amount" if figure is None else f"{float(figure):.9g}"


def cap_failures(limit: Limit, facts: Facts, told: dict[tuple[str, str], LimitUse]) -> Iterator[str]:
    """Tell a limit on power or carbon that is exceeded (by more than a millionth, a solver's tolerance) or told wrongly."""
    for unit, most in (("kW", limit.max_power_kw), ("gCO2/h", limit.max_gco2_per_hour)):
        if most is None:
            continue
        entry, used = told.pop((limit.name, unit), None), _used(limit, unit, facts)
        if used is None:
            yield f"{limit.name!r}: counts what draws or emits an unknown amount"
            continue
        if used > fraction(most) * (1 + Fraction(1, 10**6)):
            yield f"{limit.name!r}: {float(used):.9g} {unit}, at most {most:g}"
        given = None if entry is None else (entry.most, entry.quality, entry.reason)
        if entry is None or differs(entry.used, used) or given != (most, limit.quality, limit.reason):
            yield f"{limit.name!r}: {float(used):.9g} of {most:g} {unit} are used, the plan tells otherwise"
        elif entry.binding and used + _largest(limit, unit, facts) <= fraction(most):
            yield f"{limit.name!r}: is told to bind with room to spare"


def _used(limit: Limit, unit: str, facts: Facts) -> Fraction | None:
    """Give what a limit on power or carbon counts, in the period that uses most; None where any of it is unknown."""
    used = dict.fromkeys(facts.month_share, Fraction(0))
    entries = [(o, t, busy, 1) for o, t, busy in _loads(facts, limit)]
    for run, offer, _ in _runs(facts, limit):
        working, whole = run.gang * run.gangs_at_once, run.instances * offer.accelerators_per_instance * run.gangs_at_once
        on = working if limit.match.speaks_of_replicas else whole if run.option not in COMMITTED else 0
        entries += [(offer, t, Fraction(n), which) for t in run.periods for n, which in ((working, 1), (on, 0))]
    if limit.match.speaks_of_replicas:
        mine = (
            x for x in facts.known if offer_fits(limit.match, x[2], x[3].option, facts) and replica_fits(limit.match, x[0], x[1])
        )
        entries += [(o, d.period, d.replicas * d.accelerators, 0) for d, _, o, _ in mine]
    else:
        rented = [(r, facts.sold[key[:2]][0]) for key, r in facts.rentals.items() if key[:2] in facts.sold]
        rented = [(r, o) for r, o in rented if offer_fits(limit.match, o, r.option, facts)]
        entries += [(o, r.period, Fraction(r.instances * o.accelerators_per_instance), 0) for r, o in rented]
    for offer, period, accelerators, which in entries:
        rates = _counted(facts, offer, unit)
        if rates is None:
            return None
        used[period] = used.get(period, Fraction(0)) + rates[which] * accelerators
    return max(used.values())


def _largest(limit: Limit, unit: str, facts: Facts) -> Fraction:
    """Give the most that a whole instance which the limit counts would add at full load."""
    mine = (o for o, p in facts.sold.values() if offer_fits(limit.match, o, p.option, facts))
    rates = ((o, _counted(facts, o, unit)) for o in mine)
    return max((sum(x, Fraction(0)) * o.accelerators_per_instance for o, x in rates if x is not None), default=Fraction(0))
