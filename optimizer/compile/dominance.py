"""What can be left out of a model without moving its optimum. Each rule states its argument; tests check it by brute force.

Two rules compare like with like (candidates on one accelerator, offers of one accelerator); the third compares prices across
accelerators where supply is not limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable, is_power_of_two
from optimizer.compile.events import insured
from optimizer.compile.grouping import numbered
from optimizer.compile.in_force import Changes
from optimizer.compile.switches import SwitchTable
from optimizer.instance import Aggregation

if TYPE_CHECKING:
    from optimizer.compile.columns import Columns
    from optimizer.compile.rows.block import Rows

__all__ = ["crowded_pairs", "dominated_candidates", "dominated_ways", "outpriced_pairs", "undominated_pairs"]

CLEARLY = 1.0 - 1e-9
"""A replacement must be cheaper by more than rounding, so that no two candidates replace each other."""
MOST_COMPARED = 2_000_000
"""Pairs compared at once: few enough for a core's cache to hold most of what is looked at."""


def dominated_candidates(table: CandidateTable, switches: SwitchTable, changes: Changes) -> npt.NDArray[np.int64]:
    """Give for each candidate the one that replaces it, or -1; shape (n_candidates,).

    y replaces x when both serve the same workload on the same accelerator, y's replica size divides x's, y needs no more replicas
    for any class, servers of y carry at least what as many of x do, y keeps at least x's accuracy where the floor is
    traffic-weighted, and every switch y belongs to, every limit that counts y and every price of starts that charges y has x too.
    Argument: take any plan and turn each replica of x into one of y on the same instance. It fits there (its size divides a
    size that fits, and is that size or a power of two, which no chain of sizes gives way to), uses no more accelerators, so every
    supply row holds and the rent is the same; every class that x carried, y carries (loads add up, and what servers carry grows
    at least in proportion to their number, so that two queues made one carry what both did); the
    traffic-weighted accuracy does not fall, and a floor per request was settled when candidates were judged; the spot share of
    the pool y is a mean of two shares within the cap; no switch is turned on and no limit on variants counts more; two pools on
    one offer start and stop together no more often than apart (the positive part of a sum is at most the sum of positive parts),
    at no higher price (y is no larger); no more accelerators are on or busy, so that power and carbon do not rise. What the plan
    in force runs stays; x, which it does not run, changes no less than y in its place. Both are lost with the
    same zone, region or spot, and of both pools made one a single replica is lost, as of either; not so of two or more, against
    which whoever insures keeps all candidates. Among equals the most accurate stays, then the best
    quality, then the first in canonical order.
    """
    accuracy = _averaged_accuracy(table)
    telling = [n for n, limit in enumerate(table.instance.all_limits) if limit.match.speaks_of_replicas]
    served = _Served(table)
    belongs = _words(np.concatenate([switches.candidate, table.limited[telling], changes.starts.candidate]))
    by = np.full(len(table), -1, dtype=np.int64)
    order = np.lexsort((np.arange(len(table)), table.rank, -table.accuracy, table.size, table.accelerator, table.workload))
    group = np.stack([table.workload[order], table.accelerator[order]], axis=1)
    begin = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]).any(axis=1)]) if len(order) else np.zeros(0, dtype=np.int64)
    count = np.diff(np.r_[begin, len(order)])
    for size in np.unique(count[count > 1]):  # groups of one size are compared all at once
        groups = begin[count == size]
        for some in np.array_split(groups, -(-len(groups) * size**2 // MOST_COMPARED)):
            _mark_groups(table, accuracy, belongs, served, order[some[:, None] + np.arange(size)], by)
    while (by[by[by >= 0]] >= 0).any():  # the chain may lead over a dominated candidate: each is replaced by one that stays
        by = np.where((by >= 0) & (by[by] >= 0), by[by], by)
    insures = insured(table)
    for pool in range(len(table.workloads), len(table.owners)):
        for member in np.flatnonzero(table.is_member[pool] & ~insures[pool] & ~insures[: len(table.workloads)]):
            _mark_shared(table, accuracy, belongs, served, pool, int(member), by)
    by[insured(table, fewest=2)[table.workload]] = -1
    by[[] if changes.in_force is None else changes.in_force.candidates] = -1
    return by


class _Served:
    """Which candidates' servers carry at least as much as which others', whatever their number; all do that have no curve."""

    def __init__(self, table: CandidateTable) -> None:
        self.curves = table.curves
        self.has = np.isin(np.arange(len(table)), list(self.curves))

    def covers(self, members: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say of each group of members [y, x] whether y covers x; shape (n_groups, n_members, n_members)."""
        found = np.broadcast_to(~self.has[members][:, :, None], (*members.shape, members.shape[1])).copy()
        for group in np.flatnonzero(self.has[members].any(axis=1)):
            found[group] = self.covers_between(members[group], members[group])
        return found

    def covers_between(self, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say [y, x] whether y covers x; shape (n_y, n_x)."""
        found = np.broadcast_to(~self.has[y][:, None], (len(y), len(x))).copy()
        for i, j in np.argwhere(self.has[y][:, None] & self.has[x][None, :]):
            found[i, j] = self.curves[int(y[i])].covers(self.curves[int(x[j])])
        return found


def _averaged_accuracy(table: CandidateTable) -> npt.NDArray[np.float64]:
    """Give what candidates keep where it is averaged, else 1; shape (n_candidates, n_classes), or 1 where no pool is shared."""
    averaged = [w.accuracy is not None and w.accuracy.aggregation is Aggregation.TRAFFIC_WEIGHTED for w in table.workloads]
    width = table.kept.shape[1] if len(table.owners) > len(table.workloads) else 1
    counts = np.array(averaged, dtype=bool)[table.class_workload[:, :width][table.workload]]
    return np.where(counts, table.kept[:, :width], 1.0)


def _words(has: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Give what candidates have, (n_things, n_candidates), as 64-bit words, (n_words, n_candidates), but for what all have."""
    told_apart = has[has.any(axis=1) & ~has.all(axis=1)]
    padded = np.zeros((-(-len(told_apart) // 64) * 64, has.shape[1]), dtype=bool)
    padded[: len(told_apart)] = told_apart
    return np.ascontiguousarray(np.packbits(padded, axis=0).T).view(np.uint64).T


def _mark_groups(
    table: CandidateTable,
    accuracy: npt.NDArray[np.float64],
    belongs: npt.NDArray[np.uint64],
    served: _Served,
    members: npt.NDArray[np.int64],
    by: npt.NDArray[np.int64],
) -> None:
    """Mark what is dominated inside each (workload, accelerator), (n_groups, n_members), smallest and best first."""
    size = table.size[members]
    y, x = np.s_[:, :, None], np.s_[:, None, :]
    better = size[x] % size[y] == 0
    better &= (size[x] == size[y]) | is_power_of_two(size)[y]
    for kept in accuracy.T:
        better &= kept[members][y] >= kept[members][x]
    for load in table.load.T:
        better &= load[members][y] <= load[members][x]
    for word in belongs:
        better &= (word[members][y] & ~word[members][x]) == 0
    better &= served.covers(members)
    earlier = np.arange(members.shape[1])[:, None] < np.arange(members.shape[1])[None, :]
    replaces = better & (~better.transpose(0, 2, 1) | earlier)
    found, first = replaces.any(axis=1), replaces.argmax(axis=1)
    by[members[found]] = np.take_along_axis(members, first, axis=1)[found]


def _mark_shared(
    table: CandidateTable,
    accuracy: npt.NDArray[np.float64],
    belongs: npt.NDArray[np.uint64],
    served: _Served,
    pool: int,
    member: int,
    by: npt.NDArray[np.int64],
) -> None:
    """Mark what a shared pool does as well for one of its members.

    The argument is that of ``dominated_candidates``, the replicas of x joining y's pool: its queue carries all that both carried.
    The pool must be allowed wherever the member is and have its spot share, which the two shares together then keep.
    """
    if (table.allowed[member] & ~table.allowed[pool]).any():
        return
    if table.owners[pool].max_spot_fraction < table.owners[member].max_spot_fraction:
        return
    own, shared = (np.flatnonzero((table.workload == owner) & (by < 0)) for owner in (member, pool))
    width = len(table.owners[pool].classes)
    theirs = np.flatnonzero(table.class_workload[pool, :width] == member)
    mine = np.arange(len(theirs))
    better = (table.load[shared][:, None, theirs] <= table.load[own][None, :, mine]).all(axis=2)
    better &= (accuracy[shared][:, None, theirs] >= accuracy[own][None, :, mine]).all(axis=2)
    better &= table.accelerator[shared][:, None] == table.accelerator[own][None, :]
    y, x = table.size[shared][:, None], table.size[own][None, :]
    better &= (x % y == 0) & ((x == y) | is_power_of_two(y))
    for word in belongs:
        better &= (word[shared][:, None] & ~word[own][None, :]) == 0
    better &= served.covers_between(shared, own)
    for at in np.flatnonzero(better.any(axis=0)):
        by[(by == own[at]) | (np.arange(len(by)) == own[at])] = shared[better[:, at].argmax()]


def undominated_pairs(
    table: CandidateTable,
    switches: SwitchTable,
    changes: Changes,
    candidate: npt.NDArray[np.int64],
    offer: npt.NDArray[np.int64],
    shared: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs are needed; shape (n_pairs,).

    Pairs of workloads that insure against losses are: what is as good for demand may stand where it is lost. So is everything on
    commitments and on shared instances beside them, which would be paid all the same. The rest are judged among themselves, as
    ``_undominated`` says.
    """
    insures, offers = insured(table)[table.workload[candidate]], table.offers
    if not insures.any():
        return _undominated(table, switches, changes, candidate, offer, shared)
    theirs, filled = (np.zeros(len(offers), dtype=bool) for _ in range(2))
    theirs[offer[insures]] = True
    filled[offer[table.size[candidate] < offers.size[offer]]] = True
    needed = insures | (theirs & (filled | offers.committed))[offer]
    rest = np.flatnonzero(~insures)
    needed[rest] |= _undominated(table, switches, changes, candidate[rest], offer[rest], shared)
    return np.asarray(needed)


def _undominated(
    table: CandidateTable,
    switches: SwitchTable,
    changes: Changes,
    candidate: npt.NDArray[np.int64],
    offer: npt.NDArray[np.int64],
    shared: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs are needed; shape (n_pairs,).

    ``shared`` says which commitments training jobs may occupy too, shape (n_offers,): one that stays for a job is free for
    replicas when the job does not run, so replacing it saves nothing; these are needed.

    Offer p replaces offer o when both have the same accelerator, every candidate that may rent o may rent p, an accelerator-hour
    costs no more on p, p's size divides o's and p's lot o's (both in accelerators), every limit that counts p counts o too,
    limits on whole instances count p only if the sizes are equal, what p's region switches on beside o's is clearly less than the
    difference of rent (``_switched_on``), every class may be served in p's region that may be in o's, at no more for sending its
    answers, no start on p costs more than on o, there is no end of p, an accelerator on p adds no more to any limit on power or
    carbon, nor load there to the bill of electricity, p is on demand or bought as o is, and p is in o's region or spot shares are
    safe (``_moves_whole_pools``). Argument: swap each instance of o for size(o)/size(p) instances of p, lots of o for lots of p.
    Accelerators, and with them what the replicas hold, are equal; rent, with what is newly switched on, transfer and electricity
    are no higher; no limit counts more; spot shares stay within their caps; replicas that join others on p start and stop no more
    often. Offers that the plan in force uses or has committed stay. Among equals the first region in canonical order stays, and
    in it the first offer.
    """
    offers, limits = table.offers, table.instance.all_limits
    by_instances = np.array([limit.max_instances is not None for limit in limits], dtype=bool)
    on_demand = np.array([price.option.value == "on_demand" for price in offers.prices], dtype=bool)
    option = np.array([price.option.value for price in offers.prices], dtype=np.str_)
    unit_price = offers.usd_per_hour / np.maximum(offers.size, 1)
    keep = np.ones(len(offers), dtype=bool)
    for accelerator in np.unique(offers.accelerator[offer]):
        mine = np.flatnonzero(offers.accelerator[offer] == accelerator)
        here = offer[mine]
        (rows, row), (users, user) = numbered(here), numbered(candidate[mine])
        uses = np.zeros((len(users), len(rows)))  # whole numbers, as floats, whose products are quick
        uses[user, row] = 1.0
        replaces = (uses.T @ (1.0 - uses)).T == 0  # [p, o]: nobody who uses o may not use p
        replaces &= ~shared[rows][None, :]
        replaces &= unit_price[rows][:, None] <= unit_price[rows][None, :]
        replaces &= offers.size[rows][None, :] % offers.size[rows][:, None] == 0
        replaces &= (offers.size * offers.lot)[rows][None, :] % (offers.size * offers.lot)[rows][:, None] == 0
        replaces &= on_demand[rows][:, None] | (option[rows][:, None] == option[rows][None, :])
        replaces &= np.isinf(offers.available[rows])[:, None]
        replaces &= (offers.draws[:, rows][:, :, None] <= offers.draws[:, rows][:, None, :]).all(axis=0)
        counted = offers.limited[:, rows]
        replaces &= ~(counted[:, :, None] & ~counted[:, None, :]).any(axis=0)
        dearer = _switched_on(table, switches, users)[np.ix_(offers.region[rows], offers.region[rows])]
        replaces &= (dearer == 0) | (dearer < (unit_price[rows][None, :] - unit_price[rows][:, None]) * CLEARLY)
        replaces &= _no_farther(table, np.unique(table.workload[users]))[np.ix_(offers.region[rows], offers.region[rows])]
        replaces &= changes.starts.no_dearer[np.ix_(rows, rows)]
        whole = counted[by_instances].any(axis=0)
        replaces &= ~whole[:, None] | (offers.size[rows][:, None] == offers.size[rows][None, :])
        replaces &= _moves_whole_pools(replaces, offers.region[rows], _keeps_together(table, candidate[mine], here)[rows])
        equal = replaces & replaces.T
        rank = np.argsort(np.lexsort((np.arange(len(rows)), offers.region[rows])))
        keep[rows[(replaces & (~equal | (rank[:, None] < rank[None, :]))).any(axis=0)]] = False
    keep[[] if changes.in_force is None else changes.in_force.offers] = True
    return keep[offer]


def _switched_on(table: CandidateTable, switches: SwitchTable, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give the most that moving from region s to region r switches on, USD per accelerator-hour; shape (n_regions, n_regions).

    [r, s]: of a candidate k, the switches that it belongs to in r and not in s, over size[k] and the shortest period's share of
    the month. A pool that moves pays once for what it switches on, and has at least one replica in one period to save it with.
    """
    found = np.zeros((switches.region.shape[1],) * 2)
    if not len(switches):
        return found
    alike, which = np.unique(switches.candidate[:, users], axis=1, return_inverse=True)
    smallest = np.full(alike.shape[1], np.inf)
    np.minimum.at(smallest, which.reshape(-1), table.size[users])
    price = np.array([s.usd_per_hour for s in switches.switches])
    for column, size in zip(alike.T, smallest, strict=True):
        on = (price[column, None] * switches.region[column]).T @ ~switches.region[column]
        found = np.maximum(found, on / (size * table.hours_share.min()))
    return found


def _no_farther(table: CandidateTable, workloads: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which regions [r, s] are such that r may serve every class that s may, for no more; shape (n_regions, n_regions)."""
    cost = table.transfer[workloads].reshape(-1, len(table.offers.regions))
    return np.asarray((cost[:, :, None] <= cost[:, None, :]).all(axis=0))


def crowded_pairs(
    table: CandidateTable, changes: Changes, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs can leave a shared instance for one of their own size; shape (n_pairs,).

    A pair (x, o) whose replicas share instances of o may move to p when p's instances have the size of x's replica, are in o's
    region, are on demand or bought as o is, cost no more per accelerator-hour, are counted by no limit on whole instances and
    only by limits that count o, no start there costs more, and neither is reserved or owned. All pairs that share o move, or
    none. Argument: give every replica on a shared instance of o an instance of its own. Instances hold at most their size, so
    accelerators, rent and what every limit counts do not rise; pools, and with them routing and switches, stay; the spot share
    of a pool does not rise; replicas start and stop as often. Offers that the plan in force uses stay.
    """
    offers, size = table.offers, table.size[candidate]
    option = np.array([price.option.value for price in offers.prices], dtype=np.str_)
    unit_price = offers.usd_per_hour / np.maximum(offers.size, 1)
    by_instances = np.array([limit.max_instances is not None for limit in table.instance.all_limits], dtype=bool)
    takes = (offers.accelerator[:, None] == offers.accelerator[None, :]) & (offers.region[:, None] == offers.region[None, :])
    takes &= (option == "on_demand")[:, None] | (option[:, None] == option[None, :])
    takes &= (unit_price[:, None] <= unit_price[None, :]) & ~offers.committed[:, None] & ~offers.committed[None, :]
    takes &= ~offers.limited[by_instances].any(axis=0)[:, None] & changes.starts.no_dearer
    takes[:, [] if changes.in_force is None else changes.in_force.offers] = False
    for counted in offers.limited:
        takes &= ~counted[:, None] | counted[None, :]
    shared, moves, there = size < offers.size[offer], np.zeros(len(offer), dtype=bool), np.zeros(len(table), dtype=bool)
    order = np.argsort(offer.astype(np.min_scalar_type(len(offers))), kind="stable")
    of_offer = np.split(order, np.searchsorted(offer[order], np.arange(1, len(offers))))
    for p in np.unique(offer[size == offers.size[offer]]).tolist():
        there[candidate[of_offer[p]]] = True
        for o in np.flatnonzero(takes[p] & (offers.size > offers.size[p])).tolist():
            mine = of_offer[o][size[of_offer[o]] == offers.size[p]]
            moves[mine] |= there[candidate[mine]]
        there[candidate[of_offer[p]]] = False
    moves &= ~insured(table)[table.workload[candidate]]
    stuck = np.zeros(len(offers), dtype=bool)
    stuck[offer[shared & ~moves]] = True
    return np.asarray(moves & ~stuck[offer])


def _keeps_together(
    table: CandidateTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say which offers are in a region where a pool may rent spot up to a share of its replicas there, or has a curve.

    Shape (n_offers,).
    """
    spot = table.offers.spot[offer]
    share = np.array([owner.max_spot_fraction for owner in table.owners])[table.workload[candidate]]
    queued = np.isin(candidate, list(table.curves))
    return np.isin(table.offers.region, table.offers.region[offer[queued | (spot & (share < 1))]])


def _moves_whole_pools(
    replaces: npt.NDArray[np.bool_], region: npt.NDArray[np.int64], kept_together: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which replacements leave the spot shares of pools within their caps; shape (n_offers, n_offers).

    A pool is a candidate in one region. On-demand replicas that move elsewhere no longer hold down the share of the spot they
    leave behind, and servers that leave a queue take more load from it than as many carry alone; so replacing leads out of a
    region with a capped share, or with such a queue, only to one that can take all of its offers.
    """
    regions, place = np.unique(region, return_inverse=True)
    takes = np.zeros((len(regions), len(region)), dtype=bool)
    np.logical_or.at(takes, place, replaces)  # [r, o]: some offer in region r replaces o
    takes_all = np.ones((len(regions), len(regions)), dtype=bool)
    np.logical_and.at(takes_all.T, place, takes.T)
    stays = place[:, None] == place[None, :]
    return np.asarray(stays | ~kept_together[None, :] | takes_all[place[:, None], place[None, :]])


def outpriced_pairs(
    table: CandidateTable,
    switches: SwitchTable,
    changes: Changes,
    candidate: npt.NDArray[np.int64],
    offer: npt.NDArray[np.int64],
    held: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs cost more than replacing them outright; shape (n_pairs,).

    Let c[y] be the price of an instance that one replica of y has to itself, the cheapest on demand that no limit counts (nor
    its load), where y starts for free, and from where no class costs more to serve than from any other region, with all that y
    switches on there, over the shortest period's share of the month. One replica of x can be replaced by m[x, y] =
    ⌈max_b load[y, b] / load[x, b]⌉ replicas of y if y serves the same workload and keeps at least x's accuracy. A pair (x, o) is
    outpriced when m · c[y] is clearly less than x's share of o's price, size[x] / size[o] · price[o].
    Argument: drop the replicas of x on o and put their replacements on instances of their own. Capacity and average accuracy are
    no worse, no limit counts more, neither transfer nor what load draws at sites rises, and the rent falls by more than what is
    newly switched on: on an offer that several replicas share, at once or (committed) one after the other, the pairs go only all
    together, and the shares of whatever filled an instance sum to at most its price; a commitment that training jobs may occupy
    too (``held``, shape (n_offers,)) would be paid all the same and is never outpriced. A chain of replacements ends, since
    costs fall strictly. Where spot has a cap, replicas on demand stay while the same pool may rent spot, whose share they hold
    down. What has a curve replaces nothing, since m of its servers may carry less than the cap says, and is never replaced, since
    one server fewer may leave more than its own load. Against a plan in force nothing is left out, since m replicas change more
    than one.
    """
    offers = table.offers
    free = ~offers.limited.any(axis=0) & ~offers.draws.any(axis=0)
    free &= np.array([price.option.value == "on_demand" for price in offers.prices], dtype=bool)
    nearest = (table.transfer <= table.transfer.min(axis=2, keepdims=True)).all(axis=1)  # (n_workloads, n_regions)
    able = free[offer] & nearest[table.workload[candidate], offers.region[offer]]
    able &= np.sum(changes.starts.of_pairs(table, candidate, offer), axis=0) == 0
    queued = np.isin(candidate, list(table.curves)) | insured(table)[table.workload[candidate]]
    able &= ~queued
    switched = switches.usd_per_hour[candidate[able], offers.region[offer[able]]] / table.hours_share.min()
    alone = np.full(len(table), np.inf)
    np.minimum.at(alone, candidate[able], offers.usd_per_hour[offer[able]] + switched)
    replacement = _replacement_cost(table, np.unique(candidate), alone)
    share = offers.usd_per_hour[offer] * table.size[candidate] / offers.size[offer]
    outpriced = (replacement[candidate] < share * CLEARLY) & (changes.in_force is None)
    outpriced &= ~_holds_down_spot(table, candidate, offer, outpriced) & ~held[offer] & ~queued
    shared = (table.size[candidate] < offers.size[offer]) | offers.committed[offer]
    kept_whole = np.zeros(len(offers), dtype=bool)
    kept_whole[offer[shared]] = True
    wanted = np.zeros(len(offers), dtype=bool)
    wanted[offer[~outpriced]] = True
    return np.asarray(outpriced & ~(kept_whole & wanted)[offer])


def _replacement_cost(
    table: CandidateTable, kept: npt.NDArray[np.int64], alone: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Give the least m[x, y] · c[y] for each candidate x, infinite where nothing replaces it; shape (n_candidates,)."""
    cost = np.full(len(table), np.inf)
    owners, begin = np.unique(table.workload[kept], return_index=True)  # kept candidates come in order of their owners
    for workload, mine in zip(owners, np.split(kept, begin[1:]), strict=False):  # nothing kept is one empty piece
        able = mine[np.isfinite(alone[mine])]
        if len(able):
            demanded = table.demand[workload] > 0
            ratio = table.load[able][:, None, demanded] / table.load[mine][None, :, demanded]
            count = np.ceil(ratio.max(axis=2, initial=0.0) * CLEARLY)
            whole = np.maximum(count, 1.0) * alone[able][:, None]
            keeps = (table.kept[able][:, None, :] >= table.kept[mine][None, :, :]).all(axis=2)
            cost[mine] = np.where(keeps, whole, np.inf).min(axis=0)
    return cost


def _holds_down_spot(
    table: CandidateTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64], outpriced: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which on-demand pairs share a candidate with a spot pair that stays; shape (n_pairs,)."""
    spot = table.offers.spot[offer]
    stays = np.zeros(len(table), dtype=bool)
    stays[candidate[spot & ~outpriced]] = True
    return np.asarray(~spot & stays[candidate])


def dominated_ways(columns: Columns, rows: Rows, cost: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which ways to run a training job another way of the same job replaces; shape (n_runs,).

    Way a replaces way b when a costs no more and takes no more in any row that has an upper side, no less in any that has a lower
    one. Argument: columns are 0 or 1 and one way of a job is 1, so putting a in b's place leaves every row holding. Among equals
    the first stays.
    """
    first, runs = columns.first_training, columns.training
    dominated = np.zeros(len(runs), dtype=bool)
    if not len(runs):
        return dominated
    mine = np.flatnonzero((rows.column >= first) & (rows.column < first + len(runs)))
    row = np.searchsorted(rows.row_start, mine, side="right") - 1
    for job in range(len(runs.jobs)):
        ways = np.flatnonzero(runs.job == job)
        its = runs.job[rows.column[mine] - first] == job
        entries = mine[its]
        numbers, at = np.unique(row[its], return_inverse=True)
        taken = np.zeros((len(ways), len(numbers)))
        taken[np.searchsorted(ways, rows.column[entries] - first), at.reshape(-1)] = rows.value[entries]
        limited = [taken[:, np.isfinite(rows.upper[numbers])], -taken[:, np.isfinite(rows.lower[numbers])]]
        taken = np.concatenate([cost[first + ways][:, None], *limited], axis=1)
        stay: list[int] = []
        for way in np.lexsort((np.arange(len(ways)), cost[first + ways])).tolist():
            if (taken[stay] <= taken[way]).all(axis=1).any():
                dominated[ways[way]] = True
            else:
                stay.append(way)
    return dominated
