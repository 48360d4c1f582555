"""Pricing: the best plan of every block at the prices of what blocks share, first by heuristic, at last exactly."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import tee

import numpy as np

from optimizer.solve.blocks import BoolArray, FloatArray, IntArray
from optimizer.solve.master import BLOCK_SAFETY, combined_bound
from optimizer.solve.parts import Part, block_model
from optimizer.solve.plans import Plans, Ragged
from optimizer.solve.search import Search
from solvers import Solution, SolveOptions, Termination

BATCH, FINE_BATCH = 16, 2
"""Blocks after which is asked whether more are worth solving, whoever solves them; in a fine turn each takes seconds."""
BOUND_SHARE = 0.4
"""Share of the asked gap that blocks not solved to the end may cost the bound."""
COARSE_GAP, COARSE_SHARE, FINE_SHARE = 1e-3, 0.3, 0.1
"""To which gap a block is solved at first, at least and as a share of the asked one; and, where it may still lose much, then."""
BRIEF_GAP, BRIEF_TURN_S = 5e-3, 0.15
"""The same in a brief turn, which is after plans."""
SHORT_TURN_S, TURN_S, FINE_TURN_S = 0.3, 2.02, 16.0
"""Seconds that a block may take at first, in a turn, and in a fine one: most are solved at first, and few need all."""
FINE_SHARE_OF_TIME = 0.1
"""Of the time limit, what a block may take in a fine turn at most."""
EFFORTS = {"brief": ("brief",), "usual": ("short", "long"), "fine": ("short", "long", "fine"), "further": ("fine",)}
"""Turns that blocks are solved in, of 0.15 s to 16 s each; ``further`` is for those that the usual ones left."""
MANY_LEFT, FEW, FEW_SHARE, FEW_S, FEW_GAP = 80, 100, 0.5, 0.8, 3e-3
"""Whole columns of a block beyond which it is first solved among so few of them, none that its relaxation misses by more than
this share of what is between that and the plan known; and the seconds that this may take."""
STUBBORN_S, STUBBORN_GAP = 0.3, 0.01
"""What a block without a heuristic plan may take while prices are rough."""

__all__ = ["best_plans", "price_exactly", "price_roughly", "price_stubborn"]


def price_roughly(search: Search, duals: FloatArray, *, deep: bool = False) -> FloatArray:
    """Add plans found without a solver; give what the best plan known of each block costs at the duals, infinite where none."""
    cost = search.blocks.reduced_costs(duals)
    kept = search.reduction.keep(cost, best_plans(search, duals)[0])
    found = search.heuristic.plans(cost, kept, deep=deep)
    search.heuristic_blocks = np.union1d(search.heuristic_blocks, found.block)
    search.plans = search.plans.joined(found)
    return best_plans(search, duals)[0]


def price_stubborn(search: Search, duals: FloatArray) -> None:
    """Add plans, by the backend, of the few blocks for which the heuristic finds none, such as training jobs."""
    known = np.isin(np.arange(search.blocks.count), search.heuristic_blocks)
    cost = search.blocks.reduced_costs(duals)
    most = np.where(known, -np.inf, best_plans(search, duals)[0])
    kept = search.reduction.keep(cost, np.where(known, np.inf, most))
    known[np.setdiff1d(np.arange(len(known)), search.blocks.owner[kept])] = True  # of which nothing is left
    options = SolveOptions(STUBBORN_S, STUBBORN_GAP, seed=search.wishes.seed)
    _add_plans(search, np.flatnonzero(~known), kept, cost, options)


def price_exactly(
    search: Search, duals: FloatArray, effort: str = "usual", *, allowed: float | None = None, known: FloatArray | None = None
) -> tuple[FloatArray, float]:
    """Add good plans of every block; give what a plan of each costs at least at the duals, and what may be missing of that.

    ``effort`` is a key of ``EFFORTS``: a turn for each of its words, over the blocks that may lose more than that turn leaves.
    ``allowed`` is what may be missing of all together; if it is None, so much that the best plan of the whole is within the gap.
    ``known`` are bounds proved before at these duals.
    """
    cost, reduction = search.blocks.reduced_costs(duals), search.reduction
    most = price_roughly(search, duals, deep=True)
    kept = reduction.keep(cost, most)
    if _plan_large(search, duals, kept, np.zeros(0, dtype=np.int64) if known is None else np.flatnonzero(np.isfinite(known))):
        most = best_plans(search, duals)[0]
        kept = reduction.keep(cost, most)
    bounds = np.maximum(reduction.least(cost, kept), _settled(search, kept, most))
    np.minimum(bounds if known is None else np.maximum(bounds, known), most, out=bounds)
    started, wanted = search.clock.used_s, _wanted(search, duals) if allowed is None else np.inf
    for turn in _turns(EFFORTS[effort], search.wishes.relative_gap):
        if turn.is_fine:  # among the fewer columns that better plans leave
            kept = reduction.keep(cost, most)
            np.minimum(np.maximum(bounds, reduction.least(cost, kept)), most, out=bounds)
            turn = replace(turn, seconds=min(turn.seconds, max(FINE_SHARE_OF_TIME * search.clock.limit_s, TURN_S)))
            turn = replace(turn, until_s=search.clock.used_s + max(search.clock.used_s - started, turn.seconds))
        if _solve_blocks(search, duals, kept, most, bounds, replace(turn, wanted=wanted, allowed=allowed)):
            break
    return bounds, float((most - bounds).sum())


def _turns(words: tuple[str, ...], asked: float) -> list[Turn]:
    """Give the turns of an effort; a fine one that would be no finer than the others is left out."""
    coarse = max(COARSE_GAP, COARSE_SHARE * asked)
    turns = {
        "brief": Turn(max(coarse, BRIEF_GAP), BRIEF_TURN_S),
        "short": Turn(coarse, SHORT_TURN_S),
        "long": Turn(coarse, TURN_S),
        "fine": Turn(FINE_SHARE * asked, FINE_TURN_S, is_fine=True),
    }
    return [turns[word] for word in words if word != "fine" or FINE_SHARE * asked < coarse]


def _wanted(search: Search, duals: FloatArray) -> float:
    """Give what bounds of blocks must sum to, at the duals, for the best plan to be within the asked gap."""
    none = combined_bound(search.blocks, duals, np.zeros(search.blocks.count))
    wanted = search.cost - search.wishes.relative_gap * abs(search.cost) - none
    return wanted + 2 * BLOCK_SAFETY * abs(wanted) if np.isfinite(wanted) else np.inf


def _plan_large(search: Search, duals: FloatArray, kept: BoolArray, proved: IntArray) -> bool:
    """Add plans, by the backend among a few columns, of blocks of which much is left; say whether there were any.

    Much is left where the heuristic is far from the best, as where small demands of several accuracies mix. The few are those of
    the plan known, and of all others those that the block's relaxation misses least. Once a block, and none that is ``proved``.
    """
    blocks, cost = search.blocks, search.blocks.reduced_costs(duals)
    left = np.bincount(blocks.owner[kept & blocks.model.integer & (blocks.owner >= 0)], minlength=blocks.count)
    large = np.setdiff1d(np.flatnonzero(left > MANY_LEFT), np.union1d(search.large_blocks, proved))
    if not len(large):
        return False
    search.large_blocks = np.union1d(search.large_blocks, large)
    most, number = best_plans(search, duals)
    values = search.plans.values(number[number >= 0], blocks.model.n_columns)
    few = kept.copy()
    parts = (replace(part, model=part.model.relaxed()) for part in (block_model(blocks, k, kept, cost) for k in large.tolist()))
    with closing(_answered(search, parts, SolveOptions(FEW_S, 0.0, want_duals=True))) as answers:
        for k, (part, answer) in zip(large.tolist(), answers, strict=False):
            if answer.row_duals is None or answer.objective is None:
                continue
            model, column = part.model, part.columns
            missed = model.objective - np.bincount(model.column, model.value * answer.row_duals[model.row], model.n_columns)
            whole = blocks.model.integer[column]
            bar = np.sort(missed[whole])[: FEW + 1][-1]
            if np.isfinite(most[k]):
                bar = min(bar, FEW_SHARE * (most[k] - answer.objective))
            few[column] = ~whole | (missed <= bar) | (values[column] > 0)
    options = SolveOptions(FEW_S, FEW_GAP, seed=search.wishes.seed, small=True)
    _add_plans(search, large, few, cost, options, values)
    return True


def _add_plans(
    search: Search,
    which: IntArray,
    kept: BoolArray,
    cost: FloatArray,
    options: SolveOptions,
    values: FloatArray | None = None,
) -> None:
    """Add plans that the backend finds of some blocks among the columns ``kept``; where it finds none, nothing is concluded."""
    found = dict[int, tuple[IntArray, FloatArray]]()
    parts = (block_model(search.blocks, k, kept, cost) for k in which.tolist())
    with closing(_answered(search, parts, options, values)) as answers:
        for k, (part, answer) in zip(which.tolist(), answers, strict=False):
            if answer.values is not None:
                used = np.flatnonzero(answer.values)
                found[k] = part.columns[used], answer.values[used]
    search.plans = search.plans.joined(_plans(search, found))


@dataclass(frozen=True, slots=True)
class Turn:
    """To which gap, for how many seconds a block, until what sum of bounds, until when, and to what loss blocks are solved."""

    gap: float
    seconds: float
    wanted: float = np.inf
    until_s: float = np.inf
    allowed: float | None = None
    is_fine: bool = False


def _solve_blocks(
    search: Search,
    duals: FloatArray,
    kept: BoolArray,
    most: FloatArray,
    bounds: FloatArray,
    turn: Turn,
) -> bool:
    """Solve blocks from the best plans known until their bounds are as wanted or little may be lost; better the bounds.

    Say whether that is so now. Those come first that may lose the largest share of their cost: they take less time than those
    that may lose most, which come first in a fine turn, when few are left.
    """
    found, cost = dict[int, tuple[IntArray, FloatArray]](), search.blocks.reduced_costs(duals)
    loss = np.where(np.isfinite(most), most, 0.0) - bounds
    loss[~np.isfinite(most)] = np.inf
    asked = min(turn.gap, search.wishes.relative_gap)
    allowed = BOUND_SHARE * asked * float(np.abs(np.where(np.isfinite(most), most, 0.0)).sum())
    allowed = allowed if turn.allowed is None else max(allowed, turn.allowed)
    batch, size = (FINE_BATCH, np.ones_like(most)) if turn.is_fine else (BATCH, np.abs(np.where(np.isfinite(most), most, 1.0)))
    order = np.argsort(-loss / np.maximum(size, 1e-9), kind="stable").tolist()
    mine = [k for k in order if not np.isfinite(most[k]) or loss[k] > turn.gap * abs(most[k])]
    options = SolveOptions(turn.seconds, turn.gap, seed=search.wishes.seed, small=True)
    values = search.plans.values((number := best_plans(search, duals)[1])[number >= 0], search.blocks.model.n_columns)
    parts = (block_model(search.blocks, k, kept, cost) for k in mine)
    with closing(_answered(search, parts, options, values)) as answers:
        for place, k in enumerate(mine):
            enough = float(loss.sum()) <= allowed or float(bounds.sum()) >= turn.wanted
            if (
                ((enough or search.clock.used_s > turn.until_s) and place % batch == 0)
                or search.clock.stopped
                or (pair := next(answers, None)) is None
            ):
                break
            part, answer = pair
            if answer.termination is Termination.INFEASIBLE and not np.isfinite(most[k]):
                search.infeasible = True
                continue
            if answer.values is not None and answer.objective is not None:
                used = np.flatnonzero(answer.values)
                found[k] = part.columns[used], answer.values[used]
                most[k] = min(most[k], answer.objective)
            if answer.dual_bound is not None:
                bounds[k] = max(bounds[k], min(answer.dual_bound, most[k]))
            loss[k] = most[k] - bounds[k] if np.isfinite(most[k]) else np.inf
    search.plans = search.plans.joined(_plans(search, found))
    return float(loss.sum()) <= allowed or float(bounds.sum()) >= turn.wanted


def _answered(
    search: Search, parts: Iterable[Part], options: SolveOptions, values: FloatArray | None = None
) -> Generator[tuple[Part, Solution]]:
    """Give parts with their answers, in turn; models of parts are built as they are asked, and start from ``values``."""
    given, asked = tee(parts)
    starts = ((part.model, None if values is None else values[part.columns]) for part in asked)
    questions = ((model, replace(options, start=start)) for model, start in starts)
    with closing(search.answers(questions)) as answers:
        for answer in answers:
            yield next(given), answer


def best_plans(search: Search, duals: FloatArray) -> tuple[FloatArray, IntArray]:
    """Give what the best plan known of each block costs at the duals, infinite where there is none, and its number or -1."""
    most, number = np.full(search.blocks.count, np.inf), np.full(search.blocks.count, -1, dtype=np.int64)
    priced = search.plans.priced(duals)
    order = np.lexsort((priced, search.plans.block))
    block, first = np.unique(search.plans.block[order], return_index=True)
    number[block] = order[first]
    most[block] = priced[order[first]]
    return most, number


def _settled(search: Search, kept: BoolArray, most: FloatArray) -> FloatArray:
    """Give the cost of blocks of one replica column or of nothing, which leave no choice, and -inf for the rest."""
    blocks = search.blocks
    left = np.bincount(blocks.owner[kept & (blocks.owner >= 0)], minlength=blocks.count)
    whole = blocks.model.integer & (blocks.owner >= 0) & kept
    columns = np.bincount(blocks.owner[whole], minlength=blocks.count)
    replicas = np.bincount(blocks.owner[whole & (blocks.cell >= 0)], minlength=blocks.count)
    return np.where(left == 0, 0.0, np.where((columns == 1) & (replicas == 1) & np.isfinite(most), most, -np.inf))


def _plans(search: Search, found: dict[int, tuple[IntArray, FloatArray]]) -> Plans:
    lists = list(found.values())
    content = Ragged(
        np.cumsum([0] + [len(columns) for columns, _ in lists]),
        np.concatenate([np.zeros(0, np.int64), *(columns for columns, _ in lists)]),
        np.concatenate([np.zeros(0), *(values for _, values in lists)]),
    )
    return Plans.of(search.blocks, np.array(list(found), dtype=np.int64), content)
