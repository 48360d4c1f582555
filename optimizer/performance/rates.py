"""What rates without latencies say: how accelerators compare at full load, and what a deployment yields there.

Rates are output tokens/s. A rate that was held (MLPerf Server) or reached (a benchmark's maximum) says how fast the accelerator
is beside others in the same test; the test itself, its lengths and its tuning are an unknown of its own that cancels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from optimizer.catalog import LoadKind, Profile, Quantity
from optimizer.instance import Catalogs
from optimizer.performance.lookup import Lookup
from optimizer.performance.measured import measured_points, points_of
from optimizer.performance.points import Array, Points, codes, rate_of
from optimizer.performance.roofline import FULL_LOAD_IN_LANE, Roofline, model_times_s

__all__ = ["accelerator_rates", "full_load_errors"]

BENCHMARK_SHAPE = (1024, 512)
"""Lengths taken for a benchmark that keeps its own; they shift all its accelerators alike. Assumed."""
LOOSE_TTFT_MS = 1000.0
"""A rate held under a tighter bound tells of the bound, not of the accelerator; left out. Assumed."""
ACCELERATOR_SD, ROW_SD = 0.3, 0.15
"""Spread of accelerators and of single rates about the model, logarithms; assumed."""
TENSOR_DEGREES = (1, 2, 4, 8)


def accelerator_rates(catalogs: Catalogs, multiples: Mapping[str, float]) -> dict[str, float]:
    """Give log(rate / expected rate) of accelerators beside the mean of those with closed-loop points; ridge regression."""
    rows = [p for p in catalogs.profiles if _is_telling(p)]
    if not rows:
        return {}
    expected = _expected(catalogs, rows, multiples)
    off = np.log([_rate_per_accelerator(p) for p in rows]) - expected
    rows = [p for p, is_known in zip(rows, np.isfinite(off), strict=True) if is_known]
    off = off[np.isfinite(off)]
    lookup = Lookup(catalogs)
    names, of_card = codes([lookup.accelerators[p.accelerator].name for p in rows])
    tests, of_test = codes([_test(p) for p in rows])
    design = np.zeros((len(rows), len(names) + len(tests)))
    design[np.arange(len(rows)), of_card] = 1.0
    design[np.arange(len(rows)), len(names) + of_test] = 1.0
    penalty = np.concatenate([np.full(len(names), (ROW_SD / ACCELERATOR_SD) ** 2), np.full(len(tests), 1e-4)])
    effects = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ off)
    measured = measured_points(catalogs.profiles)
    timed = set(measured.take(np.isfinite(measured.tpot_ms)).points.accelerator)
    reference = [effects[place] for place, name in enumerate(names) if name in timed]
    centre = float(np.mean(reference)) if reference else 0.0
    return {name: float(effects[place]) - centre for place, name in sorted(enumerate(names), key=lambda pair: pair[1])}


def full_load_errors(catalogs: Catalogs) -> Array:
    """Give log(predicted / reported) of rates reached without a stated number of requests in flight."""
    rows = [p for p in catalogs.profiles if _is_telling(p) and p.load.kind == LoadKind.MAX_THROUGHPUT and p.input_tokens]
    if not rows:
        return np.empty(0)
    predicted = Roofline(catalogs).predict(points_of(rows)).output_tokens_per_s
    errors: Array = np.log(predicted) - np.log([_rate_per_accelerator(p) * p.accelerators_per_replica for p in rows])
    return errors[np.isfinite(errors)]


def _is_telling(profile: Profile) -> bool:
    bounds = [x.at_most_ms for x in profile.latency if x.quantity == Quantity.TTFT and x.at_most_ms is not None]
    is_language = profile.unit == "tokens/s" and (profile.output_tokens or 2) > 1
    has_rate = profile.load.kind == LoadKind.HELD_RATE or (
        profile.load.kind == LoadKind.MAX_THROUGHPUT and profile.rate is not None
    )
    return is_language and has_rate and min(bounds, default=LOOSE_TTFT_MS) >= LOOSE_TTFT_MS


def _rate_per_accelerator(profile: Profile) -> float:
    rate = profile.load.value if profile.load.kind == LoadKind.HELD_RATE else profile.rate
    return (rate or np.nan) / profile.load.accelerators_measured


def _test(profile: Profile) -> tuple[object, ...]:
    return profile.model, profile.precision, profile.load.kind, profile.input_tokens, profile.output_tokens


def _expected(catalogs: Catalogs, rows: list[Profile], multiples: Mapping[str, float]) -> Array:
    """Log of the model's rate per accelerator at full load, the best tensor degree where a benchmark does not tell its own."""
    best = np.full(len(rows), -np.inf)
    given = np.array([p.load.kind == LoadKind.MAX_THROUGHPUT for p in rows])
    stated = points_of(rows)
    for degree in TENSOR_DEGREES:
        points = _at_full_load(stated, float(degree), given)
        rate = _model_rate(catalogs, points, multiples)
        best = np.fmax(best, np.log(np.where(np.isfinite(rate), rate, np.nan)))
    return np.where(np.isfinite(best), best, np.nan)


def _at_full_load(stated: Points, degree: float, given: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Points:
    ones = np.ones(len(stated))
    return Points(
        model=stated.model,
        compression=stated.compression,
        accelerator=stated.accelerator,
        precision=stated.precision,
        tensor=np.where(given, stated.tensor, degree),
        pipeline=np.where(given, stated.pipeline, ones),
        attention_data=ones,
        expert=np.full(len(stated), np.nan),
        accelerators=np.where(given, stated.tensor * stated.pipeline, degree),
        engine=stated.engine,
        engine_version=stated.engine_version,
        input_tokens=np.where(np.isnan(stated.input_tokens), BENCHMARK_SHAPE[0], stated.input_tokens),
        output_tokens=np.where(np.isnan(stated.output_tokens), BENCHMARK_SHAPE[1], stated.output_tokens),
        concurrency=ones * FULL_LOAD_IN_LANE,
    )


def _model_rate(catalogs: Catalogs, points: Points, multiples: Mapping[str, float]) -> Array:
    lookup = Lookup(catalogs)
    with np.errstate(all="ignore"):
        load = lookup.work(points, lookup.configurations(points))
        ttft_s, tpot_s = model_times_s(load, points.output_tokens, multiples)
        rate = rate_of(load.in_flight, points.output_tokens, ttft_s * 1e3, tpot_s * 1e3) / points.accelerators
    return np.where(load.fits, rate, np.nan)
