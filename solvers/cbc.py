r"""CBC, the binary that PuLP brings, behind the common contract; the only file importing pulp.

PuLP only tells where the binary is: the model is written by ``files.to_mps`` and the binary run by ``process``. Measured on
200,000 non-zeros and 50,000 columns, arrays to written file: 0.32 s so, 3.65 s through PuLP's objects (November 2026, 2 cores;
``python -m tests.benchmarks.build``); a solve of two variables takes 11 ms. Numbers travel with all their digits both ways: the
file holds shortest round-trip decimals (PuLP writes 13 digits), and the answer is read from CBC's binary solution file (its text
file, which PuLP reads, holds 8 digits, and writing it crashes CBC on some infeasible models). The status comes from the log,
which tells an optimum from a stop at the gap asked; PuLP's fields do not.

What CBC 2.10.3 is known for, and what is done about it:

- *Cutoffs are absolute.* It looks only for solutions better by 1e-5: with costs around 1e-5 it called a point 9 % above the
  optimum optimal. Costs are scaled by a power of two, exactly, so that the largest is near 2^17; bounds then have digits too.
- *A proof is bounded by that cutoff*: "Optimal" gives the bound objective − 1e-5 scaled − ``PROOF_LOSS`` relative. When it
  stopped at the gap asked it says "within gap tolerance" and prints "Lower bound:" with three decimals, which are rounded down.
- *Its preprocessing is wrong* on about 1 in 300 random small models (4x + 2y between 7 and 9: cost 11, called optimal; the
  optimum is 2), so it is off: then 4,000 of 4,000 agreed with brute force, and planning models took as long (1.5, 2.5 and 12.4 s
  without, 1.3, 1.8 and 14.7 s with it).
- *It may ignore its time limit*: a watchdog asks it to stop, as Ctrl-C would, which makes it write its best
  solution, and kills it if it does not.
- *It may call a point optimal that is none* (a big-M row satisfied by 1e-7): ``answer.accept`` judges.
"""

import functools
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solvers.answer import Author, Claim, accept, linear_bound
from solvers.backend import Cancel, OnProgress, check_capabilities, prove
from solvers.errors import BackendCrashedError, BackendUnavailableError
from solvers.files import file_rows, to_mps
from solvers.logs import Reading, read_cbc
from solvers.model import Capability, FloatArray, Model
from solvers.options import SolveOptions, usable_start
from solvers.process import Ended, Stop, private_folder, put, read_log, run_child
from solvers.solution import Limit, Solution, Termination

GRACE_S = 5.0  # past its own time limit before the watchdog acts
SCALE_EXPONENT = 17  # the largest cost is scaled to at most 2^17
CUTOFF_INCREMENT = 1e-5  # CBC's default, in scaled cost
PROOF_LOSS = 1e-7  # relative; covers its dual tolerance of 1e-7 per unit of reduced cost at these scaled costs
HAND_OFF_GAP = 0.99  # of the gap asked, so that a gap recomputed from our objective is not above it by rounding

# What the log says at the end; the first that matches counts, each observed on a hand-made model in test_cbc.py.
_ENDINGS: tuple[tuple[str, Termination, Limit | None], ...] = (
    ("Result - Optimal solution found (within gap tolerance)", Termination.FEASIBLE, Limit.GAP),
    ("Result - Optimal solution found", Termination.OPTIMAL, None),
    ("Result - Problem proven infeasible", Termination.INFEASIBLE, None),
    ("Result - Linear relaxation infeasible", Termination.INFEASIBLE, None),
    ("Result - Linear relaxation unbounded", Termination.UNBOUNDED, None),
    ("Result - Stopped on time limit", Termination.FEASIBLE, Limit.TIME),
    ("Result - Stopped on node limit", Termination.FEASIBLE, Limit.NODES),
    ("Result - User ctrl-c", Termination.FEASIBLE, Limit.INTERRUPT),
    ("Result - ", Termination.FEASIBLE, Limit.OTHER),  # difficulties, other limits
    ("Problem is infeasible", Termination.INFEASIBLE, None),
    ("Problem is unbounded", Termination.INFEASIBLE_OR_UNBOUNDED, None),  # its relaxation is
    ("Optimal - objective value", Termination.OPTIMAL, None),  # a linear program
)
_NO_INCUMBENT = "No feasible solution found"
_LOWER_BOUND = re.compile(r"^Lower bound:\s+([-+.\deE]+)\s*$", re.MULTILINE)


class CbcBackend:
    """CBC as a child process, one per solve.

    Parameters
    ----------
    path : of another binary than PuLP's
    """

    def __init__(self, *, path: str | None = None) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """``cbc``."""
        return "cbc"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything."""
        return frozenset(Capability)

    def version(self) -> str:
        """CBC's own word and PuLP's version; starts the binary once."""
        return _version(self._binary())

    def prove(self) -> None:
        """Solve a two-variable model; raises BackendUnavailableError."""
        prove(self)

    def solve(
        self,
        model: Model,
        options: SolveOptions | None = None,
        *,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Solution:
        """Solve ``model``; see ``Backend.solve``."""
        started = time.monotonic()
        options = options or SolveOptions()
        check_capabilities(self.name, self.capabilities, model, options)
        usable_start(model, options)
        binary = self._binary()
        if cancel is not None and cancel.is_set():
            claim = Claim(Termination.NO_SOLUTION_FOUND, Limit.INTERRUPT)
        elif options.time_limit_s == 0:
            claim = Claim(Termination.NO_SOLUTION_FOUND, Limit.TIME)
        else:
            claim = _run(binary, model, options, started, on_progress, cancel)
        author = Author(self.name, _version(binary), time.monotonic() - started)
        return accept(model, options, claim, author, polish=lambda lp: self.solve(lp, SolveOptions(60.0, 0.0)))

    def _binary(self) -> str:
        path = self._path if self._path is not None else _pulp_binary()
        if shutil.which(path) is None:
            raise BackendUnavailableError(f"cbc cannot be run: {path} is missing or not executable")
        return path


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """CBC's solution file; numbers already in the model's own scale."""

    objective: float
    values: FloatArray
    row_duals: FloatArray


def _run(
    binary: str, model: Model, options: SolveOptions, started: float, on_progress: OnProgress | None, cancel: Cancel | None
) -> Claim:
    scale = model.cost_scale(SCALE_EXPONENT)
    limit = None if options.time_limit_s is None else max(0.01, options.time_limit_s - (time.monotonic() - started))
    with private_folder() as folder:
        put(folder / "model.mps", to_mps(model.scaled(scale), labels=False).encode())
        argv = [*_line_buffered(), binary, "model.mps", *_arguments(options, limit), *_start_arguments(folder, model, options)]

        last: list[Reading] = []

        def report() -> None:
            reading = read_cbc(read_log(folder, 4000))
            if on_progress is not None and reading != Reading() and reading not in last:
                last[:] = [reading]
                on_progress(reading.scaled(1 / scale).progress(time.monotonic() - started))

        ended = run_child(
            [*argv, "-solve", "-saveSolution", "values"],
            folder,
            deadline_s=None if limit is None else limit + GRACE_S,
            cancel=cancel,
            on_poll=report,
            gentle=True,
        )
        return _claim(folder, model, options, scale, ended)


def _line_buffered() -> list[str]:
    """Let the log arrive line by line where coreutils can do it; elsewhere progress comes in blocks of 4 KiB."""
    stdbuf = shutil.which("stdbuf")
    return [stdbuf, "-oL"] if stdbuf else []


def _arguments(options: SolveOptions, limit: float | None) -> list[str]:
    """Numbers only: nothing a caller gives becomes a word of CBC's command line."""
    arguments = ["-preprocess", "off", "-timeMode", "elapsed", "-ratio", repr(float(options.relative_gap) * HAND_OFF_GAP)]
    if limit is not None:
        arguments += ["-sec", repr(float(limit))]
    if options.threads > 1:
        arguments += ["-threads", str(int(options.threads))]
    if options.seed:  # 0 would mean the time of day, left out it means CBC's own fixed seeds
        arguments += ["-randomSeed", str(int(options.seed)), "-randomCbcSeed", str(int(options.seed))]
    return arguments


def _start_arguments(folder: Path, model: Model, options: SolveOptions) -> list[str]:
    start = usable_start(model, options)
    if start is None or not model.integer.any():
        return []
    lines = [f"{j} c{j} {value!r} 0" for j, value in zip(start[0].tolist(), start[1].tolist(), strict=True)]
    put(folder / "start", "\n".join(["Stopped on time - objective value 0", *lines, ""]).encode())
    return ["-mipStart", "start"]


def _claim(folder: Path, model: Model, options: SolveOptions, scale: float, ended: Ended) -> Claim:
    stopped = {Stop.CANCELLED: Limit.INTERRUPT, Stop.DEADLINE: Limit.TIME, Stop.EXITED: None}[ended.stop]
    log = read_log(folder)
    answer = _read_answer(folder, model, scale)
    if answer is None:
        if stopped is None:
            raise BackendCrashedError(f"cbc ended with code {ended.code} and left no solution", log[-2000:])
        bound = read_cbc(log).scaled(1 / scale).safe_bound
        return Claim(Termination.NO_SOLUTION_FOUND, stopped, None, bound, "cbc's log, rounded down")
    ending = next((x for x in _ENDINGS if f"\n{x[0]}" in log), None)
    if ending is None:
        raise BackendCrashedError("cbc ended without saying how", log[-2000:])
    _, termination, limit = ending
    limit = stopped or limit if limit is not None else None
    if termination is Termination.FEASIBLE and _NO_INCUMBENT in log:
        return Claim(Termination.NO_SOLUTION_FOUND, limit, None, *_printed_bound(log, scale))
    if termination is Termination.OPTIMAL and not model.integer.any():
        bound, source = linear_bound(model, answer.row_duals, answer.objective, "cbc")
        return Claim(termination, limit, answer.values, bound, source, answer.row_duals)
    if termination is Termination.OPTIMAL:
        bound = answer.objective - CUTOFF_INCREMENT / scale - PROOF_LOSS * abs(answer.objective)
        return Claim(
            termination, limit, answer.values, bound, "cbc exhausted its search; less its cutoff increment and tolerance"
        )
    if termination is Termination.FEASIBLE:
        return Claim(termination, limit, answer.values, *_printed_bound(log, scale))
    return Claim(termination)


def _printed_bound(log: str, scale: float) -> tuple[float | None, str]:
    """Give the bound of the final report, rounded down by half its last digit; None when there is none."""
    found = _LOWER_BOUND.findall(log)
    if not found:
        return None, ""
    value = float(found[-1])
    lowered = value - 0.0005 - PROOF_LOSS * abs(value)
    return lowered / scale, "cbc's log, three decimals of the scaled cost, rounded down"


def _read_answer(folder: Path, model: Model, scale: float) -> _Answer | None:
    """Read the binary file; None when it is missing or cut short.

    It holds two int32, rows and columns, then doubles: objective, row activities, row duals, values, reduced costs.
    """
    try:
        data = (folder / "values").read_bytes()
    except OSError:
        return None
    rows = file_rows(model).index
    m, n = len(rows), model.n_columns + (model.objective_offset != 0)  # which to_mps makes a column
    if len(data) != 8 * (2 + 2 * m + 2 * n) or np.frombuffer(data, np.int32, 2).tolist() != [m, n]:
        return None
    numbers = np.frombuffer(data, np.float64, offset=8)
    duals = np.bincount(rows, weights=numbers[1 + m : 1 + 2 * m] / scale, minlength=model.n_rows).astype(np.float64)
    return _Answer(float(numbers[0]) / scale, numbers[1 + 2 * m : 1 + 2 * m + model.n_columns].copy(), duals)


@functools.cache
def _pulp_binary() -> str:
    """Path of the binary inside PuLP.

    Raises
    ------
    BackendUnavailableError : PuLP is missing.
    """
    try:
        import pulp

        path = Path(pulp.PULP_CBC_CMD.pulp_cbc_path)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailableError(f"cbc comes with pulp, which cannot be loaded: {error}") from error
    return str(path.resolve())


@functools.cache
def _version(binary: str) -> str:
    """Ask the binary, which prints its version whatever it is asked to do."""
    with private_folder() as folder:
        run_child([binary, "-quit"], folder, deadline_s=10.0)
        found = re.search(r"^Version:\s+(\S+)", read_log(folder), re.MULTILINE)
    return f"CBC {found.group(1)}" if found else "CBC of unknown version"
