"""Measured points as curves: which points belong together, and which of them speak for a request of a given size.

A curve is one configuration at one request shape: central TTFT and TPOT (ms) against requests in flight. Points of different
engines, versions, layouts or accelerator counts are never joined, and a blank is a value of its own (blank is not 1).
Nothing here reads a percentile: central values become percentiles in ``chain``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import log

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Layout, LoadKind, Profile, Quality, Quantity, worst

__all__ = [
    "MIN_CONCURRENCIES",
    "SHAPE_TOLERANCE",
    "Configuration",
    "Curve",
    "Shape",
    "central_times_ms",
    "configuration_of",
    "corners_of",
    "curve_at_shape",
    "curves_at_shape",
    "curves_by_configuration",
    "is_same_shape",
    "nearest_curve",
    "same_shapes",
]

FloatArray = npt.NDArray[np.float64]
Shape = tuple[int, int]
Lengths = tuple[int | None, int | None]
"""Input and output tokens of a request."""

SHAPE_TOLERANCE = 0.15
"""Lengths within this share of each other count as the same shape (docs/design.md, section 4)."""
MIN_CONCURRENCIES = 3
"""A percentile is derived only from this many concurrencies of one configuration (docs/design.md, section 4)."""
CENTRAL_STATISTICS = frozenset({"central", "mean", "median", "p50"})
_LOG_TOLERANCE = log(1 + SHAPE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a replica is: a variant on some accelerators under one engine and layout.

    ``engine`` None: no engine is named, because the figures are modelled.
    """

    model: str
    precision: str
    compression: str
    accelerator: str
    accelerators_per_replica: int
    engine: str | None
    engine_version: str | None
    layout: Layout
    availability: str = "available"
    pattern: str | None = None
    slots: int = 1

    @property
    def accelerators(self) -> Fraction:
        """Give the accelerators that a replica takes: whole ones, or a slot of one cut by ``pattern``."""
        return Fraction(self.accelerators_per_replica, self.slots)

    @property
    def label(self) -> str:
        """Give the configuration in a few words, ``fp8 on 2 x H100-SXM (vllm 0.9)``."""
        variant = self.precision if self.compression == "none" else f"{self.precision}+{self.compression}"
        words = ("modelled",) if self.engine is None else (self.engine, self.engine_version, self._layout_words)
        return f"{variant} on {self.accelerators} x {self.accelerator} ({' '.join(filter(None, words))})"

    @property
    def _layout_words(self) -> str:
        """Name the degrees of parallelism that tell two configurations of as many accelerators apart."""
        layout = self.layout
        degrees = {"tp": layout.tensor, "pp": layout.pipeline, "dp": layout.attention_data, "ep": layout.expert}
        return " ".join(f"{name}{degree}" for name, degree in degrees.items() if degree is not None and degree > 1)

    @property
    def variant(self) -> tuple[str, str]:
        """Give the two fields of the variant, precision and compression."""
        return self.precision, self.compression

    def of_variant(self, precision: str, compression: str) -> Configuration:
        """Give the same with another variant; field by field, as ``dataclasses.replace`` takes four times as long."""
        return Configuration(
            self.model,
            precision,
            compression,
            self.accelerator,
            self.accelerators_per_replica,
            self.engine,
            self.engine_version,
            self.layout,
            self.availability,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Central times of one configuration at one shape, by requests in flight (sorted, distinct), shapes (n_points,).

    >>> curve = Curve(1024, 1024, np.array([4.0, 16.0]), np.array([100.0, 400.0]), np.array([10.0, 20.0]), ("a note",))
    >>> [float(time[0].round(3)) for time in curve.at([8.0])]
    [200.0, 14.142]
    """

    input_tokens: int
    output_tokens: int
    concurrency: FloatArray
    ttft_ms: FloatArray
    tpot_ms: FloatArray
    sources: tuple[str, ...]
    quality: Quality = Quality.MEASURED

    @property
    def shape(self) -> Shape:
        """Give the input and output tokens."""
        return self.input_tokens, self.output_tokens

    def at(self, concurrency: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Give TTFT and TPOT (ms) at some concurrencies, log-log between points; NaN outside the measured range."""
        wanted = np.log(np.asarray(concurrency, dtype=np.float64))
        known = np.log(self.concurrency)
        ttft, tpot = (
            np.exp(np.interp(wanted, known, np.log(times), left=np.nan, right=np.nan)) for times in (self.ttft_ms, self.tpot_ms)
        )
        return ttft, tpot


def configuration_of(profile: Profile, accelerators: int | None = None) -> Configuration:
    """Give the configuration that a profile measured; ``accelerators``, where given, are those of a replica."""
    return Configuration(
        model=profile.model,
        precision=profile.precision,
        compression=profile.compression,
        accelerator=profile.accelerator,
        accelerators_per_replica=accelerators or profile.accelerators_per_replica,
        engine=profile.engine,
        engine_version=profile.engine_version,
        layout=profile.layout,
        availability=profile.availability,
    )


def curves_by_configuration(profiles: Iterable[Profile]) -> Mapping[Configuration, tuple[Curve, ...]]:
    """Group closed-loop points with both times and both lengths into curves, one per configuration and shape.

    Points without TTFT or TPOT, points of other load kinds and points whose deployment was not one replica are left out.
    """
    points: dict[tuple[Configuration, Shape], list[tuple[Profile, float, float]]] = defaultdict(list)
    for profile in profiles:
        times = central_times_ms(profile)
        if times is not None and profile.input_tokens is not None and profile.output_tokens is not None:
            points[configuration_of(profile), (profile.input_tokens, profile.output_tokens)].append((profile, *times))
    curves: dict[Configuration, list[Curve]] = defaultdict(list)
    for (configuration, shape), group in points.items():
        curves[configuration].append(_curve(shape, group))
    return {configuration: tuple(found) for configuration, found in curves.items()}


def central_times_ms(profile: Profile) -> tuple[float, float] | None:
    """Give central TTFT and TPOT (ms) of a closed-loop point of one replica, or None where it is not one."""
    load = profile.load
    if load.kind is not LoadKind.CONCURRENCY or load.accelerators_measured != profile.accelerators_per_replica:
        return None
    times = {time.quantity: time.ms for time in profile.latency if time.ms is not None and time.statistic in CENTRAL_STATISTICS}
    ttft, tpot = times.get(Quantity.TTFT), times.get(Quantity.TPOT)
    return None if ttft is None or tpot is None else (ttft, tpot)


def is_same_shape(measured: Lengths, wanted: Lengths) -> bool:
    """Tell whether two pairs of lengths are the same shape: both known and within the tolerance, or both unknown.

    >>> is_same_shape((1024, 1024), (1100, 950)), is_same_shape((1024, 1024), (1024, 8192)), is_same_shape((None, 8), (8, 8))
    (True, False, False)
    """
    return _is_same_length(measured[0], wanted[0]) and _is_same_length(measured[1], wanted[1])


def _is_same_length(a: int | None, b: int | None) -> bool:
    return a is b is None or (a is not None and b is not None and abs(log(a / b)) <= _LOG_TOLERANCE)


def same_shapes(measured: Iterable[Lengths], wanted: Iterable[Lengths]) -> dict[Lengths, list[Lengths]]:
    """Give, for each pair of lengths wanted, the measured pairs of the same shape, in their order.

    Lengths are compared once each, so that many pairs cost little.

    >>> same_shapes([(64, 8), (64, 99), (70, 8)], [(66, 8), (66, None)])
    {(66, 8): [(64, 8), (70, 8)], (66, None): []}
    """
    pairs, wanted = list(measured), list(wanted)
    rows: dict[int | None, list[int]] = defaultdict(list)
    for n, (i, _) in enumerate(pairs):
        rows[i].append(n)
    outputs = {o for _, o in pairs}
    near = {i: sorted(n for m in rows if _is_same_length(m, i) for n in rows[m]) for i in {i for i, _ in wanted}}
    alike = {o: {m for m in outputs if _is_same_length(m, o)} for o in {o for _, o in wanted}}
    return {(i, o): [pairs[n] for n in near[i] if pairs[n][1] in alike[o]] for i, o in wanted}


def _curve(shape: Shape, points: Sequence[tuple[Profile, float, float]]) -> Curve:
    """Sort points into a curve; of two points at one concurrency the slower time counts."""
    slowest: dict[float, tuple[float, float]] = {}
    sources: dict[str, None] = {}
    for profile, ttft, tpot in points:
        before = slowest.get(profile.load.value, (ttft, tpot))
        slowest[profile.load.value] = (max(before[0], ttft), max(before[1], tpot))
        sources[profile.source] = None
    concurrency = np.array(sorted(slowest), dtype=np.float64)
    times = np.array([slowest[n] for n in sorted(slowest)], dtype=np.float64)
    return Curve(*shape, concurrency, times[:, 0], times[:, 1], tuple(sources), worst(p.quality for p, _, _ in points))


def curve_at_shape(
    curves: Sequence[Curve], input_tokens: int, output_tokens: int, *, fewest: int = MIN_CONCURRENCIES
) -> tuple[Curve, Quality] | None:
    """Give the curve of one configuration at a request's shape: the same shape, one inside the hull, or None.

    Same: both lengths within ``SHAPE_TOLERANCE``; the nearest curve as it is (``measured``). Inside the hull of measured
    shapes: times log-linear in both lengths at equal concurrency, over the concurrencies all corners share (``interpolated``).
    Corners are the tightest triangle around the shape, or a pair with the shape between them. Only curves of at least
    ``fewest`` points take part, and the result has as many.
    """
    usable = [curve for curve in curves if len(curve.concurrency) >= fewest]
    corners = corners_of(tuple(curve.shape for curve in usable), (input_tokens, output_tokens))
    if len(corners) == 1:
        return usable[corners[0][0]], usable[corners[0][0]].quality
    if not corners:
        return None
    blended = _blend([usable[k] for k, _ in corners], [weight for _, weight in corners], (input_tokens, output_tokens))
    return None if len(blended.concurrency) < fewest else (blended, worst([blended.quality, Quality.INTERPOLATED]))


def curves_at_shape(
    alike: Sequence[Sequence[Curve]], input_tokens: int, output_tokens: int, *, fewest: int = MIN_CONCURRENCIES
) -> tuple[FloatArray, FloatArray, Shape, Quality] | None:
    """Give what ``curve_at_shape`` says of many configurations that were measured at the same lengths and concurrencies.

    Returns
    -------
    concurrencies; TTFT and TPOT (ms), shape (2, n_configurations, n_points); the lengths they were measured at or stand for
    """
    first = curve_at_shape(alike[0], input_tokens, output_tokens, fewest=fewest)
    if first is None:
        return None
    curve, quality = first
    usable = [k for k, c in enumerate(alike[0]) if len(c.concurrency) >= fewest]
    corners = [
        (usable[k], weight) for k, weight in corners_of(tuple(alike[0][k].shape for k in usable), (input_tokens, output_tokens))
    ]
    grids = [alike[0][k].concurrency for k, _ in corners]
    if not all(np.array_equal(grid, curve.concurrency) for grid in grids):  # corners of different loads: one by one
        each = [curve_at_shape(mine, input_tokens, output_tokens, fewest=fewest) for mine in alike]
        found = np.array([[c.ttft_ms, c.tpot_ms] for c, _ in filter(None, each)]).transpose(1, 0, 2)
    else:
        stacks = [np.array([[mine[k].ttft_ms, mine[k].tpot_ms] for mine in alike]).transpose(1, 0, 2) for k, _ in corners]
        found = stacks[0]
        if len(corners) > 1:
            total = np.zeros_like(found)
            for (_, weight), times in zip(corners, stacks, strict=True):
                total += weight * np.log(np.exp(np.log(times)))
            found = np.exp(total)
    return curve.concurrency, found, curve.shape, quality


def nearest_curve(curves: Sequence[Curve], shape: Shape) -> Curve:
    """Give the curve whose lengths are nearest, the larger of the two ratios counting."""
    measured = np.log(np.array([curve.shape for curve in curves], dtype=np.float64))
    return curves[int(np.abs(measured - np.log(shape)).max(axis=1).argmin())]


@lru_cache(maxsize=4096)  # many configurations are measured at the same shapes
def corners_of(measured: tuple[Shape, ...], shape: Shape) -> tuple[tuple[int, float], ...]:
    """Give the measured shapes that speak for one and their weights: the nearest alone if it is the same, else those around it.

    Around it: the pair or triangle of least spread; nothing outside the hull.
    """
    if not measured:
        return ()
    shapes, wanted = np.log(np.array(measured, dtype=np.float64)), np.log(np.array(shape, dtype=np.float64))
    distance = np.abs(shapes - wanted).max(axis=1)
    if distance.min() <= _LOG_TOLERANCE:
        return ((int(distance.argmin()), 1.0),)
    best: tuple[float, dict[int, float]] | None = None
    for size in (2, 3):
        for chosen in combinations(range(len(shapes)), size):
            corners = shapes[list(chosen)]
            spread = float(np.ptp(corners, axis=0).sum())
            if best is not None and spread >= best[0]:
                continue
            if (corners.min(axis=0) > wanted + _LOG_TOLERANCE).any() or (corners.max(axis=0) < wanted - _LOG_TOLERANCE).any():
                continue
            weights = _weights(corners, wanted)
            if weights is not None:
                best = spread, dict(zip(chosen, weights, strict=True))
    return () if best is None else tuple(best[1].items())


def _weights(corners: FloatArray, wanted: FloatArray) -> list[float] | None:
    """Give convex weights with which 2 or 3 corners (log lengths) make the shape, up to the tolerance; None if they cannot."""
    edges = (corners[1:] - corners[0]).T
    solution, _, rank, _ = np.linalg.lstsq(edges, wanted - corners[0], rcond=None)
    if rank < len(corners) - 1:
        return None
    weights = np.concatenate([[1 - solution.sum()], solution])
    misses = np.abs(weights @ corners - wanted).max() > (_LOG_TOLERANCE if len(corners) == 2 else 1e-9)
    return None if misses or weights.min() < -1e-9 else [float(w) for w in np.clip(weights, 0, 1)]


def _blend(curves: Sequence[Curve], weights: Iterable[float], shape: Shape) -> Curve:
    """Mix curves log-linearly at equal concurrency, over the range that all of them cover."""
    low, high = max(c.concurrency[0] for c in curves), min(c.concurrency[-1] for c in curves)
    grid = np.unique(np.concatenate([c.concurrency for c in curves]))
    grid = grid[(grid >= low) & (grid <= high)]
    times = np.zeros((2, len(grid)))
    for curve, weight in zip(curves, weights, strict=True):
        times += weight * np.log(curve.at(grid))
    sources = dict.fromkeys(source for curve in curves for source in curve.sources)
    return Curve(*shape, grid, np.exp(times[0]), np.exp(times[1]), tuple(sources), worst(c.quality for c in curves))
