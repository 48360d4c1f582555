"""A Dask cluster, found by the address of its scheduler, as one more place where blocks are solved.

The scheduler and each worker must hold the same wheel, which is checked. A cluster once lost stays lost for the solve.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from optimizer.errors import InvalidInputError, Problem, UnavailableError, UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["PATIENCE_S", "Cluster", "reached"]

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
"""Seconds in which a scheduler must answer, and its workers after it."""
PATIENCE_S = 10.0
"""Seconds without an answer, beyond what a solve may take, after which a cluster counts as lost."""
COMPUTING = ("numpy", "ortools", "pulp")
"""What an answer depends on besides the package itself."""

T = TypeVar("T")


class OtherWheelError(Exception):
    """A worker holds another version than who asks."""


@dataclass
class Cluster:
    """Workers of a Dask cluster.

    Attributes
    ----------
    processes : blocks that its workers solve at a time, as they were at the start
    lost : why it is used no more, empty while it is
    again : blocks that were solved here because the cluster failed to
    """

    client: Client
    executor: Executor
    processes: int
    lost: str = ""
    again: int = 0

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T] | None:
        """Ask for a task; None once the cluster is lost."""
        if not self.lost and self.client.status != "running":
            self.lose("the connection to the scheduler broke")
        return None if self.lost else self.executor.submit(_alike, wheel(), task, *arguments)

    def lose(self, why: str) -> None:
        """Use it no more."""
        self.lost = self.lost or why
        logger.warning("the cluster is lost: %s; what is left is solved here", why)

    def words(self) -> str:
        """Say what a reader of the plan should know of it."""
        lost = f", which was lost ({self.lost}), so that the rest was solved here" if self.lost else ""
        return f"on a cluster{lost}" + (f"; {self.again} blocks that it failed to solve were solved here" if self.again else "")


@contextmanager
def reached(address: str | None) -> Iterator[Cluster | None]:
    """Connect to the scheduler at an address such as ``tcp://10.0.0.1:8786`` for as long as the context lasts; None for none.

    Raises
    ------
    UsageError : the extra ``cluster`` is missing
    UnavailableError : no scheduler answers there, or it has no workers
    InvalidInputError : scheduler or workers hold another wheel
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("a cluster needs an extra: pip install 'allocate[cluster]'") from None
    loggers = [logging.getLogger(name) for name in ("distributed.client", "tornado.application")]
    for noisy in loggers:
        noisy.addFilter(_worth_telling)
    try:
        client = _within(address, lambda: Client(address, timeout=CONNECT_S, set_as_default=False))
        try:
            threads = _within(address, lambda: _checked(client, address))
            yield Cluster(client, client.get_executor(pure=False), threads)
        finally:
            with suppress(OSError):  # a scheduler that is gone needs no goodbye
                client.close(timeout=CONNECT_S)
    finally:
        for noisy in loggers:
            noisy.removeFilter(_worth_telling)


def _worth_telling(record: logging.LogRecord) -> bool:
    """Say no of a lost scheduler, which the plan tells, and of an answer that came just as it was taken back."""
    if record.name == "distributed.client":
        return record.levelno >= logging.CRITICAL
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError | InvalidStateError))


@cache
def wheel() -> str:
    """Name what computes in this process: a digest of the package's sources, and the versions under it."""
    digest = hashlib.sha256()
    for package in ("optimizer", "solvers"):
        folder = Path(__file__).parents[2] / package
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    under = [f"{name} {version(name)}" for name in COMPUTING]
    return ", ".join([f"allocate {digest.hexdigest()[:12]}", f"python {'.'.join(platform.python_version_tuple()[:2])}", *under])


def _alike(asked_by: str, task: Callable[..., T], *arguments: Any) -> T:
    """Carry out a task for who holds the same wheel; workers that came later were never checked."""
    if wheel() != asked_by:
        raise OtherWheelError(f"asked by {asked_by}; here is {wheel()}")
    return task(*arguments)


def _checked(client: Client, address: str) -> int:
    """Give the blocks that the workers may solve at a time, once scheduler and workers are known to hold our wheel."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except OSError:
        raise UnavailableError(f"the Dask scheduler at {address} has no workers") from None
    try:
        found = {"scheduler": client.run_on_scheduler(wheel)}
    except Exception as error:  # whatever its import of the package raised
        found = {"scheduler": error}
    found |= client.run(wheel, on_error="return")
    others = {place: held for place, held in found.items() if held != wheel()}
    wrong = [Problem(None, place, str(held), wheel(), "install the same wheel") for place, held in others.items()]
    if wrong:
        raise InvalidInputError(f"the cluster at {address} holds another version of this package", wrong)
    return sum(client.nthreads().values())


def _within(address: str, call: Callable[[], T]) -> T:
    """Give what a call gives; a scheduler that hangs keeps a thread, and not us."""
    told = Future[T]()

    def tell() -> None:
        try:
            told.set_result(call())
        except BaseException as error:
            told.set_exception(error)

    Thread(target=tell, daemon=True).start()
    try:
        return told.result(timeout=CONNECT_S + 2.0)
    except OSError as error:  # time-outs are its kin
        raise UnavailableError(f"no Dask scheduler answers at {address} within {CONNECT_S:g} s: {error}".rstrip(": ")) from None
