"""Many small solves, one after the other or in processes; the answers come in the order of the questions either way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass

from optimizer.solve.direct import Cancel
from solvers import Backend, Model, Solution, SolveOptions, get_backend

__all__ = ["BATCH", "Workers", "processes_for"]

BATCH = 16
"""Questions asked together, however many processes there are, so that the answer does not depend on them."""
POLL_S = 0.2
IDLE_S = 60
"""Seconds after which a process without work ends."""


FEWEST_BLOCKS = 12
"""Fewer are solved sooner than processes start."""


def processes_for(blocks: int) -> int:
    """Give as many processes as this machine lets us use, one where there is little to share."""
    if blocks < FEWEST_BLOCKS:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


@dataclass(frozen=True)
class Workers:
    """Solves models on ``backend`` in ``processes``; 1 stays in this process.

    Processes are spared Ctrl-C, which this one answers. What a lost process was asked is asked again here.
    """

    backend: Backend
    processes: int
    cancel: Cancel | None

    def answers(self, models: Sequence[Model], options: SolveOptions) -> Iterator[Solution]:
        """Give the answer to each model in turn; fewer once cancelled."""
        asked = [] if self.processes == 1 or len(models) == 1 else self._asked(models, options)
        for number, model in enumerate(models):
            answer = self._waited(asked[number]) if number < len(asked) else None
            if self.cancel is not None and self.cancel.is_set():
                for waiting in asked:
                    waiting.cancel()
                return
            yield self.backend.solve(model, options, cancel=self.cancel) if answer is None else answer

    def _asked(self, models: Sequence[Model], options: SolveOptions) -> list[Future[Solution]]:
        """Hand the models out; none where no process can be had."""
        from joblib.externals.loky import get_reusable_executor

        try:
            pool = get_reusable_executor(max_workers=self.processes, timeout=IDLE_S, initializer=_ignore_interrupts)
            return [pool.submit(_solved, self.backend.name, model, options) for model in models]
        except (BrokenExecutor, OSError):
            return []

    def _waited(self, answer: Future[Solution]) -> Solution | None:
        """Wait for an answer; None when its process was lost, or when cancelled."""
        while self.cancel is None or not self.cancel.is_set():
            try:
                return answer.result(timeout=POLL_S)
            except StillRunning:
                continue
            except BrokenExecutor:
                return None
        return None


def _solved(backend: str, model: Model, options: SolveOptions) -> Solution:
    return get_backend(backend).solve(model, options)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
