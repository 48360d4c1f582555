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

__all__ = ["Learned", "Names", "learned_of", "load_learned", "places", "recall"]

KIND, VERSION = "allocate learned", 3
NEAR = 0.02
"""Of a block's cost: plans dearer than its best by more at the last prices are not kept."""
MOST_PLANS = 8
"""Kept of a block."""


def _no_names() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _no_numbers() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Learned:
    """Plans as lists of column name and value, and prices, USD per hour a unit, of rows by name, shape (n_rows,).

    ``bound`` holds what blocks cost at least at these prices, USD per hour, by their ``mark`` (``parts.block_marks``); ``least``
    what all blocks of workloads that nothing joins cost together, by the ``group`` that tells these with all that they rest on
    (``unchanged.py``), of whose candidates so many are ``dominated``. The rows were priced with the ``shared`` columns; all that
    are shared anywhere are ``topped``, at ``top`` at most; and ``wanted`` names the candidates and pairs that plans were made of.
    """

    plans: Ragged
    row: IntArray
    price: FloatArray
    mark: IntArray = field(default_factory=_no_names)
    bound: FloatArray = field(default_factory=_no_numbers)
    group: IntArray = field(default_factory=_no_names)
    least: FloatArray = field(default_factory=_no_numbers)
    dominated: IntArray = field(default_factory=_no_names)
    shared: IntArray = field(default_factory=_no_names)
    topped: IntArray = field(default_factory=_no_names)
    top: FloatArray = field(default_factory=_no_numbers)
    wanted: IntArray = field(default_factory=_no_names)

    def bounds_of(self, marks: IntArray) -> FloatArray:
        """Give the bounds known of blocks by their marks, -inf where there is none."""
        at = places(self.mark, marks)
        return np.where(at >= 0, np.append(self.bound, -np.inf)[at], -np.inf)

    def to_json(self) -> str:
        """Give a document that ``from_json`` reads back, the same for the same content."""
        plans = {"plan_length": np.diff(self.plans.start), "column": self.plans.index, "value": self.plans.value}
        lists = plans | {told: getattr(self, name) for name, (told, _) in _LISTS.items()}
        body = {name: x.tolist() for name, x in lists.items()}
        told = {"kind": KIND, "schema_version": VERSION, "sha256": _hash(body, VERSION), **body}
        return json.dumps(told, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Learned:
        """Read what ``to_json`` wrote, now or in versions that knew less; raises ValueError for anything else."""
        document = strict_json(text)
        if not isinstance(document, dict) or document.pop("kind", None) != KIND:
            raise ValueError("not what allocate --keep writes")
        if (version := document.pop("schema_version", None)) not in range(1, VERSION + 1):
            raise ValueError(f"schema_version {version!r}, this allocate reads 1 to {VERSION}")
        if document.pop("sha256", None) != _hash(document, version):
            raise ValueError("damaged: its content does not match its sha256")
        document = {told: [] for told in _told(VERSION)[len(_told(version)) :]} | document
        length, column, value = (_numbers(document, name) for name in _PLANS)
        lists: dict[str, Any] = {name: _numbers(document, told).astype(kind) for name, (told, kind) in _LISTS.items()}
        pairs = ("row", "price"), ("mark", "bound"), ("group", "least"), ("group", "dominated"), ("topped", "top")
        matched = [len(lists[a]) == len(lists[b]) for a, b in pairs]
        if not all(matched) or len(column) != len(value) or len(column) != length.sum() or (length < 0).any():
            raise ValueError("lists whose lengths do not match")
        start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        return cls(Ragged(start, column.astype(np.int64), value.astype(np.float64)), **lists)


_PLANS = ("plan_length", "column", "value")
_LISTS: dict[str, tuple[str, type]] = {
    "row": ("row", np.int64),
    "price": ("price_usd_per_hour", np.float64),
    "mark": ("mark", np.int64),
    "bound": ("bound_usd_per_hour", np.float64),
    "group": ("group", np.int64),
    "least": ("least_usd_per_hour", np.float64),
    "dominated": ("dominated", np.int64),
    "shared": ("shared", np.int64),
    "topped": ("topped", np.int64),
    "top": ("top", np.float64),
    "wanted": ("wanted", np.int64),
}
"""What is told besides plans: under which name, and as which numbers."""


def _numbers(document: dict[str, Any], name: str) -> FloatArray:
    found = np.array(document.get(name))
    if found.ndim != 1 or found.dtype.kind not in "if":
        raise ValueError(f"{name} is no list of numbers")
    return found


def _told(version: int) -> list[str]:
    """Give the names of the lists that a version tells."""
    return [*_PLANS, *(told for told, _ in _LISTS.values())][: {1: 5, 2: 7}.get(version)]


def _hash(body: dict[str, Any], version: int) -> str:
    return hashlib.sha256(json.dumps([body.get(told) for told in _told(version)]).encode()).hexdigest()


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
        first, n = blocks.first(seeds_of(compiled).workload, len(owners)), blocks.n_original
        column = column_names(compiled.columns)
        copies = mixed("copy", column[blocks.copy_of], names_of([*owners, ""])[first[blocks.owner[n:]]])
        m, rows = compiled.model.n_rows, blocks.coupling
        own = names_of(compiled.row_label(r) for r in rows[rows < m].tolist())
        return cls(np.concatenate([column, copies]), np.concatenate([own, mixed("row of", copies[rows[rows >= m] - m])]))


def _sorted(names: IntArray) -> tuple[IntArray, IntArray]:
    """Give the order of names, and them in it."""
    order = np.argsort(names, kind="stable")
    return order, names[order]


def places(names: IntArray, wanted: IntArray) -> IntArray:
    """Give where each that is wanted stands among names, -1 where it does not."""
    return _places(*_sorted(names), wanted)


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
