"""Training jobs told in domain words: what each runs on, for how long, and what it costs."""

from __future__ import annotations

from optimizer.catalog import worst
from optimizer.decode.told import Told
from optimizer.plan import TrainingRun

__all__ = ["training_of"]


def training_of(told: Told) -> tuple[TrainingRun, ...]:
    """Tell the way each training job runs, in order of name."""
    return tuple(_run(told, int(n)) for n in told.choice.ways)


def _run(told: Told, n: int) -> TrainingRun:
    runs, offers = told.compiled.columns.training, told.table.offers
    run, periods = runs.runs[n], told.table.instance.periods
    job, offer, price, estimate = runs.jobs[run.job], offers.offers[run.offer], offers.prices[run.offer], run.estimate
    interruptions = float(offers.interrupted_per_hour[run.offer]) * run.instances * run.hours
    written = lost = 0.0
    if (saved := job.checkpoint) is not None:
        written = estimate.hours * saved.write_seconds / 3600 / saved.interval_hours
        lost = interruptions * (saved.interval_hours / 2 + saved.restart_seconds / 3600)
    return TrainingRun(
        job=job.name,
        model=told.table.instance.models[job.model].name,
        precision=run.form.precision,
        compression=run.form.compression,
        accelerator=run.accelerator,
        gang=run.gang,
        tensor=estimate.layout.tensor,
        pipeline=estimate.layout.pipeline,
        data_parallel=estimate.data_parallel,
        memory_gib=estimate.memory_gib,
        provider=offer.provider,
        region=offer.region,
        offer=offer.label,
        option=price.option.value,
        instances=run.instances,
        gangs_at_once=run.gangs,
        periods=tuple(periods[t].name for t in run.periods),
        work_hours=estimate.hours,
        checkpoint_hours=written,
        interruptions=interruptions,
        lost_hours=lost,
        hours=run.hours,
        finish_hours=run.wait_hours + run.hours,
        deadline_hours=job.deadline_hours,
        runs_per_month=job.runs_per_month,
        accuracy_kept=None if job.accuracy is None else run.accuracy,
        usd_per_instance_hour=price.usd_per_hour,
        usd_per_hour=float(told.run_rent(n)),
        price_as_of=price.as_of,
        price_quality=price.quality,
        quality=worst([estimate.quality, price.quality]),
        basis=estimate.basis,
    )
