"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from optimizer.errors import UsageError

__all__ = ["refuse_unwritable", "write_atomically"]


def refuse_unwritable(path: Path | None) -> Path | None:
    """Give the path back, or refuse it before hours of work end in a place that cannot be written.

    Raises
    ------
    UsageError : it is a folder, or its folder is missing or closed to us
    """
    if path is not None:
        if path.is_dir():
            raise UsageError(f"{path} cannot be written: it is a folder; name a file in it")
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}")
        if not os.access(path if _is_special(path) else path.parent, os.W_OK):
            raise UsageError(f"{path} cannot be written: permission denied")
    return path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part; links are followed, devices written to.

    Raises
    ------
    UsageError : the file cannot be written there
    """
    try:
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
        else:
            _replace(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _is_special(path: Path) -> bool:
    """Say whether a path is a pipe or a device, which must never be replaced by a file."""
    return path.exists() and not path.is_file()


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
