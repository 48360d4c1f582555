"""What has not changed since an earlier solve: workloads whose plans and bounds are taken as they were, at the prices of then.

A group is some workloads that share pools, or one that shares none. What its blocks cost at least at given prices hangs on it and
on all of the question but other workloads, so that a digest of these tells whether it is known. Only what is new is looked at in
a shard, and METHOD.md tells why the bounds add up as those of shards do. Prices do not move here: where the gap asked is not
proved at them, the question is solved as any other.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import solvers
from optimizer.compile import names_of
from optimizer.compile.portions import Portion, named_portion, portion_names
from optimizer.instance import Instance, SharedPool, Workload
from optimizer.solve.blocks import FloatArray, IntArray
from optimizer.solve.improve import start_whole
from optimizer.solve.learned import Learned, places, recall
from optimizer.solve.master import clipped, combined_bound
from optimizer.solve.plans import Ragged
from optimizer.solve.pricing import best_plans
from optimizer.solve.shards import Desk, Prices, Proof, Shard, grouped, shard_of
from optimizer.solve.small import Small, begin_at, know, topped, tops_of

__all__ = ["Resumed", "resumed", "with_groups"]

Groups = list[list[Workload]]
MOST_NEW = 0.1
"""Share of the groups that may be new; with more, prices will have to move."""
TURNS = 3
"""How often bounds are proved at most; the first time, of what is new."""
AGAIN, LOSSES = 1.3, 3.0
"""Times what is missing to the asked gap: what is to be made up for; and times that, the losses of the few that do."""
TOGETHER = 1_000
"""Workloads whose candidates are worked out at a time, for memory's sake."""


@dataclass(frozen=True, eq=False)
class Resumed:
    """The small question with its plan and bound, and its portions; ``found`` is what is learned of it without its plans.

    So many plans it began with; and of how many groups bounds were known, of how many.
    """

    small: Small
    portions: list[Portion]
    found: Learned
    started_from: int
    known: tuple[int, int]


def resumed(desk: Desk, instance: Instance, small_of: Callable[[Sequence[Portion]], Small]) -> Resumed | None:
    """Plan and prove at the prices of an earlier solve, and look at what is new alone; None where that cannot be.

    ``small_of`` makes the small question of portions. Where nothing is new, one group is looked at all the same.
    """
    base, learned = desk.base, desk.base.learned
    assert learned is not None
    groups = grouped(instance)
    marks = _marks(instance, base.load_shares, groups)
    at = places(learned.group, marks)
    if (at < 0).sum() > MOST_NEW * len(groups):
        return None
    at[0] = at[0] if (at < 0).any() else -1
    known, prices = np.flatnonzero(at >= 0), Prices(learned.row, learned.price, learned.shared)
    shard = _shard(instance, groups, np.flatnonzero(at < 0))
    proposal = desk.propose(shard, prices, 1.0)
    if proposal.portion is None:
        return None  # refused with all others that have to be
    portions = [*_known_portions(desk, instance, groups, at, learned), proposal.portion]
    small = small_of(portions)
    search, blocks = small.search, small.search.blocks
    recall(search, learned, small.names)
    began = len(search.plans)
    know(small, [proposal.told])
    begin_at(small, prices)
    if not _are_kept(small, prices):
        return None
    start_whole(search)
    proof = _proved(desk, small, shard, 0.0, "usual", True)
    tops = tops_of(small, [(proposal.column, proposal.upper), (learned.topped, learned.top)])
    told = _told(proof.owned or {}, instance, groups)
    told[known] = np.stack([learned.least[at[known]], learned.dominated[at[known]]], axis=1)
    for turn in range(TURNS):
        if turn and (search.done or not _looked_further(desk, small, instance, groups, known, told)):
            break
        least = np.append(proof.least, told[known, 0])
        search.prove(combined_bound(blocks, search.duals, least, topped(small, tops)))
        if not search.done:
            start_whole(search)
    mark, first = np.unique(np.append(learned.mark, proof.mark), return_index=True)
    bound = np.append(learned.bound, proof.least[: len(proof.mark)])[first]
    found = Learned(Ragged.empty(), small.names.row, search.duals, mark, bound, shared=small.names.column[blocks.shared])
    return Resumed(small, portions, _with(found, marks, told, portions, small.offers, tops), began, (len(known), len(groups)))


def _shard(instance: Instance, groups: Groups, which: IntArray) -> Shard:
    return shard_of(instance, [groups[g] for g in which.tolist()], -1, len(groups))


def _proved(desk: Desk, small: Small, shard: Shard, allowed: float, effort: str, first: bool) -> Proof:
    """Prove what a shard's plans cost at least at the search's prices, and know those that came of it."""
    search = small.search
    prices = Prices(small.names.row, search.duals, small.names.column[search.blocks.shared])
    until, nothing = time.monotonic() + search.clock.left_s, Learned(Ragged.empty(), small.names.row[:0], search.duals[:0])
    proof = desk.prove(shard, prices, nothing, allowed, until, effort, first, True)
    assert proof is not None  # it is needed
    search.clock.calls += proof.calls
    search.clock.solver_s += proof.solver_s
    search.infeasible |= proof.infeasible
    know(small, [proof.told])
    return proof


def _looked_further(desk: Desk, small: Small, instance: Instance, groups: Groups, known: IntArray, told: FloatArray) -> bool:
    """Prove more of the groups whose bounds lost most, if a few make up for what is missing; say whether they were looked at."""
    search, gap = small.search, desk.base.wishes.relative_gap
    best = best_plans(search, search.duals)[0]
    of = np.append(_group_of(small, instance, groups), len(groups))[small.first]
    loss = np.bincount(of, weights=best, minlength=len(groups) + 1)[known] - told[known, 0]
    missing = (search.cost - gap * abs(search.cost) - search.bound) * AGAIN
    order = np.argsort(-loss, kind="stable")
    few = int(np.searchsorted(np.cumsum(loss[order]), LOSSES * missing)) + 1
    if not np.isfinite(loss).all() or not np.isfinite(missing) or few > MOST_NEW * len(groups):
        return False
    chosen = np.sort(known[order[:few]])
    allowed = max(float(loss[order[:few]].sum()) - missing, 0.0)
    proof = _proved(desk, small, _shard(instance, groups, chosen), allowed, "further", False)
    found = _told(proof.owned or {}, instance, groups)
    told[chosen, 0] = np.fmax(told[chosen, 0], found[chosen, 0])
    return True


def _group_of(small: Small, instance: Instance, groups: Groups) -> IntArray:
    """Give each owner's group; shape (n_owners,)."""
    place = {x.name: g for g, mine in enumerate(_members(instance, groups)) for x in mine}
    return np.array([place[o.name] for o in small.compiled.candidates.owners], dtype=np.int64)


def _known_portions(desk: Desk, instance: Instance, groups: Groups, at: IntArray, learned: Learned) -> Iterator[Portion]:
    """Give what was wanted of the groups that are known, a part of them at a time."""
    known = np.flatnonzero(at >= 0)
    for begin in range(0, len(known), TOGETHER):
        mine = known[begin : begin + TOGETHER].tolist()
        shard = shard_of(instance, [groups[g] for g in mine], -1, len(groups))
        table = desk.table(shard)
        yield named_portion(table, learned.wanted, int(learned.dominated[at[mine]].sum()))


def _are_kept(small: Small, prices: Prices) -> bool:
    """Say whether rows and shared columns are all there, at the prices of before: only then do known bounds hold together."""
    at, duals = small.names.rows(prices.row), small.search.duals
    here = at >= 0
    same = (duals[at[here]] == prices.value[here]).all() and not prices.value[~here].any()
    there = np.isin(prices.column, small.names.column[small.search.blocks.shared]).all()
    return bool(same and there and (clipped(small.search.blocks, duals) == duals).all())


def with_groups(
    learned: Learned,
    instance: Instance,
    load_shares: Mapping[str, float],
    owned: Mapping[str, tuple[float, int]],
    portions: Sequence[Portion],
    offers: Sequence[str],
    tops: Mapping[int, float],
) -> Learned:
    """Add to what was learned what ``owned`` knows of groups, and the candidates and pairs of ``portions``."""
    groups = grouped(instance)
    marks, told = _marks(instance, load_shares, groups), _told(owned, instance, groups)
    return _with(learned, marks, told, portions, offers, tops)


def _with(
    learned: Learned,
    marks: IntArray,
    told: FloatArray,
    portions: Sequence[Portion],
    offers: Sequence[str],
    tops: Mapping[int, float],
) -> Learned:
    known = np.isfinite(told[:, 0])
    return replace(
        learned,
        group=marks[known],
        least=told[known, 0],
        dominated=told[known, 1].astype(np.int64),
        topped=np.array(list(tops), dtype=np.int64),
        top=np.array(list(tops.values()), dtype=np.float64),
        wanted=np.unique(np.concatenate([portion_names(p, offers) for p in portions])),
    )


def _told(owned: Mapping[str, tuple[float, int]], instance: Instance, groups: Groups) -> FloatArray:
    """Give what each group's blocks cost at least, NaN if unknown, and its dominated candidates; shape (n_groups, 2)."""
    unknown = np.nan, 0
    rows = [[owned.get(x.name, unknown) for x in mine] for mine in _members(instance, groups)]
    return np.array([np.sum(row, axis=0) for row in rows], dtype=np.float64).reshape(-1, 2)


def _marks(instance: Instance, load_shares: Mapping[str, float], groups: Groups) -> IntArray:
    """Give each group a number that tells it with all that its blocks rest on; shape (n_groups,)."""
    rest = instance.of(instance.jobs).model_dump_json()
    (common,) = names_of([json.dumps([_code(), rest, sorted(load_shares.items())])]).tolist()
    return names_of(json.dumps([common, *(x.model_dump_json() for x in mine)]) for mine in _members(instance, groups))


@cache
def _code() -> str:
    """Give a digest of all code that a bound rests on, so that another version's, or one that was changed, is not believed."""
    told = hashlib.sha256()
    for package in (Path(__file__).parents[1], Path(str(solvers.__file__)).parent):
        for path in sorted(package.rglob("*.py")):
            told.update(path.read_bytes())
    return told.hexdigest()


def _members(instance: Instance, groups: Groups) -> list[list[Workload | SharedPool]]:
    """Give the workloads of each group, and the pools that they share, in order of name."""
    pools = defaultdict[str, list[SharedPool]](list)
    for pool in sorted(instance.shared_pools, key=lambda p: p.name):
        pools[pool.workloads[0]].append(pool)
    return [[*sorted(g, key=lambda w: w.name), *(p for w in g for p in pools[w.name])] for g in groups]
