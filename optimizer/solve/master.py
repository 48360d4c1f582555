"""The restricted master: a mix of known plans of blocks, with what they share, within the rows that join them.

Slack at a bounded price keeps it feasible and its prices bounded; the price of a slack that stays in use grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optimizer.solve.blocks import Blocks, FloatArray, IntArray
from optimizer.solve.plans import Plans
from solvers import Model

__all__ = ["Followers", "Master", "clipped", "combined_bound", "master_model", "rounding", "sides", "slack_prices"]


DEAREST_SLACK = 1e9
"""USD per hour a unit; beyond it a price says no more, and models take no such costs."""
BLOCK_SAFETY = 1e-6
"""Share of itself that a block's bound is lowered by before it is believed."""


@dataclass(frozen=True, eq=False)
class Master:
    """The model; its columns are plans, then shared columns, then slacks, its rows coupling rows, then one a block."""

    model: Model
    n_plans: int
    n_shared: int

    def weights(self, values: FloatArray) -> FloatArray:
        """Give the share of each plan."""
        return values[: self.n_plans]

    def slack(self, values: FloatArray) -> FloatArray:
        """Give the slack in use, positive and negative together, of each coupling row."""
        return np.asarray(values[self.n_plans + self.n_shared :].reshape(2, -1).sum(axis=0))


def slack_prices(blocks: Blocks) -> FloatArray:
    """Give the first price of a unit of slack in each coupling row: three times the dearest unit that a column gives it.

    In a row about an average, whose columns are routes, it is three times what routes that better it cost with their replicas.
    """
    row, column, value, _ = blocks.joint
    price = np.zeros(len(blocks.coupling))
    np.maximum.at(price, row, 3 * np.abs(blocks.model.objective[column]) / np.abs(value))
    if len(blocks.loosened):
        mine = np.flatnonzero(blocks.rises > 0)
        paid, gained = (np.bincount(row[mine], x[mine], len(price)) for x in (_carried(blocks)[column], blocks.rises))
        price = np.maximum(price, np.divide(3 * paid, gained, out=np.zeros(len(price)), where=gained > 0))
    usual = float(price.max(initial=0.0)) or 1.0
    return np.minimum(np.where(price > 0, price, usual), DEAREST_SLACK)


def _carried(blocks: Blocks) -> FloatArray:
    """Give about what the replicas cost that carry all of a route, at the cheapest of its cell; shape (n_columns,)."""
    model, cell = blocks.model, blocks.cell
    whole = model.integer & (cell >= 0)
    unit = np.full(int(cell.max(initial=-1)) + 1, np.inf)
    np.minimum.at(unit, cell[whole], model.objective[whole])
    load, of_replicas = np.zeros(model.n_columns), (model.row_upper == 0)[model.row]
    np.maximum.at(load, model.column[of_replicas], model.value[of_replicas])
    unit[np.isinf(unit)] = 0.0  # of no replicas
    return np.where(~model.integer & (cell >= 0), unit[cell] * load, 0.0)


def master_model(blocks: Blocks, plans: Plans, prices: FloatArray | None, followers: Followers | None = None) -> Master:
    """Build the master over ``plans``: one whole plan a block or, with ``followers``, the relaxation.

    Where there are ``prices``, rows may be broken at them; but not followers, whose columns have no upper bound instead.
    """
    model, shared, rows = blocks.model, blocks.shared, blocks.coupling
    row, column, value, _ = blocks.joint
    number = np.full(model.n_columns, -1, dtype=np.int64)
    number[shared] = np.arange(len(shared))
    mine = number[column] >= 0
    n, s, m = len(plans), len(shared), len(rows)
    low, high = model.row_lower[rows], model.row_upper[rows]
    each = np.arange(m)
    whole, top = followers is None, model.upper.copy()
    most = np.concatenate([np.isfinite(high), np.isfinite(low)]) * (0.0 if prices is None else 1e9)
    price = np.zeros(m) if prices is None else prices
    if followers is not None:
        most[followers.row] = 0.0
        top[followers.column] = 1e9
    built = Model.from_triplets(
        objective=np.concatenate([plans.cost, model.objective[shared], price, price]),
        lower=np.concatenate([np.zeros(n), model.lower[shared], np.zeros(2 * m)]),
        upper=np.concatenate([np.ones(n), top[shared], most]),
        integer=np.concatenate([np.full(n, whole), model.integer[shared] & whole, np.zeros(2 * m, dtype=bool)]),
        row=np.concatenate([plans.use.index, row[mine], each, each, m + plans.block]),
        column=np.concatenate([plans.use.owner, n + number[column[mine]], n + s + each, n + s + m + each, np.arange(n)]),
        value=np.concatenate([plans.use.value, value[mine], -np.ones(m), np.ones(m), np.ones(n)]),
        row_lower=np.concatenate([low, np.ones(blocks.count)]),
        row_upper=np.concatenate([high, np.ones(blocks.count)]),
        objective_offset=model.objective_offset,
        name="master",
    )
    return Master(built, n, s)


def combined_bound(blocks: Blocks, duals: FloatArray, block_bounds: FloatArray, top: FloatArray | None = None) -> float:
    """Give the bound that block bounds at the reduced costs of ``duals`` prove for the whole; -inf where there is none.

    For every y: c·x = Σ_k (c − Aᵀy)·x_k + (c − Aᵀy)·x_shared + y·Ax, where A are the coupling rows. Each block's part is at least
    its bound, lowered by ``BLOCK_SAFETY`` of itself since it is a solver's word, the shared part its minimum over its box,
    and y·Ax at least y times the side that its sign speaks for. Whatever binary64 may have rounded away is taken off. ``top``
    holds upper bounds of columns where not the model's own are meant.
    """
    model, upper = blocks.model, blocks.model.upper if top is None else top
    y = clipped(blocks, duals)
    reduced, error = blocks.reduced_costs(y), rounding(blocks, y)
    corners = np.stack([(reduced - error)[blocks.shared] * x[blocks.shared] for x in (model.lower, upper)])
    reach = np.maximum(np.abs(model.lower), np.abs(upper))
    terms = np.concatenate(
        [
            block_bounds - BLOCK_SAFETY * np.abs(block_bounds),
            corners.min(axis=0) - (error * reach)[blocks.shared],
            -(error * reach)[blocks.owner >= 0],
            y * sides(blocks, y),
            [model.objective_offset],
        ]
    )
    if not np.isfinite(terms).all():
        return -math.inf
    total = math.fsum(terms.tolist())
    return total - 2.0**-51 * (float(np.abs(terms).sum()) + abs(total))


def sides(blocks: Blocks, duals: FloatArray) -> FloatArray:
    """Give the side of each coupling row that the sign of its dual speaks for, none where it is zero."""
    low, high = blocks.model.row_lower[blocks.coupling], blocks.model.row_upper[blocks.coupling]
    return np.where(duals > 0, low, np.where(duals < 0, high, 0.0))


def rounding(blocks: Blocks, duals: FloatArray) -> FloatArray:
    """Give what binary64 may have rounded away in each column's reduced cost; shape (n_columns,)."""
    model = blocks.model
    row, column, value, _ = blocks.joint
    size = np.abs(model.objective) + np.bincount(column, weights=np.abs(value * duals[row]), minlength=model.n_columns)
    error = (np.bincount(column, minlength=model.n_columns) + 4) * 2.0**-52 * size
    return np.where(size == np.abs(model.objective), 0.0, error)


def clipped(blocks: Blocks, duals: FloatArray) -> FloatArray:
    """Give the duals with those set to zero that have the wrong sign for a one-sided row."""
    low, high = blocks.model.row_lower[blocks.coupling], blocks.model.row_upper[blocks.coupling]
    return np.where((duals > 0) & np.isinf(low) | (duals < 0) & np.isinf(high), 0.0, duals)


@dataclass(frozen=True, eq=False)
class Followers:
    """Rows whose dual follows from the others: one shared column alone slackens them, and nothing else slackens it.

    Such a column, an instance that replicas of many blocks share, is bought exactly as far as its row asks, so that its reduced
    cost is zero in the relaxation: ``y[row] = (c − Σ other rows a·y) / a``.
    """

    row: IntArray
    column: IntArray
    value: FloatArray

    @classmethod
    def of(cls, blocks: Blocks) -> Followers:
        """Find them."""
        model = blocks.model
        row, column, value, _ = blocks.joint
        low, high = model.row_lower[blocks.coupling][row], model.row_upper[blocks.coupling][row]
        helps = np.where(value < 0, np.isneginf(low), np.isposinf(high))
        hurts = np.where(value > 0, np.isneginf(low), np.isposinf(high))
        rows = np.bincount(column[helps], minlength=model.n_columns)  # that a column slackens
        spoilt = np.bincount(column[~helps & ~hurts], minlength=model.n_columns) > 0
        helpers = np.bincount(row[~hurts], minlength=len(blocks.coupling))
        free = (blocks.owner < 0) & (rows == 1) & ~spoilt & (model.objective >= 0) & (model.lower == 0)
        mine = np.flatnonzero(helps & free[column] & (helpers[row] == 1))
        return cls(row[mine], column[mine], value[mine])

    def follow(self, blocks: Blocks, duals: FloatArray) -> FloatArray:
        """Give duals in which these rows follow the others."""
        found = duals
        for _ in range(3):  # commitments, then instances, then whatever builds on them
            found = found.copy()
            reduced = blocks.reduced_costs(found)[self.column]
            found[self.row] += reduced / self.value
        return found
