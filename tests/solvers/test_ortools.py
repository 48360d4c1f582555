"""OR-Tools: who represents what, where it runs, what happens when it does not stop."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from solvers import (
    BackendCrashedError,
    BackendUnavailableError,
    CapabilityError,
    Limit,
    Progress,
    SolveOptions,
    Termination,
    ortools,
)
from solvers.ortools import SUB_SOLVERS, OrtoolsBackend
from tests.solvers.small import INF, brute_force, market_split, model, planning, random_model, run_python, two_rows_lp, values


@pytest.mark.parametrize("name", sorted(SUB_SOLVERS))
def test_every_solver_inside_proves_itself(name):
    backend = OrtoolsBackend(name)
    backend.prove()
    assert backend.name == f"ortools:{name}"
    assert backend.version().startswith("ortools 9.")


def test_an_unknown_solver_inside_is_unavailable():
    with pytest.raises(BackendUnavailableError, match="cp-sat, glop, highs, pdlp, scip"):
        OrtoolsBackend("gurobi")


def test_cp_sat_refuses_what_it_would_round():
    """It answers 8.25 to a linear program worth 7.55625."""
    with pytest.raises(CapabilityError, match="lacks continuous, fractional_data, wide_range") as caught:
        OrtoolsBackend("cp-sat").solve(two_rows_lp())
    assert caught.value.missing == ("continuous", "fractional_data", "wide_range")


@pytest.mark.parametrize(
    ("m", "missing"),
    [
        (model([0.5, 1], [(1, [1, 1], INF)]), "fractional_data"),
        (model([1, 1], [(1, [2**30, 2**30], INF)]), "wide_range"),
    ],
)
def test_cp_sat_refuses_data_outside_its_exact_range(m, missing):
    with pytest.raises(CapabilityError, match=missing):
        OrtoolsBackend("cp-sat").solve(m)


def test_cp_sat_agrees_with_brute_force_on_whole_models():
    agreed = 0
    for seed in range(60):
        m = random_model(seed)
        if not m.integer.all():
            continue
        m = m.with_objective(m.objective * 4)
        solution = OrtoolsBackend("cp-sat").solve(m, SolveOptions(relative_gap=0.0))
        assert solution.objective == brute_force(m)
        agreed += 1
    assert agreed > 15


@pytest.mark.parametrize("name", ["glop", "pdlp"])
def test_linear_solvers_refuse_integers(name):
    with pytest.raises(CapabilityError, match="lacks integer"):
        OrtoolsBackend(name).solve(model([1], [(1.5, [1], INF)]))


def test_pdlp_is_right_to_its_digits():
    solution = OrtoolsBackend("pdlp").solve(two_rows_lp(), SolveOptions(want_duals=True))
    assert solution.objective == pytest.approx(7.55625, rel=1e-5)


def test_highs_gives_duals_too():
    solution = OrtoolsBackend("highs").solve(two_rows_lp(), SolveOptions(want_duals=True))
    assert solution.row_duals == pytest.approx([0.675, 0.475])


def test_what_highs_fails_on_scip_answers():
    """HiGHS 1.12 claims a point that violates a row here, and then errs; there is no solution."""
    m = random_model(33)
    assert brute_force(m) is None
    with pytest.raises(BackendCrashedError, match="HighsStatus: kError"):
        OrtoolsBackend("highs").solve(m)
    solution = OrtoolsBackend().solve(m)
    assert solution.termination is Termination.INFEASIBLE
    assert "SCIP" in solution.backend_version
    assert "kError" in solution.message


def children_only(monkeypatch):
    monkeypatch.setattr(ortools, "IN_PROCESS_NONZEROS", 0)
    monkeypatch.setattr(ortools, "IN_PROCESS_SECONDS", 0.0)
    monkeypatch.setattr(ortools, "TRY_NONZEROS", 0)


def test_a_child_gives_the_answer_of_this_process(monkeypatch):
    m, options = planning(1, options=15, classes=6), SolveOptions(relative_gap=1e-3, seed=3)
    here = OrtoolsBackend("highs").solve(m, options)
    children_only(monkeypatch)
    there = OrtoolsBackend("highs").solve(m, options)
    assert here.values.tolist() == there.values.tolist()
    assert here.dual_bound == there.dual_bound


def test_a_small_solve_starts_no_child(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a child was started")

    monkeypatch.setattr(ortools, "run_child", refuse)
    assert OrtoolsBackend().solve(model([1], [(1.5, [1], INF)])).objective == 2.0


def test_a_middling_model_that_is_soon_solved_starts_no_child(monkeypatch):
    """100 covers of 20 whole columns each: 2,000 non-zeros, two of each at the least price of 1."""
    rows = [(2, [float(k == row) for k in range(100) for _ in range(20)], INF) for row in range(100)]
    m = model([1.0 + j % 20 for j in range(2000)], rows)
    monkeypatch.setattr(ortools, "run_child", None)
    monkeypatch.setattr(ortools, "TRY_SECONDS", 20.0)  # on a machine however busy
    assert ortools.IN_PROCESS_NONZEROS < m.n_nonzeros <= ortools.TRY_NONZEROS
    assert OrtoolsBackend().solve(m).objective == 200.0


def test_a_middling_model_that_takes_longer_than_the_try_goes_on_in_a_child(monkeypatch):
    run, deadlines = ortools.run_child, list[float]()

    def noted(*args, deadline_s, **others):
        deadlines.append(deadline_s)
        return run(*args, deadline_s=deadline_s, **others)

    hard = planning(8)
    assert ortools.IN_PROCESS_NONZEROS < hard.n_nonzeros <= ortools.TRY_NONZEROS
    monkeypatch.setattr(ortools, "run_child", noted)
    solution = OrtoolsBackend().solve(hard, SolveOptions(time_limit_s=3.0, relative_gap=0.0))
    assert len(deadlines) == 1
    assert deadlines[0] <= 3.0 - ortools.TRY_SECONDS + ortools.GRACE_S
    assert solution.limit is Limit.TIME
    assert solution.values is not None


def test_more_threads_need_a_child(monkeypatch):
    monkeypatch.setattr(ortools.Run, "in_process", None)
    assert OrtoolsBackend().solve(model([1], [(1.5, [1], INF)]), SolveOptions(threads=2)).objective == 2.0


def test_a_child_that_dies_is_a_crash(monkeypatch):
    children_only(monkeypatch)
    monkeypatch.setattr(ortools, "_CHILD", "print('last words', flush=True); import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BackendCrashedError, match="exit code -9") as caught:
        OrtoolsBackend("highs").solve(model([1], [(1.5, [1], INF)]))
    assert "last words" in caught.value.output


def test_a_child_that_hangs_is_killed_and_what_it_left_is_used(monkeypatch):
    """It leaves two improving solutions, the second cut short, and a line of its log."""
    left = "Objective 4\\n# Columns 1\\n4\\nObjective 3\\n# Colu"
    line = " R       0       0         0   0.00%   1.5            4               62.5%        0      0      0         1     0.0s"
    code = f"open('improving', 'w').write('{left}'); print('{line}', flush=True); import time; time.sleep(60)"
    children_only(monkeypatch)
    monkeypatch.setattr(ortools, "GRACE_S", 0.3)
    monkeypatch.setattr(ortools, "_CHILD", code)
    monkeypatch.setattr(ortools.Run, "scale", 1.0)
    seen = []
    solution = OrtoolsBackend("highs").solve(
        model([1], [(1.5, [1], INF)]), SolveOptions(time_limit_s=0.3), on_progress=seen.append
    )
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.TIME)
    assert solution.values.tolist() == [4.0]
    assert solution.dual_bound == pytest.approx(1.45)
    assert "rounded down" in solution.bound_source
    assert [(p.incumbent, p.bound) for p in seen] == [(4.0, 1.5)]


def test_a_thread_that_overruns_is_abandoned(monkeypatch):
    class Deaf:
        @staticmethod
        def solve(*_):
            time.sleep(3)

    core = ortools._protos()
    monkeypatch.setattr(ortools, "_protos", lambda: replace(core, solver=Deaf))
    monkeypatch.setattr(ortools, "GRACE_S", 0.2)
    monkeypatch.setattr(ortools, "IN_PROCESS_SECONDS", 0.2)
    started = time.monotonic()
    solution = OrtoolsBackend("glop").solve(two_rows_lp(), SolveOptions(time_limit_s=0.2))
    assert time.monotonic() - started < 2
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.TIME)


@pytest.mark.parametrize(("name", "text"), [("SOLVER_TYPE_GLPK", "not registered"), ("SOLVER_TYPE_GUROBI", "bad_function_call")])
def test_a_solver_that_is_not_inside_is_unavailable(monkeypatch, name, text):
    monkeypatch.setitem(SUB_SOLVERS, "glop", replace(SUB_SOLVERS["glop"], proto=name))
    with pytest.raises(BackendUnavailableError, match=text):
        OrtoolsBackend("glop").solve(two_rows_lp())


def test_mathopts_own_words_are_kept(monkeypatch):
    """A bound crossed behind the model's back: the status text comes through, whichever way it is wrapped."""
    built = ortools._model
    monkeypatch.setattr(ortools, "_model", lambda m: spoiled(built(m)))
    with pytest.raises(BackendCrashedError, match="NaN"):
        OrtoolsBackend("glop").solve(two_rows_lp())
    lost = AttributeError("'StatusNotOk' object has no attribute 'canonical_code'")  # as MathOpt's Python layer does
    lost.__context__ = RuntimeError("INVALID_ARGUMENT: real text")
    assert ortools._text(lost) == "INVALID_ARGUMENT: real text"


def spoiled(proto):
    proto.variables.lower_bounds[0] = float("nan")
    return proto


def test_a_missing_package_is_unavailable():
    code = """
import sys
sys.modules["ortools"] = None
from solvers import BackendUnavailableError, get_backend
try:
    get_backend("ortools").prove()
except BackendUnavailableError as error:
    print("unavailable:", error)
"""
    done = run_python(code)
    assert "unavailable: backend 'ortools': ortools cannot be loaded" in done.stdout, done.stderr


def test_an_interrupter_stops_scip_with_its_incumbent():
    cancel, told = threading.Event(), list[float]()

    def noted(progress: Progress) -> None:
        if progress.incumbent is not None:
            told.append(time.monotonic())
            cancel.set()

    solution = OrtoolsBackend("scip").solve(planning(4), SolveOptions(60.0, relative_gap=0.0), on_progress=noted, cancel=cancel)
    assert told
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.INTERRUPT)


def test_a_time_limit_without_an_incumbent_keeps_a_finite_bound_only():
    solution = OrtoolsBackend("cp-sat").solve(market_split(), SolveOptions(time_limit_s=0.3))
    assert solution.limit is Limit.TIME
    assert solution.dual_bound is None or np.isfinite(solution.dual_bound)


def test_doubles_arrive_bit_by_bit():
    m = model([0.1, -1e-300, 1 / 3], [(1e-9, [1e-9, 0, 3.3], 1e15)], upper=[1.1, 2.2, 3.3], integer=False)
    proto = ortools._model(m)
    assert list(proto.objective.linear_coefficients.values) == m.objective.tolist()
    assert list(proto.linear_constraint_matrix.coefficients) == m.value.tolist()
    assert list(proto.variables.upper_bounds) == m.upper.tolist()
    big = values(*range(100_000))
    ortools._doubles(proto.variables, 2, big)
    assert list(proto.variables.lower_bounds)[3:] == big.tolist()
