"""Accelerators: what one GPU or TPU holds, moves and computes.

Memory GiB, bandwidth decimal GB/s, peaks dense TFLOP/s (TOPS for integers), power W. A missing figure is missing, never zero.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from optimizer.catalog.record import Name, Positive, Quality, Record, Text

__all__ = ["Accelerator", "AcceleratorKind"]


class AcceleratorKind(StrEnum):
    """The broad sort of an accelerator."""

    GPU = "gpu"
    TPU = "tpu"
    OTHER = "other"


class Accelerator(Record):
    """One accelerator type.

    ``precisions`` is an explicit list of number formats that run on it: support is never guessed from a capability number.
    ``peak_tflops`` is keyed by the format of the arithmetic (``bf16``, ``fp8``, ``int8``, ``fp4``).
    ``family`` groups types that one team of engineers knows how to run (``nvidia-hopper``, ``tpu`` ...).
    """

    name: Name
    vendor: Name
    kind: AcceleratorKind
    family: Name
    memory_gib: Positive
    memory_bandwidth_gb_s: Positive | None = None
    peak_tflops: dict[str, Positive] = Field(default_factory=dict)
    precisions: tuple[Name, ...]
    tdp_w: Positive | None = None
    interconnect_gb_s: Positive | None = None
    aliases: tuple[Name, ...] = ()
    quality: Quality = Quality.MEASURED
    source: Text
