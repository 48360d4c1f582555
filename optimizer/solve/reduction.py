"""Columns of a block that its best plan at given prices can do without.

Three arguments, for known prices, every block at once and without a solver. A column *helps* a row that more of it slackens.

* *Parallel columns* have the same coefficients in their block's rows. More of them than helps any of those rows is of no use; so
  the cheapest are kept until their upper bounds reach that much, and the rest go.
* *Cells* (a pool in a period): where cells take the same traffic and load their replicas alike, their replicas that nothing but
  the cell binds are one group. The cheapest whose upper bounds reach all that helps are enough, the dearest of them sets the
  group's price; whatever costs as much, there or in a cell that carries the same traffic with no less load, may move to them.
* *Too dear*: a replica is in no plan cheaper than one already known if all traffic at its cheapest, not rounded, and the replica
  cost more, less what the replica saves of it.

Coefficients are compared by random marks of 53 bits; two columns that differ look alike with a probability below 1e-15.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from optimizer.solve.blocks import Blocks, BoolArray, FloatArray, IntArray
from optimizer.solve.cells import Cells, Entries

__all__ = ["Reduction"]

PAIRS_AT_ONCE = 2_000_000
WEIGHTS = (0.0, *(2.0**x for x in range(-10, 5)), *(1.5 * 2.0**x for x in range(-10, 5)))
"""Multipliers that are tried for a row of gains, in units of usual cost over usual gain."""
FEW_WEIGHTS = (0.0, 0.25, 1.0, 4.0)
"""The same while most columns are still there."""
CLEARLY = 1e-9
"""Relative; what costs more than a plan known by less than this stays."""


@dataclass(frozen=True, eq=False)
class _Relaxed:
    """Traffic priced without rounding: replica columns, what each costs, loads of slots, what traffic there saves, bounds.

    ``weight`` is the multiplier of each block's row of gains. Shapes (n_columns,), (n_columns, n_slots) and (n_blocks,).
    """

    column: IntArray
    unit: FloatArray
    load: FloatArray
    value: FloatArray
    weight: FloatArray
    bound: FloatArray

    @cached_property
    def dearest(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give loads in the order of what traffic saves by load, the most first, that sum before each, and that saving."""
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = np.where(self.load > 0, np.maximum(self.value, 0.0) / self.load, np.inf)
        order = np.argsort(-worth, axis=1)
        load = np.take_along_axis(np.where(np.isfinite(self.load), self.load, 0.0), order, axis=1)
        worth = np.where(load > 0, np.take_along_axis(worth, order, axis=1), 0.0)
        return load, np.cumsum(load, axis=1) - load, worth

    def filled(self, count: FloatArray) -> FloatArray:
        """Give the most that traffic may save which fills ``count`` replicas of each column."""
        load, before, worth = self.dearest
        return np.asarray((np.clip(count[:, None] - before, 0.0, load) * worth).sum(axis=1))


class Reduction:
    """What of the reduction does not depend on prices, computed once; ``keep`` does the rest."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks, model = blocks, blocks.model
        e = Entries.of(blocks)
        self.cells = Cells.of(blocks, e)
        whole = model.integer & (blocks.owner >= 0) & (model.lower == 0)
        self._need = _useful(model.n_rows, model.upper, model.row_lower, model.row_upper, e)
        marked = e.value * np.random.default_rng(0).random(model.n_rows)[e.row]
        told = np.bincount(e.column, weights=marked, minlength=model.n_columns)
        self._parallel = np.flatnonzero(whole)
        self._class = _numbered(blocks.owner[whole], told[whole])
        mine = self.replicas = np.flatnonzero((blocks.cell >= 0) & whole)
        self.cell = blocks.cell[mine]
        self.free = ~_any(e.column, ~(e.helps & e.inside), model.n_columns)[mine]
        self._within = ~_any(e.column, ~e.inside, model.n_columns)
        self._held = _any(e.column, ~e.inside & ~e.hurts, model.n_columns)[mine] | self.cells.odd[self.cell]
        self.leaned_on = _any(e.column, e.inside & ~e.hurts & ~e.of_routes, model.n_columns)[mine]
        leant = e.inside & e.helps & ~e.of_routes & (e.value < 0)
        capped = e.inside & e.hurts & ~e.of_routes  # a share of the cell's replicas at most, such as spot; no mere limit
        capped &= _any(e.row, leant, model.n_rows)[e.row]
        self.capped = _any(e.column, capped, model.n_columns)[mine]
        self.share = np.ones(len(self.cells.part))
        self.share[blocks.cell[e.column[leant]]] = -e.value[leant]
        self.group, self._better, self._worse = self._dominance()

    def keep(self, cost: FloatArray, most: FloatArray | None = None) -> BoolArray:
        """Say which columns the best plans at ``cost`` may need; ``most`` is what a plan known costs, one a block."""
        kept = np.ones(len(cost), dtype=bool)
        order = np.lexsort((cost[self._parallel], self._class))
        column = self._parallel[order]
        kept[column[self._superfluous(column, self._class[order], cost)[0]]] = False
        limit = None if most is None or np.isposinf(most).all() else most + CLEARLY * np.abs(most)
        never = partial(self._never, None if limit is None else self._relaxed(cost, kept, FEW_WEIGHTS), limit)
        kept[self.replicas[self._outpriced(cost, never)]] = False
        return self._staffed(kept) if limit is None else self.below(cost, kept, limit)

    def _never(self, r: _Relaxed | None, limit: FloatArray | None, count: FloatArray) -> BoolArray:
        """Say of which replica columns no plan below ``limit`` has ``count`` or more in cells alike, none of them dearer."""
        found = np.zeros(len(self.replicas), dtype=bool)
        if r is not None and limit is not None:
            owner = self._blocks.owner[self.replicas[r.column]]
            found[r.column] = self._with(r, np.maximum(count[r.column], 1.0)) > limit[owner]
        return found

    def _staffed(self, kept: BoolArray) -> BoolArray:
        """Leave out the routes of cells without replicas."""
        staffed = np.zeros(len(self.cells.part) + 1, dtype=bool)
        staffed[self.cell[kept[self.replicas]]] = True
        staffed[-1] = True  # columns of no cell
        return np.asarray(kept & staffed[self._blocks.cell])

    def below(self, cost: FloatArray, kept: BoolArray, limit: FloatArray) -> BoolArray:
        """Say which of columns ``kept`` plans below ``limit``, one a block, may need: others cost too much with even one."""
        r = self._relaxed(cost, kept)
        column, found = self.replicas[r.column], kept.copy()
        found[column[self._with_one(r) > limit[self._blocks.owner[column]]]] = False
        return self._staffed(found)

    def least(self, cost: FloatArray, kept: BoolArray) -> FloatArray:
        """Give what a plan of each block costs at least, by columns ``kept``: it has one replica of one of them for sure."""
        r = self._relaxed(cost, kept)
        forced = np.full(self._blocks.count, np.inf)
        np.minimum.at(forced, self._blocks.owner[self.replicas[r.column]], self._with_one(r))
        return np.where(np.isfinite(forced), np.maximum(r.bound, forced), r.bound)

    def weights(self, cost: FloatArray, kept: BoolArray) -> FloatArray:
        """Give the multiplier of the row of gains in each block's relaxation."""
        return self._relaxed(cost, kept).weight

    def _relaxed(self, cost: FloatArray, kept: BoolArray, weights: tuple[float, ...] = WEIGHTS) -> _Relaxed:
        """Price all traffic where it is cheapest: v[b] = min_j unit[j] · load[j, b] + fee[j, b] − weight · gain[j, b].

        The weight is the multiplier of the row that the gains are in, such as average accuracy, the best of a few for each block.
        Columns of negative cost are taken at their upper bounds besides.
        """
        cells, blocks = self.cells, self._blocks
        mine = np.flatnonzero(kept[self.replicas] & ~cells.odd[self.cell])
        column, cell = self.replicas[mine], self.cell[mine]
        unit, load = np.maximum(self._unit(cost, kept), 0.0)[mine], cells.load[cell]
        able = np.isfinite(load) & np.isfinite(unit)[:, None]  # a capped column alone, without what must stand beside it, is not
        carried = np.where(able, np.where(able, unit[:, None], 0.0) * np.where(able, load, 0.0), np.inf)
        spent = carried + cells.fees(cost, cell)
        own = blocks.owner >= 0
        own[cells.route[cells.route >= 0]] = False
        base = np.zeros(blocks.count)
        np.add.at(base, blocks.owner[own], np.minimum(np.minimum(cost * blocks.model.upper, cost * blocks.model.lower), 0.0)[own])
        base[blocks.owner[self.replicas[cells.odd[self.cell]]]] = -np.inf
        gain, part, owner = cells.gain[cell], cells.part[cell], blocks.owner[column]
        value = _cheapest_traffic(spent, part, len(cells.part_block))
        scale, weight = self._scale(carried, gain, owner), np.zeros(blocks.count)
        some = np.flatnonzero(scale[owner] > 0)  # only blocks with gains have a multiplier to find
        spent, gain, part, owner = spent[some], gain[some], part[some], owner[some]
        best = base + np.bincount(cells.part_block, weights=value.sum(axis=1), minlength=blocks.count)
        for factor in weights[1:] if len(some) else ():
            tried = factor * scale
            found = _cheapest_traffic(spent - gain * tried[owner, None], part, len(cells.part_block))
            bound = base + np.bincount(cells.part_block, weights=found.sum(axis=1), minlength=blocks.count)
            better = (bound > best) & (scale > 0)
            best, weight = np.where(better, bound, best), np.where(better, tried, weight)
            value = np.where(better[cells.part_block][:, None], found, value)
        gain, part, owner = cells.gain[cell], cells.part[cell], blocks.owner[column]
        return _Relaxed(mine, unit, load, value[part] + gain * weight[owner, None] - cells.fees(cost, cell), weight, best)

    def _scale(self, spent: FloatArray, gain: FloatArray, owner: IntArray) -> FloatArray:
        """Give for each block the usual cost of traffic over the usual gain, 0 where nothing is gained or lost."""
        there = np.isfinite(spent) & (gain != 0)
        count = self._blocks.count
        paid = np.bincount(owner, weights=np.where(there, spent, 0.0).sum(axis=1), minlength=count)
        gained = np.bincount(owner, weights=np.where(there, np.abs(gain), 0.0).sum(axis=1), minlength=count)
        return np.divide(paid, gained, out=np.zeros(count), where=gained > 0)

    def _with_one(self, r: _Relaxed) -> FloatArray:
        """Give what a plan with a replica of each column costs at least; a capped one comes with what it needs beside it."""
        share = self.share[self.cell[r.column]]
        return self._with(r, np.where(self.capped[r.column], np.ceil(1.0 / share - CLEARLY), 1.0))

    def _with(self, r: _Relaxed, count: FloatArray) -> FloatArray:
        """Give what a plan with ``count`` replicas in the cell of each column costs at least; it grows with more than those.

        Replicas for sure save of what all traffic costs at least, at most what they can carry, filled with the traffic that is
        dearest per load.
        """
        owner, able = self._blocks.owner[self.replicas[r.column]], np.isfinite(r.unit)
        total = r.bound[owner] + np.where(able, r.unit, 0.0) * count - r.filled(count)
        return np.where(able, total, np.inf)

    def _unit(self, cost: FloatArray, kept: BoolArray) -> FloatArray:
        """Give what a replica of each column costs at least: its cost or, beside capped ones, the cell's cheapest mix."""
        capped, leant = self._cheapest(cost, kept)
        mixed = np.minimum(leant, self._mean(capped, leant))
        return np.where((self.capped | self.leaned_on), mixed[self.cell], cost[self.replicas])

    def _mean(self, capped: FloatArray, leant: FloatArray) -> FloatArray:
        """Give what a replica costs with as many capped ones as may be; infinite where either kind is missing."""
        there = np.isfinite(capped) & np.isfinite(leant)
        share, capped, leant = self.share[there], capped[there], leant[there]
        found = np.full(len(there), np.inf)
        found[there] = share * capped + (1 - share) * leant
        return found

    def _cheapest(self, cost: FloatArray, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Give the least cost of a capped column, and of one that caps lean on, in each cell; infinite where there is none."""
        found = np.full((2, len(self.share)), np.inf)
        for least, kind in zip(found, (self.capped, self.leaned_on), strict=True):
            mine = kind & kept[self.replicas]
            np.minimum.at(least, self.cell[mine], cost[self.replicas[mine]])
        return found[0], found[1]

    def _outpriced(self, cost: FloatArray, never: Callable[[FloatArray], BoolArray]) -> BoolArray:
        """Say which replica columns others replace that nothing but their cell binds."""
        groups = int(self.group.max(initial=-1)) + 1
        free = self.replicas[self.free]
        group = self.group[self.cell[self.free]]
        order = np.lexsort((cost[free], group))
        place = np.flatnonzero(self.free)[order]

        def beyond(count: FloatArray) -> BoolArray:
            asked = np.ones(len(self.replicas))
            asked[place] = count + 1
            return never(asked)[place]

        superfluous, last = self._superfluous(free[order], group[order], cost, beyond)
        price = np.full(groups, np.inf)
        price[group[order][last]] = cost[free[order][last]]
        usable = np.zeros(len(cost), dtype=bool)
        usable[free[order][~superfluous]] = True
        better = np.full(groups, np.inf)
        np.minimum.at(better, self._worse, price[self._better])
        mine = self.group[self.cell]
        bar = np.minimum(better[mine], np.where(usable[self.replicas], np.inf, price[mine]))
        every = np.ones(len(cost), dtype=bool)
        at = np.where(self._held, -np.inf, self._unit(cost, every))
        gone = (at >= bar) | self._whole_cells(cost, every, never)[self.cell]
        stays = np.zeros(len(self.cells.part), dtype=bool)  # cells with a column that stays: what it leans on stays too
        stays[self.cell[~gone]] = True
        return np.asarray(gone & ~((self.leaned_on | self.capped) & stays[self.cell]))

    def _whole_cells(self, cost: FloatArray, every: BoolArray, never: Callable[[FloatArray], BoolArray]) -> BoolArray:
        """Say which cells with capped columns another such cell replaces whole.

        As many replicas of either kind move there; since of any that a cell may have between none and its share are capped, it is
        enough that the other's uncapped ones and its richest mix cost no more.
        """
        cells, groups = len(self.share), int(self.group.max(initial=-1)) + 1
        capped, main = self._cheapest(cost, every)
        mean = self._mean(capped, main)
        usable, upper = np.zeros(len(cost), dtype=bool), self._blocks.model.upper[self.replicas]
        enough = (upper >= self._need[self.replicas]) | never(upper + 1)
        usable[self.replicas] = (cost[self.replicas] >= 0) & enough
        other, there = self._cheapest(cost, usable & self._within)
        mix = self._mean(other, there)
        order = np.lexsort((np.arange(cells), there, mix, self.group))
        order = order[np.isfinite(mix[order])]
        gone, group = np.zeros(cells, dtype=bool), self.group
        least = np.full((2, groups), -1, dtype=np.int64)  # of each group the cells of the cheapest mix and cheapest uncapped
        _, first = np.unique(group[order], return_index=True)
        least[0, group[order[first]]] = order[first]
        order = order[np.lexsort((mix[order], there[order], group[order]))]
        _, first = np.unique(group[order], return_index=True)
        least[1, group[order[first]]] = order[first]
        mixed = np.isfinite(mean)
        for by in least:
            mine = by[group]
            better = mixed & (mine >= 0) & (mine != np.arange(cells))
            better &= (there[mine] <= main) & (mix[mine] <= mean) & (self.share[mine] >= self.share)
            gone |= better
            best = by[self._better]
            dearest = np.full((2, groups), np.inf)  # the least of what a group's cells cost: all of them are replaced or none
            np.minimum.at(dearest[0], group, np.where(mixed, main, np.inf))
            np.minimum.at(dearest[1], group, mean)
            beaten = (best >= 0) & (there[best] <= dearest[0, self._worse]) & (mix[best] <= dearest[1, self._worse])
            whole = np.zeros(groups, dtype=bool)
            whole[self._worse[beaten]] = True
            gone |= mixed & whole[group]
        bound = np.zeros(cells, dtype=bool)
        bound[self.cell[self._held]] = True
        return np.asarray(gone & ~bound)

    def _superfluous(
        self, column: IntArray, kind: IntArray, cost: FloatArray, never: Callable[[FloatArray], BoolArray] | None = None
    ) -> tuple[BoolArray, BoolArray]:
        """Say which columns, in order of kind and cost, come after enough cheaper ones, and which complete enough.

        Enough is as many as help; or, where ``never`` says that of numbers, so many that no good plan has more.
        """
        if not len(column):
            return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
        upper = np.minimum(self._blocks.model.upper[column], 1e12)
        before = np.cumsum(upper) - upper
        first = np.searchsorted(kind, kind)
        before = before - before[first]
        enough, completes = (x >= self._need[column] for x in (before, before + upper))
        if never is not None:
            enough, completes = enough | never(before), completes | never(before + upper)
        sound = cost[column[first]] >= 0
        return sound & enough, sound & ~enough & completes

    def _dominance(self) -> tuple[IntArray, IntArray, IntArray]:
        """Group cells with the same traffic and load, and pair the groups where one carries it with less load."""
        cells = self.cells
        load, rng = np.where(np.isfinite(cells.load), cells.load, -1.0), np.random.default_rng(3)
        slots = load.shape[1]
        told = [t @ rng.random(slots) for t in (load, load * load, cells.same, cells.gain, cells.rise, cells.fee)]
        joined = self._blocks.row_owner < 0
        joined[self._blocks.loosened] = False  # which rises tell of
        joined = joined[self._blocks.model.row]
        column = self._blocks.model.column[joined]
        unlike = cells.odd.copy()  # prices of coupling rows change what its routes cost, so that no other cell compares
        unlike[self._blocks.cell[column[np.isin(column, cells.route)]]] = True
        alone = np.where(unlike, np.arange(len(cells.part)), -1)
        group = _numbered(cells.part, alone, *told)
        first = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
        first[group[::-1]] = np.arange(len(group))[::-1]
        first = first[~unlike[first]]
        first = first[np.argsort(cells.part[first], kind="stable")]
        better, worse = _pairs(
            cells.part[first], *(x[first] for x in (cells.load, cells.same, cells.gain, cells.rise, cells.fee))
        )
        return group, group[first[better]], group[first[worse]]


def _any(column: IntArray, which: BoolArray, n_columns: int) -> BoolArray:
    found = np.zeros(n_columns, dtype=bool)
    found[column[which]] = True
    return found


def _numbered(*keys: IntArray | FloatArray) -> IntArray:
    """Give equal combinations of keys the same number, in ascending order of the keys."""
    order = np.lexsort(keys[::-1])
    fresh = np.zeros(len(order), dtype=bool)
    for key in keys:
        fresh[1:] |= key[order][1:] != key[order][:-1]
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.cumsum(fresh)
    return found


def _cheapest_traffic(price: FloatArray, part: IntArray, parts: int) -> FloatArray:
    """Give the least price in each part and slot; 0 where there is no traffic, or no column."""
    order = np.argsort(part, kind="stable")
    first = np.searchsorted(part[order], np.arange(parts + 1))
    least = np.minimum.reduceat(np.vstack([price[order], np.full((1, price.shape[1]), np.inf)]), first[:-1], axis=0)
    return np.where(np.isfinite(least) & (first[:-1] < first[1:])[:, None], least, 0.0)


def _useful(n_rows: int, upper: FloatArray, row_lower: FloatArray, row_upper: FloatArray, e: Entries) -> FloatArray:
    """Give how much of each column can help any row of its block; infinite where a row binds it from both sides."""
    amount = e.value * upper[e.column]
    top = np.bincount(e.row, weights=np.maximum(amount, 0.0), minlength=n_rows)
    bottom = np.bincount(e.row, weights=np.minimum(amount, 0.0), minlength=n_rows)
    short = np.where(e.value < 0, (top - row_upper)[e.row], (row_lower - bottom)[e.row])
    with np.errstate(invalid="ignore"):
        amount = np.where(e.helps, np.ceil(np.maximum(short, 0.0) / np.abs(e.value) + 1e-9), np.where(e.hurts, 0.0, np.inf))
    found = np.zeros(len(upper))
    np.maximum.at(found, e.column, amount)
    return found


def _pairs(
    part: IntArray, load: FloatArray, same: FloatArray, gain: FloatArray, rise: FloatArray, fee: FloatArray
) -> tuple[IntArray, IntArray]:
    """Give pairs (a, b) of one part where a takes all traffic of b, as well and as cheaply, with less load."""
    total = load.sum(axis=1)  # none takes with less load what is loaded less in all
    order = np.lexsort((total, part))
    part, (load, same, gain, rise, fee) = part[order], (x[order] for x in (load, same, gain, rise, fee))
    tied = np.append(False, (part[1:] == part[:-1]) & (total[order][1:] == total[order][:-1]))
    start = np.maximum.accumulate(np.where(tied, 0, np.arange(len(part))))
    end = np.searchsorted(part, part, side="right")
    better, worse, at = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    reach = np.cumsum(end - start)
    while at < len(part):
        stop = max(at + 1, int(np.searchsorted(reach, (reach[at - 1] if at else 0) + PAIRS_AT_ONCE)))
        count = (end - start)[at:stop]
        a = np.repeat(np.arange(at, stop), count)
        b = np.repeat(start[at:stop], count) + np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        less = np.zeros(len(a), dtype=bool)
        for slot in range(load.shape[1]):
            one, two = load[a, slot], load[b, slot]
            near = one <= two
            a, b, one, two, less = a[near], b[near], one[near], two[near], less[near]
            alike = (same[a, slot] == same[b, slot]) & (fee[a, slot] <= fee[b, slot])
            alike &= (gain[a, slot] >= gain[b, slot]) & (rise[a, slot] >= rise[b, slot])
            fits = alike | np.isinf(two)
            less = (less | (one < two))[fits]
            a, b = a[fits], b[fits]
        better.append(order[a[less]])
        worse.append(order[b[less]])
        at = stop
    return np.concatenate(better), np.concatenate(worse)
