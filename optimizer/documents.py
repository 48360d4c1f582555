"""Files as plain documents: UTF-8 text, strict JSON and TOML, refused with file and place.

What the standard library lets through is refused here: duplicate keys, NaN, numbers that overflow or vanish, deep nesting, text
that is no text. What the values mean is not looked at.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from optimizer.errors import InvalidInputError, Problem

__all__ = ["MAX_BYTES", "finite", "parsed", "read_document", "refused", "strict_json", "text_of"]

MAX_BYTES = 256 * 2**20
"""Largest file read unless the caller says otherwise; a 10,000-workload instance takes about 30 MiB."""
MAX_DEPTH = 64
"""Deepest nesting of a document; the schema needs about ten levels."""
MAX_NUMBER_LENGTH = 40
MAX_WHOLE_LENGTH = 18
UNSIZED_BYTES = 64 * 2**20
"""Most that is read from a pipe or device, which has no size to ask for."""


def text_of(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Read a UTF-8 file (a byte-order mark is skipped) of at most ``max_bytes``; raises InvalidInputError."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            most = min(max_bytes, max(size, UNSIZED_BYTES))
            raw = b"" if size > max_bytes else file.read(most + 1)
        if size > max_bytes or len(raw) > most:
            found = f"{size} bytes" if size else f"more than {most} bytes"
            raise refused(path, found, f"at most {most}", "raise --max-bytes or ALLOCATE_MAX_BYTES if the file is meant")
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise refused(path, "no such file", "a file", _beside(path)) from None
    except UnicodeDecodeError as error:
        found = f"a byte that is not UTF-8 at offset {error.start}"
        raise refused(path, found, "UTF-8 text", "save the file as UTF-8") from None
    except OSError as error:
        raise refused(path, error.strerror or str(error), "a readable file", "") from None
    except ValueError:  # a NUL or half a character in the name
        raise refused(path, "a name that no file can have", "a file", "") from None


def _beside(path: Path) -> str:
    others = sorted(p.name for p in path.parent.glob("[!.]*" + path.suffix))[:5] if path.suffix and path.parent.is_dir() else []
    return f"that folder has {', '.join(others)}" if others else "check the path"


def refused(path: Path | str, found: str, expected: str, hint: str, place: str = "") -> InvalidInputError:
    """Give the error that tells one problem of a file."""
    return InvalidInputError(f"{path} cannot be read", [Problem(str(path), place, found, expected, hint)])


def read_document(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON or TOML object strictly: no duplicate keys, no NaN or infinities, no numbers that overflow or vanish.

    Raises
    ------
    InvalidInputError : the file is missing, too large or not such a document
    """
    document = parsed(path, max_bytes)
    if not isinstance(document, dict):
        raise refused(path, f"a {type(document).__name__} at the top", "an object", "")
    return document


def parsed(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read any JSON value, or a TOML file; raises InvalidInputError."""
    text = text_of(path, max_bytes)
    try:
        return _strict_toml(text) if path.suffix.lower() == ".toml" else strict_json(text)
    except json.JSONDecodeError as error:
        raise refused(path, f"not JSON: {error.msg}", "", "", f"line {error.lineno}, column {error.colno}") from None
    except ValueError as error:  # TOML syntax, or one of our own refusals below
        raise refused(path, str(error), "", "") from None


def strict_json(text: str) -> Any:
    """Parse JSON; raises ValueError for whatever a document may not hold.

    >>> strict_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' twice in one object (its other keys: none)
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_float=finite, parse_int=_int, parse_constant=_constant)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair, which is no character") from None
    except RecursionError:
        raise _too_deep() from None
    return _shallow(value)


def _strict_toml(text: str) -> Any:
    import tomllib

    try:
        return _plain(_shallow(tomllib.loads(text, parse_float=finite)))
    except RecursionError:
        raise _too_deep() from None


def _plain(value: Any) -> Any:
    """Give a TOML value as JSON would hold it: days and times as text, whole numbers of a sane length."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if type(value) is int and abs(value) >= 10**MAX_WHOLE_LENGTH:
        raise ValueError("a whole number that is too long")
    return value


def _shallow(value: Any) -> Any:
    """Give the value back, refusing one nested deeper than MAX_DEPTH; level by level, since recursion is what is feared."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        members = (m for v in level if isinstance(v, dict | list) for m in (v.values() if isinstance(v, dict) else v))
        level = [m for m in members if isinstance(m, dict | list)]
        if not level:
            return value
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"nesting deeper than {MAX_DEPTH} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        others = ", ".join(repr(name) for name in found if name != twice)
        raise ValueError(f"the key {twice[:80]!r} twice in one object (its other keys: {others[:200] or 'none'})")
    return found


def finite(text: str) -> float:
    """Give the number that a text of digits stands for; raises ValueError where binary64 cannot hold it.

    >>> finite("0.925")
    0.925
    """
    number = float(text) if len(text) <= MAX_NUMBER_LENGTH else math.inf
    vanished = number == 0.0 and any(digit in "123456789" for digit in re.split("[eE]", text)[0])
    if not math.isfinite(number) or vanished:
        raise ValueError(f"the number {text[:50]}, which binary64 cannot hold")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_WHOLE_LENGTH:
        raise ValueError(f"the whole number {text[:30]}..., which is too long")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text}, which is not a number an instance may hold")
