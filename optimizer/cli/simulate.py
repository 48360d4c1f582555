"""``allocate simulate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.main import emit
from optimizer.cli.options import FORM, INSTANCE, MAX_BYTES, SET
from optimizer.errors import CheckFailedError, Problem

if TYPE_CHECKING:
    from optimizer.instance import Balancer

__all__ = ["simulate_command"]


@click.command("simulate")
@INSTANCE
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--requests", default=1_000_000, show_default=True, metavar="N", help="Requests counted in each pool.")
@click.option("--arrivals", default=None, metavar="poisson|bursty|TRACE.csv", help="How requests come; as stated by default.")
@click.option("--balancer", default=None, metavar="NAME", help="How a pool shares its requests; the policy's by default.")
@click.option("--lose", multiple=True, metavar="POOL@T", help="Stop a replica of a pool T seconds on; @T*N stops N.")
@click.option("--losses", is_flag=True, help="Simulate what is left after each loss that a workload insures against, too.")
@click.option("--all-periods", is_flag=True, help="Simulate each pool in all its periods, not only in its busiest.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Seed of the arrivals.")
@SET
@MAX_BYTES
@FORM
def simulate_command(
    instance: Path,
    plan: Path,
    requests: int,
    arrivals: str | None,
    balancer: str | None,
    lose: tuple[str, ...],
    losses: bool,
    all_periods: bool,
    seed: int,
    changes: tuple[str, ...],
    max_bytes: int,
    form: str,
) -> None:
    """Simulate the pools of PLAN request by request; exit 7 where a target of INSTANCE misses."""
    from optimizer.plan import load_plan
    from optimizer.read import load_instance
    from optimizer.report.simulation import misses, render_simulation
    from optimizer.simulate import LossAt, arrivals_of, simulate_plan

    chosen = _balancer(balancer)
    how, stopped = arrivals_of(arrivals) if arrivals else None, tuple(LossAt.read(text) for text in lose)
    question, answer = load_instance(instance, set_values=changes, max_bytes=max_bytes), load_plan(plan)
    tell = _line if sys.stderr.isatty() else None
    found = simulate_plan(
        question,
        answer,
        requests=requests,
        arrivals=how,
        balancer=chosen,
        seed=seed,
        every_period=all_periods,
        losses=losses,
        lose=stopped,
        on_pool=tell,
    )
    if tell is not None:
        click.echo("\r\x1b[K", nl=False, err=True)
    emit(found.to_json() if form == "json" else render_simulation(found))
    if not found.holds:
        problems = [Problem(str(plan), pool, what, "") for pool, what in misses(found)]
        raise CheckFailedError(f"{plan} misses targets in simulation", problems)


def _balancer(name: str | None) -> Balancer | None:
    from optimizer.instance import Balancer

    if name is None:
        return None
    if name not in list(Balancer):
        raise click.UsageError(f"--balancer {name}: expected one of {', '.join(Balancer)}")
    return Balancer(name)


def _line(pool: str) -> None:
    click.echo(f"\r\x1b[K{pool[:100]}", nl=False, err=True)
