"""What simpler ways of choosing would cost, from the same candidates and the same prices.

*Good practice*: each workload alone on its cheapest single type, every precision and compression, on demand, as many as each
period needs. *Usual practice*:
the same with 16-bit, uncompressed forms where one can serve at all. Each workload has every limit to itself; what the sum of
them breaks is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Option
from optimizer.compile import CandidateTable, Compiled
from optimizer.compile.energy import Cap
from optimizer.compile.starts import StartPrices, started_usd_per_hour
from optimizer.compile.switches import SwitchTable
from optimizer.compile.training import TrainingTable
from optimizer.costs.compute import rent_usd_per_hour
from optimizer.costs.risk import penalty_usd_per_hour
from optimizer.plan import Baseline, Baselines

__all__ = ["baselines_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
SIXTEEN_BIT = ("bf16", "fp16")


@dataclass(frozen=True)
class _Single:
    """One workload on one configuration and one offer: what instances, starts and answers cost, and with all it switches on."""

    usd_per_hour: float
    alone_usd_per_hour: float
    candidate: int
    offer: int
    replicas: int
    instances: int
    busy: float


@dataclass(frozen=True, eq=False)
class _Alone:
    """What a workload that has every limit to itself chooses by."""

    table: CandidateTable
    switches: SwitchTable
    starts: StartPrices

    @cached_property
    def most(self) -> tuple[Floats, Floats]:
        """Give the accelerators and instances that limits on offers alone leave of each offer, infinite without one."""
        accelerators, instances = np.full((2, len(self.table.offers)), np.inf)
        for number, limit in enumerate(self.table.instance.all_limits):
            mine = self.table.offers.limited[number]
            if limit.max_accelerators is not None and not limit.match.speaks_of_replicas:
                accelerators[mine] = np.minimum(accelerators[mine], limit.max_accelerators)
            if limit.max_instances is not None and not limit.match.speaks_of_replicas:
                instances[mine] = np.minimum(instances[mine], limit.max_instances)
        return accelerators, instances

    @cached_property
    def telling(self) -> list[tuple[int, float, float]]:
        """Give (number, most accelerators, most instances) of the limits that tell replicas apart."""
        limits = [(n, x) for n, x in enumerate(self.table.instance.all_limits) if x.match.speaks_of_replicas]
        bounds = [(n, x.max_accelerators, x.max_instances) for n, x in limits]
        return [(n, np.inf if a is None else a, np.inf if i is None else i) for n, a, i in bounds]


def baselines_of(compiled: Compiled, usd_per_hour: float) -> Baselines:
    """Give both baselines beside the plan's cost, USD per hour."""
    good, usual = _singles(compiled)
    return Baselines(
        good_practice=_baseline(compiled, good, _cheapest_ways(compiled, every=True), usd_per_hour),
        usual_practice=_baseline(compiled, usual, _cheapest_ways(compiled, every=False), usd_per_hour),
    )


def compared_candidates(compiled: Compiled) -> Ints:
    """Give the candidates that the baselines are made of, ascending."""
    return np.unique(np.array([single.candidate for found in _singles(compiled) for single in found if single], dtype=np.int64))


def _singles(compiled: Compiled) -> tuple[list[_Single | None], list[_Single | None]]:
    """Give every workload's cheapest single type, by good practice and by usual."""
    table, switches, starts = compiled.candidates, compiled.columns.switches, compiled.columns.changes.starts
    plain = [c.precision in SIXTEEN_BIT and c.compression == "none" for c in table.forms]
    sixteen = np.array(plain, dtype=bool)[table.form]
    every = compiled.needed_alone  # what is dominated on its accelerator is no cheaper alone
    alone = _Alone(table, switches, starts)
    good = [_cheapest(alone, w, every) for w in range(len(table.workloads))]
    return good, [_cheapest(alone, w, sixteen) or good[w] for w in range(len(table.workloads))]


def _cheapest(alone: _Alone, workload: int, among: Bools) -> _Single | None:
    """Give a workload's cheapest single on-demand type within the limits it has to itself; ties go to the first in order."""
    table = alone.table
    offers, floor, moved = table.offers, table.workloads[workload].accuracy, _transfer(table, workload)
    usable = np.flatnonzero(table.allowed[workload] & offers.on_demand & np.isfinite(moved)[offers.region])
    begin, end = np.searchsorted(table.workload, [workload, workload + 1])
    wanted = 0.0 if floor is None else floor.floor_fraction_of_baseline
    mine = begin + np.flatnonzero(among[begin:end] & (table.accuracy[begin:end] >= wanted))
    holds = offers.accelerator[usable] == table.accelerator[mine][:, None]
    row, at = np.nonzero(holds & (offers.size[usable] % table.size[mine][:, None] == 0))
    if not len(row):
        return None
    candidate, offer = mine[row], usable[at]
    load = table.load[mine] @ table.shape[workload]
    load = np.array([_even(x) for x in load]) if table.batch[workload] else load
    each = np.where(load > 0, np.maximum(np.ceil(load - 1e-9), 1), 0).astype(np.int64)
    for n, k in enumerate(mine.tolist() if table.curves else ()):
        if (curve := table.curves.get(k)) is not None:
            erlangs = load[n] * table.instance.policy.utilization_cap
            each[n] = np.maximum(each[n], [curve.needed(busy) if busy > 0 else 0 for busy in erlangs.tolist()])
    replicas, size = each.max(axis=1), table.size[candidate]
    rented = -(-each[row] * size[:, None] // offers.size[offer][:, None])
    instances = rented.max(axis=1)
    rent = rent_usd_per_hour(offers.usd_per_hour[offer], rented @ table.hours_share) + moved[offers.region[offer]]
    if len(alone.starts):
        groups = [(int(k), np.flatnonzero(row == n)) for n, k in enumerate(mine)]
        for n, (k, pairs) in enumerate(groups):
            rent[pairs] += started_usd_per_hour(table, alone.starts, k, offer[pairs], each[n])
    whole, busy = rent + _switched(alone.switches, candidate, offers.region[offer]), load.max(axis=1)[row] * size
    busy = busy * table.instance.policy.utilization_cap
    within = _within_limits(alone, candidate, offer, instances, replicas[row] * size)
    for cap in offers.caps:
        drawn = _drawn(table, cap, offer, instances, replicas[row] * size, busy)
        within &= ~table.limited[cap.number, candidate] | (drawn <= cap.most)
    whole = np.where(within, whole, np.inf)
    n = int(np.argmin(whole))
    if not np.isfinite(whole[n]):
        return None
    counts = int(replicas[row[n]]), int(instances[n]), float(busy[n])
    return _Single(float(rent[n]), float(whole[n]), int(candidate[n]), int(offer[n]), *counts)


def _transfer(table: CandidateTable, workload: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give what sending all of a workload's answers costs from each region, infinite where a class may not be served."""
    shape = table.shape[workload]
    if table.batch[workload]:  # evenly over its window: the rate that would do all the work in a period falls with its hours
        shape = (shape > 0) / np.maximum((1.0 / shape[shape > 0]).sum(), 1.0)
    weight = (shape @ table.hours_share)[:, None]
    return np.asarray(np.where(weight > 0, table.transfer[workload] * weight, 0.0).sum(axis=0))


def _cheapest_ways(compiled: Compiled, *, every: bool) -> dict[str, int]:
    """Give each training job's cheapest way on demand within limits of its own; in 16 bits where it can, unless ``every``."""
    runs, limits = compiled.columns.training, compiled.instance.all_limits
    on_demand = np.array([price.option is Option.ON_DEMAND for price in runs.offers.prices], dtype=bool)[runs.offer]
    for number, limit in enumerate(limits):
        used = runs.accelerators if limit.match.speaks_of_replicas else runs.instances * runs.offers.size[runs.offer]
        over = np.zeros(len(runs), dtype=bool) if limit.max_accelerators is None else used > limit.max_accelerators
        over |= runs.instances > (np.inf if limit.max_instances is None else limit.max_instances)
        on_demand &= ~(runs.limited[number] & over)
    for cap in runs.offers.caps:
        on_demand &= ~runs.limited[cap.number] | (_drawn_by_ways(runs, cap) <= cap.most)
    prices = [s.usd_per_hour for s in compiled.columns.switches.switches]
    switched = np.array(prices, dtype=np.float64)[compiled.columns.switch] @ compiled.columns.switch_runs
    alone = np.where(on_demand, runs.use * runs.offers.usd_per_hour[runs.offer] + switched, np.inf)
    plain = [run.form.precision in SIXTEEN_BIT and run.form.compression == "none" for run in runs.runs]
    found = {}
    for number, job in enumerate(runs.jobs):
        mine = np.flatnonzero((runs.job == number) & np.isfinite(alone))
        usual = mine[np.array(plain, dtype=bool)[mine]]
        if len(mine):
            among = usual if len(usual) and not every else mine
            found[job.name] = int(among[np.argmin(alone[among])])
    return found


def _even(load: Floats) -> Floats:
    """Spread a volume evenly over its window; ``load`` is what all of it would need in each period."""
    rate = float(np.sum(np.where(load > 0, 1.0 / np.where(load > 0, load, 1.0), 0.0)))
    return np.where(load > 0, 1.0 / rate, 0.0)


def _switched(
    switches: SwitchTable,
    candidate: np.ndarray[tuple[int], np.dtype[np.int64]],
    region: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Add up what each (candidate, region) switches on, USD per hour."""
    usd = np.array([s.usd_per_hour for s in switches.switches], dtype=np.float64)
    total: np.ndarray[tuple[int], np.dtype[np.float64]] = usd @ switches.of_pools(candidate, region)
    return total


def _within_limits(alone: _Alone, candidate: Ints, offer: Ints, instances: Ints, accelerators: Ints) -> Bools:
    """Say which (candidate, offer) pairs break no limit by themselves; shape (n_pairs,)."""
    table, (most_accelerators, most_instances) = alone.table, alone.most
    fits = (instances * table.offers.size[offer] <= most_accelerators[offer]) & (instances <= most_instances[offer])
    for number, accelerators_allowed, instances_allowed in alone.telling:
        counted = table.offers.limited[number, offer] & table.limited[number, candidate]
        fits &= ~counted | ((accelerators <= accelerators_allowed) & (instances <= instances_allowed))
    return np.asarray(fits)


def _drawn(table: CandidateTable, cap: Cap, offer: Ints, instances: Ints, accelerators: Ints, busy: Floats) -> Floats:
    """Give what replicas of some ``accelerators`` add to a limit on power or carbon at their peak, ``busy`` of them at work."""
    offers, place = table.offers, (table.offers.region[offer], table.offers.accelerator[offer])
    on = accelerators if cap.limit.match.speaks_of_replicas else instances * offers.size[offer]
    return np.asarray(cap.idle[offer] * on + cap.busy[place] * busy)


def _drawn_by_ways(runs: TrainingTable, cap: Cap) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give what each way of a training job adds to a limit on power or carbon while it runs."""
    on = runs.accelerators if cap.limit.match.speaks_of_replicas else runs.instances * runs.offers.size[runs.offer]
    return np.asarray(cap.idle[runs.offer] * on + cap.busy[runs.place] * runs.accelerators)


def _baseline(compiled: Compiled, singles: list[_Single | None], ways: dict[str, int], usd_per_hour: float) -> Baseline:
    table, switches, runs = compiled.candidates, compiled.columns.switches, compiled.columns.training
    found = {w.name: s for w, s in zip(table.workloads, singles, strict=True) if s is not None}
    chosen = [(s.candidate, int(table.offers.region[s.offer])) for s in found.values()]
    belongs = switches.of_pools(np.array([k for k, _ in chosen], np.int64), np.array([r for _, r in chosen], np.int64))
    by_jobs = [bool(runs.matching(s.when)[list(ways.values())].any()) for s in switches.switches]
    used = [switches.switches[at] for at in np.flatnonzero(belongs.any(axis=1) | np.array(by_jobs, dtype=bool))]
    switched = sum(s.usd_per_hour for s in used)
    costs = {name: s.usd_per_hour for name, s in found.items()}
    costs |= {name: float(runs.use[n] * runs.offers.usd_per_hour[runs.offer[n]]) for name, n in ways.items()}
    for w in compiled.instance.workloads:
        if w.penalty is not None and w.name in costs:
            costs[w.name] += float(penalty_usd_per_hour(w.penalty.expected_per_month, w.penalty.usd_each))
    total = sum(costs.values()) + switched
    return Baseline(
        usd_per_hour=total,
        saving_usd_per_hour=total - usd_per_hour,
        saving_fraction=(total - usd_per_hour) / max(total, 1e-9),
        workloads={name: _told(table, s) for name, s in found.items()} | {name: runs.label(n) for name, n in ways.items()},
        usd_per_hour_by_workload=costs,
        switched_usd_per_hour=switched,
        missing=tuple(w.name for w in (*table.workloads, *runs.jobs) if w.name not in costs),
        limits_broken_together=tuple(_broken(compiled, list(found.values()), list(ways.values()))),
    )


def _told(table: CandidateTable, single: _Single) -> str:
    return f"{single.replicas} x {table.configuration(single.candidate).label} on {table.offers.label(single.offer)}"


def _broken(compiled: Compiled, singles: list[_Single], ways: list[int]) -> list[str]:
    """Name the limits that the workloads, each within them alone, break together."""
    table, runs, broken = compiled.candidates, compiled.columns.training, list[str]()
    offer, candidate = (np.array([getattr(s, of) for s in singles], dtype=np.int64) for of in ("offer", "candidate"))
    for number, limit in enumerate(table.instance.all_limits):
        counted = table.offers.limited[number, offer] & table.limited[number, candidate]
        mine = [singles[n] for n in np.flatnonzero(counted).tolist()]
        jobs = [(int(runs.instances[n]), int(table.offers.size[runs.offer[n]])) for n in ways if runs.limited[number, n]]
        accelerators = sum(n * size for n, size in [*((s.instances, int(table.offers.size[s.offer])) for s in mine), *jobs])
        instances = sum(s.instances for s in mine) + sum(n for n, _ in jobs)
        over = limit.max_accelerators is not None and accelerators > limit.max_accelerators
        over |= limit.max_instances is not None and instances > limit.max_instances
        for cap in (cap for cap in table.offers.caps if cap.number == number):
            drawn = sum((float(_drawn_by_ways(runs, cap)[n]) for n in ways if runs.limited[number, n]), 0.0)
            for x in (x for x in singles if table.limited[number, x.candidate]):
                size, counts = int(table.size[x.candidate]), (np.array([x.offer]), np.array([x.instances]))
                drawn += float(_drawn(table, cap, *counts, np.array([x.replicas * size]), np.array([x.busy]))[0])
            over |= drawn > cap.most
        if over:
            broken.append(limit.name)
    return broken
