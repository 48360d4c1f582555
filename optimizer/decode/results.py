"""What each workload and each limit gets from a choice."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quality
from optimizer.compile.candidates import concerns
from optimizer.decode.counts import SHARE_UNIT
from optimizer.decode.energy import replicas_busy
from optimizer.decode.told import Told
from optimizer.instance import HOURS_PER_MONTH, Match
from optimizer.plan import (
    Deployment,
    LatencyFigure,
    LimitUse,
    WorkloadResult,
)

__all__ = ["Results"]

FloatArray = npt.NDArray[np.float64]


class Results(Told):
    """A choice and what it means for workloads and limits."""

    def workloads(self, deployments: Sequence[Deployment], limits: Sequence[LimitUse]) -> tuple[WorkloadResult, ...]:
        """Tell each workload's requirements against what it gets."""
        columns, table, cap = self.compiled.columns, self.table, self.table.instance.policy.utilization_cap
        binding = {limit.name for limit in limits if limit.binding}
        hours, load = table.hours_share, replicas_busy(self.compiled, self.choice)
        weight = dict(zip((p.name for p in table.instance.periods), map(float, self.month_share), strict=True))
        charged, used = self._charged(load)
        pool_of = columns.replica_pool[np.flatnonzero(self.choice.replicas)]
        found = []
        for number, workload in enumerate(table.workloads):
            mine = columns.routing_workload == number
            held, there = used[columns.replica_pool, number], used[columns.routing_pool, number]
            replicas = float(self.choice.replicas[held] @ hours[columns.replica_period[held]])
            busy = float(load[there] @ hours[columns.routing_period[there]])
            floor = workload.accuracy
            shares = charged[pool_of, number].tolist()
            cost = sum(d.usd_per_hour * weight[d.period] * x for d, x in zip(deployments, shares, strict=True) if x)
            felt = [x.name for x in table.instance.all_limits if x.name in binding and self._feels(x.name, number, cost)]
            found.append(
                WorkloadResult(
                    name=workload.name,
                    model=workload.model,
                    accuracy_metric=None if floor is None else f"{floor.metric} on {floor.evaluation}",
                    accuracy_floor=None if floor is None else floor.floor_fraction_of_baseline,
                    accuracy_kept=None if floor is None else self._accuracy(number, mine),
                    latency=self._latency(number, np.flatnonzero(mine & (self.choice.shares > 0))),
                    utilization=min(busy / max(replicas, 1e-9), 1.0),
                    utilization_cap=cap,
                    usd_per_hour=cost,
                    binding_limits=tuple(felt),
                )
            )
        return tuple(found)

    def _charged(self, load: FloatArray) -> tuple[FloatArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
        """Give each workload's share of each pool's rent, and which pools it uses; shape (n_pools, n_workloads).

        Each is charged what it is of the pool's load over the month, all members alike where there is no load at all. A workload
        uses its own pools, and the shared ones that it is routed to.
        """
        columns, members = self.compiled.columns, self.compiled.columns.pool_members
        busy = np.zeros(members.shape)
        np.add.at(busy, (columns.routing_pool, columns.routing_workload), load * self.table.hours_share[columns.routing_period])
        total, alike = busy.sum(axis=1, keepdims=True), members / members.sum(axis=1, keepdims=True)
        charged = np.where(total > 0, busy / np.where(total > 0, total, 1.0), alike)
        return charged, members & ((members.sum(axis=1, keepdims=True) == 1) | (busy > 0))

    def _accuracy(self, number: int, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        """Give the traffic-weighted share of the baseline that a workload keeps."""
        columns, table = self.compiled.columns, self.table
        period, number_of_class = columns.routing_period[mine], columns.routing_number[mine]
        demand = table.demand[number, number_of_class] * table.shape[number, number_of_class, period] * table.hours_share[period]
        weight = np.where(table.batch[number], 1.0, demand) * self.choice.shares[mine] / SHARE_UNIT
        kept = table.kept[columns.pool_candidate[columns.routing_pool[mine]], columns.routing_class[mine]]
        return float((weight * kept).sum() / weight.sum()) if weight.sum() > 0 else 1.0

    def _latency(self, number: int, routed: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[LatencyFigure, ...]:
        """Tell each class's figures on each pool it is ever routed to; they are those of the rate a replica may carry."""
        columns, table = self.compiled.columns, self.table
        workload, found = table.workloads[number], []
        places = zip(columns.routing_pool[routed].tolist(), columns.routing_class[routed].tolist(), strict=True)
        for pool, b in dict.fromkeys(places):
            k = int(columns.pool_candidate[pool])
            owner = int(table.workload[k])
            estimate = table.options[owner].estimate(int(table.option_row[k]))
            place = {(t.quantity, t.statistic): at for at, t in enumerate(table.owners[owner].latency)}
            found += [
                LatencyFigure(
                    request_class=workload.classes[table.class_number[owner, b]].name,
                    pool=self.pool_name(pool),
                    quantity=target.quantity.value,
                    statistic=target.statistic,
                    target_ms=target.at_most_ms,
                    value_ms=float(estimate.latency_ms[b, place[target.quantity, target.statistic]]),
                    basis=estimate.kind.value,
                )
                for target in workload.latency
            ]
        return tuple(found)

    def _feels(self, name: str, number: int, usd_per_hour: float) -> bool:
        """Say whether a limit keeps a workload from cheaper hardware: more of what it counts would carry all of it for less."""
        table, offers = self.table, self.table.offers
        at = [x.name for x in table.instance.all_limits].index(name)
        if not concerns(table.instance.all_limits[at], table.workloads[number], table.instance):
            return False
        counted = np.flatnonzero(offers.limited[at] & table.allowed[number])
        mine = np.flatnonzero((table.workload == number) & self.compiled.needed_alone)
        same = table.accelerator[mine][:, None] == offers.accelerator[counted][None, :]
        same &= offers.size[counted][None, :] % table.size[mine][:, None] == 0
        cost = (table.load[mine].sum(axis=1) * table.size[mine])[:, None] * (offers.usd_per_hour / offers.size)[counted][None, :]
        return bool((same & (cost < usd_per_hour)).any())

    def limits(self) -> tuple[LimitUse, ...]:
        """Tell how much of each limit is used, in the period that uses most."""
        found = []
        for number, limit in enumerate(self.table.instance.all_limits):
            accelerators, least = self._counted(number)
            used = int(accelerators.max())
            if limit.max_accelerators is not None:
                most = limit.max_accelerators
                found.append(
                    _use(limit.name, "accelerators", used, most, least > 0 and used + least > most, limit.quality, limit.reason)
                )
            if limit.max_instances is not None:
                instances, most = (
                    int(self.occupied[self.table.offers.limited[number]].sum(axis=0).max()),
                    limit.max_instances,
                )
                found.append(_use(limit.name, "instances", instances, most, instances + 1 > most, limit.quality, limit.reason))
            if limit.max_usd_per_month is not None:
                usd, least_usd = self._spent(limit.match, number)
                most, tight = limit.max_usd_per_month, usd + least_usd > limit.max_usd_per_month
                found.append(_use(limit.name, "USD/month", usd, most, tight, limit.quality, limit.reason))
        return (*found, *self.drawn.limits())

    def _spent(self, match: Match, number: int) -> tuple[float, float]:
        """Give what a match covers of the bill, USD per month, and the least that one more accelerator-hour a month would add."""
        table, columns, offers = self.table, self.compiled.columns, self.table.offers
        least = float((offers.usd_per_hour / offers.size).min()) * HOURS_PER_MONTH * float(table.hours_share.min())
        if match == Match():
            return float(sum(self.heads().values()) * Fraction(HOURS_PER_MONTH)), least
        counted, price = offers.limited[number], offers.usd_per_hour
        loaded = offers.placed(number)[columns.routing_place]
        loaded &= table.limited[number, columns.pool_candidate[columns.routing_pool]]
        runs, ways = columns.training, self.choice.ways[columns.training.limited[number, self.choice.ways]]
        drawn = self.drawn.busy_usd_per_hour(loaded) + float(runs.busy_usd_per_hour[ways].sum())
        if not match.speaks_of_replicas:
            spent = float((self.choice.instances @ table.hours_share * price)[counted].sum()) + drawn
            spent += sum(float(instances) * price[o] for _, o, instances in self.paid_by_use if counted[o])
            return spent * HOURS_PER_MONTH, least
        mine = table.limited[number, columns.pool_candidate[columns.replica_pool]] & counted[columns.replica_offer]
        share = columns.replica_size / offers.size[columns.replica_offer] * table.hours_share[columns.replica_period]
        spent = float((self.choice.replicas * share * price[columns.replica_offer])[mine].sum()) + drawn
        return (spent + float(runs.use[ways] @ price[runs.offer[ways]])) * HOURS_PER_MONTH, least

    def _counted(self, number: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
        """Give the accelerators a limit counts in each period, and the fewest that one more of anything would add."""
        columns, table = self.compiled.columns, self.table
        limit, counted, size = table.instance.all_limits[number], table.offers.limited[number], table.offers.size
        if not limit.match.speaks_of_replicas:
            held = columns.held[1]
            unit = size[held[counted[held]]]
            return (self.occupied * size[:, None])[counted].sum(axis=0), int(unit.min()) if len(unit) else 0
        mine = table.limited[number, columns.pool_candidate[columns.replica_pool]]
        mine &= counted[columns.replica_offer]
        used = np.zeros(columns.n_periods, dtype=np.int64)
        np.add.at(used, columns.replica_period[mine], (self.choice.replicas * columns.replica_size)[mine])
        runs, (run, period) = columns.training, columns.training.touched
        ran = np.isin(run, self.choice.ways) & runs.limited[number, run]
        np.add.at(used, period[ran], runs.accelerators[run[ran]].astype(np.int64))
        sizes = [*columns.replica_size[mine], *runs.accelerators[runs.limited[number]]]
        return used, int(min(sizes, default=0))


def _use(name: str, unit: str, used: float, most: float, binding: bool, quality: Quality, reason: str) -> LimitUse:
    return LimitUse(name=name, unit=unit, used=used, most=most, binding=binding, quality=quality, reason=reason)
