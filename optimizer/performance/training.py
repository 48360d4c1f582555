"""How long one training run takes on a gang: work, scaling, and whether each accelerator holds its part.

Hours are wall hours of undisturbed work; checkpoints and interruptions are added by who knows the offer. Memory is GiB of one
accelerator. Sources: accelerator-hours and operations as the instance states them; 6 N D operations for a dense network (Kaplan
et al., 2020, section 2.1; Hoffmann et al., 2022, appendix F); memory by part as in ZeRO (Rajbhandari et al., 2020, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optimizer.catalog import Accelerator, Model, Quality, worst
from optimizer.instance import TrainingLayout, TrainingPrecision, TrainingWorkload
from optimizer.performance.figures import Rejection, RejectionCode

__all__ = ["RunEstimate", "run_estimate"]

GIB = 1024.0**3
PEAKS = {"fp16": ("fp16", "bf16")}
"""Formats whose peak may stand under another name: 16-bit products run at one rate."""
SHARED = ("nothing", "optimizer", "gradients", "weights")


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """One run on one gang: wall ``hours`` without overheads, the layout, the memory of one accelerator, and what it rests on."""

    hours: float
    layout: TrainingLayout
    data_parallel: int
    memory_gib: float
    quality: Quality
    basis: str


def run_estimate(
    job: TrainingWorkload,
    model: Model,
    cards: Mapping[str, Accelerator],
    name: str,
    gang: int,
    form: TrainingPrecision,
    in_reach: int,
) -> RunEstimate | Rejection:
    """Give what one run takes, or why it cannot be.

    Parameters
    ----------
    job, model : the job and the model it trains
    cards : accelerators by name and alias
    name, gang, form : accelerator, how many of them, and the precision
    in_reach : accelerators of one instance, the most that tensor parallelism may span
    """
    card = cards[name]
    if form.precision not in card.precisions:
        return Rejection(
            RejectionCode.PRECISION, f"{card.name} does not run {form.precision}; it runs {', '.join(card.precisions)}"
        )
    found = _accelerator_hours(job, model, cards, card, form)
    if isinstance(found, Rejection):
        return found
    hours, quality, basis = found
    kept, of_scaling = (1.0, quality) if job.scaling is None else job.scaling.kept(gang)
    placed = _layout(job, model, card, gang, in_reach)
    if isinstance(placed, Rejection):
        return placed
    quality = worst([quality, of_scaling])
    if quality not in job.allowed_quality:
        return Rejection(RejectionCode.QUALITY, f"rests on {quality} figures, which the workload does not allow")
    return RunEstimate(hours / (gang * kept), placed[0], placed[1], placed[2], quality, basis)


def _peak(card: Accelerator, precision: str) -> float | None:
    """Give the peak rate of a format, TFLOP/s, where the catalog has it; none is guessed."""
    return next((card.peak_tflops[key] for key in PEAKS.get(precision, (precision,)) if key in card.peak_tflops), None)


def _accelerator_hours(
    job: TrainingWorkload, model: Model, cards: Mapping[str, Accelerator], card: Accelerator, form: TrainingPrecision
) -> tuple[float, Quality, str] | Rejection:
    """Give the hours of one accelerator that one run takes at perfect scaling, their quality, and what they rest on."""
    if form.speed_ratio is not None and form.over is not None:
        slower = _accelerator_hours(job, model, cards, card, TrainingPrecision(precision=form.over))
        if isinstance(slower, Rejection):
            return slower
        return (
            slower[0] / form.speed_ratio,
            worst([slower[1], form.quality]),
            f"{slower[2]}; {form.precision} speed {form.source}",
        )
    work, peak = job.work, _peak(card, form.precision)
    stated = {cards[name].name: hours for name, hours in work.accelerator_hours_on.items()}
    if card.name in stated and form.precision == work.precision:
        return stated[card.name], work.quality, f"hours on {card.name}: {work.source}"
    if peak is None:
        return Rejection(RejectionCode.NO_FIGURE, f"no peak rate of {card.name} at {form.precision}")
    quality = worst([work.quality, Quality.MODELLED, card.quality])
    if not stated:
        operations = _operations(job, model)
        if operations is None or work.utilization is None:
            return Rejection(RejectionCode.NO_FIGURE, f"no parameter count of {model.name}; work.parameters_b may tell it")
        return operations / (peak * 1e12 * 3600.0 * work.utilization), quality, f"operations at peak rates: {work.source}"
    known = {card.name: stated[card.name]} if card.name in stated else stated
    peaks = {other: _peak(cards[other], work.precision) for other in known}
    if missing := [other for other, rate in peaks.items() if rate is None]:
        return Rejection(RejectionCode.NO_FIGURE, f"no peak rate of {missing[0]} at {work.precision}, to compare with")
    most = max(hours * (peaks[other] or 0.0) / peak for other, hours in known.items())
    return most, quality, f"hours on {', '.join(known)} by peak rates: {work.source}"


def _operations(job: TrainingWorkload, model: Model) -> float | None:
    """Give the floating-point operations of one run; None where nothing counts the parameters."""
    work, parameters_b = job.work, job.work.parameters_b or model.active_parameters_b or model.parameters_b
    if work.flops is not None or parameters_b is None or work.tokens is None:
        return work.flops
    return work.flops_per_parameter * parameters_b * 1e9 * work.tokens


def _layout(
    job: TrainingWorkload, model: Model, card: Accelerator, gang: int, in_reach: int
) -> tuple[TrainingLayout, int, float] | Rejection:
    """Give the first layout that divides the gang and fits, the data-parallel ranks and the memory of one accelerator."""
    memory = job.memory
    parameters_b = memory.parameters_b or model.parameters_b
    if parameters_b is None:
        return Rejection(RejectionCode.NO_FIGURE, f"no parameter count of {model.name}; memory.parameters_b may tell it")
    usable, least = memory.usable_fraction * card.memory_gib, None
    for layout in job.layouts:
        split = layout.tensor * layout.pipeline
        if gang % split or layout.tensor > in_reach:
            continue
        needed = _memory_gib(job, parameters_b, split, gang // split)
        if needed <= usable:
            return layout, gang // split, needed
        least = needed if least is None else min(least, needed)
    if least is None:
        wanted = ", ".join(f"{x.tensor} x {x.pipeline}" for x in job.layouts)
        return Rejection(
            RejectionCode.LAYOUT, f"no layout (tensor x pipeline: {wanted}) divides {gang} with tensor within {in_reach}"
        )
    text = f"{least:.1f} GiB an accelerator for weights, gradients, optimizer and activations, {usable:.1f} are usable"
    return Rejection(RejectionCode.MEMORY, text, least, usable)


def _memory_gib(job: TrainingWorkload, parameters_b: float, split: int, ranks: int) -> float:
    """Give what one accelerator holds: states and activations over the split, the shared states over the ranks too."""
    memory, shared = job.memory, SHARED.index(job.memory.shared)
    parts = ((memory.optimizer_bytes, 1), (memory.gradient_bytes, 2), (memory.weight_bytes, 3))
    states = sum(size / (ranks if shared >= level else 1) for size, level in parts) * parameters_b * 1e9 / GIB
    return (states + memory.activations_gib) / split
