"""Times starting up: `allocate --help` against importing click, and a solve without its solver against importing MathOpt.

Run from the project's folder with the project installed: ``python -m tests.benchmarks.startup``. Processes are timed in turn,
five rounds, user plus system seconds, median; the solver's own time is the plan's ``solve_seconds`` and is taken off wall time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
ALLOCATE = "import sys; from optimizer.cli import main; main()"


def wall_s(*command: str) -> float:
    """Give the wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def solve_without_solver_s(instance: str) -> float:
    """Give the wall seconds of a solve less its solver's own."""
    with tempfile.TemporaryDirectory() as folder:
        plan = str(Path(folder, "plan.json"))
        total = wall_s(ALLOCATE, "solve", instance, "--gap", "0.02", "--quiet", "-o", plan)
        return total - float(json.loads(Path(plan).read_text())["solve_seconds"])


def main() -> None:
    """Print medians and ratios."""
    rows: dict[str, list[float]] = {"import click": [], "allocate --help": [], "import MathOpt": [], "solve less solver": []}
    for _ in range(ROUNDS):
        rows["import click"].append(wall_s("import click"))
        rows["allocate --help"].append(wall_s(ALLOCATE, "--help"))
        rows["import MathOpt"].append(wall_s("from ortools.math_opt.python import mathopt"))
        rows["solve less solver"].append(solve_without_solver_s("instances/nlp.json"))
    median = {name: statistics.median(times) for name, times in rows.items()}
    for name, times in rows.items():
        sys.stdout.write(f"{name:18s} {median[name]:6.3f} s   ({min(times):.3f} to {max(times):.3f})\n")
    sys.stdout.write(f"help / click    {median['allocate --help'] / median['import click']:.2f}\n")
    sys.stdout.write(f"solve / MathOpt {median['solve less solver'] / median['import MathOpt']:.2f}\n")


if __name__ == "__main__":
    main()
