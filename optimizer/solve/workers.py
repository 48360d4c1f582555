"""Many small solves: one after the other, in processes, or on a cluster; answers come in the order of the questions.

Questions are asked ahead, as many as keep all who answer busy; how far ahead changes no answer, only what is asked in vain when
nobody wants the next one.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from itertools import chain, islice

from optimizer.solve import cluster as clusters
from optimizer.solve.cluster import Cluster
from optimizer.solve.direct import Cancel
from solvers import Backend, Model, Solution, SolveOptions, SolverError
from solvers.batch import solved_by

__all__ = ["Question", "Workers", "processes_for"]

AHEAD, AHEAD_EACH = 16, 4
"""Questions asked ahead at least, and for each process."""
POLL_S = 0.2
DEAF = (signal.SIGINT, signal.SIG_IGN)
IDLE_S = 60
"""Seconds after which a process without work ends."""


FEWEST_BLOCKS = 12
"""Fewer are solved sooner than processes start."""

Question = tuple[Model, SolveOptions]


def processes_for(blocks: int) -> int:
    """Give as many processes as this machine lets us use, one where there is little to share."""
    if blocks < FEWEST_BLOCKS:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


@dataclass(frozen=True)
class Workers:
    """Solves models on ``backend`` on a cluster, else in ``processes``; 1 stays in this process.

    Processes are spared Ctrl-C, which this one answers. What a lost process was asked is asked again here; what a lost worker of
    a cluster was asked, the scheduler asks another; what a lost cluster was asked is asked of processes here.
    """

    backend: Backend
    processes: int
    cancel: Cancel | None
    cluster: Cluster | None = None

    def answers(self, questions: Iterable[Question]) -> Generator[Solution]:
        """Give the answer to each question in turn, fewer once cancelled; drop what was asked ahead when closed."""
        coming, asked = iter(questions), deque[tuple[Question, Future[Solution] | None]]()
        try:
            while True:
                on_cluster = self._cluster is not None
                asked.extend((question, self._asked(question)) for question in islice(coming, self._ahead - len(asked)))
                if not asked:
                    return
                (model, options), future = asked[0]
                answer = None if future is None else self._waited(future, options, on_cluster)
                if self._cancelled:
                    return
                if on_cluster and self._cluster is None:
                    coming = chain([question for question, _ in asked], coming)
                    asked.clear()
                    continue
                asked.popleft()
                yield self.backend.solve(model, options, cancel=self.cancel) if answer is None else answer
        finally:
            for _, future in asked:
                if future is not None:
                    future.cancel()

    @property
    def _cluster(self) -> Cluster | None:
        return None if self.cluster is None or self.cluster.lost else self.cluster

    @property
    def _cancelled(self) -> bool:
        return self.cancel is not None and self.cancel.is_set()

    @property
    def _ahead(self) -> int:
        processes = self.processes if self._cluster is None else self._cluster.processes
        return 1 if self._cluster is None and processes == 1 else max(AHEAD, AHEAD_EACH * processes)

    def _asked(self, question: Question) -> Future[Solution] | None:
        """Hand a question out; None where no process can be had."""
        if self._cluster is not None and (future := self._cluster.submit(solved_by, self.backend.name, *question)) is not None:
            return future
        if self.processes == 1:
            return None
        from joblib.externals.loky import get_reusable_executor

        try:
            pool = get_reusable_executor(max_workers=self.processes, timeout=IDLE_S, initializer=signal.signal, initargs=DEAF)
            local: Future[Solution] = pool.submit(solved_by, self.backend.name, *question)
        except (BrokenExecutor, OSError):
            return None
        return local

    def _waited(self, future: Future[Solution], options: SolveOptions, on_cluster: bool) -> Solution | None:
        """Wait for an answer; None when its process was lost, when the cluster failed, or when cancelled."""
        until_s = time.monotonic() + (options.time_limit_s or 0.0) + clusters.PATIENCE_S
        while not wait([future], POLL_S).done:
            if self._cancelled or (on_cluster and self._cluster is None):
                return None
            if self._cluster is not None and options.time_limit_s is not None and time.monotonic() > until_s:
                self._cluster.lose("it did not answer in time")
        try:
            return future.result()
        except BrokenExecutor:
            return None
        except CancelledError:
            if self._cluster is not None:
                self._cluster.lose("the connection to the scheduler broke")
            return None
        except SolverError:
            raise
        except Exception:
            if self._cluster is None:
                raise
            self._cluster.again += 1  # a block that killed workers one after the other, or a worker of another wheel
            return None
