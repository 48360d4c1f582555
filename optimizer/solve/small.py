"""The small question, which portions of shards make, and what its search is told: plans and prices that travel by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.compile import Compiled
from optimizer.solve.blocks import FloatArray, IntArray
from optimizer.solve.learned import Names
from optimizer.solve.plans import Plans, Ragged, joined
from optimizer.solve.search import Search
from optimizer.solve.shards import Prices, Told

__all__ = ["NotSiftedError", "Small", "begin_at", "carry", "know", "topped", "tops_of"]


ALIKE = 1e-6
"""Relative; plans must cost and use in the small question what they did in their shard."""


class NotSiftedError(Exception):
    """Shards found no plan of the whole, which proves nothing, or disagree about one: the whole question has to be compiled."""


@dataclass(frozen=True, eq=False)
class Small:
    """The question that portions make, and its search; ``is_costless`` is one where nothing costs anything.

    ``shard_of`` is each block's shard, ``first`` its first owner, one past the last for jobs; shape (n_blocks,).
    """

    compiled: Compiled
    search: Search
    names: Names
    shard_of: IntArray
    first: IntArray
    is_costless: bool = False

    @property
    def offers(self) -> list[str]:
        """Name its offers."""
        table = self.compiled.candidates.offers
        return [table.label(o) for o in range(len(table))]


def begin_at(small: Small, prices: Prices) -> None:
    """Begin at prices known by name."""
    search, names = small.search, small.names
    at, duals, known = names.rows(prices.row), np.zeros(len(names.row)), np.zeros(len(names.row), dtype=bool)
    duals[at[at >= 0]], known[at[at >= 0]] = prices.value[at >= 0], True
    search.duals = np.where(known, duals, search.followers.follow(search.blocks, duals))


def tops_of(small: Small, uppers: Iterable[tuple[IntArray, FloatArray]]) -> dict[int, float]:
    """Give upper bounds of shared columns by name: instances of all that know any together, of anything else the most of one."""
    columns, found = small.compiled.columns, dict[int, float]()
    counted = set(small.names.column[columns.first_instance : columns.first_commit].tolist())
    for names, upper in uppers:
        for name, most in zip(names.tolist(), upper.tolist(), strict=True):
            found[name] = found.get(name, 0.0) + most if name in counted else max(found.get(name, 0.0), most)
    return found


def topped(small: Small, tops: Mapping[int, float]) -> FloatArray:
    """Give the upper bounds of the small question's columns, those of shared ones as ``tops`` tells."""
    blocks = small.search.blocks
    upper = blocks.model.upper.copy()
    reach = [tops.get(name, 0.0) for name in small.names.column[blocks.shared].tolist()]
    upper[blocks.shared] = np.maximum(upper[blocks.shared], reach)
    return upper


def know(small: Small, tellings: Sequence[Told | None]) -> None:
    """Add plans that shards told by name; they must cost and use here what they do there.

    A block may be several here, where columns that would join them are missing: each has its part of the plan.

    Raises
    ------
    NotSiftedError : one does not
    """
    some = [told for told in tellings if told is not None]
    told = Told(joined([t.content for t in some]), np.concatenate([t.cost for t in some]), joined([t.use for t in some]))
    search, names, blocks, content = small.search, small.names, small.search.blocks, told.content
    column = names.columns(content.index)
    owner, plan, n = np.where(column >= 0, blocks.owner[column], -1), content.owner, len(told.cost)
    strange = np.bincount(plan[owner < 0], minlength=n) > 0
    mine = np.flatnonzero(~strange[plan])
    mine = mine[np.argsort(plan[mine] * blocks.count + owner[mine], kind="stable")]
    keys, first = np.unique(plan[mine] * blocks.count + owner[mine], return_index=True)
    whole, block = np.divmod(keys, blocks.count)
    plans = Plans.of(blocks, block, Ragged(np.append(first, len(mine)), column[mine], content.value[mine]))
    row = names.rows(told.use.index)
    marks = np.random.default_rng(2).uniform(0.5, 1.0, len(names.row) + 1)
    use = Ragged(told.use.start, np.where(row >= 0, row, len(names.row)), told.use.value).dot(marks)
    scale = Ragged(told.use.start, told.use.index * 0, np.abs(told.use.value)).dot(np.ones(1))
    cost, mixed = (np.bincount(whole, weights=x, minlength=n) for x in (plans.cost, plans.use.dot(marks)))
    alike = np.abs(cost - told.cost) <= ALIKE * np.maximum(1.0, np.abs(cost))
    alike &= np.abs(use - mixed) <= ALIKE * np.maximum(1.0, scale)
    if not alike[whole].all():
        raise NotSiftedError(
            f"{int((~alike)[np.unique(whole)].sum())} of {n} plans differ between a shard and what portions make"
        )
    search.plans = search.plans.joined(plans)


def carry(before: Small, made: Small) -> None:
    """Know in a search what the one before it knew: plans, prices, the best plan and the bound."""
    old, new = before.search, made.search
    at = made.names.columns(before.names.column)
    content = old.plans.content
    known = Told(Ragged(content.start, before.names.column[content.index], content.value), old.plans.cost, old.plans.use)
    use = Ragged(known.use.start, before.names.row[known.use.index], known.use.value)
    know(made, [Told(known.content, known.cost, use)])
    begin_at(made, Prices(before.names.row, old.duals, np.zeros(0, dtype=np.int64)))
    new.bound = old.bound
    if old.values is not None:
        values = np.maximum(new.blocks.model.lower, 0.0)
        used = np.flatnonzero(old.values)
        values[at[used]] = old.values[used]
        new.believe(values)
