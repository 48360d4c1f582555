"""A block of rows as coordinate triplets, and how blocks are compressed and stacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RowBlock", "stacked"]


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows of one family: triplets, rows counted from zero, sides of shape (n_rows,), and how to name row r for people.

    ``name`` is kept as long as the model: it should hold no array as long as the entries.
    """

    group: str
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    name: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Family:
    """What is kept of a block once its rows are stacked: its family, how many rows, and how to name one."""

    group: str
    count: int
    name: Callable[[int], str]


@dataclass(frozen=True, eq=False)
class RowNames:
    """The names of all rows of a model, made when somebody asks; they hold no entry of a row."""

    families: tuple[Family, ...]

    def labels(self) -> list[str]:
        """Name every row for people."""
        return [f"{family.group}[{family.name(r)}]" for family in self.families for r in range(family.count)]

    def label(self, row: int) -> str:
        """Name one row for people."""
        for family in self.families:
            if row < family.count:
                return f"{family.group}[{family.name(row)}]"
            row -= family.count
        raise IndexError(row)

    def groups(self) -> list[str]:
        """Give the family of every row."""
        return [group for family in self.families for group in [family.group] * family.count]


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a model: row i holds entries ``row_start[i]`` to ``row_start[i + 1]``, ascending by column."""

    names: RowNames
    row_start: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]


def stacked(families: Iterable[RowBlock], n_columns: int) -> Rows:
    """Put blocks below one another, each compressed as soon as it is made, so that no two are there in full at a time."""
    blocks = [_compressed(block, n_columns) for block in families]
    return Rows(
        names=RowNames(tuple(block.family for block in blocks)),
        row_start=np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *(block.count for block in blocks)])),
        column=np.concatenate([block.column for block in blocks], dtype=np.int64),
        value=np.concatenate([block.value for block in blocks]),
        lower=np.concatenate([block.lower for block in blocks]),
        upper=np.concatenate([block.upper for block in blocks]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Compressed:
    """The rows of a block: how many entries each has, and the entries by row and column."""

    family: Family
    count: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64 | np.int32]
    value: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]


def _compressed(block: RowBlock, n_columns: int) -> _Compressed:
    """Put the entries of a block in order, those at one place summed, zeros dropped."""
    row, column, value = block.row, block.column, block.value
    if not _ascends(row, column):
        key = row.astype(np.int64) * n_columns + column
        order = np.argsort(key, kind="stable")
        row, column, value = row[order], column[order], value[order]
        first = np.flatnonzero(np.concatenate([[True], (row[1:] != row[:-1]) | (column[1:] != column[:-1])]))
        if len(first) < len(row):
            row, column, value = row[first], column[first], np.add.reduceat(value, first)
    if not value.all():
        there = value != 0
        row, column, value = row[there], column[there], value[there]
    narrow = np.int32 if n_columns <= np.iinfo(np.int32).max else np.int64
    family, count = Family(block.group, len(block.lower), block.name), np.bincount(row, minlength=len(block.lower))
    return _Compressed(family, count, column.astype(narrow, copy=False), value, block.lower, block.upper)


def _ascends(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> bool:
    """Say whether entries come by row and then by column, none twice."""
    return bool(((row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (column[1:] > column[:-1]))).all())
