"""SolveOptions: refuses what has no meaning, before any backend sees it."""

import numpy as np
import pytest

from solvers import OptionError, SolveOptions
from solvers.options import usable_start
from tests.solvers.small import INF, model, values


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_limit_s": float("nan")},
        {"time_limit_s": -5},
        {"time_limit_s": float("inf")},
        {"time_limit_s": "60"},
        {"time_limit_s": True},
        {"relative_gap": "0 -sec 1"},
        {"relative_gap": "x"},
        {"relative_gap": float("nan")},
        {"relative_gap": -1e-9},
        {"relative_gap": None},
        {"threads": 0},
        {"threads": 1.5},
        {"threads": "2 -import x"},
        {"seed": -1},
        {"seed": 2**31},
        {"seed": 1.0},
        {"want_duals": 1},
        {"small": 1},
        {"start": "abc"},
        {"start": [[1.0]]},
    ],
)
def test_an_option_without_meaning_is_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        SolveOptions(**wrong)


def test_an_option_error_is_a_value_error():
    with pytest.raises(ValueError, match="expected 0 to 1e"):
        SolveOptions(time_limit_s=-1)


def test_numbers_of_numpy_become_plain_ones():
    options = SolveOptions(time_limit_s=np.float32(2), relative_gap=np.float64(0), threads=np.int64(2), seed=np.int32(3))
    assert [type(x) for x in (options.time_limit_s, options.relative_gap, options.threads, options.seed)] == [
        float,
        float,
        int,
        int,
    ]


def test_a_start_is_copied_rounded_clipped_and_may_be_partial():
    m = model([1, 1, 1, 1], [(1, [1, 1, 1, 1], INF)], integer=[True, True, True, False])
    given = values(1.6, np.nan, 99, 0.5)
    options = SolveOptions(start=given)
    given[0] = 7
    index, start = usable_start(m, options)
    assert index.tolist() == [0, 2, 3]
    assert start.tolist() == [2, 10, 0.5]


def test_no_start_is_none():
    assert usable_start(model([1], []), SolveOptions()) is None
