"""Re-evaluates values against a model, trusting no solver; and a dual bound that is valid whatever duals it is given.

Tolerances are named here and nowhere else. A row is judged relative to the size of its own terms, so that a row in
thousands of requests is not held to more digits than binary64 sums of them have.
"""

import math
from dataclasses import dataclass

import numpy as np

from solvers.errors import SolutionError
from solvers.model import FloatArray, IntArray, Model

FEASIBILITY_TOLERANCE = 1e-6  # of a row, per max(1, Σ|a·x|); of a bound, per max(1, |bound|)
INTEGRALITY_TOLERANCE = 1e-5  # distance from whole at which a value is still rounded
OBJECTIVE_TOLERANCE = 1e-6  # relative, between an objective claimed and the one recomputed


@dataclass(frozen=True, slots=True, eq=False)
class CheckReport:
    """Violations of one point, beyond the tolerances; empty arrays when there are none.

    Attributes
    ----------
    objective : c·x + c₀ of the point, correctly rounded sum
    rows, row_amounts : violated rows, and by how much each is violated (in the row's own unit)
    bounds, bound_amounts : columns outside their bounds, and by how much
    fractional, fractional_amounts : integer columns that are not whole, and their distance from whole
    objective_difference : |claimed − recomputed| when it is beyond tolerance, else 0
    finite : whether every value is a number
    """

    objective: float
    rows: IntArray
    row_amounts: FloatArray
    bounds: IntArray
    bound_amounts: FloatArray
    fractional: IntArray
    fractional_amounts: FloatArray
    objective_difference: float = 0.0
    finite: bool = True

    @property
    def is_clean(self) -> bool:
        """Whether nothing is violated."""
        return self.finite and not (len(self.rows) or len(self.bounds) or len(self.fractional) or self.objective_difference)

    def describe(self, model: Model) -> str:
        """One sentence naming the worst violation of each kind; empty when clean."""
        if not self.finite:
            return "a value is not a number"
        kinds = (
            ("row", self.rows, self.row_amounts, model.row_label),
            ("bound of column", self.bounds, self.bound_amounts, model.column_label),
            ("integrality of column", self.fractional, self.fractional_amounts, model.column_label),
        )
        parts = [
            f"{kind} {label(int(index[amounts.argmax()]))} violated by {amounts.max():g}"
            + (f" and {len(index) - 1} more" if len(index) > 1 else "")
            for kind, index, amounts, label in kinds
            if len(index)
        ]
        if self.objective_difference:
            parts.append(f"objective claimed differs from its value by {self.objective_difference:g}")
        return "; ".join(parts)


def check(model: Model, values: FloatArray, claimed_objective: float | None = None) -> CheckReport:
    """Re-evaluate bounds, rows, integrality and objective of ``values``, shape (n,).

    Raises
    ------
    SolutionError : ``values`` has another shape than the model has columns.

    >>> m = Model.from_triplets(objective=[1.0], lower=0, upper=9, integer=True, row=[0], column=[0], value=[2.0],
    ...                         row_lower=[5.0], row_upper=[np.inf])
    >>> check(m, np.array([3.0])).is_clean, check(m, np.array([2.0])).row_amounts.tolist()
    (True, [1.0])
    """
    x = np.asarray(values, np.float64)
    if x.shape != (model.n_columns,):
        raise SolutionError(f"expected {model.n_columns} values, found shape {x.shape}")
    nothing, none = np.empty(0, np.int64), np.empty(0)
    if not np.isfinite(x).all():
        return CheckReport(math.nan, nothing, none, nothing, none, nothing, none, finite=False)
    terms = model.value * x[model.column]
    activity, size = model.row_sums(terms), np.maximum(1.0, model.row_sums(np.abs(terms)))
    row_excess = np.maximum(model.row_lower - activity, activity - model.row_upper)
    bound_excess = np.maximum(model.lower - x, x - model.upper)
    off = np.where(model.integer, np.abs(x - np.rint(x)), 0.0)
    rows = np.flatnonzero(row_excess > FEASIBILITY_TOLERANCE * size)
    bounds = np.flatnonzero(bound_excess > FEASIBILITY_TOLERANCE * np.maximum(1.0, np.abs(x)))
    fractional = np.flatnonzero(off > INTEGRALITY_TOLERANCE)
    cost = objective_value(model, x)
    difference = 0.0
    if claimed_objective is not None:
        apart = abs(claimed_objective - cost)
        scale = max(1.0, abs(cost), float(np.sum(np.abs(model.objective * x))))
        difference = apart if not apart <= OBJECTIVE_TOLERANCE * scale else 0.0
    return CheckReport(
        cost, rows, row_excess[rows], bounds, bound_excess[bounds], fractional, off[fractional], objective_difference=difference
    )


def objective_value(model: Model, values: FloatArray) -> float:
    """c·x + c₀, the correctly rounded sum of rounded products, whatever the order of columns."""
    terms = model.objective * values
    return math.fsum([*terms[terms != 0].tolist(), model.objective_offset])


def snapped(model: Model, values: FloatArray) -> FloatArray:
    """``values`` with integers rounded once and tiny excursions clipped to the bounds, shape (n,).

    Values farther than the tolerances are left as they are, for ``check`` to report.
    """
    x = np.asarray(values, np.float64)
    whole = np.rint(x)
    x = np.where(model.integer & (np.abs(x - whole) <= INTEGRALITY_TOLERANCE), whole, x)
    clipped = np.clip(x, model.lower, model.upper)
    near = np.abs(clipped - x) <= FEASIBILITY_TOLERANCE * np.maximum(1.0, np.abs(x))
    return np.asarray(np.where(near, clipped, x) + 0.0)  # + 0.0 turns -0.0 into 0.0


def lp_dual_bound(model: Model, row_duals: FloatArray) -> float | None:
    """Lower bound on the optimum (with or without integers) from any row duals, however inaccurate.

    For every y, c·x = y·(Ax) + (c − Aᵀy)·x, and both terms are at least their minimum over the rows' sides and the columns'
    bounds (Neumaier and Shcherbina, Mathematical Programming 99 (2004) 283-296). A dual of the wrong sign on a one-sided row
    is set to 0. The rounding error of every sum is bounded and taken off, so that the result holds in exact arithmetic.

    Parameters
    ----------
    model : bounded where the reduced costs need it; otherwise the bound is infinite and None is returned
    row_duals : shape (m,), positive for a row that its lower side holds

    >>> m = Model.from_triplets(objective=[2.5, 3.25], lower=0, upper=100, integer=False, row=[0, 0, 1, 1], column=[0, 1, 0, 1],
    ...                         value=[3, 2, 1, 4], row_lower=[7.5, 5.25], row_upper=[np.inf, np.inf])
    >>> round(lp_dual_bound(m, np.array([0.675, 0.475])), 9)
    7.55625
    """
    y = np.where(np.isfinite(row_duals), row_duals, 0.0)
    y = np.where((y > 0) & np.isinf(model.row_lower) | (y < 0) & np.isinf(model.row_upper), 0.0, y)
    products = model.value * y[model.row]
    reduced = model.objective - model.column_sums(products)
    # any summation of k terms errs by at most k·u·Σ|terms| (u = 2^-53); +4 covers the products and this line itself
    per_column = np.bincount(model.column, minlength=model.n_columns) + 4
    slack = per_column * 2.0**-52 * (np.abs(model.objective) + model.column_sums(np.abs(products)))
    side = np.where(y > 0, model.row_lower, np.where(y < 0, model.row_upper, 0.0))
    columns = _least(reduced - slack, reduced + slack, model.lower, model.upper)
    terms = np.concatenate([y * side, columns, [model.objective_offset]])
    if not np.isfinite(terms).all():
        return None
    total = math.fsum(terms.tolist())
    return total - 2.0**-51 * (float(np.sum(np.abs(terms))) + abs(total))


def _least(low: FloatArray, high: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Minimum of r·x over r in [low, high] and x in [lower, upper], per column; −inf when unbounded."""
    with np.errstate(invalid="ignore"):  # 0 · inf: a cost of exactly 0 on an unbounded column adds 0
        corners = np.stack([low * lower, low * upper, high * lower, high * upper])
    return np.asarray(np.where(np.isnan(corners), 0.0, corners).min(axis=0))
