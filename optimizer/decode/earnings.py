"""What is left unserved, what that costs, and what each workload earns, exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from optimizer.compile import Compiled
from optimizer.compile.shedding import requests_per_hour
from optimizer.decode.counts import SHARE_UNIT, Choice
from optimizer.instance import HOURS_PER_MONTH, BatchWorkload, Instance, Revenue, TrainingWorkload, Workload
from optimizer.plan import Earning, Route, TrainingRun, Unserved, WorkloadResult

__all__ = ["earnings_of", "unserved_of"]


def unserved_of(compiled: Compiled, choice: Choice) -> tuple[Unserved, ...]:
    """Tell each share that is left unserved."""
    table, found = compiled.candidates, []
    width, periods = table.load.shape[1], len(table.hours_share)
    for at in choice.unserved.nonzero()[0].tolist():
        key = int(compiled.columns.shed.demand[at])
        workload = table.workloads[key // (width * periods)]
        name, period = workload.classes[key // periods % width].name, table.instance.periods[key % periods].name
        requests = requests_per_hour(table.instance, workload.name, name, period)
        share = Fraction(int(choice.unserved[at]), SHARE_UNIT)
        assert workload.shedding is not None
        found.append(
            Unserved(
                workload=workload.name,
                request_class=name,
                period=period,
                share=float(share),
                requests_per_hour=float(requests * share),
                usd_per_hour=float(requests * share * Fraction(repr(workload.shedding.usd_per_request))),
                lost_revenue_usd_per_hour=float(requests * share * _each(workload.revenue)),
                quality=workload.shedding.quality,
            )
        )
    return tuple(found)


def earnings_of(
    instance: Instance,
    workloads: Sequence[WorkloadResult],
    routing: Sequence[Route],
    training: Sequence[TrainingRun],
    unserved: Sequence[Unserved],
) -> tuple[Earning, ...]:
    """Tell what each workload earns and costs that states revenue, shedding or a penalty."""
    share = {p.name: Fraction(repr(p.hours)) * Fraction(repr(p.per_month)) / Fraction(HOURS_PER_MONTH) for p in instance.periods}
    lost_of, cost_of = defaultdict[str, list[Unserved]](list), {x.name: Fraction(repr(x.usd_per_hour)) for x in workloads}
    for x in unserved:
        lost_of[x.workload].append(x)
    own_of = defaultdict[str, Fraction](Fraction, cost_of)
    for r in routing:
        if r.transfer_usd_per_hour:
            own_of[r.workload] += Fraction(repr(r.transfer_usd_per_hour)) * share[r.period]
    for run in training:
        own_of[run.job] += Fraction(repr(run.usd_per_hour))
    found = []
    for w in sorted(instance.workloads, key=lambda w: w.name):
        if w.revenue is None and w.shedding is None and w.penalty is None:
            continue
        lost, own = lost_of[w.name], own_of[w.name]
        revenue = Fraction(repr(_all_served(instance, w))) - sum(Fraction(repr(x.lost_revenue_usd_per_hour)) for x in lost)
        revenue = max(revenue, Fraction(0))  # both are rounded
        shed = sum((Fraction(repr(x.usd_per_hour)) for x in lost), Fraction(0))
        breaches = Fraction(0)
        if w.penalty is not None:
            breaches = (
                Fraction(repr(w.penalty.usd_each)) * Fraction(repr(w.penalty.expected_per_month)) / Fraction(HOURS_PER_MONTH)
            )
        found.append(
            Earning(
                workload=w.name,
                revenue_usd_per_hour=float(revenue),
                own_usd_per_hour=float(own),
                unserved_usd_per_hour=float(shed),
                penalty_usd_per_hour=float(breaches),
                margin_usd_per_hour=float(revenue - own - shed - breaches),
            )
        )
    return tuple(found)


def _each(revenue: Revenue | None) -> Fraction:
    """Give what one served request earns, USD."""
    if revenue is None:
        return Fraction(0)
    thousand = Fraction(repr(revenue.impressions_per_request)) * Fraction(repr(revenue.usd_per_thousand_impressions))
    return Fraction(repr(revenue.usd_per_request)) + thousand / 1000


def _all_served(instance: Instance, workload: Workload) -> float:
    """Give what a workload earns if all of it is served, USD per hour."""
    if (r := workload.revenue) is None:
        return 0.0
    monthly = Fraction(repr(r.subscribers)) * Fraction(repr(r.usd_per_subscriber_month)) + Fraction(
        repr(r.contract_usd_per_month)
    )
    requests = Fraction(0)
    if isinstance(workload, BatchWorkload):
        requests = requests_per_hour(instance, workload.name, "volume", "")
    elif not isinstance(workload, TrainingWorkload):
        places = [(c.name, p.name) for c in workload.classes for p in instance.periods]
        requests = sum((requests_per_hour(instance, workload.name, c, p) for c, p in places), Fraction(0))
    return float(requests * _each(r) + monthly / Fraction(HOURS_PER_MONTH))
