"""Times and rates of points nobody measured: prefill by compute, decode by bandwidth, the batch limited by memory.

Times ms, rates output tokens/s of the whole deployment. No queue of open-loop arrivals and no percentile: central values at a
fixed concurrency, like the measured points. Missing hardware or model figures give NaN, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog import AcceleratorKind, Quality
from optimizer.instance import Catalogs
from optimizer.performance.steps import Array, Columns, Hardware, Network, Work, hardware, network, weight_bytes, work

Key = TypeVar("Key", bound=Hashable)

__all__ = ["Points", "Predictions", "Roofline"]

Strings = Sequence[str] | NDArray[np.object_]
MaybeStrings = Sequence[str | None] | NDArray[np.object_]
TEXT = ("model", "compression", "accelerator", "precision", "engine", "engine_version")


@dataclass(frozen=True)
class Points:
    """Load points as columns of equal length; numbers are float arrays with NaN for blank, ``engine`` may hold None."""

    model: Strings
    compression: Strings
    accelerator: Strings
    precision: Strings
    tensor: Array
    pipeline: Array
    attention_data: Array
    expert: Array
    accelerators: Array
    engine: MaybeStrings
    engine_version: MaybeStrings
    input_tokens: Array
    output_tokens: Array
    concurrency: Array

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")

    def __len__(self) -> int:
        """Give the number of points."""
        return len(self.model)

    def take(self, index: NDArray[np.intp]) -> Points:
        """Give some of the points, in the order of ``index``."""
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            array = column if isinstance(column, np.ndarray) else np.array(column, dtype=object)
            columns[field.name] = array[index]
        return Points(**columns)


@dataclass(frozen=True)
class Predictions:
    """What points are expected to do: arrays of shape (n_points,), NaN where nothing can be said.

    ``low`` and ``high`` bound the rate: its 90 % band.
    """

    ttft_ms: Array
    tpot_ms: Array
    output_tokens_per_s: Array
    low: Array
    high: Array
    quality: NDArray[np.object_]


def codes(column: Sequence[Key] | NDArray[Any]) -> tuple[list[Key], NDArray[np.intp]]:
    """Give the distinct values of a column, in order of appearance, and for each point its place among them.

    >>> codes(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    seen: dict[Key, int] = {}
    values = column.tolist() if isinstance(column, np.ndarray) else column
    index = np.fromiter((seen.setdefault(value, len(seen)) for value in values), dtype=np.intp, count=len(column))
    return list(seen), index


class Roofline:
    """Predicts from one set of catalogs; looking a model or accelerator up happens once for each distinct name."""

    def __init__(self, catalogs: Catalogs) -> None:
        """Index the catalogs by name and alias."""
        self._models = {name: m for m in catalogs.models for name in (*m.aliases, m.name)}
        self._accelerators = {name: a for a in catalogs.accelerators for name in (*a.aliases, a.name)}

    def work(self, points: Points) -> Work:
        """Count the work of points; NaN for unknown names and missing figures."""
        models, of_model = codes(points.model)
        pairs, of_pair = codes(list(zip(points.accelerator, points.precision, strict=True)))
        nets = _table(Network, [network(self._models[m]) if m in self._models else None for m in models])
        known = [hardware(self._accelerators[a], p) if a in self._accelerators else None for a, p in pairs]
        bytes_each = np.array([weight_bytes(precision) for _, precision in pairs])
        lanes = np.where(np.isnan(points.attention_data), 1.0, points.attention_data)
        run = Columns(
            weight_bytes=bytes_each[of_pair],
            tensor=points.tensor,
            pipeline=np.where(np.isnan(points.pipeline), 1.0, points.pipeline),
            lanes=lanes,
            accelerators=points.accelerators,
            input_tokens=points.input_tokens,
            output_tokens=points.output_tokens,
            concurrency=points.concurrency,
        )
        device = {name: column[of_pair] for name, column in _table(Hardware, known).items()}
        return work(device, {name: column[of_model] for name, column in nets.items()}, run)

    def predict(self, points: Points) -> Predictions:
        """Predict points, whole columns at a time."""
        with np.errstate(all="ignore"):
            return self._predict(points)

    def _predict(self, points: Points) -> Predictions:
        load = self.work(points)
        prefill = (
            load.prefill_flop_s / 0.5 + load.prefill_attention_s / 0.4 + load.prefill_link_s / 0.5 + load.prefill_weights_s / 0.6
        )
        step = load.decode_weights_s / 0.6 + load.decode_cache_s / 0.5
        step = step + load.decode_flop_s / 0.4 + load.decode_link_s / 0.5
        step = step + load.layers * (25e-6 + 20e-6 * (load.group > 1))
        in_lane = load.in_flight / load.lanes
        tpot_s = step + prefill * in_lane / np.maximum(points.output_tokens, 1.0)
        ttft_s = prefill * (1.0 + 0.15 * (in_lane - 1.0)) + step + 0.02
        ttft_s = ttft_s + load.waiting / load.in_flight * (ttft_s + points.output_tokens * tpot_s)
        rate = points.concurrency * points.output_tokens / (ttft_s + (points.output_tokens - 1.0) * tpot_s)
        known = load.fits & np.isfinite(rate)
        ttft, tpot, rate = (np.where(known, x, np.nan) for x in (ttft_s * 1e3, tpot_s * 1e3, rate))
        return Predictions(ttft, tpot, rate, rate / 1.8, rate * 1.8, self._qualities(points))

    def _qualities(self, points: Points) -> NDArray[np.object_]:
        names, index = codes(points.accelerator)
        kinds = [self._accelerators[name].kind if name in self._accelerators else None for name in names]
        found = [Quality.ASSUMED if kind == AcceleratorKind.TPU else Quality.MODELLED for kind in kinds]
        return np.array(found, dtype=object)[index]


def _table(kind: Callable[..., Any], rows: Sequence[Any]) -> dict[str, Array]:
    """Columns of some records; a missing record is NaN in every column."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return {name: np.array([np.nan if row is None else getattr(row, name) for row in rows], dtype=float) for name in names}
