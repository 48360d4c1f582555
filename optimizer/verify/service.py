"""Does every workload get what it asks for: configurations, accuracy, latency, traffic and capacity."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from math import isclose

from optimizer.catalog import Option, worst
from optimizer.instance import AccuracyFloor, Aggregation, ServingWorkload
from optimizer.plan import Deployment
from optimizer.verify.earnings import unserved_share
from optimizer.verify.facts import LOAD_TOLERANCE, Facts, differs, fraction, remembered


def configuration_rule(facts: Facts) -> Iterator[str]:
    """Every configuration can serve its workload, on the evidence the plan names, on an accelerator its offer has."""
    for d, workload, offer, _ in facts.known:
        answer = facts.estimate(workload, d)
        if isinstance(answer, str):
            yield f"{d.pool}: {answer}"
        elif answer.basis != d.basis:
            yield f"{d.pool}: rests on {answer.basis!r}, the plan says {d.basis!r}"
        if facts.instance.accelerators[offer.accelerator] is not facts.instance.accelerators.get(d.accelerator):
            yield f"{d.pool}: {d.offer} has {offer.accelerator}, not {d.accelerator}"


def quality_rule(facts: Facts) -> Iterator[str]:
    """Every figure is as good as its workload demands, and the plan says how good."""
    for d, workload, _, price in facts.known:
        answer = facts.estimate(workload, d)
        if isinstance(answer, str):
            continue
        for member in facts.members(d):
            if answer.quality not in member.allowed_quality:
                yield f"{d.pool}: rests on {answer.quality} figures, which {member.name} does not allow"
        if d.quality is not worst([answer.quality, price.quality]):
            yield f"{d.pool}: quality is {worst([answer.quality, price.quality])}, the plan says {d.quality}"


def kept_of(facts: Facts, d: Deployment, floor: AccuracyFloor) -> Fraction | None:
    """Give the share of the baseline that a deployment keeps; None where it is not known."""
    variant = facts.instance.models[d.model].variant(d.precision, d.compression) if d.model in facts.instance.models else None
    if variant is None or variant.is_baseline:
        return None if variant is None else Fraction(1)
    rows = [a for a in variant.accuracy if (a.metric, a.evaluation) == (floor.metric, floor.evaluation)]
    return min((fraction(a.kept_fraction) for a in rows), default=None)


def accuracy_rule(facts: Facts) -> Iterator[str]:
    """Accuracy floors hold, per request or on average, and the plan tells what is kept."""
    for name, workload in facts.workloads.items():
        floor = workload.accuracy
        told = facts.told.get(name, [])
        if floor is None:
            yield from (f"{name}: has no floor, the plan tells one" for w in told if w.accuracy_floor is not None)
            continue
        wanted = fraction(floor.floor_fraction_of_baseline)
        mine = {d.pool: kept_of(facts, d, floor) for d in facts.deployments_of.get(name, ())}
        yield from (f"{pool}: no {floor.metric} on {floor.evaluation} is known" for pool, kept in mine.items() if kept is None)
        if floor.aggregation is Aggregation.PER_REQUEST:
            low = {pool: kept for pool, kept in mine.items() if kept is not None and kept < wanted}
            yield from (f"{pool}: keeps {float(kept):.6f}, the floor is {float(wanted):.6f}" for pool, kept in low.items())
        routes = ((r.request_class, r.period, r.pool, fraction(r.share)) for r in facts.routes_of.get(name, ()))
        average = average_kept(facts, workload, mine, routes)
        if average is not None and average < wanted * (1 - LOAD_TOLERANCE):
            yield f"{name}: keeps {float(average):.6f} on average, the floor is {float(wanted):.6f}"
        for w in told:
            if (
                w.accuracy_floor != floor.floor_fraction_of_baseline
                or w.accuracy_metric != f"{floor.metric} on {floor.evaluation}"
            ):
                yield f"{name}: the plan tells another floor"
            if average is not None and (w.accuracy_kept is None or differs(w.accuracy_kept, average)):
                yield f"{name}: keeps {float(average):.9f}, the plan says {w.accuracy_kept}"


def average_kept(
    facts: Facts, workload: ServingWorkload, kept: Mapping[str, Fraction | None], routes: Iterable[tuple[str, str, str, Fraction]]
) -> Fraction | None:
    """Give the traffic-weighted average of what pools keep, over routes of (class, period, pool, share)."""
    rates = {c.name: c.rate for c in workload.classes}
    weight, total = Fraction(0), Fraction(0)
    for request_class, period, pool, share in routes:
        of_pool = kept.get(pool)
        if request_class in rates and of_pool is not None:
            rate = fraction(rates[request_class].at(period)) if period in facts.month_share else Fraction(0)
            requests = Fraction(1) if workload.name in facts.instance.batches else rate * facts.weight(period)
            traffic = share * requests
            weight, total = weight + traffic, total + traffic * of_pool
    return total / weight if weight else None


def region_rule(facts: Facts) -> Iterator[str]:
    """No workload leaves the regions it may use."""
    for d, _, offer, _ in facts.known:
        for member in facts.members(d):
            if member.regions_allowed is not None and offer.region not in member.regions_allowed:
                yield f"{d.pool}: {member.name} may not run in {offer.region}"


def spot_rule(facts: Facts) -> Iterator[str]:
    """No pool has a larger share of its replicas on spot than its workload allows."""
    for (pool, period), members in _cells(facts).items():
        spot = sum(d.replicas for d in members if d.option == Option.SPOT.value)
        for workload in facts.members(members[0]):
            if spot > fraction(workload.max_spot_fraction) * sum(d.replicas for d in members):
                yield f"{pool}: {spot} replicas on spot in {period}, at most {workload.max_spot_fraction:.0%} may be"


@remembered
def _cells(facts: Facts) -> dict[tuple[str, str], list[Deployment]]:
    """Deployments by pool and period."""
    found: dict[tuple[str, str], list[Deployment]] = defaultdict(list)
    for d in facts.plan.deployments:
        found[d.pool, d.period].append(d)
    return dict(found)


def shares_rule(facts: Facts) -> Iterator[str]:
    """Each class with demand is routed whole, to pools that have replicas for it."""
    sums: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for key, count in Counter((r.workload, r.request_class, r.period, r.pool) for r in facts.plan.routing).items():
        if count > 1:
            yield f"{key}: routed {count} times"
    for r in facts.plan.routing:
        sums[r.workload, r.request_class, r.period] += fraction(r.share)
        if r.workload not in facts.named_by.get(r.pool, ()):
            yield f"{r.workload}/{r.request_class}: routed to {r.pool!r}, which has no replicas of it"
    for name, workload in facts.workloads.items():
        if name in facts.instance.batches:
            yield from _volume(facts, workload, sums)
            continue
        for c in workload.classes:
            for period in facts.instance.periods:
                total = sums.pop((name, c.name, period.name), Fraction(0))
                wanted = Fraction(1) if c.rate.at(period.name) > 0 else Fraction(0)
                wanted -= unserved_share(facts, name, c.name, period.name)
                if total != wanted:
                    yield f"{name}/{c.name}: shares in {period.name} sum to {float(total)!r}, not {float(wanted):g}"
    yield from (f"routing of {key} belongs to no class" for key in sums)


def _volume(facts: Facts, workload: ServingWorkload, sums: dict[tuple[str, str, str], Fraction]) -> Iterator[str]:
    """Tell a volume that is not done once, or work outside its window."""
    rate, total = workload.classes[0].rate, Fraction(0)
    for period in facts.instance.periods:
        share = sums.pop((workload.name, workload.classes[0].name, period.name), Fraction(0))
        total += share
        if share and not rate.at(period.name):
            yield f"{workload.name}: works in {period.name}, outside its window"
    if total != (wanted := 1 - unserved_share(facts, workload.name, workload.classes[0].name, None)):
        yield f"{workload.name}: shares sum to {float(total)!r}, not {float(wanted):g}"


def capacity_rule(facts: Facts) -> Iterator[str]:
    """No pool carries more than its replicas may at the utilization cap."""
    cap, cells = fraction(facts.instance.policy.utilization_cap), _cells(facts)
    routed = {(r.pool, r.period) for r in facts.plan.routing if r.pool in facts.pools}
    for pool, period in dict.fromkeys([*cells, *sorted(routed)]):
        load, replicas = facts.load(pool, period), sum(d.replicas for d in cells.get((pool, period), ()))
        if load is not None and load > cap * replicas * (1 + LOAD_TOLERANCE):
            yield f"{pool}: needs {float(load / cap):.9f} replicas at the cap in {period}, has {replicas}"


def workload_figures_rule(facts: Facts) -> Iterator[str]:
    """Utilization, cost and binding limits of each workload are as told."""
    binding = {x.name for x in facts.plan.limits if x.binding}
    for told in facts.plan.workloads:
        workload = facts.workloads.get(told.name)
        if workload is None:
            continue
        routed = {r.pool for r in facts.routes_of.get(told.name, ()) if r.share > 0}
        mine = {pool: facts.pools[pool] for pool in facts.pools_of.get(told.name, ())}
        pools = {pool: members for pool, members in mine.items() if pool in routed or members[0].shared_pool is None}
        weights = facts.month_share.items()
        loads = [(facts.load(pool, period), weight) for pool in pools for period, weight in weights]
        replicas = sum((d.replicas * facts.weight(d.period) for m in pools.values() for d in m), Fraction(0))
        busy = sum((x * weight for x, weight in loads if x is not None), Fraction(0)) / max(replicas, Fraction(1, 10**9))
        if all(x is not None for x, _ in loads) and differs(told.utilization, min(busy, Fraction(1))):
            yield f"{told.name}: replicas are {float(busy):.9f} busy, the plan says {told.utilization}"
        shares = {pool: (facts.charged(pool) or {}).get(told.name, Fraction(0)) for pool in mine}
        cost = sum(
            (fraction(d.usd_per_hour) * facts.weight(d.period) * shares[p] for p, m in mine.items() for d in m), Fraction(0)
        )
        if differs(told.usd_per_hour, cost) or told.utilization_cap != facts.instance.policy.utilization_cap:
            yield f"{told.name}: costs {float(cost)} USD/h under its cap, the plan tells otherwise"
        yield from (f"{told.name}: limit {x!r} does not bind" for x in told.binding_limits if x not in binding)
        if told.model != workload.model:
            yield f"{told.name}: asks for {workload.model!r}, the plan says {told.model!r}"


def _same_figure(one: tuple[float, float, str] | None, other: tuple[float, float, str] | None) -> bool:
    """Compare figures; values of one replica may differ in their last bits with the company they are worked out in."""
    if one is None or other is None:
        return one is other
    return one[0] == other[0] and one[2] == other[2] and isclose(one[1], other[1], rel_tol=1e-9)


def latency_rule(facts: Facts) -> Iterator[str]:
    """Every latency figure is that of the configuration, and meets its target."""
    for told in facts.plan.workloads:
        workload = facts.workloads.get(told.name)
        if workload is None:
            continue
        expected: dict[tuple[str, str, str, str], tuple[float, float, str]] = {}
        for r in facts.routes_of.get(told.name, ()):
            members = facts.pools.get(r.pool)
            owner = facts.owner(members[0]) if members else None
            if not members or owner is None:
                continue
            answer, asked = facts.estimate(owner, members[0]), facts.classes(members[0])
            if not isinstance(answer, str) and (r.workload, r.request_class) in asked:
                values = answer.latency_ms[asked[r.workload, r.request_class]].tolist()
                reached = {(t.quantity, t.statistic): value for t, value in zip(owner.latency, values, strict=True)}
                for target in workload.latency:
                    key = (r.request_class, r.pool, target.quantity.value, target.statistic)
                    expected[key] = (target.at_most_ms, reached[target.quantity, target.statistic], answer.kind.value)
        given = {(f.request_class, f.pool, f.quantity, f.statistic): (f.target_ms, f.value_ms, f.basis) for f in told.latency}
        for key in expected.keys() | given.keys():
            if not _same_figure(expected.get(key), given.get(key)):
                yield f"{told.name} {key}: latency is {expected.get(key)}, the plan says {given.get(key)}"
        yield from (f"{told.name} {key}: {v[1]} ms is above {v[0]} ms" for key, v in expected.items() if v[1] > v[0])
