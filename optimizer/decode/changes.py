"""What changes: replicas that start and stop from one period to the next, and what each change costs, exactly."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from optimizer.catalog import worst
from optimizer.compile import Compiled
from optimizer.decode.counts import Choice
from optimizer.instance import HOURS_PER_MONTH
from optimizer.plan import PeriodChange

__all__ = ["period_changes"]


def period_changes(compiled: Compiled, choice: Choice, pool_name: Callable[[int], str]) -> tuple[PeriodChange, ...]:
    """Tell every start and stop that is priced."""
    columns, table, replicas = compiled.columns, compiled.candidates, choice.replicas
    starts, found = columns.starts, []
    for j in sorted(np.flatnonzero(starts.of_replicas(replicas)).tolist(), key=lambda j: int(starts.now[j])):
        now, before = int(starts.now[j]), int(starts.before[j])
        pool, o, t = int(columns.replica_pool[now]), int(columns.replica_offer[now]), int(columns.replica_period[now])
        k = int(columns.pool_candidate[pool])
        charged = np.flatnonzero(starts.prices.candidate[:, k] & starts.prices.offer[:, o])
        entries, rent = [starts.prices.entries[e] for e in charged], Fraction(repr(table.offers.prices[o].usd_per_hour))
        rent = Fraction(0) if table.offers.committed[o] else rent * int(table.size[k]) / int(table.offers.size[o])
        up = starts.sign[j] > 0
        each = [Fraction(repr(e.usd_per_start)) + Fraction(repr(e.warm_up_hours)) * rent for e in entries]
        each = each if up else [Fraction(repr(e.usd_per_stop)) for e in entries]
        often = Fraction(repr(table.instance.periods[t].per_month)) / Fraction(HOURS_PER_MONTH)
        found.append(
            PeriodChange(
                pool=pool_name(pool),
                offer=table.offers.offers[o].label,
                option=table.offers.prices[o].option.value,
                period=table.instance.periods[t].name,
                before=int(replicas[before]),
                after=int(replicas[now]),
                usd_per_hour=float(sum(each, Fraction(0)) * abs(int(replicas[now]) - int(replicas[before])) * often),
                quality=worst(e.quality for e in entries),
            )
        )
    return tuple(found)
