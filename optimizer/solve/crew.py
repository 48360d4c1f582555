"""Who looks at shards: this process, or as many others as there are cores, each with shards of its own that it may hold."""

from __future__ import annotations

import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Concatenate, TypeVar

from optimizer.solve.direct import Cancel
from optimizer.solve.shards import Base, Desk, Shard

__all__ = ["Crew", "Given"]

POLL_S = 0.2
Answer = TypeVar("Answer")
Task = Callable[Concatenate[Desk, Shard, ...], Any]
Given = tuple[Task, Shard, tuple[Any, ...]]
Asked = tuple[int, Task, Shard, tuple[Any, ...]]


@dataclass(eq=False)
class _Other:
    """A process of its own: our end of its pipe, what it is to be asked, and what it is at."""

    process: Any
    pipe: Connection
    waiting: deque[Asked] = field(default_factory=deque)
    at: Asked | None = None


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
    """Asks about shards, each always in the same process; one process is this one. Use it as a context, which ends the others.

    What a process was asked that is lost, or cannot be had, is asked here.
    """

    def __init__(self, base: Base, processes: int, cancel: Cancel | None) -> None:
        """Start nothing yet."""
        self._base, self._cancel, self._mine = base, cancel, Desk(base)
        self._others: list[_Other | None] = [None] * (processes if processes > 1 else 0)
        self._tried = False

    @property
    def processes(self) -> int:
        """Give how many look at shards."""
        return max(len(self._others), 1)

    def __enter__(self) -> Crew:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the other processes, whatever they are at."""
        for number in range(len(self._others)):
            self._lose(number)

    def ask(
        self, task: Callable[Concatenate[Desk, Shard, ...], Answer], about: Iterable[tuple[Shard, tuple[Any, ...]]]
    ) -> list[Answer]:
        """Give the answers to one task in turn; none at all once cancelled."""
        return self.ask_each((task, shard, more) for shard, more in about)

    def ask_each(self, tasks: Iterable[Given]) -> list[Any]:
        """Give the answers to tasks in turn; none at all once cancelled."""
        self._start()
        answers, mine = dict[int, Any](), deque[Asked]()
        for place, (task, shard, more) in enumerate(tasks):
            other = self._others[shard.number % len(self._others)] if self._others else None
            (mine if other is None else other.waiting).append((place, task, shard, more))
        while not (self._cancel is not None and self._cancel.is_set()):
            mine.extend(self._told(answers))
            if mine:
                place, task, shard, more = mine.popleft()
                answers[place] = task(self._mine, shard, *more)
            elif not any(other is not None and (other.at or other.waiting) for other in self._others):
                return [answers[place] for place in sorted(answers)]
        for number in range(len(self._others)):
            self._lose(number)
        return []

    def _start(self) -> None:
        """Start the others where there are none yet."""
        if self._tried or not self._others:
            return
        self._tried = True
        from joblib.externals.loky.backend import get_context

        context, base = get_context("loky"), pickle.dumps(self._base, 5)
        for number in range(len(self._others)):
            try:
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there,), daemon=True)
                process.start()
                there.close()
                here.send_bytes(base)
            except OSError:
                continue
            self._others[number] = _Other(process, here)

    def _told(self, answers: dict[int, Any]) -> list[Asked]:
        """Hand out what waits and take answers that are there; give what was asked of processes that are lost."""
        for number, other in enumerate(self._others):
            if other is not None and other.at is None and other.waiting:
                other.at = other.waiting.popleft()
                try:
                    other.pipe.send(other.at[1:])
                except OSError:
                    return self._lose(number)
        busy = {other.pipe: number for number, other in enumerate(self._others) if other is not None and other.at}
        for pipe in wait(list(busy), POLL_S) if busy else ():
            number = busy[pipe]  # type: ignore[index]
            other = self._others[number]
            assert other is not None
            assert other.at is not None
            try:
                answer, error = other.pipe.recv()
            except (EOFError, OSError):
                return self._lose(number)
            if error is not None:
                raise error
            answers[other.at[0]], other.at = answer, None
        return []

    def _lose(self, number: int) -> list[Asked]:
        """End a process; give what it was asked."""
        other, self._others[number] = self._others[number], None
        if other is None:
            return []
        other.process.terminate()
        other.process.join()
        other.pipe.close()
        return [*([other.at] if other.at else []), *other.waiting]
