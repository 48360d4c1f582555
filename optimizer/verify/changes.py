"""What changes, from one period to the next and against the plan in force, and what it costs: worked out anew."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from fractions import Fraction

from optimizer.catalog import Quality, worst
from optimizer.instance import HOURS_PER_MONTH, ChangePolicy
from optimizer.plan import ChangeUse, Deployment, PeriodChange
from optimizer.verify.facts import COMMITTED, Facts, differs, fraction, remembered
from optimizer.verify.matching import pool_fits

__all__ = ["beside_bill", "change_charges", "changes_rule", "commitments_kept", "starts_rule"]

Key = tuple[str, str, str, str]
Due = dict[Key, tuple[int, int, Fraction, Quality]]
MONTH = Fraction(HOURS_PER_MONTH)
BUDGET_TOLERANCE = Fraction(1, 10**6)
"""Relative excess over a limit on changes that a solver's tolerance may leave."""


@remembered
def _starts(facts: Facts) -> Due:
    """Give (before, after, USD per hour, quality) of each change between periods that costs something."""
    counts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    samples = {}
    for d, w, o, p in facts.known:
        counts[d.pool, d.offer, d.option][d.period] = d.replicas
        samples[d.pool, d.offer, d.option] = (d, w, o, p)
    found = {}
    for place, by_period in counts.items():
        d, w, o, p = samples[place]
        entries = [s for s in facts.instance.starts if pool_fits(s.when, d, w, o, facts)]
        share = (0 if d.option in COMMITTED else d.accelerators) / Fraction(o.accelerators_per_instance)
        rent = fraction(p.usd_per_hour) * share
        up = sum((fraction(s.usd_per_start) + fraction(s.warm_up_hours) * rent for s in entries), Fraction(0))
        down = sum((fraction(s.usd_per_stop) for s in entries), Fraction(0))
        for previous, period in zip((facts.instance.periods[-1], *facts.instance.periods), facts.instance.periods, strict=False):
            before, after = by_period.get(previous.name, 0), by_period.get(period.name, 0)
            usd = (up if after > before else down) * abs(after - before) * fraction(period.per_month) / MONTH
            if usd:
                found[(*place, period.name)] = (before, after, usd, worst(s.quality for s in entries))
    return found


def starts_rule(facts: Facts) -> Iterator[str]:
    """Check that exactly the changes between periods that cost something are told, at the instance's prices."""
    yield from _compared(_starts(facts), facts.plan.starts)


def _compared(due: Due, told: tuple[PeriodChange, ...]) -> Iterator[str]:
    given = {_key(c): c for c in told}
    if len(given) != len(told):
        yield "a change is told twice"
    for key in due.keys() | given.keys():
        if key not in given or key not in due:
            yield f"{key}: {'changes' if key in due else 'no such change'}, the plan tells otherwise"
            continue
        (before, after, usd, quality), c = due[key], given[key]
        if (c.before, c.after, c.quality) != (before, after, quality) or differs(c.usd_per_hour, usd):
            yield f"{key}: {before} to {after} replicas cost {float(usd)} USD/h ({quality}), the plan tells otherwise"


def _key(c: PeriodChange) -> Key:
    return c.pool, c.offer, c.option, c.period


def _counted(deployments: tuple[Deployment, ...], facts: Facts) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for d in deployments:
        if d.period in facts.month_share:
            found[d.pool, d.offer, d.option, d.period] += d.replicas
    return found


def _before_and_after(facts: Facts, use: ChangeUse) -> tuple[Counter[Key], Counter[Key]]:
    """Give replicas in force and in the plan; without the plan in force, what the plan says of the replicas that changed."""
    after = _counted(facts.plan.deployments, facts)
    if facts.plan_in_force is not None:
        return _counted(facts.plan_in_force.deployments, facts), after
    before = after.copy()
    before.update({_key(c): c.before - after[_key(c)] for c in (*use.moves, *use.gone)})
    return before, after


def _moves(facts: Facts, use: ChangeUse, policy: ChangePolicy) -> Due:
    """Give every difference from the plan in force."""
    before, after = _before_and_after(facts, use)
    found = {}
    for key in before.keys() | after.keys():
        change = after[key] - before[key]
        each = fraction(policy.usd_per_replica_start if change > 0 else policy.usd_per_replica_stop)
        if change:
            usd = each * abs(change) * facts.weight(key[3]) / fraction(policy.horizon_hours)
            found[key] = (before[key], after[key], usd, policy.quality)
    return found


def changes_rule(facts: Facts) -> Iterator[str]:
    """Check that exactly what differs from the plan in force is told, at the policy's prices and within its limits."""
    use, policy = facts.plan.change, facts.instance.policy.change
    if use is None or policy is None:
        if use is not None or (policy is not None and facts.plan_in_force is not None):
            yield "changes against a plan in force are told where there are none, or not told"
        return
    yield from _compared(_moves(facts, use, policy), (*use.moves, *use.gone))
    yield from _sums(facts, use, policy)
    running = {(d.pool, d.offer, d.option) for d in facts.plan.deployments}
    yield from (f"{c.pool}: is called gone and runs on {c.offer}" for c in use.gone if (c.pool, c.offer, c.option) in running)
    if facts.plan_in_force is not None:
        if use.plan_in_force != hashlib.sha256(facts.plan_in_force.to_json().encode()).hexdigest():
            yield "the plan names another plan in force"
        if commitments_kept(use) != _to_keep(facts, policy):
            yield "the commitments in force are told wrongly"


def _sums(facts: Facts, use: ChangeUse, policy: ChangePolicy) -> Iterator[str]:
    """Compare the sums that a plan tells of its changes, and its limits."""
    before, after = _before_and_after(facts, use)
    weight = {key: facts.weight(key[3]) for key in before.keys() | after.keys()}
    up = sum((max(after[key] - before[key], 0) * w for key, w in weight.items()), Fraction(0))
    down = sum((max(before[key] - after[key], 0) * w for key, w in weight.items()), Fraction(0))
    both = sum(((before[key] + after[key]) * w for key, w in weight.items()), Fraction(0))
    gone = sum((c.before * facts.weight(c.period) for c in use.gone), Fraction(0))
    usd_per_hour = sum((usd for _, _, usd, _ in _moves(facts, use, policy).values()), Fraction(0))
    asked = fraction(policy.minimum_saving_usd_per_month) / MONTH if use.moves else Fraction(0)
    for name, told, exact in (
        ("replicas started", use.started, up),
        ("replicas stopped", use.stopped, down),
        ("share changed", use.changed_fraction, (up + down) / max(both, Fraction(1, 10**9))),
        ("cost of the change, USD", use.usd, usd_per_hour * fraction(policy.horizon_hours)),
        ("cost of the change, USD/h", use.usd_per_hour, usd_per_hour),
        ("saving asked, USD/h", use.saving_asked_usd_per_hour, asked),
    ):
        if differs(told, exact):
            yield f"{name}: {float(exact)}, the plan says {told}"
    size = {d.pool: d.accelerators for p in (facts.plan_in_force, facts.plan) if p is not None for d in p.deployments}
    moved = sum((abs(c.after - c.before) * size.get(c.pool, 1) * facts.weight(c.period) for c in use.moves), Fraction(0))
    fraction_of_both = None if policy.max_changed_fraction is None else float(fraction(policy.max_changed_fraction) * both)
    for name, found, most in (
        ("replicas", up + down - gone, policy.max_changes),
        ("accelerators", moved, policy.max_changed_accelerators),
        ("replicas, as a share", up + down - gone, fraction_of_both),
    ):
        if most is not None and found > fraction(most) * (1 + BUDGET_TOLERANCE) + BUDGET_TOLERANCE:
            yield f"{float(found)} {name} change, at most {most} may"


def _to_keep(facts: Facts, policy: ChangePolicy) -> dict[tuple[str, str], int]:
    """Give the reserved and owned instances of the plan in force that are still for sale."""
    found: dict[tuple[str, str], int] = {}
    for r in facts.plan_in_force.rentals if facts.plan_in_force is not None and policy.keep_commitments else ():
        sold = facts.sold.get((r.offer, r.option))
        if sold is not None and r.option in COMMITTED:
            age = (date.fromisoformat(facts.instance.as_of) - date.fromisoformat(sold[1].as_of)).days
            if age <= facts.instance.policy.max_price_age_days:
                found[r.offer, r.option] = max(found.get((r.offer, r.option), 0), r.instances)
    return found


def commitments_kept(use: ChangeUse | None) -> dict[tuple[str, str], int]:
    """Give the instances that a plan says it keeps, by offer and option."""
    return {} if use is None else {(c.offer, c.option): c.instances for c in use.commitments}


@remembered
def change_charges(facts: Facts) -> dict[Quality, Fraction]:
    """Give what all changes cost, USD per hour, by the quality of their prices."""
    found = {quality: Fraction(0) for quality in Quality}
    use, policy = facts.plan.change, facts.instance.policy.change
    moves = {} if use is None or policy is None else _moves(facts, use, policy)
    for due in (_starts(facts), moves):
        for _, _, usd, quality in due.values():
            found[quality] += usd
    return found


def beside_bill(facts: Facts) -> Fraction:
    """Give what the objective holds beyond the bill, less what the bill holds whatever is chosen, USD per hour."""
    use, policy = facts.plan.change, facts.instance.policy.change
    if use is None or policy is None:
        return Fraction(0)
    asked = fraction(policy.minimum_saving_usd_per_month) / MONTH if use.moves else Fraction(0)
    each = fraction(policy.usd_per_replica_stop) / fraction(policy.horizon_hours)
    return asked - sum((c.before * facts.weight(c.period) * each for c in use.gone), Fraction(0))
