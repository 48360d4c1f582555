"""Commands that answer a question about files or this machine: validate, verify, compile, estimate, backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.main import emit
from optimizer.cli.options import FORM, INSTANCE, MAX_BYTES, SET, output_option
from optimizer.errors import CheckFailedError, Problem

if TYPE_CHECKING:
    from solvers import Model

__all__ = ["backends_command", "compile_command", "estimate_command", "validate_command", "verify_command"]

FILE = click.Path(path_type=Path)


@click.command("validate")
@INSTANCE
@SET
@MAX_BYTES
@FORM
def validate_command(instance: Path, changes: tuple[str, ...], max_bytes: int, form: str) -> None:
    """Check INSTANCE and its catalogs; tell every problem at once."""
    from optimizer.read import load_instance

    found = load_instance(instance, set_values=changes, max_bytes=max_bytes)
    counts = {
        "accelerators": len(found.catalogs.accelerators),
        "offers": len(found.catalogs.offers),
        "models": len(found.catalogs.models),
        "profiles": len(found.catalogs.profiles),
        "workloads": len(found.workloads),
        "limits": len(found.limits),
    }
    if form == "json":
        emit(json.dumps({"valid": True, "name": found.name, "hash": found.hash, **counts}) + "\n")
    else:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        emit(f"{instance} is a valid instance: {told}; hash {found.hash[:12]}\n")


@click.command("verify")
@INSTANCE
@click.argument("plan", type=FILE)
@click.option("--plan-in-force", type=FILE, metavar="OLD", help="Check what PLAN says it changes against this plan.")
@SET
@MAX_BYTES
@FORM
def verify_command(
    instance: Path, plan: Path, plan_in_force: Path | None, changes: tuple[str, ...], max_bytes: int, form: str
) -> None:
    """Check PLAN against INSTANCE from first principles; exit 7 where a rule refuses it."""
    from optimizer.plan import load_plan
    from optimizer.read import load_instance
    from optimizer.verify import verify_plan

    in_force = None if plan_in_force is None else load_plan(plan_in_force)
    found = verify_plan(load_instance(instance, set_values=changes, max_bytes=max_bytes), load_plan(plan), in_force)
    if form == "json":
        emit(json.dumps(found.model_dump(mode="json"), indent=1) + "\n")
    elif found.passed:
        emit(f"{plan} is verified: {len(found.rules)} rules hold ({', '.join(found.rules)})\n")
    if not found.passed:
        raise CheckFailedError(f"{plan} does not pass", [Problem(str(plan), "", failure, "") for failure in found.failures])


@click.command("compile")
@INSTANCE
@output_option("FILE", "Write the model here: .mps or .lp.")
@SET
@MAX_BYTES
@FORM
def compile_command(instance: Path, output: Path | None, changes: tuple[str, ...], max_bytes: int, form: str) -> None:
    """Compile INSTANCE: count candidates, and write the whole model as MPS or LP for any MILP solver."""
    from optimizer.compile import compile_instance
    from optimizer.read import load_instance
    from optimizer.report import render_counts

    writer = _model_writer(output)
    compiled = compile_instance(load_instance(instance, set_values=changes, max_bytes=max_bytes))
    model = compiled.model
    size = {
        "columns": model.n_columns,
        "integer columns": int(model.integer.sum()),
        "rows": model.n_rows,
        "nonzeros": model.n_nonzeros,
    }
    if output is not None:
        emit(writer(model), output)
    if form == "json":
        emit(json.dumps({"candidates": compiled.counts, "model": size}, indent=1) + "\n")
    else:
        emit(render_counts(compiled.counts) + "Model: " + ", ".join(f"{n:,} {name}" for name, n in size.items()) + "\n")
        if output is not None:
            emit(f"Written to {output}; its objective is choice-dependent USD per hour.\n")


def _model_writer(output: Path | None) -> Callable[[Model], str]:
    from solvers import to_lp, to_mps

    if output is not None and output.suffix.lower() not in (".mps", ".lp"):
        raise click.UsageError(f"-o {output}: the model is written as .mps or .lp")
    return to_lp if output is not None and output.suffix.lower() == ".lp" else to_mps


@click.command("estimate")
@click.argument("points", type=FILE)
@output_option("OUT.csv", "Where the predictions go.", required=True)
@click.option("--catalogs", type=FILE, metavar="DIR", help="Folder of catalogs; the shipped ones by default.")
def estimate_command(points: Path, output: Path, catalogs: Path | None) -> None:
    """Predict TTFT, TPOT and throughput of the POINTS of a CSV file, with 90 % bands."""
    from optimizer.performance.estimate import estimated_csv
    from optimizer.read import load_catalogs

    text, warnings = estimated_csv(points, load_catalogs(catalogs))
    emit(text, output)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    emit(f"Written to {output}\n")


@click.command("backends")
@FORM
def backends_command(form: str) -> None:
    """List solver backends; each solves a small model before it is called available."""
    from solvers import available_backends

    found = available_backends()
    if form == "json":
        rows = [{"name": b.name, "available": b.is_available, "version": b.version, "problem": b.problem} for b in found]
        emit(json.dumps(rows, indent=1) + "\n")
    else:
        told = (f"{'available' if b.is_available else 'not available'}: {b.problem or b.version}" for b in found)
        emit("".join(f"{b.name:<10} {text}\n" for b, text in zip(found, told, strict=True)))
