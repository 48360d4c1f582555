"""Reading the raw tables and writing the catalogs: one way in, one way out, byte for byte the same each time."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RawRow = dict[str, str]
CatalogRow = dict[str, Any]

LONG_FOLDERS = (
    "aic-core/src/aiconfigurator_core/",
    "pkg/providers/pricing/",
    "src/gpuhunt/_internal/",
    "src/gpuhunt/resources/",
    "tools/submission/submission_checker/",
)


def read_table(path: Path) -> list[RawRow]:
    """Read one raw CSV table; every cell stays text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float | int | None:
    """Read a cell: None when blank, an int when whole.

    >>> [number(text) for text in ("", "8.0", "0.704518")]
    [None, 8, 0.704518]
    """
    if not text:
        return None
    value = float(text)
    return int(value) if value.is_integer() else value


def short_source(text: str) -> str:
    """Shorten a source: long folders go, `repository:file@commit` stays.

    >>> short_source("aws/karpenter-provider-aws:pkg/providers/pricing/x.go @1d92708; shape: SpareCores")
    'aws/karpenter-provider-aws:x.go@1d92708; shape: SpareCores'
    """
    for folder in LONG_FOLDERS:
        text = text.replace(folder, "")
    return re.sub(r" @(?=[0-9a-f]{7}\b)", "@", text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "|".join(map(str, value))
    return str(value)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a catalog: the header's field paths, blank where a row has nothing."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            if unknown := set(row) - set(header):
                raise ValueError(f"{path.name}: columns {sorted(unknown)} are not in the header")
            writer.writerow([_cell(row.get(name)) for name in header])


def write_json(path: Path, document: object) -> None:
    """Write JSON for people: two blanks of indent, a newline at the end."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
