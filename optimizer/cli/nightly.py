"""``allocate nightly run|replay``, ``allocate history list|show`` and ``allocate diff``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.main import emit
from optimizer.cli.options import FORM, output_option
from optimizer.errors import InterruptedByUserError, UsageError

if TYPE_CHECKING:
    from optimizer.nightly.config import NightlyConfig

__all__ = ["diff_command", "history_command", "nightly_command"]

FILE = click.Path(path_type=Path)
CONFIG = click.option("--config", type=FILE, required=True, metavar="FILE", help="The job's configuration, YAML or JSON.")
EXTRA = "the nightly job needs an extra: pip install 'allocate[nightly]'"


def _configured(path: Path) -> NightlyConfig:
    try:
        import httpx  # noqa: F401
        import prometheus_client  # noqa: F401
        import sqlalchemy  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{EXTRA} ({error.name} is missing)") from None
    from optimizer.nightly.config import load_config

    return load_config(path)


@click.group("nightly")
def nightly_command() -> None:
    """Re-plan every night from new prices and demand, with as few changes as pay for themselves."""


@nightly_command.command("run")
@CONFIG
@click.option("--date", "day", metavar="YYYY-MM-DD", help="Plan for this day instead of today.")
@click.option("--override", "overrides", multiple=True, metavar="GUARD=REASON", help="Let a guard rail pass, for this reason.")
@click.option("--log-json", is_flag=True, help="Log as JSON lines on stderr.")
@click.option("--quiet", is_flag=True, help="No line a stage.")
def run_command(config: Path, day: str | None, overrides: tuple[str, ...], log_json: bool, quiet: bool) -> None:
    """Run one night; the last plan stays in force unless a new one is verified and passes every guard."""
    from optimizer.cli.solve import stopped_by_signals

    night = _configured(config)
    from optimizer.nightly.job import run_night

    if log_json:
        _log_json()
    reasons = dict(entry.split("=", 1) for entry in overrides if "=" in entry)
    if len(reasons) < len(overrides) or not all(reasons.values()):
        raise UsageError("--override needs GUARD=REASON, each guard once")
    tell = (lambda line: None) if quiet else (lambda line: click.echo(line, err=True))
    with stopped_by_signals() as (cancel, exit_code):
        try:
            outcome = run_night(night, day=_day(day), overrides=reasons, tell=tell, cancel=cancel)
        except (InterruptedByUserError, KeyboardInterrupt):
            told = InterruptedByUserError("interrupted; the last plan stays in force, the next run takes this one up")
            told.code = exit_code()  # type: ignore[attr-defined]
            raise told from None
    emit(f"{outcome.message}\n")


def _day(text: str | None) -> str | None:
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"--date {text!r} is no day, expected YYYY-MM-DD") from None


def _log_json() -> None:
    import logging
    import sys

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            told = {
                "at": self.formatTime(record),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
            }
            return json.dumps(told)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, which may hold secrets


@nightly_command.command("replay")
@CONFIG
@click.option("--days", type=click.IntRange(2, 366), default=30, show_default=True, help="Synthetic days.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of demand and prices.")
@click.option("--quiet", is_flag=True, help="No line a day.")
@output_option("FILE", "Write the days here, as CSV.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the days here (.svg, .png, .html).")
def replay_command(config: Path, days: int, seed: int, quiet: bool, output: Path | None, plot: Path | None) -> None:
    """Replay synthetic days: the job against the first plan for ever and a new plan every night."""
    night = _configured(config)
    from optimizer.nightly.replay import replay, summary_of, to_csv
    from optimizer.report.drawing import draw_replay

    tell = (lambda line: None) if quiet else (lambda line: click.echo(line, err=True))
    found = replay(night, days=days, seed=seed, tell=tell)
    if output is not None:
        emit(to_csv(found), output)
    if plot is not None:
        draw_replay(to_csv(found)).save(str(plot))
    emit(summary_of(found))


@click.group("history")
def history_command() -> None:
    """Show what the nightly job did."""


@history_command.command("list")
@CONFIG
@click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Runs shown, newest first.")
@FORM
def list_command(config: Path, limit: int, form: str) -> None:
    """List runs, newest first."""
    night = _configured(config)
    from optimizer.nightly.store import Store

    with Store(night.store_url) as store:
        runs = store.runs(limit)
    if form == "json":
        emit(json.dumps(runs, indent=1) + "\n")
    else:
        lines = [f"{'run':>5}  {'day':10}  {'stage':10}  {'exit':>4}  message"]
        for r in runs:
            code = "-" if r["exit_code"] is None else str(r["exit_code"])
            first = (r["message"].splitlines() or [""])[0]
            lines.append(f"{r['id']:>5}  {r['day']:10}  {r['stage']:10}  {code:>4}  {first}")
        emit("\n".join(lines) + "\n")


@history_command.command("show")
@click.argument("run", type=int)
@CONFIG
@click.option("--plan", "with_plan", is_flag=True, help="Print the run's plan instead.")
@output_option("FILE", "Write it here.")
def show_command(run: int, config: Path, with_plan: bool, output: Path | None) -> None:
    """Show one run: its journal, flags and forecast scores, as JSON."""
    night = _configured(config)
    from optimizer.nightly.store import Store

    with Store(night.store_url) as store:
        found = store.run(run)
        if found is None:
            raise UsageError(f"no run {run} in the store")
        if with_plan:
            body = store.plan(str(found["plan_hash"]))
            if body is None:
                raise UsageError(f"run {run} has no plan in the store")
            emit(body, output)
            return
        shown = {k: v for k, v in found.items() if k != "question"}
        told = shown | {"journal": store.journal(run), "scores": store.scores(run)}
    emit(json.dumps(told, indent=1) + "\n", output)


@click.command("diff")
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 when the plans differ.")
@FORM
@output_option("FILE", "Write it here.")
@click.pass_context
def diff_command(ctx: click.Context, before: Path, after: Path, detailed_exitcode: bool, form: str, output: Path | None) -> None:
    """Tell what changes from plan BEFORE to plan AFTER: replicas by pool and offer, and what they cost."""
    from optimizer.plan import load_plan
    from optimizer.report.changes import difference

    found = difference(load_plan(before), load_plan(after))
    emit(json.dumps(found.to_dict(), indent=1) + "\n" if form == "json" else found.to_markdown(), output)
    if detailed_exitcode and found.changes:
        ctx.exit(10)
