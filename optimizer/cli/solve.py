"""``allocate solve``."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from optimizer.cli.main import emit
from optimizer.cli.options import INSTANCE, MAX_BYTES, SET, output_option
from optimizer.errors import InterruptedByUserError, UsageError
from optimizer.output import refuse_unwritable, write_atomically

if TYPE_CHECKING:
    from optimizer.instance import Instance
    from optimizer.pipeline import Options, Progress
    from optimizer.plan import Plan

__all__ = ["solve_command", "stopped_by_signals"]

METHODS = ("auto", "direct", "decompose")
FORMATS = ("table", "json", "csv", "markdown")
BY_SUFFIX = {".json": "json", ".csv": "csv", ".md": "markdown"}


@click.command("solve")
@INSTANCE
@click.option("--backend", default="auto", show_default=True, metavar="auto|cbc|ortools", help="Solver backend.")
@click.option("--time-limit", default=120.0, show_default=True, metavar="S", help="Wall seconds for the solver.")
@click.option("--gap", default=1e-4, show_default=True, metavar="R", help="Relative gap at which the solver may stop.")
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="How to solve.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Seed of the backend.")
@click.option("--cluster", metavar="ADDRESS", help="Solve blocks of large questions on the Dask cluster at ADDRESS.")
@click.option("--threads", default=1, show_default=True, metavar="N", help="Threads per solve.")
@click.option(
    "--plan-in-force",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Start from this plan.",
)
@click.option("--warm", type=click.Path(path_type=Path), metavar="FILE", help="Start from what a like solve kept there.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=lambda ctx, param, path: refuse_unwritable(path),
    help="Keep what a solve in blocks learns there, for --warm.",
)
@SET
@click.option("--rejected", metavar="WORKLOAD", help="Also show what was rejected for this workload, and why.")
@click.option("--strict-prices", is_flag=True, help="Refuse (exit 7) where an offer, a route or a region has no usable price.")
@click.option("--simulate", is_flag=True, help="Simulate the plan; load pools that miss a target less, and solve again.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Form of the result.")
@output_option("FILE", "Write the plan here (.json, .csv, .md).")
@click.option("--quiet", is_flag=True, help="No progress, and nothing on stdout when -o is given.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@MAX_BYTES
def solve_command(
    instance: Path,
    backend: str,
    time_limit: float,
    gap: float,
    method: str,
    seed: int,
    cluster: str | None,
    threads: int,
    plan_in_force: Path | None,
    warm: Path | None,
    keep: Path | None,
    changes: tuple[str, ...],
    rejected: str | None,
    strict_prices: bool,
    simulate: bool,
    form: str,
    output: Path | None,
    quiet: bool,
    debug: bool,
    max_bytes: int,
) -> None:
    """Choose hardware, counts, precision and compression for INSTANCE at the least total cost."""
    from optimizer.pipeline import Options
    from optimizer.read import load_instance

    options = Options(backend, time_limit, gap, method, threads, seed, strict_prices, cluster)
    question = load_instance(instance, set_values=changes, max_bytes=max_bytes)
    if rejected is not None:
        _show_rejected(question, rejected, form)
    plan = _solved(question, options, plan_in_force, warm, keep, quiet, simulate)
    _show(plan, form, output, quiet, _next_command(instance, output, changes))


def _solved(
    question: Instance,
    options: Options,
    plan_in_force: Path | None,
    warm: Path | None,
    keep: Path | None,
    quiet: bool,
    simulate: bool,
) -> Plan:
    from optimizer.pipeline import allocate, allocate_simulated
    from optimizer.plan import load_plan
    from optimizer.solve import Learned, load_learned

    in_force = None if plan_in_force is None else load_plan(plan_in_force)
    learned, kept = None if warm is None else load_learned(warm), list[Learned]()
    progress = _line if sys.stderr.isatty() and not quiet else None
    with stopped_by_signals() as (cancel, exit_code):
        try:
            find = allocate_simulated if simulate else allocate
            plan = find(
                question,
                options,
                plan_in_force=in_force,
                on_progress=progress,
                cancel=cancel,
                learned=learned,
                on_learned=None if keep is None else kept.append,
            )
        except (InterruptedByUserError, KeyboardInterrupt) as stopped:
            told = stopped if isinstance(stopped, InterruptedByUserError) else InterruptedByUserError("interrupted at once")
            told.code = exit_code()  # type: ignore[attr-defined]
            raise told from None
        finally:
            if progress is not None:
                click.echo("\r\x1b[K", nl=False, err=True)
    if keep is not None and kept:
        write_atomically(keep, kept[-1].to_json())
    elif keep is not None:
        click.echo(f"nothing to keep in {keep}: the whole model was solved at once", err=True)
    return plan


def _next_command(instance: Path, output: Path | None, changes: tuple[str, ...]) -> str:
    """Give the commands that keep the plan and check it, as a shell would take them."""
    plan, question = str(output or "plan.json"), [str(instance), *(word for change in changes for word in ("--set", change))]
    verify = shlex.join(["allocate", "verify", *question, plan])
    return verify if output is not None else shlex.join(["allocate", "solve", *question, "-o", plan]) + " && " + verify


def _show(plan: Plan, form: str, output: Path | None, quiet: bool, follow: str) -> None:
    from optimizer.report import render

    if output is not None:
        emit(render(plan, BY_SUFFIX.get(output.suffix.lower(), form if form != "table" else "json")), output)
    if output is None or not quiet:
        emit(render(plan, form, next_command=follow))


def _show_rejected(question: Instance, workload: str, form: str) -> None:
    """Tell the rejected candidates of a workload: on stdout beside a table, on stderr beside what a program reads."""
    from optimizer.compile import candidate_table, training_table
    from optimizer.errors import InfeasibleError
    from optimizer.problems import nearest
    from optimizer.report import render_rejected

    names = [w.name for w in question.workloads]
    if workload not in names:
        raise UsageError(f"--rejected {workload!r}: no such workload; {nearest(workload, names)}")
    try:
        table = candidate_table(question)
        found = (*table.rejected, *training_table(table).rejected)
    except InfeasibleError:
        return  # the solve that follows tells it, candidate by candidate
    click.echo(render_rejected(found, workload, markdown=form == "markdown"), err=form in ("json", "csv"))


def _line(progress: Progress) -> None:
    """Tell on one terminal line where the solve stands."""
    cost = "no plan yet" if progress.usd_per_hour is None else f"plan {progress.usd_per_hour:,.2f} USD/h"
    bound = "no bound yet" if progress.bound_usd is None else f"bound {progress.bound_usd:,.2f}"
    gap = "" if progress.relative_gap is None else f", gap {progress.relative_gap:.3%}"
    click.echo(f"\r\x1b[K{progress.seconds:6.1f} s  {cost}, {bound}{gap}", nl=False, err=True)


@contextmanager
def stopped_by_signals() -> Iterator[tuple[threading.Event, Callable[[], int]]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop with the best plan; a second one stops at once."""
    cancel, code = threading.Event(), [130]

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        code[0] = 128 + number
        cancel.set()

    if threading.current_thread() is not threading.main_thread():
        yield cancel, lambda: code[0]
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel, lambda: code[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
