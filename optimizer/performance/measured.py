"""Measured language points as columns: profiles in the shape that the fit and the estimates work on.

Times ms, central values at a fixed number of requests in flight. A rate held or reached without a number of requests in flight is
kept apart (``rates``): it says how fast an accelerator is at full load, never what a request waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog import Latency, LoadKind, Profile, Quantity
from optimizer.performance.points import Array, Points
from optimizer.performance.profiles import CENTRAL_STATISTICS

__all__ = ["MeasuredPoints", "measured_points", "points_of"]


@dataclass(frozen=True)
class MeasuredPoints:
    """Points and what was measured there; ``tpot_ms`` is NaN where only the first token was timed."""

    points: Points
    ttft_ms: Array
    tpot_ms: Array

    def take(self, index: NDArray[Any]) -> MeasuredPoints:
        """Give some of the points, by place or by mask."""
        return MeasuredPoints(self.points.take(index), self.ttft_ms[index], self.tpot_ms[index])

    def __len__(self) -> int:
        """Give the number of points."""
        return len(self.points)


def measured_points(profiles: Iterable[Profile], *, is_by_model: bool = False) -> MeasuredPoints:
    """Take the closed-loop points with a central TTFT and both lengths, each distinct measurement once.

    One run may stand under two checkpoints of a network (DeepSeek-R1 and V3 do); ``is_by_model`` keeps it for both.
    """
    rows: dict[tuple[object, ...], tuple[Profile, float, float]] = {}
    for profile in profiles:
        ttft, tpot = _central(profile, Quantity.TTFT), _central(profile, Quantity.TPOT)
        has_lengths = profile.input_tokens is not None and profile.output_tokens is not None
        if profile.load.kind == LoadKind.CONCURRENCY and has_lengths and ttft is not None:
            rows.setdefault(
                (profile.model if is_by_model else "", _key(profile), ttft, tpot),
                (profile, ttft, np.nan if tpot is None else tpot),
            )
    kept = list(rows.values())
    return MeasuredPoints(
        points=points_of([profile for profile, _, _ in kept]),
        ttft_ms=np.array([ttft for _, ttft, _ in kept], dtype=np.float64),
        tpot_ms=np.array([tpot for _, _, tpot in kept], dtype=np.float64),
    )


def points_of(profiles: Iterable[Profile]) -> Points:
    """Give the load points of profiles; NaN concurrency where the load was no number of requests in flight."""
    rows = list(profiles)

    def text(name: str) -> NDArray[np.object_]:
        return np.array([getattr(row, name) for row in rows], dtype=object)

    def number(values: Iterable[float | None]) -> Array:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return Points(
        model=text("model"),
        compression=text("compression"),
        accelerator=text("accelerator"),
        precision=text("precision"),
        tensor=number(row.layout.tensor for row in rows),
        pipeline=number(row.layout.pipeline for row in rows),
        attention_data=number(row.layout.attention_data for row in rows),
        expert=number(row.layout.expert for row in rows),
        accelerators=number(row.accelerators_per_replica for row in rows),
        engine=text("engine"),
        engine_version=text("engine_version"),
        input_tokens=number(row.input_tokens for row in rows),
        output_tokens=number(row.output_tokens for row in rows),
        concurrency=number(row.load.value if row.load.kind == LoadKind.CONCURRENCY else None for row in rows),
    )


def _central(profile: Profile, quantity: Quantity) -> float | None:
    found: Iterable[Latency] = (x for x in profile.latency if x.quantity == quantity and x.statistic in CENTRAL_STATISTICS)
    return next((latency.ms for latency in found), None)


def _key(profile: Profile) -> tuple[object, ...]:
    """Everything that makes two measurements the same one but the name of the checkpoint (R1 and V3 carry the same runs)."""
    layout = profile.layout
    where = (
        profile.accelerator,
        profile.accelerators_per_replica,
        layout.tensor,
        layout.pipeline,
        layout.attention_data,
        layout.expert,
    )
    what = (profile.precision, profile.engine, profile.engine_version, profile.input_tokens, profile.output_tokens)
    return (*where, *what, profile.load.value)
