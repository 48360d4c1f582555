"""What can be left out of a model without moving its optimum. Each rule states its argument; tests check it by brute force.

Part A's rules are the safe, cheap ones: candidates on the same accelerator, and offers of the same accelerator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable

__all__ = ["dominated_candidates", "undominated_pairs"]


def dominated_candidates(table: CandidateTable) -> npt.NDArray[np.int64]:
    """Give for each candidate the one that replaces it, or -1; shape (n_candidates,).

    y replaces x when both serve the same workload on the same accelerator, y's replica size divides x's, y needs no more
    replicas for any class, and y keeps at least x's accuracy. Argument: take any plan and turn each replica of x into one of y
    on the same instance. It fits there (its size divides a size that fits), uses no more accelerators, so every supply row
    holds and the rent is the same; every class that x carried, y carries (loads are linear in this part); the traffic-weighted
    accuracy does not fall; the spot share of the pool y is a mean of two shares within the cap. Among equals the first in
    canonical order, better quality first, stays.
    """
    quality = np.array([table.quality(k).rank for k in range(len(table))], dtype=np.int64)
    by = np.full(len(table), -1, dtype=np.int64)
    order = np.lexsort((np.arange(len(table)), quality, table.size, table.accelerator, table.workload))
    group = np.stack([table.workload[order], table.accelerator[order]], axis=1)
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]).any(axis=1)]) if len(order) else np.zeros(0, dtype=np.int64)
    for members in np.split(order, starts[1:]):
        if len(members) > 1:
            _mark_group(table, members, by)
    return by


def _mark_group(table: CandidateTable, members: npt.NDArray[np.int64], by: npt.NDArray[np.int64]) -> None:
    """Mark what is dominated inside one (workload, accelerator); members come smallest first, better quality first."""
    load, size, accuracy = table.load[members], table.size[members], table.accuracy[members]
    better = (load[:, None, :] <= load[None, :, :]).all(axis=2)
    better &= (size[None, :] % size[:, None] == 0) & (accuracy[:, None] >= accuracy[None, :])
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
    table: CandidateTable, candidate: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Say which (candidate, offer) pairs are needed; shape (n_pairs,).

    Offer p replaces offer o when both have the same accelerator, every candidate that may rent o may rent p, an accelerator-hour
    costs no more on p, p's size divides o's, every limit that counts p counts o too, limits on whole instances count p only if
    the sizes are equal, and p is on demand if o is. Argument: swap each instance of o for size(o)/size(p) instances of p.
    Accelerators, and with them what the replicas hold, are equal; the rent is no higher; no limit counts more; spot shares do
    not rise. Among equals the first in canonical order stays.
    """
    offers, limits = table.offers, table.instance.limits
    by_instances = np.array([limit.max_instances is not None for limit in limits], dtype=bool)
    on_demand = np.array([price.option.value == "on_demand" for price in offers.prices], dtype=bool)
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
        replaces &= on_demand[rows][:, None] | ~on_demand[rows][None, :]
        counted = offers.limited[:, rows]
        replaces &= ~(counted[:, :, None] & ~counted[:, None, :]).any(axis=0)
        whole = counted[by_instances].any(axis=0)
        replaces &= ~whole[:, None] | (offers.size[rows][:, None] == offers.size[rows][None, :])
        equal = replaces & replaces.T
        earlier = np.arange(len(rows))[:, None] < np.arange(len(rows))[None, :]
        keep[rows[(replaces & (~equal | earlier)).any(axis=0)]] = False
    return keep[offer]
