"""Times building a model of 200,000 non-zeros and handing it to a solver, four ways in one run.

Run from the project's folder: ``python -m tests.benchmarks.build``. Each figure is the best of three, wall seconds, with no
solve: CBC's side ends with the file written, OR-Tools' with the solver built, scipy's with arrays checked and a time limit of 0.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from solvers import Model, to_mps

COLUMNS, ROWS, NONZEROS = 50_000, 40_000, 200_000


def data(seed: int = 0) -> dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]]:
    """Random places and costs; every fifth column is whole."""
    rng = np.random.default_rng(seed)
    key = np.sort(rng.choice(COLUMNS * ROWS, NONZEROS, replace=False))
    rng.shuffle(key)
    return {
        "objective": rng.uniform(1, 20, COLUMNS),
        "lower": np.zeros(COLUMNS),
        "upper": np.full(COLUMNS, 9.0),
        "integer": np.arange(COLUMNS) % 5 == 0,
        "row": key // COLUMNS,
        "column": key % COLUMNS,
        "value": rng.uniform(0.5, 5, NONZEROS),
        "row_lower": np.full(ROWS, 0.25),
        "row_upper": np.full(ROWS, np.inf),
    }


def ours_to_ortools() -> None:
    """Model.from_triplets, then MathOpt's solver built from it."""
    from solvers import SolveOptions
    from solvers.ortools import _protos, _request

    request = _request(Model.from_triplets(**data()), SolveOptions(), "highs", 1.0)
    _protos().solver.new(request.solver_type, request.model, request.initializer)


def ours_to_cbc() -> None:
    """Model.from_triplets, then the file that CBC reads."""
    text = to_mps(Model.from_triplets(**data()))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.mps").write_text(text, "ascii")


def pulp_objects() -> None:
    """PuLP's variables and lpSum, then its own file."""
    import pulp

    x = data()
    problem = pulp.LpProblem("build", pulp.LpMinimize)
    kinds = np.where(x["integer"], "Integer", "Continuous").tolist()
    columns = [pulp.LpVariable(f"x{j}", 0, 9, kinds[j]) for j in range(COLUMNS)]
    problem += pulp.lpSum(c * v for c, v in zip(x["objective"].tolist(), columns, strict=True))
    terms: list[list[object]] = [[] for _ in range(ROWS)]
    for i, j, value in zip(x["row"].tolist(), x["column"].tolist(), x["value"].tolist(), strict=True):
        terms[int(i)].append(value * columns[int(j)])
    for row in terms:
        if row:
            problem += pulp.lpSum(row) >= 0.25
    with tempfile.TemporaryDirectory() as folder:
        problem.writeMPS(str(Path(folder, "model.mps")), rename=True)


def scipy_arrays() -> None:
    """Ready arrays to scipy's milp, stopped at once."""
    import scipy.optimize as so
    import scipy.sparse as sp

    x = data()
    matrix = sp.csr_array((x["value"], (x["row"], x["column"])), shape=(ROWS, COLUMNS))
    so.milp(
        x["objective"],
        integrality=x["integer"].astype(int),
        bounds=so.Bounds(x["lower"], x["upper"]),
        constraints=so.LinearConstraint(matrix, x["row_lower"], x["row_upper"]),
        options={"time_limit": 0.0},
    )


def best_of_three(step: Callable[[], None]) -> float:
    """Best wall time of three, s, less what drawing the data costs."""
    times = []
    for _ in range(3):
        drawn = time.perf_counter()
        data()
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started - (started - drawn))
    return min(times)


def main() -> None:
    """Print seconds and ratios."""
    steps = (ours_to_ortools, ours_to_cbc, scipy_arrays, pulp_objects)
    for step in steps[:3]:  # imports and first calls are not what is measured
        step()
    seconds = {step.__name__: best_of_three(step) for step in steps}
    sys.stdout.write(f"{NONZEROS} non-zeros, {COLUMNS} columns, {ROWS} rows\n")
    for name, value in seconds.items():
        against = f"{value / seconds['scipy_arrays']:6.2f} x scipy   {seconds['pulp_objects'] / value:6.1f} x faster than PuLP"
        sys.stdout.write(f"{name:16s} {value:7.3f} s   {against}\n")


if __name__ == "__main__":
    main()
