"""The whole model in one solver call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optimizer.compile import CandidateTable, Compiled, replica_key, replica_keys
from optimizer.plan import PROVED_GAP, Plan
from optimizer.solve.rounding import rounded_up
from solvers import Progress, Solution, SolveOptions, get_backend

__all__ = ["Cancel", "Wishes", "solve_directly", "start_from"]

GAP_SHARE = 0.4
"""Share of the asked gap that the solver itself may leave; the rest is for the safety taken off its bound."""


class Wishes(Protocol):
    """What a caller asks of a solve."""

    @property
    def backend(self) -> str:
        """Which backend."""

    @property
    def method(self) -> str:
        """Which method, or ``auto``."""

    @property
    def time_limit_s(self) -> float:
        """How many seconds at most."""

    @property
    def relative_gap(self) -> float:
        """Where it may stop."""

    @property
    def threads(self) -> int:
        """How many threads a solve may use."""

    @property
    def seed(self) -> int:
        """Give the seed of the backend."""


class Cancel(Protocol):
    """Anything that says whether to stop."""

    def is_set(self) -> bool:
        """Say whether to stop now."""


def solve_directly(
    compiled: Compiled,
    wishes: Wishes,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
) -> Solution:
    """Solve a compiled question in one call.

    Raises
    ------
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    gap = wishes.relative_gap if wishes.relative_gap > 10 * PROVED_GAP else GAP_SHARE * wishes.relative_gap
    options = SolveOptions(
        time_limit_s=wishes.time_limit_s,
        relative_gap=gap,
        threads=wishes.threads,
        seed=wishes.seed,
        start=None if plan_in_force is None else start_from(compiled, plan_in_force),
    )
    backend = get_backend(wishes.backend)
    return backend.solve(rounded_up(compiled), options, on_progress=on_progress, cancel=cancel)


def start_from(compiled: Compiled, plan: Plan) -> npt.NDArray[np.float64]:
    """Give the column values of another plan, where this question still has its pools and offers; a hint, no more."""
    columns, table = compiled.columns, compiled.candidates
    start, keys, named = np.zeros(len(columns.upper)), replica_keys(table), dict[str, int]()
    places = zip(columns.pool_candidate.tolist(), columns.pool_region.tolist(), strict=True)
    pools = {(k, table.offers.regions[region]): p for p, (k, region) in enumerate(places)}
    offers = {(o.label, p.option.value): i for i, (o, p) in enumerate(zip(table.offers.offers, table.offers.prices, strict=True))}
    periods = {p.name: t for t, p in enumerate(table.instance.periods)}
    replicas = zip(columns.replica_pool.tolist(), columns.replica_offer.tolist(), columns.replica_period.tolist(), strict=True)
    place = {key: j for j, key in enumerate(replicas)}
    for d in plan.deployments:
        pool = pools.get((keys.get(replica_key(d), -1), f"{d.provider}/{d.region}"), -1)
        j = place.get((pool, offers.get((d.offer, d.option), -1), periods.get(d.period, -1)))
        if j is not None:
            start[j] += d.replicas
            named[d.pool] = pool
    routes = zip(columns.routing_pool.tolist(), columns.routing_class.tolist(), columns.routing_period.tolist(), strict=True)
    classes = {key: j for j, key in enumerate(routes)}
    for route in plan.routing:
        pool = named.get(route.pool, -1)
        names = _class_names(table, int(columns.pool_workload[pool])) if pool >= 0 else []
        asked = (route.workload, route.request_class)
        number = names.index(asked) if asked in names else -1
        if (j := classes.get((pool, number, periods.get(route.period, -1)))) is not None:
            start[columns.first_routing + j] = route.share
    runs = {_run_key(compiled, n): n for n in range(len(columns.training) - 1, -1, -1)} if plan.training else {}
    for run in plan.training:
        form = (run.job, run.precision, run.compression, run.accelerator, run.gang)
        if (n := runs.get((*form, run.offer, run.option, run.periods[0]))) is not None:
            start[columns.first_training + n] = 1.0
    return _completed(compiled, start)


def _run_key(compiled: Compiled, n: int) -> tuple[object, ...]:
    runs = compiled.columns.training
    run, offers = runs.runs[n], compiled.candidates.offers
    form = (runs.jobs[run.job].name, run.form.precision, run.form.compression, run.accelerator, run.gang)
    sold = (offers.offers[run.offer].label, offers.prices[run.offer].option.value)
    return (*form, *sold, compiled.instance.periods[run.periods[0]].name)


def _completed(compiled: Compiled, start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fill in the instances, commitments and switches that replicas and routing imply."""
    columns, offers = compiled.columns, compiled.candidates.offers
    used = np.zeros((len(offers), columns.n_periods))
    np.add.at(used, (columns.replica_offer, columns.replica_period), start[: columns.first_instance] * columns.replica_size)
    instances = np.ceil(used / offers.size[:, None])
    start[columns.first_instance : columns.first_commit] = instances[columns.instance_offer, columns.instance_period]
    chosen = start[columns.first_training : columns.first_routing] > 0
    run, period = columns.training.touched
    np.add.at(instances, (columns.training.offer[run], period), (columns.training.instances * chosen)[run])
    lot = offers.lot[columns.commit_offer]
    kept = np.maximum(instances.max(axis=1)[columns.commit_offer], columns.lower[columns.first_commit : columns.first_switch])
    lots = np.ceil(kept / lot)
    start[columns.first_commit : columns.first_switch] = lots * lot
    start[columns.first_lot : columns.first_piece] = lots[columns.lot_commit]
    start = np.maximum(start, columns.lower)
    routed = np.zeros(len(columns.pool_candidate), dtype=bool)
    routed[columns.routing_pool[start[columns.first_routing : columns.first_start] > 0]] = True
    switched = columns.switch_pools[:, routed].any(axis=1) | columns.switch_runs[:, chosen].any(axis=1)
    start[columns.first_switch : columns.first_training] = switched
    replicas = start[: columns.first_instance]
    start[columns.first_piece : columns.first_loss] = columns.queues.of_counts(columns.replica_cell, replicas)
    start[columns.first_start : columns.first_move] = columns.starts.of_replicas(replicas)
    start[columns.first_move : columns.first_shed] = columns.moves.of_replicas(replicas)
    served = np.zeros(int(columns.routing_demand.max(initial=-1)) + 1)
    np.add.at(served, columns.routing_demand, start[columns.first_routing : columns.first_start])
    start[columns.first_shed : columns.first_changed] = np.clip(1.0 - served[columns.shed.demand], 0.0, columns.shed.upper)
    start[columns.first_changed : columns.first_lot] = (start[columns.first_move : columns.first_shed] > 0).any()
    return start


def _class_names(table: CandidateTable, owner: int) -> list[tuple[str, str]]:
    """Give (workload, class) of each class of an owner."""
    places = zip(table.class_workload[owner], table.class_number[owner], table.owners[owner].classes, strict=False)
    return [(table.workloads[w].name, table.workloads[w].classes[b].name) for w, b, _ in places]
