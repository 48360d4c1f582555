"""Commands that make instances: generate (synthetic), import (from another tool's file)."""

from __future__ import annotations

import json
from pathlib import Path

import click

from optimizer.cli.main import emit
from optimizer.cli.options import output_option

__all__ = ["generate_command", "import_command"]


@click.command("generate")
@click.option("--workloads", type=click.IntRange(1, 1_000_000), required=True, help="How many workloads.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same instance.")
@click.option("--shared-supply", is_flag=True, help="Half of the accelerators that the workloads want are there.")
@click.option(
    "--periods", type=click.IntRange(1, 96), default=1, show_default=True, help="Parts of a day with demands of their own."
)
@output_option("INSTANCE", "Write the instance here.")
def generate_command(workloads: int, seed: int, shared_supply: bool, periods: int, output: Path | None) -> None:
    """Make a synthetic instance of any size, for measuring; every figure in it is assumed."""
    from optimizer.synthetic import synthetic_document

    document = synthetic_document(workloads, seed, shared_supply=shared_supply, periods=periods)
    emit(json.dumps(document, separators=(",", ":")) + "\n", output)


@click.command("import")
@click.argument("kind", type=click.Choice(["melange"]))
@click.argument("config", type=click.Path(path_type=Path))
@output_option("INSTANCE", "Write the instance here.")
def import_command(kind: str, config: Path, output: Path | None) -> None:
    """Turn CONFIG of another tool into an instance; melange is the published GPU-selection format."""
    from optimizer.interop import melange_document

    emit(json.dumps(melange_document(config), indent=1) + "\n", output)
