"""The columns: replicas of pools on offers, shared instances, commitments, switches, training runs, routing shares, starts.

A pool is one candidate in one region: the replicas of one configuration behind one queue. A *cell* is a pool in a period, a
*slot* an offer in a period; both are numbered ``index * n_periods + period``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.compile.bounds import committed_bounds, most_instances, most_replicas, spot_shares
from optimizer.compile.candidates import SMALLEST_LOAD, CandidateTable, rentable_pairs
from optimizer.compile.dominance import crowded_pairs, outpriced_pairs, undominated_pairs
from optimizer.compile.events import EventColumns, event_columns
from optimizer.compile.grouping import numbered
from optimizer.compile.in_force import Changes, Held, move_steps
from optimizer.compile.queues import QueueColumns
from optimizer.compile.shedding import ShedColumns, shed_columns
from optimizer.compile.starts import Steps, start_steps
from optimizer.compile.switches import SwitchTable
from optimizer.compile.training import TrainingTable
from optimizer.costs.risk import penalty_usd_per_hour

__all__ = ["Columns", "columns_of"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Columns:
    """Where everything stands in the model.

    ``n[p, o, t]``: column j < len(replica_pool) counts replicas of pool ``replica_pool[j]`` on offer ``replica_offer[j]`` in
    period ``replica_period[j]``.
    ``i[o, t]``: the next ``len(instance_offer)`` columns count instances of offers whose accelerators several replicas share; on
    other offers each replica fills an instance and no column is needed.
    ``r[o]``: the next ``len(commit_offer)`` columns count instances that are reserved or owned, in all periods alike.
    ``y[s]``: the next ``len(switch)`` columns say whether switch ``switch[j]`` of ``switches`` is on.
    ``x[j, c]``: the next ``len(training)`` columns say whether job j runs in way c, in the order of ``training``.
    ``f[p, b, t]``: the next columns are the share of class ``routing_class`` of the pool's owner sent to ``routing_pool``.
    ``s[p, o, t]``: the next ``len(starts)`` columns count starts and stops of replicas into a period.
    ``m[p, o, t]``: the next ``len(moves)`` columns count replicas more or fewer than the plan in force has.
    ``u[w, b, t]``: the next ``len(shed)`` columns are shares of demand left unserved.
    ``c``: one more column says whether anything in force changes, if a change must save something.
    ``l[o]``: the next ``len(lot_commit)`` columns count lots of the commitments that are bought in lots.
    ``d[p, t, r]``, ``e[p, t, r]``: the next ``len(queues)`` columns choose and fill pieces of what servers in a cell carry.
    ``z[v, p, t]``, pieces, ``g[v, p, b, t]``: the last ``len(losses)`` columns are of events, as ``EventColumns`` lays them out.
    ``pool_candidate`` and ``pool_region`` have shape (n_pools,).
    """

    table: CandidateTable
    pool_candidate: IntArray
    pool_region: IntArray
    replica_pool: IntArray
    replica_offer: IntArray
    replica_period: IntArray
    instance_offer: IntArray
    instance_period: IntArray
    commit_offer: IntArray
    switches: SwitchTable
    switch: IntArray
    training: TrainingTable
    routing_pool: IntArray
    routing_class: IntArray
    routing_period: IntArray
    changes: Changes
    starts: Steps
    moves: Steps
    shed: ShedColumns
    queues: QueueColumns
    losses: EventColumns
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    integer: npt.NDArray[np.bool_]

    @property
    def first_instance(self) -> int:
        """Give the index of the first instance column."""
        return len(self.replica_pool)

    @property
    def first_commit(self) -> int:
        """Give the index of the first commitment column."""
        return self.first_instance + len(self.instance_offer)

    @property
    def first_switch(self) -> int:
        """Give the index of the first switch column."""
        return self.first_commit + len(self.commit_offer)

    @property
    def first_training(self) -> int:
        """Give the index of the first column of a training run."""
        return self.first_switch + len(self.switch)

    @property
    def first_routing(self) -> int:
        """Give the index of the first routing column."""
        return self.first_training + len(self.training)

    @property
    def first_start(self) -> int:
        """Give the index of the first column that counts starts or stops."""
        return self.first_routing + len(self.routing_pool)

    @property
    def first_move(self) -> int:
        """Give the index of the first column that counts changes against the plan in force."""
        return self.first_start + len(self.starts)

    @property
    def first_shed(self) -> int:
        """Give the index of the first column of unserved shares."""
        return self.first_move + len(self.moves)

    @property
    def first_changed(self) -> int:
        """Give the index of the column that says whether anything in force changes, if there is one."""
        return self.first_shed + len(self.shed)

    @property
    def first_lot(self) -> int:
        """Give the index of the first column that counts lots."""
        return self.first_piece - len(self.lot_commit)

    @property
    def first_piece(self) -> int:
        """Give the index of the first column that chooses a piece of what servers carry."""
        return self.first_loss - len(self.queues)

    @property
    def first_loss(self) -> int:
        """Give the index of the first column of an event."""
        return len(self.upper) - len(self.losses)

    @property
    def first_recourse(self) -> int:
        """Give the index of the first column of what is served after a loss."""
        return len(self.upper) - len(self.losses.route)

    @property
    def lot_commit(self) -> IntArray:
        """Give the commitments (indices into ``commit_offer``) that are bought in lots of more than one instance."""
        return np.flatnonzero(self.table.offers.lot[self.commit_offer] > 1)

    @property
    def gone(self) -> tuple[Held, ...]:
        """Give what the plan in force runs and no column can: it stops, whatever is chosen."""
        pairs = set(zip(self.pool_candidate[self.replica_pool].tolist(), self.replica_offer.tolist(), strict=True))
        in_force = self.changes.in_force
        return () if in_force is None else tuple(h for h in in_force.held if (h.candidate, h.offer) not in pairs)

    @property
    def constant_usd_per_hour(self) -> float:
        """Give what is paid whatever is chosen, USD per hour: it is in the bill and not in the objective."""
        penalties = [w.penalty for w in self.table.instance.workloads if w.penalty is not None]
        usd = sum(float(penalty_usd_per_hour(p.expected_per_month, p.usd_each)) for p in penalties)
        if (in_force := self.changes.in_force) is None:
            return usd
        stopped = sum(float(h.replicas @ self.table.hours_share) for h in self.gone)
        return usd + stopped * in_force.policy.usd_per_replica_stop / in_force.policy.horizon_hours

    @property
    def switch_pools(self) -> npt.NDArray[np.bool_]:
        """Say which pools each switch column belongs to; shape (n_switch_columns, n_pools)."""
        return self.switches.of_pools(self.pool_candidate, self.pool_region)[self.switch]

    @property
    def switch_runs(self) -> npt.NDArray[np.bool_]:
        """Say which training runs each switch column belongs to; shape (n_switch_columns, n_runs)."""
        return _switch_runs(self.switches, self.training)[self.switch]

    @cached_property
    def pool_workload(self) -> IntArray:
        """Give the owner of each pool: its workload, or beyond the workloads the shared pool it is one of."""
        return self.table.workload[self.pool_candidate]

    @cached_property
    def routing_workload(self) -> IntArray:
        """Give the workload whose class each routing column serves."""
        return self.table.class_workload[self.pool_workload[self.routing_pool], self.routing_class]

    @cached_property
    def routing_number(self) -> IntArray:
        """Give the class of each routing column among those of its own workload."""
        return self.table.class_number[self.pool_workload[self.routing_pool], self.routing_class]

    @cached_property
    def replica_size(self) -> npt.NDArray[Any]:
        """Give the accelerators per replica of each replica column."""
        return self.table.size[self.pool_candidate[self.replica_pool]]

    @cached_property
    def spot_share(self) -> npt.NDArray[np.float64]:
        """Give the share of the replicas of each cell that may be on spot; shape (n_pools · n_periods,)."""
        return spot_shares(self.table, self.changes, self.pool_candidate).ravel()

    @cached_property
    def capped(self) -> npt.NDArray[np.bool_]:
        """Say which replica columns are on spot whose share of their pool's replicas is capped."""
        return np.asarray(self.table.offers.spot[self.replica_offer] & (self.spot_share < 1.0)[self.replica_cell])

    @property
    def n_periods(self) -> int:
        """Give the number of periods."""
        return len(self.table.hours_share)

    @cached_property
    def replica_cell(self) -> IntArray:
        """Give the cell of each replica column; they ascend."""
        return self.replica_pool * self.n_periods + self.replica_period

    @property
    def routing_cell(self) -> IntArray:
        """Give the cell of each routing column."""
        return self.routing_pool * self.n_periods + self.routing_period

    @property
    def routing_load(self) -> npt.NDArray[np.float64]:
        """Give the replicas that each routing column takes when its share is 1."""
        return self.load_of(slice(None))

    def load_of(self, routed: IntArray | slice) -> npt.NDArray[np.float64]:
        """Give the replicas that some routing columns take when their share is 1."""
        pool, request_class = self.routing_pool[routed], self.routing_class[routed]
        shape = self.table.shape[self.pool_workload[pool], request_class, self.routing_period[routed]]
        return np.asarray(np.maximum(self.table.load[self.pool_candidate[pool], request_class] * shape, SMALLEST_LOAD))

    @property
    def routing_usd_per_hour(self) -> npt.NDArray[np.float64]:
        """Give what sending answers costs while a period lasts when the share of each routing column is 1."""
        w, b = self.pool_workload[self.routing_pool], self.routing_class
        transfer = self.table.transfer[w, b, self.pool_region[self.routing_pool]]
        return np.asarray(transfer * self.table.shape[w, b, self.routing_period])

    @property
    def routing_place(self) -> tuple[IntArray, IntArray]:
        """Give the region and the accelerator of each routing column's pool."""
        return self.pool_region[self.routing_pool], self.table.accelerator[self.pool_candidate[self.routing_pool]]

    @property
    def routing_busy(self) -> npt.NDArray[np.float64]:
        """Give the accelerators that each routing column keeps busy when its share is 1."""
        size = self.table.size[self.pool_candidate[self.routing_pool]]
        return np.asarray(self.routing_load * self.table.instance.policy.utilization_cap * size)

    @property
    def routing_demand(self) -> IntArray:
        """Give the (workload, class, period) of each routing column as one number; a volume has one for all periods."""
        return _demand(self.table, self.routing_workload, self.routing_number, self.routing_period)

    @cached_property
    def rent_offer(self) -> IntArray:
        """Give the offer of each column that counts whole instances: lone replicas first, then shared instances."""
        return np.concatenate([self.replica_offer[self.lone], self.instance_offer])

    @cached_property
    def rent_period(self) -> IntArray:
        """Give the period of each column that counts whole instances, matching ``rent_offer``."""
        return np.concatenate([self.replica_period[self.lone], self.instance_period])

    @cached_property
    def rent_column(self) -> IntArray:
        """Give the columns that count whole instances, matching ``rent_offer``."""
        return np.concatenate([np.flatnonzero(self.lone), self.first_instance + np.arange(len(self.instance_offer))])

    @cached_property
    def held(self) -> tuple[IntArray, IntArray, IntArray, npt.NDArray[np.float64]]:
        """Give (column, offer, period, instances) of whatever occupies whole instances: what is rented, and training runs."""
        run, period = self.training.touched
        return (
            np.concatenate([self.rent_column, self.first_training + run]),
            np.concatenate([self.rent_offer, self.training.offer[run]]),
            np.concatenate([self.rent_period, period]),
            np.concatenate([np.ones(len(self.rent_column)), self.training.instances[run]]),
        )

    def held_in(self, offers: IntArray, period: int) -> IntArray:
        """Give the places in ``held`` of what occupies some offers in a period, in order."""
        order, start = self._held_slots
        slots = offers * self.n_periods + period
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *(order[start[s] : start[s + 1]] for s in slots)]))

    @cached_property
    def _held_slots(self) -> tuple[IntArray, IntArray]:
        """Give the places in ``held`` slot by slot, and where each slot begins."""
        _, offer, period, _ = self.held
        slot = offer * self.n_periods + period
        order = np.argsort(slot, kind="stable")
        return order, np.searchsorted(slot[order], np.arange(len(self.table.offers) * self.n_periods + 1))

    @cached_property
    def lone(self) -> npt.NDArray[np.bool_]:
        """Say which replica columns fill a whole instance each, so that their count is the count of instances."""
        return ~np.isin(self.replica_offer, self.instance_offer)

    def labels(self) -> list[str]:
        """Name every column for people, in column order."""
        table, offers = self.table, self.table.offers
        pools = [f"{table.owners[table.workload[k]].name},{table.configuration(k).label}" for k in self.pool_candidate]
        when = [f",{p.name}" if self.n_periods > 1 else "" for p in table.instance.periods]
        replicas = zip(self.replica_pool, self.replica_offer, self.replica_period, strict=True)
        n = [f"n[{pools[p]},{offers.label(o)}{when[t]}]" for p, o, t in replicas]
        i = [f"i[{offers.label(o)}{when[t]}]" for o, t in zip(self.instance_offer, self.instance_period, strict=True)]
        r = [f"r[{offers.label(o)}]" for o in self.commit_offer]
        y = [f"y[{self.switches.switches[s].head}: {self.switches.switches[s].name}]" for s in self.switch]
        classes = [table.owners[w].classes for w in self.pool_workload]
        routes = zip(self.routing_pool, self.routing_class, self.routing_period, strict=True)
        f = [f"f[{pools[p]},{offers.regions[self.pool_region[p]]},{classes[p][b].name}{when[t]}]" for p, b, t in routes]
        x = [f"x[{self.training.label(run)}]" for run in range(len(self.training))]
        s = [("start" if up > 0 else "stop") + n[now][1:] for up, now in zip(self.starts.sign, self.starts.now, strict=True)]
        m = [("more" if up > 0 else "fewer") + n[now][1:] for up, now in zip(self.moves.sign, self.moves.now, strict=True)]
        demands = [divmod(key, self.n_periods) for key in self.shed.demand.tolist()]
        of = [(table.workloads[d // table.load.shape[1]], d % table.load.shape[1], t) for d, t in demands]
        u = [f"u[{w.name},{w.classes[b].name}{when[t]}]" for w, b, t in of]
        lots = [f"lots{r[j][1:]}" for j in self.lot_commit]
        places = [divmod(cell, self.n_periods) for cell in self.queues.cell.tolist()]
        cells = [f"{pools[p]},{offers.regions[self.pool_region[p]]}{when[t]}" for p, t in places]
        pieces = [f"{c},from {n}]" for c, n in zip(cells, self.queues.first.tolist(), strict=True)]
        told = [f"{letter}[{piece}" for letter in "de" for piece in pieces]
        lost = [f"lost[{at}]" for at in range(len(self.losses))]
        return n + i + r + y + x + f + s + m + u + ["changed"] * (self.first_lot - self.first_changed) + lots + told + lost


def columns_of(
    table: CandidateTable,
    switches: SwitchTable,
    changes: Changes,
    training: TrainingTable,
    kept: IntArray,
    filled: npt.NDArray[np.bool_] | None,
    *,
    partly: bool = False,
) -> Columns:
    """Lay out the columns for the candidates ``kept``.

    Dominated offers are left out, but for commitments that others may fill, ``filled`` (n_offers,); none is where that is None.
    ``partly`` says that instances may hold smaller replicas than those looked at.
    """
    candidate, offer = _rentable(table, switches, changes, kept, filled)
    regions = max(len(table.offers.regions), 1)
    keys, pool = numbered(candidate * regions + table.offers.region[offer])
    pools = np.stack(np.divmod(keys, regions))
    order = np.argsort(pool * len(table.offers) + offer)
    pool, offer = pool[order], offer[order]
    owner = table.workload[pools[0]]
    busy = (table.demand[:, :, None] * table.shape > 0)[owner] & np.isfinite(table.transfer[owner, :, pools[1]])[:, :, None]
    pair, period, held, count = _cells(table, changes, busy, pools[0], pool, offer)
    shared = _shareable(table) if partly else np.unique(offer[table.size[pools[0][pool]] < table.offers.size[offer]])
    shared, shared_period, shared_upper = _shared(table, shared, pools[0][pool], offer[pair], pair, period, count)
    switch, routing = _used(switches, training, pools), np.nonzero(busy)
    candidate = pools[0][pool[pair]]
    commit, commit_lower, commit_upper = committed_bounds(table, candidate, pair, offer[pair], count, changes, training)
    room, size = most_instances(table), table.offers.size[offer[pair]]
    upper = [np.minimum(count, room[offer[pair]] * (size // table.size[candidate])), np.minimum(shared_upper, room[shared])]
    upper += [np.maximum(np.minimum(commit_upper, room[commit]), commit_lower)]
    upper += [np.ones(len(switch) + len(training) + len(routing[0]))]
    starting = start_steps(table, changes.starts, pool[pair], candidate, offer[pair], period)
    moving = move_steps(table, changes.in_force, held, period)
    shed, lot = shed_columns(table, lambda: _asked(table, owner, routing)), table.offers.lot[commit]
    queues = QueueColumns.of_replicas(table.curves, pools[0], len(table.hours_share), pool[pair], period, count)
    losses = event_columns(table, pools, (pool[pair], offer[pair], period), count, routing)
    upper += [starting.upper(upper[0]), moving.upper(upper[0]), shed.upper, np.ones(int(changes.saving_usd_per_hour > 0))]
    upper += [(upper[2] // lot)[lot > 1], queues.upper, losses.upper]
    whole = len(pair) + len(shared) + len(commit) + len(switch) + len(training)
    column, tail = np.arange(sum(map(len, upper))), sum(map(len, upper[-4:]))
    before = len(pair) + len(shared)
    return Columns(
        table=table,
        pool_candidate=pools[0],
        pool_region=pools[1],
        replica_pool=pool[pair],
        replica_offer=offer[pair],
        replica_period=period,
        instance_offer=shared,
        instance_period=shared_period,
        commit_offer=commit,
        switches=switches,
        switch=switch,
        training=training,
        routing_pool=routing[0],
        routing_class=routing[1],
        routing_period=routing[2],
        changes=changes,
        starts=starting,
        moves=moving,
        shed=shed,
        queues=queues,
        losses=losses,
        lower=np.pad(commit_lower, (before, len(column) - before - len(commit))).astype(np.float64),
        upper=np.concatenate(upper).astype(np.float64),
        integer=(column < whole) | ((column >= len(column) - tail) & (column < len(column) - len(losses.route))),
    )


def _rentable(
    table: CandidateTable, switches: SwitchTable, changes: Changes, kept: IntArray, filled: npt.NDArray[np.bool_] | None
) -> tuple[IntArray, IntArray]:
    """Give the (candidate, offer) pairs that are needed."""
    candidate, offer = rentable_pairs(table, kept)
    if filled is not None:
        needed = undominated_pairs(table, switches, changes, candidate, offer, filled)
        candidate, offer = candidate[needed], offer[needed]
        needed = ~crowded_pairs(table, changes, candidate, offer)
        candidate, offer = candidate[needed], offer[needed]
        needed = ~outpriced_pairs(table, switches, changes, candidate, offer, filled)
        candidate, offer = candidate[needed], offer[needed]
    return candidate, offer


def _cells(
    table: CandidateTable,
    changes: Changes,
    busy: npt.NDArray[np.bool_],
    candidate: IntArray,
    pool: IntArray,
    offer: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Give pair and period of each replica column, its replicas in force, and the most it could ever need.

    ``busy`` has shape (n_pools, n_classes, n_periods), ``candidate`` (n_pools,), ``pool`` and ``offer`` (n_pairs,).
    """
    starts, in_force, periods = len(changes.starts) > 0, changes.in_force, busy.shape[2]
    held = np.zeros((len(pool), periods), dtype=np.int64)
    held = held if in_force is None else in_force.of_pairs(candidate[pool], offer, periods)
    kept = np.asarray(busy.any(axis=(1, 2)))[pool, None] & starts  # to keep a replica may be cheaper than to start it
    never = table.offers.spot[offer, None] & (spot_shares(table, changes, candidate)[pool] == 0.0)
    pair, period = np.nonzero((np.asarray(busy.any(axis=1))[pool] & ~never) | (held > 0) | kept)
    order = np.lexsort((offer[pair], period, pool[pair]))
    pair, period = pair[order], period[order]
    most = most_replicas(table, candidate)
    most = np.broadcast_to(most.max(axis=1, keepdims=True), most.shape) if starts else most
    return pair, period, held[pair, period], np.maximum(most[pool[pair], period], held[pair, period])


def _used(switches: SwitchTable, training: TrainingTable, pools: npt.NDArray[np.int64]) -> IntArray:
    """Give the switches that some pool or training run belongs to."""
    return np.flatnonzero(switches.of_pools(pools[0], pools[1]).any(axis=1) | _switch_runs(switches, training).any(axis=1))


def _asked(table: CandidateTable, owner: IntArray, routing: tuple[IntArray, ...]) -> IntArray:
    """Give the demand of each routing column, of which ``routing`` holds pools, classes and periods."""
    of = (owner[routing[0]], routing[1])
    return _demand(table, table.class_workload[of], table.class_number[of], routing[2])


def _demand(table: CandidateTable, workload: IntArray, request_class: IntArray, period: IntArray) -> IntArray:
    """Give (workload, class, period) as one number; a volume has one for all periods."""
    number = (workload * table.load.shape[1] + request_class) * len(table.hours_share)
    return np.asarray(number + (np.where(table.batch[workload], 0, period) if table.batch.any() else period))


def _shareable(table: CandidateTable) -> IntArray:
    """Give the offers whose instances could hold several replicas of something."""
    offers = table.offers
    cut = {table.instance.accelerators[pattern.accelerator].name for pattern in table.instance.fractions}
    return np.flatnonzero((offers.size > 1) | np.isin(np.array(offers.accelerators)[offers.accelerator], list(cut)))


def _shared(
    table: CandidateTable,
    shared: IntArray,
    candidate: IntArray,
    offer: IntArray,
    pair: IntArray,
    period: IntArray,
    most: IntArray,
) -> tuple[IntArray, IntArray, npt.NDArray[np.float64]]:
    """Give (offer, period) of each instance column and its upper bound.

    Replica sizes on an offer divide its size, so rounding each pool up alone bounds the instances they need together.
    """
    periods, size = len(table.hours_share), table.size[candidate[pair]]
    slot = offer * periods + period
    count = np.zeros(len(table.offers) * periods)
    np.add.at(count, slot, most * size / table.offers.size[offer])
    slots: IntArray = np.unique(slot[np.isin(offer, shared)]).astype(np.int64)
    upper: npt.NDArray[np.float64] = np.ceil(count[slots]) + np.bincount(slot, minlength=len(count))[slots]
    return slots // periods, slots % periods, upper


def _switch_runs(switches: SwitchTable, training: TrainingTable) -> npt.NDArray[np.bool_]:
    """Say which training runs each switch belongs to; shape (n_switches, n_runs)."""
    fits = [training.matching(s.when) for s in switches.switches]
    return np.array(fits, dtype=bool).reshape(len(switches), len(training))
