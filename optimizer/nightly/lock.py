"""A lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optimizer.errors import BusyError, UnavailableError

__all__ = ["held"]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` for as long as the block runs; the kernel lets go of it however the process ends.

    Raises
    ------
    BusyError : another process holds it
    UnavailableError : the file cannot be made
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="ascii")  # noqa: SIM115 (closed below; a closed file lets go of its lock)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be locked: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another run holds {path}; it is left alone") from None
        yield
