"""Plans of blocks found without a solver, for all blocks at once: a few replica columns for each part of the demand, well mixed.

Each part is planned apart: the best of one or two options, or of three where the first takes about what it would without
rounding. An option is a replica column, or an uncapped and a capped one of a cell together, such as spot up to its share. What is
proposed is completed with what it needs besides (switches, commitments of the block's own) and kept where the block's rows hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optimizer.solve.blocks import Blocks, BoolArray, FloatArray, IntArray
from optimizer.solve.plans import Plans, plans_of_point
from optimizer.solve.reduction import Reduction

__all__ = ["Heuristic"]

PAIRS_AT_ONCE = 50_000
MOST_OPTIONS, MOST_COLUMNS = 14, 6
FACTORS = (1.2, 0.9, 2.0)
"""Prices of gains that are tried, in units of their multiplier in the relaxation."""
ROUNDING = 1e-9
"""Replicas; a load this much above a whole number is taken for it, as the compiler does."""


@dataclass(frozen=True, eq=False)
class Options:
    """Ways to carry a part: replica columns of one load, bought in turn; shape (n_options, n_columns) or (n_options,).

    ``column`` is -1, with an ``upper`` of zero, where there are fewer. Of a lone column ``⌊share · count⌋`` replicas are
    ``capped`` ones instead, cheaper by ``bonus``; -1 where there are none. ``fee`` is what whole slots cost
    besides, or empty.
    """

    column: IntArray
    price: FloatArray
    upper: FloatArray
    capped: IntArray
    share: FloatArray
    bonus: FloatArray
    cell: IntArray
    fee: FloatArray

    def chosen(self, which: IntArray) -> Options:
        """Give some of the options."""
        return Options(*(x[which] for x in vars(self).values()))

    @property
    def unit(self) -> FloatArray:
        """Give what a replica of each option costs at best, (n_options,)."""
        return self.price[:, 0] - self.bonus * self.share

    def counts(self, count: FloatArray) -> FloatArray:
        """Give how many of each column ``count`` replicas of each option are."""
        before = np.cumsum(self.upper, axis=-1) - self.upper
        return np.clip(count[..., None] - before, 0.0, self.upper)

    def cost(self, count: FloatArray) -> FloatArray:
        """Give what counts of shape (..., n_options) cost; infinite above the upper bounds."""
        total, left = -self.bonus * np.floor(self.share * count + ROUNDING), count
        for k in range(self.column.shape[-1]):
            mine = np.minimum(left, self.upper[..., k])
            total, left = total + self.price[..., k] * mine, left - mine
        return np.where(left > 0, np.inf, total)


@dataclass(frozen=True, eq=False)
class Mix:
    """The best two options of each part; shapes (n_parts,), (2, n_parts) twice, and (2, n_parts, n_slots) for shares."""

    cost: FloatArray
    option: IntArray
    count: FloatArray
    share: FloatArray


class Heuristic:
    """What of the search does not depend on prices, computed once."""

    def __init__(self, blocks: Blocks, reduction: Reduction) -> None:
        self._blocks, self._reduction, self._cells = blocks, reduction, reduction.cells
        local = (blocks.owner >= 0) & (blocks.cell < 0)
        row, column, value = blocks.model.row, blocks.model.column, blocks.model.value
        mine = (blocks.row_owner[row] >= 0) & local[column]
        self._extra = row[mine], column[mine], value[mine]

    def plans(self, cost: FloatArray, kept: BoolArray, *, deep: bool = False) -> Plans:
        """Give the best plans found at the prices ``cost``, of columns ``kept``; some a block, or none.

        Where routes gain or lose in a further row, such as average accuracy, that is paid for at several prices around its
        multiplier in the relaxation; and one more plan is of routes that lose nothing, even in such a row that couples blocks.
        """
        cells = self._cells
        parts = np.arange(len(cells.part_block))
        weight = np.zeros(len(cells.part_block))
        found = self._planned(cost, kept, deep, parts, weight)
        lossy = ((cells.gain < 0) | (cells.rise < 0)).any(axis=1)
        parts = np.unique(cells.part[lossy & ~cells.odd])
        if not len(parts):
            return found
        sound = np.append(~lossy, True)
        found = found.joined(self._planned(cost, kept & sound[self._blocks.cell], deep, parts, weight))
        parts = np.unique(cells.part[(cells.gain < 0).any(axis=1) & ~cells.odd])
        if not len(parts):
            return found
        weight = self._reduction.weights(cost, kept)[cells.part_block]
        for factor in FACTORS if deep else FACTORS[:1]:
            found = found.joined(self._planned(cost, kept, deep, parts, factor * weight))
        return found

    def _planned(self, cost: FloatArray, kept: BoolArray, deep: bool, parts: IntArray, weight: FloatArray) -> Plans:
        """Plan some parts with gains paid for at ``weight``, one a part."""
        cells, options = self._cells, self._options(cost, kept)
        if not len(options.cell):
            return Plans.empty()
        fee = cells.fees(cost, options.cell) - weight[cells.part[options.cell], None] * cells.gain[options.cell]
        options = replace(options, fee=fee if fee.any() else fee[:, :0])
        table = self._table(options)[parts]
        values = np.zeros(len(cost))
        step = max(1, PAIRS_AT_ONCE // table.shape[1] ** 2)
        for at in range(0, len(table), step):
            mine = table[at : at + step]
            load = np.where(cells.demanded[parts[at : at + step]][:, None], cells.load[options.cell[mine]], 0.0)
            load[mine < 0] = np.inf
            best = _mixed(options, mine, load, np.ones((len(mine), load.shape[2])))
            self._set(values, options, best, *(_third(options, mine, load, best) if deep else (None, None, None)))
        return self.checked(values)

    def _options(self, cost: FloatArray, kept: BoolArray) -> Options:
        """Give the columns of each group of cells alike, cheapest first, and cells with capped columns besides."""
        r, model = self._reduction, self._blocks.model
        there = kept[r.replicas] & ~self._cells.odd[r.cell] & (model.upper[r.replicas] >= 1)
        plain = np.flatnonzero(there & ~r.capped)
        plain = plain[np.lexsort((r.replicas[plain], cost[r.replicas[plain]], r.group[r.cell[plain]]))]
        group = r.group[r.cell[plain]]
        first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=np.int64)
        place = np.arange(len(group)) - np.repeat(first, np.diff(np.append(first, len(group))))
        number, narrow = np.cumsum(place == 0) - 1, place < MOST_COLUMNS
        capped, leant = (_cheapest(r.replicas, r.cell, there & kind, cost, len(r.share)) for kind in (r.capped, r.leaned_on))
        cell = np.flatnonzero((capped >= 0) & (leant >= 0))
        cell = cell[cost[capped[cell]] < cost[leant[cell]]]
        main, other, n = leant[cell], capped[cell], len(first)
        column = np.full((n + len(cell), MOST_COLUMNS), -1, dtype=np.int64)
        column[number[narrow], place[narrow]] = r.replicas[plain[narrow]]
        column[n:, 0] = main
        upper = np.where(column >= 0, np.floor(model.upper[column]), 0.0)
        with np.errstate(divide="ignore"):
            upper[n:, 0] = np.minimum(upper[n:, 0], np.floor(model.upper[other] / r.share[cell]))
        return Options(
            column,
            np.where(column >= 0, cost[column], 0.0),
            upper,
            np.concatenate([np.full(n, -1, dtype=np.int64), other]),
            np.concatenate([np.zeros(n), r.share[cell]]),
            np.concatenate([np.zeros(n), cost[main] - cost[other]]),
            np.concatenate([r.cell[plain[first]], cell]),
            np.zeros((n + len(cell), 0)),
        )

    def _table(self, options: Options) -> IntArray:
        """Give for each part the options to mix: the cheapest for each slot, and the cheapest for all, alone or shared."""
        cells, part = self._cells, self._cells.part[options.cell]
        load = np.where(cells.demanded[part], cells.load[options.cell], 0.0)
        total = load.sum(axis=1)
        alone = np.maximum(np.ceil(total - ROUNDING), 1.0)
        fee = options.fee if options.fee.shape[1] else np.zeros((len(total), load.shape[1]))
        fees = np.where(cells.demanded[part], fee, 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            scores = [
                options.cost(alone) + fees,
                options.unit * total + fees,
                options.unit + np.where(np.isfinite(total), 0.0, np.inf),
            ]
            scores += [np.where(load[:, b] > 0, options.unit * load[:, b] + fee[:, b], np.inf) for b in range(load.shape[1])]
        best = np.full((len(cells.part_block), len(scores) + 1), -1, dtype=np.int64)
        for number, score in enumerate(scores):
            mine = np.flatnonzero(np.isfinite(score))
            order = mine[np.lexsort((score[mine], part[mine]))]
            parts, first = np.unique(part[order], return_index=True)
            best[parts, number] = order[first]
            if number == 0:
                second = first + 1
                second = second[(second < len(order)) & (np.append(first[1:], len(order)) > second)]
                best[part[order[second]], -1] = order[second]
        best.sort(axis=1)
        best[:, 1:][best[:, 1:] == best[:, :-1]] = -1
        best = -np.sort(-best, axis=1)
        return best[:, : min(MOST_OPTIONS, max(1, int((best >= 0).sum(axis=1).max(initial=1))))]

    def _set(
        self,
        values: FloatArray,
        options: Options,
        best: Mix,
        third: IntArray | None,
        count: FloatArray | None,
        share: FloatArray | None,
    ) -> None:
        """Write what was chosen into the columns."""
        fine = np.isfinite(best.cost)
        chosen = [(best.option[k], best.count[k], best.share[k]) for k in range(2)]
        if third is not None and count is not None and share is not None:
            chosen.append((third, count, share))
        for option, number, shares in chosen:
            mine = np.flatnonzero(fine & (number > 0))
            o, n = options.chosen(option[mine]), number[mine]
            capped = np.floor(o.share * n + ROUNDING)
            amount = o.counts(n)
            amount[:, 0] -= capped
            there = o.column >= 0
            np.add.at(values, o.column[there], amount[there])
            np.add.at(values, o.capped[o.capped >= 0], capped[o.capped >= 0])
            amount[:, 0] += capped
            for k in range(o.column.shape[1]):
                used = np.flatnonzero(amount[:, k] > 0)
                route = self._cells.route[self._blocks.cell[o.column[used, k]]]
                part = shares[mine[used]] * (amount[used, k] / n[used])[:, None]
                np.add.at(values, route[route >= 0], part[route >= 0])

    def checked(self, values: FloatArray) -> Plans:
        """Complete plans with the columns of their own that they need; leave out those that break a row."""
        blocks, model = self._blocks, self._blocks.model
        row, column, value = self._extra
        for _ in range(3 if len(row) else 0):
            activity = blocks.activity(values)[row] - value * values[column]
            short = np.where(value < 0, activity - model.row_upper[row], model.row_lower[row] - activity)
            need = np.where(np.isfinite(short), short, 0.0) / np.abs(value)
            need = np.where(model.integer[column], np.ceil(need - ROUNDING), need)
            wanted = values.copy()
            np.maximum.at(wanted, column, np.minimum(need, model.upper[column]))
            if (wanted == values).all():
                break
            values = wanted
        activity = blocks.activity(values)
        slack = ROUNDING * np.maximum(1.0, np.abs(activity))
        wrong = (activity < model.row_lower - slack) | (activity > model.row_upper + slack)
        fine = np.ones(blocks.count + 1, dtype=bool)
        fine[blocks.row_owner[wrong]] = False
        fine[blocks.owner[values > model.upper + ROUNDING]] = False
        return plans_of_point(blocks, values, fine[:-1])


def _cheapest(column: IntArray, cell: IntArray, which: BoolArray, cost: FloatArray, cells: int) -> IntArray:
    """Give the cheapest of some columns in each cell, -1 where there is none."""
    mine = np.flatnonzero(which)
    order = mine[np.lexsort((column[mine], cost[column[mine]], cell[mine]))]
    found = np.full(cells, -1, dtype=np.int64)
    at, first = np.unique(cell[order], return_index=True)
    found[at] = column[order[first]]
    return found


def _mixed(options: Options, table: IntArray, load: FloatArray, rest: FloatArray) -> Mix:
    """Mix two options: the first takes the traffic that the other would find dearest until it is full, the other the rest."""
    parts, width, slots = load.shape
    load = np.where(rest[:, None] > 0, load * np.maximum(rest, 1e-300)[:, None], 0.0)
    one, two = (np.broadcast_to(x, (parts, width, width, slots)) for x in (load[:, :, None], load[:, None]))
    fee = options.fee[table] * rest[:, None] if options.fee.shape[1] else None
    with np.errstate(divide="ignore", invalid="ignore"):
        if fee is None:
            ratio = np.where(np.isinf(one), -np.inf, np.where(one > 0, two / one, 0.0))
        else:
            spent = options.unit[table][:, :, None] * load + fee
            ratio = np.where(np.isinf(one), -np.inf, np.where(one > 0, (spent[:, None] - spent[:, :, None]) / one, 0.0))
            ratio = np.where(np.isnan(ratio), 0.0, ratio)
    order = np.argsort(-ratio, axis=3, kind="stable")
    one, two = np.take_along_axis(one, order, axis=3), np.take_along_axis(two, order, axis=3)
    never, barred = np.isinf(one), np.isinf(two)
    if fee is not None:
        base = fee.sum(axis=2)[:, :, None]  # all to the first, and what a slot left to the other costs more
        extra = np.take_along_axis(fee[:, None] - fee[:, :, None], order, axis=3)
    one, two = np.where(never, 0.0, one), np.where(barred, 0.0, two)
    filled = np.cumsum(one, axis=3)
    i, j = options.chosen(np.maximum(table, 0)[:, :, None]), options.chosen(np.maximum(table, 0)[:, None])
    absent = np.where(table < 0, np.inf, 0.0)
    absent = absent[:, :, None] + absent[:, None]
    i_most = i.upper.sum(axis=-1)
    best, count = np.full((parts, width, width), np.inf), np.zeros((2, parts, width, width))
    for first in [np.ceil(filled[..., b] - ROUNDING) for b in range(slots)] + [np.floor(filled[..., b]) for b in range(slots)]:
        first = np.minimum(first, i_most)
        left = _left(filled, one, never, first)
        load_left = (left * two).sum(axis=3)
        second = np.where(left.max(axis=3, initial=0.0) > 0, np.maximum(np.ceil(load_left - ROUNDING), 1.0), 0.0)
        total = i.cost(first) + j.cost(second) + absent + np.where((barred & (left > 0)).any(axis=3), np.inf, 0.0)
        if fee is not None:
            total = total + base + (extra * left).sum(axis=3)
        better = total < best
        best = np.where(better, total, best)
        count = np.where(better, np.stack([first, second]), count)
    flat = best.reshape(parts, -1)
    chosen, each = np.argmin(flat, axis=1), np.arange(parts)
    a, b = np.divmod(chosen, width)
    n = count[:, each, a, b]
    left = np.zeros((parts, slots))
    np.put_along_axis(left, order[each, a, b], _left(filled[each, a, b], one[each, a, b], never[each, a, b], n[0]), axis=1)
    return Mix(flat[each, chosen], np.stack([table[each, a], table[each, b]]), n, np.stack([(1.0 - left) * rest, left * rest]))


def _left(filled: FloatArray, load: FloatArray, never: BoolArray, count: FloatArray) -> FloatArray:
    """Give the share of each slot, in the order filled, that ``count`` replicas do not reach."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(load > 0, (filled - count[..., None]) / load, 0.0)
    return np.asarray(np.where(never, 1.0, np.clip(np.where(left < ROUNDING, 0.0, left), 0.0, 1.0)))


def _third(options: Options, table: IntArray, load: FloatArray, best: Mix) -> tuple[IntArray, FloatArray, FloatArray]:
    """Better ``best`` in place by a third option, at the whole numbers around what it would take without rounding."""
    unit = options.unit[table]
    unit[table < 0] = np.inf
    fee = options.fee[table] if options.fee.shape[1] else np.zeros(load.shape)
    with np.errstate(invalid="ignore"):
        price = np.where(np.isfinite(load), unit[:, :, None] * load + fee, np.inf)
    price = np.where(np.isnan(price), np.inf, price)
    value = price.min(axis=1)
    winner = price.argmin(axis=1)
    option, count, share = np.full(len(table), -1, dtype=np.int64), np.zeros(len(table)), np.zeros(load[:, 0].shape)
    for k in range(table.shape[1]):
        used = np.where((winner == k) & np.isfinite(value), np.where(np.isfinite(load[:, k]), load[:, k], 0.0), 0.0).sum(axis=1)
        mine = np.flatnonzero((used > ROUNDING) & (table[:, k] >= 0))
        for number in (np.floor(used[mine]), np.ceil(used[mine])):
            at = mine[number > 0]
            n = np.minimum(number[number > 0], options.upper[table[at, k]].sum(axis=1))
            if not len(at):
                continue
            taken = _taken(load[at, k], value[at] - fee[at, k], n)
            found = _mixed(options, table[at], load[at], 1.0 - taken)
            total = found.cost + options.chosen(table[at, k]).cost(n) + (taken * fee[at, k]).sum(axis=1)
            wins = np.flatnonzero(total * (1 + ROUNDING) < best.cost[at])
            to = at[wins]
            best.cost[to], best.option[:, to], best.count[:, to], best.share[:, to] = (
                total[wins],
                found.option[:, wins],
                found.count[:, wins],
                found.share[:, wins],
            )
            option[to], count[to], share[to] = table[to, k], n[wins], taken[wins]
    return option, count, share


def _taken(load: FloatArray, value: FloatArray, count: FloatArray) -> FloatArray:
    """Give the share of each slot that ``count`` replicas take, filled with the traffic worth most per load."""
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.where((load > 0) & np.isfinite(load), value / load, -1.0)
    order = np.argsort(-worth, axis=1)
    there = np.take_along_axis(np.where(worth >= 0, load, 0.0), order, axis=1)
    before = np.cumsum(there, axis=1) - there
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(there > 0, np.clip((count[:, None] - before) / there, 0.0, 1.0), 0.0)
    taken = np.zeros(load.shape)
    np.put_along_axis(taken, order, part, axis=1)
    return np.asarray(np.where(taken > 1.0 - ROUNDING, 1.0, taken))
