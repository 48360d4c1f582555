"""Is there enough rented, and no more than may be: instances and limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise

from optimizer.catalog import Offer, Price
from optimizer.instance import HOURS_PER_MONTH, Limit, Match, ServingWorkload
from optimizer.plan import Deployment, LimitUse, Rental
from optimizer.verify.changes import commitments_kept
from optimizer.verify.charges import heads, instance_usd_per_hour
from optimizer.verify.energy import busy_usd_per_hour, cap_failures
from optimizer.verify.facts import COMMITTED, Facts, differs, fraction, grouped, remembered
from optimizer.verify.matching import offer_fits, replica_fits


def instances_rule(facts: Facts) -> Iterator[str]:
    """Instances hold the replicas that run on them, and no instance is rented for nothing."""
    used: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    sizes: dict[tuple[str, str], set[Fraction]] = defaultdict(set)
    for d in facts.plan.deployments:
        used[d.offer, d.option, d.period] += d.replicas * d.accelerators
        sizes[d.offer, d.option].add(d.accelerators)
    held, running = _held_by_runs(facts)
    if len(facts.rentals) != len(facts.plan.rentals):
        yield "an offer is rented in two lines"
    for key in (used.keys() | held.keys()) - facts.rentals.keys():
        yield f"{key[0]} {key[1]}: replicas run there in {key[2]} and nothing is rented"
    for key, r in facts.rentals.items():
        offer = facts.sold[key[:2]][0] if key[:2] in facts.sold else None
        size = offer.accelerators_per_instance if offer is not None else r.accelerators_per_instance
        named = facts.instance.accelerators[offer.accelerator].name if offer is not None else r.accelerator
        working = used[key] + running[key]
        if fraction(r.accelerators_used) != working or (r.accelerators_per_instance, r.accelerator) != (size, named):
            yield f"{r.offer} {r.option}: {working} of {size} {named} each are used in {r.period}, the plan tells otherwise"
        needed = _needed(used, held, key, size, facts)
        if r.instances != needed:
            yield f"{r.offer} {r.option}: {needed} instances are needed in {r.period}, not {r.instances}"
        if r.instances > facts.available.get(r.offer, r.instances):
            yield f"{r.offer}: {r.instances} hosts, there are {facts.available[r.offer]}"
        chain = [*sorted(sizes[key[:2]]), Fraction(size)]
        if any(large % small for small, large in pairwise(chain)):
            yield f"{r.offer} {r.option}: replicas of {chain[:-1]} do not pack into {size}"
    yield from _uneven(facts)


def _needed(
    used: Mapping[tuple[str, str, str], Fraction],
    held: Counter[tuple[str, str, str]],
    key: tuple[str, str, str],
    size: int,
    facts: Facts,
) -> int:
    """Give the instances to rent: for what is in use, or in whole lots for a commitment the most in any period, jobs included."""
    if key[1] not in COMMITTED:
        return -(-used.get(key, Fraction(0)) // size)
    needed = (
        -(-used.get((key[0], key[1], period), Fraction(0)) // size) + held[key[0], key[1], period] for period in facts.month_share
    )
    lot = facts.sold[key[:2]][1].lot if key[:2] in facts.sold else 1
    return -(-max(commitments_kept(facts.plan.change).get(key[:2], 0), *needed) // lot) * lot


def _held_by_runs(facts: Facts) -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str, str]]]:
    """Count the instances of commitments that training jobs occupy, and the accelerators at work there."""
    held: Counter[tuple[str, str, str]] = Counter()
    running: Counter[tuple[str, str, str]] = Counter()
    for run in facts.plan.training:
        for period in run.periods if run.option in COMMITTED else ():
            held[run.offer, run.option, period] += run.instances * run.gangs_at_once
            running[run.offer, run.option, period] += run.gang * run.gangs_at_once
    return held, running


def _uneven(facts: Facts) -> Iterator[str]:
    """Tell commitments that are not held in every period."""
    held = Counter(key[:2] for key in facts.rentals if key[1] in COMMITTED)
    yield from (f"{o} {x}: committed, but not held in every period" for (o, x), n in held.items() if n != len(facts.month_share))


def _used(limit: Limit, facts: Facts) -> tuple[Fraction, int]:
    """Count the accelerators and the instances a limit counts, in the period that uses most of each."""
    counts = [_used_in(limit, period, facts) for period in facts.month_share]
    return max(a for a, _ in counts), max(i for _, i in counts)


@remembered
def _rented(facts: Facts) -> dict[str, list[tuple[Rental, Offer]]]:
    """Give what is rented in each period, with its offer."""
    known = ((r, facts.sold[key[:2]][0]) for key, r in facts.rentals.items() if key[:2] in facts.sold)
    return grouped(known, lambda rented: rented[0].period)


@remembered
def _running(facts: Facts) -> dict[str, list[tuple[Deployment, ServingWorkload, Offer, Price]]]:
    """Give what runs in each period, with its owner, offer and price."""
    return grouped(facts.known, lambda known: known[0].period)


def _used_in(limit: Limit, period: str, facts: Facts) -> tuple[Fraction, int]:
    rented = _rented(facts).get(period, [])
    mine = [(r, o) for r, o in rented if offer_fits(limit.match, o, r.option, facts)]
    fits = [(x, w, o) for x, w, o, _ in facts.runs if period in x.periods and offer_fits(limit.match, o, x.option, facts)]
    by_use = [(x.instances * x.gangs_at_once, o) for x, _, o in fits if x.option not in COMMITTED]
    accelerators = Fraction(sum(r.instances * o.accelerators_per_instance for r, o in mine))
    accelerators += sum(n * o.accelerators_per_instance for n, o in by_use)
    if limit.match.speaks_of_replicas:
        known = _running(facts).get(period, [])
        there = [(d, w) for d, w, o, p in known if offer_fits(limit.match, o, p.option.value, facts)]
        accelerators = sum((d.replicas * d.accelerators for d, w in there if replica_fits(limit.match, d, w)), Fraction(0))
        accelerators += sum(x.gang * x.gangs_at_once for x, w, _ in fits if replica_fits(limit.match, x, w))
    return accelerators, sum(r.instances for r, _ in mine) + sum(n for n, _ in by_use)


def limits_rule(facts: Facts) -> Iterator[str]:
    """No limit is exceeded, and the plan tells what each uses."""
    told = {(x.name, x.unit): x for x in facts.plan.limits}
    for limit in facts.instance.all_limits:
        accelerators, instances = _used(limit, facts)
        for unit, used, most in (
            ("accelerators", accelerators, limit.max_accelerators),
            ("instances", instances, limit.max_instances),
        ):
            if most is None:
                continue
            if used > fraction(most):
                yield f"{limit.name!r}: {used} {unit}, at most {most:g}"
            entry = told.pop((limit.name, unit), None)
            if entry is None or (entry.used, entry.most, entry.quality, entry.reason) != (
                used,
                most,
                limit.quality,
                limit.reason,
            ):
                yield f"{limit.name!r}: {used} of {most:g} {unit} are used, the plan tells otherwise"
            elif entry.binding and used + _largest(limit, facts) <= fraction(most):
                yield f"{limit.name!r}: is told to bind with room to spare"
    for limit in facts.instance.all_limits:
        yield from cap_failures(limit, facts, told)
        if limit.max_usd_per_month is not None:
            yield from _budget(limit, facts, told.pop((limit.name, "USD/month"), None))
    yield from (f"the plan tells a limit {name!r} in {unit} that is not there" for name, unit in told)


def _budget(limit: Limit, facts: Facts, entry: LimitUse | None) -> Iterator[str]:
    """Tell a budget that is overspent (by more than a millionth, a solver's tolerance) or told wrongly."""
    spent, most = _spent(limit, facts) * Fraction(HOURS_PER_MONTH), fraction(limit.max_usd_per_month or 0.0)
    if spent > most * (1 + Fraction(1, 10**6)):
        yield f"{limit.name!r}: {float(spent):.2f} USD a month, at most {float(most):.2f}"
    told = None if entry is None else (entry.most, entry.quality, entry.reason)
    if entry is None or differs(entry.used, spent) or told != (limit.max_usd_per_month, limit.quality, limit.reason):
        yield f"{limit.name!r}: {float(spent):.2f} of {float(most):.2f} USD a month are spent, the plan tells otherwise"


def _spent(limit: Limit, facts: Facts) -> Fraction:
    """Give what a budget covers of the bill, USD per hour."""
    if limit.match == Match():
        return sum(heads(facts).values(), Fraction(0))
    total = busy_usd_per_hour(facts, limit)
    if not limit.match.speaks_of_replicas:
        for key, r in facts.rentals.items():
            if key[:2] in facts.sold and offer_fits(limit.match, facts.sold[key[:2]][0], r.option, facts):
                total += instance_usd_per_hour(facts, *key[:2]) * r.instances * facts.weight(r.period)
        mine = [run for run, _, o, _ in facts.runs if offer_fits(limit.match, o, run.option, facts)]
        return sum((instance_usd_per_hour(facts, run.offer, run.option) * facts.run_use(run) for run in mine), total)
    for d, w, o, p in facts.known:
        if offer_fits(limit.match, o, p.option.value, facts) and replica_fits(limit.match, d, w):
            share = d.replicas * d.accelerators / o.accelerators_per_instance
            total += instance_usd_per_hour(facts, o.label, p.option.value) * share * facts.weight(d.period)
    for run, job, o, _ in facts.runs:
        if offer_fits(limit.match, o, run.option, facts) and replica_fits(limit.match, run, job):
            hours = fraction(run.hours) * fraction(job.runs_per_month) / Fraction(HOURS_PER_MONTH)
            total += instance_usd_per_hour(facts, run.offer, run.option) * run.instances * hours
    return total


def _largest(limit: Limit, facts: Facts) -> int:
    """Give the size of the largest instance a limit counts."""
    sizes = [s.offer.accelerators_per_instance for s in facts.paid.values() if offer_fits(limit.match, s.offer, s.option, facts)]
    return max(sizes, default=1)
