"""Does every training job run in one way that it may, by its deadline, at the instance's price; worked out anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from optimizer.catalog import Option, worst
from optimizer.instance import HOURS_PER_MONTH, TrainingPrecision, TrainingWorkload
from optimizer.performance import RunEstimate, run_estimate
from optimizer.plan import TrainingRun
from optimizer.verify.facts import LOAD_TOLERANCE, Facts, differs, fraction
from optimizer.verify.matching import offer_fits

__all__ = ["gangs_rule", "hours_rule", "jobs_rule", "runs_rent_rule"]

HOUR = Fraction(3600)


def jobs_rule(facts: Facts) -> Iterator[str]:
    """Every training job is told once, on an offer that exists, of the model that it trains."""
    told = Counter(run.job for run in facts.plan.training)
    yield from (f"job {name!r} is told {told[name]} times" for name in facts.jobs if told[name] != 1)
    yield from (f"job {name!r} is not in the instance" for name in told if name not in facts.jobs)
    for run in facts.plan.training:
        if (run.offer, run.option) not in facts.sold:
            yield f"{run.job}: no offer {run.offer!r} with option {run.option!r}"
        elif (run.provider, run.region) != (
            facts.sold[run.offer, run.option][0].provider,
            facts.sold[run.offer, run.option][0].region,
        ):
            yield f"{run.job}: {run.offer} is not in {run.provider}/{run.region}"
        if run.job in facts.jobs and facts.instance.models.get(run.model) is not facts.instance.models[facts.jobs[run.job].model]:
            yield f"{run.job}: trains {run.model!r}, the job asks for {facts.jobs[run.job].model!r}"
    periods = {p.name for p in facts.instance.periods}
    yield from (f"{r.job}: no period {p!r}" for r in facts.plan.training for p in r.periods if p not in periods)


def _form(job: TrainingWorkload, run: TrainingRun) -> TrainingPrecision | None:
    return next((f for f in job.precisions if (f.precision, f.compression) == (run.precision, run.compression)), None)


def _estimate(facts: Facts, job: TrainingWorkload, run: TrainingRun, size: int) -> RunEstimate | str:
    form = _form(job, run)
    if form is None or run.gang not in job.gangs:
        return f"{run.gang} accelerators at {run.precision} {run.compression} are not among the job's"
    cards = facts.instance.accelerators
    if run.accelerator not in cards:
        return f"no accelerator {run.accelerator!r}"
    found = run_estimate(job, facts.instance.models[job.model], cards, run.accelerator, run.gang, form, size)
    return found if isinstance(found, RunEstimate) else f"{found.code}: {found.message}"


def gangs_rule(facts: Facts) -> Iterator[str]:
    """Gang, precision, region, option, memory, accuracy and evidence are what the job allows and the plan tells."""
    for run, job, offer, price in facts.runs:
        estimate = _estimate(facts, job, run, offer.accelerators_per_instance)
        if isinstance(estimate, str):
            yield f"{run.job}: {estimate}"
            continue
        told = (run.tensor, run.pipeline, run.data_parallel, run.basis, run.quality)
        layout = (estimate.layout.tensor, estimate.layout.pipeline, estimate.data_parallel)
        if told != (*layout, estimate.basis, worst([estimate.quality, price.quality])):
            yield f"{run.job}: layout, basis or quality is told wrongly"
        if differs(run.memory_gib, fraction(estimate.memory_gib)) or differs(run.work_hours, fraction(estimate.hours)):
            told_h, told_gib = run.work_hours, run.memory_gib
            yield f"{run.job}: takes {estimate.hours} h and {estimate.memory_gib} GiB, the plan says {told_h} and {told_gib}"
        if run.accelerator != facts.instance.accelerators[offer.accelerator].name:
            yield f"{run.job}: {run.offer} has {offer.accelerator}, not {run.accelerator}"
        if run.instances != -(-run.gang // offer.accelerators_per_instance):
            yield f"{run.job}: {run.gang} accelerators are not {run.instances} instances of {run.offer}"
        if job.max_instances is not None and run.instances > job.max_instances:
            yield f"{run.job}: spans {run.instances} instances, at most {job.max_instances} are allowed"
        if job.regions_allowed is not None and offer.region not in job.regions_allowed:
            yield f"{run.job}: may not run in {offer.region}"
        if run.option == Option.SPOT.value and job.max_spot_fraction < 1:
            yield f"{run.job}: may not run on spot"
        yield from _accuracy(facts, job, run)


def _accuracy(facts: Facts, job: TrainingWorkload, run: TrainingRun) -> Iterator[str]:
    variant = facts.instance.models[job.model].variant(run.precision, run.compression)
    if job.accuracy is None:
        if run.accuracy_kept is not None:
            yield f"{run.job}: has no floor, the plan tells one"
        return
    wanted = (job.accuracy.metric, job.accuracy.evaluation)
    rows = [] if variant is None else [a.kept_fraction for a in variant.accuracy if (a.metric, a.evaluation) == wanted]
    floor = job.accuracy.floor_fraction_of_baseline
    kept = 1.0 if variant is not None and variant.is_baseline else min(rows, default=None)
    if kept is None or fraction(kept) < fraction(floor) or run.accuracy_kept != kept:
        yield f"{run.job}: keeps {kept}, the plan says {run.accuracy_kept}, the floor is {floor}"


def hours_rule(facts: Facts) -> Iterator[str]:
    """Work, checkpoints and lost hours add up to the hours of a run, which ends by the deadline in the periods told."""
    for run, job, offer, _ in facts.runs:
        rate = sum(
            (fraction(x.per_hour) for x in facts.instance.interruptions if offer_fits(x.when, offer, run.option, facts)),
            Fraction(0),
        )
        rate *= run.instances
        work, hours = fraction(run.work_hours), fraction(run.hours)
        written = lost_each = Fraction(0)
        if job.checkpoint is not None:
            interval = fraction(job.checkpoint.interval_hours)
            written = work * fraction(job.checkpoint.write_seconds) / HOUR / interval
            lost_each = interval / 2 + fraction(job.checkpoint.restart_seconds) / HOUR
        elif rate:
            yield f"{run.job}: may be interrupted and writes no checkpoints"
        if rate * lost_each >= 1:
            yield f"{run.job}: interruptions leave no time to work"
            continue
        exact = (work + written) / (1 - rate * lost_each)
        parts = ((run.hours, exact), (run.checkpoint_hours, written), (run.interruptions, rate * exact))
        if any(differs(told, true) for told, true in parts) or differs(run.lost_hours, rate * exact * lost_each):
            yield f"{run.job}: a run takes {float(exact)} hours with {float(written)} to write, the plan tells otherwise"
        yield from _placed(facts, job, run, hours)


def _placed(facts: Facts, job: TrainingWorkload, run: TrainingRun, hours: Fraction) -> Iterator[str]:
    """Tell a run that misses its deadline, or periods and gangs that are not those of its start."""
    periods = list(facts.instance.periods)
    names, length = [p.name for p in periods], [fraction(p.hours) for p in periods]
    first = names.index(job.start) if job.start in names else 0
    if not run.periods or run.periods[0] not in names:
        yield f"{run.job}: starts in no period"
        return
    start = names.index(run.periods[0])
    wait = sum((length[(first + k) % len(names)] for k in range((start - first) % len(names))), Fraction(0))
    finish = wait + hours
    if finish > fraction(job.deadline_hours) * (1 + LOAD_TOLERANCE):
        yield f"{run.job}: ends after {float(finish)} hours, the deadline is {job.deadline_hours}"
    told = (run.deadline_hours, run.runs_per_month)
    if differs(run.finish_hours, finish) or told != (job.deadline_hours, job.runs_per_month):
        yield f"{run.job}: ends after {float(finish)} hours, the plan says {run.finish_hours}"
    touched: list[str] = []
    while len(touched) < len(names) and sum((length[names.index(t)] for t in touched), Fraction(0)) < hours * (
        1 - LOAD_TOLERANCE
    ):
        touched.append(names[(start + len(touched)) % len(names)])
    if tuple(touched) != run.periods:
        yield f"{run.job}: occupies {touched}, the plan says {list(run.periods)}"
    apart = max(hours, sum(length, Fraction(0))) if len(names) > 1 else hours
    gangs = max(ceil(fraction(job.runs_per_month) * apart / Fraction(HOURS_PER_MONTH) - Fraction(1, 10**6)), 1)
    if gangs != run.gangs_at_once:
        yield f"{run.job}: {gangs} gangs run at once, the plan says {run.gangs_at_once}"


def runs_rent_rule(facts: Facts) -> Iterator[str]:
    """Every run pays the instance's own price, which is not stale, for what it uses."""
    for run, _, _, price in facts.runs:
        told = (run.price_as_of, run.price_quality)
        if differs(run.usd_per_instance_hour, fraction(price.usd_per_hour)) or told != (price.as_of, price.quality):
            yield f"{run.job}: the price, its date or quality is told wrongly"
        if facts.is_too_old(price):
            yield f"{run.job}: the price of {run.offer} is too old"
        exact = facts.run_rent(run)
        if differs(run.usd_per_hour, exact):
            yield f"{run.job}: costs {float(exact)} USD/h, the plan says {run.usd_per_hour}"
