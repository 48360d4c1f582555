"""Made-up models on roughly true accelerators: memory, latency at a load, and what both say of a rate.

Times s, memory GB, rates requests/s, sizes 1e9 parameters. Rough figures, for shape only: what matters is that accelerators,
replica sizes and number formats win on different requests, as they do in measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ACCELERATORS", "COMPRESSIONS", "CORNERS", "PRECISIONS", "Form", "Made", "formats_of", "forms_of", "rates", "times_s"]

FloatArray = npt.NDArray[np.float64]

ACCELERATORS: dict[str, tuple[str, str, int, int, int, float]] = {
    "T4": ("nvidia", "turing", 16, 65, 300, 0.35),
    "L4": ("nvidia", "ada", 24, 121, 300, 0.7),
    "A10G": ("nvidia", "ampere", 24, 125, 600, 1.0),
    "L40S": ("nvidia", "ada", 48, 362, 864, 1.9),
    "A100-40GB": ("nvidia", "ampere", 40, 312, 1555, 2.7),
    "A100-80GB": ("nvidia", "ampere", 80, 312, 2039, 3.7),
    "H100": ("nvidia", "hopper", 80, 989, 3350, 6.5),
    "H200": ("nvidia", "hopper", 141, 989, 4800, 8.0),
    "B200": ("nvidia", "blackwell", 180, 2250, 8000, 11.0),
    "MI300X": ("amd", "cdna3", 192, 1307, 5300, 6.0),
    "TPU-v5e": ("google", "tpu", 16, 197, 819, 1.2),
    "TPU-v5p": ("google", "tpu", 95, 459, 2765, 4.2),
    "TPU-v6e": ("google", "tpu", 32, 918, 1640, 2.7),
}
"""Vendor, family, memory GB, dense bf16 TFLOP/s, bandwidth GB/s, USD per hour: about true, assumed."""
PRECISIONS = {"bf16": (2.0, 1.0, 1.0), "fp8": (1.0, 2.0, 0.995), "int8": (1.0, 1.7, 0.99), "int4": (0.5, 0.7, 0.985)}
"""Bytes a parameter, prefill speed-up, share of the accuracy kept: assumed."""
NO_FP8 = frozenset({"T4", "A10G", "A100-40GB", "A100-80GB", "TPU-v5e", "TPU-v5p"})
COMPRESSIONS = {"2:4": (0.6, 0.985), "pruned": (0.5, 0.97), "distilled": (0.3, 0.95)}
"""Share of the size that is left, whose inverse is the speed-up, and share of the accuracy kept: assumed."""
CORNERS = np.array([(50, 20), (50, 800), (4000, 20), (4000, 800)])
"""Input and output tokens at which profiles are given; requests in between are interpolated."""
SIZES = (1, 2, 4, 8)
SPREAD = 1.5
"""What the default policy multiplies times by."""


@dataclass(frozen=True)
class Made:
    """A made-up model: its size, how much accuracy suffers (1 is usual), and the p95 bounds of its service, s."""

    name: str
    size_b: float
    sensitivity: float
    ttft_s: float
    tpot_s: float


@dataclass(frozen=True)
class Form:
    """A model in one number format on some accelerators, and the three numbers of requests in flight it was tried at."""

    made: Made
    precision: str
    accelerator: str
    accelerators: int
    in_flight: tuple[int, int, int]


def formats_of(accelerator: str) -> tuple[str, ...]:
    """Give the number formats of an accelerator: fp8 where it has it, else int8."""
    return tuple(p for p in PRECISIONS if p != ("int8" if accelerator not in NO_FP8 else "fp8"))


def forms_of(made: Made) -> list[Form]:
    """Give the formats and replica sizes of a model that fit into memory and are quick enough for one request alone."""
    found = []
    for accelerator, (_, _, memory_gb, *_) in ACCELERATORS.items():
        for precision, (width, _, _) in PRECISIONS.items():
            if precision not in formats_of(accelerator):
                continue
            fitting = [n for n in SIZES if 0.9 * memory_gb * n > 1.2 * made.size_b * width][:3]
            for count in fitting:
                room_gb = 0.9 * memory_gb * count - made.size_b * width
                most = room_gb / float(_cache_gb(made, CORNERS.mean(axis=0), width))
                if most < 4:
                    continue
                form = Form(
                    made, precision, accelerator, count, (1, 8, 64) if most >= 64 else (1, 4, 16) if most >= 16 else (1, 2, 4)
                )
                ttft_s, tpot_s = times_s(form, CORNERS)
                if (ttft_s[:, 0] * SPREAD <= made.ttft_s).all() and (tpot_s[:, 0] * SPREAD <= made.tpot_s).all():
                    found.append(form)
    return found


def times_s(form: Form, lengths: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Give the time to the first and to each further token; shape (n_lengths, 3), one column a number in flight."""
    _, _, _, tflops, bandwidth_gb_s, _ = ACCELERATORS[form.accelerator]
    width, speedup, _ = PRECISIONS[form.precision]
    n, flops = np.array(form.in_flight, dtype=np.float64), 2e9 * form.made.size_b
    peak = tflops * 1e12 * 0.45 * form.accelerators**0.9
    moved_gb = form.made.size_b * width + n * _cache_gb(form.made, lengths, width)[:, None]
    prefill_s = (lengths[:, 0] * flops / (peak * speedup**0.7))[:, None]
    return 0.002 + prefill_s * (1 + 0.8 * (n - 1)), moved_gb / (0.7 * bandwidth_gb_s * form.accelerators) + flops * n / peak


def rates(form: Form, lengths: npt.NDArray[np.int64]) -> FloatArray:
    """Give about what a replica carries within its bounds, requests/s, shape (n_lengths,): enough to say who wants what."""
    ttft_s, tpot_s = times_s(form, lengths)
    holds = (ttft_s * SPREAD <= form.made.ttft_s) & (tpot_s * SPREAD <= form.made.tpot_s)
    rate = np.array(form.in_flight) / (ttft_s + (lengths[:, 1:] - 1) * tpot_s)
    return np.asarray(0.8 * np.where(holds, rate, 0.0).max(axis=1))


def _cache_gb(made: Made, lengths: npt.ArrayLike, width: float) -> FloatArray:
    return np.asarray(1e-4 * made.size_b**0.5 * np.sum(lengths, axis=-1) * width)
