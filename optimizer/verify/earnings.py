"""What is left unserved and what workloads earn: allowed, priced and added up anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog import Quality
from optimizer.instance import HOURS_PER_MONTH, BatchWorkload, Revenue, ServingWorkload
from optimizer.plan import Earning, TrainingRun, Unserved
from optimizer.verify.facts import MONEY_TOLERANCE, Facts, differs, fraction, grouped, remembered

__all__ = ["earnings_rule", "lost_revenue", "penalties", "risk_charges", "unserved_rule", "unserved_share"]

MONTH = Fraction(HOURS_PER_MONTH)


def unserved_share(facts: Facts, workload: str, request_class: str, period: str | None) -> Fraction:
    """Give the share of a class in a period (of a volume, whatever the period) that the plan leaves unserved."""
    mine = facts.unserved.get((workload, request_class), ())
    return sum((fraction(u.share) for u in mine if period in (None, u.period)), Fraction(0))


def _requests(facts: Facts, u: Unserved) -> Fraction | None:
    """Give all requests of what an entry speaks of, per hour of the month; None where there are none."""
    found = facts.class_named.get((u.workload, u.request_class))
    if found is None or u.period not in facts.month_share:
        return None
    if u.workload in facts.instance.batches:
        return _all_requests(facts, u.workload)
    return fraction(found.rate.at(u.period)) * 3600 * facts.month_share[u.period]


@remembered
def _all_requests(facts: Facts, name: str) -> Fraction:
    """Give all requests of a workload per hour of the month."""
    asked = facts.instance.named[name]
    if isinstance(asked, BatchWorkload):
        return fraction(asked.volume_requests) * fraction(asked.window(facts.instance.periods)[0].per_month) / MONTH
    if not isinstance(asked, ServingWorkload):
        return Fraction(0)
    weights = facts.month_share.items()
    return sum((fraction(c.rate.at(p)) * 3600 * share for c in asked.classes for p, share in weights), Fraction(0))


def _each(r: Revenue | None) -> Fraction:
    if r is None:
        return Fraction(0)
    return fraction(r.usd_per_request) + fraction(r.impressions_per_request) * fraction(r.usd_per_thousand_impressions) / 1000


def unserved_rule(facts: Facts) -> Iterator[str]:
    """Check that no more is left unserved than may be, and that its requests, cost and lost revenue are as told."""
    keys = [(u.workload, u.request_class, u.period) for u in facts.plan.unserved]
    if len(set(keys)) < len(keys):
        yield "a share is told unserved twice"
    for u in facts.plan.unserved:
        workload, requests = facts.workloads.get(u.workload), _requests(facts, u)
        if workload is None or workload.shedding is None or requests is None:
            yield f"{u.workload}/{u.request_class} in {u.period}: nothing of it may be left unserved"
            continue
        share, shed = fraction(u.share), workload.shedding
        if share > fraction(shed.max_unserved_fraction):
            most = shed.max_unserved_fraction
            yield f"{u.workload}/{u.request_class}: {u.share} is unserved in {u.period}, at most {most} may be"
        for name, told, exact in (
            ("requests", u.requests_per_hour, requests * share),
            ("cost, USD/h", u.usd_per_hour, requests * share * fraction(shed.usd_per_request)),
            ("lost revenue, USD/h", u.lost_revenue_usd_per_hour, requests * share * _each(workload.revenue)),
        ):
            if differs(told, exact) or u.quality is not shed.quality:
                yield f"{u.workload}/{u.request_class} in {u.period}: unserved {name} {float(exact)}, the plan says {told}"


@remembered
def risk_charges(facts: Facts) -> dict[Quality, Fraction]:
    """Give what is paid for unserved requests and expected penalties, USD per hour, by the quality of the figures."""
    found = {quality: Fraction(0) for quality in Quality}
    for u in facts.plan.unserved:
        workload, requests = facts.workloads.get(u.workload), _requests(facts, u)
        if workload is not None and workload.shedding is not None and requests is not None:
            found[workload.shedding.quality] += requests * fraction(u.share) * fraction(workload.shedding.usd_per_request)
    for w in facts.instance.workloads:
        if w.penalty is not None:
            found[w.penalty.quality] += _penalty(facts, w.name)
    return found


def _penalty(facts: Facts, name: str) -> Fraction:
    penalty = facts.instance.named[name].penalty
    return Fraction(0) if penalty is None else fraction(penalty.usd_each) * fraction(penalty.expected_per_month) / MONTH


@remembered
def penalties(facts: Facts) -> Fraction:
    """Give all expected penalties, USD per hour."""
    return sum((_penalty(facts, w.name) for w in facts.instance.workloads), Fraction(0))


def lost_revenue(facts: Facts) -> Fraction:
    """Give what unserved requests do not earn, USD per hour."""
    return sum(_lost_by_workload(facts).values(), Fraction(0))


@remembered
def _lost_by_workload(facts: Facts) -> dict[str, Fraction]:
    """Give what the unserved requests of each workload do not earn, USD per hour."""
    found: dict[str, Fraction] = {}
    for u in facts.plan.unserved:
        workload, requests = facts.workloads.get(u.workload), _requests(facts, u)
        if workload is not None and requests is not None:
            lost = requests * fraction(u.share) * _each(workload.revenue)
            found[u.workload] = found.get(u.workload, Fraction(0)) + lost
    return found


def earnings_rule(facts: Facts) -> Iterator[str]:
    """Check that revenue, own costs and margin of each workload, and the profit of all, are as told."""
    plan, told = facts.plan, {e.workload: e for e in facts.plan.earnings}
    speaking = {w.name for w in facts.instance.workloads if w.revenue or w.shedding or w.penalty}
    if set(told) != speaking or len(told) != len(plan.earnings):
        yield f"earnings of {sorted(told)} are told, of {sorted(speaking)} expected"
        return
    revenue = sum((_revenue(facts, name) for name in speaking), Fraction(0))
    for name in speaking:
        yield from _wrong(facts, told[name])
    earns = any(w.revenue is not None for w in facts.instance.workloads)
    if (plan.revenue_usd_per_hour is not None, plan.profit_usd_per_hour is not None) != (earns, earns):
        yield "revenue and profit are told where some workload earns, and only there"
    elif plan.revenue_usd_per_hour is not None and plan.profit_usd_per_hour is not None:
        scale = max(revenue, fraction(plan.usd_per_hour), Fraction(1, 10**6)) * MONEY_TOLERANCE
        profit = revenue - fraction(plan.usd_per_hour)
        if abs(fraction(plan.revenue_usd_per_hour) - revenue) > scale or abs(fraction(plan.profit_usd_per_hour) - profit) > scale:
            yield f"{float(revenue)} USD/h are earned, a profit of {float(profit)}, the plan tells otherwise"


@remembered
def _revenue(facts: Facts, name: str) -> Fraction:
    """Give what a workload earns with what is served of it, USD per hour."""
    r = facts.instance.named[name].revenue
    if r is None:
        return Fraction(0)
    monthly = fraction(r.subscribers) * fraction(r.usd_per_subscriber_month) + fraction(r.contract_usd_per_month)
    return _all_requests(facts, name) * _each(r) + monthly / MONTH - _lost_by_workload(facts).get(name, Fraction(0))


@remembered
def _by_workload(facts: Facts) -> dict[str, list[Unserved]]:
    return grouped(facts.plan.unserved, lambda u: u.workload)


@remembered
def _by_job(facts: Facts) -> dict[str, list[TrainingRun]]:
    return grouped(facts.plan.training, lambda run: run.job)


def _wrong(facts: Facts, told: Earning) -> Iterator[str]:
    """Compare what a plan tells of one workload's earnings."""
    name, unserved, runs = told.workload, _by_workload(facts), _by_job(facts)
    own = sum((fraction(w.usd_per_hour) for w in facts.told.get(name, ())), Fraction(0))
    routes = facts.routes_of.get(name, ())
    own += sum((fraction(r.transfer_usd_per_hour) * facts.weight(r.period) for r in routes), Fraction(0))
    own += sum((fraction(run.usd_per_hour) for run in runs.get(name, ())), Fraction(0))
    shed = sum((fraction(u.usd_per_hour) for u in unserved.get(name, ())), Fraction(0))
    revenue, penalty = _revenue(facts, name), _penalty(facts, name)
    lost = _lost_by_workload(facts).get(name, Fraction(0))
    scale = max(revenue + lost, own + shed + penalty, Fraction(1, 10**6)) * MONEY_TOLERANCE
    for what, said, exact in (
        ("revenue", told.revenue_usd_per_hour, revenue),
        ("own cost", told.own_usd_per_hour, own),
        ("unserved", told.unserved_usd_per_hour, shed),
        ("penalties", told.penalty_usd_per_hour, penalty),
        ("margin", told.margin_usd_per_hour, revenue - own - shed - penalty),
    ):
        if abs(fraction(said) - exact) > scale:
            yield f"{name}: {what} {float(exact)} USD/h, the plan says {said}"
