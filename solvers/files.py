"""Model to MPS and LP text: for bug reports, golden files and other solvers.

Deterministic; numbers are the shortest text that reads back as the same binary64. Columns and rows are named by index (c0, r0),
so that no two names collide; labels follow as comments. An offset becomes a column fixed at 1, since readers disagree on the
sign of a constant in the objective row. A row with two different sides becomes two, r<i>_ge and r<i>_le, since not every LP
reader knows ranges. Rows without a finite side are left out. Read back the same by CBC 2.10, HiGHS 1.12 and OR-Tools' own
readers (which feed SCIP).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from solvers.model import IntArray, Labels, Model

OFFSET_COLUMN = "c_offset"
_TERMS_PER_LINE = 8  # LP readers limit a line to 255 or 510 characters


def to_mps(model: Model, *, labels: bool = True) -> str:
    """Model as free-format MPS text, minimising.

    Every column's bounds are written unless they are 0 to infinity and it is continuous, because readers give integer columns
    different defaults.
    """
    rows = file_rows(model)
    names, kinds, sides = rows.name, rows.kind, rows.side
    lines = [f"NAME {_plain(model.name)} FREE", *(_comments(model, "* ") if labels else ())]
    lines += ["ROWS", " N obj", *(f" {kind} {name}" for kind, name in zip(kinds, names, strict=True))]
    lines += ["COLUMNS", *_mps_columns(model, rows), "RHS"]
    lines += [f" RHS {name} {side!r}" for name, side in zip(names, sides, strict=True) if side]
    lines += ["BOUNDS", *_mps_bounds(model), "ENDATA", ""]
    return "\n".join(lines)


def to_lp(model: Model, *, labels: bool = True) -> str:
    r"""Model as CPLEX-style LP text, minimising.

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


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows as files hold them: ``name``, ``kind`` (E, G or L), ``side``, and the index of the model's row each is made from."""

    name: list[str]
    kind: list[str]
    side: list[float]
    index: IntArray


def file_rows(model: Model) -> FileRows:
    """Give one row per equation or finite side, in the model's order, lower side first."""
    low, high = np.isfinite(model.row_lower), np.isfinite(model.row_upper)
    equal = model.row_lower == model.row_upper
    index = np.repeat(np.arange(model.n_rows), np.where(equal, 1, low.astype(int) + high))
    second = np.r_[False, index[1:] == index[:-1]]
    upper = second | ~low[index]
    kind = np.where(equal[index], "E", np.where(upper, "L", "G")).tolist()
    both = (low & high & ~equal)[index].tolist()
    ends = {"G": "_ge", "L": "_le"}
    name = [f"r{i}{ends[k] if b else ''}" for i, k, b in zip(index.tolist(), kind, both, strict=True)]
    return FileRows(name, kind, np.where(upper, model.row_upper[index], model.row_lower[index]).tolist(), index)


def _mps_columns(model: Model, rows: FileRows) -> list[str]:
    """Entries by column, cost first; every column appears, and runs of integer columns stand between markers."""
    first = np.searchsorted(rows.index, model.row)  # file row of each entry; a second one follows when there are two
    times = np.bincount(rows.index, minlength=model.n_rows)[model.row]
    entry = np.repeat(np.arange(model.n_nonzeros), times)
    place = first[entry] + np.r_[False, entry[1:] == entry[:-1]]
    alone = np.bincount(model.column[entry], minlength=model.n_columns) == 0
    costed = np.flatnonzero((model.objective != 0) | alone)
    column = np.r_[costed, model.column[entry]]
    order = np.argsort(column, kind="stable")
    column, place = column[order], np.r_[np.full(len(costed), -1), place][order]
    value = np.r_[model.objective[costed], model.value[entry]][order]
    names = [*rows.name, "obj"]  # found at -1
    lines = [f" c{j} {names[p]} {v!r}" for j, p, v in zip(column.tolist(), place.tolist(), value.tolist(), strict=True)]
    flags = np.r_[False, model.integer, False]
    text: list[str] = []
    turns, done = np.flatnonzero(flags[1:] != flags[:-1]), 0
    for j, at in zip(turns.tolist(), np.searchsorted(column, turns).tolist(), strict=True):
        text += lines[done:at]
        text.append(f" M{j} 'MARKER' '{'INTORG' if flags[j + 1] else 'INTEND'}'")
        done = at
    offset = [f" {OFFSET_COLUMN} obj {model.objective_offset!r}"] if model.objective_offset else []
    return [*text, *lines[done:], *offset]


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
    signs = {"E": "=", "G": ">=", "L": "<="}
    rows = file_rows(model)
    for name, kind, side, i in zip(rows.name, rows.kind, rows.side, rows.index.tolist(), strict=True):
        terms = _terms(values[start[i] : start[i + 1]], columns[start[i] : start[i + 1]]) or " 0 c0"
        yield f" {name}:{terms} {signs[kind]} {side!r}"


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
