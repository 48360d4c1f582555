"""Is this plan what it says it is? Checked from first principles, sharing no code with what made it.

What a replica can do is taken from ``optimizer.performance``; counts, shares, limits and money are worked out anew from the
instance, exactly: numbers are binary64, read as ``Fraction(repr(x))``. Only the load on a pool has a tolerance, 1e-9 relative,
because shares are rounded to 1e-12. It reaches neither the compiler nor a solver.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from optimizer.catalog import Layout, Offer, Option, Price, Quality, worst
from optimizer.instance import AccuracyFloor, Aggregation, Instance, Limit, ServingWorkload
from optimizer.performance import Configuration, Performance, ReplicaEstimate
from optimizer.plan import HEADS, HOURS_PER_MONTH, PROVED_GAP, Baseline, Deployment, Plan, Rental, Verification

__all__ = ["LOAD_TOLERANCE", "RULES", "verify_plan"]

LOAD_TOLERANCE = Fraction(1, 10**9)
"""Relative overload of a pool that rounding of shares may leave."""
MONEY_TOLERANCE = Fraction(1, 10**9)
"""Relative difference of a reported sum, which binary64 rounds, from the exact one."""


def verify_plan(instance: Instance, plan: Plan) -> Verification:
    """Check a plan against its instance, rule by rule.

    Returns
    -------
    Verification : the names of all rules, and each failure as ``rule: what is wrong``
    """
    facts = _Facts(instance, plan)
    failures = [f"{name}: {failure}" for name, rule in RULES.items() for failure in rule(facts)]
    return Verification(passed=not failures, rules=tuple(RULES), failures=tuple(failures))


def _exact(number: float) -> Fraction:
    return Fraction(repr(number))


def _differs(reported: float, exact: Fraction) -> bool:
    return abs(_exact(reported) - exact) > MONEY_TOLERANCE * max(abs(exact), Fraction(1, 10**6))


@dataclass(frozen=True)
class _Facts:
    """The instance and the plan, indexed; what is unknown is left out here and told by the rule ``names``."""

    instance: Instance
    plan: Plan
    estimates: dict[tuple[str, Configuration], object] = field(default_factory=dict)

    @cached_property
    def performance(self) -> Performance:
        return Performance(self.instance)

    @cached_property
    def workloads(self) -> dict[str, ServingWorkload]:
        return {w.name: w for w in self.instance.workloads if isinstance(w, ServingWorkload)}

    @cached_property
    def sold(self) -> dict[tuple[str, str], tuple[Offer, Price]]:
        return {(o.label, p.option.value): (o, p) for o in self.instance.catalogs.offers for p in o.prices}

    @cached_property
    def pools(self) -> dict[str, list[Deployment]]:
        found: dict[str, list[Deployment]] = defaultdict(list)
        for deployment in self.plan.deployments:
            found[deployment.pool].append(deployment)
        return dict(found)

    @cached_property
    def rentals(self) -> dict[tuple[str, str], Rental]:
        return {(r.offer, r.option): r for r in self.plan.rentals}

    @cached_property
    def known(self) -> list[tuple[Deployment, ServingWorkload, Offer, Price]]:
        """Deployments whose workload and offer exist."""
        found = []
        for d in self.plan.deployments:
            workload, sold = self.workloads.get(d.workloads[0]) if d.workloads else None, self.sold.get((d.offer, d.option))
            if workload is not None and sold is not None:
                found.append((d, workload, *sold))
        return found

    def estimate(self, workload: ServingWorkload, d: Deployment) -> ReplicaEstimate | str:
        """Give what a deployment's replica can do for a workload, or why it cannot."""
        layout = Layout(tensor=d.tensor, pipeline=d.pipeline, attention_data=d.attention_data, expert=d.expert)
        c = Configuration(
            model=d.model,
            precision=d.precision,
            compression=d.compression,
            accelerator=d.accelerator,
            accelerators_per_replica=d.accelerators_per_replica,
            engine=d.engine,
            engine_version=d.engine_version,
            layout=layout,
            availability=d.availability,
        )
        key = (workload.name, c)
        if key not in self.estimates:
            found = self.performance.estimate(workload, c)
            self.estimates[key] = found if isinstance(found, ReplicaEstimate) else f"{found.code}: {found.message}"
        answer = self.estimates[key]
        assert isinstance(answer, ReplicaEstimate | str)
        return answer

    def load(self, pool: str) -> Fraction | None:
        """Give the replicas' worth of traffic routed to a pool, before the utilization cap; None where it cannot be known."""
        members = self.pools.get(pool, [])
        workload = self.workloads.get(members[0].workloads[0]) if members else None
        if workload is None:
            return None
        estimate = self.estimate(workload, members[0])
        if isinstance(estimate, str):
            return None
        names = [c.name for c in workload.classes]
        total = Fraction(0)
        for route in self.plan.routing:
            if route.pool == pool and route.workload == workload.name and route.request_class in names:
                b = names.index(route.request_class)
                demand = _exact(workload.classes[b].rate.at(route.period))
                total += demand * _exact(route.share) / Fraction(float(estimate.rate_per_s[b]))
        return total

    @cached_property
    def rent(self) -> Fraction:
        """The exact rent of all instances at the instance's prices, USD per hour."""
        sold = ((self.sold.get((r.offer, r.option)), r.instances) for r in self.plan.rentals)
        return sum((_exact(pair[1].usd_per_hour) * count for pair, count in sold if pair is not None), Fraction(0))


# -- the rules --------------------------------------------------------------------------------------------------------------


def _instance(facts: _Facts) -> Iterator[str]:
    key, instance = facts.plan.instance, facts.instance
    if key.hash != instance.hash:
        yield f"the plan answers another question: hash {key.hash[:12]}, this instance has {instance.hash[:12]}"
    if (key.name, key.as_of) != (instance.name, instance.as_of):
        yield f"the plan says {key.name!r} of {key.as_of}, the instance is {instance.name!r} of {instance.as_of}"


def _names(facts: _Facts) -> Iterator[str]:
    periods = {p.name for p in facts.instance.periods}
    for d in facts.plan.deployments:
        if (d.offer, d.option) not in facts.sold:
            yield f"{d.pool}: no offer {d.offer!r} with option {d.option!r}"
        elif facts.sold[d.offer, d.option][0].region != d.region or facts.sold[d.offer, d.option][0].provider != d.provider:
            yield f"{d.pool}: {d.offer} is not in {d.provider}/{d.region}"
        if len(d.workloads) != 1 or d.workloads[0] not in facts.workloads:
            yield f"{d.pool}: workloads {list(d.workloads)} are not one workload of the instance"
        elif facts.instance.models.get(d.model) is not facts.instance.models.get(facts.workloads[d.workloads[0]].model):
            yield f"{d.pool}: serves {d.model!r}, the workload asks for {facts.workloads[d.workloads[0]].model!r}"
        if d.period not in periods:
            yield f"{d.pool}: no period {d.period!r}"
    for pool, members in facts.pools.items():
        if len({_replica_of(d) for d in members}) > 1:
            yield f"{pool}: mixes configurations, workloads or regions in one pool"
    yield from (f"routing: no period {r.period!r}" for r in facts.plan.routing if r.period not in periods)


def _replica_of(d: Deployment) -> tuple[object, ...]:
    variant = (d.model, d.precision, d.compression, d.accelerator, d.accelerators_per_replica, d.engine, d.engine_version)
    return (*variant, d.tensor, d.pipeline, d.attention_data, d.expert, d.availability, d.workloads, d.provider, d.region)


def _complete(facts: _Facts) -> Iterator[str]:
    told = Counter(w.name for w in facts.plan.workloads)
    for name in facts.workloads:
        if told[name] != 1:
            yield f"workload {name!r} is told {told[name]} times"
    yield from (f"workload {name!r} is not in the instance" for name in told if name not in facts.workloads)
    for d, count in Counter((d.pool, d.offer, d.option, d.period) for d in facts.plan.deployments).items():
        if count > 1:
            yield f"the deployment {d} is told {count} times"


def _configuration(facts: _Facts) -> Iterator[str]:
    for d, workload, offer, _ in facts.known:
        answer = facts.estimate(workload, d)
        if isinstance(answer, str):
            yield f"{d.pool}: {answer}"
        elif answer.basis != d.basis:
            yield f"{d.pool}: rests on {answer.basis!r}, the plan says {d.basis!r}"
        if facts.instance.accelerators[offer.accelerator] is not facts.instance.accelerators.get(d.accelerator):
            yield f"{d.pool}: {d.offer} has {offer.accelerator}, not {d.accelerator}"


def _quality(facts: _Facts) -> Iterator[str]:
    for d, workload, _, price in facts.known:
        answer = facts.estimate(workload, d)
        if isinstance(answer, str):
            continue
        if answer.quality not in workload.allowed_quality:
            yield f"{d.pool}: rests on {answer.quality} figures, which {workload.name} does not allow"
        if d.quality is not worst([answer.quality, price.quality]):
            yield f"{d.pool}: quality is {worst([answer.quality, price.quality])}, the plan says {d.quality}"


def _kept(facts: _Facts, d: Deployment, floor: AccuracyFloor) -> Fraction | None:
    variant = facts.instance.models[d.model].variant(d.precision, d.compression) if d.model in facts.instance.models else None
    if variant is None or variant.is_baseline:
        return None if variant is None else Fraction(1)
    rows = [a for a in variant.accuracy if (a.metric, a.evaluation) == (floor.metric, floor.evaluation)]
    return min((_exact(a.kept_fraction) for a in rows), default=None)


def _accuracy(facts: _Facts) -> Iterator[str]:
    for name, workload in facts.workloads.items():
        floor = workload.accuracy
        told = [w for w in facts.plan.workloads if w.name == name]
        if floor is None:
            yield from (f"{name}: has no floor, the plan tells one" for w in told if w.accuracy_floor is not None)
            continue
        wanted = _exact(floor.floor_fraction_of_baseline)
        mine = {d.pool: _kept(facts, d, floor) for d in facts.plan.deployments if name in d.workloads}
        yield from (f"{pool}: no {floor.metric} on {floor.evaluation} is known" for pool, kept in mine.items() if kept is None)
        if floor.aggregation is Aggregation.PER_REQUEST:
            low = {pool: kept for pool, kept in mine.items() if kept is not None and kept < wanted}
            yield from (f"{pool}: keeps {float(kept):.6f}, the floor is {float(wanted):.6f}" for pool, kept in low.items())
        average = _average(facts, workload, mine)
        if average is not None and average < wanted * (1 - LOAD_TOLERANCE):
            yield f"{name}: keeps {float(average):.6f} on average, the floor is {float(wanted):.6f}"
        for w in told:
            if (
                w.accuracy_floor != floor.floor_fraction_of_baseline
                or w.accuracy_metric != f"{floor.metric} on {floor.evaluation}"
            ):
                yield f"{name}: the plan tells another floor"
            if average is not None and (w.accuracy_kept is None or _differs(w.accuracy_kept, average)):
                yield f"{name}: keeps {float(average):.9f}, the plan says {w.accuracy_kept}"


def _average(facts: _Facts, workload: ServingWorkload, kept: dict[str, Fraction | None]) -> Fraction | None:
    rates = {c.name: c.rate for c in workload.classes}
    weight, total = Fraction(0), Fraction(0)
    for route in facts.plan.routing:
        of_pool = kept.get(route.pool)
        if route.workload == workload.name and route.request_class in rates and of_pool is not None:
            traffic = _exact(rates[route.request_class].at(route.period)) * _exact(route.share)
            weight, total = weight + traffic, total + traffic * of_pool
    return total / weight if weight else None


def _region(facts: _Facts) -> Iterator[str]:
    for d, workload, offer, _ in facts.known:
        if workload.regions_allowed is not None and offer.region not in workload.regions_allowed:
            yield f"{d.pool}: {workload.name} may not run in {offer.region}"


def _price(facts: _Facts) -> Iterator[str]:
    for r in facts.plan.rentals:
        if (r.offer, r.option) not in facts.sold:
            yield f"{r.offer} {r.option}: not for sale"
            continue
        price = facts.sold[r.offer, r.option][1]
        if _exact(r.usd_per_instance_hour) != _exact(price.usd_per_hour):
            yield f"{r.offer} {r.option}: costs {price.usd_per_hour} USD/h, the plan says {r.usd_per_instance_hour}"
        if (r.price_as_of, r.price_quality, r.price_source) != (price.as_of, price.quality, price.source):
            yield f"{r.offer} {r.option}: the price's date, quality or source is told wrongly"
        age = (date.fromisoformat(facts.instance.as_of) - date.fromisoformat(price.as_of)).days
        if age > facts.instance.policy.max_price_age_days:
            yield f"{r.offer} {r.option}: the price is {age} days old"


def _spot(facts: _Facts) -> Iterator[str]:
    for pool, members in facts.pools.items():
        workload = facts.workloads.get(members[0].workloads[0]) if members[0].workloads else None
        if workload is not None:
            spot = sum(d.replicas for d in members if d.option == Option.SPOT.value)
            if spot > _exact(workload.max_spot_fraction) * sum(d.replicas for d in members):
                yield f"{pool}: {spot} replicas on spot, at most {workload.max_spot_fraction:.0%} may be"


def _shares(facts: _Facts) -> Iterator[str]:
    sums: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for key, count in Counter((r.workload, r.request_class, r.period, r.pool) for r in facts.plan.routing).items():
        if count > 1:
            yield f"{key}: routed {count} times"
    for r in facts.plan.routing:
        sums[r.workload, r.request_class, r.period] += _exact(r.share)
        owners = {name for d in facts.pools.get(r.pool, ()) for name in d.workloads}
        if r.workload not in owners:
            yield f"{r.workload}/{r.request_class}: routed to {r.pool!r}, which has no replicas of it"
    for name, workload in facts.workloads.items():
        for c in workload.classes:
            for period in facts.instance.periods:
                total = sums.pop((name, c.name, period.name), Fraction(0))
                wanted = Fraction(1) if c.rate.at(period.name) > 0 else Fraction(0)
                if total != wanted:
                    yield f"{name}/{c.name}: shares in {period.name} sum to {float(total)!r}, not {int(wanted)}"
    yield from (f"routing of {key} belongs to no class" for key in sums)


def _capacity(facts: _Facts) -> Iterator[str]:
    cap = _exact(facts.instance.policy.utilization_cap)
    for pool, members in facts.pools.items():
        load, replicas = facts.load(pool), sum(d.replicas for d in members)
        if load is not None and load > cap * replicas * (1 + LOAD_TOLERANCE):
            yield f"{pool}: needs {float(load / cap):.9f} replicas at the cap, has {replicas}"


def _instances(facts: _Facts) -> Iterator[str]:
    used: Counter[tuple[str, str]] = Counter()
    sizes: dict[tuple[str, str], set[int]] = defaultdict(set)
    for d in facts.plan.deployments:
        used[d.offer, d.option] += d.replicas * d.accelerators_per_replica
        sizes[d.offer, d.option].add(d.accelerators_per_replica)
    if len(facts.rentals) != len(facts.plan.rentals):
        yield "an offer is rented in two lines"
    for key in used.keys() - facts.rentals.keys():
        yield f"{key[0]} {key[1]}: replicas run there and nothing is rented"
    for key, r in facts.rentals.items():
        size = facts.sold[key][0].accelerators_per_instance if key in facts.sold else r.accelerators_per_instance
        named = facts.instance.accelerators[facts.sold[key][0].accelerator].name if key in facts.sold else r.accelerator
        if (r.accelerators_used, r.accelerators_per_instance, r.accelerator) != (used[key], size, named):
            yield f"{r.offer} {r.option}: {used[key]} of {size} {named} each are used, the plan tells otherwise"
        if not (r.instances - 1) * size < used[key] <= r.instances * size:
            needed = -(-used[key] // size)
            yield f"{r.offer} {r.option}: {used[key]} accelerators in use need {needed} instances, not {r.instances}"
        chain = [*sorted(sizes[key]), size]
        if any(large % small for small, large in pairwise(chain)):
            yield f"{r.offer} {r.option}: replicas of {chain[:-1]} do not pack into {size}"


def _counts(limit: Limit, offer: Offer, option: str, facts: _Facts) -> bool:
    accelerator, match = facts.instance.accelerators[offer.accelerator], limit.match
    pairs = (
        (match.provider, offer.provider),
        (match.region, offer.region),
        (match.zone, offer.zone),
        (match.instance_type, offer.instance_type),
        (match.accelerator, accelerator.name),
        (match.family, accelerator.family),
        (match.kind, accelerator.kind.value),
        (match.option, option),
    )
    return all(_among(wanted, fact) for wanted, fact in pairs)


def _among(wanted: str | tuple[str, ...] | None, fact: str | None) -> bool:
    return wanted is None or fact == wanted or (isinstance(wanted, tuple) and fact in wanted)


def _used(limit: Limit, facts: _Facts) -> tuple[int, int]:
    """Count the accelerators and the instances a limit counts."""
    rented = [(r, facts.sold[key][0]) for key, r in facts.rentals.items() if key in facts.sold]
    mine = [(r, o) for r, o in rented if _counts(limit, o, r.option, facts)]
    accelerators = sum(r.instances * o.accelerators_per_instance for r, o in mine)
    if limit.match.workload is not None or limit.match.team is not None:
        accelerators = sum(
            d.replicas * d.accelerators_per_replica
            for d, w, o, p in facts.known
            if _counts(limit, o, p.option.value, facts)
            and _among(limit.match.workload, w.name)
            and _among(limit.match.team, w.team)
        )
    return accelerators, sum(r.instances for r, _ in mine)


def _limits(facts: _Facts) -> Iterator[str]:
    told = {(x.name, x.unit): x for x in facts.plan.limits}
    for limit in facts.instance.limits:
        accelerators, instances = _used(limit, facts)
        for unit, used, most in (
            ("accelerators", accelerators, limit.max_accelerators),
            ("instances", instances, limit.max_instances),
        ):
            if most is None:
                continue
            if used > _exact(most):
                yield f"{limit.name!r}: {used} {unit}, at most {most:g}"
            entry = told.pop((limit.name, unit), None)
            if entry is None or (entry.used, entry.most, entry.quality, entry.reason) != (
                used,
                most,
                limit.quality,
                limit.reason,
            ):
                yield f"{limit.name!r}: {used} of {most:g} {unit} are used, the plan tells otherwise"
            elif entry.binding and used + _largest(limit, facts) <= _exact(most):
                yield f"{limit.name!r}: is told to bind with room to spare"
    yield from (f"the plan tells a limit {name!r} in {unit} that is not there" for name, unit in told)


def _largest(limit: Limit, facts: _Facts) -> int:
    sizes = [
        o.accelerators_per_instance
        for o in facts.instance.catalogs.offers
        if any(_counts(limit, o, p.option.value, facts) for p in o.prices)
    ]
    return max(sizes, default=1)


def _rent(facts: _Facts) -> Iterator[str]:
    for key, r in facts.rentals.items():
        exact = _exact(r.usd_per_instance_hour) * r.instances
        if _differs(r.usd_per_hour, exact):
            yield f"{r.offer} {r.option}: {r.instances} instances cost {float(exact)} USD/h, the plan says {r.usd_per_hour}"
        mine = [d for d in facts.plan.deployments if (d.offer, d.option) == key]
        used = sum(d.replicas * d.accelerators_per_replica for d in mine)
        for d in mine:
            share = exact * d.replicas * d.accelerators_per_replica / used
            if _differs(d.usd_per_hour, share):
                yield f"{d.pool}: its share of {r.offer} is {float(share)} USD/h, the plan says {d.usd_per_hour}"


def _bill(facts: _Facts) -> Iterator[str]:
    plan = facts.plan
    if set(plan.costs) != set(HEADS):
        yield f"the heads are {sorted(plan.costs)}, expected {sorted(HEADS)}"
    for head, cost in plan.costs.items():
        exact = facts.rent if head == "compute" else Fraction(0)
        if _differs(cost.usd_per_hour, exact):
            yield f"{head} is {float(exact)} USD/h, the plan says {cost.usd_per_hour}"
        if _differs(cost.usd_per_month, _exact(cost.usd_per_hour) * Fraction(HOURS_PER_MONTH)):
            yield f"{head} per month is not {HOURS_PER_MONTH:g} hours of {cost.usd_per_hour}"
    if _differs(plan.usd_per_hour, facts.rent):
        yield f"the plan costs {float(facts.rent)} USD/h, it says {plan.usd_per_hour}"
    if _differs(plan.usd_per_month, _exact(plan.usd_per_hour) * Fraction(HOURS_PER_MONTH)):
        yield f"the month is not {HOURS_PER_MONTH:g} hours of {plan.usd_per_hour}"


def _objective(facts: _Facts) -> Iterator[str]:
    if _differs(facts.plan.objective_usd, facts.rent):
        yield f"choice-dependent cost is {float(facts.rent)} USD/h, the plan says {facts.plan.objective_usd}"


def _proof(facts: _Facts) -> Iterator[str]:
    plan = facts.plan
    if (plan.bound_usd is None) != (plan.relative_gap is None):
        yield "bound and gap are known together or not at all"
    proved = False
    if plan.bound_usd is not None and plan.relative_gap is not None:
        cost, bound = _exact(plan.objective_usd), _exact(plan.bound_usd)
        gap = abs(cost - bound) / max(abs(cost), Fraction(1, 10**9))
        proved = plan.relative_gap <= PROVED_GAP
        if bound > cost * (1 + MONEY_TOLERANCE):
            yield f"the bound {plan.bound_usd} is above the cost {plan.objective_usd}"
        if abs(gap - _exact(plan.relative_gap)) > Fraction(1, 10**12):
            yield f"the gap is {float(gap)}, the plan says {plan.relative_gap}"
    if (plan.status == "optimal") != proved or (plan.stopped_by is None) != proved:
        yield f"status {plan.status!r} stopped by {plan.stopped_by!r} does not fit gap {plan.relative_gap}"


def _workload_figures(facts: _Facts) -> Iterator[str]:
    for told in facts.plan.workloads:
        workload = facts.workloads.get(told.name)
        if workload is None:
            continue
        pools = {pool: members for pool, members in facts.pools.items() if told.name in members[0].workloads}
        loads, replicas = [facts.load(pool) for pool in pools], sum(d.replicas for m in pools.values() for d in m)
        load = sum((x for x in loads if x is not None), Fraction(0))
        if None not in loads and _differs(told.utilization, min(load / max(replicas, 1), Fraction(1))):
            yield f"{told.name}: replicas are {float(load / max(replicas, 1)):.9f} busy, the plan says {told.utilization}"
        cost = sum((_exact(d.usd_per_hour) for m in pools.values() for d in m), Fraction(0))
        if _differs(told.usd_per_hour, cost) or told.utilization_cap != facts.instance.policy.utilization_cap:
            yield f"{told.name}: costs {float(cost)} USD/h under its cap, the plan tells otherwise"
        binding = {x.name for x in facts.plan.limits if x.binding}
        yield from (f"{told.name}: limit {x!r} does not bind" for x in told.binding_limits if x not in binding)
        if told.model != workload.model:
            yield f"{told.name}: asks for {workload.model!r}, the plan says {told.model!r}"


def _latency(facts: _Facts) -> Iterator[str]:
    for told in facts.plan.workloads:
        workload = facts.workloads.get(told.name)
        if workload is None:
            continue
        names = [c.name for c in workload.classes]
        expected: dict[tuple[str, str, str, str], tuple[float, float, str]] = {}
        for r in facts.plan.routing:
            members = facts.pools.get(r.pool)
            if r.workload != told.name or not members or r.request_class not in names:
                continue
            answer = facts.estimate(workload, members[0])
            if not isinstance(answer, str):
                for target, figure in zip(workload.latency, answer.latency[names.index(r.request_class)], strict=True):
                    key = (r.request_class, r.pool, target.quantity.value, target.statistic)
                    expected[key] = (target.at_most_ms, figure.ms, figure.basis)
        given = {(f.request_class, f.pool, f.quantity, f.statistic): (f.target_ms, f.value_ms, f.basis) for f in told.latency}
        for key in expected.keys() | given.keys():
            if expected.get(key) != given.get(key):
                yield f"{told.name} {key}: latency is {expected.get(key)}, the plan says {given.get(key)}"
        yield from (f"{told.name} {key}: {v[1]} ms is above {v[0]} ms" for key, v in expected.items() if v[1] > v[0])


def _baselines(facts: _Facts) -> Iterator[str]:
    for name in ("good_practice", "usual_practice"):
        told: Baseline = getattr(facts.plan.baselines, name)
        total = sum((_exact(x) for x in told.usd_per_hour_by_workload.values()), Fraction(0))
        saving = total - facts.rent
        if _differs(told.usd_per_hour, total):
            yield f"{name}: its workloads sum to {float(total)} USD/h, the plan says {told.usd_per_hour}"
        if _differs(told.saving_usd_per_hour, saving) or _differs(told.saving_fraction, saving / max(total, Fraction(1, 10**9))):
            yield f"{name}: the saving is {float(saving)} USD/h, the plan tells otherwise"
        if set(told.usd_per_hour_by_workload) | set(told.missing) != set(facts.workloads) or set(told.workloads) & set(
            told.missing
        ):
            yield f"{name}: does not tell each workload once"


def _quality_shares(facts: _Facts) -> Iterator[str]:
    total = max(facts.rent, Fraction(1, 10**9))
    for quality in Quality:
        share = sum((_exact(d.usd_per_hour) for d in facts.plan.deployments if d.quality is quality), Fraction(0)) / total
        told = facts.plan.quality_shares.get(quality.value)
        if told is None or _differs(told, min(share, Fraction(1))):
            yield f"{float(share):.9f} of the cost rests on {quality} figures, the plan says {told}"
    oldest = min((r.price_as_of for r in facts.plan.rentals), default=facts.plan.oldest_price)
    if facts.plan.oldest_price != oldest:
        yield f"the oldest price is of {oldest}, the plan says {facts.plan.oldest_price}"


def _candidates(facts: _Facts) -> Iterator[str]:
    counts = facts.plan.candidates
    parts = sum(count for name, count in counts.items() if name != "considered")
    if counts.get("considered") != parts:
        yield f"{counts.get('considered')} candidates were considered, {parts} are accounted for"


RULES: dict[str, Callable[[_Facts], Iterator[str]]] = {
    "instance": _instance,
    "names": _names,
    "complete": _complete,
    "configuration": _configuration,
    "quality": _quality,
    "accuracy": _accuracy,
    "region": _region,
    "price": _price,
    "spot": _spot,
    "shares": _shares,
    "capacity": _capacity,
    "instances": _instances,
    "limits": _limits,
    "rent": _rent,
    "bill": _bill,
    "objective": _objective,
    "proof": _proof,
    "workload figures": _workload_figures,
    "latency": _latency,
    "baselines": _baselines,
    "quality shares": _quality_shares,
    "candidates": _candidates,
}
"""Every rule by name: a function that yields what is wrong."""
