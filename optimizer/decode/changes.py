"""What changes, from one period to the next and against the plan in force, and what each change costs, exactly."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from optimizer.catalog import Quality, worst
from optimizer.compile import CandidateTable, Compiled
from optimizer.decode.counts import Choice
from optimizer.instance import HOURS_PER_MONTH
from optimizer.plan import ChangeUse, Commitment, PeriodChange

__all__ = ["change_use", "period_changes"]


def period_changes(compiled: Compiled, choice: Choice, pool_name: Callable[[int], str]) -> tuple[PeriodChange, ...]:
    """Tell every start and stop that is priced."""
    columns, table, replicas = compiled.columns, compiled.candidates, choice.replicas
    starts, prices, found = columns.starts, columns.changes.starts, []
    for j in sorted(np.flatnonzero(starts.of_replicas(replicas)).tolist(), key=lambda j: int(starts.now[j])):
        now, before = int(starts.now[j]), int(starts.before[j])
        o, t = int(columns.replica_offer[now]), int(columns.replica_period[now])
        k = int(columns.pool_candidate[columns.replica_pool[now]])
        charged = np.flatnonzero(prices.candidate[:, k] & prices.offer[:, o])
        entries, rent = [prices.entries[e] for e in charged], Fraction(repr(table.offers.prices[o].usd_per_hour))
        rent = Fraction(0) if table.offers.committed[o] else rent * Fraction(float(table.size[k])) / int(table.offers.size[o])
        up = starts.sign[j] > 0
        each = [Fraction(repr(e.usd_per_start)) + Fraction(repr(e.warm_up_hours)) * rent for e in entries]
        each = each if up else [Fraction(repr(e.usd_per_stop)) for e in entries]
        often = Fraction(repr(table.instance.periods[t].per_month)) / Fraction(HOURS_PER_MONTH)
        usd = sum(each, Fraction(0)) * abs(int(replicas[now]) - int(replicas[before])) * often
        place = (pool_name(int(columns.replica_pool[now])), table.offers.offers[o].label, table.offers.prices[o].option.value)
        found.append(
            _changed(
                place, table.instance.periods[t].name, replicas[before], replicas[now], usd, worst(e.quality for e in entries)
            )
        )
    return tuple(found)


def change_use(compiled: Compiled, choice: Choice, pool_name: Callable[[int], str]) -> ChangeUse | None:
    """Tell everything that differs from the plan in force; None where no policy compares."""
    columns, table = compiled.columns, compiled.candidates
    if (in_force := columns.changes.in_force) is None:
        return None
    policy, periods = in_force.policy, table.instance.periods
    share = [Fraction(repr(p.hours)) * Fraction(repr(p.per_month)) / Fraction(HOURS_PER_MONTH) for p in periods]

    def told(place: tuple[str, str, str], t: int, before: int, after: int) -> PeriodChange:
        each = Fraction(repr(policy.usd_per_replica_start if after > before else policy.usd_per_replica_stop))
        usd = each * abs(after - before) * share[t] / Fraction(repr(policy.horizon_hours))
        return _changed(place, periods[t].name, before, after, usd, policy.quality)

    moves, moved = [], columns.moves
    for j in sorted(np.flatnonzero(moved.of_replicas(choice.replicas)).tolist(), key=lambda j: int(moved.now[j])):
        now = int(moved.now[j])
        o, pool = int(columns.replica_offer[now]), int(columns.replica_pool[now])
        place = (pool_name(pool), *_sold(table, o))
        moves.append(told(place, int(columns.replica_period[now]), int(moved.held[j]), int(choice.replicas[now])))
    gone = [
        told((h.pool, h.offer_label, h.option), int(t), int(h.replicas[t]), 0)
        for h in columns.gone
        for t in np.flatnonzero(h.replicas)
    ]
    weight = dict(zip((p.name for p in periods), share, strict=True))
    up, down = (sum((max(s * (c.after - c.before), 0) * weight[c.period] for c in (*moves, *gone)), Fraction(0)) for s in (1, -1))
    held = sum((int(n) * w for h in in_force.held for n, w in zip(h.replicas, share, strict=True)), Fraction(0))
    running = zip(choice.replicas.tolist(), columns.replica_period.tolist(), strict=True)
    both = held + sum((n * share[t] for n, t in running), Fraction(0))
    usd_per_hour = sum((Fraction(repr(c.usd_per_hour)) for c in (*moves, *gone)), Fraction(0))
    kept = [(int(o), int(in_force.committed[o])) for o in np.flatnonzero(in_force.committed)]
    return ChangeUse(
        plan_in_force=in_force.plan_hash,
        moves=tuple(moves),
        gone=tuple(gone),
        started=float(up),
        stopped=float(down),
        changed_fraction=float((up + down) / max(both, Fraction(1, 10**9))),
        usd=float(usd_per_hour * Fraction(repr(policy.horizon_hours))),
        usd_per_hour=float(usd_per_hour),
        saving_asked_usd_per_hour=columns.changes.saving_usd_per_hour if moves else 0.0,
        commitments=tuple(Commitment(offer=_sold(table, o)[0], option=_sold(table, o)[1], instances=n) for o, n in kept),
    )


def _sold(table: CandidateTable, o: int) -> tuple[str, str]:
    return table.offers.offers[o].label, table.offers.prices[o].option.value


def _changed(
    place: tuple[str, str, str], period: str, before: int, after: int, usd_per_hour: Fraction, quality: Quality
) -> PeriodChange:
    pool, offer, option = place
    return PeriodChange(
        pool=pool,
        offer=offer,
        option=option,
        period=period,
        before=int(before),
        after=int(after),
        usd_per_hour=float(usd_per_hour),
        quality=quality,
    )
