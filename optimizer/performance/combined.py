"""What points are expected to do, from the best that is known of each: measured, between two measured, or the corrected roofline.

Times ms, rates output tokens/s of the whole deployment. A point on a measured curve (same configuration, engine version and
lengths) takes the measurement; between two points of it, the roofline's shape is bent to pass through both, log-linearly;
elsewhere ``roofline`` speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.catalog import Quality
from optimizer.instance import Catalogs
from optimizer.performance.lookup import Lookup
from optimizer.performance.measured import MeasuredPoints, measured_points
from optimizer.performance.points import Array, Codes, Points, Predictions, codes, rate_of
from optimizer.performance.roofline import Roofline

__all__ = ["estimate_points"]

SAME_LOAD = 1e-9
"""Difference of logarithms up to which two loads are the same one."""
MEASURED_BAND = (0.95, 1.05)
"""Spread of a repeated run about a measured one; assumed (no repeated runs are in the data)."""
INTERPOLATED_BAND = (0.85, 1.2)
"""Band between two measured points where none was fitted; assumed."""


@dataclass(frozen=True)
class _Brackets:
    """Points that lie on a measured curve: which point, the known points on either side of it (the same one on a hit), and where.

    ``share`` is how far from ``left`` to ``right``, in the logarithm of the load; arrays of shape (n_bracketed,).
    """

    place: Codes
    left: Codes
    right: Codes
    share: Array


def estimate_points(catalogs: Catalogs, points: Points) -> Predictions:
    """Estimate points from curves where they lie on one, from the roofline elsewhere."""
    roofline = Roofline(catalogs)
    modelled = roofline.predict(points)
    known, lookup = measured_points(catalogs.profiles, is_by_model=True), Lookup(catalogs)
    known = known.take(np.isfinite(known.tpot_ms) | (known.points.output_tokens <= 1))
    if not len(known) or not len(points):
        return modelled
    curves = codes([*_curves(lookup, known.points), *_curves(lookup, points)])[1]
    known, known_curve = _distinct(known, curves[: len(known)])
    found = _brackets(known, known_curve, points, curves[-len(points) :])
    here, there = roofline.uncorrected_ms(points.take(found.place)), roofline.uncorrected_ms(known.points)
    measured = (known.ttft_ms, known.tpot_ms)
    times = [_between(m, t, h, found) for m, t, h in zip(measured, there, here, strict=True)]
    bands = [roofline.band("load", points.engine[place], INTERPOLATED_BAND) for place in found.place.tolist()]
    return _merged(points, modelled, found, (times[0], times[1]), np.array(bands).reshape(-1, 2))


def _between(measured: Array, model_there: Array, model_here: Array, found: _Brackets) -> Array:
    """Interpolate times between two measured ones: the model bent through both; a straight log-log line where it is silent."""
    left, right = np.log(measured[found.left]), np.log(measured[found.right])
    shape = (
        np.log(model_here)
        - (1.0 - found.share) * np.log(model_there[found.left])
        - found.share * np.log(model_there[found.right])
    )
    is_inside = (found.left != found.right) & np.isfinite(shape)
    times: Array = np.exp((1.0 - found.share) * left + found.share * right + np.where(is_inside, shape, 0.0))
    return times


def _merged(
    points: Points, modelled: Predictions, found: _Brackets, times: tuple[Array, Array], inside_band: Array
) -> Predictions:
    """Put what curves say over what the roofline says."""
    place, is_hit = found.place, found.left == found.right
    out = points.output_tokens[place]
    rate = rate_of(points.concurrency[place], out, times[0], times[1])
    quality = modelled.quality.copy()
    quality[place] = np.where(is_hit, Quality.MEASURED, Quality.INTERPOLATED)
    low = np.where(is_hit, MEASURED_BAND[0], inside_band[:, 0])
    high = np.where(is_hit, MEASURED_BAND[1], inside_band[:, 1])
    return Predictions(
        ttft_ms=_put(modelled.ttft_ms, place, times[0]),
        tpot_ms=_put(modelled.tpot_ms, place, np.where(out > 1, times[1], np.nan)),
        output_tokens_per_s=_put(modelled.output_tokens_per_s, place, rate),
        low=_put(modelled.low, place, rate * low),
        high=_put(modelled.high, place, rate * high),
        quality=quality,
    )


def _put(column: Array, place: Codes, values: Array) -> Array:
    changed = column.copy()
    changed[place] = values
    return changed


def _distinct(known: MeasuredPoints, curve: Codes) -> tuple[MeasuredPoints, Codes]:
    """Sort known points by curve and load; of points measured twice at one load keep the geometric mean."""
    load = np.log(known.points.concurrency)
    _, first, of_load = np.unique(np.stack([curve, load], axis=1), axis=0, return_index=True, return_inverse=True)
    of_load = of_load.reshape(-1)
    counts = np.bincount(of_load)
    times = [np.exp(np.bincount(of_load, np.log(column)) / counts) for column in (known.ttft_ms, known.tpot_ms)]
    return MeasuredPoints(known.points.take(first), times[0], times[1]), curve[first]


def _brackets(known: MeasuredPoints, known_curve: Codes, points: Points, curve: Codes) -> _Brackets:
    """Find the two known points of its own curve between which each point lies, if there are such."""
    known_load, load = np.log(known.points.concurrency), np.log(points.concurrency)
    span = max(float(np.nanmax(np.abs(np.concatenate([known_load, load, [1.0]])))), 1.0) * 4.0
    line = known_curve * span + known_load  # curves one after another, so that one sorted search finds both neighbours
    wanted = curve * span + np.where(np.isnan(load), span / 2.0, load)
    right = np.clip(np.searchsorted(line, wanted - SAME_LOAD), 0, len(line) - 1)
    is_hit = np.abs(line[right] - wanted) <= SAME_LOAD
    left = np.where(is_hit, right, np.maximum(right - 1, 0))
    is_inside = (known_curve[left] == curve) & (known_curve[right] == curve) & (line[left] <= wanted + SAME_LOAD)
    is_inside &= (line[right] >= wanted - SAME_LOAD) & np.isfinite(load)
    place = np.flatnonzero(is_inside)
    left, right = left[place], right[place]
    width = np.where(left == right, 1.0, line[right] - line[left])
    return _Brackets(place, left, right, (wanted[place] - line[left]) / width)


def _curves(lookup: Lookup, points: Points) -> list[tuple[object, ...]]:
    """Name the curve of each point: configuration, engine version and lengths; a blank is a value of its own."""
    models = [model.name if (model := lookup.models.get(name)) else None for name in points.model]
    cards = [card.name if (card := lookup.accelerators.get(name)) else None for name in points.accelerator]
    numbers = (points.tensor, points.pipeline, points.attention_data, points.expert, points.accelerators)
    columns = [
        [None if value != value else value for value in column.tolist()]
        for column in (*numbers, points.input_tokens, points.output_tokens)
    ]
    texts = (models, points.compression, cards, points.precision, points.engine, points.engine_version)
    return list(zip(*texts, *columns, strict=True))
