"""A table of points in, the same table with estimates out: what ``allocate estimate POINTS.csv -o OUT.csv`` does.

Columns are those of measured language points (``REQUIRED_COLUMNS``); others are kept and ignored. The order of rows is kept. What
cannot be predicted stays blank and is counted in the warnings; what is no number is refused, all of it together.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from optimizer.documents import text_of
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance import Catalogs
from optimizer.performance.combined import estimate_points
from optimizer.performance.lookup import Lookup
from optimizer.performance.points import Array, Points, Predictions
from optimizer.problems import nearest

__all__ = ["ADDED_COLUMNS", "REQUIRED_COLUMNS", "estimate_points", "estimated_csv"]

TEXT_COLUMNS = ("model", "accelerator", "precision")
NUMBER_COLUMNS = ("tensor_parallel", "accelerator_count", "input_tokens", "output_tokens")
BLANK_NUMBER_COLUMNS = ("attention_dp", "expert_parallel", "concurrency")
BLANK_TEXT_COLUMNS = ("backend", "backend_version")
REQUIRED_COLUMNS = (*TEXT_COLUMNS, *NUMBER_COLUMNS, *BLANK_NUMBER_COLUMNS, *BLANK_TEXT_COLUMNS)
ADDED_COLUMNS = ("predicted_ttft_ms", "predicted_tpot_ms", "predicted_output_tokens_per_s", "low", "high", "quality")
MAX_NUMBER = 1e9
CHECKPOINT_WORDS = {"instruct", "chat", "it", "hf", "fp8", "fp4", "nvfp4", "mxfp4", "int4", "int8", "awq", "gptq", "bf16", "fp16"}
"""Words of a checkpoint's name that tell of its tuning or precision, which change no size of the network."""

LINE = ""
"""Where a row keeps its line number: no column is named by nothing."""
Row = dict[str, str]


def estimated_csv(path_in: str | Path, catalogs: Catalogs) -> tuple[str, tuple[str, ...]]:
    """Read points; give the table with estimates as CSV text, and warnings, one for each name that is not known.

    Raises
    ------
    InvalidInputError : the table lacks columns, is no table, or holds what is no number
    """
    header, rows = _read(Path(path_in))
    points = _points(rows, str(path_in))
    taken = _taken_as(Lookup(catalogs), points.model)
    predictions = estimate_points(catalogs, replace(points, model=[taken.get(name, name) for name in points.model]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kept = [name for name in header if name not in ADDED_COLUMNS]
    writer.writerow([*kept, *ADDED_COLUMNS])
    for row, added in zip(rows, _added(predictions), strict=True):
        writer.writerow([*(row[name] for name in kept), *added])
    renamed = [f"{n} rows: model {name!r} taken as {taken[name]!r}" for name, n in Counter(points.model).items() if name in taken]
    return text.getvalue(), (*renamed, *_warnings(catalogs, points, predictions))


def _taken_as(lookup: Lookup, names: Iterable[str]) -> dict[str, str]:
    """Find the catalog's model for a checkpoint of it under another name: another owner, a precision or a release date in it."""
    bare: dict[str, set[str]] = {}
    for alias, model in lookup.models.items():
        bare.setdefault(_bare(alias), set()).add(model.name)
    unknown = {name: bare.get(_bare(name), set()) for name in names if name not in lookup.models}
    return {name: next(iter(models)) for name, models in unknown.items() if len(models) == 1}


def _bare(name: str) -> str:
    """Strip what changes no size of a network from its name.

    >>> _bare("nvidia/Llama-3.1-8B-Instruct-FP8"), _bare("deepseek-ai/DeepSeek-R1-0528")
    ('llama-3.1-8b', 'deepseek-r1')
    """
    words = name.lower().rsplit("/", 1)[-1].split("-")
    return "-".join(word for word in words if word not in CHECKPOINT_WORDS and not re.fullmatch(r"[0-9]{4}", word))


def _read(path: Path) -> tuple[list[str], list[Row]]:
    lines = csv.reader(io.StringIO(text_of(path)), strict=True)
    problems: list[Problem] = []
    rows: list[Row] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        missing = [name for name in REQUIRED_COLUMNS if name not in header]
        problems += [
            Problem(str(path), "header", "no such column", f"the column {name}", nearest(name, header)) for name in missing
        ]
        problems += [
            Problem(str(path), "header", f"{name!r} twice", "one column a name") for name, n in Counter(header).items() if n > 1
        ]
        for cells in lines:
            if len(cells) != len(header) and cells:
                problems.append(
                    Problem(str(path), f"line {lines.line_num}", f"{len(cells)} cells", f"{len(header)}, as in the header")
                )
            elif cells:
                rows.append({**dict(zip(header, cells, strict=True)), LINE: str(lines.line_num)})
    except csv.Error as error:
        problems.append(Problem(str(path), f"line {lines.line_num}", str(error), "comma-separated values"))
    if problems:
        raise InvalidInputError(f"{path} cannot be used as points", problems)
    return header, rows


def _points(rows: list[Row], file: str) -> Points:
    problems: list[Problem] = []

    def numbers(name: str) -> Array:
        return np.array([_number(row, name, file, problems) for row in rows], dtype=np.float64)

    def texts(name: str) -> list[str | None]:
        return [row[name].strip() or None for row in rows]

    columns = {name: numbers(name) for name in (*NUMBER_COLUMNS, *BLANK_NUMBER_COLUMNS)}
    if problems:
        raise InvalidInputError(f"{file} cannot be used as points", problems)
    lanes = np.where(np.isnan(columns["attention_dp"]), 1.0, columns["attention_dp"])
    return Points(
        model=[row["model"].strip() for row in rows],
        compression=["none"] * len(rows),
        accelerator=[row["accelerator"].strip() for row in rows],
        precision=[row["precision"].strip() for row in rows],
        tensor=columns["tensor_parallel"],
        pipeline=np.maximum(columns["accelerator_count"] // (columns["tensor_parallel"] * lanes), 1.0),
        attention_data=columns["attention_dp"],
        expert=columns["expert_parallel"],
        accelerators=columns["accelerator_count"],
        engine=texts("backend"),
        engine_version=texts("backend_version"),
        input_tokens=columns["input_tokens"],
        output_tokens=columns["output_tokens"],
        concurrency=columns["concurrency"],
    )


def _number(row: Row, name: str, file: str, problems: list[Problem]) -> float:
    """Read one cell; a blank where one may stand is NaN, what is no positive number is a problem."""
    text = row[name].strip()
    if not text and name in BLANK_NUMBER_COLUMNS:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (1.0 <= value <= MAX_NUMBER) or "_" in text:
        found = repr(text) if text else "nothing"
        problems.append(Problem(file, f"line {row[LINE]}, column {name}", found, "a number from 1 to 1e9"))
    return value


def _added(predictions: Predictions) -> Iterable[list[str]]:
    """Cells of the added columns; where there is no rate there is no quality either."""
    columns = (predictions.ttft_ms, predictions.tpot_ms, predictions.output_tokens_per_s, predictions.low, predictions.high)
    for *values, quality in zip(*(column.tolist() for column in columns), predictions.quality, strict=True):
        cells = [f"{value:.6g}" if math.isfinite(value) else "" for value in values]
        yield [*cells, str(quality) if cells[2] else ""]


def _warnings(catalogs: Catalogs, points: Points, predictions: Predictions) -> tuple[str, ...]:
    lookup, is_blank = Lookup(catalogs), np.isnan(predictions.output_tokens_per_s)
    found, explained = [], np.zeros(len(points), dtype=bool)
    for field, known in (("model", lookup.models), ("accelerator", lookup.accelerators)):
        names = np.array(getattr(points, field), dtype=object)
        for name, rows in Counter(names[is_blank].tolist()).items():
            if name not in known:
                explained |= names == name
                found.append(f"{rows} rows left blank: unknown {field} {name!r}; {nearest(name, known)}")
    rest = int((is_blank & ~explained).sum())
    if rest:
        found.append(
            f"{rest} rows left blank: too large for the memory, or a figure of the model, precision or accelerator is missing"
        )
    return tuple(found)
