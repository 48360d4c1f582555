"""Is this plan what it says it is? Checked from first principles, sharing no code with what made it.

What a replica can do is taken from ``optimizer.performance``; counts, shares, limits and money are worked out anew from the
instance, exactly: numbers are binary64, read as ``Fraction(repr(x))``. Only the load on a pool has a tolerance, 1e-9 relative,
because shares are rounded to 1e-12; energy adds up what replicas are busy to 2^-128 of one. It reaches neither the compiler nor a
solver. A plan is gone through once for each rule, never once for each workload; what rules share is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optimizer.instance import Instance
from optimizer.performance import Performance
from optimizer.plan import Plan, Verification
from optimizer.verify import (
    changes,
    charges,
    earnings,
    energy,
    identity,
    money,
    places,
    queues,
    redundancy,
    service,
    supply,
    training,
)
from optimizer.verify.facts import LOAD_TOLERANCE, Facts

__all__ = ["LOAD_TOLERANCE", "RULES", "verify_plan"]

RULES: dict[str, Callable[[Facts], Iterator[str]]] = {
    "instance": identity.instance_rule,
    "names": identity.names_rule,
    "complete": identity.complete_rule,
    "configuration": service.configuration_rule,
    "quality": service.quality_rule,
    "accuracy": service.accuracy_rule,
    "region": service.region_rule,
    "price": money.price_rule,
    "spot": service.spot_rule,
    "shares": service.shares_rule,
    "transfer": places.transfer_rule,
    "capacity": service.capacity_rule,
    "queue": queues.queue_rule,
    "redundancy": redundancy.redundancy_rule,
    "instances": supply.instances_rule,
    "limits": supply.limits_rule,
    "rent": money.rent_rule,
    "switches": charges.switches_rule,
    "starts": changes.starts_rule,
    "changes": changes.changes_rule,
    "unserved": earnings.unserved_rule,
    "earnings": earnings.earnings_rule,
    "bill": money.bill_rule,
    "energy": energy.energy_rule,
    "objective": money.objective_rule,
    "proof": money.proof_rule,
    "workload figures": service.workload_figures_rule,
    "latency": service.latency_rule,
    "baselines": money.baselines_rule,
    "quality shares": money.quality_shares_rule,
    "candidates": identity.candidates_rule,
    "jobs": training.jobs_rule,
    "gangs": training.gangs_rule,
    "hours": training.hours_rule,
    "runs' rent": training.runs_rent_rule,
}
"""Every rule by name: a function that yields what is wrong; its docstring says what must hold."""


def verify_plan(
    instance: Instance, plan: Plan, plan_in_force: Plan | None = None, known: Performance | None = None
) -> Verification:
    """Check a plan against its instance, rule by rule; ``known`` is what replicas can do, where that was worked out before.

    Returns
    -------
    Verification : the names of all rules, and each failure as ``rule: what is wrong``
    """
    facts = Facts(instance, plan, plan_in_force, known)
    failures = [f"{name}: {failure}" for name, rule in RULES.items() for failure in rule(facts)]
    return Verification(passed=not failures, rules=tuple(RULES), failures=tuple(failures))
