"""Instance files in a temporary folder, and what reading them refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import InvalidInputError, Problem
from optimizer.read import load_instance
from tests.optimizer.tiny import document, two_types


def small(**changes: Any) -> dict[str, Any]:
    """Give the document of two accelerators, two offers, one model and one workload."""
    return document(**two_types(10, **changes))


def written(folder: Path, content: Mapping[str, Any] | str | bytes, name: str = "instance.json") -> Path:
    path = folder / name
    raw = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(raw)
    return path


def table(header: Sequence[str], *rows: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def refusals(read: Callable[[], object]) -> tuple[Problem, ...]:
    """Give the problems that reading something raises."""
    with pytest.raises(InvalidInputError) as raised:
        read()
    assert raised.value.problems, "a refusal without a problem"
    return raised.value.problems


def refused_document(folder: Path, content: Mapping[str, Any] | str | bytes, **options: Any) -> tuple[Problem, ...]:
    """Give the problems of an instance file with this content."""
    path = written(folder, content)
    return refusals(lambda: load_instance(path, **options))


def changed(content: dict[str, Any], pointer: str, value: object) -> dict[str, Any]:
    """Give a document with one place changed; the document given is a copy of its own already."""
    *above, last = pointer.strip("/").split("/")
    here: Any = content
    for step in above:
        here = here[int(step) if isinstance(here, list) else step]
    here[int(last) if isinstance(here, list) else last] = value
    return content
