"""Model to MPS and LP text: for bug reports, golden files and other solvers.

Deterministic; numbers are the shortest text that reads back as the same binary64. Columns and rows are named by index (c0, r0),
so that no two names collide; labels follow as comments. An offset becomes a column fixed at 1, since readers disagree on the
sign of a constant in the objective row. Rows without a finite side are left out. Read back the same by CBC 2.10, HiGHS 1.12 and
OR-Tools' own readers (which feed SCIP).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from solvers.model import Labels, Model

OFFSET_COLUMN = "c_offset"
_TERMS_PER_LINE = 8  # LP readers limit a line to 255 or 510 characters


def to_mps(model: Model, *, labels: bool = True) -> str:
    """Model as free-format MPS text, minimising.

    Every column's bounds are written unless they are 0 to infinity and it is continuous, because readers give integer columns
    different defaults.
    """
    rows = bounded_rows(model).tolist()
    kinds = np.where(model.row_lower == model.row_upper, "E", np.where(np.isfinite(model.row_lower), "G", "L"))
    lines = [f"NAME {_plain(model.name)} FREE", *(_comments(model, "* ") if labels else ())]
    lines += [
        "ROWS",
        " N obj",
        *(f" {kinds[i]} r{i}" for i in rows),
        "COLUMNS",
        *_mps_columns(model),
        "RHS",
        *_mps_sides(model, rows),
    ]
    lines += ["BOUNDS", *_mps_bounds(model), "ENDATA", ""]
    return "\n".join(lines)


def to_lp(model: Model, *, labels: bool = True) -> str:
    r"""Model as CPLEX-style LP text, minimising; a row with two different sides becomes r<i>_ge and r<i>_le.

    >>> m = Model.from_triplets(objective=[1.5, 2], lower=0, upper=[9, np.inf], integer=[True, False], row=[0, 0],
    ...                         column=[0, 1], value=[1, 3], row_lower=[4], row_upper=[np.inf])
    >>> print(to_lp(m, labels=False).replace("\\n\\n", "\\n"))
    Minimize
     obj: + 1.5 c0 + 2.0 c1
    Subject To
     r0: + 1.0 c0 + 3.0 c1 >= 4.0
    Bounds
     0.0 <= c0 <= 9.0
    Generals
     c0
    End
    <BLANKLINE>
    """
    priced = np.flatnonzero(model.objective)
    cost = _terms(model.objective[priced].tolist(), priced.tolist())
    if model.objective_offset:
        cost += f" {_signed(model.objective_offset)} {OFFSET_COLUMN}"
    lines = [*(_comments(model, "\\ ") if labels else ()), "Minimize", f" obj:{cost or ' 0 c0'}", "Subject To", *_lp_rows(model)]
    lines += ["Bounds", *_lp_bounds(model)]
    if whole := np.flatnonzero(model.integer).tolist():
        lines += ["Generals", *(f" c{j}" for j in whole)]
    return "\n".join([*lines, "End", ""])


def bounded_rows(model: Model) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows that have a finite side, in order: those a file holds."""
    return np.flatnonzero(np.isfinite(model.row_lower) | np.isfinite(model.row_upper))


def _mps_columns(model: Model) -> Iterator[str]:
    kept = np.zeros(model.n_rows, np.bool_)
    kept[bounded_rows(model)] = True
    row = model.row
    entries = np.flatnonzero(kept[row])
    order = entries[np.argsort(model.column[entries], kind="stable")]
    rows, values = row[order].tolist(), model.value[order].tolist()
    start = np.searchsorted(model.column[order], np.arange(model.n_columns + 1)).tolist()
    costs, whole, inside = model.objective.tolist(), model.integer.tolist(), False
    for j, (first, last) in enumerate(pairwise(start)):
        if whole[j] is not inside:
            inside = whole[j]
            yield f" M{j} 'MARKER' '{'INTORG' if inside else 'INTEND'}'"
        if costs[j] or first == last:  # a column must appear once
            yield f" c{j} obj {costs[j]!r}"
        for k in range(first, last):
            yield f" c{j} r{rows[k]} {values[k]!r}"
    if inside:
        yield f" M{model.n_columns} 'MARKER' 'INTEND'"
    if model.objective_offset:
        yield f" {OFFSET_COLUMN} obj {model.objective_offset!r}"


def _mps_sides(model: Model, rows: Sequence[int]) -> Iterator[str]:
    lower, upper = model.row_lower.tolist(), model.row_upper.tolist()
    finite = np.isfinite(model.row_lower).tolist()
    for i in rows:
        side = lower[i] if finite[i] else upper[i]
        if side:
            yield f" RHS r{i} {side!r}"
    ranged = np.flatnonzero(np.isfinite(model.row_lower) & np.isfinite(model.row_upper) & (model.row_lower < model.row_upper))
    if len(ranged):
        yield "RANGES"
        for i in ranged.tolist():
            yield f" RNG r{i} {upper[i] - lower[i]!r}"


def _mps_bounds(model: Model) -> Iterator[str]:
    infinity = float("inf")
    for j, (low, high, whole) in enumerate(zip(model.lower.tolist(), model.upper.tolist(), model.integer.tolist(), strict=True)):
        if low == high:
            yield f" FX BND c{j} {low!r}"
        elif low == -infinity and high == infinity:
            yield f" FR BND c{j}"
        else:
            if low == -infinity:
                yield f" MI BND c{j}"
            elif low or whole:
                yield f" LO BND c{j} {low!r}"
            if high < infinity:
                yield f" UP BND c{j} {high!r}"
    if model.objective_offset:
        yield f" FX BND {OFFSET_COLUMN} 1.0"


def _lp_rows(model: Model) -> Iterator[str]:
    columns, values, start = model.column.tolist(), model.value.tolist(), model.row_start.tolist()
    lower, upper = model.row_lower.tolist(), model.row_upper.tolist()
    for i in bounded_rows(model).tolist():
        terms = _terms(values[start[i] : start[i + 1]], columns[start[i] : start[i + 1]]) or " 0 c0"
        if lower[i] == upper[i]:
            yield f" r{i}:{terms} = {lower[i]!r}"
            continue
        both = lower[i] > -np.inf and upper[i] < np.inf
        if lower[i] > -np.inf:
            yield f" r{i}{'_ge' if both else ''}:{terms} >= {lower[i]!r}"
        if upper[i] < np.inf:
            yield f" r{i}{'_le' if both else ''}:{terms} <= {upper[i]!r}"


def _lp_bounds(model: Model) -> Iterator[str]:
    for j, (low, high) in enumerate(zip(model.lower.tolist(), model.upper.tolist(), strict=True)):
        if low == high:
            yield f" c{j} = {low!r}"
        elif low == -np.inf and high == np.inf:
            yield f" c{j} free"
        elif low or high < np.inf:
            left = "-inf" if low == -np.inf else repr(low)
            yield f" {left} <= c{j} <= {high!r}" if high < np.inf else f" c{j} >= {left}"
    if model.objective_offset:
        yield f" {OFFSET_COLUMN} = 1.0"


def _terms(values: Sequence[float], columns: Sequence[int]) -> str:
    parts = [f" {_signed(v)} c{j}" for v, j in zip(values, columns, strict=True)]
    for k in range(_TERMS_PER_LINE, len(parts), _TERMS_PER_LINE):
        parts[k] = "\n  " + parts[k]
    return "".join(parts)


def _signed(value: float) -> str:
    return f"- {-value!r}" if value < 0 else f"+ {value!r}"


def _comments(model: Model, mark: str) -> Iterator[str]:
    """Names for people, one line each."""
    kinds: tuple[tuple[str, Labels], ...] = (("c", model.column_labels), ("r", model.row_labels))
    for kind, labels in kinds:
        for index, label in enumerate((labels() if callable(labels) else labels) or ()):
            yield f"{mark}{kind}{index} = {_plain(label, keep_spaces=True)}"


def _plain(text: str, keep_spaces: bool = False) -> str:
    """One line of printable text, without spaces in a name."""
    words = "".join(x if x.isprintable() else " " for x in text).split()
    return (" " if keep_spaces else "_").join(words) or "model"
