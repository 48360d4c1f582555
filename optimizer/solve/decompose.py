"""Price and branch: blocks are planned apart at prices, a master mixes their plans, and its duals are the next prices.

METHOD.md tells the mathematics. The steps: prices settle while blocks are priced without a solver; exact pricing gives the
bound; the master over the plans found, one whole plan a block, gives a plan of the whole; small neighbourhoods improve it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from optimizer.solve.blocks import Blocks, FloatArray
from optimizer.solve.direct import Cancel, Wishes
from optimizer.solve.improve import improve, start_whole
from optimizer.solve.master import DEAREST_SLACK, clipped, combined_bound, master_model, slack_prices
from optimizer.solve.pricing import price_exactly, price_roughly, price_stubborn
from optimizer.solve.search import Search, new_search
from solvers import Backend, Model, Progress, Solution, Termination

__all__ = ["decomposed"]

logger = logging.getLogger(__name__)

ROUNDS = {"rough": 40, "deep": 20, "exact": 20}
"""The most rounds of each kind of pricing: two options a part of demand, three, the backend."""
START_SHARE = 0.4
"""Share of the time that the whole model is given where pricing without a solver found no plan of the whole."""
LARGEST_WHOLE = 300_000
"""Non-zeros up to which the whole model is handed to the backend for what is left."""
SHARES = {"rough": 0.25, "deep": 0.3, "exact": 0.6}
"""Share of the time at which each kind of pricing ends; exact pricing has one round in any case."""
IMPROVED_SHARE = 0.75
"""Share of the time at which neighbourhoods give way to more exact pricing, if they have not ended before."""
FINE = 1.5
"""Times the asked gap that prices alone may leave when blocks are solved finely."""
MOST_STUBBORN = 50
"""Blocks without a heuristic plan that are solved in every round; with more, exact pricing comes at once."""
SMOOTHING = 0.5
"""Weight of the best prices so far against the master's latest."""
SETTLED = {"rough": 2.0, "deep": 0.5, "exact": 0.2}
"""Share of the asked gap within which master and bound have met, for each kind of pricing."""


def decomposed(
    model: Model,
    blocks: Blocks,
    backend: Backend,
    wishes: Wishes,
    start: FloatArray | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
) -> Solution:
    """Solve a model cut into blocks; the answer is in the columns of ``model``, and so is the point to ``start`` from.

    Raises
    ------
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    search = new_search(model, blocks, backend, wishes, on_progress, cancel)
    if start is not None:
        _start_from(search, start)
    slack = slack_prices(blocks)
    for depth in ROUNDS:
        if depth == "exact" and search.values is None and model.n_nonzeros <= LARGEST_WHOLE:
            _solve_whole(search, START_SHARE * search.clock.limit_s)
        slack = _settle(search, slack, depth)
        if depth != "rough":
            start_whole(search)
    improve(search, IMPROVED_SHARE * search.clock.limit_s)
    _settle(search, slack, "exact", SHARES["exact"] + IMPROVED_SHARE)
    start_whole(search)
    improve(search, search.clock.limit_s)
    _solve_whole(search, search.clock.left_s)
    return search.solution()


def _start_from(search: Search, start: FloatArray) -> None:
    """Know the plans of a point whose blocks hold, and the point itself where all do."""
    blocks = search.blocks
    values = np.concatenate([np.clip(start, search.model.lower, search.model.upper), start[blocks.copy_of]])
    search.plans = search.plans.joined(search.heuristic.checked(values))
    search.believe(values)


def _solve_whole(search: Search, limit_s: float) -> None:
    """Hand the whole model to the backend, from the best plan so far, where it is small enough or nothing else is known."""
    if search.done or (search.model.n_nonzeros > LARGEST_WHOLE and search.values is not None):
        return
    start = None if search.values is None else search.values[: search.blocks.n_original]
    answer = search.solve(search.model, search.wishes.relative_gap, limit_s=limit_s, start=start)
    search.infeasible = answer.termination is Termination.INFEASIBLE and search.values is None
    if answer.values is not None:
        _start_from(search, answer.values)
    if answer.dual_bound is not None:
        search.prove(answer.dual_bound)


def _settle(search: Search, slack: FloatArray, depth: str, share: float = 0.0) -> FloatArray:
    """Let prices settle: price blocks, mix their plans, smooth the duals; give the slack prices as they have grown."""
    blocks, duals, centre, best = search.blocks, search.duals, search.duals, -math.inf
    exact, idle, loss, fine, until_s = depth == "exact", False, 0.0, share > 0, (share or SHARES[depth]) * search.clock.limit_s
    for turn in range(ROUNDS[depth]):
        if search.done or (search.clock.used_s > until_s and not (exact and turn == 0)):
            break
        before = len(search.plans)
        if exact:
            bounds, loss = price_exactly(search, duals, fine=fine)
        else:
            bounds = price_roughly(search, duals, deep=depth == "deep")
        if not exact and 0 < blocks.count - len(search.heuristic_blocks) <= MOST_STUBBORN:
            price_stubborn(search, duals)
        if search.infeasible:
            break
        bound = combined_bound(blocks, duals, bounds if exact else np.where(np.isfinite(bounds), bounds, 0.0))
        if exact:
            search.prove(bound)
        if bound > best:
            best, centre = bound, duals
        if search.infeasible or len(np.unique(search.plans.block)) < blocks.count:
            break  # the next kind of pricing finds more
        master = master_model(blocks, search.plans, slack, search.followers)
        answer = search.solve(master.model, 0.0, duals=True)
        if answer.values is None or answer.row_duals is None or answer.objective is None:
            break
        broken = master.slack(answer.values) > 1e-7
        slack = np.where(broken, np.minimum(3 * slack, DEAREST_SLACK), slack)
        apart = (answer.objective - best) / max(abs(answer.objective), 1e-9)
        logger.info(
            "%6.1f s %s %d: bound %.6g, best %.6g, loss %.3g, master %.6g%s, plans %d (+%d)",
            search.clock.used_s,
            depth,
            turn,
            bound,
            best,
            loss,
            answer.objective,
            f", {broken.sum()} rows broken" if broken.any() else "",
            len(search.plans),
            len(search.plans) - before,
        )
        asked = search.wishes.relative_gap
        fine = exact and apart - loss / max(abs(answer.objective), 1e-9) <= FINE * asked
        if exact and not broken.any() and apart <= asked:
            start_whole(search)
        latest = search.followers.follow(blocks, clipped(blocks, answer.row_duals[: len(blocks.coupling)]))
        if not broken.any() and (apart <= SETTLED[depth] * search.wishes.relative_gap):
            search.duals = centre
            break
        if len(search.plans) == before:
            if idle:
                break  # at the master's own prices nothing new is found either
            idle, duals = True, latest
            continue
        idle = False
        duals = search.followers.follow(blocks, SMOOTHING * centre + (1 - SMOOTHING) * latest)
        if not exact:
            search.duals = centre
    return slack
