"""The algebra of the fit: damped least squares for a few constants, a Gaussian process for what they leave, and leaving out.

numpy only; no word of hardware. Sources: Marquardt (1963) for the damping; Rasmussen and Williams (2006), section 2.2 and
equation 5.12, for the process and for taking groups of points out of it without solving it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.performance.points import Array, Codes

__all__ = ["Process", "damped_least_squares", "fitted_process"]

CAUCHY_SCALE = 1.5
"""Residuals, in standard deviations, from which a point counts less."""
OUTLIER_DEVIATIONS = 2.5
"""Left-out errors beyond this many (robust) standard deviations get a larger noise of their own."""
STEP = 1e-3
TINY = 1e-9
"""Spread of errors below which points agree exactly."""


def damped_least_squares(
    residuals: Callable[[Array], Array], centre: Array, sd: Array, *, is_robust: bool, start: Array | None = None, steps: int = 25
) -> Array:
    """Minimise the sum of (robust) squared residuals plus ((x - centre) / sd)^2.

    Parameters
    ----------
    residuals : from parameters, shape (n,), to residuals in standard deviations, shape (m,)
    centre, sd : prior of the parameters, shape (n,)
    is_robust : whether residuals grow by the logarithm (Cauchy) beyond ``CAUCHY_SCALE``
    start : where to begin, ``centre`` unless given
    steps : the most steps taken

    >>> damped_least_squares(lambda x: 10 * (x - 3.0), np.array([1.0]), np.array([5.0]), is_robust=False).round(2).tolist()
    [3.0]
    """
    x, damping = (centre if start is None else start).copy(), 1e-2
    r = residuals(x)
    cost = _cost(r, x, centre, sd, is_robust)
    for _ in range(steps):
        weight = 1.0 / (1.0 + (r / CAUCHY_SCALE) ** 2) if is_robust else np.ones(len(r))
        slope = np.stack([(residuals(x + STEP * unit) - r) / STEP for unit in np.eye(len(x))], axis=1)
        normal = slope.T @ (slope * weight[:, None]) + np.diag(sd**-2.0)
        gradient = slope.T @ (weight * r) + (x - centre) / sd**2
        before = cost
        for _ in range(6):
            trial = x - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            r_trial = residuals(trial)
            cost_trial = _cost(r_trial, trial, centre, sd, is_robust)
            if cost_trial < cost:
                x, r, cost, damping = trial, r_trial, cost_trial, damping / 3.0
                break
            damping *= 4.0
        if before - cost < 1e-4 * before:
            break
    return x


def _cost(r: Array, x: Array, centre: Array, sd: Array, is_robust: bool) -> float:
    fit = CAUCHY_SCALE**2 * np.log1p((r / CAUCHY_SCALE) ** 2) if is_robust else r**2
    return float(fit.sum() + (((x - centre) / sd) ** 2).sum())


@dataclass(frozen=True)
class Process:
    """A Gaussian process given its data: the inverse covariance of them, and the weights of the points, shape (n,).

    >>> Process.of(np.eye(2) * 3.0, np.ones(2), np.array([4.0, 8.0])).left_out(np.array([0])).tolist()
    [4.0]
    """

    inverse: Array
    weights: Array
    variance: Array

    @classmethod
    def of(cls, covariance: Array, variance: Array, values: Array) -> Process:
        """Condition on values measured with these noise variances."""
        inverse: Array = np.linalg.inv(covariance + np.diag(variance)).astype(np.float64)
        return cls(inverse, inverse @ values, variance)

    def left_out(self, group: Codes | NDArray[np.bool_]) -> Array:
        """Give value minus prediction of a group of points, predicted from all the others."""
        block = self.inverse[group][:, group]
        return np.asarray(np.linalg.solve(block, self.weights[group]), dtype=np.float64)


def fitted_process(covariance: Array, noise_sd: float, values: Array) -> Process:
    """Condition on values of which a few are outliers: points that the others contradict get more noise, four times over."""
    variance: Array = np.full(len(values), noise_sd**2, dtype=np.float64)
    for _ in range(4):
        process = Process.of(covariance, variance, values)
        off: Array = np.abs(process.weights) / np.diag(process.inverse)
        spread = max(1.4826 * float(np.median(off)), TINY)  # 1.4826: from median to standard deviation of a normal law
        variance = np.full(len(values), noise_sd**2) * np.maximum(off / spread / OUTLIER_DEVIATIONS, 1.0) ** 2
    return Process.of(covariance, variance, values)
