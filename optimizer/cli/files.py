"""Commands that hand out files: new, schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from optimizer.cli.main import emit
from optimizer.errors import UsageError

__all__ = ["new_command", "schema_command"]


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
def new_command(folder: Path) -> None:
    """Start FOLDER with a runnable instance and the catalogs it uses."""
    from optimizer.read import shipped_folder

    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise UsageError(f"{folder} exists and is not empty; name a new folder")
    shipped = shipped_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(shipped / "catalogs", folder / "catalogs")
        shutil.copyfile(shipped / "nlp.json", folder / "nlp.json")
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error}") from None
    emit(f"{folder} holds nlp.json and its catalogs. Next: allocate solve {folder / 'nlp.json'}\n")


@click.command("schema")
@click.argument("kind", type=click.Choice(["instance", "plan"]))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the schema here.")
def schema_command(kind: str, output: Path | None) -> None:
    """Print the JSON Schema of an instance (catalogs inline) or of a plan."""
    from optimizer.instance import Instance
    from optimizer.plan import Plan

    shape = Plan if kind == "plan" else Instance
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape.model_json_schema()}
    emit(json.dumps(schema, indent=1) + "\n", output)
