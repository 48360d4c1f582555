"""Commands that hand out files: new, schema."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import click

from optimizer.cli.main import emit
from optimizer.cli.options import output_option
from optimizer.errors import UsageError

__all__ = ["new_command", "schema_command"]


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
def new_command(folder: Path) -> None:
    """Start FOLDER with a runnable instance and the catalogs it uses."""
    from optimizer.read import shipped_folder

    shipped = shipped_folder()
    try:
        if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
            raise UsageError(f"{folder} exists and is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(shipped / "catalogs", folder / "catalogs")
        shutil.copyfile(shipped / "nlp.json", folder / "nlp.json")
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror or error}") from None
    emit(f"{folder} holds nlp.json and its catalogs. Next: allocate solve {shlex.quote(str(folder / 'nlp.json'))}\n")


@click.command("schema")
@click.argument("kind", type=click.Choice(["instance", "plan"]))
@output_option("FILE", "Write the schema here.")
def schema_command(kind: str, output: Path | None) -> None:
    """Print the JSON Schema of an instance file or of a plan."""
    from optimizer.plan import Plan
    from optimizer.read import instance_schema

    shape = Plan.model_json_schema() if kind == "plan" else instance_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape}
    emit(json.dumps(schema, indent=1) + "\n", output)
