"""From files to an ``Instance``: the one loader, strict and complete in what it refuses.

Two passes: the standard library reads the document (duplicate keys, NaN, huge numbers and deep nesting are refused there),
tables beside it are read from CSV, then pydantic judges the whole. All problems are told together, each with its file and place.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from optimizer.errors import InvalidInputError, Problem, UsageError
from optimizer.instance import Catalogs, Instance
from optimizer.problems import not_yet_problems, reference_problems, validation_problems

__all__ = ["MAX_BYTES", "load_catalogs", "load_instance", "read_document", "shipped_folder", "text_of"]

MAX_BYTES = 256 * 2**20
"""Largest file read unless the caller says otherwise; a 10,000-workload instance takes about 30 MiB."""
MAX_NUMBER_LENGTH = 40
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
CATALOG_FILES = {
    "accelerators": ("accelerators.csv",),
    "offers": ("offers.csv",),
    "models": ("models.json",),
    "profiles": ("profiles_*.csv",),
    "efficiencies": ("efficiencies.json",),
}


@dataclass
class _Document:
    """A document while it is read: the data, where its tables came from, and the problems so far."""

    file: str
    data: dict[str, Any]
    origins: dict[str, list[_Origin]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Origin:
    """Rows ``first`` .. ``first + len(lines)`` of a catalog came from this file; ``lines`` are CSV line numbers, () for JSON."""

    file: str
    first: int
    count: int
    lines: tuple[int, ...] = ()


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
    found = reference_problems(document.data)
    try:
        catalogs = Catalogs.model_validate_json(json.dumps(document.data["catalogs"]))
    except ValidationError as error:
        found = [replace(p, pointer="/catalogs" + p.pointer) for p in validation_problems(error)] + found
    if problems := document.problems + [_relocated(p, document) for p in found]:
        raise InvalidInputError(f"{folder} cannot be used as catalogs", problems)
    return catalogs


def shipped_folder() -> Path:
    """Give the folder of instances and catalogs that comes with the package (wheel) or the checkout."""
    here = Path(__file__).resolve().parent
    return next((f for f in (here / "shipped", here.parent / "instances") if (f / "catalogs").is_dir()), here / "shipped")


def _validated(document: _Document) -> Instance:
    found = reference_problems(document.data) + not_yet_problems(document.data)
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
    if len(parts) >= 4 and parts[1] == "catalogs" and parts[3].isdigit():
        row = int(parts[3])
        for origin in document.origins.get(parts[2], ()):
            if origin.first <= row < origin.first + origin.count:
                rest, at = parts[4:], row - origin.first
                if origin.lines:
                    place = f"line {origin.lines[at]}" + (f", column {'.'.join(rest)}" if rest else "")
                else:
                    place = "/" + "/".join([str(at), *rest])
                return replace(problem, file=origin.file, pointer=place)
    return replace(problem, file=problem.file or document.file)


# -- files ------------------------------------------------------------------------------------------------------------------


def text_of(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Read a UTF-8 file of at most ``max_bytes``; raises InvalidInputError."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise _refused(path, f"{size} bytes", f"at most {max_bytes}", "raise ALLOCATE_MAX_BYTES if the file is meant")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise _refused(path, "no such file", "a file", _beside(path)) from None
    except UnicodeDecodeError as error:
        found = f"a byte that is not UTF-8 at offset {error.start}"
        raise _refused(path, found, "UTF-8 text", "save the file as UTF-8") from None
    except OSError as error:
        raise _refused(path, error.strerror or str(error), "a readable file", "") from None


def _beside(path: Path) -> str:
    others = sorted(p.name for p in path.parent.glob("*" + path.suffix))[:5] if path.parent.is_dir() else []
    return f"that folder has {', '.join(others)}" if others else "check the path"


def _refused(path: Path | str, found: str, expected: str, hint: str, place: str = "") -> InvalidInputError:
    return InvalidInputError(f"{path} cannot be read", [Problem(str(path), place, found, expected, hint)])


def read_document(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON or TOML object strictly: no duplicate keys, no NaN or infinities, no numbers that overflow or vanish.

    Raises
    ------
    InvalidInputError : the file is missing, too large or not such a document
    """
    document = _parsed(path, max_bytes)
    if not isinstance(document, dict):
        raise _refused(path, f"a {type(document).__name__} at the top", "an object", "")
    return document


def _parsed(path: Path, max_bytes: int) -> Any:
    text = text_of(path, max_bytes)
    try:
        if path.suffix.lower() == ".toml":
            import tomllib

            return tomllib.loads(text)
        return _strict_json(text)
    except json.JSONDecodeError as error:
        raise _refused(path, error.msg, "JSON", "", f"line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _refused(path, "nesting too deep to read", "an instance", "") from None
    except ValueError as error:  # TOML syntax, or one of our own refusals below
        raise _refused(path, str(error), "", "") from None


def _strict_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        others = ", ".join(repr(name) for name in found if name != twice)
        raise ValueError(f"the key {twice!r} twice in one object (its other keys: {others[:200] or 'none'})")
    return found


def _float(text: str) -> float:
    number = float(text)
    vanished = number == 0.0 and any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    if len(text) > MAX_NUMBER_LENGTH or not math.isfinite(number) or vanished:
        raise ValueError(f"the number {text[:50]}, which binary64 cannot hold")
    return number


def _int(text: str) -> int:
    if len(text) > 18:
        raise ValueError(f"the whole number {text[:30]}..., which is too long")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text}, which is not a number an instance may hold")


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
            found, lines = _table(key, _confined(member, folder), max_bytes)
        except InvalidInputError as error:
            document.problems += error.problems
            continue
        document.origins.setdefault(key, []).append(_Origin(str(folder / member), len(rows), len(found), lines))
        rows += found
    return rows


def _confined(name: str, folder: Path) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        found = "a path that leaves the instance's folder"
        raise _refused(folder / name, found, "a relative path inside it", "copy the file there")
    return path


def _table(key: str, path: Path, max_bytes: int) -> tuple[list[Any], tuple[int, ...]]:
    if path.suffix.lower() != ".csv":
        found = _parsed(path, max_bytes)
        if not isinstance(found, list):
            raise _refused(path, f"a {type(found).__name__}", "a list of records", "")
        return found, ()
    record = get_args(Catalogs.model_fields[key].annotation)[0]
    return _csv_rows(path, text_of(path, max_bytes), record)


def _csv_rows(path: Path, text: str, record: type[BaseModel]) -> tuple[list[Any], tuple[int, ...]]:
    """Read a table whose header holds field paths (``prices.0.option``); blank cells are absent fields."""
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[Any] = []
    lines: list[int] = []
    try:
        header = next(reader, [])
        columns = [(tuple(name.split(".")), _kind(record, name.split("."))) for name in header]
        if unknown := [name for name, (_, kind) in zip(header, columns, strict=True) if kind is None]:
            raise _refused(path, f"unknown columns {unknown}", f"fields of {record.__name__}", "", "line 1")
        for cells in reader:
            if len(cells) != len(header):
                raise _refused(path, f"{len(cells)} cells", f"{len(header)}, as the header has", "", f"line {reader.line_num}")
            rows.append(_nested((where, _cell(cell, kind)) for (where, kind), cell in zip(columns, cells, strict=True) if cell))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise _refused(path, str(error), "CSV", "", f"line {reader.line_num}") from None
    return rows, tuple(lines)


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
    if origin is tuple and path[0].isdigit():
        return _kind(arguments[0], path[1:])
    if origin is dict:
        return _kind(arguments[1], path[1:])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and path[0] in annotation.model_fields:
        info = annotation.model_fields[path[0]]
        return _kind(info.annotation, path[1:])
    return None


def _cell(cell: str, kind: str | None) -> Any:
    """Turn a cell into what its column holds; what does not fit stays text, for pydantic to refuse with its place."""
    if kind == "number" and len(cell) <= MAX_NUMBER_LENGTH and NUMBER.fullmatch(cell):
        return int(cell) if WHOLE.fullmatch(cell) else float(cell)
    if kind == "truth" and cell in ("true", "false"):
        return cell == "true"
    return cell.split("|") if kind == "names" else cell


def _nested(fields: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """Build an object from (path, value) pairs; numeric steps make lists, in the order of the columns."""
    root: dict[str, Any] = {}
    for path, value in fields:
        here: Any = root
        for step, following in zip(path, (*path[1:], ""), strict=True):
            fresh: Any = value if not following else ([] if following.isdigit() else {})
            if isinstance(here, list):
                if int(step) >= len(here):
                    here.append(fresh)
                here = here[min(int(step), len(here) - 1)]
            else:
                here = here.setdefault(step, fresh)
    return root


# -- changes on the way in --------------------------------------------------------------------------------------------------


def _set(document: dict[str, Any], change: str) -> None:
    """Apply one ``PATH=VALUE``; a list's members are found by index or by name."""
    path, sign, text = change.partition("=")
    parts = [p.replace("~1", "/").replace("~0", "~") for p in path[1:].split("/")] if path.startswith("/") else path.split(".")
    if not sign or not path:
        raise UsageError(f"--set {change!r}: expected PATH=VALUE, such as policy.utilization_cap=0.7")
    try:
        value = _strict_json(text)
    except ValueError:
        value = text
    here: Any = document
    for part in parts[:-1]:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here[_place(here, part, change)]
    if isinstance(here, dict):
        here[parts[-1]] = value
    else:
        here[_place(here, parts[-1], change)] = value


def _place(members: object, part: str, change: str) -> int:
    if not isinstance(members, list):
        raise UsageError(f"--set {change!r}: there is nothing below the step before {part!r}")
    names = [m.get("name") if isinstance(m, Mapping) else None for m in members]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(members):
        return int(part)
    known = ", ".join(repr(n) for n in names if n)
    raise UsageError(f"--set {change!r}: no member {part!r}; there are {known or len(members)}")
