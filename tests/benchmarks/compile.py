"""Times compiling a table of candidates into a model of about 200,000 non-zeros, against what a user would pick instead.

Run from the project's folder: ``python -m tests.benchmarks.compile``. In one run, best of three, wall seconds, no solve: ours
from the candidates to a solver built on the model; PuLP's ``lpSum`` and scipy's ``milp`` from the ready numbers of that model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from optimizer.compile import CandidateTable, candidate_table, compile_table
from solvers import Model, SolveOptions
from tests.optimizer.tiny import accelerator, instance, offer, profile, workload

WORKLOADS, TYPES, CLASSES = 260, 24, 10


def table() -> CandidateTable:
    """Draw workloads of ten classes on 24 accelerators, none of which dominates another."""
    rng = np.random.default_rng(0)
    names = [f"a{i:02d}" for i in range(TYPES)]
    offers = [offer(n, size, float(rng.uniform(1, 9)) * size) for n in names for size in (1, 4)]
    limits = [{"name": n, "match": {"accelerator": n}, "max_accelerators": 500} for n in names]
    question = instance(
        accelerators=[accelerator(n) for n in names],
        offers=offers,
        profiles=[profile("m", n, float(rng.uniform(5, 50))) for n in names],
        workloads=[
            workload(f"w{i:03d}", {f"c{b}": float(rng.uniform(0.1, 4)) for b in range(CLASSES)}) for i in range(WORKLOADS)
        ],
        limits=limits,
    )
    return candidate_table(question)


def ours(candidates: CandidateTable) -> Model:
    """Compile, and build OR-Tools' solver on the model."""
    from solvers.ortools import _protos, _request

    model = compile_table(candidates).model
    request = _request(model, SolveOptions(), "highs", 1.0)
    _protos().solver.new(request.solver_type, request.model, request.initializer)
    return model


def pulp_objects(model: Model) -> None:
    """PuLP's variables and lpSum, then its own file."""
    import pulp

    problem = pulp.LpProblem("build", pulp.LpMinimize)
    kinds = np.where(model.integer, "Integer", "Continuous").tolist()
    columns = [pulp.LpVariable(f"x{j}", 0, u, kinds[j]) for j, u in enumerate(model.upper.tolist())]
    problem += pulp.lpSum(c * v for c, v in zip(model.objective.tolist(), columns, strict=True) if c)
    start, column, value = model.row_start.tolist(), model.column.tolist(), model.value.tolist()
    for i, (low, high) in enumerate(zip(model.row_lower.tolist(), model.row_upper.tolist(), strict=True)):
        total = pulp.lpSum(value[k] * columns[column[k]] for k in range(start[i], start[i + 1]))
        if low == high:
            problem += total == high
        elif np.isfinite(high):
            problem += total <= high
        else:
            problem += total >= low
    with tempfile.TemporaryDirectory() as folder:
        problem.writeMPS(str(Path(folder, "model.mps")), rename=True)


def scipy_arrays(model: Model) -> None:
    """Ready arrays to scipy's milp, stopped at once."""
    import scipy.optimize as so
    import scipy.sparse as sp

    matrix = sp.csr_array((model.value, model.column, model.row_start), shape=(model.n_rows, model.n_columns))
    so.milp(
        model.objective,
        integrality=model.integer.astype(int),
        bounds=so.Bounds(model.lower, model.upper),
        constraints=so.LinearConstraint(matrix, model.row_lower, model.row_upper),
        options={"time_limit": 0.0},
    )


def best_of_three(step: Callable[[], object]) -> float:
    """Give the best wall time of three, s."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print seconds and ratios."""
    candidates = table()
    model = ours(candidates)
    scipy_arrays(model)
    sys.stdout.write(
        f"{model.n_nonzeros} non-zeros, {model.n_columns} columns, {model.n_rows} rows, {len(candidates)} candidates\n"
    )
    mine = best_of_three(lambda: ours(candidates))
    others = {"scipy": best_of_three(lambda: scipy_arrays(model)), "PuLP": best_of_three(lambda: pulp_objects(model))}
    sys.stdout.write(f"ours   {mine:7.3f} s\n")
    for name, seconds in others.items():
        sys.stdout.write(f"{name:6s} {seconds:7.3f} s   {seconds / mine:6.1f} x ours\n")


if __name__ == "__main__":
    main()
