"""What each workload and each limit gets from a choice."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quality
from optimizer.compile.candidates import concerns
from optimizer.decode.counts import SHARE_UNIT
from optimizer.decode.told import Told, whole_or_not
from optimizer.instance import HOURS_PER_MONTH, Match
from optimizer.plan import (
    Deployment,
    LatencyFigure,
    LimitUse,
    WorkloadResult,
)

__all__ = ["Results"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class _Part(NamedTuple):
    """What a workload is of a pool: its share of the rent, and whether it runs there."""

    share: float
    is_used: bool


class Results(Told):
    """A choice and what it means for workloads and limits."""

    def workloads(self, deployments: Sequence[Deployment], limits: Sequence[LimitUse]) -> tuple[WorkloadResult, ...]:
        """Tell each workload's requirements against what it gets."""
        columns, table, cap = self.compiled.columns, self.table, self.table.instance.policy.utilization_cap
        tight = {x.name for x in limits if x.binding}
        binding = [at for at, x in enumerate(table.instance.all_limits) if x.name in tight]
        weight = dict(zip((p.name for p in table.instance.periods), map(float, self.month_share), strict=True))
        routed, load = np.flatnonzero(self.choice.shares), self.drawn.replicas
        routed = routed[np.argsort(columns.routing_workload[routed], kind="stable")]
        routes = np.split(routed, np.searchsorted(columns.routing_workload[routed], np.arange(1, len(table.workloads))))
        bought = np.flatnonzero(self.choice.replicas)
        held = self.choice.replicas[bought] * table.hours_share[columns.replica_period[bought]]
        replicas = np.bincount(columns.replica_pool[bought], weights=held, minlength=len(columns.pool_candidate))
        run_by: dict[int, list[Deployment]] = {}
        for pool, deployment in zip(columns.replica_pool[bought].tolist(), deployments, strict=True):
            run_by.setdefault(pool, []).append(deployment)
        busy, parts = self._charged(load, routed, list(run_by))
        needed, found = self.compiled.needed_alone, []
        for number, workload in enumerate(table.workloads):
            floor, used = workload.accuracy, [pool for pool, part in parts[number].items() if part.is_used]
            mine = sorted(parts[number].items())
            cost = sum(d.usd_per_hour * weight[d.period] * part.share for pool, part in mine for d in run_by.get(pool, ()))
            found.append(
                WorkloadResult(
                    name=workload.name,
                    model=workload.model,
                    accuracy_metric=None if floor is None else f"{floor.metric} on {floor.evaluation}",
                    accuracy_floor=None if floor is None else floor.floor_fraction_of_baseline,
                    accuracy_kept=None if floor is None else self._accuracy(number, routes[number]),
                    latency=self._latency(number, np.sort(routes[number])),
                    utilization=min(float(busy[used].sum()) / max(float(replicas[used].sum()), 1e-9), 1.0),
                    utilization_cap=cap,
                    usd_per_hour=cost,
                    binding_limits=tuple(self._felt(binding, number, needed, cost)),
                )
            )
        return tuple(found)

    def _charged(self, load: FloatArray, routed: IntArray, pools: Sequence[int]) -> tuple[FloatArray, list[dict[int, _Part]]]:
        """Give each pool's load over the month, (n_pools,), and for each workload its part of each pool that it pays for.

        Each is charged what it is of the pool's load, all members alike where there is no load at all. A workload uses its own
        pools, and the shared ones that it is routed to. ``pools`` are those with replicas.
        """
        columns, table, count = self.compiled.columns, self.table, len(self.table.workloads)
        month = load[routed] * table.hours_share[columns.routing_period[routed]]
        pool, busy = columns.routing_pool[routed], np.zeros(len(columns.pool_candidate))
        np.add.at(busy, pool, month)
        keys, at = np.unique(pool * count + columns.routing_workload[routed], return_inverse=True)
        each = dict(zip(keys.tolist(), np.bincount(at, weights=month).tolist(), strict=True))
        parts: list[dict[int, _Part]] = [{} for _ in range(count)]
        numbers = {workload.name: number for number, workload in enumerate(table.workloads)}
        for p in sorted({*pools, *pool.tolist()}):
            owner, total = int(columns.pool_workload[p]), float(busy[p])
            if owner < count:
                parts[owner][p] = _Part(1.0, True)
                continue
            members = [numbers[name] for name in table.instance.members[table.owners[owner].name]]
            for member in members:
                own = each.get(p * count + member, 0.0)
                parts[member][p] = _Part(own / total if total > 0 else 1.0 / len(members), own > 0)
        return busy, parts

    def _accuracy(self, number: int, mine: IntArray) -> float:
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
            owner, estimate = int(table.workload[k]), self.estimate(k)
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

    def _felt(self, binding: Sequence[int], number: int, needed: npt.NDArray[np.bool_], usd_per_hour: float) -> list[str]:
        """Name the limits that keep a workload from cheaper hardware: more of what they count would carry all of it for less."""
        table, offers, limits = self.table, self.table.offers, self.table.instance.all_limits
        mine = [at for at in binding if concerns(limits[at], table.workloads[number], table.instance)]
        counted = np.flatnonzero(offers.limited[mine].any(axis=0) & table.allowed[number])
        begin, end = np.searchsorted(table.workload, [number, number + 1])
        k = begin + np.flatnonzero(needed[begin:end])
        same = table.accelerator[k][:, None] == offers.accelerator[counted][None, :]
        same &= offers.size[counted][None, :] % table.size[k][:, None] == 0
        cost = (table.load[k].sum(axis=1) * table.size[k])[:, None] * (offers.usd_per_hour / offers.size)[counted][None, :]
        cheaper = counted[(same & (cost < usd_per_hour)).any(axis=0)]
        return [limits[at].name for at in mine if offers.limited[at, cheaper].any()]

    def limits(self) -> tuple[LimitUse, ...]:
        """Tell how much of each limit is used, in the period that uses most."""
        found = []
        for number, limit in enumerate(self.table.instance.all_limits):
            accelerators, least = self._counted(number)
            used = whole_or_not(accelerators.max())
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
            return float(sum(self.heads.values()) * Fraction(HOURS_PER_MONTH)), least
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

    def _counted(self, number: int) -> tuple[npt.NDArray[Any], float]:
        """Give the accelerators a limit counts in each period, and the fewest that one more of anything would add."""
        columns, table = self.compiled.columns, self.table
        limit, counted, size = table.instance.all_limits[number], table.offers.limited[number], table.offers.size
        if not limit.match.speaks_of_replicas:
            held = columns.held[1]
            unit = size[held[counted[held]]]
            return (self.occupied * size[:, None])[counted].sum(axis=0), int(unit.min()) if len(unit) else 0
        mine = table.limited[number, columns.pool_candidate[columns.replica_pool]]
        mine &= counted[columns.replica_offer]
        used = np.zeros(columns.n_periods, dtype=columns.replica_size.dtype)
        np.add.at(used, columns.replica_period[mine], (self.choice.replicas * columns.replica_size)[mine])
        runs, (run, period) = columns.training, columns.training.touched
        ran = np.isin(run, self.choice.ways) & runs.limited[number, run]
        np.add.at(used, period[ran], runs.accelerators[run[ran]].astype(np.int64))
        sizes = [*columns.replica_size[mine], *runs.accelerators[runs.limited[number]]]
        return used, float(min(sizes, default=0))


def _use(name: str, unit: str, used: float, most: float, binding: bool, quality: Quality, reason: str) -> LimitUse:
    return LimitUse(name=name, unit=unit, used=used, most=most, binding=binding, quality=quality, reason=reason)
