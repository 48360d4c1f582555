"""Shards: some workloads of a large question, looked at apart and with all of its limits, in a process of their own.

A shard is compiled where it is asked, and only what a plan may need comes back: a portion of its candidates, plans of its blocks,
and the sum of their bounds at given prices. What is shared has the same name in every shard and in the question that their
portions make, so that prices and plans travel by name. METHOD.md tells why the bounds add up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np

from optimizer.compile import Compiled, candidate_table, compile_table
from optimizer.compile.candidates import CandidateTable, is_power_of_two, tightened
from optimizer.compile.portions import Portion, portion_of
from optimizer.errors import InfeasibleError, Problem
from optimizer.instance import Instance, SharedPool, TrainingWorkload, Workload
from optimizer.performance import Performance
from optimizer.plan import Plan
from optimizer.solve.blocks import BoolArray, FloatArray, IntArray, blocks_of, seeds_of
from optimizer.solve.direct import Cancel, Wishes, start_from
from optimizer.solve.learned import Learned, Names, recall
from optimizer.solve.master import BLOCK_SAFETY, clipped, rounding, sides, slack_prices
from optimizer.solve.parts import block_marks
from optimizer.solve.plans import Plans, Ragged
from optimizer.solve.pricing import best_plans, price_exactly, price_roughly, price_stubborn
from optimizer.solve.search import Search, costless, new_search
from optimizer.solve.settle import settle
from solvers import get_backend

__all__ = [
    "Base",
    "Desk",
    "Prices",
    "Proof",
    "Proposal",
    "Shard",
    "Told",
    "cut",
    "further",
    "grouped",
    "sample",
    "scaled",
    "shard_of",
]

HELD_COLUMNS = 1_500_000
"""Columns of compiled shards that a process holds; shards beyond are compiled anew each time. About 0.7 KB each."""
START_GAP = 0.002
"""As if so much were asked at least: what is proposed hangs on the first prices."""
SAMPLED = 4
"""Of many shards, those at whose prices all begin."""
FURTHER, LOSSES = 0.94, 2.0
"""Of what bounds of blocks may lose, the share that shards are allowed at prices that were proved before, and times what is too
much, the losses of the shards that are asked to lose less."""


@dataclass(frozen=True, eq=False)
class Shard:
    """Some workloads, with the pools that they share; ``of`` is how many shards there are.

    ``number`` tells it from the other shards of its question; below 0 it is not one of them and nothing of it is held.
    """

    number: int
    of: int
    workloads: tuple[Workload, ...]
    pools: tuple[SharedPool, ...]


@dataclass(frozen=True, eq=False)
class Base:
    """What all shards have in common: the question with its training jobs alone, wishes, and what a start may be taken from.

    ``compared`` gives the candidates that a plan's baselines need besides; ``is_learning`` says whether bounds are kept.
    """

    instance: Instance
    wishes: Wishes
    compared: Callable[[Compiled], IntArray]
    load_shares: dict[str, float]
    learned: Learned | None
    plan_in_force: Plan | None
    is_learning: bool = False


@dataclass(frozen=True, eq=False)
class Prices:
    """Prices of rows by name, zero ones too; ``column`` names the shared columns that these rows were priced with.

    Where prices are ``alone``, nothing else costs anything.
    """

    row: IntArray
    value: FloatArray
    column: IntArray
    alone: bool = False


@dataclass(frozen=True, eq=False)
class Told:
    """Plans of blocks by name: columns with their values, what they cost, and what they use of rows."""

    content: Ragged
    cost: FloatArray
    use: Ragged


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a shard proposes: a portion and plans, or why there is none; and its shared columns with their upper bounds.

    ``loosened`` names the rows about an average that couple blocks in it.
    """

    number: int
    portion: Portion | None
    told: Told | None
    refused: tuple[str, tuple[Problem, ...]] | None
    column: IntArray
    upper: FloatArray
    loosened: IntArray
    recalled: int


@dataclass(frozen=True, eq=False)
class Proof:
    """What a shard's plans cost at least at given prices, and what may be missing of that.

    ``least`` lists the bounds of its blocks, then what roundings and columns that are shared here alone could take off; ``mark``
    the marks of these blocks, if somebody wants to keep the bounds, and then ``owned`` gives by owner what its blocks cost at
    least, roundings taken off, and how many of its candidates are dominated; unless the shard's workloads cannot be told apart.
    Of ``recalled`` ones an earlier solve knew.
    """

    least: FloatArray
    mark: IntArray
    recalled: int
    loss: float
    portion: Portion
    told: Told
    infeasible: bool
    calls: int
    solver_s: float
    owned: Mapping[str, tuple[float, int]] | None = None


@dataclass(frozen=True, eq=False)
class _State:
    """A compiled shard; ``first`` is each block's first owner, beyond the last one for jobs."""

    compiled: Compiled
    search: Search
    names: Names
    first: IntArray
    recalled: int

    @property
    def mine(self) -> BoolArray:
        """Say which blocks are of workloads that are served, not jobs; shape (n_blocks,)."""
        return np.asarray(self.first < len(self.compiled.candidates.owners))


@dataclass(eq=False)
class Desk:
    """Where shards are looked at: compiles them, and holds some; of all, the prices proved last and what blocks cost there."""

    base: Base
    cancel: Cancel | None = None
    known: Performance | None = None
    _held: dict[int, _State] = field(default_factory=dict)
    _proved: dict[int, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def prepare(self, shard: Shard) -> None:
        """Compile a shard while others are waited for; what is wrong with it is told when it is asked something."""
        with suppress(InfeasibleError):
            self._state(shard)

    def start(self, shard: Shard, seconds: float) -> Prices | None:
        """Give prices at which this shard's blocks would do with its part of what is shared; None if one has no candidate."""
        try:
            state = self._state(shard)
        except InfeasibleError:
            return None
        search, part = state.search, scaled(state.search, 1 / shard.of)
        part.clock.started, part.clock.limit_s = time.monotonic(), seconds
        settle(part, slack_prices(part.blocks), "rough", seconds, gap=min(START_GAP, self.base.wishes.relative_gap))
        search.plans = part.plans
        search.heuristic_blocks = part.heuristic_blocks
        return Prices(state.names.row, part.duals, state.names.column[search.blocks.shared])

    def propose(self, shard: Shard, prices: Prices, near: float) -> Proposal:
        """Give plans at these prices, and the candidates that they need and, unless it is 0, that plans ``near`` them may need.

        Those cost at most this share more than a block's least of what its best plan known may cost more.
        """
        nothing = np.zeros(0, dtype=np.int64)
        try:
            state = self._state(shard)
        except InfeasibleError as error:
            return Proposal(shard.number, None, None, (error.message, error.problems), nothing, np.zeros(0), nothing, 0)
        search, blocks = state.search, state.search.blocks
        duals = _duals(search, state.names, prices)[0]
        price_roughly(search, duals)
        most = price_roughly(search, duals, deep=True)
        if not np.isfinite(most).all():
            price_stubborn(search, duals)
            most = best_plans(search, duals)[0]
        kept = _near(search, duals, most, near) if near else np.zeros(blocks.model.n_columns, dtype=bool)
        besides = self.base.compared(state.compiled) if near else nothing
        shared = blocks.shared
        return Proposal(
            shard.number,
            _portion(state, kept, besides),
            _told(state, np.arange(len(search.plans))),
            None,
            state.names.column[shared],
            blocks.model.upper[shared],
            state.names.row[np.isin(blocks.coupling, blocks.loosened)],
            state.recalled,
        )

    def prove(
        self, shard: Shard, prices: Prices, learned: Learned, allowed: float, until: float, effort: str, first: bool, needed: bool
    ) -> Proof | None:
        """Give what plans cost at least at these prices, and the plans that came of it; ``first`` says whether jobs count too.

        ``until`` is when to stop, by the machine's monotonic clock; later, what is ``needed`` is given unsolved, else nothing.
        """
        if not needed and time.monotonic() >= until:
            return None
        state = self._state(shard)
        recall(state.search, learned, state.names)
        search = costless(state.search) if prices.alone else state.search
        blocks, clock = search.blocks, search.clock
        duals, gained = _duals(search, state.names, prices)
        before, calls, used_s = len(state.search.plans), clock.calls, clock.solver_s
        clock.started = time.monotonic()
        clock.limit_s = max(until - clock.started, 0.0)
        mine = state.mine if not first else np.ones(blocks.count, dtype=bool)
        marks, recalled, learned_before, known = np.zeros(0, dtype=np.int64), 0, self.base.learned, None
        if not prices.alone:
            at, known = self._proved.get(shard.number, (duals, None))
            known = known if np.array_equal(at, duals) else None
            if self.base.is_learning or (learned_before is not None and len(learned_before.mark)):
                marks = block_marks(blocks, blocks.reduced_costs(duals))
                if known is None and learned_before is not None:
                    known = learned_before.bounds_of(marks)
                    recalled = int(np.isfinite(known[mine]).sum())
        bounds, _ = price_exactly(search, duals, effort, allowed=allowed, known=known)
        best, number = best_plans(search, duals)
        if prices.alone:
            plans = search.plans.chosen(number[best < np.inf])
            state.search.plans = state.search.plans.joined(Plans.of(state.search.blocks, plans.block, plans.content))
        else:
            if shard.number >= 0:  # others are not always the same
                self._proved[shard.number] = duals, bounds
        reach = np.maximum(np.abs(blocks.model.lower), np.abs(blocks.model.upper))
        rounded = np.where(blocks.owner >= 0, rounding(blocks, duals) * reach, 0.0)
        fresh = np.arange(before, len(state.search.plans))
        used = fresh if prices.alone else np.union1d(fresh, number[best < np.inf])
        return Proof(
            np.append(bounds[mine], gained - math.fsum(rounded.tolist())),
            marks[mine] if len(marks) else marks,
            recalled,
            float((best - bounds)[mine].sum()),
            _portion(state, np.zeros(blocks.model.n_columns, dtype=bool), np.zeros(0, dtype=np.int64)),
            _told(state, used),
            search.infeasible,
            clock.calls - calls,
            clock.solver_s - used_s,
            _owned(state, bounds, rounded, gained) if self.base.is_learning and not prices.alone else None,
        )

    def table(self, shard: Shard) -> CandidateTable:
        """Give all candidates of a shard."""
        base = self.base
        instance = base.instance.of((*shard.workloads, *base.instance.workloads), shard.pools)
        table = candidate_table(instance, known=self.known)
        self.known = table.performance
        return tightened(table, base.load_shares) if base.load_shares else table

    def _state(self, shard: Shard) -> _State:
        """Compile a shard, unless it is held."""
        if shard.number in self._held:
            return self._held[shard.number]
        base, compiled = self.base, compile_table(self.table(shard), partly=True)
        seeds = seeds_of(compiled, partly=True)
        blocks = blocks_of(compiled.model, seeds)
        backend = get_backend(base.wishes.backend)
        search = new_search(compiled.model, blocks, backend, base.wishes, cancel=self.cancel, processes=1)
        names = Names.of(compiled, blocks)
        n = len(compiled.candidates.owners)
        first = np.minimum(blocks.first(seeds.workload, n), n)
        if base.learned is not None:
            recall(search, base.learned, names)
        if base.plan_in_force is not None:
            search.start_at(start_from(compiled, base.plan_in_force))
        recalled = len(search.plans)
        state = _State(compiled, search, names, first, recalled)
        held = sum(s.compiled.model.n_columns for s in self._held.values())
        if shard.number >= 0 and held + compiled.model.n_columns <= HELD_COLUMNS:
            self._held[shard.number] = state
        return state


def _duals(search: Search, names: Names, prices: Prices) -> tuple[FloatArray, float]:
    """Give the prices of a shard's rows, and what could be gained by columns that are shared here and unknown there.

    A row that is unknown there has no price, unless it follows from the price of such a column.
    """
    blocks = search.blocks
    at = names.rows(prices.row)
    duals, known = np.zeros(len(names.row)), np.zeros(len(names.row), dtype=bool)
    duals[at[at >= 0]], known[at[at >= 0]] = prices.value[at >= 0], True
    strange = np.zeros(blocks.model.n_columns, dtype=bool)
    strange[blocks.shared] = ~np.isin(names.column[blocks.shared], prices.column)
    follower = search.followers
    free = follower.row[strange[follower.column]]
    free = free[~known[free]]
    duals[free] = follower.follow(blocks, duals)[free]
    duals = clipped(blocks, duals)
    side = sides(blocks, duals)
    priced = np.flatnonzero((duals != 0) & ~known)
    error, reduced = rounding(blocks, duals), blocks.reduced_costs(duals)
    mine = np.flatnonzero(strange)
    corners = [(reduced - error)[mine] * bound[mine] for bound in (blocks.model.lower, blocks.model.upper)]
    gained = np.minimum(np.minimum(*corners), 0.0).sum() + np.minimum(duals[priced] * side[priced], 0.0).sum()
    return duals, float(gained)


def _owned(state: _State, bounds: FloatArray, rounded: FloatArray, gained: float) -> Mapping[str, tuple[float, int]] | None:
    """Give by owner what its blocks cost at least and how many of its candidates are dominated; a block is its first owner's.

    Each takes off all that columns could gain which are shared here alone, though they may gain it once.
    None where a replica's size may bar another workload's from an offer (``rentable_pairs``): then none stands alone.
    """
    table, blocks = state.compiled.candidates, state.search.blocks
    if not is_power_of_two(table.size).all():
        return None
    n, whose = len(table.owners), state.first
    lost = np.bincount(blocks.owner[blocks.owner >= 0], weights=rounded[blocks.owner >= 0], minlength=blocks.count)
    sure = bounds - BLOCK_SAFETY * np.abs(bounds) - lost
    least = np.bincount(whose, weights=np.where(whose < n, sure, 0.0), minlength=n + 1)
    dominated = np.bincount(table.workload[state.compiled.dominated_by >= 0], minlength=n)
    return {o.name: (float(least[k]) + gained, int(dominated[k])) for k, o in enumerate(table.owners)}


def _near(search: Search, duals: FloatArray, most: FloatArray, share: float) -> BoolArray:
    """Say which columns plans may need that cost a share of what ``most``, the best plans known, may cost too much."""
    cost, reduction = search.blocks.reduced_costs(duals), search.reduction
    kept = reduction.keep(cost, most)
    if share >= 1.0:
        return kept
    least = reduction.least(cost, kept)
    known = np.isfinite(least) & np.isfinite(most)
    limit = most.copy()
    limit[known] = (1 - share) * least[known] + share * most[known]
    return reduction.below(cost, kept, limit)


def _portion(state: _State, kept: BoolArray, besides: IntArray) -> Portion:
    """Take the replica columns that are ``kept``, and those of all plans known."""
    wanted = kept.copy()
    wanted[state.search.plans.content.index] = True
    return portion_of(state.compiled, np.flatnonzero(wanted[: state.compiled.columns.first_instance]), besides)


def _told(state: _State, which: IntArray) -> Told:
    plans: Plans = state.search.plans.chosen(which)
    content, use = plans.content, plans.use
    return Told(
        Ragged(content.start, state.names.column[content.index], content.value),
        plans.cost,
        Ragged(use.start, state.names.row[use.index], use.value),
    )


def further(losses: Sequence[float], spare: float) -> FloatArray:
    """Give what each shard's bounds may lose in place of ``losses``, to lose no more than ``spare`` together.

    What is too much is shared out among the few shards that lose most: a block that loses much is solved whole or not at all.

    >>> further([1.0, 6.0, 3.0], 8.5).round(2)
    array([1.  , 3.99, 3.  ])
    """
    loss = np.array(losses)
    excess = loss.sum() - FURTHER * spare
    order = np.argsort(-loss, kind="stable")
    few = order[: int(np.searchsorted(np.cumsum(loss[order]), LOSSES * excess)) + 1]
    allowed = loss.copy()
    allowed[few] -= excess * loss[few] / loss[few].sum()
    return np.asarray(np.maximum(allowed, 0.0))


def scaled(search: Search, share: float) -> Search:
    """Give a search like another, on a clock of its own, that has only a share of what blocks share."""
    blocks, model = search.blocks, search.blocks.model
    low, high = model.row_lower.copy(), model.row_upper.copy()
    low[blocks.coupling] *= share
    high[blocks.coupling] *= share
    less = replace(model, row_lower=low, row_upper=high)
    return replace(search, model=less, blocks=replace(blocks, model=less), clock=replace(search.clock))


def sample(shards: Sequence[Shard]) -> Shard:
    """Give a shard that stands for all: the first, or of many some together, under a number of its own."""
    if len(shards) <= 2 * SAMPLED:
        return shards[0]
    chosen = shards[:: len(shards) // SAMPLED][:SAMPLED]
    workloads = tuple(sorted((w for shard in chosen for w in shard.workloads), key=lambda w: w.name))
    return Shard(-1, len(shards) // len(chosen), workloads, tuple(p for shard in chosen for p in shard.pools))


def cut(instance: Instance, cells_each: int) -> tuple[Shard, ...]:
    """Cut the workloads that are served into shards of about so many workloads and periods, two at least.

    Each takes every n-th in an order without sense, so that all are alike whatever recurs in the names; workloads that share
    pools stay together.
    """
    groups = grouped(instance)
    served = sum(len(group) for group in groups)
    of = min(max(2, -(-served * len(instance.periods) // cells_each)), max(len(groups), 1))
    return tuple(shard_of(instance, groups[number::of], number, of) for number in range(of))


def grouped(instance: Instance) -> list[list[Workload]]:
    """Give the workloads that are served, those that share pools together, in an order without sense."""
    served = sorted((w for w in instance.workloads if not isinstance(w, TrainingWorkload)), key=lambda w: _mixed(w.name))
    root = {w.name: w.name for w in served}
    for pool in instance.shared_pools:
        joined = {root[name] for name in pool.workloads}
        root = {name: min(joined) if of in joined else of for name, of in root.items()}
    groups = dict[str, list[Workload]]()
    for workload in served:
        groups.setdefault(root[workload.name], []).append(workload)
    return list(groups.values())


def shard_of(instance: Instance, groups: Sequence[Sequence[Workload]], number: int, of: int) -> Shard:
    """Make a shard of some groups."""
    mine = sorted((w for group in groups for w in group), key=lambda w: w.name)
    names = {w.name for w in mine}
    return Shard(number, of, tuple(mine), tuple(p for p in instance.shared_pools if names.issuperset(p.workloads)))


def _mixed(name: str) -> tuple[bytes, str]:
    """Give a key that puts names in an order without sense, always the same."""
    return blake2b(name.encode(), digest_size=8).digest(), name
