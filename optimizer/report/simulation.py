"""A simulation as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.report.text import _table as table

if TYPE_CHECKING:
    from optimizer.simulate import Simulation
    from optimizer.simulate.results import Figure, SimulatedPool

__all__ = ["misses", "render_simulation"]

HEAD = ["pool", "period", "replicas", "class", "figure", "95 % interval, ms", "target, ms", ""]


def render_simulation(found: Simulation) -> str:
    """Give every figure against its target, then what was not simulated."""
    rows = [
        [_name(pool) if not k else "", pool.period, f"{pool.replicas}", *_figure(figure)]
        for pool in found.pools
        for k, figure in enumerate(pool.figures)
    ]
    parts = [
        f"Simulation of the plan for {found.instance.name}: {found.arrivals}; {found.requests_per_pool:,} requests a pool, "
        f"shared by {found.balancer}; times carry the factor {found.spread_factor:g} for spread between runs",
        "",
        table("", HEAD, rows, markdown=False) if rows else "No pool rests on a curve.",
    ]
    if found.not_simulated:
        rest = [[r.pool, r.why, f"{r.load_share:.1%}"] for r in found.not_simulated]
        title = f"Not simulated: {found.held_share:.1%} of the busy accelerators"
        parts += ["", table(title, ["pool", "why", "share"], rest, markdown=False)]
    verdict = f"{len(found.misses)} figures miss their target" if found.misses else "Every target of every simulated pool holds"
    return "\n".join([*parts, "", verdict]) + "\n"


def _name(pool: SimulatedPool) -> str:
    return pool.pool if pool.event is None else f"{pool.event}: {pool.pool}"


def _figure(figure: Figure) -> list[str]:
    name = f"{figure.statistic} {figure.quantity}"
    who = f"{figure.workload}/{figure.request_class}"
    return [who, name, _interval(figure), f"{figure.target_ms:g}", "holds" if figure.holds else "MISSES"]


def _interval(figure: Figure) -> str:
    high = "unknown" if figure.high_ms is None else f"{figure.high_ms:,.1f}"
    return f"{figure.low_ms:,.1f} to {high}"


def misses(found: Simulation) -> list[tuple[str, str]]:
    """Give each miss as the pool and what to say of it, with what would mend it."""
    return [
        (
            f"{_name(pool)} in {pool.period}",
            f"{f.workload}/{f.request_class}: {f.statistic} {f.quantity} is {_interval(f)} ms, target {f.target_ms:g} ms; "
            + _remedy(pool),
        )
        for pool, f in found.misses
    ]


def _remedy(pool: SimulatedPool) -> str:
    remedy = pool.remedy
    if remedy is None or remedy.load_share is None:
        return "it does not hold at any load tried"
    cap = f"a utilization of {remedy.utilization:.3f} instead of {pool.utilization:.3f}"
    return f"{remedy.replicas} replicas instead of {pool.replicas} would hold it, or {cap}"
