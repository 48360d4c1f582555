"""What starts and stops from one period to the next, and what it costs, worked out anew from the deployments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog import Quality, worst
from optimizer.instance import HOURS_PER_MONTH
from optimizer.plan import PeriodChange
from optimizer.verify.facts import Facts, differs, fraction
from optimizer.verify.matching import pool_fits

__all__ = ["start_charges", "starts_rule"]

Key = tuple[str, str, str, str]
COMMITTED = ("reserved", "owned")


def _due(facts: Facts) -> dict[Key, tuple[int, int, Fraction, Quality]]:
    """Give (before, after, USD per hour, quality) of each change that costs something, by pool, offer, option and period."""
    counts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    samples = {}
    for d, w, o, p in facts.known:
        counts[d.pool, d.offer, d.option][d.period] = d.replicas
        samples[d.pool, d.offer, d.option] = (d, w, o, p)
    found = {}
    for place, by_period in counts.items():
        d, w, o, p = samples[place]
        entries = [s for s in facts.instance.starts if pool_fits(s.when, d, w, o, facts)]
        share = Fraction(0 if d.option in COMMITTED else d.accelerators_per_replica, o.accelerators_per_instance)
        rent = fraction(p.usd_per_hour) * share
        up = sum((fraction(s.usd_per_start) + fraction(s.warm_up_hours) * rent for s in entries), Fraction(0))
        down = sum((fraction(s.usd_per_stop) for s in entries), Fraction(0))
        for previous, period in zip((facts.instance.periods[-1], *facts.instance.periods), facts.instance.periods, strict=False):
            before, after = by_period.get(previous.name, 0), by_period.get(period.name, 0)
            usd = (up if after > before else down) * abs(after - before) * fraction(period.per_month) / Fraction(HOURS_PER_MONTH)
            if usd:
                found[(*place, period.name)] = (before, after, usd, worst(s.quality for s in entries))
    return found


def start_charges(facts: Facts) -> dict[Quality, Fraction]:
    """Give what starts and stops cost, USD per hour, by the quality of their prices."""
    found = {quality: Fraction(0) for quality in Quality}
    for _, _, usd, quality in _due(facts).values():
        found[quality] += usd
    return found


def starts_rule(facts: Facts) -> Iterator[str]:
    """Check that exactly the changes between periods that cost something are told, at the instance's prices."""
    due, told = _due(facts), {_key(c): c for c in facts.plan.starts}
    if len(told) != len(facts.plan.starts):
        yield "a change between periods is told twice"
    for key in due.keys() | told.keys():
        if key not in told or key not in due:
            yield f"{key}: {'changes' if key in due else 'changes nothing that is priced'}, the plan tells otherwise"
            continue
        (before, after, usd, quality), c = due[key], told[key]
        if (c.before, c.after, c.quality) != (before, after, quality) or differs(c.usd_per_hour, usd):
            yield f"{key}: {before} to {after} replicas cost {float(usd)} USD/h ({quality}), the plan tells otherwise"


def _key(c: PeriodChange) -> Key:
    return c.pool, c.offer, c.option, c.period
