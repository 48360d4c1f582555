"""Is what workloads insure still served after each loss? Every loss is worked out anew from the instance and what is deployed.

A plan tells where requests go after a loss; that is checked as a routing of its own: enough is served, only by what is left, and
no pool carries more than it may. Workloads that are told nothing for a loss keep their routing.
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from optimizer.instance import Aggregation, Loss, Recourse
from optimizer.performance import ReplicaEstimate
from optimizer.plan import Deployment, Route
from optimizer.verify.earnings import unserved_share
from optimizer.verify.facts import LOAD_TOLERANCE, Facts, fraction, grouped, remembered
from optimizer.verify.places import route_usd_per_hour
from optimizer.verify.queues import waits_kept
from optimizer.verify.service import average_kept, kept_of

__all__ = ["redundancy_rule"]

Key = tuple[Loss, str, int]
Routed = list[tuple[str, str, str, Fraction]]
"""(workload, class, pool, share)."""


@dataclass(frozen=True)
class _Struck:
    """A loss that strikes something: the share insured of each workload, and the replicas left by (pool, period)."""

    key: Key
    shares: dict[str, float]
    left: Mapping[tuple[str, str], int]

    @property
    def label(self) -> str:
        kind, lost, count = self.key
        return f"loss of {count} replicas of {lost}" if count else f"loss of {kind} {lost}"


def redundancy_rule(facts: Facts) -> Iterator[str]:
    """Each share that is insured is served after any one loss, within capacity and targets."""
    told: dict[Key, list[Recourse]] = defaultdict(list)
    for r in facts.plan.recourse:
        told[r.event, r.lost, r.replicas].append(r)
    for struck in _losses(facts):
        mine = told.pop(struck.key, [])
        strangers = {r.workload for r in mine} - set(struck.shares)
        yield from (f"{struck.label}: {name} does not insure against it" for name in sorted(strangers))
        routed = {t: _routes(facts, struck, [r for r in mine if r.period == t], t) for t in facts.month_share}
        for period, routes in routed.items():
            yield from _unserved(facts, struck, routes, period)
            yield from _overfull(facts, struck, routes, period)
        yield from _inaccurate(facts, struck, routed)
    yield from (f"loss of {key[0]} {key[1]}: strikes nothing that is insured, the plan tells otherwise" for key in told)


def _losses(facts: Facts) -> Iterator[_Struck]:
    """Give every loss that strikes a pool of a workload that insures against it."""
    asked: dict[tuple[Loss, int], dict[str, float]] = defaultdict(dict)
    for workload in facts.workloads.values():
        for entry in workload.redundancy or ():
            asked[entry.event, entry.count][workload.name] = entry.served_fraction
    for (kind, count), shares in asked.items():
        names: set[str] = set()
        for d in facts.plan.deployments:
            if set(d.workloads) & shares.keys():
                names |= _names(facts, kind, d)
        for name in sorted(names):
            if kind is not Loss.REPLICAS:
                yield _Struck((kind, name, 0), shares, _left(facts, kind, name))
                continue
            whole = _left(facts, kind, "")
            hit = {(name, t): max(whole[name, t] - count, 0) for t in {d.period for d in facts.pools[name]}}
            members = dict.fromkeys(facts.pools[name][0].workloads)
            yield _Struck((kind, name, count), {w: shares[w] for w in members if w in shares}, ChainMap(hit, whole))


@remembered
def _left(facts: Facts, kind: Loss, name: str) -> dict[tuple[str, str], int]:
    """Give the replicas by (pool, period) that the loss of anything but replicas leaves; of replicas, all there are."""
    left: dict[tuple[str, str], int] = defaultdict(int)
    for d in facts.plan.deployments:
        left[d.pool, d.period] += d.replicas * (kind is Loss.REPLICAS or name not in _names(facts, kind, d))
    return dict(left)


def _names(facts: Facts, kind: Loss, d: Deployment) -> set[str]:
    """Name the losses of a kind that strike a deployment."""
    region = f"{d.provider}/{d.region}"
    if kind is Loss.REPLICAS:
        return {d.pool}
    if kind is Loss.REGION:
        return {region}
    if kind is Loss.SPOT:
        return {d.offer} if d.option == "spot" else set()
    return _zones(facts, d.offer, region)


@remembered
def _zones(facts: Facts, label: str, region: str) -> set[str]:
    """Name the zones that an offer may be in: its own, else those of its region, else the region as one."""
    offers = [sold.offer for sold in facts.paid.values()]
    own = {o.zone for o in offers if o.label == label and o.zone is not None}
    zones = own or {o.zone for o in offers if f"{o.provider}/{o.region}" == region and o.zone is not None}
    return {f"{region}/{zone}" for zone in zones} or {region}


def _routes(facts: Facts, struck: _Struck, told: list[Recourse], period: str) -> Routed:
    """Give what is routed after a loss to pools that are left: all of who is insured, and all else in the pools that serve it.

    What stays in other pools stays as the other rules have judged it.
    """
    moved, staying = {r.workload for r in told}, _staying(facts)
    found = [(r.workload, r.request_class, r.pool, fraction(r.share)) for r in told]
    for name in sorted(set(struck.shares) - moved):
        found += staying.get((name, period), [])
    for pool in sorted({pool for _, _, pool, _ in found}):
        others = ((r.workload, r.request_class, r.pool, fraction(r.share)) for r in facts.routes_to.get((pool, period), ()))
        found += [route for route in others if route[0] not in moved and route[0] not in struck.shares]
    return [route for route in found if struck.left.get((route[2], period), 0) > 0]


@remembered
def _staying(facts: Facts) -> dict[tuple[str, str], Routed]:
    """Give the plan's own routing by workload and period."""
    found = grouped(facts.plan.routing, lambda r: (r.workload, r.period))
    return {key: [(r.workload, r.request_class, r.pool, fraction(r.share)) for r in mine] for key, mine in found.items()}


def _unserved(facts: Facts, struck: _Struck, routes: Routed, period: str) -> Iterator[str]:
    served: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for workload, request_class, pool, share in routes:
        d = facts.pools[pool][0]
        route = Route(workload=workload, request_class=request_class, period=period, pool=pool, share=float(share))
        if (workload, request_class) not in facts.classes(d) or route_usd_per_hour(facts, route) is None:
            yield f"{struck.label}: {workload} {request_class} may not be served by {pool}"
        served[workload, request_class] += share
    for name, insured in struck.shares.items():
        for c in facts.workloads[name].classes:
            wanted = fraction(insured) * (1 - unserved_share(facts, name, c.name, period))
            if c.rate.at(period) > 0 and served[name, c.name] < wanted:
                what = f"{float(served[name, c.name]):.9f} of {name} {c.name} is served in {period}, {float(wanted):g} is insured"
                yield f"{struck.label}: {what}"


def _inaccurate(facts: Facts, struck: _Struck, routed: dict[str, Routed]) -> Iterator[str]:
    """Tell insured workloads that would fall below their floor, an average over the month if the loss lasted."""
    for name in struck.shares:
        workload = facts.workloads[name]
        if (floor := workload.accuracy) is None:
            continue
        mine = [(b, t, pool, share) for t, routes in routed.items() for w, b, pool, share in routes if w == name]
        kept = {pool: kept_of(facts, facts.pools[pool][0], floor) for _, _, pool, _ in mine}
        wanted, is_averaged = fraction(floor.floor_fraction_of_baseline), floor.aggregation is Aggregation.TRAFFIC_WEIGHTED
        low = [pool for pool, of in kept.items() if of is None or (of < wanted and not is_averaged)]
        yield from (f"{struck.label}: {pool} does not keep what {name} asks for" for pool in low)
        average = average_kept(facts, workload, kept, mine)
        if average is not None and average < wanted * (1 - LOAD_TOLERANCE):
            yield f"{struck.label}: {name} keeps {float(average):.6f} on average, the floor is {float(wanted):.6f}"


def _overfull(facts: Facts, struck: _Struck, routes: Routed, period: str) -> Iterator[str]:
    """Tell pools that carry insured traffic and more than what is left of them may."""
    cap, load, concerned = fraction(facts.instance.policy.utilization_cap), defaultdict[str, Fraction](Fraction), set[str]()
    for workload, request_class, pool, share in routes:
        d = facts.pools[pool][0]
        owner, key = facts.owner(d), (workload, request_class)
        estimate = None if owner is None else facts.estimate(owner, d)
        if owner is not None and isinstance(estimate, ReplicaEstimate) and key in (asked := facts.classes(d)):
            b = asked[key]
            load[pool] += fraction(owner.classes[b].rate.at(period)) * share / Fraction(float(estimate.rate_per_s[b]))
            concerned |= {pool} if workload in struck.shares else set()
    for pool in sorted(concerned):
        owner, count = facts.owner(facts.pools[pool][0]), struck.left[pool, period]
        estimate = None if owner is None else facts.estimate(owner, facts.pools[pool][0])
        if load[pool] > cap * count * (1 + LOAD_TOLERANCE):
            yield f"{struck.label}: {pool} needs {float(load[pool] / cap):.9f} replicas at the cap in {period}, has {count} left"
        elif (queue := getattr(estimate, "queue", None)) is not None and not all(waits_kept(queue, count, load[pool])):
            yield f"{struck.label}: the {count} servers left of {pool} keep requests waiting too long in {period}"
