"""The whole model in one solver call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.plan import PROVED_GAP, Plan
from solvers import Progress, Solution, SolveOptions, get_backend

if TYPE_CHECKING:
    from optimizer.catalog import Layout

__all__ = ["solve_compiled", "start_from"]

GAP_SHARE = 0.4
"""Share of the asked gap that the solver itself may leave; the rest is for the safety taken off its bound."""


class _Wishes(Protocol):
    @property
    def backend(self) -> str: ...
    @property
    def time_limit_s(self) -> float: ...
    @property
    def relative_gap(self) -> float: ...
    @property
    def threads(self) -> int: ...
    @property
    def seed(self) -> int: ...


class _Cancel(Protocol):
    def is_set(self) -> bool: ...


def solve_compiled(
    compiled: Compiled,
    wishes: _Wishes,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: _Cancel | None = None,
) -> tuple[Solution, str]:
    """Solve a compiled question; give the solution and the name of the method.

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
    return backend.solve(compiled.model, options, on_progress=on_progress, cancel=cancel), "direct"


def start_from(compiled: Compiled, plan: Plan) -> npt.NDArray[np.float64]:
    """Give the column values of another plan, where this question still has its pools and offers; a hint, no more."""
    columns, table = compiled.columns, compiled.candidates
    start = np.zeros(len(columns.upper))
    offers = {(o.label, p.option.value): i for i, (o, p) in enumerate(zip(table.offers.offers, table.offers.prices, strict=True))}
    pools: dict[tuple[object, ...], int] = {}
    for p, k in enumerate(columns.pool_candidate.tolist()):
        c = table.configuration(k)
        key = (
            table.workloads[table.workload[k]].name,
            c.model,
            c.precision,
            c.compression,
            c.accelerator,
            c.accelerators_per_replica,
        )
        pools[(*key, c.engine, c.engine_version, _layout(c.layout), table.offers.regions[columns.pool_region[p]])] = p
    place = {
        (p, o): j for j, (p, o) in enumerate(zip(columns.replica_pool.tolist(), columns.replica_offer.tolist(), strict=True))
    }
    named: dict[str, int] = {}
    for d in plan.deployments:
        layout = (d.tensor, d.pipeline, d.attention_data, d.expert)
        key = (d.workloads[0], d.model, d.precision, d.compression, d.accelerator, d.accelerators_per_replica)
        pool = pools.get((*key, d.engine, d.engine_version, layout, f"{d.provider}/{d.region}"))
        j = place.get((pool if pool is not None else -1, offers.get((d.offer, d.option), -1)))
        if j is not None and pool is not None:
            start[j] += d.replicas
            named[d.pool] = pool
    classes = {
        (p, b): j for j, (p, b) in enumerate(zip(columns.routing_pool.tolist(), columns.routing_class.tolist(), strict=True))
    }
    for route in plan.routing:
        if route.pool in named:
            pool = named[route.pool]
            names = [c.name for c in table.workloads[columns.pool_workload[pool]].classes]
            j = classes.get((pool, names.index(route.request_class))) if route.request_class in names else None
            if j is not None:
                start[columns.first_routing + j] = route.share
    used = np.bincount(
        columns.replica_offer, weights=start[: columns.first_instance] * columns.replica_size, minlength=len(table.offers)
    )
    start[columns.first_instance : columns.first_switch] = np.ceil(used / table.offers.size)[columns.instance_offer]
    routed = np.zeros(len(columns.pool_candidate), dtype=bool)
    routed[columns.routing_pool[start[columns.first_routing :] > 0]] = True
    start[columns.first_switch : columns.first_routing] = columns.switch_pools[:, routed].any(axis=1)
    return start


def _layout(layout: Layout) -> tuple[int, int, int | None, int | None]:
    return layout.tensor, layout.pipeline, layout.attention_data, layout.expert
