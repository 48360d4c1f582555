"""Plans of blocks: which columns each sets to what, what it costs, and what it takes of the rows that blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.solve.blocks import Blocks, BoolArray, FloatArray, IntArray

__all__ = ["Plans", "Ragged", "plans_of_point"]

SMALLEST_USE = 1e-9
"""Of a coupling row; less is a solver's dust, and no coefficient for a model."""


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of (index, value) one behind another; list p is entries ``start[p]`` to ``start[p + 1]``."""

    start: IntArray
    index: IntArray
    value: FloatArray

    @classmethod
    def empty(cls) -> Ragged:
        """Give no lists."""
        return cls(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))

    @property
    def owner(self) -> IntArray:
        """Give the list of each entry."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def chosen(self, lists: IntArray) -> Ragged:
        """Give some of the lists, in the order asked."""
        count = np.diff(self.start)[lists]
        at = np.repeat(self.start[lists] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
        return Ragged(np.concatenate([[0], np.cumsum(count)]), self.index[at], self.value[at])

    def dot(self, weights: FloatArray) -> FloatArray:
        """Give each list's sum of value times the weight of its index."""
        return np.bincount(self.owner, weights=self.value * weights[self.index], minlength=len(self.start) - 1).astype(np.float64)


def joined(parts: Sequence[Ragged]) -> Ragged:
    """Put lists behind one another."""
    counts = [np.diff(p.start) for p in parts]
    start = np.concatenate([[0], np.cumsum(np.concatenate(counts))]) if parts else np.zeros(1, np.int64)
    return Ragged(start, np.concatenate([p.index for p in parts]), np.concatenate([p.value for p in parts]))


@dataclass(frozen=True, eq=False)
class Plans:
    """Plans of blocks; shape (n_plans,) but for the lists: ``content`` by column, ``use`` by coupling row."""

    block: IntArray
    cost: FloatArray
    content: Ragged
    use: Ragged

    @classmethod
    def of(cls, blocks: Blocks, block: IntArray, content: Ragged) -> Plans:
        """Work out what plans cost and use from the columns they set."""
        row, _, value, first = blocks.joint
        count = (first[1:] - first[:-1])[content.index]
        at = np.repeat(first[content.index] - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
        width = max(len(blocks.coupling), 1)
        keys, place = np.unique(np.repeat(content.owner, count) * width + row[at], return_inverse=True)
        weight = np.repeat(content.value, count) * value[at]
        amount = np.bincount(place.reshape(-1), weights=weight, minlength=len(keys)).astype(np.float64)
        used = np.abs(amount) > SMALLEST_USE
        start = np.searchsorted(keys[used], np.arange(len(block) + 1) * width)
        return cls(block, content.dot(blocks.model.objective), content, Ragged(start, keys[used] % width, amount[used]))

    @classmethod
    def empty(cls) -> Plans:
        """Give no plans."""
        return cls(np.zeros(0, np.int64), np.zeros(0), Ragged.empty(), Ragged.empty())

    def __len__(self) -> int:
        """Give the number of plans."""
        return len(self.block)

    def chosen(self, which: IntArray) -> Plans:
        """Give some of the plans."""
        return Plans(self.block[which], self.cost[which], self.content.chosen(which), self.use.chosen(which))

    def joined(self, more: Plans) -> Plans:
        """Add plans, leaving out those that cost and use what one already there does."""
        content, use = joined([self.content, more.content]), joined([self.use, more.use])
        whole = Plans(np.concatenate([self.block, more.block]), np.concatenate([self.cost, more.cost]), content, use)
        mark = use.dot(np.random.default_rng(1).random(int(use.index.max(initial=0)) + 1))
        _, first = np.unique(np.column_stack([whole.block, whole.cost.round(9), mark.round(9)]), axis=0, return_index=True)
        return whole if len(first) == len(whole) else whole.chosen(np.sort(first))

    def priced(self, duals: FloatArray) -> FloatArray:
        """Give what each plan costs at the prices ``duals`` of the coupling rows."""
        return self.cost - self.use.dot(duals)

    def values(self, which: IntArray, n_columns: int) -> FloatArray:
        """Give the column values of the plans ``which`` together."""
        found = np.zeros(n_columns)
        content = self.content.chosen(which)
        np.add.at(found, content.index, content.value)
        return found


def plans_of_point(blocks: Blocks, values: FloatArray, which: BoolArray) -> Plans:
    """Give the plan of each block of ``which`` that a point of the whole model holds."""
    mine = np.flatnonzero((values != 0) & (blocks.owner >= 0) & which[blocks.owner])
    mine = mine[np.argsort(blocks.owner[mine], kind="stable")]
    block = np.flatnonzero(which)
    start = np.searchsorted(blocks.owner[mine], np.append(block, blocks.count))
    return Plans.of(blocks, block, Ragged(start, mine, values[mine]))
