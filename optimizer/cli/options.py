"""Options that several commands share, with one meaning and one way of being refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from optimizer.output import refuse_unwritable

__all__ = ["FORM", "INSTANCE", "MAX_BYTES", "SET", "output_option"]

INSTANCE = click.argument("instance", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change the instance first, e.g. policy.utilization_cap=0.7."
)
FORM = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
MAX_BYTES = click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=256 * 2**20,
    show_default=True,
    metavar="N",
    envvar="ALLOCATE_MAX_BYTES",
    help="Largest input file read.",
)


F = TypeVar("F", bound=Callable[..., Any])


def output_option(metavar: str, text: str, *, required: bool = False) -> Callable[[F], F]:
    """Give the option ``-o``; a place that cannot be written is refused before any work is done."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        required=required,
        metavar=metavar,
        callback=lambda ctx, param, path: refuse_unwritable(path),
        help=text,
    )
