"""Which method solves a question, and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from optimizer.compile import Compiled, compile_instance
from optimizer.instance import Instance
from optimizer.plan import Plan
from optimizer.solve.blocks import Blocks, IntArray, blocks_of, seeds_of
from optimizer.solve.cluster import Cluster
from optimizer.solve.decompose import decomposed
from optimizer.solve.direct import Cancel, Wishes, solve_directly, start_from
from optimizer.solve.learned import Learned, Names, learned_of, recall
from optimizer.solve.search import new_search
from optimizer.solve.sifted import is_sifted, sifted
from optimizer.solve.small import NotSiftedError
from solvers import Progress, Solution, get_backend

__all__ = ["solve_compiled", "solve_question"]

DIRECT_NONZEROS = 100_000
"""Up to this many the whole model goes to the solver (measured on the shipped instances, of 2,000 to 70,000)."""
FEWEST_BLOCKS = 4


@dataclass(frozen=True)
class _Rest:
    """What is still wished for when part of the time is used."""

    backend: str
    method: str
    time_limit_s: float
    relative_gap: float
    threads: int
    seed: int


def solve_question(
    instance: Instance,
    wishes: Wishes,
    compared: Callable[[Compiled], IntArray],
    *,
    load_shares: Mapping[str, float] | None = None,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
    cluster: Cluster | None = None,
    learned: Learned | None = None,
    on_learned: Callable[[Learned], object] | None = None,
) -> tuple[Compiled, Solution, str]:
    """Compile and solve a question, in shards where it is large; give the model, its solution, and the method in words.

    ``compared`` gives the candidates that a plan's baselines need besides; a cluster solves blocks of whole models alone.

    Raises
    ------
    InfeasibleError, InvalidInputError, InterruptedByUserError : as told by ``compile_instance`` and ``sifted``
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    instead, started = "", time.monotonic()
    if cluster is None and is_sifted(instance, wishes, plan_in_force):
        try:
            return sifted(
                instance,
                wishes,
                compared,
                load_shares=load_shares,
                plan_in_force=plan_in_force,
                on_progress=on_progress,
                cancel=cancel,
                learned=learned,
                on_learned=on_learned,
            )
        except NotSiftedError as why:
            instead, left_s = f", whole since {why}", max(0.0, wishes.time_limit_s - (time.monotonic() - started))
            wishes = _Rest(wishes.backend, wishes.method, left_s, wishes.relative_gap, wishes.threads, wishes.seed)
    compiled = compile_instance(instance, plan_in_force, shares=load_shares)
    solution, method = solve_compiled(compiled, wishes, plan_in_force, on_progress, cancel, cluster, learned, on_learned)
    return compiled, solution, method + instead


def solve_compiled(
    compiled: Compiled,
    wishes: Wishes,
    plan_in_force: Plan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: Cancel | None = None,
    cluster: Cluster | None = None,
    learned: Learned | None = None,
    on_learned: Callable[[Learned], object] | None = None,
) -> tuple[Solution, str]:
    """Solve a compiled question; give the solution and the method in words. Only blocks are solved on a cluster.

    ``learned`` is what an earlier solve told ``on_learned``; only a question cut into blocks uses and tells it.

    Raises
    ------
    SolverError : the backend is missing, died, hung or answered what cannot be
    """
    size = compiled.model.n_nonzeros
    unneeded = "" if cluster is None else "; the cluster was not needed"
    if wishes.method == "direct" or (wishes.method == "auto" and size <= DIRECT_NONZEROS):
        why = unneeded if wishes.method == "direct" else f": {size:,} non-zeros are few{unneeded}"
        return solve_directly(compiled, wishes, plan_in_force, on_progress, cancel), f"direct{why}"
    blocks = blocks_of(compiled.model, seeds_of(compiled))
    if wishes.method == "auto" and blocks.count < FEWEST_BLOCKS:
        why = f"direct: {blocks.count} block{'s' * (blocks.count != 1)}{unneeded}"
        return solve_directly(compiled, wishes, plan_in_force, on_progress, cancel), why
    search = new_search(compiled.model, blocks, get_backend(wishes.backend), wishes, on_progress, cancel, cluster)
    words = [""]
    names = None if learned is None and on_learned is None else Names.of(compiled, blocks)
    if learned is not None and names is not None:
        words.append(recall(search, learned, names))
    solution = decomposed(search, None if plan_in_force is None else start_from(compiled, plan_in_force))
    if on_learned is not None and names is not None:
        on_learned(learned_of(search, names))
    if cluster is not None:
        words.append(cluster.words())
    return solution, _words(blocks, solution) + ", ".join(words)


def _words(blocks: Blocks, solution: Solution) -> str:
    joined = f"joined by {len(blocks.coupling)} row{'s' * (len(blocks.coupling) != 1)}" if len(blocks.coupling) else "apart"
    return f"decompose: {blocks.count} block{'s' * (blocks.count != 1)} {joined}, {solution.message}"
