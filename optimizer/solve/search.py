"""What a decomposed solve knows so far: its clock, its best plan, its best bound, the plans of blocks and their backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.solve.blocks import Blocks, FloatArray, IntArray
from optimizer.solve.cluster import Cluster
from optimizer.solve.direct import Cancel, Wishes
from optimizer.solve.heuristic import Heuristic
from optimizer.solve.master import Followers
from optimizer.solve.plans import Plans
from optimizer.solve.reduction import Reduction
from optimizer.solve.workers import Question, Workers, processes_for
from solvers import Backend, Limit, Model, Progress, Solution, SolveOptions, Termination
from solvers.check import check
from solvers.solution import PROVED_GAP, relative_gap

__all__ = ["Clock", "Search", "costless", "new_search"]


@dataclass
class Clock:
    """How long a solve may take, and what of it backends used."""

    limit_s: float
    cancel: Cancel | None = None
    started: float = field(default_factory=time.monotonic)
    calls: int = 0
    solver_s: float = 0.0

    @property
    def used_s(self) -> float:
        """Give the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Give the seconds left."""
        return max(0.0, self.limit_s - self.used_s)

    @property
    def stopped(self) -> Limit | None:
        """Say what stops the solve now, if anything does."""
        if self.cancel is not None and self.cancel.is_set():
            return Limit.INTERRUPT
        return Limit.TIME if self.left_s <= 0 else None


@dataclass
class Search:
    """One decomposed solve.

    ``values`` are those of the best plan in the columns of ``blocks.model``; ``duals`` the prices at which plans are judged.
    """

    model: Model
    blocks: Blocks
    backend: Backend
    wishes: Wishes
    clock: Clock
    workers: Workers
    reduction: Reduction
    heuristic: Heuristic
    followers: Followers
    plans: Plans
    duals: FloatArray
    on_progress: Callable[[Progress], None] | None = None
    values: FloatArray | None = None
    cost: float = math.inf
    bound: float = -math.inf
    infeasible: bool = False
    heuristic_blocks: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    large_blocks: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def solve(
        self, model: Model, gap: float, *, limit_s: float = math.inf, duals: bool = False, start: FloatArray | None = None
    ) -> Solution:
        """Give the backend's answer within ``limit_s`` and what is left of the time."""
        limit_s = min(self.clock.left_s, limit_s)
        options = SolveOptions(limit_s, gap, self.wishes.threads, self.wishes.seed, start=start, want_duals=duals)
        found = self.backend.solve(model, options, cancel=self.clock.cancel)
        self.clock.calls += 1
        self.clock.solver_s += found.solve_seconds
        return found

    def answers(self, questions: Iterable[Question]) -> Generator[Solution]:
        """Give the backend's answers to questions in turn; they are asked ahead, and close it once no more are wanted."""
        limited = ((model, replace(o, time_limit_s=min(self.clock.left_s, o.time_limit_s or math.inf))) for model, o in questions)
        with closing(self.workers.answers(limited)) as answers:
            for answer in answers:
                self.clock.calls += 1
                self.clock.solver_s += answer.solve_seconds
                yield answer

    @property
    def gap(self) -> float | None:
        """Give the relative gap so far, None while a plan or a bound is missing."""
        if not (math.isfinite(self.cost) and math.isfinite(self.bound)):
            return None
        return 0.0 if self.bound >= self.cost else relative_gap(self.cost, self.bound)

    @property
    def done(self) -> bool:
        """Say whether to stop: at the gap asked, on the clock, when told, or when there is no plan."""
        gap = self.gap
        return self.infeasible or self.clock.stopped is not None or (gap is not None and gap <= self.wishes.relative_gap)

    def believe(self, values: FloatArray) -> bool:
        """Keep a point as the best plan if the whole model's check passes it and it costs less; say whether it did."""
        report = check(self.model, values[: self.blocks.n_original])
        if not report.is_clean or report.objective >= self.cost - 1e-12 * abs(self.cost):
            return False
        self.cost, self.values = report.objective, values
        self.tell()
        return True

    def start_at(self, point: FloatArray) -> None:
        """Know the plans of a point of the whole model whose blocks hold, and the point itself where all do."""
        values = np.clip(point, self.model.lower, self.model.upper)
        values = np.concatenate([values, values[self.blocks.copy_of]])
        self.plans = self.plans.joined(self.heuristic.checked(values))
        self.believe(values)

    def prove(self, bound: float) -> None:
        """Keep a bound if it is the best."""
        if bound > self.bound:
            self.bound = bound
            self.tell()

    def tell(self) -> None:
        """Report progress."""
        if self.on_progress is not None:
            cost, bound = (x if math.isfinite(x) else None for x in (self.cost, self.bound))
            self.on_progress(Progress(self.clock.used_s, cost, bound))

    def solution(self) -> Solution:
        """Give the answer in the columns of the whole model."""
        stopped, gap = self.clock.stopped, self.gap
        bound = min(self.bound, self.cost) if math.isfinite(self.bound) else None
        values = None if self.values is None else self.values[: self.blocks.n_original]
        if values is None:
            ended = Termination.INFEASIBLE if self.infeasible else Termination.NO_SOLUTION_FOUND
        else:
            ended = Termination.OPTIMAL if gap is not None and gap <= PROVED_GAP else Termination.FEASIBLE
        reached = gap is not None and gap <= self.wishes.relative_gap
        limit = (
            None if ended in (Termination.OPTIMAL, Termination.INFEASIBLE) else Limit.GAP if reached else stopped or Limit.OTHER
        )
        return Solution(
            ended,
            self.backend.name,
            self.backend.version(),
            limit=limit,
            values=values,
            objective=None if values is None else self.cost,
            dual_bound=bound,
            bound_source=""
            if bound is None
            else "bounds of blocks by the backend, lowered by 1e-06, and prices of what they share",
            solve_seconds=self.clock.solver_s,
            message=f"{self.clock.calls} backend calls",
        )


def new_search(
    model: Model,
    blocks: Blocks,
    backend: Backend,
    wishes: Wishes,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
    cluster: Cluster | None = None,
    processes: int | None = None,
) -> Search:
    """Prepare a search; nothing is solved yet. Blocks are solved in as many processes as there are cores if it is None."""
    clock = Clock(wishes.time_limit_s, cancel)
    reduction, followers = Reduction(blocks), Followers.of(blocks)
    duals, heuristic = followers.follow(blocks, np.zeros(len(blocks.coupling))), Heuristic(blocks, reduction)
    idle = heuristic.checked(np.maximum(blocks.model.lower, 0.0))  # of blocks that nothing is asked of, as hours without traffic
    return Search(
        model,
        blocks,
        backend,
        wishes,
        clock,
        Workers(backend, processes or processes_for(blocks.count), cancel, cluster),
        reduction,
        heuristic,
        followers,
        idle,
        duals,
        on_progress,
        heuristic_blocks=np.intersect1d(idle.block, blocks.owner[blocks.cell >= 0]),
    )


def costless(search: Search) -> Search:
    """Give a search like another, on its clock, of the same question where nothing costs anything; it knows the same plans.

    A bound above nothing says there that no plan keeps all rows.
    """
    blocks = search.blocks
    model, joint = (replace(m, objective=np.zeros(m.n_columns), objective_offset=0.0) for m in (search.model, blocks.model))
    made = new_search(
        model,
        replace(blocks, model=joint),
        search.backend,
        search.wishes,
        cancel=search.clock.cancel,
        processes=search.workers.processes,
    )
    made.clock, made.cost = search.clock, 0.0
    made.plans = made.plans.joined(replace(search.plans, cost=np.zeros(len(search.plans))))
    return made
