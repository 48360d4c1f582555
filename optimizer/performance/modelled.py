"""Configurations nobody measured: which exist, which fit into memory, and what the roofline says of them.

Memory GiB, times ms. Plans use the safe end: times multiplied by the predicted rate over the low end of its 90 % band.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Layout, Model, Quality, Variant
from optimizer.performance.figures import Answer, Rejection, RejectionCode
from optimizer.performance.points import Codes, Points
from optimizer.performance.profiles import Configuration, Curve, Shape
from optimizer.performance.roofline import Roofline
from optimizer.performance.steps import GIB, USABLE_MEMORY_FRACTION, network, weight_bytes

__all__ = [
    "CONCURRENCIES",
    "Anchor",
    "Times",
    "anchored",
    "configurations_of",
    "not_supported",
    "predicted",
    "requests_in_memory",
    "weights_gib",
]

FloatArray = npt.NDArray[np.float64]

REPLICA_SIZES = (1, 2, 4, 8)
"""Accelerators per modelled replica, all of them in one tensor-parallel group."""
CONCURRENCIES: FloatArray = 2.0 ** np.arange(9, dtype=np.float64)
"""Requests in flight at which a modelled curve is asked for: 1 to 256."""
NO_WAIT_MS = 1e-6
"""Time per further token of requests that ask for one token only: not zero, since times are compared in logs."""


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """What the roofline says, shape (n_configurations, n_shapes, n_concurrencies); NaN where nothing can be said.

    ``ttft_ms`` and ``tpot_ms`` are the middle; ``safe`` is the predicted rate over the low end of its band, at least 1.
    """

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    safe: FloatArray
    quality: tuple[Quality, ...]

    def safe_ms(self) -> tuple[FloatArray, FloatArray]:
        """Give TTFT and TPOT at the safe end."""
        return self.ttft_ms * self.safe, self.tpot_ms * self.safe


def configurations_of(
    model: Model, forms: Iterable[str], accelerators: Iterable[Accelerator]
) -> tuple[tuple[Configuration, ...], dict[Configuration, Answer]]:
    """Give the uncompressed configurations worth modelling, and those that a format or a layout rules out.

    Parameters
    ----------
    forms : the precisions, each tried on every accelerator
    """
    kept: list[Configuration] = []
    refused: dict[Configuration, Answer] = {}
    forms = tuple(dict.fromkeys(forms))
    for accelerator in accelerators:
        for precision in forms:
            for count in REPLICA_SIZES:
                layout = Layout(tensor=count)
                found = Configuration(model.name, precision, "none", accelerator.name, count, None, None, layout)
                why = not_supported(accelerator, precision) or _not_divided(model, count)
                if why is None:
                    kept.append(found)
                    continue
                refused[found] = why
                if why.code is RejectionCode.PRECISION:
                    break
    return tuple(kept), refused


def not_supported(accelerator: Accelerator, precision: str) -> Rejection | None:
    """Refuse a number format that is not on the accelerator's explicit list."""
    if precision in accelerator.precisions:
        return None
    return Rejection(RejectionCode.PRECISION, f"{accelerator.name} runs {', '.join(accelerator.precisions)}, not {precision}")


def _not_divided(model: Model, count: int) -> Rejection | None:
    if model.heads is None or model.heads % count == 0:
        return None
    message = f"{model.heads} attention heads do not divide over {count} accelerators"
    return Rejection(RejectionCode.LAYOUT, message, float(model.heads), float(count))


def weights_gib(model: Model, variant: Variant | None, precision: str) -> float:
    """Give the size of a form's weights: its own figure, or parameters times the share kept times bytes; NaN if unknown."""
    if variant is not None and variant.weights_gib is not None:
        return variant.weights_gib
    if model.parameters_b is None:
        return float("nan")
    fraction = 1.0 if variant is None else variant.size_fraction
    return model.parameters_b * 1e9 * fraction * weight_bytes(precision) / GIB


def requests_in_memory(
    model: Model, configurations: Sequence[Configuration], shapes: Sequence[Shape], accelerators: Sequence[Accelerator]
) -> tuple[FloatArray, dict[int, Rejection]]:
    """Give how many whole requests fit beside the weights, and a refusal (by row) where not even one of each shape does.

    ``accelerators`` are those of the configurations, row by row. The cache is counted at 16 bit for all tokens of a request,
    spread over as many accelerators as there are key-value heads; ``USABLE_MEMORY_FRACTION`` of the memory is used. Where the
    model's cache or weights are unknown nothing is limited here: the roofline then has no figure either.

    Returns
    -------
    shape (n_configurations, n_shapes), NaN where unknown
    """
    net = network(model)
    by_variant = {v: weights_gib(model, model.variant(*v), v[0]) for v in {c.variant for c in configurations}}
    weights = np.array([by_variant[c.variant] for c in configurations])
    count = np.array([float(c.accelerators_per_replica) for c in configurations])
    usable = USABLE_MEMORY_FRACTION * np.array([a.memory_gib for a in accelerators])
    room = usable - weights / count
    tokens = np.array([float(i + o) for i, o in shapes])
    cache_gib = np.outer(net.cache_bytes_per_token / np.minimum(count, net.cache_shards), tokens) / GIB
    fitting = np.floor(room[:, None] / cache_gib)
    refused: dict[int, Rejection] = {}
    for row in np.flatnonzero((room <= 0) | (fitting < 1).any(axis=1)):
        largest = 0.0 if np.isnan(cache_gib[row]).any() else float(cache_gib[row].max())
        needed, most = float(weights[row] / count[row]), float(usable[row])
        message = (
            f"needs {needed:.1f} GiB of weights and {largest:.2f} GiB for one request on each accelerator, {most:.1f} usable"
        )
        refused[int(row)] = Rejection(RejectionCode.MEMORY, message, needed + largest, most)
    return np.where(room[:, None] <= 0, 0.0, fitting), refused


def predicted(roofline: Roofline, configurations: Sequence[Configuration], shapes: Sequence[Shape]) -> Times:
    """Ask the roofline for every configuration at every shape and concurrency, in one call, at the safe end of its band."""
    each = len(shapes) * len(CONCURRENCIES)
    of_point = np.repeat(np.arange(len(configurations)), each)
    lengths = np.repeat(np.array(shapes, dtype=np.float64).reshape(-1, 2), len(CONCURRENCIES), axis=0)
    load = np.tile(CONCURRENCIES, len(configurations) * len(shapes))
    found = _at_points(roofline, configurations, of_point, np.tile(lengths, (len(configurations), 1)), load)
    shape = len(configurations), len(shapes), len(CONCURRENCIES)
    ttft_ms, tpot_ms, safe = (column.reshape(shape) for column in found[:3])
    return Times(ttft_ms, tpot_ms, safe, tuple(found[3][::each].tolist()) if each else ())


@dataclass(frozen=True, slots=True)
class Anchor:
    """A measured configuration, the curve whose shape is nearest to the one asked for, and that shape."""

    configuration: Configuration
    nearest: Curve
    shape: Shape


def anchored(roofline: Roofline, anchors: Sequence[Anchor]) -> Times:
    """Give roofline times of measured configurations at other shapes, moved by what it misses at the nearest measured shape.

    The ratio of measured to predicted times is taken at each measured concurrency, log-log between them and held beyond them;
    where the roofline says nothing there, so it does here. The band of the roofline is kept whole. One shape an anchor: arrays
    of shape (n_anchors, 1, n_concurrencies).
    """
    rows, sizes = np.arange(len(anchors)), np.array([len(a.nearest.concurrency) for a in anchors], dtype=np.intp)
    near, far = np.repeat(rows, sizes), np.repeat(rows, len(CONCURRENCIES))
    shapes = np.array([[a.nearest.shape, a.shape] for a in anchors], dtype=np.float64)
    lengths = np.concatenate([shapes[near, 0], shapes[far, 1]])
    load = np.concatenate([*(a.nearest.concurrency for a in anchors), np.tile(CONCURRENCIES, len(anchors))])
    found = _at_points(roofline, [a.configuration for a in anchors], np.concatenate([near, far]), lengths, load)
    cube, log_grid = (len(anchors), 1, len(CONCURRENCIES)), np.log(CONCURRENCIES)
    here = [np.split(column[: len(near)], np.cumsum(sizes)[:-1]) for column in found[:2]]
    ttft_ms, tpot_ms, safe = (column[len(near) :].reshape(cube).copy() for column in found[:3])
    for row, anchor in enumerate(anchors):
        known = np.log(anchor.nearest.concurrency)
        ttft_ms[row] *= np.exp(np.interp(log_grid, known, np.log(anchor.nearest.ttft_ms / here[0][row])))
        tpot_ms[row] *= np.exp(np.interp(log_grid, known, np.log(anchor.nearest.tpot_ms / here[1][row])))
    return Times(ttft_ms, tpot_ms, safe, tuple(found[3][len(near) :: len(CONCURRENCIES)].tolist()))


def _at_points(
    roofline: Roofline, configurations: Sequence[Configuration], of_point: Codes, lengths: FloatArray, load: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.object_]]:
    """Ask for points of some configurations: TTFT and TPOT (ms) in the middle, how far off the safe end is, and the quality.

    ``lengths`` are input and output tokens, shape (n_points, 2).
    """

    def numbers(values: Iterable[float | None]) -> FloatArray:
        return np.array([np.nan if v is None else float(v) for v in values])[of_point]

    def words(values: Iterable[str | None]) -> npt.NDArray[np.object_]:
        return np.array(list(values), dtype=object)[of_point]

    points = Points(
        model=words(c.model for c in configurations),
        compression=words(c.compression for c in configurations),
        accelerator=words(c.accelerator for c in configurations),
        precision=words(c.precision for c in configurations),
        tensor=numbers(c.layout.tensor for c in configurations),
        pipeline=numbers(c.layout.pipeline for c in configurations),
        attention_data=numbers(c.layout.attention_data for c in configurations),
        expert=numbers(c.layout.expert for c in configurations),
        accelerators=numbers(c.accelerators_per_replica for c in configurations),
        engine=words(c.engine for c in configurations),
        engine_version=words(c.engine_version for c in configurations),
        input_tokens=lengths[:, 0],
        output_tokens=lengths[:, 1],
        concurrency=load,
    )
    found = roofline.predict(points, of_point)
    with np.errstate(invalid="ignore", divide="ignore"):
        safe = np.maximum(found.output_tokens_per_s / found.low, 1.0)
    lone = np.isfinite(found.ttft_ms) & (points.output_tokens <= 1)  # one token has no further one to wait for
    return found.ttft_ms, np.where(lone, NO_WAIT_MS, found.tpot_ms), safe, found.quality
