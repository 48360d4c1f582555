"""What is left of a plan after a loss that a workload insures against: fewer replicas, other routes; simulated as a plan itself.

Requests are judged in the steady state after the loss; what was in flight at the moment itself is the business of ``--lose``.
"""

from __future__ import annotations

from collections import defaultdict

from optimizer.instance import Instance, Loss, Recourse
from optimizer.plan import Deployment, Plan, Route

__all__ = ["plans_after_losses"]


def plans_after_losses(instance: Instance, plan: Plan) -> list[tuple[str, Plan]]:
    """Give each loss that the plan answers, in words, with what the plan then is."""
    told: dict[tuple[Loss, str, int], list[Recourse]] = defaultdict(list)
    for r in plan.recourse:
        told[r.event, r.lost, r.replicas].append(r)
    return [(_words(*key), _after(instance, plan, *key, recourse)) for key, recourse in told.items()]


def _words(event: Loss, lost: str, replicas: int) -> str:
    return f"loss of {replicas} of {lost}" if event is Loss.REPLICAS else f"loss of {event} {lost}"


def _after(instance: Instance, plan: Plan, event: Loss, lost: str, replicas: int, recourse: list[Recourse]) -> Plan:
    """Give the plan without what is lost: requests of workloads that insure go as told, the others stay where they can."""
    kept, gone = [], defaultdict[str, int](lambda: replicas)
    for d in plan.deployments:
        if event is Loss.REPLICAS:
            taken = min(d.replicas, gone[d.period]) if d.pool == lost else 0
            gone[d.period] -= taken if d.pool == lost else 0
            kept += [d.model_copy(update={"replicas": d.replicas - taken})] if d.replicas > taken else []
        elif not _is_lost(instance, event, lost, d):
            kept.append(d)
    moved, there = {r.workload for r in recourse}, {(d.pool, d.period) for d in kept}
    routing = [
        Route(workload=r.workload, request_class=r.request_class, period=r.period, pool=r.pool, share=r.share) for r in recourse
    ]
    routing += [r for r in plan.routing if r.workload not in moved and (r.pool, r.period) in there]
    return plan.model_copy(update={"deployments": tuple(kept), "routing": tuple(routing)})


def _is_lost(instance: Instance, event: Loss, lost: str, d: Deployment) -> bool:
    """Say whether a deployment goes with a zone, a region or an offer's spot; what names no zone goes with every one."""
    place = f"{d.provider}/{d.region}"
    if event is Loss.REGION:
        return place == lost
    if event is Loss.SPOT:
        return d.option == "spot" and d.offer == lost
    zones = {o.zone for o in instance.catalogs.offers if o.label == d.offer}
    return lost in {place if zone is None else f"{place}/{zone}" for zone in zones} or (
        None in zones and lost.startswith(f"{place}/")
    )
