"""The figures that a rate was derived from, as data: what a simulator needs to judge the rate without sharing its formula.

Central times by requests in flight, one curve a request class. Times ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model
from optimizer.performance.figures import Question
from optimizer.performance.modelled import CONCURRENCIES, Anchor, anchored, predicted, requests_in_memory
from optimizer.performance.profiles import MIN_CONCURRENCIES, Configuration, Curve, curve_at_shape, nearest_curve
from optimizer.performance.roofline import Roofline

__all__ = ["ClassCurve", "ServiceTime", "class_curves"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurve:
    """Times of one class on one replica by requests in flight, shape (n_points,); ``most_in_flight`` is the last point's or less.

    ``output_tokens`` are those of one request, the first included.
    """

    output_tokens: int
    concurrency: FloatArray
    ttft_ms: FloatArray
    tpot_ms: FloatArray
    most_in_flight: int


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """What a server is busy for, ms: ``fixed_ms`` + ``each_ms`` times the requests it takes at once, at most ``most``.

    A server that takes one at a time has ``most`` 1; its time then varies with the squared coefficient ``variation``.
    """

    fixed_ms: float
    each_ms: float = 0.0
    most: int = 1
    variation: float = 0.0

    @property
    def full_s(self) -> float:
        """Give the time of a full batch, s; of a server of one request, its mean time."""
        return (self.fixed_ms + self.each_ms * self.most) / 1e3

    @property
    def most_per_s(self) -> float:
        """Give the most requests a second of one server."""
        return self.most / self.full_s

    def slower(self, speed: float) -> ServiceTime:
        """Give the time at a share of the speed."""
        return replace(self, fixed_ms=self.fixed_ms / speed, each_ms=self.each_ms / speed)


def class_curves(
    question: Question,
    model: Model,
    configuration: Configuration,
    curves: Sequence[Curve],
    accelerators: Mapping[str, Accelerator],
    roofline: Roofline,
) -> tuple[ClassCurve, ...]:
    """Give a configuration's curve for each class: measured, interpolated, or the roofline's at the safe end of its band.

    ``curves`` are the configuration's measured ones; without any, the roofline speaks alone and memory limits what is in flight.
    """
    most = np.full((1, len(question.shapes)), np.inf)
    if not curves:
        most, _ = requests_in_memory(model, [configuration], question.shapes, [accelerators[configuration.accelerator]])
    found = []
    for number, shape in enumerate(question.shapes):
        match = curve_at_shape(curves, *shape, fewest=MIN_CONCURRENCIES) if curves else None
        if match is not None:
            grid, ttft, tpot = match[0].concurrency, match[0].ttft_ms, match[0].tpot_ms
        else:
            anchors = [Anchor(configuration, nearest_curve(curves, shape), shape)] if curves else []
            times = anchored(roofline, anchors) if anchors else predicted(roofline, [configuration], [shape])
            grid, (ttft, tpot) = CONCURRENCIES, (safe[0, 0] for safe in times.safe_ms())
        found.append(_class_curve(shape[1], grid, ttft, tpot, float(most[0, number])))
    return tuple(found)


def _class_curve(output_tokens: int, grid: FloatArray, ttft: FloatArray, tpot: FloatArray, most: float) -> ClassCurve:
    """Cut a curve where nothing more is known."""
    known = np.isfinite(ttft) & np.isfinite(tpot)
    points = len(grid) if known.all() else int(known.argmin())
    assert points > 0, "an estimate rests on a curve"
    largest = int(min(grid[points - 1], most if np.isfinite(most) else np.inf))
    return ClassCurve(output_tokens, grid[:points], ttft[:points], tpot[:points], largest)
