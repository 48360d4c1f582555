"""Model: canonical order, one validation for all backends, cheap changes."""

import numpy as np
import pytest

from solvers import Capability, Model, ModelError
from solvers.model import LARGEST_COEFFICIENT, LARGEST_FINITE, SMALLEST_COEFFICIENT
from tests.solvers.small import INF, model, planning, values


def triplets(order, **changes) -> Model:
    row, column, value = np.array([0, 0, 1, 1, 1]), np.array([2, 0, 1, 1, 0]), values(1, 2, 3, 4, 0)
    arguments = {
        "objective": [1, 2, 3],
        "lower": 0,
        "upper": 9,
        "integer": True,
        "row": row[order],
        "column": column[order],
        "value": value[order],
        "row_lower": [1, 2],
        "row_upper": [INF, INF],
    }
    return Model.from_triplets(**(arguments | changes))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_triplets_in_any_order_give_the_same_model(order):
    """Two entries at (1, 1) sum to 7; the 0 at (1, 0) goes."""
    m = triplets(order)
    assert m.row_start.tolist() == [0, 2, 3]
    assert m.column.tolist() == [0, 2, 1]
    assert m.value.tolist() == [2, 1, 7]
    assert m.row.tolist() == [0, 0, 1]


def test_entries_that_cancel_are_dropped():
    assert triplets([0, 1, 2, 3, 4], value=[1, 2, 3, -3, 0]).value.tolist() == [2, 1]


def test_triplets_outside_the_model_are_refused():
    with pytest.raises(ModelError, match=r"row: 7 outside 0 to 1; column: -1 outside 0 to 2"):
        triplets([0, 1, 2, 3, 4], row=[7, 0, 0, 0, 0], column=[-1, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": [1, np.nan, 3]}, "cost is not finite: c1"),
        ({"objective": [1, 1e300, 3]}, "cost is above 1e\\+12 in size: c1"),
        ({"upper": [9, -1, 9]}, "lower bound is above upper bound: c1"),
        ({"upper": [9, np.nan, 9]}, "a bound is NaN"),
        ({"upper": [9, INF, INF]}, "integer column needs finite bounds: c1, c2"),
        ({"lower": [INF, 0, 0]}, "infinite on the wrong side: c0"),
        ({"upper": 1e16}, "finite bound is above 1e\\+15 in size: c0, c1, c2"),
        ({"row_lower": [1, INF]}, "a side is NaN, or infinite on the wrong side: r1"),
        ({"row_lower": [np.nan, 2]}, "a side is NaN, or infinite on the wrong side: r0"),
        ({"row_lower": [1e20, 2]}, "a finite side is above"),
        ({"row_upper": [0, 2]}, "lower side is above upper side: r0"),
        ({"value": [1, 2, np.nan, 4, 0]}, "coefficient is not finite: \\(r1, c1\\)"),
        ({"value": [1, 2, INF, 4, 0]}, "coefficient is not finite"),
        ({"value": [1, 1e300, 3, 4, 0]}, "coefficient is above 1e\\+12 in size: \\(r0, c0\\)"),
        ({"value": [1e-12, 2, 3, 4, 0]}, "coefficient is below 1e-09 in size: \\(r0, c2\\)"),
        ({"value": [1, 2, 3, 4]}, "triplets: 5 rows, 5 columns, 4 values"),
        ({"lower": [0, 0]}, "lower: expected 3 entries, found 2"),
        ({"objective_offset": np.nan}, "objective_offset is not finite"),
        ({"objective": []}, "column: .* outside"),
        ({"objective": ["a", 1, 2]}, "objective: not an array of float"),
        ({"objective": [[1, 2, 3]]}, "expected one dimension, found 2"),
    ],
)
def test_what_no_backend_may_see_is_refused(changes, words):
    with pytest.raises(ModelError, match=words):
        triplets([0, 1, 2, 3, 4], **changes)


def test_all_problems_are_told_together():
    with pytest.raises(ModelError) as caught:
        model([np.nan, 1], [(2, [1, np.inf], 1)], upper=[-1, INF])
    assert len(caught.value.problems) == 5
    assert "5 problem(s)" in str(caught.value)


def test_the_limits_themselves_are_allowed():
    m = model(
        [LARGEST_COEFFICIENT, 0], [(-LARGEST_FINITE, [SMALLEST_COEFFICIENT, LARGEST_COEFFICIENT], INF)], upper=LARGEST_FINITE
    )
    assert m.n_nonzeros == 2


def test_a_model_without_columns_is_refused():
    with pytest.raises(ModelError, match="at least one column"):
        model([], [])


def test_rows_given_out_of_order_are_refused():
    good = model([1, 1], [(1, [1, 1], INF)])
    with pytest.raises(ModelError, match="ascend inside each row"):
        Model(
            objective=good.objective,
            lower=good.lower,
            upper=good.upper,
            integer=good.integer,
            row_start=good.row_start,
            column=np.array([1, 0]),
            value=good.value,
            row_lower=good.row_lower,
            row_upper=good.row_upper,
        )


def test_changes_share_what_they_do_not_change():
    m = planning(1)
    other = m.with_objective(m.objective * 2).with_bounds(upper=m.upper + 1).relaxed()
    assert np.shares_memory(other.value, m.value)
    assert np.shares_memory(other.column, m.column)
    assert np.shares_memory(other.lower, m.lower)
    assert other.objective.tolist() == (m.objective * 2).tolist()
    assert not other.integer.any()
    assert m.integer.any()


def test_changes_are_validated_too():
    with pytest.raises(ModelError, match="cost is not finite"):
        planning(1).with_objective(np.full(480, np.nan))


def test_arrays_are_read_only_and_the_callers_stay_writable():
    own = values(1, 2, 3)
    m = triplets([0, 1, 2, 3, 4], objective=own)
    with pytest.raises(ValueError, match="read-only"):
        m.objective[0] = 5
    own[0] = 1.0


def test_labels_are_read_only_by_people():
    def labels():
        raise AssertionError("a label was read on the hot path")

    m = model([1, 1], [(1, [1, 1], INF)], column_labels=labels, row_labels=labels, row_groups=labels)
    m.with_objective([2, 2]).relaxed()
    named = model([1, 1], [(1, [1, 1], INF)], column_labels=lambda: ["n[chat]", "z"], row_labels=("demand",))
    assert (named.column_label(0), named.row_label(0)) == ("n[chat]", "demand")
    with pytest.raises(ModelError, match=r"cost is not finite: n\[chat\]"):
        named.with_objective([np.inf, 1])


def test_capabilities_follow_from_the_numbers():
    whole = model([1, 2], [(1, [1, 3], INF)])
    assert whole.required_capabilities == {Capability.INTEGER}
    assert model([1, 2], [(1, [1, 3], INF)], integer=[True, False]).required_capabilities == {
        Capability.INTEGER,
        Capability.CONTINUOUS,
    }
    assert Capability.FRACTIONAL_DATA in model([1, 2.5], [(1, [1, 3], INF)]).required_capabilities
    assert Capability.FRACTIONAL_DATA in model([1, 2], [(1.5, [1, 3], INF)]).required_capabilities


def test_ranges_beyond_exact_integers_need_a_wide_range():
    """2^31 summed over a row's coefficients, 2^53 over its activity."""
    assert Capability.WIDE_RANGE not in model([1, 1], [(1, [2**30, 2**30 - 1], INF)]).required_capabilities
    assert Capability.WIDE_RANGE in model([1, 1], [(1, [2**30, 2**30], INF)]).required_capabilities
    assert Capability.WIDE_RANGE in model([1, 1], [(1, [2**29, 1], INF)], upper=2.0**25).required_capabilities
    assert Capability.WIDE_RANGE in model([2**29, 1], [(1, [1, 1], INF)], upper=2.0**25).required_capabilities
    assert Capability.WIDE_RANGE in model([0, 1], [(1, [1, 1], INF)], upper=INF, integer=False).required_capabilities


def test_activity_is_the_matrix_times_the_point():
    assert triplets([0, 1, 2, 3, 4]).activity(values(1, 10, 100)).tolist() == [102, 70]


def test_costs_are_scaled_by_an_exact_power_of_two():
    m = model([3e-5, 1e-5], [(1, [1, 1], INF)], objective_offset=1.0)
    scale = m.cost_scale(14)
    assert 2**13 < 3e-5 * scale <= 2**14
    assert np.log2(scale) == round(np.log2(scale))
    assert m.scaled(scale).scaled(1 / scale).objective.tolist() == m.objective.tolist()
    assert model([0, 0], []).cost_scale(14) == 1.0


def test_its_repr_is_short():
    assert repr(model([1, 1], [(1, [1, 1], INF)])) == "Model('model', 2 columns (2 integer), 1 rows, 2 non-zeros)"
