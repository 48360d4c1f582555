"""A mixed-integer linear model as whole arrays: minimise c·x + c₀, row_lower ≤ A x ≤ row_upper, lower ≤ x ≤ upper.

Rows are compressed (CSR), columns ascend inside a row, nothing is stored twice. Arrays are read-only; a changed model is a
new value that shares what did not change. Columns and rows are known by index; labels are for people and may be a function
that is called only when someone reads them. This module solves nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from solvers.errors import ModelError

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Labels = Sequence[str] | Callable[[], Sequence[str]] | None

SMALLEST_COEFFICIENT = 1e-9  # HiGHS drops smaller matrix entries in silence (small_matrix_value), SCIP calls them zero
LARGEST_COEFFICIENT = 1e12  # above it a feasibility tolerance of 1e-6 is below binary64's resolution of one term
LARGEST_FINITE = 1e15  # bounds and sides: backends read 1e20 and above as infinity; integers stay exact below 2^53
EXACT_ACTIVITY = 2.0**53  # CP-SAT: largest sum of |a|·max|x| in a row
EXACT_ROW_SUM = 2.0**31  # CP-SAT 9.15 adds a row's coefficients in 32 bits during presolve


class Capability(StrEnum):
    """What a model needs from a backend, or a caller from its answer."""

    CONTINUOUS = "continuous"  # columns that need not be whole
    DUALS = "duals"  # row duals and reduced costs of a model without integers
    FRACTIONAL_DATA = "fractional_data"  # coefficients, sides or costs that are not whole
    INTEGER = "integer"  # columns that must be whole
    WIDE_RANGE = "wide_range"  # rows whose exact activity does not fit 53 bits


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """One minimisation problem, validated when built; n columns, m rows, k non-zeros.

    Attributes
    ----------
    objective : shape (n,), cost per unit of each column
    lower, upper : shape (n,), bounds of columns; ±inf where there is none (never on integer columns)
    integer : shape (n,), columns that must be whole
    row_start : shape (m + 1,), row i holds entries row_start[i] to row_start[i + 1]
    column, value : shape (k,), the entries, ascending by column inside a row
    row_lower, row_upper : shape (m,), sides of rows; ±inf where there is none
    objective_offset : constant c₀, part of every objective and bound reported
    column_labels, row_labels, row_groups : names for people: sequences of n, m, m strings, functions giving them, or None
    name : for files and messages

    Raises
    ------
    ModelError : sizes disagree, a number is not finite or out of range, bounds cross, an integer column is unbounded.
    """

    objective: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray
    row_start: IntArray
    column: IntArray
    value: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    objective_offset: float = 0.0
    column_labels: Labels = None
    row_labels: Labels = None
    row_groups: Labels = None
    name: str = "model"

    def __post_init__(self) -> None:
        """Freeze the arrays and refuse what no backend may see."""
        for field, kind in _KINDS.items():
            object.__setattr__(self, field, _frozen(getattr(self, field), kind, field))
        object.__setattr__(self, "objective_offset", float(self.objective_offset))
        if problems := _size_problems(self) or _number_problems(self):
            raise ModelError(problems)

    @classmethod
    def from_triplets(
        cls,
        *,
        objective: npt.ArrayLike,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        integer: npt.ArrayLike,
        row: npt.ArrayLike,
        column: npt.ArrayLike,
        value: npt.ArrayLike,
        row_lower: npt.ArrayLike,
        row_upper: npt.ArrayLike,
        objective_offset: float = 0.0,
        column_labels: Labels = None,
        row_labels: Labels = None,
        row_groups: Labels = None,
        name: str = "model",
    ) -> Self:
        """Build a model from (row, column, value) triplets in any order.

        Triplets at the same place are summed, zeros dropped, the rest put in canonical order, so that the same model comes
        out whatever the order of the triplets. ``lower``, ``upper`` and ``integer`` may be scalars.

        Raises
        ------
        ModelError : as the class, and for a triplet outside the model.

        >>> m = Model.from_triplets(objective=[1, 2], lower=0, upper=9, integer=True, row=[0, 0, 0], column=[1, 0, 1],
        ...                         value=[1, 3, 1], row_lower=[4], row_upper=[np.inf])
        >>> m.column.tolist(), m.value.tolist()
        ([0, 1], [3.0, 2.0])
        """
        cost, low, high = (_frozen(x, np.float64, "objective") for x in (objective, row_lower, row_upper))
        start, columns, values = _compressed(row, column, value, len(low), len(cost))
        return cls(
            objective=cost,
            lower=_spread(lower, len(cost), np.float64),
            upper=_spread(upper, len(cost), np.float64),
            integer=_spread(integer, len(cost), np.bool_),
            row_start=start,
            column=columns,
            value=values,
            row_lower=low,
            row_upper=high,
            objective_offset=objective_offset,
            column_labels=column_labels,
            row_labels=row_labels,
            row_groups=row_groups,
            name=name,
        )

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.objective)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.row_lower)

    @property
    def n_nonzeros(self) -> int:
        """Number of stored matrix entries."""
        return len(self.value)

    @property
    def row(self) -> IntArray:
        """Row of each entry, shape (k,)."""
        return np.repeat(np.arange(self.n_rows, dtype=np.int64), np.diff(self.row_start))

    @property
    def required_capabilities(self) -> frozenset[Capability]:
        """What a backend must be able to represent exactly."""
        needed = set()
        if self.integer.any():
            needed.add(Capability.INTEGER)
        if not self.integer.all():
            needed.add(Capability.CONTINUOUS)
        if not all(_whole(x) for x in (self.value, self.objective, self.row_lower, self.row_upper, self.lower, self.upper)):
            needed.add(Capability.FRACTIONAL_DATA)
        if not self._fits_exact_integers():
            needed.add(Capability.WIDE_RANGE)
        return frozenset(needed)

    def activity(self, values: FloatArray) -> FloatArray:
        """A·x for ``values`` of shape (n,); shape (m,)."""
        return self.row_sums(self.value * values[self.column])

    def row_sums(self, entries: FloatArray) -> FloatArray:
        """Sum of ``entries`` (shape (k,), in matrix order) by row; shape (m,)."""
        return np.bincount(self.row, weights=entries, minlength=self.n_rows).astype(np.float64)

    def column_sums(self, entries: FloatArray) -> FloatArray:
        """Sum of ``entries`` (shape (k,), in matrix order) by column; shape (n,)."""
        return np.bincount(self.column, weights=entries, minlength=self.n_columns).astype(np.float64)

    def with_objective(self, objective: npt.ArrayLike, objective_offset: float | None = None) -> Self:
        """Return the same model with other costs; the matrix is shared."""
        offset = self.objective_offset if objective_offset is None else objective_offset
        return replace(self, objective=np.asarray(objective, np.float64), objective_offset=offset)

    def with_bounds(self, lower: npt.ArrayLike | None = None, upper: npt.ArrayLike | None = None) -> Self:
        """Return the same model with other column bounds; the matrix is shared."""
        low = self.lower if lower is None else np.asarray(lower, np.float64)
        return replace(self, lower=low, upper=self.upper if upper is None else np.asarray(upper, np.float64))

    def relaxed(self) -> Self:
        """Return the linear relaxation; everything but integrality is shared."""
        return replace(self, integer=np.zeros(self.n_columns, np.bool_))

    def cost_scale(self, exponent: int) -> float:
        """Give the power of two that brings the largest cost into (2^(exponent − 1), 2^exponent]; 1 when all are 0.

        Backends compare costs with absolute tolerances, so that small costs must be scaled before and back after, exactly.
        """
        largest = float(np.abs(self.objective).max())
        return 1.0 if largest == 0 else 2.0 ** (exponent - math.ceil(math.log2(largest)))

    def scaled(self, factor: float) -> Self:
        """Return the same model with costs and offset times ``factor``; the matrix is shared."""
        return self.with_objective(self.objective * factor, self.objective_offset * factor)

    def column_label(self, index: int) -> str:
        """Label of a column for people; ``c<index>`` where there is none."""
        labels = _read(self.column_labels)
        return labels[index] if labels else f"c{index}"

    def row_label(self, index: int) -> str:
        """Label of a row for people; ``r<index>`` where there is none."""
        labels = _read(self.row_labels)
        return labels[index] if labels else f"r{index}"

    def __repr__(self) -> str:
        """Sizes, since whole arrays help nobody."""
        whole = int(self.integer.sum())
        return (
            f"Model({self.name!r}, {self.n_columns} columns ({whole} integer), {self.n_rows} rows, {self.n_nonzeros} non-zeros)"
        )

    def _fits_exact_integers(self) -> bool:
        """Whether every row and the objective stay exact in CP-SAT: Σ|a|·max|x| < 2^53, Σ|a| < 2^31."""
        reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        size = np.abs(self.value)
        with np.errstate(invalid="ignore"):  # 0 · inf is nan, which compares as not fitting
            activity = self.row_sums(size * reach[self.column])
            cost = float(np.sum(np.abs(self.objective) * reach))
        rows_fit = bool(np.all(activity < EXACT_ACTIVITY)) and bool(np.all(self.row_sums(size) < EXACT_ROW_SUM))
        return rows_fit and cost < EXACT_ACTIVITY


_KINDS: dict[str, type] = {
    "objective": np.float64,
    "lower": np.float64,
    "upper": np.float64,
    "integer": np.bool_,
    "row_start": np.int64,
    "column": np.int64,
    "value": np.float64,
    "row_lower": np.float64,
    "row_upper": np.float64,
}


def _read(labels: Labels) -> Sequence[str] | None:
    return labels() if callable(labels) else labels


def _whole(x: FloatArray) -> bool:
    finite = x[np.isfinite(x)]
    return bool(np.all(finite == np.rint(finite)))


def _frozen(x: npt.ArrayLike, kind: type, field: str) -> AnyArray:
    """Give a read-only, contiguous, one-dimensional view of the right type."""
    try:
        array: AnyArray = np.ascontiguousarray(x, dtype=kind).view()
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError([f"{field}: not an array of {kind.__name__}: {error}"]) from error
    if array.ndim != 1 or np.ndim(x) != 1:
        raise ModelError([f"{field}: expected one dimension, found {np.ndim(x)}"])
    array.flags.writeable = False
    return array


def _spread(x: npt.ArrayLike, n: int, kind: type) -> AnyArray:
    array: AnyArray = np.asarray(x, dtype=kind)
    return np.full(n, array) if array.ndim == 0 else array


def _compressed(
    row: npt.ArrayLike, column: npt.ArrayLike, value: npt.ArrayLike, m: int, n: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Sum triplets at the same place, drop zeros, order by row then column."""
    rows, columns = _frozen(row, np.int64, "row"), _frozen(column, np.int64, "column")
    values = _frozen(value, np.float64, "value")
    problems = []
    if not len(rows) == len(columns) == len(values):
        raise ModelError([f"triplets: {len(rows)} rows, {len(columns)} columns, {len(values)} values"])
    for what, index, size in (("row", rows, m), ("column", columns, n)):
        outside = np.flatnonzero((index < 0) | (index >= size))
        if len(outside):
            problems.append(f"{what}: {_few(index[outside])} outside 0 to {size - 1}")
    if problems:
        raise ModelError(problems)
    key = rows * n + columns
    if np.any(key[1:] <= key[:-1]):  # not canonical yet
        order = np.argsort(key, kind="stable")
        key, values = key[order], values[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        key, values = key[first], np.add.reduceat(values, first)
        rows, columns = np.divmod(key, n)
    del key
    if not values.all():
        kept = values != 0
        rows, columns, values = rows[kept], columns[kept], values[kept]
    start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(rows, minlength=m))])
    return start, columns, values


def _few(index: AnyArray, most: int = 3) -> str:
    shown = ", ".join(str(i) for i in index[:most].tolist())
    return shown if len(index) <= most else f"{shown} and {len(index) - most} more"


def _size_problems(model: Model) -> list[str]:
    n, m, k = model.n_columns, model.n_rows, model.n_nonzeros
    wanted = {"lower": n, "upper": n, "integer": n, "row_start": m + 1, "column": k, "row_upper": m}
    problems = [
        f"{field}: expected {size} entries, found {len(getattr(model, field))}"
        for field, size in wanted.items()
        if len(getattr(model, field)) != size
    ]
    if n == 0:
        problems.append("objective: a model needs at least one column")
    if problems:
        return problems
    if model.row_start[0] != 0 or model.row_start[-1] != k or np.any(np.diff(model.row_start) < 0):
        return ["row_start: must rise from 0 to the number of entries"]
    if k and (model.column.min() < 0 or model.column.max() >= n):
        return [f"column: outside 0 to {n - 1}"]
    falls = model.column[1:] <= model.column[:-1]
    begins = model.row_start[(model.row_start > 0) & (model.row_start < k)]
    falls[begins - 1] = False  # from the last entry of a row to the first of another
    return ["column: must ascend inside each row, without repeats"] if falls.any() else []


def _number_problems(model: Model) -> list[str]:
    """Every number that is not finite, out of range or crossed, all together."""
    infinite = (np.abs(model.lower) == np.inf) | (np.abs(model.upper) == np.inf)
    c, r = model.column_label, model.row_label
    checks: list[tuple[str, AnyArray, Callable[[int], str]]] = [
        ("cost is not finite", ~np.isfinite(model.objective), c),
        (f"cost is above {LARGEST_COEFFICIENT:g} in size", _beyond(model.objective, LARGEST_COEFFICIENT), c),
        ("a bound is NaN, or infinite on the wrong side", ~((model.lower < np.inf) & (model.upper > -np.inf)), c),
        (f"a finite bound is above {LARGEST_FINITE:g} in size", _beyond(model.lower) | _beyond(model.upper), c),
        ("lower bound is above upper bound", model.lower > model.upper, c),
        ("integer column needs finite bounds", model.integer & infinite, c),
        ("a side is NaN, or infinite on the wrong side", ~((model.row_lower < np.inf) & (model.row_upper > -np.inf)), r),
        (f"a finite side is above {LARGEST_FINITE:g} in size", _beyond(model.row_lower) | _beyond(model.row_upper), r),
        ("lower side is above upper side", model.row_lower > model.row_upper, r),
        ("coefficient is not finite", ~np.isfinite(model.value), lambda k: _place(model, k)),
        (
            f"coefficient is above {LARGEST_COEFFICIENT:g} in size",
            _beyond(model.value, LARGEST_COEFFICIENT),
            lambda k: _place(model, k),
        ),
        (f"coefficient is below {SMALLEST_COEFFICIENT:g} in size", _within(model.value), lambda k: _place(model, k)),
    ]
    problems = [f"{text}: {_named(np.flatnonzero(bad), label)}" for text, bad, label in checks if bad.any()]
    if not np.isfinite(model.objective_offset):
        problems.append("objective_offset is not finite")
    return problems


def _beyond(x: FloatArray, limit: float = LARGEST_FINITE) -> BoolArray:
    return np.asarray(np.isfinite(x) & ((x > limit) | (x < -limit)))


def _within(x: FloatArray, limit: float = SMALLEST_COEFFICIENT) -> BoolArray:
    return np.asarray((x < limit) & (x > -limit))


def _named(index: IntArray, label: Callable[[int], str], most: int = 3) -> str:
    shown = ", ".join(label(int(i)) for i in index[:most])
    return shown if len(index) <= most else f"{shown} and {len(index) - most} more"


def _place(model: Model, entry: int) -> str:
    row = int(np.searchsorted(model.row_start, entry, side="right")) - 1
    return f"({model.row_label(row)}, {model.column_label(int(model.column[entry]))})"
