"""OR-Tools behind the common contract: HiGHS, SCIP, GLOP, PDLP and CP-SAT through MathOpt; the only file importing ortools.

The model is handed over as one protocol buffer filled from whole arrays, straight to MathOpt's core.

Who solves what: a model with integers goes to HiGHS, one without to GLOP; ``OrtoolsBackend("scip")`` and its like override.
Should HiGHS fail, or claim a point that is none (1 in 1,000 random small models), SCIP answers instead. HiGHS before SCIP: on
planning models of 3,500, 5,300 and 7,000 non-zeros to a gap of 1e-4 they took 2.2, 3.2, 4.7 s and 3.0, 8.4, 10.1 s.
CP-SAT rounds continuous columns in silence, so its capabilities are whole columns with whole data only.

Where it runs: SCIP, GLOP, PDLP and CP-SAT heed an interrupter and run in a thread of this process. HiGHS heeds none, gives no
callbacks and prints debugging lines to stdout, so it runs in a child process, which can be killed and whose improving
solutions and log are read from files. Small models are first given to HiGHS in this process for ``IN_PROCESS_SECONDS`` with
the C library's stdout turned away (``quiet``), since most of them need less than a child's start, and so is any model that may
take no longer; middling ones for ``TRY_SECONDS``, about what a child's start takes, so that trying costs no more than it may
save. One that needs more starts again in a child, with the same answer as if it had been there from the start. A call costs
about 1 ms in this process, and 0.1 s in a child.
"""

import contextlib
import functools
import importlib.metadata
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solvers.answer import Author, Claim, accept, linear_bound
from solvers.backend import Cancel, OnProgress, check_capabilities, prove
from solvers.errors import BackendCrashedError, BackendUnavailableError
from solvers.logs import Reading, last_improving_solution, read_highs, read_scip
from solvers.model import AnyArray, Capability, FloatArray, Model
from solvers.options import SolveOptions, usable_start
from solvers.process import Stop, private_folder, put, read_log, run_child
from solvers.quiet import can_silence, silent_c_stdout
from solvers.solution import Limit, Solution, Termination

IN_PROCESS_NONZEROS = 1_000
IN_PROCESS_SECONDS = 1.0
TRY_NONZEROS = 20_000
TRY_SECONDS = 0.2
TINY_NONZEROS = 1_000  # for which HiGHS's feasibility jump, 10 ms however small the model, takes longer than all the rest
SMALL_SECONDS = 3.0  # the same for models said to be small, of which there are many
GRACE_S = 5.0  # past its own time limit before a sub-solver is stopped from outside
POLL_S = 0.05
SCALE_EXPONENT = 14  # the largest cost is scaled to at most 2^14: HiGHS, at costs of 1e-5, errs by its tolerance of 1e-7
ROW_TOLERANCE = 1e-8  # for HiGHS and SCIP, whose own 1e-6 buys a cheaper objective; costs no time on planning models. For
# integers of tiny whole models HiGHS keeps its own: at 1e-8 it calls wrong optima proved more often (docs/design.md, "The bound")
HEURISTIC_EFFORT = 0.2  # four times HiGHS's own: company.json's best plan stands after 45 s, not ones 0.1 to 3 % dearer
HAND_OFF_GAP = 0.99  # of the gap asked, so that a gap recomputed from our objective is not above it by rounding

_LINEAR = frozenset({Capability.CONTINUOUS, Capability.FRACTIONAL_DATA, Capability.WIDE_RANGE})


@dataclass(frozen=True, slots=True)
class SubSolver:
    """One solver inside OR-Tools."""

    proto: str
    label: str
    capabilities: frozenset[Capability]
    interruptible: bool


SUB_SOLVERS = {
    "cp-sat": SubSolver("SOLVER_TYPE_CP_SAT", "CP-SAT", frozenset({Capability.INTEGER}), True),
    "glop": SubSolver("SOLVER_TYPE_GLOP", "GLOP", _LINEAR | {Capability.DUALS}, True),
    "highs": SubSolver("SOLVER_TYPE_HIGHS", "HiGHS", _LINEAR | {Capability.INTEGER, Capability.DUALS}, False),
    "pdlp": SubSolver("SOLVER_TYPE_PDLP", "PDLP", _LINEAR | {Capability.DUALS}, True),
    "scip": SubSolver("SOLVER_TYPE_GSCIP", "SCIP", _LINEAR | {Capability.INTEGER}, True),
}
_HEURISTICS = ("feasibility_jump", "rens", "rins", "root_reduced_cost", "shifting", "zi_round")  # of HiGHS, by its options
_VERSIONS = {"9.15": {"highs": "1.12.0", "scip": "10.0.0"}}  # inside the wheels, which do not tell

# Runs in a child: no numpy, no import of ours, so that it starts in the time of importing MathOpt's core.
_CHILD = """
import os, sys
sys.path[:] = sys.argv[1].split("\\n")
from ortools.math_opt import callback_pb2, rpc_pb2
from ortools.math_opt.core.python import solver
with open("request", "rb") as file:
    r = rpc_pb2.SolveRequest.FromString(file.read())
try:
    answer = solver.solve(r.model, r.solver_type, r.initializer, r.parameters, r.model_parameters, None,
                          callback_pb2.CallbackRegistrationProto(), None, None)
    name, data = "result", answer.SerializeToString()
except Exception as error:
    name, data = "error", str(error).encode()
with open("part", "wb") as file:
    file.write(data)
os.replace("part", name)
"""


class OrtoolsBackend:
    """OR-Tools, or one named solver inside it.

    Parameters
    ----------
    solver : ``auto`` or a key of ``SUB_SOLVERS``

    Raises
    ------
    BackendUnavailableError : no such solver.
    """

    def __init__(self, solver: str = "auto") -> None:
        if solver != "auto" and solver not in SUB_SOLVERS:
            raise BackendUnavailableError(f"ortools has no solver {solver!r}; it has {', '.join(sorted(SUB_SOLVERS))}")
        self._solver = solver

    @property
    def name(self) -> str:
        """``ortools`` or ``ortools:<solver>``."""
        return "ortools" if self._solver == "auto" else f"ortools:{self._solver}"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it represents exactly; for ``auto`` what HiGHS and GLOP do between them."""
        return SUB_SOLVERS["highs" if self._solver == "auto" else self._solver].capabilities

    def version(self) -> str:
        """Version of OR-Tools, and the solver inside when one is named."""
        return _version(None if self._solver == "auto" else self._solver)

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
        options = options or SolveOptions()
        check_capabilities(self.name, self.capabilities, model, options)
        usable_start(model, options)
        started, failures, solution = time.monotonic(), [], None
        for key in self._sub_solvers(model):
            run = Run(model, options, key, started, on_progress, cancel)
            try:
                claim = run.claim()
            except BackendCrashedError as error:
                failures.append(error)
                continue
            author = Author(self.name, _version(key), run.seconds())
            solution = accept(model, options, claim, author, polish=_polish)
            if solution.values is not None or claim.values is None:
                break
        if solution is None:
            raise failures[0]
        return replace(solution, message="; ".join(filter(None, [solution.message, *map(str, failures)])))

    def _sub_solvers(self, model: Model) -> tuple[str, ...]:
        """Who is asked, in turn, until one neither fails nor claims a point that is no solution."""
        if self._solver != "auto":
            return (self._solver,)
        return ("highs", "scip") if model.integer.any() else ("glop", "highs")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One call of one sub-solver."""

    model: Model
    options: SolveOptions
    key: str
    started: float  # monotonic
    on_progress: OnProgress | None
    cancel: Cancel | None

    @property
    def scale(self) -> float:
        """What costs are multiplied by on the way in; CP-SAT wants them whole as they are."""
        return 1.0 if self.key == "cp-sat" else self.model.cost_scale(SCALE_EXPONENT)

    def claim(self) -> Claim:
        """Solve, wherever it fits, and give what the sub-solver says."""
        if self.cancelled():
            return Claim(Termination.NO_SOLUTION_FOUND, Limit.INTERRUPT)
        limit = self.options.time_limit_s
        limit = None if limit is None else max(0.0, limit - self.seconds())
        if limit == 0:
            return Claim(Termination.NO_SOLUTION_FOUND, Limit.TIME)
        if SUB_SOLVERS[self.key].interruptible:
            return self.in_process(limit)
        short = limit is not None and limit <= (SMALL_SECONDS if self.options.small else IN_PROCESS_SECONDS)
        here = limit if short else self.here_s(limit)
        if here != 0 and self.options.threads == 1 and can_silence():
            claim = self.in_process(here)
            if short or claim.limit is not Limit.TIME or (limit is not None and self.seconds() >= limit) or self.cancelled():
                return claim
        return self.in_child(None if limit is None else max(0.01, limit - self.seconds()))

    def here_s(self, limit: float | None) -> float:
        """Seconds HiGHS is given in this process before a child is started."""
        size = self.model.n_nonzeros
        most = IN_PROCESS_SECONDS if size <= IN_PROCESS_NONZEROS else TRY_SECONDS if size <= TRY_NONZEROS else 0.0
        return most if limit is None else min(limit, most)

    def seconds(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.started

    def cancelled(self) -> bool:
        """Whether the caller wants it to stop."""
        return self.cancel is not None and self.cancel.is_set()

    def report(self, reading: Reading, last: list[Reading]) -> None:
        """Pass on what a log tells, when it tells something new; ``last`` holds what was passed on before."""
        if self.on_progress is not None and reading != Reading() and reading not in last:
            last[:] = [reading]
            self.on_progress(reading.scaled(1 / self.scale).progress(self.seconds()))

    def in_process(self, limit: float | None) -> Claim:
        """Solve in a thread of this process; a thread that heeds neither limit nor interrupter is abandoned."""
        lines: deque[str] = deque(maxlen=200)
        last: list[Reading] = []
        request = _request(self.model.scaled(self.scale), self.options, self.key, limit)
        attempt = _Attempt(request, lines if self.key == "scip" else None)
        deadline = None if limit is None else self.seconds() + limit + GRACE_S
        stopped: Limit | None = None
        try:
            while not attempt.done.wait(POLL_S):
                self.report(read_scip(list(lines)), last)
                if stopped is None and self.cancelled():
                    stopped, deadline = Limit.INTERRUPT, self.seconds() + GRACE_S
                    attempt.interrupt()  # HiGHS ignores it, and is given IN_PROCESS_SECONDS at most
                if deadline is not None and self.seconds() > deadline:
                    bound = read_scip(list(lines)).scaled(1 / self.scale).safe_bound
                    return Claim(Termination.NO_SOLUTION_FOUND, stopped or Limit.TIME, None, bound, "log, rounded down")
        finally:
            attempt.interrupt()
            attempt.done.wait(IN_PROCESS_SECONDS)  # a thread that outlives the interpreter aborts the process
        claim = self.read(attempt.result(), limit)
        return replace(claim, limit=stopped) if stopped and claim.limit is not None else claim

    def in_child(self, limit: float | None) -> Claim:
        """Solve in a child process; a killed one leaves its last improving solution and its log."""
        last: list[Reading] = []
        with private_folder() as folder:
            request = _request(self.model.scaled(self.scale), self.options, self.key, limit, files=True)
            put(folder / "request", request.SerializeToString())
            paths = "\n".join(p or os.getcwd() for p in sys.path)
            ended = run_child(
                [sys.executable, "-c", _CHILD, paths],
                folder,
                deadline_s=None if limit is None else limit + GRACE_S,
                cancel=self.cancel,
                on_poll=lambda: self.report(read_highs(read_log(folder, 4000)), last),
            )
            return self._after_child(folder, ended.stop, ended.code, limit)

    def _after_child(self, folder: Path, stop: Stop, code: int, limit: float | None) -> Claim:
        with contextlib.suppress(FileNotFoundError):
            result = _protos().result.SolveResultProto.FromString((folder / "result").read_bytes())
            return self.read(result, limit)
        if (folder / "error").exists():
            raise _error((folder / "error").read_text("utf-8", "replace"))
        if stop is Stop.EXITED:
            log = read_log(folder, 2000)
            raise BackendCrashedError(f"{SUB_SOLVERS[self.key].label} died with exit code {code}", log)
        reading = read_highs(read_log(folder)).scaled(1 / self.scale)
        values = last_improving_solution(folder / "improving", self.model.n_columns)
        return Claim(
            Termination.NO_SOLUTION_FOUND if values is None else Termination.FEASIBLE,
            Limit.INTERRUPT if stop is Stop.CANCELLED else Limit.TIME,
            values,
            reading.safe_bound,
            "log, rounded down",
        )

    def read(self, result: Any, limit: float | None) -> Claim:
        """Read a result; the claimed optimum of a linear program gets a bound derived from its duals."""
        core, label = _protos().result, SUB_SOLVERS[self.key].label
        reason = core.TerminationReasonProto.Name(result.termination.reason).removeprefix("TERMINATION_REASON_").lower()
        if reason in ("numerical_error", "other_error", "unspecified"):
            raise BackendCrashedError(f"{label} stopped with {reason}: {result.termination.detail}")
        termination = Termination.FEASIBLE if reason == "imprecise" else Termination(reason)
        bound, source = result.termination.objective_bounds.dual_bound / self.scale, f"{label}'s word"
        duals = _duals(self.model, result)
        if duals is not None:
            duals /= self.scale
            bound, source = linear_bound(self.model, duals, bound, label)
        return Claim(termination, _limit(result, limit, self.seconds()), _point(self.model, result), bound, source, duals)


class _Attempt:
    """One call of MathOpt's core in a thread of its own; the call holds no lock of the interpreter."""

    def __init__(self, request: Any, lines: deque[str] | None) -> None:
        core = _protos()
        self.done = threading.Event()
        self._outcome: list[Any] = []
        self._interrupter = core.interrupter()
        listen: Callable[[list[str]], None] | None = None if lines is None else lines.extend

        def call() -> None:
            parts = (request.model, request.solver_type, request.initializer, request.parameters, request.model_parameters)
            nothing = core.callback.CallbackRegistrationProto()
            try:
                with silent_c_stdout():
                    answer = core.solver.solve(*parts, listen, nothing, None, self._interrupter.pybind_interrupter)
                self._outcome.append(answer)
            except Exception as error:  # carried to the calling thread by result()
                self._outcome.append(error)
            finally:
                self.done.set()

        threading.Thread(target=call, daemon=True, name="solver").start()

    def interrupt(self) -> None:
        """Ask it to stop; harmless once done."""
        self._interrupter.interrupt()

    def result(self) -> Any:
        """Give the SolveResultProto, or raise what went wrong."""
        outcome = self._outcome[0]
        if isinstance(outcome, Exception):
            raise _error(_text(outcome)) from outcome
        return outcome


@dataclass(frozen=True, slots=True)
class _Core:
    """The parts of MathOpt used here; its Python modelling layer is not imported."""

    model: Any
    parameters: Any
    model_parameters: Any
    result: Any
    callback: Any
    rpc: Any
    solver: Any
    interrupter: Any


@functools.cache
def _protos() -> _Core:
    """Import MathOpt's core once.

    Raises
    ------
    BackendUnavailableError : the package is missing or does not load.
    """
    try:
        from ortools.math_opt import callback_pb2, model_parameters_pb2, model_pb2, parameters_pb2, result_pb2, rpc_pb2
        from ortools.math_opt.core.python import solver
        from ortools.util.python.solve_interrupter import SolveInterrupter
    except ImportError as error:
        raise BackendUnavailableError(f"ortools cannot be loaded: {error}") from error
    return _Core(model_pb2, parameters_pb2, model_parameters_pb2, result_pb2, callback_pb2, rpc_pb2, solver, SolveInterrupter)


@functools.cache
def _version(key: str | None) -> str:
    try:
        own = importlib.metadata.version("ortools")
    except importlib.metadata.PackageNotFoundError:
        return "ortools missing"
    inside = next((v for build, v in _VERSIONS.items() if own.startswith(build)), {})
    return f"ortools {own}" if key is None else f"ortools {own}, {SUB_SOLVERS[key].label} {inside.get(key, '')}".rstrip()


def _polish(model: Model) -> Solution:
    return OrtoolsBackend("glop").solve(model, SolveOptions(time_limit_s=60.0, relative_gap=0.0))


def _text(error: BaseException) -> str:
    """Give MathOpt's own words; its Python layer hides them one exception further down."""
    return str(error.__context__ or error)


def _error(text: str) -> BackendCrashedError | BackendUnavailableError:
    if "not registered" in text or "bad_function_call" in text:
        return BackendUnavailableError(text)
    return BackendCrashedError(f"ortools refused or failed: {text}")


def _request(model: Model, options: SolveOptions, key: str, limit: float | None, files: bool = False) -> Any:
    core = _protos()
    kind = getattr(core.parameters, SUB_SOLVERS[key].proto)
    parameters = _parameters(options, key, limit, files)
    if key == "highs" and model.n_nonzeros <= TINY_NONZEROS:
        parameters.highs.bool_options["mip_heuristic_run_feasibility_jump"] = False
    if key == "highs" and (options.small or model.n_nonzeros > TINY_NONZEROS):
        parameters.highs.double_options["mip_feasibility_tolerance"] = ROW_TOLERANCE
    request = core.rpc.SolveRequest(solver_type=kind, model=_model(model), parameters=parameters)
    start = usable_start(model, options)
    if start is not None and model.integer.any():
        hint = request.model_parameters.solution_hints.add().variable_values
        hint.ids.extend(start[0])
        hint.values.extend(start[1])
    return request


def _model(model: Model) -> Any:
    """Fill the protocol buffer from whole arrays; zero costs are left out, as the format wants it."""
    proto = _protos().model.ModelProto(name=model.name)
    proto.variables.ids.extend(np.arange(model.n_columns))
    proto.variables.integers.extend(model.integer)
    _doubles(proto.variables, 2, model.lower)
    _doubles(proto.variables, 3, model.upper)
    priced = np.flatnonzero(model.objective)
    proto.objective.offset = model.objective_offset
    proto.objective.linear_coefficients.ids.extend(priced)
    _doubles(proto.objective.linear_coefficients, 2, model.objective[priced])
    proto.linear_constraints.ids.extend(np.arange(model.n_rows))
    _doubles(proto.linear_constraints, 2, model.row_lower)
    _doubles(proto.linear_constraints, 3, model.row_upper)
    proto.linear_constraint_matrix.row_ids.extend(model.row)
    proto.linear_constraint_matrix.column_ids.extend(model.column)
    _doubles(proto.linear_constraint_matrix, 3, model.value)
    return proto


def _doubles(message: Any, field: int, values: FloatArray) -> None:
    """Append a packed field of doubles from its wire form, tag, length, bytes: a hundred times faster than one by one."""
    data = np.ascontiguousarray(values, "<f8").tobytes()
    length, size = bytearray(), len(data)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    message.MergeFromString(bytes([field << 3 | 2]) + bytes(length) + data)


def _parameters(options: SolveOptions, key: str, limit: float | None, files: bool) -> Any:
    """Say the same thing to each sub-solver in its own words."""
    parameters = _protos().parameters.SolveParametersProto(
        relative_gap_tolerance=options.relative_gap * HAND_OFF_GAP, absolute_gap_tolerance=0.0
    )
    if key != "pdlp":  # which is deterministic and refuses a seed
        parameters.random_seed = options.seed
    if limit is not None:
        parameters.time_limit.FromNanoseconds(int(limit * 1e9))
    if key == "highs":
        parameters.enable_output = files
        parameters.highs.bool_options["log_to_console"] = files  # in a child, where stdout is a file of ours
        parameters.highs.int_options["threads"] = options.threads
        parameters.highs.double_options["primal_feasibility_tolerance"] = ROW_TOLERANCE
        parameters.highs.double_options["mip_heuristic_effort"] = HEURISTIC_EFFORT
        if options.small:  # two thirds less time on blocks of a few dozen integers; several times more on whole models
            parameters.highs.double_options["mip_heuristic_effort"] = 0.0
            for heuristic in _HEURISTICS:
                parameters.highs.bool_options[f"mip_heuristic_run_{heuristic}"] = False
            parameters.highs.bool_options["mip_detect_symmetry"] = False
            parameters.highs.bool_options["mip_allow_restart"] = False
        if files:
            parameters.highs.string_options["mip_improving_solution_file"] = "improving"
    elif key == "scip":
        parameters.gscip.real_params["numerics/feastol"] = ROW_TOLERANCE
    elif key == "cp-sat":
        parameters.threads = options.threads
        parameters.cp_sat.only_solve_ip = True
    elif key == "pdlp":
        parameters.threads = options.threads
    return parameters


def _limit(result: Any, limit: float | None, seconds: float) -> Limit | None:
    name = _protos().result.LimitProto.Name(result.termination.limit)
    known = {"LIMIT_TIME": Limit.TIME, "LIMIT_INTERRUPTED": Limit.INTERRUPT, "LIMIT_NODE": Limit.NODES, "LIMIT_UNSPECIFIED": None}
    if name == "LIMIT_UNDETERMINED" and limit is not None and seconds >= 0.9 * limit:  # CP-SAT does not tell
        return Limit.TIME
    return known.get(name, Limit.OTHER)


def _point(model: Model, result: Any) -> FloatArray | None:
    """Give the first primal solution called feasible, dense, shape (n,)."""
    for solution in result.solutions:
        if solution.HasField("primal_solution") and solution.primal_solution.feasibility_status == 2:  # FEASIBLE
            return _dense(solution.primal_solution.variable_values, model.n_columns)
    return None


def _duals(model: Model, result: Any) -> FloatArray | None:
    for solution in result.solutions:
        if solution.HasField("dual_solution") and not model.integer.any():
            return _dense(solution.dual_solution.dual_values, model.n_rows)
    return None


def _dense(vector: Any, size: int) -> AnyArray:
    dense = np.zeros(size)
    dense[np.array(vector.ids, np.int64)] = np.array(vector.values, np.float64)
    return dense
