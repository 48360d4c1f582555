"""Who looks at shards: this process and others, as many as there are cores, each with shards of its own that it may hold."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, Concatenate, TypeVar

from optimizer.performance import Performance
from optimizer.solve.direct import Cancel
from optimizer.solve.shards import Base, Desk, Shard

__all__ = ["Crew", "Given"]

POLL_S = 0.2
Answer = TypeVar("Answer")
Task = Callable[Concatenate[Desk, Shard, ...], Any]
Given = tuple[Task, Shard, tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class _Other:
    """A process of its own and our end of its pipe."""

    process: Any
    pipe: Connection


def _serve(pipe: Connection) -> None:
    """Answer until the other end closes; a process of a crew is spared Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        desk = Desk(pipe.recv())
        while True:
            task, shard, more = pipe.recv()
            try:
                pipe.send((task(desk, shard, *more), None))
            except Exception as error:  # told there, where the user is
                pipe.send((None, _sendable(error)))
    except (EOFError, OSError):
        return


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Crew:
    """Asks about shards, each always in the same process, of which this is the first. Use it as a context, which ends the others.

    Others are started by the thread that waits for them, so that this process need not. What a process was asked that is lost,
    or cannot be had, is asked here.
    """

    def __init__(self, base: Base, processes: int, cancel: Cancel | None) -> None:
        """Start nothing yet."""
        self._base, self._cancel, self.desk = base, cancel, Desk(base, cancel)
        self._others: list[_Other | None] = [None] * (processes - 1)
        self._untried = set(range(processes - 1))
        self._packed: bytes | None = None
        self._packing = Lock()

    @property
    def processes(self) -> int:
        """Give how many look at shards."""
        return len(self._others) + 1

    @property
    def known(self) -> Performance | None:
        """Give what replicas can do, as far as shards that are looked at here needed it."""
        return self.desk.known

    def __enter__(self) -> Crew:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the other processes, whatever they are at."""
        self._untried.clear()
        for number in range(len(self._others)):
            self._lose(number)

    def ask(
        self, task: Callable[Concatenate[Desk, Shard, ...], Answer], about: Iterable[tuple[Shard, tuple[Any, ...]]]
    ) -> list[Answer]:
        """Give the answers to one task in turn; none at all once cancelled."""
        return self.ask_each((task, shard, more) for shard, more in about)

    def ask_each(self, tasks: Iterable[Given]) -> list[Any]:
        """Give the answers to tasks in turn; none at all once cancelled."""
        asked = list(tasks)
        answers, errors = dict[int, Any](), list[Exception]()
        of = [max(shard.number, 0) % self.processes for _, shard, _ in asked]
        errands = [
            Thread(target=self._ask_other, args=(other, asked, mine, answers, errors), daemon=True)
            for other in range(len(self._others))
            if (mine := [place for place, whose in enumerate(of) if whose == other + 1])
        ]
        for errand in errands:
            errand.start()
        self._answer([place for place, whose in enumerate(of) if not whose], asked, answers, errors)
        for errand in errands:
            while errand.is_alive() and not self._cancelled and not errors:
                errand.join(POLL_S)
        if errors:
            raise errors[0]
        self._answer([place for place in range(len(asked)) if place not in answers], asked, answers, errors)
        if self._cancelled:
            self.__exit__()
            return []
        return [answers[place] for place in range(len(asked))]

    @property
    def _cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    def _answer(self, places: list[int], asked: list[Given], answers: dict[int, Any], errors: list[Exception]) -> None:
        """Answer some of what is asked here."""
        for place in places:
            if self._cancelled or errors:
                return
            task, shard, more = asked[place]
            answers[place] = task(self.desk, shard, *more)

    def _ask_other(
        self, number: int, asked: list[Given], places: list[int], answers: dict[int, Any], errors: list[Exception]
    ) -> None:
        """Have another process answer some of what is asked, until it is lost."""
        if number in self._untried:
            self._untried.discard(number)
            self._others[number] = self._started()
        other = self._others[number]
        if other is None:
            return
        try:
            for place in places:
                other.pipe.send(asked[place])
                answer, error = other.pipe.recv()
                if error is not None:
                    errors.append(error)
                    return
                answers[place] = answer
        except (EOFError, OSError):
            self._lose(number)

    def _started(self) -> _Other | None:
        """Start a process; None where none can be had."""
        from joblib.externals.loky.backend import get_context

        context = get_context("loky")
        try:
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            there.close()
            with self._packing:
                self._packed = self._packed or pickle.dumps(self._base, 5)
            here.send_bytes(self._packed)
        except OSError:
            return None
        return _Other(process, here)

    def _lose(self, number: int) -> None:
        """End a process."""
        other, self._others[number] = self._others[number], None
        if other is None:
            return
        other.process.terminate()
        other.process.join()
        with suppress(OSError):
            other.pipe.close()
