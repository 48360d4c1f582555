"""What can be left out of a model without moving its optimum. Each rule states its argument; tests check it by brute force.

Two rules compare like with like (candidates on one accelerator, offers of one accelerator); the third compares prices across
accelerators where supply is not limited.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.switches import SwitchTable

__all__ = ["dominated_candidates", "outpriced_pairs", "undominated_pairs"]

CLEARLY = 1.0 - 1e-9
"""A replacement must be cheaper by more than rounding, so that no two candidates replace each other."""


def dominated_candidates(table: CandidateTable, switches: SwitchTable) -> npt.NDArray[np.int64]:
    """Give for each candidate the one that replaces it, or -1; shape (n_candidates,).

    y replaces x when both serve the same workload on the same accelerator, y's replica size divides x's, y needs no more replicas
    for any class, y keeps at least x's accuracy, and every switch y belongs to and every limit that counts y has x too.
    Argument: take any plan and turn each replica of x into one of y on the same instance. It fits there (its size divides a
    size that fits), uses no more accelerators, so every supply row holds and the rent is the same; every class that x
    carried, y carries (loads are linear in this part); the traffic-weighted accuracy does not fall; the spot share of the
    pool y is a mean of two shares within the cap; no switch is turned on and no limit on variants counts more. Among equals
    the first in canonical order, better quality first, stays.
    """
    quality = np.array([table.quality(k).rank for k in range(len(table))], dtype=np.int64)
    by = np.full(len(table), -1, dtype=np.int64)
    order = np.lexsort((np.arange(len(table)), quality, table.size, table.accelerator, table.workload))
    group = np.stack([table.workload[order], table.accelerator[order]], axis=1)
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]).any(axis=1)]) if len(order) else np.zeros(0, dtype=np.int64)
    for members in np.split(order, starts[1:]):
        if len(members) > 1:
            _mark_group(table, switches.candidate[:, members], members, by)
    return by


def _mark_group(
    table: CandidateTable, belongs: npt.NDArray[np.bool_], members: npt.NDArray[np.int64], by: npt.NDArray[np.int64]
) -> None:
    """Mark what is dominated inside one (workload, accelerator); members come smallest first, better quality first."""
    load, size, accuracy = table.load[members], table.size[members], table.accuracy[members]
    better = (load[:, None, :] <= load[None, :, :]).all(axis=2)
    better &= (size[None, :] % size[:, None] == 0) & (accuracy[:, None] >= accuracy[None, :])
    for counted in (belongs, table.limited[:, members]):
        better &= ~(counted[:, :, None] & ~counted[:, None, :]).any(axis=0)
    equal = better & better.T
    earlier = np.arange(len(members))[:, None] < np.arange(len(members))[None, :]
    replaces = better & (~equal | earlier)
    for x in np.flatnonzero(replaces.any(axis=0)):
        by[members[x]] = members[np.flatnonzero(replaces[:, x])[0]]
    # The chain may lead over a dominated candidate; follow it, so that each is replaced by one that stays.
    for x in members:
        while by[x] >= 0 and by[by[x]] >= 0:
            by[x] = by[by[x]]


def undominated_pairs(
    table: CandidateTable, switches: SwitchTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs are needed; shape (n_pairs,).

    Offer p replaces offer o when both have the same accelerator, every candidate that may rent o may rent p, an accelerator-hour
    costs no more on p, p's size divides o's, every limit that counts p counts o too, limits on whole instances count p only if
    the sizes are equal, every switch p's region belongs to o's belongs to, every class may be served in p's region that may be in
    o's, at no more for sending its answers, p is on demand or bought as o is, and p is in o's region or spot shares are safe
    (``_moves_whole_pools``). Argument: swap each instance of o for size(o)/size(p) instances of p. Accelerators, and with them
    what the replicas hold, are equal; rent and transfer are no higher; no limit counts more; spot shares stay within their caps.
    Among equals the first region in canonical order stays, and in it the first offer.
    """
    offers, limits = table.offers, table.instance.limits
    by_instances = np.array([limit.max_instances is not None for limit in limits], dtype=bool)
    on_demand = np.array([price.option.value == "on_demand" for price in offers.prices], dtype=bool)
    option = np.array([price.option.value for price in offers.prices], dtype=np.str_)
    unit_price = offers.usd_per_hour / np.maximum(offers.size, 1)
    keep = np.ones(len(offers), dtype=bool)
    for accelerator in np.unique(offers.accelerator[offer]):
        here = offer[offers.accelerator[offer] == accelerator]
        rows = np.unique(here)
        users = np.unique(candidate[offers.accelerator[offer] == accelerator])
        uses = np.zeros((len(users), len(rows)), dtype=np.int64)
        mine = offers.accelerator[offer] == accelerator
        uses[np.searchsorted(users, candidate[mine]), np.searchsorted(rows, offer[mine])] = 1
        replaces = (uses.T @ (1 - uses)).T == 0  # [p, o]: nobody who uses o may not use p
        replaces &= unit_price[rows][:, None] <= unit_price[rows][None, :]
        replaces &= offers.size[rows][None, :] % offers.size[rows][:, None] == 0
        replaces &= on_demand[rows][:, None] | (option[rows][:, None] == option[rows][None, :])
        counted = offers.limited[:, rows]
        replaces &= ~(counted[:, :, None] & ~counted[:, None, :]).any(axis=0)
        placed = switches.region[:, offers.region[rows]]
        replaces &= ~(placed[:, :, None] & ~placed[:, None, :]).any(axis=0)
        replaces &= _no_farther(table, np.unique(table.workload[users]))[np.ix_(offers.region[rows], offers.region[rows])]
        whole = counted[by_instances].any(axis=0)
        replaces &= ~whole[:, None] | (offers.size[rows][:, None] == offers.size[rows][None, :])
        replaces &= _moves_whole_pools(replaces, offers.region[rows], _shares_spot(table, candidate[mine], here)[rows])
        equal = replaces & replaces.T
        rank = np.argsort(np.lexsort((np.arange(len(rows)), offers.region[rows])))
        keep[rows[(replaces & (~equal | (rank[:, None] < rank[None, :]))).any(axis=0)]] = False
    return keep[offer]


def _no_farther(table: CandidateTable, workloads: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which regions [r, s] are such that r may serve every class that s may, for no more; shape (n_regions, n_regions)."""
    cost = table.transfer[workloads].reshape(-1, len(table.offers.regions))
    return np.asarray((cost[:, :, None] <= cost[:, None, :]).all(axis=0))


def _shares_spot(table: CandidateTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which offers are in a region where a pool may rent spot up to a share of its replicas there; shape (n_offers,)."""
    spot = np.array([price.option.value == "spot" for price in table.offers.prices], dtype=bool)[offer]
    share = np.array([workload.max_spot_fraction for workload in table.workloads])[table.workload[candidate]]
    return np.isin(table.offers.region, table.offers.region[offer[spot & (share < 1)]])


def _moves_whole_pools(
    replaces: npt.NDArray[np.bool_], region: npt.NDArray[np.int64], shares_spot: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which replacements leave the spot shares of pools within their caps; shape (n_offers, n_offers).

    A pool is a candidate in one region. On-demand replicas that move elsewhere no longer hold down the share of the spot they
    leave behind, so replacing leads out of a region with a capped share only to one that can take all of its offers.
    """
    regions, place = np.unique(region, return_inverse=True)
    takes = np.zeros((len(regions), len(region)), dtype=bool)
    np.logical_or.at(takes, place, replaces)  # [r, o]: some offer in region r replaces o
    takes_all = np.ones((len(regions), len(regions)), dtype=bool)
    np.logical_and.at(takes_all.T, place, takes.T)
    stays = place[:, None] == place[None, :]
    return np.asarray(stays | ~shares_spot[None, :] | takes_all[place[:, None], place[None, :]])


def outpriced_pairs(
    table: CandidateTable, switches: SwitchTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs cost more than replacing them outright; shape (n_pairs,).

    Let c[y] be the price of an instance that one replica of y has to itself, the cheapest on demand that no limit counts, where
    y belongs to no switch, and from where no class costs more to serve than from any other region. One replica of x can be
    replaced by m[x, y] = ⌈max_b load[y, b] / load[x, b]⌉ replicas of y if y serves the same workload and keeps at least x's
    accuracy. A pair (x, o) is outpriced when m · c[y] is clearly less than x's share of o's price, size[x] / size[o] · price[o].
    Argument: drop the replicas of x on o and put their replacements on instances of their own. Capacity and average accuracy are
    no worse, no limit counts more, transfer does not rise, and the rent falls: on an offer that several replicas share the pairs
    go only all together, and the shares of whatever filled an instance sum to at most its price. A chain of replacements ends,
    since costs fall strictly. Where spot has a cap, replicas on demand stay while the same pool may rent spot, whose share they
    hold down.
    """
    offers = table.offers
    free = ~offers.limited.any(axis=0) & np.array([price.option.value == "on_demand" for price in offers.prices], dtype=bool)
    able = free[offer] & ~switches.of_pools(candidate, offers.region[offer]).any(axis=0)
    nearest = (table.transfer <= table.transfer.min(axis=2, keepdims=True)).all(axis=1)  # (n_workloads, n_regions)
    able &= nearest[table.workload[candidate], offers.region[offer]]
    alone = np.full(len(table), np.inf)
    np.minimum.at(alone, candidate[able], offers.usd_per_hour[offer[able]])
    replacement = _replacement_cost(table, np.unique(candidate), alone)
    share = offers.usd_per_hour[offer] * table.size[candidate] / offers.size[offer]
    outpriced = replacement[candidate] < share * CLEARLY
    outpriced &= ~_holds_down_spot(table, candidate, offer, outpriced)
    shared = table.size[candidate] < offers.size[offer]
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
    for workload in np.unique(table.workload[kept]):
        mine = kept[table.workload[kept] == workload]
        able = mine[np.isfinite(alone[mine])]
        if len(able):
            demanded = table.demand[workload] > 0
            ratio = table.load[able][:, None, demanded] / table.load[mine][None, :, demanded]
            count = np.ceil(ratio.max(axis=2, initial=0.0) * CLEARLY)
            whole = np.maximum(count, 1.0) * alone[able][:, None]
            cost[mine] = np.where(table.accuracy[able][:, None] >= table.accuracy[mine], whole, np.inf).min(axis=0)
    return cost


def _holds_down_spot(
    table: CandidateTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64], outpriced: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Say which on-demand pairs share a candidate with a spot pair that stays; shape (n_pairs,)."""
    spot = np.array([price.option.value == "spot" for price in table.offers.prices], dtype=bool)[offer]
    stays = np.zeros(len(table), dtype=bool)
    stays[candidate[spot & ~outpriced]] = True
    return np.asarray(~spot & stays[candidate])
