"""What simpler ways of choosing would cost, from the same candidates and the same prices.

*Good practice*: each workload alone on its cheapest single type, every precision and compression, on demand. *Usual practice*:
the same with 16-bit, uncompressed forms where one can serve at all. Each workload has every limit to itself; what the sum of
them breaks is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.catalog import Option
from optimizer.compile import CandidateTable
from optimizer.compile.candidates import concerns
from optimizer.costs.compute import rent_usd_per_hour
from optimizer.plan import Baseline, Baselines

__all__ = ["baselines_of"]

SIXTEEN_BIT = ("bf16", "fp16")


@dataclass(frozen=True)
class _Single:
    """One workload on one configuration and one offer."""

    usd_per_hour: float
    candidate: int
    offer: int
    replicas: int
    instances: int


def baselines_of(table: CandidateTable, usd_per_hour: float) -> Baselines:
    """Give both baselines beside the plan's cost, USD per hour."""
    sixteen = np.array(
        [
            table.configuration(k).precision in SIXTEEN_BIT and table.configuration(k).compression == "none"
            for k in range(len(table))
        ],
        dtype=bool,
    )
    every = np.ones(len(table), dtype=bool)
    good = [_cheapest(table, w, every) for w in range(len(table.workloads))]
    usual = [_cheapest(table, w, sixteen) or good[w] for w in range(len(table.workloads))]
    return Baselines(good_practice=_baseline(table, good, usd_per_hour), usual_practice=_baseline(table, usual, usd_per_hour))


def _cheapest(table: CandidateTable, workload: int, among: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> _Single | None:
    """Give a workload's cheapest single on-demand type within the limits it has to itself; ties go to the first in order."""
    offers = table.offers
    demand = [price.option is Option.ON_DEMAND for price in offers.prices]
    usable = np.flatnonzero(table.allowed[workload] & np.array(demand, dtype=bool))
    floor = table.workloads[workload].accuracy
    wanted = 0.0 if floor is None else floor.floor_fraction_of_baseline
    best: _Single | None = None
    for k in np.flatnonzero((table.workload == workload) & among & (table.accuracy >= wanted)):
        size = int(table.size[k])
        mine = usable[(offers.accelerator[usable] == table.accelerator[k]) & (offers.size[usable] % size == 0)]
        if not len(mine):
            continue
        replicas = max(int(np.ceil(table.load[k].sum() - 1e-9)), 1)
        instances = -(-replicas * size // offers.size[mine])
        rent = rent_usd_per_hour(offers.usd_per_hour[mine], instances)
        rent = np.where(_within_limits(table, workload, mine, instances, replicas * size), rent, np.inf)
        at = int(np.argmin(rent))
        if np.isfinite(rent[at]) and (best is None or rent[at] < best.usd_per_hour):
            best = _Single(float(rent[at]), int(k), int(mine[at]), replicas, int(instances[at]))
    return best


def _within_limits(
    table: CandidateTable,
    workload: int,
    offer: np.ndarray[tuple[int], np.dtype[np.int64]],
    instances: np.ndarray[tuple[int], np.dtype[np.int64]],
    accelerators: int,
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    fits = np.ones(len(offer), dtype=bool)
    for number, limit in enumerate(table.instance.limits):
        if not concerns(limit, table.workloads[workload]):
            continue
        counted = table.offers.limited[number, offer]
        named = limit.match.workload is not None or limit.match.team is not None
        used = np.full(len(offer), accelerators) if named else instances * table.offers.size[offer]
        if limit.max_accelerators is not None:
            fits &= ~counted | (used <= limit.max_accelerators)
        if limit.max_instances is not None:
            fits &= ~counted | (instances <= limit.max_instances)
    return fits


def _baseline(table: CandidateTable, singles: list[_Single | None], usd_per_hour: float) -> Baseline:
    found = {w.name: s for w, s in zip(table.workloads, singles, strict=True) if s is not None}
    total = float(np.sum([s.usd_per_hour for s in found.values()])) if found else 0.0
    return Baseline(
        usd_per_hour=total,
        saving_usd_per_hour=total - usd_per_hour,
        saving_fraction=(total - usd_per_hour) / max(total, 1e-9),
        workloads={name: _told(table, s) for name, s in found.items()},
        usd_per_hour_by_workload={name: s.usd_per_hour for name, s in found.items()},
        missing=tuple(w.name for w, s in zip(table.workloads, singles, strict=True) if s is None),
        limits_broken_together=tuple(_broken(table, list(found.values()))),
    )


def _told(table: CandidateTable, single: _Single) -> str:
    return f"{single.replicas} x {table.configuration(single.candidate).label} on {table.offers.label(single.offer)}"


def _broken(table: CandidateTable, singles: list[_Single]) -> list[str]:
    """Name the limits that the workloads, each within them alone, break together."""
    broken = []
    for number, limit in enumerate(table.instance.limits):
        mine = [
            s
            for s in singles
            if table.offers.limited[number, s.offer] and concerns(limit, table.workloads[table.workload[s.candidate]])
        ]
        accelerators = sum(s.instances * int(table.offers.size[s.offer]) for s in mine)
        over = limit.max_accelerators is not None and accelerators > limit.max_accelerators
        over |= limit.max_instances is not None and sum(s.instances for s in mine) > limit.max_instances
        if over:
            broken.append(limit.name)
    return broken
