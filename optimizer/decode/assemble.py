"""A choice told in domain words: deployments, rentals, routes, the bill, what binds and what it all rests on."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from optimizer.catalog import Quality
from optimizer.compile import Compiled
from optimizer.decode.assumptions import assumptions_of, warnings_of
from optimizer.decode.baselines import baselines_of
from optimizer.decode.counts import choice_of
from optimizer.decode.earnings import earnings_of
from optimizer.decode.results import Results
from optimizer.decode.training import training_of
from optimizer.errors import AllocationError, InfeasibleError, InterruptedByUserError, NoPlanError
from optimizer.instance import HOURS_PER_MONTH, Instance
from optimizer.plan import (
    HEADS,
    PROVED_GAP,
    Deployment,
    Earning,
    HeadCost,
    InstanceKey,
    Plan,
    Verification,
    relative_gap,
)
from solvers import Limit as StopLimit
from solvers import Solution, Termination

__all__ = ["BOUND_SAFETY", "decode"]

BOUND_SAFETY = 5e-7
"""A solver's bound is lowered by this share before it is believed: half the gap that counts as proof, so proof stays possible."""


def decode(
    compiled: Compiled, solution: Solution, *, method: str, requested_gap: float, seed: int, warnings: Sequence[str] = ()
) -> Plan:
    """Turn a solution into a plan, not yet verified.

    Raises
    ------
    InfeasibleError, NoPlanError, InterruptedByUserError : the solution holds no plan
    AllocationError : the solution cannot be, such as an unbounded cost
    """
    _refuse_planless(solution)
    choice = choice_of(compiled, solution)
    table, told = compiled.candidates, Results(compiled, choice)
    deployments, rentals, training = told.deployments, told.rentals, training_of(told)
    switches, heads = told.switches, told.heads
    usd_per_hour, limits = float(sum(heads.values())), told.limits()
    energy, objective_usd = told.drawn.in_all(), float(sum(heads.values()) + told.beside_bill)
    routing = told.routing()
    workloads = told.workloads(deployments, limits)
    earnings = earnings_of(compiled.instance, workloads, routing, training, told.unserved)
    dated = [r.price_as_of for r in rentals] + [run.price_as_of for run in training]
    revenue = _revenue(compiled.instance, earnings)
    return Plan(
        instance=InstanceKey(name=compiled.instance.name, hash=compiled.instance.hash, as_of=compiled.instance.as_of),
        objective_usd=objective_usd,
        **_proof(solution, objective_usd, requested_gap),
        usd_per_hour=usd_per_hour,
        usd_per_month=usd_per_hour * HOURS_PER_MONTH,
        costs=_costs(heads),
        deployments=deployments,
        rentals=rentals,
        switches=switches,
        starts=told.starts,
        change=told.change,
        routing=routing,
        recourse=told.recourse(),
        unserved=told.unserved,
        earnings=earnings,
        revenue_usd_per_hour=revenue,
        profit_usd_per_hour=None if revenue is None else revenue - usd_per_hour,
        training=training,
        workloads=workloads,
        limits=limits,
        baselines=baselines_of(compiled, usd_per_hour),
        energy=energy,
        quality_shares=_quality_shares(told, deployments, usd_per_hour),
        oldest_price=min(dated, default=compiled.instance.as_of),
        assumptions=tuple(assumptions_of(table, deployments, rentals, limits, energy)),
        candidates=compiled.counts,
        backend=solution.backend,
        backend_version=solution.backend_version,
        method=method,
        seed=seed,
        requested_gap=requested_gap,
        solve_seconds=solution.solve_seconds,
        verification=Verification(passed=False, rules=()),
        warnings=(*warnings, *warnings_of(table)),
    )


def _refuse_planless(solution: Solution) -> None:
    if solution.termination is Termination.INFEASIBLE:
        raise InfeasibleError(
            "no plan: limits, budgets, spot shares, averaged floors and what may change cannot hold together; "
            "each workload alone has candidates"
        )
    if solution.termination in (Termination.UNBOUNDED, Termination.INFEASIBLE_OR_UNBOUNDED):
        raise AllocationError(f"{solution.backend} calls a bounded model {solution.termination}: {solution.message}")
    if solution.values is None:
        if solution.limit is StopLimit.INTERRUPT:
            raise InterruptedByUserError("interrupted before any plan was found")
        raise NoPlanError(f"no plan within the limit ({solution.limit or 'none'}); raise --time-limit or --gap")


def _proof(solution: Solution, objective_usd: float, requested_gap: float) -> dict[str, Any]:
    """Give the fields of a plan that tell how good it is."""
    bound = _safe_bound(solution, objective_usd)
    gap = None if bound is None else relative_gap(objective_usd, bound)
    proved = gap is not None and gap <= PROVED_GAP
    return {
        "status": "optimal" if proved else "feasible",
        "stopped_by": None if proved else _stopped_by(solution, gap, requested_gap),
        "bound_usd": bound,
        "relative_gap": gap,
        "bound_source": f"{solution.bound_source}, lowered by {BOUND_SAFETY:g}" if bound is not None else "none known",
    }


def _safe_bound(solution: Solution, usd_per_hour: float) -> float | None:
    """Give the solver's bound, no higher than the exact cost, lowered by BOUND_SAFETY; None where none is known."""
    if solution.dual_bound is None:
        return None
    bound = min(solution.dual_bound, usd_per_hour)
    return max(bound - BOUND_SAFETY * abs(bound), 0.0)


def _revenue(instance: Instance, earnings: Sequence[Earning]) -> float | None:
    """Give what all workloads earn, USD per hour; None where none states what it earns."""
    earns = any(w.revenue is not None for w in instance.workloads)
    return sum(x.revenue_usd_per_hour for x in earnings) if earns else None


def _stopped_by(solution: Solution, gap: float | None, requested: float) -> Literal["gap", "time", "interrupt"]:
    if solution.limit is StopLimit.INTERRUPT:
        return "interrupt"
    return "gap" if gap is not None and gap <= max(requested, PROVED_GAP) * (1 + 1e-9) else "time"


def _costs(heads: dict[str, Fraction]) -> dict[str, HeadCost]:
    amounts = {head: float(heads.get(head, 0)) for head in HEADS}
    return {head: HeadCost(usd_per_hour=x, usd_per_month=x * HOURS_PER_MONTH) for head, x in amounts.items()}


def _quality_shares(told: Results, deployments: Sequence[Deployment], usd_per_hour: float) -> dict[str, float]:
    """Give the share of the cost that rests on figures of each quality: rent by deployment, other heads by their own quality.

    A committed instance that stands idle in a period has no deployment; its rent is as good as its price.
    """
    weight = dict(zip((p.name for p in told.table.instance.periods), map(float, told.month_share), strict=True))
    cost = {quality: sum(d.usd_per_hour * weight[d.period] for d in deployments if d.quality is quality) for quality in Quality}
    for r in told.rentals:
        cost[r.price_quality] += r.usd_per_hour * weight[r.period] * (r.accelerators_used == 0)
    for run in training_of(told):
        cost[run.quality] += run.usd_per_hour
    for quality, usd in told.charges_by_quality().items():
        cost[quality] += float(usd)
    return {quality.value: min(amount / max(usd_per_hour, 1e-9), 1.0) for quality, amount in cost.items()}
