"""From files to an ``Instance``: the one loader, strict and complete in what it refuses.

Two passes: ``documents`` reads the file (duplicate keys, NaN, huge numbers and deep nesting are refused there), tables beside it
are read from CSV, then pydantic judges the whole. All problems are told together, each with its file and place.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from optimizer.documents import MAX_BYTES, finite, parsed, read_document, refused, strict_json, text_of
from optimizer.errors import InvalidInputError, Problem, UsageError
from optimizer.instance import SCHEMA_VERSION, Catalogs, Instance
from optimizer.problems import nearest, newer_version, not_yet_problems, reference_problems, validation_problems

__all__ = ["instance_schema", "load_catalogs", "load_instance", "shipped_folder"]

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
STEP = re.compile(r"[0-9]{1,6}", re.ASCII)
CATALOG_FILES = {
    "accelerators": ("accelerators.csv",),
    "offers": ("offers.csv",),
    "models": ("models.json", "models_*.json"),
    "profiles": ("profiles_*.csv",),
    "efficiencies": ("efficiencies.json",),
    "regions": ("regions.csv",),
}


@dataclass
class _Document:
    """A document while it is read: the data, where its tables came from, which could not be read, and the problems so far."""

    file: str
    data: dict[str, Any]
    origins: dict[str, list[_Origin]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Origin:
    """Rows ``first`` .. ``first + count`` of a catalog came from this file; ``table`` says where in it, None for JSON."""

    file: str
    first: int
    count: int
    table: _Table | None = None


@dataclass(frozen=True)
class _Table:
    """Rows of a CSV file, the line each ends on, and the columns that each fills."""

    rows: list[dict[str, Any]]
    lines: list[int]
    filled: list[tuple[str, ...]]

    def place(self, row: int, path: Sequence[str]) -> str:
        """Name the line and column of a field; a list's members are numbered anew where the columns of some are blank."""
        fields = self.filled[row]
        for depth, step in enumerate(path):
            if step.isdecimal():
                under = [name.split(".") for name in fields if name.split(".")[:depth] == list(path[:depth])]
                steps = sorted({name[depth] for name in under if len(name) > depth and name[depth].isdecimal()}, key=int)
                path = [*path[:depth], *steps[int(step) : int(step) + 1], *path[depth + 1 :]]
        return f"line {self.lines[row]}" + (f", column {'.'.join(path)}" if path else "")


def load_instance(path: str | Path, *, set_values: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> Instance:
    """Read an instance file (JSON or TOML) with the catalogs beside it.

    Parameters
    ----------
    path : the file; catalog paths inside it are relative to its folder and may not leave it
    set_values : ``PATH=VALUE`` changes made before validation, ``workloads.chat.latency.0.at_most_ms=800`` or a JSON pointer
    max_bytes : the largest file accepted

    Raises
    ------
    UsageError : a ``set_values`` entry is not ``PATH=VALUE`` or its path is not there
    InvalidInputError : all that is wrong with the files, together
    """
    path = Path(path)
    document = _Document(str(path), read_document(path, max_bytes=max_bytes))
    _inline_catalogs(document, path.parent, max_bytes)
    for change in set_values:
        _set(document.data, change)
    return _validated(document)


def load_catalogs(folder: str | Path | None = None, *, max_bytes: int = MAX_BYTES) -> Catalogs:
    """Read a folder of catalogs under their usual names; the shipped ones when no folder is given.

    Raises
    ------
    InvalidInputError : a file is missing or wrong
    """
    folder = Path(folder) if folder is not None else shipped_folder() / "catalogs"
    named = {key: sorted(p.name for pattern in patterns for p in folder.glob(pattern)) for key, patterns in CATALOG_FILES.items()}
    document = _Document(str(folder), {"catalogs": {key: files for key, files in named.items() if files}})
    _inline_catalogs(document, folder, max_bytes)
    found = reference_problems(document.data, unread=document.unread)
    try:
        catalogs = Catalogs.model_validate_json(json.dumps(document.data["catalogs"]))
    except ValidationError as error:
        found = [replace(p, pointer="/catalogs" + p.pointer) for p in validation_problems(error)] + found
        found = [p for p in found if p.pointer.removeprefix("/catalogs/") not in document.unread]
    if problems := document.problems + [_relocated(p, document) for p in found]:
        raise InvalidInputError(f"{folder} cannot be used as catalogs", problems)
    return catalogs


def shipped_folder() -> Path:
    """Give the folder of instances and catalogs that comes with the package (wheel) or the checkout."""
    here = Path(__file__).resolve().parent
    return next((f for f in (here / "shipped", here.parent / "instances") if (f / "catalogs").is_dir()), here / "shipped")


def instance_schema() -> dict[str, Any]:
    """Give the JSON Schema of an instance file, whose catalogs may also be names of files beside it."""
    schema = Instance.model_json_schema()
    for shape in schema["$defs"]["Catalogs"]["properties"].values():
        name = {"type": "string", "description": "a file beside the instance: .csv, .json"}
        inline = {key: shape.pop(key) for key in ("type", "items", "minItems") if key in shape}
        shape["anyOf"] = [name, {**inline, "items": {"anyOf": [name, inline["items"]]}}]
    return schema


def _validated(document: _Document) -> Instance:
    if newer := newer_version(document.data, SCHEMA_VERSION, document.file):
        raise InvalidInputError(f"{document.file} cannot be used as an instance", [newer])
    found = reference_problems(document.data, unread=document.unread) + not_yet_problems(document.data)
    try:
        instance = Instance.model_validate_json(json.dumps(document.data), context={"references_checked": True})
    except ValidationError as error:
        found = validation_problems(error) + found
    problems = document.problems + [_relocated(p, document) for p in found]
    if problems:
        unique = list({(p.file, p.pointer, p.found): p for p in problems}.values())
        raise InvalidInputError(f"{document.file} cannot be used as an instance", unique)
    return instance


def _relocated(problem: Problem, document: _Document) -> Problem:
    """Point a problem at the file, line and column it came from, where that is a table beside the document."""
    parts = problem.pointer.split("/")
    if len(parts) >= 4 and parts[1] == "catalogs" and parts[3].isdecimal():
        row = int(parts[3])
        for origin in document.origins.get(parts[2], ()):
            if origin.first <= row < origin.first + origin.count:
                rest, at = parts[4:], row - origin.first
                place = "/" + "/".join([str(at), *rest]) if origin.table is None else origin.table.place(at, rest)
                return replace(problem, file=origin.file, pointer=place)
    return replace(problem, file=problem.file or document.file)


# -- tables -----------------------------------------------------------------------------------------------------------------


def _inline_catalogs(document: _Document, folder: Path, max_bytes: int) -> None:
    """Replace the file names under ``catalogs`` by what the files hold."""
    catalogs = document.data.get("catalogs")
    if not isinstance(catalogs, dict):
        return
    for key, value in list(catalogs.items()):
        members = [value] if isinstance(value, str) else value
        if isinstance(members, list) and key in Catalogs.model_fields:
            catalogs[key] = _rows(document, key, members, folder, max_bytes)


def _rows(document: _Document, key: str, members: list[Any], folder: Path, max_bytes: int) -> list[Any]:
    rows: list[Any] = []
    for member in members:
        if not isinstance(member, str):
            rows.append(member)
            continue
        try:
            path = _confined(member, folder)
            table = _csv_table(path, text_of(path, max_bytes), _record(key)) if path.suffix.lower() == ".csv" else None
            found = _records(path, max_bytes) if table is None else table.rows
        except InvalidInputError as error:
            document.problems += error.problems
            document.unread.add(key)
            continue
        document.origins.setdefault(key, []).append(_Origin(str(folder / member), len(rows), len(found), table))
        rows += found
    return rows


def _record(key: str) -> type[BaseModel]:
    record: type[BaseModel] = get_args(Catalogs.model_fields[key].annotation)[0]
    return record


def _confined(name: str, folder: Path) -> Path:
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links; a NUL or half a character in the name
        raise refused(folder, f"the file name {name[:80]!r}", "a file beside the instance", "") from None
    if not path.is_relative_to(folder.resolve()):
        found = "a path that leaves the instance's folder"
        raise refused(folder / name, found, "a relative path inside it", "copy the file there")
    return path


def _records(path: Path, max_bytes: int) -> list[Any]:
    found = parsed(path, max_bytes)
    if not isinstance(found, list):
        raise refused(path, f"a {type(found).__name__}", "a list of records", "")
    return found


def _csv_table(path: Path, text: str, record: type[BaseModel]) -> _Table:
    """Read a table whose header holds field paths (``prices.0.option``); blank cells are absent fields, blank lines nothing."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table, problems = _Table([], [], []), []
    shapes: dict[tuple[str, ...], dict[str, Any]] = {}  # most rows fill the same columns: their nesting is worked out once
    try:
        header = next(reader, [])
        kinds = _kinds(path, header, record)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                wanted = f"{len(header)}, as the header has"
                problems.append(Problem(str(path), f"line {reader.line_num}", f"{len(cells)} cells", wanted))
                continue
            filled = tuple(compress(header, cells))
            if (shape := shapes.get(filled)) is None:
                shape = shapes[filled] = _nested(zip(filled, range(len(filled)), strict=True))
            table.rows.append(_shaped(shape, [_cell(c, k) for c, k in zip(cells, kinds, strict=True) if c]))
            table.lines.append(reader.line_num)
            table.filled.append(filled)
    except csv.Error as error:
        raise refused(path, str(error), "CSV", "", f"line {reader.line_num}") from None
    if problems:
        raise InvalidInputError(f"{path} cannot be read", problems)
    return table


def _kinds(path: Path, header: Sequence[str], record: type[BaseModel]) -> list[str]:
    """Say what each column holds; refuses a header with unknown, repeated or overlapping columns."""
    kinds = [_kind(record, name.split(".")) for name in header]
    fields = f"fields of {record.__name__}"
    if not header:
        raise refused(path, "nothing", f"a header of {fields}", "")
    if unknown := [name for name, kind in zip(header, kinds, strict=True) if kind is None]:
        hint = nearest(unknown[0], record.model_fields)
        raise refused(path, f"unknown columns {unknown}", fields, hint, "line 1")
    names = {name: tuple(name.split(".")) for name in header}
    if len(names) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise refused(path, f"columns {twice} twice", "one column a field", "", "line 1")
    above = {steps[:n] for steps in names.values() for n in range(1, len(steps))}
    if both := [name for name, steps in names.items() if steps in above]:
        raise refused(path, f"columns {both} and columns below them", "one column a field", "", "line 1")
    return [kind for kind in kinds if kind is not None]


def _kind(annotation: Any, path: Sequence[str]) -> str | None:
    """Say what a column holds, by walking the record's types: text, number, truth, names; None for no such field."""
    while get_origin(annotation) is Annotated or get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not path:
        if origin is tuple:
            return "names"
        if annotation is bool:
            return "truth"
        return "number" if annotation in (int, float) else "text"
    if origin is tuple and STEP.fullmatch(path[0]):
        return _kind(arguments[0], path[1:])
    if origin is dict:
        return _kind(arguments[1], path[1:])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and path[0] in annotation.model_fields:
        info = annotation.model_fields[path[0]]
        return _kind(info.annotation, path[1:])
    return None


def _cell(cell: str, kind: str) -> Any:
    """Turn a cell into what its column holds; what does not fit stays text, for pydantic to refuse with its place."""
    if kind == "text":
        return cell
    if kind == "number" and NUMBER.fullmatch(cell):
        try:
            return int(cell) if WHOLE.fullmatch(cell) else finite(cell)
        except ValueError:
            return cell
    if kind == "truth" and cell in ("true", "false"):
        return cell == "true"
    return cell.split("|") if kind == "names" else cell


def _shaped(shape: Any, values: Sequence[Any]) -> Any:
    """Put values into a nesting whose leaves are their places."""
    if type(shape) is int:
        return values[shape]
    if type(shape) is dict:
        return {step: _shaped(member, values) for step, member in shape.items()}
    return [_shaped(member, values) for member in shape]


def _nested(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from (path, value) pairs; numeric steps make lists, in the order of the numbers."""
    root: dict[str, Any] = {}
    for name, value in fields:
        *above, last = name.split(".")
        here = root
        for step in above:
            here = here.setdefault(step, {})
        here[last] = value
    listed: dict[str, Any] = _listed(root)
    return listed


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    members = {step: _listed(member) for step, member in value.items()}
    return [members[s] for s in sorted(members, key=int)] if all(map(STEP.fullmatch, members)) and members else members


# -- changes on the way in --------------------------------------------------------------------------------------------------


def _set(document: dict[str, Any], change: str) -> None:
    """Apply one ``PATH=VALUE``; a list's members are found by index or by name."""
    path, sign, text = change.partition("=")
    parts = [p.replace("~1", "/").replace("~0", "~") for p in path[1:].split("/")] if path.startswith("/") else path.split(".")
    if not sign or not path:
        raise UsageError(f"--set {change!r}: expected PATH=VALUE, such as policy.utilization_cap=0.7")
    value = _set_value(change, text)
    here: Any = document
    for part in parts[:-1]:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here[_place(here, part, change)]
    if isinstance(here, dict):
        here[parts[-1]] = value
    else:
        here[_place(here, parts[-1], change)] = value


def _set_value(change: str, text: str) -> Any:
    """Read a value as JSON where it is JSON, else take it as the text it is."""
    try:
        change.encode()
        return strict_json(text)
    except UnicodeEncodeError:
        raise UsageError(f"--set {change!r}: not UTF-8 text") from None
    except json.JSONDecodeError:
        return text
    except ValueError as error:
        raise UsageError(f"--set {change!r}: {error}") from None


def _place(members: object, part: str, change: str) -> int:
    if not isinstance(members, list):
        raise UsageError(f"--set {change!r}: there is nothing below the step before {part!r}")
    names = [m.get("name") if isinstance(m, Mapping) else None for m in members]
    if part in names:
        return names.index(part)
    if STEP.fullmatch(part) and int(part) < len(members):
        return int(part)
    known = [n for n in names if isinstance(n, str)]
    raise UsageError(f"--set {change!r}: no member {part!r}; {nearest(part, known) if known else f'there are {len(members)}'}")
