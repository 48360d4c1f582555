"""Calibrate the roofline to measured points: its constants, and what like points share beyond them.

Two layers, the second fitted to what the first leaves, both in logarithms of times: a few constants of the roofline, drawn to
what is assumed without a fit; then a Gaussian process over attributes and distance (``similarity``). Nothing is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.instance import Catalogs
from optimizer.performance.lookup import Configurations, Lookup, positions
from optimizer.performance.measured import MeasuredPoints, measured_points
from optimizer.performance.points import Array
from optimizer.performance.regression import Process, damped_least_squares, fitted_process
from optimizer.performance.roofline import PLAIN_MULTIPLES, model_times_s
from optimizer.performance.similarity import gaussian
from optimizer.performance.steps import Work

__all__ = ["FLAT_SHARE", "LENGTHS", "LIKENESSES", "Calibration", "calibrated", "covariance"]

NAMES = tuple(PLAIN_MULTIPLES)
PRIOR_SD = {
    "prefill_compute": 0.15,
    "prefill_attention": 0.3,
    "prefill_link": 0.5,
    "prefill_weights": 0.4,
    "prefill_s": 1.0,
    "decode_weights": 0.15,
    "decode_cache": 0.25,
    "decode_compute": 0.3,
    "decode_link": 0.5,
    "layer_s": 0.7,
    "reduce_s": 0.7,
    "step_s": 1.0,
    "interference": 0.4,
    "queue": 0.7,
    "queue_power": 0.1,
    "request_s": 1.0,
    "overflow": 0.7,
}
"""How far a constant may be from what is assumed, standard deviation of its logarithm: bandwidth and compute stay physical."""
FIRST_SD = (0.45, 0.25)
"""Spread of log TTFT and log TPOT about the constants alone, for the first, robust pass."""
LIKENESSES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    ((), 1.0, 0.05),
    (("engine",), 0.5, 0.1),
    (("precision",), 0.05, 0.05),
    (("family",), 0.1, 0.05),
    (("accelerator",), 0.1, 0.05),
    (("network",), 0.15, 0.1),
    (("mixture",), 0.1, 0.05),
    (("engine", "engine_version"), 0.1, 0.05),
    (("family", "engine"), 0.15, 0.05),
    (("accelerator", "engine"), 0.1, 0.05),
    (("accelerator", "precision"), 0.1, 0.05),
    (("precision", "engine"), 0.1, 0.05),
    (("family", "precision", "engine"), 0.1, 0.05),
    (("mixture", "engine"), 0.1, 0.05),
    (("mixture", "family"), 0.1, 0.05),
    (("mixture", "family", "engine"), 0.1, 0.05),
    (("network", "engine"), 0.25, 0.1),
    (("network", "precision"), 0.1, 0.05),
    (("network", "family"), 0.1, 0.05),
    (("network", "accelerator"), 0.1, 0.05),
    (("network", "precision", "engine"), 0.15, 0.05),
    (("network", "accelerator", "engine"), 0.15, 0.05),
    (("network", "precision", "accelerator", "engine"), 0.2, 0.07),
    (("network", "precision", "accelerator", "engine", "layout"), 0.2, 0.07),
    (("network", "precision", "accelerator", "engine", "layout", "engine_version"), 0.15, 0.05),
)
"""Attributes shared, and the standard deviation that they explain of log TTFT and log TPOT. Round values: a search on half of
the folds made the other half worse (docs/fidelity.md)."""
FLAT_SHARE = 0.5
LENGTHS = (1.5, 1.2, 1.2, 0.8, 1.0, 1.0)
"""Distance at which likeness falls to 0.61, in the logarithms of ``lookup.positions``."""
NOISE_SD = (0.3, 0.05)
"""Spread of log TTFT and log TPOT of one measured point about what like points share."""


@dataclass(frozen=True)
class Calibration:
    """The anchors, what was measured and modelled there (ms), and the processes of what the model leaves (TTFT, TPOT).

    ``has_tpot`` marks the anchors, shape (n_anchors,), on which the process of TPOT rests.
    """

    measured: MeasuredPoints
    found: Configurations
    load: Work
    multiples: dict[str, float]
    position: Array
    model_ms: tuple[Array, Array]
    ttft: Process
    tpot: Process
    has_tpot: NDArray[np.bool_]


def calibrated(catalogs: Catalogs) -> Calibration:
    """Fit the constants and the two processes."""
    lookup = Lookup(catalogs)
    measured = measured_points(catalogs.profiles)
    with np.errstate(all="ignore"):
        load = lookup.work(measured.points, lookup.configurations(measured.points))
        times = model_times_s(load, measured.points.output_tokens, PLAIN_MULTIPLES)
    is_known = np.isfinite(times[0]) & np.isfinite(times[1])
    measured, load = measured.take(is_known), load.take(is_known)
    found = lookup.configurations(measured.points)
    position = positions(measured.points, load)
    covariances = tuple(covariance(found, position, which) for which in (0, 1))
    values = np.log(measured.ttft_ms), np.log(measured.tpot_ms)
    has_tpot = np.isfinite(values[1])
    multiples = _fitted_multiples(load, measured, covariances)
    model = _model_ms(load, measured, multiples)
    left = values[0] - np.log(model[0]), (values[1] - np.log(model[1]))[has_tpot]
    return Calibration(
        measured=measured,
        found=found,
        load=load,
        multiples=multiples,
        position=position,
        model_ms=model,
        ttft=fitted_process(covariances[0], NOISE_SD[0], left[0]),
        tpot=fitted_process(covariances[1][has_tpot][:, has_tpot], NOISE_SD[1], left[1]),
        has_tpot=has_tpot,
    )


def covariance(found: Configurations, position: Array, which: int) -> Array:
    """Prior covariance of the logarithms of points, shape (n_points, n_points); ``which`` is 0 for TTFT, 1 for TPOT."""
    total = np.zeros((len(position), len(position)))
    place = {
        key: np.unique([str(name) for name in names], return_inverse=True)[1][found.of_point]
        for key, names in found.attributes.items()
    }
    for alike_in, *sds in LIKENESSES:
        same = np.ones_like(total, dtype=bool)
        for attribute in alike_in:
            same &= place[attribute][:, None] == place[attribute][None, :]
        total += sds[which] ** 2 * same
    return total * (FLAT_SHARE + (1.0 - FLAT_SHARE) * gaussian(position, position, np.array(LENGTHS)))


def _model_ms(load: Work, measured: MeasuredPoints, multiples: dict[str, float]) -> tuple[Array, Array]:
    ttft_s, tpot_s = model_times_s(load, measured.points.output_tokens, multiples)
    return ttft_s * 1e3, tpot_s * 1e3


def _fitted_multiples(load: Work, measured: MeasuredPoints, covariances: Sequence[Array]) -> dict[str, float]:
    """Fit the constants: robustly with independent errors, then with errors that like points share."""
    centre = np.log([PLAIN_MULTIPLES[name] for name in NAMES])
    sd = np.array([PRIOR_SD[name] for name in NAMES])
    has_tpot = np.isfinite(measured.tpot_ms)
    values = np.log(measured.ttft_ms), np.log(measured.tpot_ms[has_tpot])

    def left(x: Array) -> tuple[Array, Array]:
        model = _model_ms(load, measured, dict(zip(NAMES, np.exp(x).tolist(), strict=True)))
        return values[0] - np.log(model[0]), values[1] - np.log(model[1][has_tpot])

    def independent(x: Array) -> Array:
        return np.concatenate([error / spread for error, spread in zip(left(x), FIRST_SD, strict=True)])

    x = damped_least_squares(independent, centre, sd, is_robust=True)
    blocks = covariances[0], covariances[1][has_tpot][:, has_tpot]
    noise = [
        fitted_process(block, spread, error).variance for block, spread, error in zip(blocks, NOISE_SD, left(x), strict=True)
    ]
    whiten = [np.linalg.inv(np.linalg.cholesky(block + np.diag(extra))) for block, extra in zip(blocks, noise, strict=True)]

    def whitened(x: Array) -> Array:
        return np.concatenate([matrix @ error for matrix, error in zip(whiten, left(x), strict=True)])

    x = damped_least_squares(whitened, centre, sd, is_robust=False, start=x, steps=12)
    return dict(zip(NAMES, np.exp(x).tolist(), strict=True))
