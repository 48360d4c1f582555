"""Training jobs as arrays: every way to run a job (precision, gang, offer, start), with its hours and what it occupies.

Hours are wall hours of one run, checkpoints and expected interruptions included. A run occupies whole instances in every period
that it touches; it is paid for the hours that it takes. Nothing here is the solver's: each way is one binary column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Layout
from optimizer.compile.candidates import REPLICA_FIELDS, CandidateTable, Rejected, accuracy_judged, allowed_offers
from optimizer.compile.offers import OfferTable
from optimizer.errors import InfeasibleError, Problem
from optimizer.instance import HOURS_PER_MONTH, Checkpoint, Instance, Match, Period, TrainingPrecision, TrainingWorkload
from optimizer.performance import Configuration, RunEstimate, run_estimate

__all__ = ["Run", "TrainingTable", "training_table"]

ROUNDING = 1e-9
"""Relative excess of hours over a deadline, or of gangs over a whole number, that is rounding."""


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run a job. ``instances`` hold one gang; ``gangs`` run at once; ``periods`` are those it touches, start first.

    ``hours`` is one run's wall time, ``wait_hours`` from the job's ``start`` to the period in which it starts; ``use`` the mean
    number of instances paid for over the month.
    """

    job: int
    form: TrainingPrecision
    accelerator: str
    gang: int
    offer: int
    estimate: RunEstimate
    accuracy: float
    hours: float
    wait_hours: float
    instances: int
    gangs: int
    periods: tuple[int, ...]
    use: float

    def configuration(self, job: TrainingWorkload) -> Configuration:
        """Give what a gang is, as a configuration."""
        return _configuration(job, self.accelerator, self.gang, self.form, self.estimate)


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """The ways to run each job, in canonical order (job, accelerator, precision, gang, offer, start); shapes (n_runs,)."""

    instance: Instance
    offers: OfferTable
    jobs: tuple[TrainingWorkload, ...]
    runs: tuple[Run, ...]
    rejected: tuple[Rejected, ...]

    def __len__(self) -> int:
        """Give the number of ways."""
        return len(self.runs)

    @cached_property
    def job(self) -> npt.NDArray[np.int64]:
        """Give the job of each way."""
        return np.array([run.job for run in self.runs], dtype=np.int64)

    @cached_property
    def offer(self) -> npt.NDArray[np.int64]:
        """Give the offer of each way."""
        return np.array([run.offer for run in self.runs], dtype=np.int64)

    @cached_property
    def use(self) -> npt.NDArray[np.float64]:
        """Give the instances paid for, on average over the month."""
        return np.array([run.use for run in self.runs], dtype=np.float64)

    @cached_property
    def touched(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give every (run, period) in which instances are occupied."""
        pairs = [(n, t) for n, run in enumerate(self.runs) for t in sorted(run.periods)]
        both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    @cached_property
    def instances(self) -> npt.NDArray[np.float64]:
        """Give the instances occupied at once."""
        return np.array([run.instances * run.gangs for run in self.runs], dtype=np.float64)

    @cached_property
    def accelerators(self) -> npt.NDArray[np.float64]:
        """Give the accelerators that work at once."""
        return np.array([run.gang * run.gangs for run in self.runs], dtype=np.float64)

    @cached_property
    def working(self) -> npt.NDArray[np.float64]:
        """Give the accelerators that work, on average over the month."""
        return np.array([run.gang * run.use / run.instances for run in self.runs], dtype=np.float64)

    @property
    def place(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give the region and the accelerator of each way's offer."""
        return self.offers.region[self.offer], self.offers.accelerator[self.offer]

    @property
    def busy_usd_per_hour(self) -> npt.NDArray[np.float64]:
        """Give the electricity that work costs at sites, beyond idle draw, in the mean of the month."""
        return np.asarray(self.offers.energy.busy_usd_per_hour[self.place] * self.working)

    @cached_property
    def shared_offers(self) -> npt.NDArray[np.bool_]:
        """Say which committed offers a job may occupy, whose price then does not hang on serving alone; shape (n_offers,)."""
        found = np.zeros(len(self.offers), dtype=bool)
        found[self.offer] = True
        return found & self.offers.committed

    @cached_property
    def facts(self) -> dict[str, npt.NDArray[np.str_]]:
        """Give what a match may ask of a way, by field."""
        cards, sold = self.instance.accelerators, self.offers.offers
        jobs = [(run, self.jobs[run.job], cards[run.accelerator], sold[run.offer]) for run in self.runs]
        columns = {
            "workload": [job.name for _, job, _, _ in jobs],
            "team": [job.team or "" for _, job, _, _ in jobs],
            "model": [self.instance.models[job.model].name for _, job, _, _ in jobs],
            "precision": [run.form.precision for run, _, _, _ in jobs],
            "compression": [run.form.compression for run, _, _, _ in jobs],
            "accelerator": [card.name for _, _, card, _ in jobs],
            "family": [card.family for _, _, card, _ in jobs],
            "kind": [card.kind.value for _, _, card, _ in jobs],
            "provider": [offer.provider for _, _, _, offer in jobs],
            "region": [offer.region for _, _, _, offer in jobs],
        }
        return {field: np.array(values, dtype=np.str_) for field, values in columns.items()}

    def matching(self, match: Match, fields: Sequence[str] | None = None) -> npt.NDArray[np.bool_]:
        """Say which ways fit a match, as far as it speaks of ``fields`` (all that tell ways apart but the option)."""
        fit = np.ones(len(self), dtype=bool)
        for field in fields or self.facts:
            if (wanted := getattr(match, field)) is not None:
                fit &= np.isin(self.facts[field], wanted)
        return fit

    @cached_property
    def limited(self) -> npt.NDArray[np.bool_]:
        """Say which ways each limit counts, replicas' part and offers' part; shape (n_limits, n_runs)."""
        limits = self.instance.all_limits
        fits = [self.matching(x.match, REPLICA_FIELDS) & self.offers.limited[n, self.offer] for n, x in enumerate(limits)]
        return np.array(fits, dtype=bool).reshape(len(limits), len(self))

    def label(self, n: int) -> str:
        """Name way ``n`` for people."""
        run, job = self.runs[n], self.jobs[self.runs[n].job]
        when = f",{self.instance.periods[run.periods[0]].name}" if len(self.instance.periods) > 1 else ""
        return f"{job.name},{run.gang} x {run.accelerator} {run.form.precision},{self.offers.label(run.offer)}{when}"


def training_table(table: CandidateTable) -> TrainingTable:
    """Work out every way to run every training job of an instance.

    Raises
    ------
    InfeasibleError : a job has no way left; every one is named with its reasons.
    """
    instance, offers = table.instance, table.offers
    runs: list[Run] = []
    rejected: list[Rejected] = []
    for number, job in enumerate(instance.jobs):
        _add_ways(instance, offers, number, job, runs, rejected)
    ways = {run.job for run in runs}
    hopeless = [job.name for number, job in enumerate(instance.jobs) if number not in ways]
    if hopeless:
        told = [
            Problem(None, f"/workloads/{r.workload}", f"{r.configuration.label}: {r.code}: {r.reason}", "")
            for r in rejected
            if r.workload in hopeless
        ]
        raise InfeasibleError(f"no plan: every way to run {', '.join(map(repr, hopeless))} is rejected", told)
    return TrainingTable(instance, offers, instance.jobs, tuple(runs), tuple(rejected))


def _add_ways(
    instance: Instance, offers: OfferTable, number: int, job: TrainingWorkload, runs: list[Run], rejected: list[Rejected]
) -> None:
    """Add what can be of one job, and one rejection for each accelerator, precision and gang that cannot."""
    allowed = allowed_offers(job, offers, instance)
    forms = sorted(job.precisions, key=lambda form: (form.precision, form.compression))
    for card in sorted(instance.catalogs.accelerators, key=lambda a: a.name):
        mine = [o for o in np.flatnonzero(allowed).tolist() if offers.accelerators[offers.accelerator[o]] == card.name]
        for form in forms:
            for gang in sorted(job.gangs):
                reasons: list[tuple[str, str]] = []
                before = len(runs)
                runs += _ways(instance, offers, number, card, form, gang, mine, reasons)
                if len(runs) == before:
                    why = reasons[0] if reasons else ("no_offer", f"{card.name} is not offered where this job may run")
                    rejected.append(Rejected(job.name, _configuration(job, card.name, gang, form, None), *why))


def _ways(
    instance: Instance,
    offers: OfferTable,
    number: int,
    card: Accelerator,
    form: TrainingPrecision,
    gang: int,
    mine: Sequence[int],
    reasons: list[tuple[str, str]],
) -> Iterator[Run]:
    """Give the ways of one job on one accelerator at one precision and gang; say why not where an offer has none."""
    job, estimates = instance.jobs[number], {}
    accuracy, low = accuracy_judged(instance, job.accuracy, _configuration(job, card.name, gang, form, None))
    for size in sorted({int(offers.size[o]) for o in mine}):
        estimates[size] = run_estimate(job, instance.models[job.model], instance.accelerators, card.name, gang, form, size)
    for o in mine:
        estimate = estimates[int(offers.size[o])]
        if low is not None or not isinstance(estimate, RunEstimate):
            reasons.append(low if isinstance(estimate, RunEstimate) and low is not None else _why(estimate))
            continue
        instances = -(-gang // int(offers.size[o]))
        if job.max_instances is not None and instances > job.max_instances:
            reasons.append(
                ("layout", f"{gang} would span {instances} instances, at most {job.max_instances} ({offers.label(o)})")
            )
            continue
        lost = float(offers.interrupted_per_hour[o]) * instances
        hours = disturbed_hours(estimate.hours, job.checkpoint, lost)
        if hours is None:
            reasons.append(("interruptions", f"{lost:.3g} interruptions an hour leave no time to work ({offers.label(o)})"))
            continue
        if hours > job.deadline_hours * (1 + ROUNDING):
            reasons.append(("deadline", f"takes {hours:.4g} hours, {job.deadline_hours:g} are left until the deadline"))
        for periods, wait in starts(job, instance.periods, hours):
            gangs = gangs_at_once(job, instance.periods, hours)
            use = instances * hours * job.runs_per_month / HOURS_PER_MONTH
            run = (accuracy, hours, wait, instances, gangs, periods, use)
            yield Run(number, form, card.name, gang, o, estimate, *run)


def _why(estimate: object) -> tuple[str, str]:
    return str(getattr(estimate, "code", "")), str(getattr(estimate, "message", ""))


def _configuration(
    job: TrainingWorkload, accelerator: str, gang: int, form: TrainingPrecision, estimate: RunEstimate | None
) -> Configuration:
    split = job.layouts[0] if estimate is None else estimate.layout
    layout = Layout(tensor=split.tensor, pipeline=split.pipeline)
    return Configuration(job.model, form.precision, form.compression, accelerator, gang, None, None, layout)


def disturbed_hours(hours: float, checkpoint: Checkpoint | None, interruptions_per_hour: float) -> float | None:
    """Give the wall hours of a run that writes checkpoints and is expected to be interrupted; None where it never ends.

    ``hours (1 + write / interval) / (1 - rate (interval / 2 + restart))``: an interruption loses half an interval and a restart.

    100 hours, 36 s written each hour; then with one interruption in 25 hours, each losing half an hour and 1800 s:

    >>> disturbed_hours(100, Checkpoint(write_seconds=36, interval_hours=1, restart_seconds=1800), 0.0)
    101.0
    >>> round(disturbed_hours(100, Checkpoint(write_seconds=36, interval_hours=1, restart_seconds=1800), 0.04), 6)
    105.208333
    """
    if checkpoint is None:
        return hours if interruptions_per_hour == 0 else None
    written = hours * (1 + checkpoint.write_seconds / 3600 / checkpoint.interval_hours)
    working = 1 - interruptions_per_hour * (checkpoint.interval_hours / 2 + checkpoint.restart_seconds / 3600)
    return written / working if working > 0 else None


def starts(job: TrainingWorkload, periods: Sequence[Period], hours: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """Give each (periods touched, hours waited) by which a run ends within its deadline; one start if it goes all round."""
    names = [p.name for p in periods]
    first = names.index(job.start) if job.start in names else 0
    cycle, wait = sum(p.hours for p in periods), 0.0
    for step in range(len(periods)):
        if wait + hours > job.deadline_hours * (1 + ROUNDING) or (step and hours > cycle * (1 - ROUNDING)):
            return
        touched, left = [], hours
        for place in range(len(periods)):
            at = (first + step + place) % len(periods)
            touched.append(at)
            left -= periods[at].hours
            if left <= hours * ROUNDING:
                break
        yield tuple(touched), wait
        wait += periods[(first + step) % len(periods)].hours


def gangs_at_once(job: TrainingWorkload, periods: Sequence[Period], hours: float) -> int:
    """Give how many gangs run at once: runs come evenly through the month, or once round where there are periods to start in."""
    apart = max(hours, sum(p.hours for p in periods)) if len(periods) > 1 else hours
    return max(ceil(job.runs_per_month * apart / HOURS_PER_MONTH - 1e-6), 1)
