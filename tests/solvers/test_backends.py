"""Every backend, the same tests: agreement with an oracle, statuses, limits, starts, cancel, threads, silence."""

import os
import pickle
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from solvers import BackendUnavailableError, CapabilityError, Limit, Model, OptionError, SolveOptions, Termination, lp_dual_bound
from solvers.check import check
from tests.solvers.small import INF, brute_force, market_split, model, planning, random_model, two_rows_lp, values

EXACT = SolveOptions(time_limit_s=20.0, relative_gap=0.0)
SEEDS = range(200)


def knapsack() -> Model:
    """Most of 5a + 4b + 3c; 2a + 3b + c <= 5, 4a + b + 2c <= 11, 3a + 4b + 2c <= 8, whole: a = 2, c = 1, worth 13."""
    return model([-5, -4, -3], [(-INF, [2, 3, 1], 5), (-INF, [4, 1, 2], 11), (-INF, [3, 4, 2], 8)])


def test_random_small_models_agree_with_brute_force(backend):
    oracle = [brute_force(random_model(seed)) for seed in SEEDS]
    infeasible = sum(x is None for x in oracle)
    assert 0.2 < infeasible / len(oracle) < 0.6
    for seed, wanted in zip(SEEDS, oracle, strict=True):
        solution = backend.solve(random_model(seed), EXACT)
        if wanted is None:
            assert solution.termination is Termination.INFEASIBLE, (seed, solution)
            continue
        assert solution.objective == pytest.approx(wanted, abs=1e-6), (seed, solution)
        assert solution.dual_bound is not None
        assert solution.dual_bound <= wanted + 1e-9 * max(1.0, abs(wanted)), (seed, solution)
        if abs(wanted) >= 0.25:  # at 0 a relative gap asks for a bound within 1e-15
            assert solution.termination is Termination.OPTIMAL, (seed, solution)


def test_models_said_to_be_small_have_the_same_optima(backend):
    asked = SolveOptions(time_limit_s=20.0, relative_gap=0.0, small=True)
    for seed in range(12):
        wanted = brute_force(random_model(seed))
        found = backend.solve(random_model(seed), asked).objective
        assert found == (None if wanted is None else pytest.approx(wanted, abs=1e-6)), seed


def test_an_optimum_is_told_with_values_bound_and_gap(backend):
    solution = backend.solve(knapsack(), EXACT)
    assert solution.termination is Termination.OPTIMAL
    assert solution.limit is None
    assert solution.values.tolist() == [2.0, 0.0, 1.0]
    assert solution.objective == -13.0
    assert solution.is_proved_optimal
    assert solution.relative_gap <= 1e-6
    assert solution.bound_source
    assert solution.backend == backend.name
    assert any(c.isdigit() for c in solution.backend_version)
    assert solution.solve_seconds > 0


def test_a_bound_that_infeasible_rows_fight_over_is_infeasible(backend):
    assert backend.solve(model([1], [(2, [1], INF)], upper=1.0), EXACT).termination is Termination.INFEASIBLE


def test_integer_infeasible_but_bounded_is_infeasible(backend):
    """2x - 2y = 1 has fractional solutions only; PuLP's second field says "no solution found"."""
    solution = backend.solve(model([1, 1], [(1, [2, -2], 1)]), EXACT)
    assert solution.termination is Termination.INFEASIBLE
    assert solution.values is None
    assert solution.objective is None


def test_an_unbounded_ray_is_unbounded(backend):
    solution = backend.solve(model([-1, 0], [(1, [1, 0], INF)], upper=[INF, 1], integer=[False, True]), EXACT)
    assert solution.termination in (Termination.UNBOUNDED, Termination.INFEASIBLE_OR_UNBOUNDED)


def test_infeasible_beside_an_unbounded_ray_is_not_called_solved(backend):
    rows = [(1, [1, 0], INF), (2, [0, 1], INF)]
    solution = backend.solve(model([-1, 0], rows, upper=[INF, 1], integer=[False, True]), EXACT)
    assert solution.termination in (Termination.INFEASIBLE, Termination.INFEASIBLE_OR_UNBOUNDED)


def test_a_model_without_rows_is_solved(backend):
    solution = backend.solve(model([3, -2, 0], [], lower=-1.0, upper=4.0, objective_offset=1.0), EXACT)
    assert solution.objective == -10.0


def test_a_row_without_sides_is_ignored(backend):
    solution = backend.solve(model([1, 1], [(-INF, [1, 1], INF), (3, [1, 2], INF)]), EXACT)
    assert solution.objective == 2.0


def test_a_ranged_row_holds_on_both_sides(backend):
    assert backend.solve(model([1], [(2.5, [1], 3.5)]), EXACT).objective == 3.0
    assert backend.solve(model([-1], [(2.5, [1], 3.5)]), EXACT).objective == -3.0


def test_negative_and_free_bounds_are_kept(backend):
    free = model(
        [1, 1, 1], [(-7, [1, 1, 0], INF), (-5.5, [0, 0, 1], INF)], lower=[-4, -INF, -INF], upper=[-1, INF, -2], integer=[1, 0, 0]
    )
    assert backend.solve(free, EXACT).objective == pytest.approx(-12.5)


def test_the_offset_is_part_of_objective_and_bound(backend):
    solution = backend.solve(model([1.0], [(3, [1], INF)], objective_offset=100.5), EXACT)
    assert solution.objective == 103.5
    assert solution.dual_bound == pytest.approx(103.5, rel=1e-6)


def test_tiny_costs_are_not_zero(backend):
    """Two covers that differ by 2 %, costing 1e-5: CBC's absolute cutoff of 1e-5 cannot tell them apart unscaled."""
    x = random_costs(1e-5)
    big, small = backend.solve(random_costs(1.0), EXACT), backend.solve(x, EXACT)
    assert small.objective == pytest.approx(big.objective * 1e-5, rel=1e-6)
    assert small.is_proved_optimal


def random_costs(unit: float) -> Model:
    rng = np.random.default_rng(3)
    rows = [(300, rng.integers(1, 50, 20), INF) for _ in range(3)]
    return model(rng.uniform(0.5, 2, 20) * unit, rows, upper=3.0)


def test_digits_survive_both_ways(backend):
    """PuLP returns 123456790 for a >= 123456789.123456789."""
    a = 123456789.123456789
    solution = backend.solve(model([1.0, 1.0], [(a, [1, 0], INF), (1, [0, 3], INF)], upper=1e9, integer=False), EXACT)
    assert solution.values[0] == pytest.approx(a, rel=1e-15)
    assert solution.values[1] == pytest.approx(1 / 3, rel=1e-14)


def test_a_trickle_through_a_big_m_is_never_called_a_solution(backend):
    """With x <= 1e7 y, x >= 1: y = 1 costs 1000.001; CBC says y = 0 and x = 1, "Optimal"."""
    solution = backend.solve(
        model([1000, 0.001], [(-INF, [-1e7, 1], 0), (1, [0, 1], INF)], upper=[1, 1e7], integer=[True, False]), EXACT
    )
    if solution.values is None:
        assert solution.termination is Termination.NO_SOLUTION_FOUND
        assert "not a solution" in solution.message
        assert solution.dual_bound is None
    else:
        assert solution.objective == pytest.approx(1000.001)


def test_a_gap_stop_is_feasible_and_says_so(main_backend):
    solution = main_backend.solve(planning(3), SolveOptions(time_limit_s=30, relative_gap=0.2))
    assert solution.termination is Termination.FEASIBLE
    assert solution.limit is Limit.GAP
    assert 1e-6 < solution.relative_gap <= 0.2
    assert check(planning(3), solution.values).is_clean


def test_a_time_limit_with_an_incumbent_is_feasible(main_backend):
    hard = planning(16)
    started = time.monotonic()
    solution = main_backend.solve(hard, SolveOptions(time_limit_s=2.0, relative_gap=0.0))
    assert time.monotonic() - started < 12
    assert solution.termination is Termination.FEASIBLE
    assert solution.limit is Limit.TIME
    assert solution.dual_bound < solution.objective
    assert check(hard, solution.values, solution.objective).is_clean


def test_a_time_limit_without_an_incumbent_has_no_values(backend):
    solution = backend.solve(market_split(), SolveOptions(time_limit_s=0.5))
    assert solution.termination is Termination.NO_SOLUTION_FOUND
    assert solution.limit is Limit.TIME
    assert solution.values is None
    assert solution.objective is None
    assert solution.relative_gap is None
    assert solution.dual_bound is None or np.isfinite(solution.dual_bound)


def test_no_time_means_no_solution(backend):
    solution = backend.solve(knapsack(), SolveOptions(time_limit_s=0))
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.TIME)
    assert solution.dual_bound is None


def test_no_time_and_a_feasible_start_gives_the_start(backend):
    solution = backend.solve(knapsack(), SolveOptions(time_limit_s=0, start=values(1, 0, 1)))
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.TIME)
    assert solution.objective == -8.0


@pytest.mark.parametrize("start", [(2, 0, 1), (np.nan, 0, 1), (9, 9, 9), (-50, 1e9, 0.4), (np.nan, np.nan, np.nan)])
def test_a_start_never_changes_the_optimum(backend, start):
    """Good, partial, infeasible, out of bounds, empty."""
    solution = backend.solve(knapsack(), SolveOptions(time_limit_s=20, relative_gap=0.0, start=values(*start)))
    assert solution.termination is Termination.OPTIMAL
    assert solution.objective == -13.0


def test_a_start_of_another_length_is_refused(backend):
    with pytest.raises(OptionError, match="expected 3 values, found 2"):
        backend.solve(knapsack(), SolveOptions(start=values(1, 2)))


def test_linear_programs_have_duals_and_a_bound_made_from_them(main_backend):
    lp = two_rows_lp()
    solution = main_backend.solve(lp, SolveOptions(want_duals=True))
    assert solution.termination is Termination.OPTIMAL
    assert solution.values == pytest.approx([1.95, 0.825])
    assert solution.row_duals == pytest.approx([0.675, 0.475])
    assert solution.reduced_costs == pytest.approx([0, 0], abs=1e-12)
    assert lp_dual_bound(lp.with_bounds(upper=[9, 9]), solution.row_duals) == pytest.approx(7.55625)


def test_duals_have_the_sign_of_the_side_that_holds(main_backend):
    """Least of -2x - 3y; x + y <= 4; x + 3y >= 1; x, y in 0 to 3: a unit more supply is worth 2."""
    lp = model([-2, -3], [(-INF, [1, 1], 4), (1, [1, 3], INF)], upper=3.0, integer=False)
    solution = main_backend.solve(lp, SolveOptions(want_duals=True))
    assert solution.objective == pytest.approx(-11)
    assert solution.row_duals == pytest.approx([-2, 0])
    assert solution.reduced_costs == pytest.approx([0, -1])
    assert solution.dual_bound == pytest.approx(-11)
    assert "duals" in solution.bound_source


def test_duals_are_only_given_when_asked(main_backend):
    assert main_backend.solve(two_rows_lp()).row_duals is None


def test_duals_of_an_integer_model_are_refused(backend):
    with pytest.raises(CapabilityError, match="only without integers"):
        backend.solve(knapsack(), SolveOptions(want_duals=True))


def test_cancel_returns_the_incumbent(main_backend):
    hard, cancel, seen = planning(16), threading.Event(), []

    def on_progress(progress):
        seen.append(progress)
        if progress.incumbent is not None:
            cancel.set()

    started = time.monotonic()
    fallback = threading.Timer(6.0, cancel.set)  # CBC's log comes in blocks of 4 KiB
    fallback.start()
    solution = main_backend.solve(hard, SolveOptions(time_limit_s=60, relative_gap=0.0), on_progress=on_progress, cancel=cancel)
    fallback.cancel()
    assert time.monotonic() - started < 15
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.INTERRUPT)
    assert check(hard, solution.values, solution.objective).is_clean
    assert solution.dual_bound is None or solution.dual_bound < solution.objective  # HiGHS prints -inf at first
    assert seen
    assert all(p.seconds > 0 for p in seen)


def test_cancel_without_an_incumbent_has_no_values(backend):
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    started = time.monotonic()
    solution = backend.solve(market_split(), SolveOptions(time_limit_s=60), cancel=cancel)
    assert time.monotonic() - started < 12
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.INTERRUPT)


def test_a_cancel_set_beforehand_starts_nothing(backend):
    cancel = threading.Event()
    cancel.set()
    solution = backend.solve(planning(16), cancel=cancel)
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.INTERRUPT)
    assert solution.solve_seconds < 1


def test_four_threads_get_their_own_answers(backend):
    models = [model([1.0, 2.0], [(k, [1, 1], INF)], upper=[k - 1, 50]) for k in range(2, 26)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda m: backend.solve(m, EXACT).objective, models))
    assert found == [float(k + 1) for k in range(2, 26)]


def test_the_same_call_gives_the_same_plan(backend):
    options = SolveOptions(relative_gap=1e-3, seed=7)
    first, second = (backend.solve(planning(1), options) for _ in range(2))
    assert first.values.tolist() == second.values.tolist()
    assert first.dual_bound == second.dual_bound


def test_two_threads_find_the_same_optimum(main_backend):
    small = planning(1, options=15, classes=6)
    one, two = (main_backend.solve(small, SolveOptions(60.0, 0.0, threads=t)) for t in (1, 2))
    assert one.objective == pytest.approx(two.objective, rel=1e-6)


def test_nothing_reaches_stdout_but_what_python_prints(backend, stdout_bytes):
    for seed in range(20):
        backend.solve(noisy(seed), EXACT)
    backend.solve(planning(4), SolveOptions(2.5, 0.0), on_progress=lambda p: os.write(1, b"!"))
    assert stdout_bytes().strip(b"!") == b""
    sys.stdout.flush()


def noisy(seed: int) -> Model:
    """Rows of unlike size make HiGHS print a debugging line whatever its options say."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(3, 30)), int(rng.integers(1, 15))
    matrix = rng.integers(-3, 20, (m, n)) * (rng.random((m, n)) < 0.6) * float(rng.choice([1, 1, 1e4]))
    rows = [(float(x), matrix[i], INF) for i, x in enumerate(rng.integers(1, 60, m))]
    return model(rng.uniform(1, 20, n), rows, upper=rng.integers(1, 20, n).astype(float), integer=rng.random(n) < 0.6)


def test_an_error_in_the_callers_own_callback_passes_through(main_backend):
    def fail(progress):
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        main_backend.solve(planning(16), SolveOptions(time_limit_s=20, relative_gap=0.0), on_progress=fail)


def test_models_answers_and_backends_travel_between_processes(backend):
    m, again = pickle.loads(pickle.dumps((knapsack(), backend)))
    solution = pickle.loads(pickle.dumps(again.solve(m, EXACT)))
    assert solution.objective == -13.0
    assert solution.values.tolist() == [2.0, 0.0, 1.0]


def test_a_disk_that_cannot_be_written_is_told(main_backend, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(BackendUnavailableError, match="no temporary folder can be made"):
        main_backend.solve(planning(2), EXACT)
