"""Guard rails: what refuses a plan, so that the last good one stays."""

from __future__ import annotations

from datetime import date

from optimizer.nightly.config import Guards
from optimizer.plan import Plan
from optimizer.report.changes import Difference

__all__ = ["GUARDS", "refusals"]

GUARDS = ("cost", "changes", "gap", "prices")


def refusals(plan: Plan, change: Difference | None, guards: Guards) -> dict[str, str]:
    """Give every guard that refuses a plan and why; ``change`` is against the plan in force, None where there is none."""
    found: dict[str, str] = {}
    if change is not None and (most := guards.max_cost_rise_fraction) is not None:
        rise = change.usd_per_hour_after / max(change.usd_per_hour_before, 1e-9) - 1
        if rise > most:
            found["cost"] = f"costs {rise:.1%} more than the plan in force, at most {most:.1%} may be"
    if change is not None and (most := guards.max_changed_fraction) is not None and change.changed_fraction > most:
        found["changes"] = f"changes {change.changed_fraction:.1%} of replicas, at most {most:.1%} may be"
    if (most := guards.max_gap) is not None and (plan.relative_gap is None or plan.relative_gap > most):
        told = "unknown" if plan.relative_gap is None else f"{plan.relative_gap:.2%}"
        found["gap"] = f"its gap is {told}, at most {most:.2%} may be"
    if (days := guards.max_price_age_days) is not None:
        age = (date.fromisoformat(plan.instance.as_of) - date.fromisoformat(plan.oldest_price)).days
        if age > days:
            found["prices"] = f"rests on a price {age} days old, at most {days:g} may be"
    return found
