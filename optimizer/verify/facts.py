"""The instance and the plan, indexed, and exact numbers. Shared by all rules; decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cached_property, lru_cache, update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from optimizer.catalog import Offer, Price
from optimizer.instance import HOURS_PER_MONTH, Instance, RequestClass, ServingWorkload, TrainingWorkload
from optimizer.performance import Configuration, Performance, ReplicaEstimate, deployed
from optimizer.plan import Deployment, Plan, Rental, Route, TrainingRun, Unserved, WorkloadResult
from optimizer.verify.prices import Sold, prices_paid

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
P = ParamSpec("P")

__all__ = ["COMMITTED", "LOAD_TOLERANCE", "MONEY_TOLERANCE", "Facts", "differs", "fraction", "grouped", "remembered"]

COMMITTED = ("reserved", "owned")
"""Options that are paid for all periods alike."""

LOAD_TOLERANCE = Fraction(1, 10**9)
"""Relative overload of a pool that rounding of shares may leave."""
MONEY_TOLERANCE = Fraction(1, 10**9)
"""Relative difference of a reported sum, which binary64 rounds, from the exact one."""
BUSY_DIGITS = 2**128
"""Parts in which replicas kept busy are counted: exact ones, added up over a plan, would have denominators as long as it."""


@lru_cache(maxsize=2**15)  # most numbers are read by several rules
def fraction(number: float) -> Fraction:
    """Read a binary64 as the decimal it prints as."""
    return Fraction(repr(number))


def differs(reported: float, exact: Fraction) -> bool:
    """Say whether a reported number is further from the exact one than rounding explains."""
    return abs(fraction(reported) - exact) > MONEY_TOLERANCE * max(abs(exact), Fraction(1, 10**6))


def grouped(members: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Group members by a key, in order."""
    found: dict[K, list[T]] = defaultdict(list)
    for member in members:
        found[key(member)].append(member)
    return dict(found)


def remembered(work: Callable[Concatenate[Facts, P], T]) -> Callable[Concatenate[Facts, P], T]:
    """Let something be worked out once for each plan and arguments; several rules ask for it, none changes it."""

    def once(facts: Facts, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (work, args, *kwargs.items())
        if key not in facts.kept:
            facts.kept[key] = work(facts, *args, **kwargs)
        found: T = facts.kept[key]
        return found

    update_wrapper(once, work)
    return once


@dataclass(frozen=True)
class Facts:
    """The instance and the plan, indexed; what is unknown is left out here and told by the rule ``names``."""

    instance: Instance
    plan: Plan
    plan_in_force: Plan | None = None
    worked_out: Performance | None = None
    kept: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def performance(self) -> Performance:
        """What replicas can do; curves and lengths that were worked out already are not worked out again."""
        return Performance(self.instance) if self.worked_out is None else self.worked_out.for_part(self.instance)

    @cached_property
    def workloads(self) -> dict[str, ServingWorkload]:
        """Workloads by name, batches as their volume."""
        return {w.name: w for w in self.instance.demands}

    @cached_property
    def jobs(self) -> dict[str, TrainingWorkload]:
        """Training jobs by name."""
        return {w.name: w for w in self.instance.jobs}

    @cached_property
    def runs(self) -> list[tuple[TrainingRun, TrainingWorkload, Offer, Price]]:
        """Training runs whose job and offer exist."""
        known = [(run, self.jobs.get(run.job), self.sold.get((run.offer, run.option))) for run in self.plan.training]
        return [(run, job, *sold) for run, job, sold in known if job is not None and sold is not None]

    def run_use(self, run: TrainingRun) -> Fraction:
        """Give the mean number of instances over the month that a run pays for by use; none on a commitment."""
        if run.option in COMMITTED or run.job not in self.jobs:
            return Fraction(0)
        monthly = fraction(self.jobs[run.job].runs_per_month) / Fraction(HOURS_PER_MONTH)
        return run.instances * fraction(run.hours) * monthly

    def run_rent(self, run: TrainingRun) -> Fraction:
        """Give what a run costs: by use, or its share of the commitment by accelerators in use; USD per hour of the month."""
        price = fraction(run.usd_per_instance_hour)
        if run.option not in COMMITTED:
            return price * self.run_use(run)
        held = [self.rentals.get((run.offer, run.option, period)) for period in run.periods]
        taken = run.gang * run.gangs_at_once
        shares = (
            taken * r.instances / Fraction(max(r.accelerators_used, 1)) * self.weight(r.period) for r in held if r is not None
        )
        return price * sum(shares, Fraction(0))

    def is_too_old(self, price: Price) -> bool:
        """Say whether a price is older than the policy allows."""
        age = (date.fromisoformat(self.instance.as_of) - date.fromisoformat(price.as_of)).days
        return age > self.instance.policy.max_price_age_days

    @cached_property
    def paid(self) -> dict[tuple[str, str], Sold]:
        """What is for sale by (label, option), at the price after terms and rules."""
        return {(s.offer.label, s.option): s for s in prices_paid(self.instance)}

    @cached_property
    def owners(self) -> dict[str, ServingWorkload]:
        """Workloads and shared pools by name, a shared pool as one workload that asks what all of its members ask."""
        return {w.name: w for w in self.instance.owners}

    def owner(self, d: Deployment) -> ServingWorkload | None:
        """Give whose replicas a deployment's are: its shared pool's, else its workload's; None where there is no such thing."""
        return self.owners.get(d.shared_pool or (d.workloads[0] if d.workloads else ""))

    def members(self, d: Deployment) -> list[ServingWorkload]:
        """Give the workloads that a deployment says it may serve."""
        return [self.workloads[name] for name in d.workloads if name in self.workloads]

    def classes(self, d: Deployment) -> dict[tuple[str, str], int]:
        """Give the (workload, class) pairs that a deployment's estimate speaks of, with the place of each in it."""
        owner = self.owner(d)
        return {} if owner is None else self._classes_of(owner.name)

    @remembered
    def _classes_of(self, owner: str) -> dict[tuple[str, str], int]:
        pairs = [(name, c.name) for name in self.instance.members[owner] for c in self.workloads[name].classes]
        return {pair: at for at, pair in reversed(list(enumerate(pairs)))}

    @cached_property
    def class_named(self) -> dict[tuple[str, str], RequestClass]:
        """Request classes by workload and name."""
        return {(w.name, c.name): c for w in self.workloads.values() for c in reversed(w.classes)}

    @cached_property
    def unserved(self) -> dict[tuple[str, str], list[Unserved]]:
        """What is left unserved, by workload and class."""
        return grouped(self.plan.unserved, lambda u: (u.workload, u.request_class))

    @cached_property
    def sold(self) -> dict[tuple[str, str], tuple[Offer, Price]]:
        """Offers and prices by (label, option)."""
        return {key: (found.offer, found.price) for key, found in self.paid.items()}

    @cached_property
    def available(self) -> dict[str, int]:
        """How many there are of each kind of host at the sites, by label."""
        return {f"{s.label}/{h.instance_type}": h.available for s in self.instance.sites for h in s.hosts}

    @cached_property
    def busy(self) -> dict[tuple[str, str], Fraction]:
        """Replicas kept busy by (pool, period), where known, in whole parts of ``BUSY_DIGITS``."""
        loads = {(pool, t): self.load(pool, t) for pool in self.pools for t in self.month_share}
        return {key: Fraction(round(load * BUSY_DIGITS), BUSY_DIGITS) for key, load in loads.items() if load is not None}

    @cached_property
    def pools(self) -> dict[str, list[Deployment]]:
        """Deployments by pool."""
        return grouped(self.plan.deployments, lambda d: d.pool)

    @cached_property
    def routes_to(self) -> dict[tuple[str, str], list[Route]]:
        """Routes by pool and period."""
        return grouped(self.plan.routing, lambda r: (r.pool, r.period))

    @cached_property
    def routes_of(self) -> dict[str, list[Route]]:
        """Routes by workload."""
        return grouped(self.plan.routing, lambda r: r.workload)

    @cached_property
    def told(self) -> dict[str, list[WorkloadResult]]:
        """What the plan tells of each workload."""
        return grouped(self.plan.workloads, lambda w: w.name)

    @cached_property
    def deployments_of(self) -> dict[str, list[Deployment]]:
        """Deployments by the workloads that they name."""
        found: dict[str, list[Deployment]] = defaultdict(list)
        for d in self.plan.deployments:
            for name in dict.fromkeys(d.workloads):
                found[name].append(d)
        return dict(found)

    @cached_property
    def pools_of(self) -> dict[str, list[str]]:
        """Pools by a workload that their first deployment names."""
        found: dict[str, list[str]] = defaultdict(list)
        for pool, members in self.pools.items():
            for name in dict.fromkeys(members[0].workloads):
                found[name].append(pool)
        return dict(found)

    @cached_property
    def named_by(self) -> dict[str, frozenset[str]]:
        """Workloads that any deployment of a pool names."""
        return {pool: frozenset(name for d in members for name in d.workloads) for pool, members in self.pools.items()}

    @cached_property
    def rentals(self) -> dict[tuple[str, str, str], Rental]:
        """Rentals by (label, option, period)."""
        return {(r.offer, r.option, r.period): r for r in self.plan.rentals}

    @cached_property
    def month_share(self) -> dict[str, Fraction]:
        """Each period's share of a month of 730 hours."""
        return {p.name: fraction(p.hours) * fraction(p.per_month) / Fraction(HOURS_PER_MONTH) for p in self.instance.periods}

    def weight(self, period: str) -> Fraction:
        """Give a period's share of the month; nothing for a period that is not there, which the rule ``names`` tells."""
        return self.month_share.get(period, Fraction(0))

    @cached_property
    def known(self) -> list[tuple[Deployment, ServingWorkload, Offer, Price]]:
        """Deployments whose owner and offer exist."""
        found = []
        for d in self.plan.deployments:
            owner, sold = self.owner(d), self.sold.get((d.offer, d.option))
            if owner is not None and sold is not None:
                found.append((d, owner, *sold))
        return found

    @cached_property
    def configurations(self) -> dict[int, Configuration]:
        """What each deployment of the plan runs, by the identity of its record."""
        return {id(d): deployed(d) for d in self.plan.deployments}

    @cached_property
    def estimates(self) -> dict[tuple[str, Configuration], ReplicaEstimate | str]:
        """What each configuration in the plan can do for its owner, or why it cannot."""
        asked = {}
        for d in self.plan.deployments:
            if (owner := self.owner(d)) is not None:
                asked[owner.name, self.configurations[id(d)]] = owner
        found = zip(asked, self.performance.estimates([(owner, c) for (_, c), owner in asked.items()]), strict=True)
        return {key: e if isinstance(e, ReplicaEstimate) else f"{e.code}: {e.message}" for key, e in found}

    def estimate(self, workload: ServingWorkload, d: Deployment) -> ReplicaEstimate | str:
        """Give what a deployment's replica can do for a workload or shared pool, or why it cannot."""
        return self.estimates[workload.name, self.configurations[id(d)]]

    @remembered
    def load(self, pool: str, period: str) -> Fraction | None:
        """Give the replicas' worth of traffic routed to a pool in a period, before the utilization cap; None where unknown."""
        loads = self.loads(pool, period)
        return None if loads is None else sum(loads.values(), Fraction(0))

    @remembered
    def loads(self, pool: str, period: str) -> dict[str, Fraction] | None:
        """Give the load of each workload that is routed to a pool in a period; None where unknown."""
        deployments = self.pools.get(pool, [])
        owner = self.owner(deployments[0]) if deployments else None
        if owner is None:
            return None
        estimate = self.estimate(owner, deployments[0])
        if isinstance(estimate, str):
            return None
        asked, rates = self.classes(deployments[0]), estimate.rate_per_s.tolist()
        found: dict[str, Fraction] = {}
        for route in self.routes_to.get((pool, period), ()):
            b = asked.get((route.workload, route.request_class))
            if b is not None and period in self.month_share:
                demand = fraction(owner.classes[b].rate.at(period)) * fraction(route.share)
                found[route.workload] = found.get(route.workload, Fraction(0)) + demand / Fraction(rates[b])
        return found

    def charged(self, pool: str) -> dict[str, Fraction] | None:
        """Give each workload's share of a pool's rent: its part of the month's load, alike for all where there is none."""
        names, found = self.pools[pool][0].workloads, dict[str, Fraction]()
        if len(names) == 1:
            return {names[0]: Fraction(1)}
        for period, weight in self.month_share.items():
            if (loads := self.loads(pool, period)) is None:
                return None
            for name, load in loads.items():
                found[name] = found.get(name, Fraction(0)) + load * weight
        total = sum(found.values(), Fraction(0))
        return {name: found.get(name, Fraction(0)) / total if total else Fraction(1, len(names)) for name in names}

    @cached_property
    def rent(self) -> Fraction:
        """The exact rent of all instances at the instance's prices, USD per hour of the month."""
        sold = ((self.sold.get((r.offer, r.option)), r.instances * self.weight(r.period)) for r in self.plan.rentals)
        rent = sum((fraction(pair[1].usd_per_hour) * count for pair, count in sold if pair is not None), Fraction(0))
        return sum((fraction(price.usd_per_hour) * self.run_use(run) for run, _, _, price in self.runs), rent)
