"""What differs between two plans: replicas by pool, offer, option and period; and why, where both questions are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from optimizer.instance import BatchWorkload, Instance, ServingWorkload, TrainingWorkload
from optimizer.plan import Plan

__all__ = ["Change", "Difference", "difference", "reasons_of"]

_Place = tuple[str, str, str, str, str]
"""Pool, accelerator, offer, option, period."""


@dataclass(frozen=True)
class Change:
    """Replicas of one configuration on one offer in one period: before, after, and why, as far as the questions tell."""

    pool: str
    workloads: tuple[str, ...]
    accelerator: str
    offer: str
    option: str
    period: str
    before: int
    after: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """All changes, the share of replicas that they touch, and what each workload and the whole cost before and after."""

    changes: tuple[Change, ...]
    changed_fraction: float
    usd_per_hour_before: float
    usd_per_hour_after: float
    saving_usd_per_hour_by_workload: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Give a table for people."""
        cost = f"{self.usd_per_hour_before:,.2f} → {self.usd_per_hour_after:,.2f} USD/h"
        head = f"{cost}, {self.changed_fraction:.1%} of replicas change\n"
        if not self.changes:
            return head
        lines = ["| pool | offer | option | period | before | after | why |", "| --- | --- | --- | --- | ---: | ---: | --- |"]
        for c in self.changes:
            cells = (c.pool, c.offer, c.option, c.period, str(c.before), str(c.after), ", ".join(c.reasons) or "-")
            lines.append("| " + " | ".join(cells) + " |")
        saved = [f"| {name} | {usd:+,.2f} |" for name, usd in self.saving_usd_per_hour_by_workload.items() if abs(usd) >= 0.005]
        table = ["", "| workload | saves USD/h |", "| --- | ---: |", *saved] if saved else []
        return head + "\n" + "\n".join(lines + table) + "\n"


def difference(before: Plan, after: Plan, reasons: dict[str, tuple[str, ...]] | None = None) -> Difference:
    """Compare two plans; ``reasons`` by workload, and by offer and option, come from ``reasons_of``.

    The gang of a training job counts as a replica in the first period of its run. The fraction is replicas started and stopped
    over those of both plans: 0 for the same fleet, 1 for two that share nothing.
    """
    old, new, shown = Counter[_Place](), Counter[_Place](), dict[_Place, tuple[str, ...]]()
    for plan, counted in ((before, old), (after, new)):
        for place, workloads, count in _placed(plan):
            counted[place] += count
            shown[place] = workloads
    changes, reasons = [], reasons or {}
    for place in sorted(shown):
        if old[place] != new[place]:
            pool, accelerator, offer, option, period = place
            why = [r for key in (*shown[place], f"{offer} {option}") for r in reasons.get(key, ())]
            found = tuple(dict.fromkeys(why)) or (("another choice changed",) if reasons else ())
            changed = (shown[place], accelerator, offer, option, period, old[place], new[place], found)
            changes.append(Change(pool, *changed))
    moved = sum(abs(c.after - c.before) for c in changes)
    cost, now = (
        {w.name: w.usd_per_hour for w in plan.workloads} | {run.job: run.usd_per_hour for run in plan.training}
        for plan in (before, after)
    )
    saving = {name: cost.get(name, 0.0) - now.get(name, 0.0) for name in sorted(cost.keys() | now.keys())}
    total = max(old.total() + new.total(), 1)
    return Difference(tuple(changes), moved / total, before.usd_per_hour, after.usd_per_hour, saving)


def _placed(plan: Plan) -> Iterator[tuple[_Place, tuple[str, ...], int]]:
    """Yield (place, workloads, count) of replicas and of gangs that train."""
    for d in plan.deployments:
        yield (d.pool, d.accelerator, d.offer, d.option, d.period), d.workloads, d.replicas
    for run in plan.training:
        gang = f"{run.job}: {run.precision} on {run.gang} x {run.accelerator} in {run.provider}/{run.region}"
        yield (gang, run.accelerator, run.offer, run.option, run.periods[0]), (run.job,), run.gangs_at_once


def reasons_of(before: Instance, after: Instance) -> dict[str, tuple[str, ...]]:
    """Say what of the question changed, by workload name and by ``offer option``: price, demand, catalog, limit, accuracy."""
    found: dict[str, list[str]] = {}
    old, new = _prices(before), _prices(after)
    for key in old.keys() | new.keys():
        if key not in new or key not in old:
            found.setdefault(key, []).append("catalog")
        elif old[key] != new[key]:
            found.setdefault(key, []).append("price")
    general = []
    if any(old.get(key) != new.get(key) for key in old.keys() | new.keys()):
        general.append("price")
    if before.catalogs.models != after.catalogs.models or before.catalogs.profiles != after.catalogs.profiles:
        general.append("catalog")
    if before.limits != after.limits:
        general.append("limit")
    earlier = {w.name: w for w in before.workloads}
    for workload in after.workloads:
        was, why = earlier.get(workload.name), []
        if was is None or _volume(was) != _volume(workload):
            why.append("demand")
        if was is not None and (was.accuracy != workload.accuracy or was.latency != workload.latency):
            why.append("accuracy" if was.accuracy != workload.accuracy else "latency")
        found[workload.name] = [*why, *general]
    return {name: tuple(why) for name, why in found.items()}


def _prices(instance: Instance) -> dict[str, float]:
    return {f"{o.label} {p.option.value}": p.usd_per_hour for o in instance.catalogs.offers for p in o.prices}


def _volume(workload: object) -> object:
    if isinstance(workload, ServingWorkload):
        return [(c.name, c.rate.value) for c in workload.classes]
    if isinstance(workload, TrainingWorkload):
        return workload.work, workload.runs_per_month, workload.deadline_hours
    return workload.volume_requests if isinstance(workload, BatchWorkload) else None
