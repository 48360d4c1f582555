"""The columns of the model: replicas of pools on offers, instances that several replicas share, switches, routing shares.

A pool is one candidate in one region: the replicas of one configuration behind one queue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.dominance import outpriced_pairs, undominated_pairs
from optimizer.compile.switches import SwitchTable

__all__ = ["Columns", "columns_of"]

IntArray = npt.NDArray[np.int64]
BIGGEST_COUNT = 10**9
"""A count above this is a mistake in the input; integers stay exact in every backend far beyond it."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Where everything stands in the model.

    ``n[p, o]``: column j < len(replica_pool) counts replicas of pool ``replica_pool[j]`` on offer ``replica_offer[j]``.
    ``i[o]``: the next ``len(instance_offer)`` columns count instances of offers whose accelerators several replicas share; on
    other offers each replica fills an instance and no column is needed.
    ``y[s]``: the next ``len(switch)`` columns say whether switch ``switch[j]`` of ``switches`` is on.
    ``f[p, b]``: the remaining columns are the share of class ``routing_class`` of its workload sent to pool ``routing_pool``.
    ``pool_candidate`` and ``pool_region`` have shape (n_pools,); ``pool_most`` is the most replicas a pool can need.
    """

    table: CandidateTable
    pool_candidate: IntArray
    pool_region: IntArray
    pool_most: IntArray
    replica_pool: IntArray
    replica_offer: IntArray
    instance_offer: IntArray
    switches: SwitchTable
    switch: IntArray
    routing_pool: IntArray
    routing_class: IntArray
    upper: npt.NDArray[np.float64]
    integer: npt.NDArray[np.bool_]

    @property
    def first_instance(self) -> int:
        """Give the index of the first instance column."""
        return len(self.replica_pool)

    @property
    def first_switch(self) -> int:
        """Give the index of the first switch column."""
        return len(self.replica_pool) + len(self.instance_offer)

    @property
    def first_routing(self) -> int:
        """Give the index of the first routing column."""
        return self.first_switch + len(self.switch)

    @property
    def switch_pools(self) -> npt.NDArray[np.bool_]:
        """Say which pools each switch column belongs to; shape (n_switch_columns, n_pools)."""
        return self.switches.of_pools(self.pool_candidate, self.pool_region)[self.switch]

    @property
    def pool_workload(self) -> IntArray:
        """Give the workload of each pool."""
        return self.table.workload[self.pool_candidate]

    @property
    def replica_size(self) -> IntArray:
        """Give the accelerators per replica of each replica column."""
        return self.table.size[self.pool_candidate[self.replica_pool]]

    @property
    def rent_offer(self) -> IntArray:
        """Give the offer of each column that counts whole instances: lone replicas first, then shared instances."""
        return np.concatenate([self.replica_offer[self.lone], self.instance_offer])

    @property
    def rent_column(self) -> IntArray:
        """Give the columns that count whole instances, matching ``rent_offer``."""
        return np.concatenate([np.flatnonzero(self.lone), self.first_instance + np.arange(len(self.instance_offer))])

    @property
    def lone(self) -> npt.NDArray[np.bool_]:
        """Say which replica columns fill a whole instance each, so that their count is the count of instances."""
        return ~np.isin(self.replica_offer, self.instance_offer)

    def labels(self) -> list[str]:
        """Name every column for people, in column order."""
        table, offers = self.table, self.table.offers
        pools = [f"{table.workloads[table.workload[k]].name},{table.configuration(k).label}" for k in self.pool_candidate]
        n = [f"n[{pools[p]},{offers.label(o)}]" for p, o in zip(self.replica_pool, self.replica_offer, strict=True)]
        i = [f"i[{offers.label(o)}]" for o in self.instance_offer]
        y = [f"y[{self.switches.switches[s].head}: {self.switches.switches[s].name}]" for s in self.switch]
        classes = [table.workloads[w].classes for w in self.pool_workload]
        f = [
            f"f[{pools[p]},{offers.regions[self.pool_region[p]]},{classes[p][b].name}]"
            for p, b in zip(self.routing_pool, self.routing_class, strict=True)
        ]
        return n + i + y + f


def columns_of(table: CandidateTable, switches: SwitchTable, kept: IntArray, *, dominance: bool = True) -> Columns:
    """Lay out the columns for the candidates ``kept``; ``dominance`` says whether dominated offers are left out."""
    candidate, offer = _pairs(table, kept)
    if dominance:
        needed = undominated_pairs(table, switches, candidate, offer)
        candidate, offer = candidate[needed], offer[needed]
        needed = ~outpriced_pairs(table, switches, candidate, offer)
        candidate, offer = candidate[needed], offer[needed]
    pools, replica_pool = np.unique(np.stack([candidate, table.offers.region[offer]]), axis=1, return_inverse=True)
    pool_candidate, pool_region = pools[0], pools[1]
    most = np.ceil(table.load.sum(axis=1) + 1e-9)[pool_candidate]
    most = np.clip(most, 1, BIGGEST_COUNT).astype(np.int64)
    size = table.offers.size[offer]
    shared = np.unique(offer[table.size[candidate] < size])
    count = np.zeros(len(table.offers))
    np.add.at(count, offer, most[replica_pool] * table.size[candidate] / size)
    demanded = table.demand[table.workload[pool_candidate]] > 0
    routing_pool, routing_class = np.nonzero(demanded)
    switch = np.flatnonzero(switches.of_pools(pool_candidate, pool_region).any(axis=1))
    whole = len(offer) + len(shared) + len(switch)
    # Replica sizes on an offer divide its size, so rounding each pool up alone bounds the instances they need together.
    instances = np.ceil(count[shared]) + np.bincount(offer, minlength=len(table.offers))[shared]
    return Columns(
        table=table,
        pool_candidate=pool_candidate,
        pool_region=pool_region,
        pool_most=most,
        replica_pool=replica_pool,
        replica_offer=offer,
        instance_offer=shared,
        switches=switches,
        switch=switch,
        routing_pool=routing_pool,
        routing_class=routing_class,
        upper=np.concatenate([most[replica_pool], instances, np.ones(len(switch) + len(routing_pool))]).astype(np.float64),
        integer=np.arange(whole + len(routing_pool)) < whole,
    )


def _pairs(table: CandidateTable, kept: IntArray) -> tuple[IntArray, IntArray]:
    """Give every (candidate, offer) that may be rented: same accelerator, allowed, the instance holds whole replicas."""
    offers = table.offers
    start = np.searchsorted(offers.accelerator, table.accelerator[kept], side="left")
    count = np.searchsorted(offers.accelerator, table.accelerator[kept], side="right") - start
    candidate = np.repeat(kept, count)
    offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    offer = np.repeat(start, count) + offset
    fits = table.allowed[table.workload[candidate], offer] & (offers.size[offer] % table.size[candidate] == 0)
    candidate, offer = candidate[fits], offer[fits]
    chained = _in_chain(table.size[candidate], offers.size[offer], offer)
    return candidate[chained], offer[chained]


def _in_chain(replica: IntArray, instance: IntArray, offer: IntArray) -> npt.NDArray[np.bool_]:
    """Say which replica sizes may share instances by counting alone; shape (n_pairs,).

    Counting accelerators is exact only when the sizes on an offer divide one another. Where they do not, sizes that are neither
    a power of two nor the whole instance give way there.
    """
    keep = np.ones(len(offer), dtype=bool)
    for o in np.unique(offer[(replica & (replica - 1)) != 0]):
        sizes = np.unique(replica[offer == o])
        if (sizes[1:] % sizes[:-1] != 0).any():
            keep &= (offer != o) | ((replica & (replica - 1)) == 0) | (replica == instance)
    return keep
