"""What a decomposed solve learned, for the next one: good plans of blocks, prices of rows, bounds of blocks at these prices.

A plan counts only once it holds against the rows of its block as they are now, its cost is worked out anew, and prices may come
from anywhere (METHOD.md). A bound counts where the block is the same to the last bit, priced costs, bounds and rows, as the one
that a backend proved it of. What names nothing here any more is left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.compile import Compiled, column_names, mixed, names_of
from optimizer.documents import refused, strict_json, text_of
from optimizer.solve.blocks import Blocks, FloatArray, IntArray, seeds_of
from optimizer.solve.plans import Ragged, plans_of_point
from optimizer.solve.search import Search

__all__ = ["Learned", "Names", "learned_of", "load_learned", "recall"]

KIND, VERSION = "allocate learned", 2
NEAR = 0.02
"""Of a block's cost: plans dearer than its best by more at the last prices are not kept."""
MOST_PLANS = 8
"""Kept of a block."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Plans as lists of column name and value, and prices, USD per hour a unit, of rows by name, shape (n_rows,).

    ``bound`` holds what blocks cost at least at these prices, USD per hour, by their ``mark`` (``parts.block_marks``).
    """

    plans: Ragged
    row: IntArray
    price: FloatArray
    mark: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    bound: FloatArray = field(default_factory=lambda: np.zeros(0))

    def bounds_of(self, marks: IntArray) -> FloatArray:
        """Give the bounds known of blocks by their marks, -inf where there is none."""
        at = _places(*_sorted(self.mark), marks)
        return np.where(at >= 0, np.append(self.bound, -np.inf)[at], -np.inf)

    def to_json(self) -> str:
        """Give a document that ``from_json`` reads back, the same for the same content."""
        body = {
            "plan_length": np.diff(self.plans.start).tolist(),
            "column": self.plans.index.tolist(),
            "value": self.plans.value.tolist(),
            "row": self.row.tolist(),
            "price_usd_per_hour": self.price.tolist(),
            "mark": self.mark.tolist(),
            "bound_usd_per_hour": self.bound.tolist(),
        }
        told = {"kind": KIND, "schema_version": VERSION, "sha256": _hash(body, _FIELDS), **body}
        return json.dumps(told, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Learned:
        """Read what ``to_json`` wrote, now or in version 1, which knew no bounds; raises ValueError for anything else."""
        document = strict_json(text)
        if not isinstance(document, dict) or document.pop("kind", None) != KIND:
            raise ValueError("not what allocate --keep writes")
        if (version := document.pop("schema_version", None)) not in (1, VERSION):
            raise ValueError(f"schema_version {version!r}, this allocate reads 1 and {VERSION}")
        if document.pop("sha256", None) != _hash(document, _FIELDS[: None if version == VERSION else _FIRST]):
            raise ValueError("damaged: its content does not match its sha256")
        document = {"mark": [], "bound_usd_per_hour": []} | document
        length, column, value, row, price, mark, bound = (_numbers(document, name) for name in _FIELDS)
        pairs = (column, value), (row, price), (mark, bound)
        if any(len(a) != len(b) for a, b in pairs) or len(column) != length.sum() or (length < 0).any():
            raise ValueError("lists whose lengths do not match")
        start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        plans = Ragged(start, column.astype(np.int64), value.astype(np.float64))
        named = row.astype(np.int64), price.astype(np.float64)
        return cls(plans, *named, mark.astype(np.int64), bound.astype(np.float64))


_FIELDS = ("plan_length", "column", "value", "row", "price_usd_per_hour", "mark", "bound_usd_per_hour")
_FIRST = 5
"""Fields of version 1."""


def _numbers(document: dict[str, Any], name: str) -> FloatArray:
    found = np.array(document.get(name))
    if found.ndim != 1 or found.dtype.kind not in "if":
        raise ValueError(f"{name} is no list of numbers")
    return found


def _hash(body: dict[str, Any], fields: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([body.get(name) for name in fields]).encode()).hexdigest()


def load_learned(path: str | Path) -> Learned:
    """Read a file of what a solve learned.

    Raises
    ------
    InvalidInputError : the file is missing, damaged, of another version, or something else
    """
    path = Path(path)
    text = text_of(path)
    try:
        return Learned.from_json(text)
    except ValueError as error:
        raise refused(path, str(error), "a file written by --keep", "leave out --warm to start from nothing") from None


@dataclass(frozen=True, eq=False)
class Names:
    """Names of the columns of ``Blocks.model`` and of its coupling rows; shapes (n_columns,) and (n_coupling_rows,)."""

    column: IntArray
    row: IntArray

    def columns(self, wanted: IntArray) -> IntArray:
        """Give where columns of these names stand, -1 where there is none."""
        return _places(*self._columns, wanted)

    def rows(self, wanted: IntArray) -> IntArray:
        """Give where rows of these names stand, -1 where there is none."""
        return _places(*self._rows, wanted)

    @cached_property
    def _columns(self) -> tuple[IntArray, IntArray]:
        return _sorted(self.column)

    @cached_property
    def _rows(self) -> tuple[IntArray, IntArray]:
        return _sorted(self.row)

    @classmethod
    def of(cls, compiled: Compiled, blocks: Blocks) -> Names:
        """Name them; a block's copy of a shared column is told by the block's first workload or job."""
        owners = [o.name for o in compiled.candidates.owners] + [f"job {j.name}" for j in compiled.columns.training.jobs]
        workload, n = seeds_of(compiled).workload, blocks.n_original
        mine = np.flatnonzero((workload >= 0) & (blocks.owner[:n] >= 0))
        first = np.full(blocks.count, len(owners), dtype=np.int64)
        np.minimum.at(first, blocks.owner[mine], workload[mine])
        column = column_names(compiled.columns)
        copies = mixed("copy", column[blocks.copy_of], names_of([*owners, ""])[first[blocks.owner[n:]]])
        m, rows = compiled.model.n_rows, blocks.coupling
        own = names_of(compiled.row_label(r) for r in rows[rows < m].tolist())
        return cls(np.concatenate([column, copies]), np.concatenate([own, mixed("row of", copies[rows[rows >= m] - m])]))


def _sorted(names: IntArray) -> tuple[IntArray, IntArray]:
    """Give the order of names, and them in it."""
    order = np.argsort(names, kind="stable")
    return order, names[order]


def _places(order: IntArray, ascending: IntArray, wanted: IntArray) -> IntArray:
    if not len(order):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(ascending, wanted), len(order) - 1)
    return np.where(ascending[at] == wanted, order[at], -1)


def learned_of(search: Search, names: Names) -> Learned:
    """Give the best plans of each block at the last prices, those of the best plan of the whole among them, and the prices."""
    blocks, plans = search.blocks, search.plans
    own = np.zeros(0, dtype=np.int64)
    if search.values is not None:
        found = plans_of_point(blocks, search.values, np.ones(blocks.count, dtype=bool))
        plans = found.joined(plans)
        own = np.arange(len(found))
    excess = plans.priced(search.duals)
    least = np.full(blocks.count, np.inf)
    np.minimum.at(least, plans.block, excess)
    excess -= least[plans.block]
    near = excess <= NEAR * np.abs(least[plans.block])
    excess[own], near[own] = -1.0, True
    order = np.lexsort((excess, plans.block))
    rank = np.arange(len(order)) - np.searchsorted(plans.block[order], plans.block[order])
    kept = plans.content.chosen(order[near[order] & (rank < MOST_PLANS)])
    priced = np.flatnonzero(search.duals)
    return Learned(Ragged(kept.start, names.column[kept.index], kept.value), names.row[priced], search.duals[priced])


def recall(search: Search, learned: Learned, names: Names) -> str:
    """Know the plans that still hold, and begin at the prices of rows that are still there; say how much that is."""
    blocks = search.blocks
    column = names.columns(learned.plans.index)
    owner = np.where(column >= 0, blocks.owner[column], -1)
    mine = np.flatnonzero(owner >= 0)
    column, owner = column[mine], owner[mine]
    keys, at = np.unique(owner * len(learned.plans.start) + learned.plans.owner[mine], return_inverse=True)
    block = keys // len(learned.plans.start)
    layer = (np.arange(len(keys)) - np.searchsorted(block, block))[at.reshape(-1)]
    value = learned.plans.value[mine]
    value = np.where(blocks.model.integer[column], np.rint(value), value)
    value = np.clip(value, blocks.model.lower[column], blocks.model.upper[column])
    held = 0
    for number in range(int(layer.max(initial=-1)) + 1):
        values = np.maximum(blocks.model.lower, 0.0)
        now = layer == number
        values[column[now]] = value[now]
        found = search.heuristic.checked(values)
        held += int(np.isin(found.block, owner[now]).sum())
        search.plans = search.plans.joined(found)
    row = names.rows(learned.row)
    duals = np.zeros(len(names.row))
    duals[row[row >= 0]] = learned.price[row >= 0]
    search.duals = search.followers.follow(blocks, duals)
    return f"from {held} of {len(learned.plans.start) - 1} plans and {int((row >= 0).sum())} of {len(row)} prices"
