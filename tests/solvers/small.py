"""Models for tests, and an oracle that shares no code with the solvers: every integer point."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from solvers.model import FloatArray, Model

ROOT = Path(__file__).resolve().parents[2]
INF = float("inf")


def model(objective, rows, lower=0.0, upper=10.0, integer=True, **more) -> Model:
    """Model from dense rows (low, coefficients, high)."""
    matrix = np.array([r[1] for r in rows], float).reshape(len(rows), len(objective))
    row, column = np.nonzero(matrix)
    return Model.from_triplets(
        objective=objective,
        lower=lower,
        upper=upper,
        integer=integer,
        row=row,
        column=column,
        value=matrix[row, column],
        row_lower=[float(r[0]) for r in rows],
        row_upper=[float(r[2]) for r in rows],
        **more,
    )


def two_rows_lp() -> Model:
    """Least of 2.5x + 3.25y; 3x + 2y >= 7.5; x + 4y >= 5.25: x = 1.95, y = 0.825, cost 7.55625; duals 0.675 and 0.475."""
    return model([2.5, 3.25], [(7.5, [3, 2], INF), (5.25, [1, 4], INF)], upper=INF, integer=False)


def random_model(seed: int) -> Model:
    """Two to four integer columns and at most one continuous; about a third have no solution."""
    rng = np.random.default_rng(seed)
    whole = int(rng.integers(2, 5))
    n, m = whole + int(rng.integers(0, 2)), int(rng.integers(1, 5))
    matrix = rng.integers(-2, 6, (m, n)) * (rng.random((m, n)) < 0.8)
    activity = matrix @ rng.integers(0, 4, n)  # of some point in the box, so that many are feasible
    kind = rng.integers(0, 4, m)
    low = np.where(kind == 1, -INF, activity + rng.integers(-3, 2, m) + (rng.random(m) < 0.1) * 12.0)
    high = np.where(kind == 0, INF, np.where(kind == 2, low, np.maximum(low, activity) + rng.integers(0, 3, m)))
    rows = [(low[i], matrix[i], high[i]) for i in range(m)]
    cost = np.round(rng.uniform(-2, 9, n) * 4) / 4
    return model(cost, rows, upper=rng.integers(1, 5, n).astype(float), integer=np.arange(n) < whole)


def brute_force(m: Model) -> float | None:
    """Least cost over all integer points, or None; the last column may be continuous."""
    dense = np.zeros((m.n_rows, m.n_columns))
    dense[m.row, m.column] = m.value
    whole = [j for j in range(m.n_columns) if m.integer[j]]
    points = np.array(list(itertools.product(*(range(int(m.lower[j]), int(m.upper[j]) + 1) for j in whole))), float)
    rest = points @ dense[:, whole].T
    cost = points @ m.objective[whole]
    feasible, y_low, y_high = np.ones(len(points), bool), np.full(len(points), -INF), np.full(len(points), INF)
    last = None if len(whole) == m.n_columns else m.n_columns - 1
    if last is not None:
        y_low, y_high = np.full(len(points), m.lower[last]), np.full(len(points), m.upper[last])
    for i in range(m.n_rows):
        a = 0.0 if last is None else dense[i, last]
        if a == 0:
            feasible &= (rest[:, i] >= m.row_lower[i]) & (rest[:, i] <= m.row_upper[i])
        else:
            ends = np.sort(np.stack([(m.row_lower[i] - rest[:, i]) / a, (m.row_upper[i] - rest[:, i]) / a]), axis=0)
            y_low, y_high = np.maximum(y_low, ends[0]), np.minimum(y_high, ends[1])
    if last is not None:
        feasible &= y_low <= y_high + 1e-12
        cost = cost + m.objective[last] * (y_low if m.objective[last] >= 0 else y_high)
    return float(cost[feasible].min()) + m.objective_offset if feasible.any() else None


def planning(groups: int, seed: int = 0, options: int = 40, classes: int = 10) -> Model:
    """Covering with counts, shares and switches under shared supply; 16 groups keep any solver busy for minutes."""
    rng = np.random.default_rng(seed)
    kinds = 30
    price = np.exp(rng.uniform(np.log(0.3), np.log(12), kinds))
    supply = np.maximum(8, rng.integers(8, 80, kinds)) * groups / 8.0
    k, b = options, classes
    width = 2 * k + k * b
    row, column, value, low, high = [], [], [], [np.full(kinds, -INF)], [supply]
    cost, upper, top = [], [], kinds
    for g in range(groups):
        kind, size = rng.integers(0, kinds, k), 2.0 ** rng.integers(0, 4, k)
        rate = rng.dirichlet(np.ones(b)) * np.exp(rng.uniform(np.log(2), np.log(200)))
        speed = (price[kind] * size)[:, None] * np.exp(rng.normal(0, 0.4, (k, 1)) + rng.normal(0, 0.3, (k, b)))
        load = rate / speed
        count, switch = g * width + np.arange(k), g * width + k + np.arange(k)
        share = g * width + 2 * k + np.arange(k * b).reshape(k, b)
        cost.append(np.r_[price[kind] * size, np.full(k, 0.05), np.zeros(k * b)])
        upper.append(np.r_[np.ceil(load.sum(1) / 0.8) + 1, np.ones(k + k * b)])
        served, carried, linked = top + np.arange(b), top + b + np.arange(k), top + b + k + np.arange(k * b).reshape(k, b)
        used = top + b + k + k * b + np.arange(k)
        top += b + 2 * k + k * b
        parts = (
            (kind, count, size),
            (np.tile(served, (k, 1)), share, 1.0),
            (np.tile(carried[:, None], (1, b)), share, load),
            (carried, count, -0.8),
            (linked, share, 1.0),
            (linked, np.tile(switch[:, None], (1, b)), -1.0),
            (used, count, -1.0),
            (used, switch, 1.0),
        )
        for r, c, v in parts:
            row.append(np.ravel(r))
            column.append(np.ravel(c))
            value.append(np.ravel(np.broadcast_to(v, np.shape(c))))
        low.append(np.r_[np.ones(b), np.full(2 * k + k * b, -INF)])
        high.append(np.r_[np.ones(b), np.zeros(2 * k + k * b)])
    whole = np.tile(np.r_[np.ones(2 * k, bool), np.zeros(k * b, bool)], groups)
    return Model.from_triplets(
        objective=np.concatenate(cost),
        lower=0.0,
        upper=np.concatenate(upper),
        integer=whole,
        row=np.concatenate(row),
        column=np.concatenate(column),
        value=np.concatenate(value),
        row_lower=np.concatenate(low),
        row_upper=np.concatenate(high),
    )


def market_split(seed: int = 0) -> Model:
    """Five equations in 40 binary columns: no solver finds a point in seconds, nor proves there is none."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 100, (5, 40))
    half = matrix.sum(axis=1) // 2
    return model(np.ones(40), [(half[i], matrix[i], half[i]) for i in range(5)], upper=1.0)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees this project."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=fresh(**environment), check=False
    )


def fresh(**environment: str) -> dict[str, str]:
    """Environment of such an interpreter."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **environment}


def values(*numbers: float) -> FloatArray:
    """Array of floats."""
    return np.array(numbers, float)
