"""Switch off one head or row family after another in the shipped questions, and tell what that changes.

Run ``python tests/benchmarks/heads.py -o docs/heads.md``. Beside the cost of both plans stands what the shipped plan would cost
in the changed question, where that can be told: if the new plan is cheaper still, the shipped one is no longer the best.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from optimizer import Instance, Options, Plan, allocate, load_instance

INSTANCES = Path(__file__).resolve().parents[2] / "instances"
Change = Callable[[Instance], Instance]
FIELDS = ("accelerator", "precision", "compression")


@dataclass(frozen=True)
class Case:
    """One family switched off in one shipped question; ``head`` is the bill's line it takes away, if it is one."""

    family: str
    instance: str
    change: Change
    head: str | None = None
    keeps_the_plan: bool = True


@dataclass(frozen=True)
class Outcome:
    """Both plans; ``kept_usd`` is what the shipped one costs in the changed question, None where it does not answer it."""

    case: Case
    shipped: Plan
    changed: Plan
    kept_usd: float | None

    @property
    def what(self) -> str:
        """Say what differs: the strongest of accelerator, precision and compression, or only counts."""
        if self.gain_usd is not None and self.gain_usd <= self.doubt_usd:
            return f"not proved: the shipped plan is within {max(self.gain_usd, 0):.2f} of it"
        found = [f for f in FIELDS if _used(self.shipped, f) != _used(self.changed, f)]
        if not found and _counts(self.shipped) != _counts(self.changed):
            return "counts or places"
        return ", ".join(found) or "nothing"

    @property
    def doubt_usd(self) -> float:
        """Give how far the shipped plan may be from the best in its own question, USD per hour, and a cent."""
        bound = self.shipped.bound_usd
        return 0.01 + (self.shipped.usd_per_hour if bound is None else self.shipped.usd_per_hour - bound)

    @property
    def gain_usd(self) -> float | None:
        """Give by how much the new plan undercuts the shipped one in the changed question, USD per hour."""
        return None if self.kept_usd is None else self.kept_usd - self.changed.usd_per_hour


def _used(plan: Plan, field: str) -> set[tuple[object, str]]:
    """Give which accelerators, precisions or compressions each workload uses."""
    serving = {(w, str(getattr(d, field))) for d in plan.deployments for w in d.workloads}
    return serving | {(run.job, str(getattr(run, field))) for run in plan.training}


def _counts(plan: Plan) -> list[tuple[object, ...]]:
    runs = [(("", r.job), r.offer, r.option, "", r.gang, r.gangs_at_once) for r in plan.training]
    return sorted(
        [(d.workloads, d.offer, str(d.option), d.period, d.accelerators_per_replica, d.replicas) for d in plan.deployments] + runs
    )


def without(*names: str) -> Change:
    """Give the question with lists of entries taken out."""
    return lambda q: q.replace(**{name: [] for name in names})


def without_unit_licences(q: Instance) -> Instance:
    """Take out what is paid per accelerator; flat licences stay."""
    return q.replace(licences=[x for x in q.licences if x.kind == "flat"])


def without_flat_licences(q: Instance) -> Instance:
    """Take out what is paid once; licences per accelerator stay."""
    return q.replace(licences=[x for x in q.licences if x.kind == "unit"])


def without_setup(q: Instance) -> Instance:
    """Let every form be there already."""
    return q.replace(policy=q.policy.model_copy(update={"setup": None}))


def without_maintenance(q: Instance) -> Instance:
    """Let no form cost anything to keep."""
    free = {"maintenance_usd_per_month": 0.0}
    models = [m.model_copy(update={"variants": tuple(v.model_copy(update=free) for v in m.variants)}) for m in q.catalogs.models]
    return q.replace(catalogs=q.catalogs.model_copy(update={"models": tuple(models)}))


def without_switches(q: Instance) -> Instance:
    """Take out all that is paid once something is in use."""
    return without_maintenance(without_setup(without("people", "data")(q)))


def without_reserved(q: Instance) -> Instance:
    """Take out reserved prices."""
    paid_by_use = [(o, tuple(p for p in o.prices if p.option.value != "reserved")) for o in q.catalogs.offers]
    kept = tuple(o.model_copy(update={"prices": prices}) for o, prices in paid_by_use if prices)
    return q.replace(catalogs=q.catalogs.model_copy(update={"offers": kept}))


def with_workloads(**changes: object) -> Change:
    """Give the question with the same fields changed in every workload."""
    return lambda q: q.replace(workloads=[w.model_copy(update=changes) for w in q.workloads])


def without_floors(q: Instance) -> Instance:
    """Let any accuracy do, as long as it is known."""
    none = {"floor_fraction_of_baseline": 0.01}
    return q.replace(
        workloads=[w.model_copy(update={"accuracy": w.accuracy and w.accuracy.model_copy(update=none)}) for w in q.workloads]
    )


def per_request_floors(q: Instance) -> Instance:
    """Ask floors of every request, where they held on average."""
    each = {"aggregation": "per_request"}
    return q.replace(
        workloads=[w.model_copy(update={"accuracy": w.accuracy and w.accuracy.model_copy(update=each)}) for w in q.workloads]
    )


def with_jobs(**changes: object) -> Change:
    """Give the question with the same fields changed in every training job that may start at any time."""
    return lambda q: q.replace(
        workloads=[w.model_copy(update=changes) if w.kind == "training" and w.start is None else w for w in q.workloads]
    )


def with_sites(**changes: object) -> Change:
    """Give the question with the same fields changed at every site."""
    return lambda q: q.replace(sites=[s.model_copy(update=changes) for s in q.sites])


def without_limit(name: str) -> Change:
    """Give the question without one limit."""
    return lambda q: q.replace(limits=[x for x in q.limits if x.name != name])


def free_routes(q: Instance) -> Instance:
    """Let nothing that is sent cost anything."""
    return q.replace(routes=[r.model_copy(update={"usd_per_gib": 0.0}) for r in q.routes])


def free_power(q: Instance) -> Instance:
    """Let electricity cost next to nothing; a tariff is never zero."""
    free = [s.model_copy(update={"usd_per_kwh": s.usd_per_kwh.model_copy(update={"value": 1e-9})}) for s in q.sites]
    return q.replace(sites=free)


def without_sites(q: Instance) -> Instance:
    """Own nothing."""
    places = {s.region for s in q.sites}
    workloads = [
        w.model_copy(update={"regions_allowed": tuple(r for r in w.regions_allowed or () if r not in places)})
        for w in q.workloads
    ]
    mine = [x for x in q.limits if x.match.provider != "own" and x.match.option != "owned"]
    routes = [r for r in q.routes if r.provider != "own"]
    return q.replace(sites=[], workloads=workloads, limits=mine, routes=routes)


def without_jobs(q: Instance) -> Instance:
    """Train nothing."""
    return q.replace(workloads=[w for w in q.workloads if w.kind != "training"])


def at_the_peak(q: Instance) -> Instance:
    """Plan one period in which every class is at its busiest."""
    workloads = []
    for w in q.workloads:
        rates = [(c, c.rate.value) for c in w.classes]
        peaks = [(c, max(v.values()) if isinstance(v, dict) else v) for c, v in rates]
        classes = [c.model_copy(update={"rate": c.rate.model_copy(update={"value": v})}) for c, v in peaks]
        workloads.append(w.model_copy(update={"classes": tuple(classes)}))
    return q.replace(workloads=workloads, periods=[{"name": "always", "hours": 730.0, "per_month": 1.0}])


CASES = [
    Case("people", "cv", without("people"), "people"),
    Case("people", "recommendation", without("people"), "people"),
    Case("licence per accelerator", "cv", without_unit_licences, "licence"),
    Case("flat licence", "cv", without_flat_licences, "licence"),
    Case("data", "recommendation", without("data"), "data"),
    Case("setup", "cv", without_setup, "setup"),
    Case("setup", "recommendation", without_setup, "setup"),
    Case("maintenance", "cv", without_maintenance, "maintenance"),
    Case("maintenance", "recommendation", without_maintenance, "maintenance"),
    Case(
        "all switches", "recommendation", lambda q: without_maintenance(without_setup(without("people", "data")(q))), "switches"
    ),
    Case("risk", "recommendation", without("interruptions"), "risk"),
    Case("risk", "dialogue", without("interruptions"), "risk"),
    Case("spot share (all may be spot)", "cv", with_workloads(max_spot_fraction=1.0)),
    Case("spot share (all may be spot)", "recommendation", with_workloads(max_spot_fraction=1.0)),
    Case("commitment: no reserved prices", "dialogue", without_reserved, None, keeps_the_plan=False),
    Case("periods: one, at the peak", "recommendation", at_the_peak, None, keeps_the_plan=False),
    Case("periods: one, at the peak", "dialogue", at_the_peak, None, keeps_the_plan=False),
    Case("training: deadlines of a month", "science", with_jobs(deadline_hours=730.0)),
    Case("training: no spot", "science", with_jobs(max_spot_fraction=0.0), None, keeps_the_plan=False),
    Case("training: none", "science", without_jobs, None, keeps_the_plan=False),
    Case("people", "science", without("people"), "people"),
    Case("risk, and hours lost", "science", without("interruptions"), "risk"),
    Case("commitment: no reserved prices", "science", without_reserved, None, keeps_the_plan=False),
    Case("limits", "science", without("limits")),
    Case("transfer", "company", free_routes, "transfer"),
    Case("power: the price of electricity", "company", free_power, "power"),
    Case("power: no caps", "company", with_sites(max_power_kw=None)),
    Case("carbon: no cap", "company", without_limit("carbon of our own rooms")),
    Case("budget for machines", "company", without_limit("machines of our own")),
    Case("owned: none", "company", without_sites, None, keeps_the_plan=False),
    Case("training: none", "company", without_jobs, None, keeps_the_plan=False),
    Case("people", "company", without("people"), "people"),
    Case("licence per accelerator", "company", without_unit_licences, "licence"),
    Case("limits", "cv", without("limits")),
    Case("transfer", "cv", free_routes, "transfer"),
    Case("limits", "recommendation", without("limits")),
    Case("accuracy floor", "cv", without_floors),
    Case("accuracy floor", "recommendation", without_floors),
    Case("floor on average", "cv", per_request_floors, None, keeps_the_plan=False),
]


@cache
def question(name: str) -> Instance:
    """Read a shipped question once."""
    return load_instance(INSTANCES / f"{name}.json")


@cache
def shipped(name: str, options: Options) -> Plan:
    """Plan a shipped question once."""
    return allocate(question(name), options)


def amount(plan: Plan, head: str | None) -> float:
    """Give what the bill has under a head, USD per hour; ``switches`` are four of them."""
    heads = ("people", "data", "setup", "maintenance") if head == "switches" else (head,)
    return sum(cost.usd_per_hour for name, cost in plan.costs.items() if name in heads)


def outcome(case: Case, options: Options) -> Outcome:
    """Plan a question with and without one family."""
    before, after = shipped(case.instance, options), allocate(case.change(question(case.instance)), options)
    kept = before.usd_per_hour - amount(before, case.head)
    if case.head == "licence":
        kept = before.usd_per_hour - _licence_gone(case, before)
    return Outcome(case, before, after, kept if case.keeps_the_plan else None)


def _licence_gone(case: Case, plan: Plan) -> float:
    """Give what of the licences the change takes away: flat ones are switches, the rest is paid per accelerator."""
    flat = sum(s.usd_per_hour for s in plan.switches if s.head == "licence")
    return flat if case.family == "flat licence" else amount(plan, "licence") - flat


def table(outcomes: Iterable[Outcome]) -> str:
    """Give the outcomes as Markdown."""
    lines = [
        "| family switched off | instance | shipped, USD/h | shipped plan without it | best without it | gaps | what changes |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for o in outcomes:
        kept = "" if o.kept_usd is None else f"{o.kept_usd:,.2f}"
        gaps = " / ".join("-" if p.relative_gap is None else f"{p.relative_gap:.2%}" for p in (o.shipped, o.changed))
        row = [
            o.case.family,
            o.case.instance,
            f"{o.shipped.usd_per_hour:,.2f}",
            kept,
            f"{o.changed.usd_per_hour:,.2f}",
            gaps,
            o.what,
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, or write it below its explanation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gap", type=float, default=0.002)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--only", help="an instance")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    options = Options(relative_gap=arguments.gap, time_limit_s=arguments.time_limit)
    cases = [case for case in CASES if arguments.only in (None, case.instance)]
    done = []
    for case in cases:
        done.append(outcome(case, options))
        print(table(done[-1:]).splitlines()[-1], flush=True)
    if arguments.output is not None:
        arguments.output.write_text(HEADING + table(done), encoding="utf-8")


HEADING = """# What each head and row family changes

Made by `python tests/benchmarks/heads.py -o docs/heads.md`. One family at a time is switched off in a shipped question. The
fourth column is what the shipped plan costs there; where the best plan without the family (fifth) costs less, its absence changes
the choice, by more than what is no longer paid. It is blank where the shipped plan does not answer the changed question.

"""

if __name__ == "__main__":
    main()
