"""Switch off one head or row family after another in the shipped questions, and tell what that changes.

Run ``python tests/benchmarks/heads.py --only INSTANCE -o docs/heads.md``. Beside the cost of both plans stands what the shipped
plan would cost in the changed question, where that can be told: if the new plan is cheaper, the shipped one is not the best.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from optimizer import Instance, Options, Plan, allocate, load_instance
from tests.benchmarks import switching as off
from tests.benchmarks.switching import Change, Kept, as_it_is, less

INSTANCES = Path(__file__).resolve().parents[2] / "instances"
FIELDS = ("accelerator", "precision", "compression")
LARGE = ("company", "cv", "dialogue")
HEADER = (
    "| family switched off | shipped, USD/h | shipped plan without it | best without it | gaps | what changes |",
    "| --- | ---: | ---: | ---: | --- | --- |",
)


@dataclass(frozen=True)
class Case:
    """One family switched off in one shipped question.

    ``kept`` says what the shipped plan costs in the changed question, None where it does not answer it. ``in_force`` makes the
    question whose plan is in force in both.
    """

    family: str
    instance: str
    change: Change
    kept: Kept | None = as_it_is
    in_force: Change | None = None


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
        return 0.01 + (self.shipped.objective_usd if bound is None else self.shipped.objective_usd - bound)

    @property
    def gain_usd(self) -> float | None:
        """Give by how much the new plan undercuts the shipped one in the changed question, USD per hour."""
        return None if self.kept_usd is None else self.kept_usd - self.changed.objective_usd


def _used(plan: Plan, field: str) -> set[tuple[object, str]]:
    """Give which accelerators, precisions or compressions each workload uses."""
    serving = {(w, str(getattr(d, field))) for d in plan.deployments for w in d.workloads}
    return serving | {(run.job, str(getattr(run, field))) for run in plan.training}


def _counts(plan: Plan) -> list[tuple[object, ...]]:
    runs = [(("", r.job), r.offer, r.option, "", r.gang, r.gangs_at_once) for r in plan.training]
    return sorted(
        [(d.workloads, d.offer, str(d.option), d.period, d.accelerators_per_replica, d.replicas) for d in plan.deployments] + runs
    )


CASES = [
    Case("fractions of an accelerator", "claims", off.without("fractions"), None),
    Case("storage (a record kept)", "claims", off.free_storage, less("storage")),
    Case("flat licence (a cluster's)", "claims", off.without_flat_licences, off.less_switches("licence")),
    Case("power: the price of electricity", "claims", off.free_power, less("power")),
    Case("carbon: no cap", "claims", off.with_sites(max_gco2_per_hour=None)),
    Case("budget for machines", "claims", off.without_limit("machines")),
    Case("whole machines: by the card", "claims", off.hosts_by_the_card),
    Case("utilization cap: 1", "claims", off.to_the_brim),
    Case("accuracy floor", "claims", off.without_floors),
    Case("latency targets", "claims", off.with_workloads(latency=())),
    Case("insured losses: none", "helpline", off.insured_against()),
    Case("insured losses: of a region only", "helpline", off.insured_against("region")),
    Case("insured losses: of a replica only", "helpline", off.insured_against("replicas")),
    Case("shared pools (adapters)", "tutor", off.without("shared_pools"), None),
    Case("shedding", "tutor", off.without_shedding, None),
    Case("objective profit: cost", "tutor", off.for_least_cost, off.without_revenue),
    Case("storage and fetching of weights", "tutor", off.free_storage, less("storage", "transfer")),
    Case("starts", "tutor", off.without("starts"), less("setup")),
    Case("price rules", "tutor", off.without("price_rules"), None),
    Case("purchase lots", "tutor", off.one_by_one),
    Case("licence per accelerator", "tutor", off.without_unit_licences, off.less_unit_licences),
    Case("change: all of it", "tutor", off.without_change_policy, off.less_change, off.before_the_rules),
    Case("change: its price", "tutor", off.with_change(**off.FREE), off.less_change, off.before_the_rules),
    Case("change: at most so much", "tutor", off.with_change(max_changed_accelerators=None), as_it_is, off.before_adapters),
    Case("change: what it must save", "tutor", off.with_change(minimum_saving_usd_per_month=0.0), as_it_is, off.before_the_rules),
    Case("people", "cv", off.without("people"), less("people")),
    Case("licence per accelerator", "cv", off.without_unit_licences, off.less_unit_licences),
    Case("flat licence", "cv", off.without_flat_licences, off.less_switches("licence")),
    Case("setup", "cv", off.without_setup, less("setup")),
    Case("maintenance", "cv", off.without_maintenance, less("maintenance")),
    Case("transfer", "cv", off.free_routes, less("transfer")),
    Case("spot share (all may be spot)", "cv", off.with_workloads(max_spot_fraction=1.0)),
    Case("limits", "cv", off.without("limits")),
    Case("accuracy floor", "cv", off.without_floors),
    Case("accuracy on average: no floor there", "cv", off.without_average_floors),
    Case("people", "recommendation", off.without("people"), less("people")),
    Case("data", "recommendation", off.without("data"), less("data")),
    Case("setup", "recommendation", off.without_setup, less("setup")),
    Case("maintenance", "recommendation", off.without_maintenance, less("maintenance")),
    Case("all switches", "recommendation", off.without_switches, less("people", "data", "setup", "maintenance")),
    Case("risk", "recommendation", off.without("interruptions"), less("risk")),
    Case("spot share (all may be spot)", "recommendation", off.with_workloads(max_spot_fraction=1.0)),
    Case("periods: one, at the peak", "recommendation", off.at_the_peak, None),
    Case("limits", "recommendation", off.without("limits")),
    Case("accuracy floor", "recommendation", off.without_floors),
    Case("accuracy on average: no floor there", "recommendation", off.without_average_floors),
    Case("risk", "dialogue", off.without("interruptions"), less("risk")),
    Case("commitment: no reserved prices", "dialogue", off.without_reserved, None),
    Case("periods: one, at the peak", "dialogue", off.at_the_peak, None),
    Case("training: deadlines of a month", "science", off.with_jobs(deadline_hours=730.0)),
    Case("training: no spot", "science", off.with_jobs(max_spot_fraction=0.0), None),
    Case("training: none", "science", off.without_jobs, None),
    Case("people", "science", off.without("people"), less("people")),
    Case("risk, and hours lost", "science", off.without("interruptions"), less("risk")),
    Case("commitment: no reserved prices", "science", off.without_reserved, None),
    Case("commitment: reserved, paid by use", "science", off.reserved_by_use),
    Case("limits", "science", off.without("limits")),
    Case("transfer", "company", off.free_routes, less("transfer")),
    Case("power: the price of electricity", "company", off.free_power, less("power")),
    Case("power: no caps", "company", off.with_sites(max_power_kw=None)),
    Case("carbon: no cap", "company", off.without_limit("carbon of our own rooms")),
    Case("budget for machines", "company", off.without_limit("machines of our own")),
    Case("owned: none", "company", off.without_sites, None),
    Case("training: none", "company", off.without_jobs, None),
    Case("people", "company", off.without("people"), less("people")),
    Case("licence per accelerator", "company", off.without_unit_licences, off.less_unit_licences),
]


@cache
def question(name: str) -> Instance:
    """Read a shipped question once."""
    return load_instance(INSTANCES / f"{name}.json")


@cache
def shipped(name: str, in_force: Change | None, options: Options) -> tuple[Plan, Plan | None]:
    """Plan a shipped question once, against a plan in force if there is one, and give that too."""
    before = None if in_force is None else allocate(in_force(question(name)), options)
    return allocate(question(name), options, plan_in_force=before), before


def outcome(case: Case, options: Options) -> Outcome:
    """Plan a question with and without one family."""
    plan, in_force = shipped(case.instance, case.in_force, options)
    changed = allocate(case.change(question(case.instance)), options, plan_in_force=in_force)
    return Outcome(case, plan, changed, None if case.kept is None else case.kept(plan))


def row(o: Outcome) -> str:
    """Give an outcome as a row of Markdown."""
    kept = "" if o.kept_usd is None else f"{o.kept_usd:,.2f}"
    gaps = " / ".join("-" if p.relative_gap is None else f"{p.relative_gap:.2%}" for p in (o.shipped, o.changed))
    amounts = [f"{o.shipped.objective_usd:,.2f}", kept, f"{o.changed.objective_usd:,.2f}"]
    return "| " + " | ".join([o.case.family, *amounts, gaps, o.what]) + " |"


def section(name: str, rows: list[str], options: Options) -> str:
    """Give an instance's part of the document."""
    made = f"Gap {options.relative_gap:g}, at most {options.time_limit_s:g} s a plan."
    return "\n".join([f"## {name}", "", made, "", *HEADER, *rows, ""])


def with_section(document: str, name: str, text: str) -> str:
    """Put an instance's part into the document, in place of the one that is there."""
    parts = document.split("\n## ")
    kept = [part for part in parts[1:] if part.split("\n", 1)[0] != name] + [text.removeprefix("## ")]
    return "\n## ".join([parts[0], *sorted(kept)]).rstrip() + "\n"


def main() -> None:
    """Print the rows, or write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--gap", type=float, help="default: 0.005 for the large questions, 0.001 for the others")
    parser.add_argument("--only", help="an instance", choices=sorted({case.instance for case in CASES}))
    parser.add_argument("--family", help="families whose name has this in it", default="")
    parser.add_argument("-o", "--output", type=Path, help="the document whose parts are replaced")
    arguments = parser.parse_args()
    for name in sorted({case.instance for case in CASES if arguments.only in (None, case.instance)}):
        gap = arguments.gap or (0.005 if name in LARGE else 0.001)
        options, rows = Options(relative_gap=gap, time_limit_s=arguments.time_limit), []
        for case in CASES:
            if case.instance == name and arguments.family in case.family:
                rows.append(row(outcome(case, options)))
                print(rows[-1], flush=True)
        if arguments.output is not None:
            document = arguments.output.read_text(encoding="utf-8")
            arguments.output.write_text(with_section(document, name, section(name, rows, options)), encoding="utf-8")


if __name__ == "__main__":
    main()
