"""Thirty synthetic days: what re-planning with few changes costs, against the first plan for ever and a new plan every night.

Demand is the instance's own, hour by hour: classes of a workload resampled around their shares, a weekday's factor, a trend and
noise. Prices move on some days, one feed arrives damaged on some, one offer is gone on one. Days run through the job itself, in a
folder of their own. All of it is synthetic and says so; the seed fixes it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from optimizer.instance import Instance
from optimizer.nightly.config import DemandFeed, Feeds, Guards, NightlyConfig, PriceFeed, Publication
from optimizer.nightly.job import run_night
from optimizer.nightly.store import Store
from optimizer.nightly.world import World
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.read import load_instance
from optimizer.report.changes import difference

__all__ = ["ReplayedDay", "replay", "summary_of", "to_csv"]

MAX_AGE_HOURS = 14 * 24.0


@dataclass(frozen=True)
class ReplayedDay:
    """One day: cost (USD/h, at its prices), share of replicas changed, and share of demand carried, by way of planning."""

    day: str
    usd_per_hour: float
    changed_fraction: float
    coverage: float
    scratch_usd_per_hour: float
    scratch_changed_fraction: float
    scratch_coverage: float
    first_usd_per_hour: float
    first_coverage: float
    flags: int
    events: str


def replay(
    config: NightlyConfig, *, days: int = 30, seed: int = 0, tell: Callable[[str], None] = lambda line: None
) -> list[ReplayedDay]:
    """Replay days through the job of a configuration; its feeds are replaced by synthetic ones, its guards left out.

    Returns
    -------
    list of ReplayedDay, one a day, the first day included
    """
    base = load_instance(config.at(config.instance))
    world = World(base, days, np.random.default_rng(seed))
    found: list[ReplayedDay] = []
    with TemporaryDirectory(prefix="allocate-replay-") as name:
        folder = Path(name)
        mine = _in(folder, config, world)
        plans: list[tuple[Plan, Plan]] = []  # of each day: by the job, and anew
        first_question: Instance | None = None
        for number in range(days):
            world.write(folder, number)
            outcome = run_night(mine, day=world.day(number), now=world.now(number))
            with Store(mine.store_url) as store:
                run = store.last_published()
            assert run is not None
            assert outcome.plan is not None
            question = Instance.model_validate_json(run["question"])
            first_question = first_question or question
            plans.append((outcome.plan, outcome.plan if number == 0 else _anew(config, question)))
            found.append(_told(world, number, plans, question, first_question, len(outcome.flags)))
            tell(_line(found[-1]))
    return found


def _told(
    world: World, number: int, plans: list[tuple[Plan, Plan]], question: Instance, first_question: Instance, flags: int
) -> ReplayedDay:
    (ours, anew), before, first = plans[-1], plans[-2] if number else None, plans[0][0]
    return ReplayedDay(
        day=world.day(number),
        usd_per_hour=_at_prices(ours, question),
        changed_fraction=difference(before[0], ours).changed_fraction if before else 0.0,
        coverage=world.coverage(ours, question, number),
        scratch_usd_per_hour=_at_prices(anew, question),
        scratch_changed_fraction=difference(before[1], anew).changed_fraction if before else 0.0,
        scratch_coverage=world.coverage(anew, question, number),
        first_usd_per_hour=_at_prices(first, question),
        first_coverage=world.coverage(first, first_question, number),
        flags=flags,
        events=", ".join(world.events(number)),
    )


def _line(d: ReplayedDay) -> str:
    ours = f"{d.day}: {d.usd_per_hour:,.2f} USD/h, {d.changed_fraction:.1%} changed"
    anew = f"anew {d.scratch_usd_per_hour:,.2f}, {d.scratch_changed_fraction:.1%}"
    return f"{ours}; {anew}" + (f" ({d.events})" if d.events else "")


def _in(folder: Path, config: NightlyConfig, world: World) -> NightlyConfig:
    """Give the configuration for a folder: synthetic feeds, no guards, nobody told."""
    prices = tuple(
        PriceFeed(name=p, provider=p, path=f"{p}.csv", manifest=f"{p}.manifest.json", max_age_hours=MAX_AGE_HOURS)
        for p in world.providers
    )
    demand = DemandFeed(kind="csv", path="demand.csv", manifest="demand.manifest.json")
    changes = {
        "base": str(folder),
        "instance": str(config.at(config.instance).resolve()),
        "state": "state",
        "store": f"sqlite:///{folder / 'store.sqlite'}",
        "feeds": Feeds(prices=prices, demand=demand),
        "guards": Guards(max_cost_rise_fraction=None, max_changed_fraction=None, max_gap=None),
        "publish": Publication(directory="plans", metrics_textfile=None),
    }
    return config.model_copy(update=changes)


def _anew(config: NightlyConfig, question: Instance) -> Plan:
    p = config.solve
    return allocate(question, Options(p.backend, p.time_limit_s, p.gap, p.method, p.threads, p.seed))


def _at_prices(plan: Plan, question: Instance) -> float:
    """Give what a plan costs at a question's prices, USD/h: rent anew, the rest as the plan says, without changes."""
    price = {(o.label, p.option.value): p.usd_per_hour for o in question.catalogs.offers for p in o.prices}
    share = {p.name: p.month_share for p in question.periods}
    old = sum(r.usd_per_hour * share[r.period] for r in plan.rentals)
    new = sum(price.get((r.offer, r.option), r.usd_per_instance_hour) * r.instances * share[r.period] for r in plan.rentals)
    for run in (x for x in plan.training if x.option in ("on_demand", "spot")):
        old += run.usd_per_hour
        new += run.usd_per_hour * price.get((run.offer, run.option), run.usd_per_instance_hour) / run.usd_per_instance_hour
    return plan.usd_per_hour - (0.0 if plan.change is None else plan.change.usd_per_hour) - old + new


def to_csv(days: list[ReplayedDay]) -> str:
    """Give one row a day."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(ReplayedDay)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(d) for d in days)
    return out.getvalue()


def summary_of(days: list[ReplayedDay]) -> str:
    """Give the table of the three ways, Markdown: mean cost, mean churn a day after the first, coverage."""
    later = days[1:] or days

    def mean(name: str, rows: list[ReplayedDay] = days) -> float:
        return float(np.mean([getattr(d, name) for d in rows]))

    anew = mean("scratch_usd_per_hour")
    told = ", ".join(f"{what} on {sum(what in d.events for d in days)}" for what in ("prices move", "damaged", "gone"))
    found = [
        f"{len(days)} synthetic days from {days[0].day}: {told}.",
        "",
        "| way | USD/h | against every night anew | replicas changed a night | demand covered |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    ways = {"nightly, few changes": "", "(a) the first plan for ever": "first_", "(b) every night anew": "scratch_"}
    for name, prefix in ways.items():
        usd, covered = mean(f"{prefix}usd_per_hour"), mean(f"{prefix}coverage")
        churn = 0.0 if prefix == "first_" else mean(f"{prefix}changed_fraction", later)
        found.append(f"| {name} | {usd:,.2f} | {usd / anew - 1:+.2%} | {churn:.1%} | {covered:.2%} |")
    return "\n".join(found) + "\n"
