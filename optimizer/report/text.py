"""A plan as text: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from optimizer.plan import Baseline, Deployment, EnergyUse, PeriodChange, Plan, WorkloadResult

if TYPE_CHECKING:
    from optimizer.compile import Rejected

__all__ = ["FORMATS", "render", "render_counts", "render_rejected"]

FORMATS = ("table", "json", "csv", "markdown")
NARROWEST, WIDEST = 100, 200


def render(plan: Plan, form: str = "table", *, next_command: str = "") -> str:
    """Give a plan as ``table``, ``markdown``, ``csv`` (its deployments) or ``json`` (the plan itself)."""
    if form == "json":
        return plan.to_json()
    if form == "csv":
        return _csv(
            [[_cell(getattr(d, f)) for f in Deployment.model_fields] for d in plan.deployments], list(Deployment.model_fields)
        )
    return "\n".join([*_opening(plan), *_tables(plan, markdown=form == "markdown"), *_closing(plan, next_command)]) + "\n"


def render_rejected(rejected: Sequence[Rejected], workload: str, *, markdown: bool = False) -> str:
    """Give the rejected candidates of a workload with their reasons."""
    mine = sorted((r for r in rejected if r.workload == workload), key=lambda r: (r.code, r.configuration.label))
    rows = [[r.configuration.label, r.code.replace("_", " "), r.reason] for r in mine]
    return (
        _table(f"Rejected for {workload}: {len(rows)}", ["configuration", "reason", "what decided"], rows, markdown=markdown)
        + "\n"
    )


def render_counts(counts: Mapping[str, int]) -> str:
    """Give counts as two columns."""
    return _table("", ["candidates", "count"], [[name, f"{count:,}"] for name, count in counts.items()], markdown=False) + "\n"


def _opening(plan: Plan) -> list[str]:
    proof = "proved optimal" if plan.stopped_by is None else f"feasible, stopped by {plan.stopped_by}"
    gap = "no bound known" if plan.relative_gap is None else f"gap {plan.relative_gap:.2g}"
    solver = f"{plan.backend} ({plan.backend_version}), {plan.method}"
    return [f"Plan for {plan.instance.name}, prices and demand as of {plan.instance.as_of}: {proof}, {gap}, by {solver}", ""]


def _tables(plan: Plan, *, markdown: bool) -> list[str]:
    parts = [_bill(plan, markdown)]
    if plan.deployments:
        parts = [_deployments(plan, markdown), *parts, _workloads(plan, markdown)]
    if plan.switches:
        parts.insert(2, _switches(plan, markdown))
    if plan.recourse:
        parts.append(_recourse(plan, markdown))
    if plan.training:
        parts.insert(1, _training(plan, markdown))
    if plan.unserved:
        parts.append(_unserved(plan, markdown))
    if plan.earnings:
        parts.append(_earnings(plan, markdown))
    if plan.starts:
        parts.append(_changes("Starts and stops between periods", plan.starts, markdown))
    if plan.change is not None and (moves := (*plan.change.moves, *plan.change.gone)):
        parts.append(_changes(f"Changes of the plan in force, {plan.change.usd:,.2f} USD once", moves, markdown))
    if plan.limits:
        parts.append(_limits(plan, markdown))
    return [text for part in parts for text in (part, "")]


def _deployments(plan: Plan, markdown: bool) -> str:
    head = ["workload", "model", "precision", "compression", "replicas", "accelerators", "offer", "option", "USD/h", "rests on"]
    several = len({d.period for d in plan.deployments}) > 1
    head = [*head, "period"] if several else head
    rows = [
        [
            ", ".join(d.workloads),
            d.model,
            d.precision,
            d.compression,
            f"{d.replicas}",
            f"{d.accelerators} x {d.accelerator}",
            d.offer,
            d.option.replace("_", "-"),
            f"{d.usd_per_hour:,.2f}",
            d.quality.value,
            *([d.period] if several else []),
        ]
        for d in plan.deployments
    ]
    return _table("Deployments", head, rows, markdown=markdown, right=("replicas", "USD/h"))


def _training(plan: Plan, markdown: bool) -> str:
    head = ["job", "precision", "gang", "layout", "GiB each", "offer", "option", "hours (written, lost)", "ends / deadline"]
    head += ["runs/month", "USD/h", "rests on"]
    rows = [
        [
            run.job,
            run.precision if run.compression == "none" else f"{run.precision}+{run.compression}",
            f"{run.gang} x {run.accelerator}" + (f" ({run.gangs_at_once} at once)" if run.gangs_at_once > 1 else ""),
            f"t{run.tensor} p{run.pipeline} d{run.data_parallel}",
            f"{run.memory_gib:.1f}",
            f"{run.instances} x {run.offer}",
            run.option.replace("_", "-"),
            f"{run.hours:,.1f} ({run.checkpoint_hours:.1f}, {run.lost_hours:.1f})",
            f"{run.finish_hours:,.1f} / {run.deadline_hours:,.0f}",
            f"{run.runs_per_month:g}",
            f"{run.usd_per_hour:,.2f}",
            run.quality.value,
        ]
        for run in plan.training
    ]
    return _table("Training", head, rows, markdown=markdown, right=("GiB each", "hours (written, lost)", "runs/month", "USD/h"))


def _bill(plan: Plan, markdown: bool) -> str:
    rows = [[head, f"{c.usd_per_hour:,.2f}", f"{c.usd_per_month:,.0f}"] for head, c in plan.costs.items() if c.usd_per_hour]
    rows.append(["total", f"{plan.usd_per_hour:,.2f}", f"{plan.usd_per_month:,.0f}"])
    return _table("Bill", ["head", "USD/h", "USD/month (730 h)"], rows, markdown=markdown, right=("USD/h", "USD/month (730 h)"))


def _switches(plan: Plan, markdown: bool) -> str:
    rows = [[s.head, s.name, f"{s.usd_per_hour:,.2f}", f"{len(s.pools)} pools", s.quality.value] for s in plan.switches]
    return _table(
        "Switched on by use", ["head", "what", "USD/h", "used by", "rests on"], rows, markdown=markdown, right=("USD/h",)
    )


def _recourse(plan: Plan, markdown: bool) -> str:
    rows = [
        [f"{r.replicas} of {r.lost}" if r.replicas else f"{r.event} {r.lost}", f"{r.workload}/{r.request_class}", r.period,
         r.pool, f"{r.share:.1%}"]
        for r in plan.recourse
    ]  # fmt: skip
    head = ["lost", "class", "period", "then served by", "share"]
    return _table("After insured losses", head, rows, markdown=markdown, right=("share",))


def _unserved(plan: Plan, markdown: bool) -> str:
    rows = [
        [u.workload, u.request_class, u.period, f"{u.share:.1%}", f"{u.requests_per_hour:,.0f}", f"{u.usd_per_hour:,.2f}"]
        for u in plan.unserved
    ]
    head = ["workload", "class", "period", "share", "requests/h", "USD/h"]
    return _table("Left unserved", head, rows, markdown=markdown, right=("share", "requests/h", "USD/h"))


def _earnings(plan: Plan, markdown: bool) -> str:
    """Give what workloads earn against what is their own of the bill, and the profit after all that they share."""
    head = ["workload", "revenue", "rent and answers", "unserved", "penalties", "margin"]
    rows = [
        [e.workload]
        + [
            f"{usd:,.2f}"
            for usd in (
                e.revenue_usd_per_hour,
                e.own_usd_per_hour,
                e.unserved_usd_per_hour,
                e.penalty_usd_per_hour,
                e.margin_usd_per_hour,
            )
        ]
        for e in plan.earnings
    ]
    profit = "" if plan.profit_usd_per_hour is None else f"; profit after the whole bill {plan.profit_usd_per_hour:,.2f}"
    return _table(f"Earnings, USD/h{profit}", head, rows, markdown=markdown, right=tuple(head[1:]))


def _changes(title: str, changes: Sequence[PeriodChange], markdown: bool) -> str:
    rows = [
        [c.pool, f"{c.offer} {c.option.replace('_', '-')}", c.period, f"{c.before} -> {c.after}", f"{c.usd_per_hour:,.2f}"]
        for c in changes
    ]
    return _table(title, ["pool", "offer", "period", "replicas", "USD/h"], rows, markdown=markdown, right=("USD/h",))


def _workloads(plan: Plan, markdown: bool) -> str:
    head = [
        "workload",
        "accuracy kept / floor",
        "latency against target (worst class)",
        "utilization / cap",
        "USD/h",
        "what binds",
    ]
    rows = [
        [
            w.name,
            "no floor" if w.accuracy_floor is None else f"{w.accuracy_kept:.4f} / {w.accuracy_floor:.4f} {w.accuracy_metric}",
            "; ".join(_latencies(w)) or "no target",
            f"{w.utilization:.0%} / {w.utilization_cap:.0%}",
            f"{w.usd_per_hour:,.2f}",
            ", ".join(w.binding_limits) or "-",
        ]
        for w in plan.workloads
    ]
    return _table("Workloads", head, rows, markdown=markdown, right=("USD/h",))


def _latencies(workload: WorkloadResult) -> Iterable[str]:
    """Give one text a target: the worst figure over classes and pools."""
    targets = dict.fromkeys((f.statistic, f.quantity, f.target_ms) for f in workload.latency)
    for statistic, quantity, target in targets:
        same = [f for f in workload.latency if (f.statistic, f.quantity, f.target_ms) == (statistic, quantity, target)]
        worst = max(f.value_ms for f in same)
        yield f"{statistic} {quantity.upper()} {worst:,.0f} / {target:,.0f} ms"


def _limits(plan: Plan, markdown: bool) -> str:
    rows = [
        [x.name, f"{_amount(x.used)} / {_amount(x.most)} {x.unit}", "binds" if x.binding else "", f"{x.quality}: {x.reason}"]
        for x in plan.limits
    ]
    return _table("Limits", ["limit", "used / most", "", "basis"], rows, markdown=markdown)


def _amount(number: float) -> str:
    """Give a whole number as it is, others to two places."""
    return f"{number:,.0f}" if number == round(number) or number >= 1000 else f"{number:,.2f}"


def _closing(plan: Plan, next_command: str) -> list[str]:
    good, usual = plan.baselines.good_practice, plan.baselines.usual_practice
    shares = ", ".join(f"{share:.0%} {quality}" for quality, share in plan.quality_shares.items() if share >= 0.005)
    alone, same = "each workload alone on its cheapest single on-demand type", "the same in 16 bits where that can serve"
    lines = [
        f"Cost ${plan.usd_per_hour:,.2f} / hour (${plan.usd_per_month:,.0f} / month at 730 h).",
        f"Saving {_against(good, 'good practice', alone)},",
        f"       {_against(usual, 'usual practice', same)}.",
        f"The cost rests on {shares} figures; the oldest price is of {plan.oldest_price}.",
        _energy(plan.energy),
        "Assumed:",
        *(f"  - {' '.join(text.split())}" for text in plan.assumptions),
        *(f"Warning: {' '.join(text.split())}" for text in plan.warnings),
        f"Verified: {len(plan.verification.rules)} rules, {len(plan.verification.failures)} failures.",
    ]
    return [*lines, *([f"Next: {next_command}"] if next_command else [])]


def _energy(energy: EnergyUse) -> str:
    """Give energy and carbon in one line, with the share of accelerators for which they are known."""
    kwh, grams = energy.kwh_per_hour, energy.gco2_per_hour
    parts = (
        (kwh, "kWh / hour", energy.energy_known_fraction),
        (grams and grams / 1000, "kgCO2 / hour", energy.carbon_known_fraction),
    )
    told = (f"{x:,.2f} {unit} (of {part:.0%} of accelerators)" if x is not None else f"{unit} unknown" for x, unit, part in parts)
    return f"Energy at the meter, where known: {', '.join(told)}."


def _against(baseline: Baseline, name: str, meaning: str) -> str:
    if not baseline.workloads:
        return f"none to tell against {name}: no workload can be served alone by one on-demand type"
    text = f"{baseline.saving_fraction:.1%} against {name} (${baseline.usd_per_hour:,.2f} / hour: {meaning}"
    if baseline.missing:
        text += f"; without {', '.join(baseline.missing)}, which no single type can serve"
    if baseline.limits_broken_together:
        text += f"; together it breaks {', '.join(map(repr, baseline.limits_broken_together))}"
    return text + ")"


def _cell(value: object) -> str:
    text = " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    return "'" + text if text[:1] in "=+-@\t\r\n" and not isinstance(value, int | float) else text


def _csv(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def _on_one_line(text: str) -> str:
    """Give a text that stays inside its cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool, right: Sequence[str] = ()) -> str:
    """Give a table as aligned text or as Markdown."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = io.StringIO()
    width = 10_000 if markdown else min(max(shutil.get_terminal_size((WIDEST, 0)).columns, NARROWEST), WIDEST)
    console = Console(file=out, width=width, color_system=None, highlight=False, emoji=False)
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD, pad_edge=markdown, show_edge=markdown)
    for name in head:
        table.add_column(escape(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_on_one_line(text) if markdown else text) for text in row))
    console.print(table)
    body = "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())
    return (f"### {title}\n\n" if markdown else f"{title}\n") * bool(title) + body
