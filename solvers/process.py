"""Child processes that cannot outlive us, in private folders that do not stay behind.

A child runs in its own session inside a folder of its own, so that file names are relative (a temporary directory with a space
in its path is harmless), Ctrl-C reaches us first, and the whole group can be killed. On Linux the kernel kills the child when
the thread that started it dies, even by SIGKILL. A folder is locked while its owner lives; whoever starts next removes the
unlocked ones.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from solvers.backend import Cancel
from solvers.errors import BackendUnavailableError

if sys.platform != "win32":
    import fcntl

FOLDER_PREFIX = "milp-solver-"
SWEEP_AGE_S = 60.0  # a younger folder may belong to a process that has not locked it yet
POLL_S = 0.1
GENTLE_S = 3.0  # between asking a child to stop and killing it
_PR_SET_PDEATHSIG = 1


class Stop(StrEnum):
    """Why a child is no more."""

    EXITED = "exited"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended; ``code`` as subprocess gives it, negative for a signal."""

    stop: Stop
    code: int


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Give a fresh folder, removed at the end; leftovers of dead processes are swept first.

    Raises
    ------
    BackendUnavailableError : no temporary folder can be made.
    """
    try:
        sweep(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    except OSError as error:
        raise BackendUnavailableError(f"no temporary folder can be made: {error}") from error
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, age_s: float = SWEEP_AGE_S) -> int:
    """Remove our own folders in ``parent`` that no living process has locked; returns how many."""
    if sys.platform == "win32":
        return 0
    removed = 0
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(FOLDER_PREFIX) and _is_abandoned(entry, age_s):
                shutil.rmtree(entry.path, ignore_errors=True)
                removed += 1
    return removed


def run_child(
    argv: Sequence[str],
    folder: Path,
    *,
    deadline_s: float | None = None,
    cancel: Cancel | None = None,
    on_poll: Callable[[], None] = lambda: None,
    gentle: bool = False,
) -> Ended:
    """Run ``argv`` inside ``folder``, its output in ``folder/log``, until it ends, is cancelled or overruns.

    Parameters
    ----------
    deadline_s : seconds from now after which it is stopped; None for never
    on_poll : called about ten times a second while it runs
    gentle : send SIGINT first and wait ``GENTLE_S`` before killing

    Raises
    ------
    BackendUnavailableError : it cannot be started.
    """
    started = time.monotonic()
    with open(folder / "log", "wb") as log:
        process = _start(argv, folder, log.fileno())
    try:
        with _watched(process) as ended:
            while True:
                if ended(POLL_S):
                    return Ended(Stop.EXITED, process.wait())
                on_poll()
                if cancel is not None and cancel.is_set():
                    return Ended(Stop.CANCELLED, _stop(process, gentle))
                if deadline_s is not None and time.monotonic() - started > deadline_s:
                    return Ended(Stop.DEADLINE, _stop(process, gentle))
    finally:
        _stop(process, gentle=False)


def put(path: Path, data: bytes) -> None:
    """Write a file for a child.

    Raises
    ------
    BackendUnavailableError : the disk is full, or the like.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BackendUnavailableError(f"cannot write {path}: {error.strerror or error}") from error


def read_log(folder: Path, most: int = 200_000) -> str:
    """End of what the child printed, at most ``most`` bytes."""
    with contextlib.suppress(OSError), open(folder / "log", "rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - most))
        return log.read().decode("utf-8", "replace")
    return ""


def _start(argv: Sequence[str], folder: Path, output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_death_pact() if sys.platform == "linux" else None,
        )
    except OSError as error:
        raise BackendUnavailableError(f"cannot start {argv[0]}: {error.strerror or error}") from error


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """Give a call that waits some seconds and says whether the process has ended.

    On Linux it wakes the moment the process ends; elsewhere ``subprocess`` looks every 50 ms, as long as a small solve takes.
    """

    def look(seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode is not None

    watch = None
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # an old kernel or C library, or too many open files
            watch = os.pidfd_open(process.pid)
    if watch is None:
        yield look
        return
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        yield lambda seconds: bool(poll.poll(1000 * seconds))
    finally:
        os.close(watch)


def _death_pact() -> Callable[[], None]:
    """Give the call that ties the child's life to ours.

    It runs between fork and exec, where only the prepared call of an already resolved C function is safe. The kernel watches
    the thread that forked, which waits in ``run_child`` as long as the child lives.
    """
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # we died before the call
            os._exit(1)

    return tie


def _stop(process: subprocess.Popen[bytes], gentle: bool) -> int:
    """End the whole group; returns the exit code of its leader."""
    if process.poll() is None and gentle and sys.platform != "win32":
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GENTLE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on the folder's ``owner`` file; the kernel drops it when we die."""
    with open(folder / "owner", "w") as owner:
        if sys.platform != "win32":
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_abandoned(entry: "os.DirEntry[str]", age_s: float) -> bool:
    """Whether a folder is ours, old enough, and locked by nobody."""
    try:
        facts = entry.stat(follow_symlinks=False)
        if not entry.is_dir(follow_symlinks=False) or facts.st_uid != os.getuid() or time.time() - facts.st_mtime < age_s:
            return False
        with open(Path(entry.path, "owner"), "a") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
