"""Price and branch: blocks are planned apart at prices, a master mixes their plans, and its duals are the next prices.

METHOD.md tells the mathematics. The steps: prices settle while blocks are priced without a solver; exact pricing gives the
bound; the master over the plans found, one whole plan a block, gives a plan of the whole; small neighbourhoods improve it.
"""

from __future__ import annotations

import numpy as np

from optimizer.solve.blocks import FloatArray
from optimizer.solve.improve import LARGEST_WHOLE, improve, plan_mixed, plan_whole, start_whole
from optimizer.solve.master import slack_prices
from optimizer.solve.search import Search
from optimizer.solve.settle import KINDS, settle
from solvers import Solution, Termination

__all__ = ["decomposed"]

START_SHARE = 0.2
"""Share of the time that the whole model is given where pricing without a solver found no plan of the whole."""
KNOWN_SHARE = 0.8
"""Share of the blocks with a known plan from which rough pricing has nothing more to find."""
SHARES = {"rough": 0.25, "deep": 0.3, "exact": 0.6}
"""Share of the time at which each kind of pricing ends; exact pricing has one round in any case."""
IMPROVED_SHARE, FINE_SHARE = 0.75, 0.9
"""Shares of the time at which neighbourhoods give way to exact pricing once more, and at which that ends."""


def decomposed(search: Search, start: FloatArray | None = None) -> Solution:
    """Solve what a search was prepared for; the answer is in the columns of its model, and so is the point to ``start`` from.

    Raises
    ------
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    if start is not None:
        search.start_at(start)
    slack = slack_prices(search.blocks)
    for kind in KINDS if len(np.unique(search.plans.block)) < KNOWN_SHARE * search.blocks.count else KINDS[1:]:
        if kind == "exact" and search.values is None and search.model.n_nonzeros <= LARGEST_WHOLE:
            _solve_whole(search, START_SHARE * search.clock.limit_s)
        settled = settle(search, slack, kind, SHARES[kind] * search.clock.limit_s)
        slack = settled.slack
        if kind != "rough":
            start_whole(search)
    plan_mixed(search, settled.weights)
    improve(search, IMPROVED_SHARE * search.clock.limit_s)
    settle(search, slack, "exact", FINE_SHARE * search.clock.limit_s, fine=True)
    start_whole(search)
    improve(search, search.clock.limit_s)
    _solve_whole(search, search.clock.left_s)
    return search.solution()


def _solve_whole(search: Search, limit_s: float) -> None:
    """Hand the whole model to the backend, and believe what it proves."""
    is_planned = search.values is not None
    answer = plan_whole(search, search.wishes.relative_gap, limit_s)
    if answer is None:
        return
    search.infeasible = answer.termination is Termination.INFEASIBLE and not is_planned
    if answer.dual_bound is not None:
        search.prove(answer.dual_bound)
