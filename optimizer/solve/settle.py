"""Prices settle: blocks are priced, a master mixes their plans, and its duals, smoothed, are the next prices."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np

from optimizer.solve.blocks import FloatArray
from optimizer.solve.improve import start_whole
from optimizer.solve.master import DEAREST_SLACK, clipped, combined_bound, master_model
from optimizer.solve.pricing import price_exactly, price_roughly, price_stubborn
from optimizer.solve.search import Search
from solvers import Solution

__all__ = ["KINDS", "Settled", "settle"]

logger = logging.getLogger(__name__)

KINDS = ("rough", "deep", "exact")
"""Of pricing: two options a part of demand, three, the backend."""
ROUNDS = {"rough": 40, "deep": 20, "exact": 20}
"""The most rounds of each kind of pricing."""
FINE = 1.5
"""Times the asked gap that prices alone may leave when blocks are solved finely."""
MOST_STUBBORN = 50
"""Blocks without a heuristic plan that are solved in every round; with more, exact pricing comes at once."""
SMOOTHING = 0.5
"""Weight of the best prices so far against the master's latest; half as much each time that the mixed ones are better still."""
DEAREST_COLUMN = 1e11
"""USD per hour; a tenth of what models take."""
FALLING = 0.1
"""Relative; while broken rows cost so much less from round to round, they are about to hold."""
SETTLED = {"rough": 2.0, "deep": 0.5, "exact": 0.2}
"""Share of the asked gap within which master and bound have met, for each kind of pricing."""


@dataclass(frozen=True, eq=False)
class Settled:
    """The prices of slack as they have grown, the last master's weights of plans, None if it was not solved, and its cost.

    ``broken`` is how many rows it still broke.
    """

    slack: FloatArray
    weights: FloatArray | None
    cost: float
    broken: int


def settle(
    search: Search,
    slack: FloatArray,
    kind: str,
    until_s: float,
    *,
    fine: bool = False,
    patience: int = 1000,
    gap: float | None = None,
) -> Settled:
    """Price and mix until master and bound meet, nothing new is found, or time is up; keep the duals in ``search``.

    ``patience`` is in how many rounds rows may be broken that do not heal; then the duals are those that break them. ``gap`` is
    the asked one if None.
    """
    blocks, best = search.blocks, -math.inf
    duals = centre = clipped(blocks, search.duals)  # which come from anywhere
    exact, idle, loss, weights, cost, still, smoothing = kind == "exact", False, 0.0, None, math.inf, 0, SMOOTHING
    for turn in range(ROUNDS[kind]):
        if search.done or (search.clock.used_s > until_s and not (exact and turn == 0)):
            break
        before, duals = len(search.plans), _bearable(search, duals)
        bound, loss = _priced(search, duals, kind, fine)
        if search.infeasible:
            break
        smoothing = smoothing / 2 if bound > best > -math.inf else SMOOTHING
        if bound > best:
            best, centre = bound, duals
        if len(np.unique(search.plans.block)) < blocks.count:
            break  # the next kind of pricing finds more
        master = master_model(blocks, search.plans, slack, search.followers)
        answer = search.solve(master.model, 0.0, duals=True)
        if answer.values is None or answer.row_duals is None or answer.objective is None:
            break
        weights, heals, cost = master.weights(answer.values), answer.objective < (1 - FALLING) * cost, answer.objective
        broken = master.slack(answer.values) > 1e-7
        still = int(broken.sum())
        slack = np.where(broken, np.minimum(3 * slack, DEAREST_SLACK), slack)
        fresh, scale = len(search.plans) - before, max(abs(answer.objective), 1e-9)
        _log(search, f"{kind} {turn}", bound, best, loss, answer, fresh, still)
        apart, asked = (answer.objective - best) / scale, search.wishes.relative_gap if gap is None else gap
        before_fine, fine = not fine, fine or (exact and apart - loss / scale <= FINE * asked)
        if exact and not still and (apart <= asked or (fine and before_fine)):
            start_whole(search)  # a fine round takes long, and may take all the time there is
        latest = search.followers.follow(blocks, clipped(blocks, answer.row_duals[: len(blocks.coupling)]))
        if not still and apart <= SETTLED[kind] * asked:
            break
        patience -= bool(still and not heals)
        if not patience:
            centre = latest
            break
        if not fresh:
            if idle:
                break  # at the master's own prices nothing new is found either
            idle, duals = True, latest
            continue
        idle = False
        duals = search.followers.follow(blocks, smoothing * centre + (1 - smoothing) * latest)
    search.duals = centre
    return Settled(slack, weights, cost, still)


def _bearable(search: Search, duals: FloatArray) -> FloatArray:
    """Scale down prices at which a column costs more than models take, as where rows stay broken; any prices give a bound."""
    most = float(np.abs(search.blocks.reduced_costs(duals)).max(initial=0.0))
    return duals if most <= DEAREST_COLUMN else duals * (DEAREST_COLUMN / most)


def _priced(search: Search, duals: FloatArray, kind: str, fine: bool) -> tuple[float, float]:
    """Add plans of blocks; give the bound of the whole, proved if exact and else as plans make it, and what it may be missing."""
    if kind == "exact":
        bounds, loss = price_exactly(search, duals, "fine" if fine else "usual")
        bound = combined_bound(search.blocks, duals, bounds)
        if not search.infeasible:
            search.prove(bound)
        return bound, loss
    costs = price_roughly(search, duals, deep=kind == "deep")
    if 0 < search.blocks.count - len(search.heuristic_blocks) <= MOST_STUBBORN:
        price_stubborn(search, duals)
    return combined_bound(search.blocks, duals, np.where(np.isfinite(costs), costs, 0.0)), 0.0


def _log(search: Search, turn: str, bound: float, best: float, loss: float, master: Solution, fresh: int, broken: int) -> None:
    logger.info(
        "%6.1f s %s: bound %.6g, best %.6g, loss %.3g, master %.6g%s, plans %d (+%d)",
        search.clock.used_s,
        turn,
        bound,
        best,
        loss,
        master.objective,
        f", {broken} rows broken" if broken else "",
        len(search.plans),
        fresh,
    )
