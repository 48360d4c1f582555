"""Times compiling a table of candidates into a model of about 300,000 non-zeros, against what a user would pick instead.

Run from the project's folder: ``python -m tests.benchmarks.compile``. In one run, no solve: ours from the candidates to a solver
built on the model; PuLP's ``lpSum`` and scipy's ``milp`` from the ready numbers of that model.
"""

from __future__ import annotations

import gc
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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


def measured(step: Callable[[], object]) -> tuple[float, float]:
    """Give the best wall time of three, s, and the most memory that a run takes beyond what is held before it, MiB."""
    runs = []
    for _ in range(3):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before, started = held_mib("VmRSS"), time.perf_counter()
        step()
        runs.append((time.perf_counter() - started, held_mib("VmHWM") - before))
    return min(seconds for seconds, _ in runs), max(peak for _, peak in runs)


def held_mib(what: str) -> float:
    """Give what this process holds (VmRSS) or the most it held (VmHWM), MiB; getrusage would count its parent's peak too."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found.group(1)) / 2**10


def against_others() -> Iterator[str]:
    """Give a table of seconds, memory and ratios."""
    candidates = table()
    model = ours(candidates)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(candidates),
        "scipy": lambda: scipy_arrays(model),
        "PuLP": lambda: pulp_objects(model),
    }
    yield f"{model.n_nonzeros:,} non-zeros, {model.n_columns:,} columns, {model.n_rows:,} rows of {len(candidates):,} candidates;"
    yield "the others have the ready numbers. Best wall seconds of three, and the most MiB beyond what was held before.\n"
    yield "| built by | s | times ours | MiB | times ours |\n|---|--:|--:|--:|--:|"
    found = {name: measured(way) for name, way in ways.items()}
    for name, (seconds, mib) in found.items():
        yield f"| {name} | {seconds:.2f} | {seconds / found['ours'][0]:.1f} | {mib:.0f} | {mib / found['ours'][1]:.1f} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(against_others()) + "\n")
