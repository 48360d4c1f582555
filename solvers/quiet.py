"""Keeps C code in this process from printing to stdout while a solver runs.

HiGHS prints debugging lines with ``printf`` whatever its options say. Python writes to descriptor 1 itself and never through
the C library's ``stdout``, so that pointing that variable elsewhere for a while silences C code alone: nothing that Python
prints meanwhile, from any thread, is lost. The GNU C library documents the variable as assignable; other C libraries do not.
"""

import contextlib
import ctypes
import functools
import platform
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_depth = 0  # the variable belongs to the process, and so does the count of those who need it turned away


@functools.cache
def can_silence() -> bool:
    """Whether this C library lets its ``stdout`` be turned away."""
    return platform.libc_ver()[0] == "glibc"


@contextlib.contextmanager
def silent_c_stdout() -> Iterator[None]:
    """Turn the C library's stdout to the null device; calls nest and overlap freely."""
    if not can_silence():
        yield
        return
    _shift(1)
    try:
        yield
    finally:
        _shift(-1)


def _shift(by: int) -> None:
    global _depth
    with _lock:
        before, _depth = _depth, _depth + by
        if before == 0 or _depth == 0:
            _swap()


_parked: list[int] = []  # the pointer that is not in use, once there is one


def _swap() -> None:
    """Exchange the C library's stdout with the parked stream."""
    library = ctypes.CDLL(None)
    stdout = ctypes.c_void_p.in_dll(library, "stdout")
    if not _parked:
        library.fopen.restype = ctypes.c_void_p
        null = library.fopen(b"/dev/null", b"w")
        if not null:
            return
        _parked.append(null)
    current = stdout.value
    stdout.value, _parked[0] = _parked[0], current or 0
