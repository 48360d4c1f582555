"""check: every kind of violation, and a dual bound that holds in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from solvers import CheckReport, SolutionError, SolveOptions, Termination, get_backend, lp_dual_bound
from solvers.answer import Author, Claim, accept
from solvers.check import FEASIBILITY_TOLERANCE, check, objective_value, snapped
from solvers.solution import Limit, relative_gap
from tests.solvers.small import INF, model, planning, two_rows_lp, values

AUTHOR = Author("test", "0", 0.0)


def small():
    return model([1, 2], [(3, [1, 1], INF), (-INF, [1, -1], 1)], integer=[True, False])


def accepted(claim, m=None, polish=None, **options):
    return accept(m or small(), SolveOptions(**options), claim, AUTHOR, polish)


def test_a_clean_point_is_clean():
    report = check(small(), values(2, 1), 4.0)
    assert report.is_clean
    assert report.objective == 4.0
    assert report.describe(small()) == ""


def test_each_violation_is_named_with_its_amount():
    report = check(small(), values(1.5, -0.5), 7.0)
    assert report.rows.tolist() == [0, 1]
    assert report.row_amounts.tolist() == [2, 1]
    assert report.bounds.tolist() == [1]
    assert report.bound_amounts.tolist() == [0.5]
    assert report.fractional.tolist() == [0]
    assert report.fractional_amounts.tolist() == [0.5]
    assert report.objective_difference == 6.5
    words = report.describe(small())
    assert "row r0 violated by 2 and 1 more" in words
    assert "bound of column c1 violated by 0.5" in words
    assert "integrality of column c0" in words
    assert "objective claimed" in words


def test_nan_is_never_clean():
    report = check(small(), values(np.nan, 1))
    assert not report.is_clean
    assert "not a number" in report.describe(small())
    assert not check(small(), values(2, 1), np.nan).is_clean


def test_a_wrong_shape_is_an_error():
    with pytest.raises(SolutionError, match="expected 2 values"):
        check(small(), values(1))


def test_tolerance_is_relative_to_the_terms_of_the_row():
    m = model([1, 1], [(0, [1e6, -1e6], INF)], integer=False)
    assert check(m, values(1, 1 + 0.9 * FEASIBILITY_TOLERANCE)).is_clean
    assert not check(m, values(1, 1 + 3 * FEASIBILITY_TOLERANCE)).is_clean


def test_integers_are_rounded_once_and_never_from_afar():
    point = snapped(small(), values(1.9999999, 1 / 3))
    assert point.tolist() == [2.0, 1 / 3]
    assert snapped(small(), values(1.9, -1e-9)).tolist() == [1.9, 0.0]
    assert str(snapped(small(), values(-0.0, 0))[0]) == "0.0"


def test_the_objective_does_not_depend_on_the_order_of_columns():
    rng = np.random.default_rng(1)
    cost, point = rng.normal(size=1000) * 10.0 ** rng.integers(-8, 8, 1000), rng.uniform(0, 9, 1000)
    order = rng.permutation(1000)
    assert objective_value(model(cost, []), point) == objective_value(model(cost[order], []), point[order])


def exact_bound(m, y) -> Fraction:
    """Min of y.(Ax) + (c - yA).x over sides and bounds, in rationals."""
    y = [Fraction(v) for v in y]
    reduced = [Fraction(c) for c in m.objective.tolist()]
    for i, j, a in zip(m.row.tolist(), m.column.tolist(), m.value.tolist(), strict=True):
        reduced[j] -= Fraction(a) * y[i]
    total = Fraction(m.objective_offset)
    for i, v in enumerate(y):
        total += v * Fraction(float(m.row_lower[i] if v > 0 else m.row_upper[i])) if v else 0
    for j, r in enumerate(reduced):
        total += min(r * Fraction(float(m.lower[j])), r * Fraction(float(m.upper[j])))
    return total


@pytest.mark.parametrize("seed", range(30))
def test_the_dual_bound_is_below_its_exact_value_and_close(seed):
    rng = np.random.default_rng(seed)
    n, m = 12, 6
    rows = [(float(rng.normal()), rng.normal(size=n) * (rng.random(n) < 0.6), INF) for _ in range(m)]
    lp = model(rng.normal(size=n), rows, lower=-1.0, upper=3.0, integer=False, objective_offset=float(rng.normal()))
    y = np.abs(rng.normal(size=m))
    bound, exact = lp_dual_bound(lp, y), exact_bound(lp, y)
    assert Fraction(bound) <= exact
    assert float(exact) - bound < 1e-12


def test_any_duals_give_a_valid_bound():
    lp = two_rows_lp().with_bounds(upper=[100, 100])
    rng = np.random.default_rng(0)
    assert max(lp_dual_bound(lp, rng.uniform(-1, 1, 2)) for _ in range(500)) <= 7.55625
    assert lp_dual_bound(lp, values(0.675, 0.475)) == pytest.approx(7.55625, rel=1e-12)
    assert lp_dual_bound(lp, values(np.nan, np.inf)) == pytest.approx(0.0, abs=1e-9)
    assert lp_dual_bound(two_rows_lp(), values(5, 5)) is None  # columns without upper bounds


def test_the_dual_bound_of_a_relaxation_holds_for_the_integers():
    m = planning(1)
    relaxed = get_backend("ortools:glop").solve(m.relaxed(), SolveOptions(want_duals=True))
    whole = get_backend("ortools").solve(m, SolveOptions(time_limit_s=20))
    bound = lp_dual_bound(m, relaxed.row_duals)
    assert bound == pytest.approx(relaxed.objective, rel=1e-9)
    assert bound <= relaxed.objective
    assert bound <= whole.objective


def test_a_claimed_point_that_is_none_is_never_returned():
    solution = accepted(Claim(Termination.OPTIMAL, values=values(1, 1), dual_bound=3.0))
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.OTHER)
    assert solution.values is None
    assert solution.dual_bound is None
    assert "row r0 violated by 1" in solution.message


def test_a_point_broken_by_rounding_is_polished():
    """0.99999 rounds to 1, and 2.00001 no longer covers 3 + 1e-5: with x = 1 held, y = 2.00002."""
    m = model([5, 1], [(3.00002, [1, 1], INF)], upper=[1, 9], integer=[True, False])
    claim = Claim(Termination.OPTIMAL, values=values(1.000005, 2.00001), dual_bound=7.00002)
    solution = accepted(claim, m, polish=get_backend("ortools:glop").solve)
    assert solution.values == pytest.approx([1, 2.00002], rel=1e-12)
    assert "solved again" in solution.message


def test_the_word_optimal_does_not_make_a_proof():
    solution = accepted(Claim(Termination.OPTIMAL, values=values(2, 1), dual_bound=3.9))
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.GAP)
    assert not solution.is_proved_optimal
    proved = accepted(Claim(Termination.FEASIBLE, Limit.TIME, values(2, 1), 4.0 - 1e-7))
    assert (proved.termination, proved.limit) == (Termination.OPTIMAL, None)


def test_a_bound_above_a_verified_objective_is_dropped_and_told():
    solution = accepted(Claim(Termination.OPTIMAL, values=values(2, 1), dual_bound=5.0))
    assert solution.dual_bound is None
    assert "was dropped" in solution.message
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.OTHER)
    assert accepted(Claim(Termination.OPTIMAL, values=values(2, 1), dual_bound=4.0000001)).dual_bound == 4.0


@pytest.mark.parametrize("bound", [None, -np.inf, np.inf, np.nan])
def test_a_bound_that_is_no_number_is_none(bound):
    solution = accepted(Claim(Termination.FEASIBLE, Limit.TIME, values(2, 1), bound))
    assert solution.dual_bound is None
    assert solution.relative_gap is None
    assert not solution.is_proved_optimal


def test_infeasible_is_not_believed_when_the_start_is_a_solution():
    solution = accepted(Claim(Termination.INFEASIBLE), start=values(2, 1))
    assert solution.termination is Termination.FEASIBLE
    assert solution.objective == 4.0
    assert "called infeasible" in solution.message


def test_a_start_that_is_better_than_what_was_found_is_returned():
    solution = accepted(Claim(Termination.FEASIBLE, Limit.TIME, values(3, 2), 1.0), start=values(2, 1))
    assert solution.objective == 4.0
    assert solution.limit is Limit.TIME


def test_the_house_gap_divides_by_the_objective():
    assert relative_gap(200.0, 190.0) == 0.05
    assert relative_gap(-200.0, -210.0) == 0.05
    assert relative_gap(0.0, -1e-9) == pytest.approx(1.0)
    assert relative_gap(None, 1.0) is None
    assert relative_gap(1.0, None) is None
    assert isinstance(check(small(), values(2, 1)), CheckReport)
