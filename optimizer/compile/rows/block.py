"""A block of rows as coordinate triplets, and how blocks are stacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["RowBlock", "stacked"]


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows of one family: triplets with rows counted from zero, sides of shape (n_rows,), and how to name row r for people."""

    group: str
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    name: Callable[[int], str]


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a model."""

    blocks: tuple[RowBlock, ...]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]

    def labels(self) -> list[str]:
        """Name every row for people."""
        return [f"{block.group}[{block.name(r)}]" for block in self.blocks for r in range(len(block.lower))]

    def label(self, row: int) -> str:
        """Name one row for people."""
        for block in self.blocks:
            if row < len(block.lower):
                return f"{block.group}[{block.name(row)}]"
            row -= len(block.lower)
        raise IndexError(row)

    def groups(self) -> list[str]:
        """Give the family of every row."""
        return [block.group for block in self.blocks for _ in range(len(block.lower))]


def stacked(families: Iterable[RowBlock]) -> Rows:
    """Put blocks below one another, each in order of row and column: a model then need not sort them all at once."""
    blocks = tuple(map(_in_order, families))
    first = np.cumsum([0] + [len(block.lower) for block in blocks])
    return Rows(
        blocks=blocks,
        row=np.concatenate([block.row + at for block, at in zip(blocks, first, strict=False)]),
        column=np.concatenate([block.column for block in blocks]),
        value=np.concatenate([block.value for block in blocks]),
        lower=np.concatenate([block.lower for block in blocks]),
        upper=np.concatenate([block.upper for block in blocks]),
    )


def _in_order(block: RowBlock) -> RowBlock:
    order = np.argsort(block.row * (int(block.column.max(initial=0)) + 1) + block.column, kind="stable")
    return replace(block, row=block.row[order], column=block.column[order], value=block.value[order])
