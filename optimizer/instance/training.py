"""What a training run is made of: its work, how it scales, which precisions and layouts it may use, and its checkpoints.

Work is accelerator-hours or floating-point operations; memory GiB per accelerator; one run is wall hours on one gang.
"""

from __future__ import annotations

from math import log2
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Positive, PositiveInt, Text

__all__ = ["Checkpoint", "Kept", "Scaling", "TrainingLayout", "TrainingMemory", "TrainingPrecision", "Work"]

Share = Annotated[float, Field(gt=0, le=1)]


class Work(Record):
    """How much one run is, told in one of three ways.

    ``accelerator_hours_on``: hours of single accelerators at ``precision``, by accelerator; another takes them times the ratio of
    the peak rates, the most of what the stated ones give. ``flops``: operations in all. ``tokens`` (with ``parameters_b``, or
    the model's own active ones): ``flops_per_parameter`` · N · D operations. The last two run at ``utilization`` of the peak.
    """

    accelerator_hours_on: dict[Name, Positive] = Field(default_factory=dict)
    flops: Annotated[float, Field(gt=0, le=1e30)] | None = None
    tokens: Positive | None = None
    parameters_b: Positive | None = None
    flops_per_parameter: Positive = 6.0
    utilization: Share | None = None
    precision: Name = "bf16"
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_told_once(self) -> Self:
        if bool(self.accelerator_hours_on) + (self.flops is not None) + (self.tokens is not None) != 1:
            raise ValueError("one of accelerator_hours_on, flops and tokens")
        if not self.accelerator_hours_on and self.utilization is None:
            raise ValueError("operations need the utilization of the peak rate at which they run")
        return self


class Kept(Record):
    """The share of perfect scaling that a gang of some size keeps."""

    gang: PositiveInt
    kept_fraction: Share
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Scaling(Record):
    """What larger gangs lose: a share kept at each doubling beyond ``from_gang``, or a table by gang size."""

    kept_per_doubling: Share | None = None
    from_gang: PositiveInt = 1
    table: tuple[Kept, ...] = ()
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_told_once(self) -> Self:
        if (self.kept_per_doubling is None) == (not self.table):
            raise ValueError("either kept_per_doubling or a table")
        return self

    def kept(self, gang: int) -> tuple[float, Quality]:
        """Give the share of perfect scaling that a gang keeps, and its quality; the table holds every gang of its workload.

        >>> Scaling(kept_per_doubling=0.9, from_gang=8).kept(16)
        (0.9, <Quality.ASSUMED: 'assumed'>)
        """
        if self.kept_per_doubling is not None:
            return float(self.kept_per_doubling ** max(log2(gang / self.from_gang), 0.0)), self.quality
        return next((row.kept_fraction, row.quality) for row in self.table if row.gang == gang)


class TrainingPrecision(Record):
    """A format the run may use: its speed is ``speed_ratio`` times that of ``over`` (cited), or as the peak rates are."""

    precision: Name
    compression: Name = "none"
    speed_ratio: Positive | None = None
    over: Name | None = None
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _is_cited(self) -> Self:
        if self.speed_ratio is not None and not self.source:
            raise ValueError("a speed ratio with its source")
        if (self.speed_ratio is None) != (self.over is None):
            raise ValueError("speed_ratio and over together or not at all")
        return self


class TrainingLayout(Record):
    """How a gang is split; what is left after tensor and pipeline parallelism is data parallel."""

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1


class TrainingMemory(Record):
    """What an accelerator must hold, for the whole model before it is split.

    Bytes a parameter are those of mixed-precision Adam: 16-bit weights and gradients, 32-bit weights and two moments (Rajbhandari
    et al., ZeRO, 2020, section 3.1). ``shared`` says what data-parallel ranks share among them, each including the one before.
    ``activations_gib`` is one rank's micro-batch.
    """

    parameters_b: Positive | None = None
    weight_bytes: NonNegative = 2.0
    gradient_bytes: NonNegative = 2.0
    optimizer_bytes: NonNegative = 12.0
    shared: Literal["nothing", "optimizer", "gradients", "weights"] = "nothing"
    activations_gib: NonNegative = 0.0
    usable_fraction: Share = 0.9
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Checkpoint(Record):
    """What is written every ``interval_hours`` of work, and what coming back after an interruption takes."""

    gib: NonNegative = 0.0
    write_seconds: NonNegative
    interval_hours: Positive
    restart_seconds: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""
