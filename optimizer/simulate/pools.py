"""The pools of a plan, as what a simulator needs of them: replicas, requests a second by class, curves and targets.

What rests on a rate that was held, or on no curve, is told with its share of the load and not simulated: a held rate already
contains its queue, and nothing says what it would be at another load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer.errors import CheckFailedError, InvalidInputError, Problem
from optimizer.instance import Instance, LatencyTarget, RequestClass, ServingWorkload
from optimizer.performance import ClassCurve, Kind, Performance, ReplicaEstimate, ServiceTime, deployed
from optimizer.plan import Deployment, Plan

__all__ = ["Load", "Pool", "Resting", "pools_of"]


@dataclass(frozen=True, eq=False)
class Load:
    """One class at one pool: requests a second, its curve or service time there, and the bounds its workload asks."""

    workload: str
    name: str
    per_s: float
    curve: ClassCurve | ServiceTime
    targets: tuple[LatencyTarget, ...]


@dataclass(frozen=True, eq=False)
class Pool:
    """Replicas of one configuration behind one balancer in one period; ``utilization`` is the load over what the plan allows.

    ``utilization`` counts the load as the plan does: rates over the largest at which every target holds. ``variation`` is that of
    the arrivals, the largest of any workload that may use the pool.
    """

    name: str
    period: str
    replicas: int
    utilization: float
    loads: tuple[Load, ...]
    variation: float = 1.0

    @property
    def per_s(self) -> float:
        """Give all requests a second."""
        return sum(load.per_s for load in self.loads)

    def at(self, share: float) -> Pool:
        """Give the pool with a share of its requests."""
        loads = tuple(replace(load, per_s=load.per_s * share) for load in self.loads)
        return replace(self, loads=loads, utilization=self.utilization * share)


@dataclass(frozen=True)
class Resting:
    """A pool that is not simulated, why, and the accelerators it keeps busy on the month's average."""

    name: str
    why: str
    busy_accelerators: float


def pools_of(instance: Instance, plan: Plan, every_period: bool = False) -> tuple[list[Pool], list[Resting], float]:
    """Give the pools with curves, each at its busiest period or at all; those without; and the accelerators busy in the first.

    Raises
    ------
    InvalidInputError : the plan answers another instance
    CheckFailedError : the plan names what the instance does not have, or gives a pool more than its replicas can ever do
    """
    if plan.instance.hash != instance.hash:
        given = f"a plan of {plan.instance.name!r}, hash {plan.instance.hash[:12]}"
        expected = f"a plan of {instance.name!r}, hash {instance.hash[:12]}"
        hint = "solve again, or simulate against the instance the plan was made of"
        raise InvalidInputError("the plan answers another instance", [Problem(None, "/instance/hash", given, expected, hint)])
    reader = _Reader(instance, plan)
    members: dict[str, list[Deployment]] = defaultdict(list)
    for deployment in plan.deployments:
        members[deployment.pool].append(deployment)
    pools: list[Pool] = []
    resting: list[Resting] = []
    weights, busy = {p.name: p.month_share for p in instance.periods}, 0.0
    for name, deployments in members.items():
        why, found = reader.pool(name, deployments)
        if not found:  # a training job, or replicas kept for others
            idle = sum(d.replicas * float(d.accelerators) * weights.get(d.period, 0.0) for d in deployments)
            resting.append(Resting(name, "serves no requests", idle))
            continue
        used = sum(p.utilization * p.replicas * weights[p.period] for p in found) * float(deployments[0].accelerators)
        if why:
            resting.append(Resting(name, why, used))
            continue
        busy += used
        pools += found if every_period else [max(found, key=lambda p: (p.utilization, -p.replicas))]
    return pools, resting, busy


class _Reader:
    """Looks up what a plan's pools are made of."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.performance = Performance(instance)
        self.workloads, self.owners = ({w.name: w for w in some} for some in (instance.demands, instance.owners))
        self.members = instance.members
        self.routes: dict[tuple[str, str], list[tuple[ServingWorkload, RequestClass, float]]] = defaultdict(list)
        problems = []
        for number, route in enumerate(plan.routing):
            workload = self.workloads.get(route.workload)
            asked = next((c for c in workload.classes if c.name == route.request_class), None) if workload else None
            if workload is None or asked is None:
                what = f"{route.workload} {route.request_class}"
                problems.append(Problem(None, f"/routing/{number}", what, "a class of the instance", "run allocate verify first"))
            elif route.share > 0:
                self.routes[route.pool, route.period].append((workload, asked, asked.rate.at(route.period) * route.share))
        if problems:
            raise CheckFailedError("the plan does not fit its instance", problems)

    def pool(self, name: str, deployments: Sequence[Deployment]) -> tuple[str, list[Pool]]:
        """Give a pool in every period in which it serves, with the reason why it is not simulated, if it is not."""
        configuration = deployed(deployments[0])
        replicas: dict[str, int] = defaultdict(int)
        for deployment in deployments:
            replicas[deployment.period] += deployment.replicas
        why, found = "", list[Pool]()
        for period, count in replicas.items():
            routes, loads, used = self.routes.get((name, period), []), list[Load](), 0.0
            for workload, asked, rate in routes:
                owner = self.owners[deployments[0].shared_pool or workload.name]
                estimate = self.performance.estimate(owner, configuration)
                if not isinstance(estimate, ReplicaEstimate):
                    problem = Problem(None, f"/deployments/{name}", estimate.message, "a configuration that serves the workload")
                    raise CheckFailedError("the plan does not fit its instance", [problem])
                asking = [(name, c.name) for name in self.members[owner.name] for c in self.workloads[name].classes]
                number = asking.index((workload.name, asked.name))
                used += rate / float(estimate.rate_per_s[number])
                why = why or _why_not(estimate, owner)
                is_server = estimate.kind is Kind.SERVICE
                figures = self.performance.services if is_server else self.performance.curves
                curves = None if why else figures(owner, configuration)
                if curves is None:
                    why = why or "rests on no curve"
                    continue
                per_s = rate / (asked.output_tokens or 1) if asked.rate.unit == "tokens/s" else rate
                loads.append(Load(workload.name, asked.name, per_s, curves[number], workload.latency))
            if routes:
                found.append(Pool(name, period, count, used / count, tuple(loads), owner.arrival_variation))
        return why, found


def _why_not(estimate: ReplicaEstimate, workload: ServingWorkload) -> str:
    if not workload.latency:
        return "no latency target"
    return "held" if estimate.kind is Kind.HELD else ""
