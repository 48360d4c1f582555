"""Grouping of points into curves, reading between points, and mapping of request shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.catalog import Latency, Layout, Load, LoadKind, Profile, Quality, Quantity
from optimizer.performance.profiles import (
    Curve,
    central_times_ms,
    curve_at_shape,
    curves_by_configuration,
    is_same_shape,
    same_shapes,
)


def point(concurrency: float, ttft_ms: float, tpot_ms: float, statistic: str = "central", **changes: Any) -> Profile:
    fields: dict[str, Any] = {
        "model": "m",
        "precision": "fp8",
        "accelerator": "H100-SXM",
        "accelerators_per_replica": 2,
        "engine": "vllm",
        "engine_version": "0.9",
        "layout": Layout(tensor=2),
        "input_tokens": 1024,
        "output_tokens": 1024,
        "unit": "tokens/s",
        "load": Load(kind=LoadKind.CONCURRENCY, value=concurrency, accelerators_measured=2),
        "latency": (
            Latency(quantity=Quantity.TTFT, statistic=statistic, ms=ttft_ms),
            Latency(quantity=Quantity.TPOT, statistic=statistic, ms=tpot_ms),
        ),
        "source": "a note",
    }
    return Profile(**(fields | changes))


def curve(shape: tuple[int, int], concurrency: list[float], ttft: list[float], tpot: list[float]) -> Curve:
    return Curve(*shape, np.array(concurrency), np.array(ttft), np.array(tpot), (f"{shape}",))


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "trtllm"},
        {"engine_version": None},
        {"layout": Layout(tensor=2, expert=1)},
        {"layout": Layout(tensor=2, attention_data=1)},
        {"availability": "preview"},
        {"compression": "2:4"},
        {"accelerators_per_replica": 4, "load": Load(kind=LoadKind.CONCURRENCY, value=8.0, accelerators_measured=4)},
    ],
)
def test_points_of_another_configuration_are_never_joined(changes: dict[str, Any]) -> None:
    curves = curves_by_configuration([point(4, 100, 10), point(8, 120, 11, **changes)])
    assert sorted(len(c.concurrency) for found in curves.values() for c in found) == [1, 1]


def test_points_of_one_configuration_make_one_sorted_curve_per_shape() -> None:
    curves = curves_by_configuration([point(16, 200, 12), point(4, 100, 10), point(4, 50, 5, output_tokens=8192)])
    (found,) = curves.values()
    assert [c.shape for c in found] == [(1024, 1024), (1024, 8192)]
    assert found[0].concurrency.tolist() == [4, 16]
    assert found[0].ttft_ms.tolist() == [100, 200]


def test_of_two_points_at_one_concurrency_the_slower_counts() -> None:
    ((found,),) = curves_by_configuration([point(4, 100, 12), point(4, 110, 10)]).values()
    assert (found.ttft_ms.tolist(), found.tpot_ms.tolist()) == ([110], [12])


@pytest.mark.parametrize(
    "other",
    [
        point(4, 100, 10, statistic="p99"),
        point(4, 100, 10, load=Load(kind=LoadKind.MAX_THROUGHPUT, value=900.0, accelerators_measured=2)),
        point(4, 100, 10, load=Load(kind=LoadKind.HELD_RATE, value=900.0, accelerators_measured=2)),
        point(4, 100, 10, load=Load(kind=LoadKind.CONCURRENCY, value=4.0, accelerators_measured=8)),
        point(4, 100, 10, latency=()),
    ],
)
def test_what_is_not_a_central_closed_loop_point_is_no_point_of_a_curve(other: Profile) -> None:
    assert central_times_ms(other) is None
    assert curves_by_configuration([other]) == {}


def test_a_curve_is_read_log_log_inside_its_range_only() -> None:
    """From (4, 100) to (16, 400) the exponent is 1: at 8 it is 200."""
    ttft, tpot = curve((1024, 1024), [4, 16], [100, 400], [10, 40]).at([3.9, 4, 8, 16, 17])
    np.testing.assert_allclose(ttft, [np.nan, 100, 200, 400, np.nan])
    np.testing.assert_allclose(tpot, [np.nan, 10, 20, 40, np.nan])


N = [4.0, 8.0, 16.0]


def test_a_shape_within_15_percent_takes_the_measured_curve_as_it_is() -> None:
    known = curve((1024, 1024), N, [1, 2, 3], [1, 2, 3])
    assert curve_at_shape([known], 1170, 900) == (known, Quality.MEASURED)
    assert curve_at_shape([known], 1200, 1024) is None


def test_a_shape_inside_a_triangle_is_log_linear_at_equal_concurrency() -> None:
    """log2 corners (10, 10), (10, 13), (13, 10) at weight 1/3 each: shape 2^11 x 2^11, times the geometric mean 100, 200, 400."""
    corners = [
        curve((1024, 1024), N, [50, 100, 200], [5, 5, 5]),
        curve((1024, 8192), N, [100, 200, 400], [10, 10, 10]),
        curve((8192, 1024), N, [200, 400, 800], [20, 20, 20]),
    ]
    found = curve_at_shape(corners, 2048, 2048)
    assert found is not None
    blended, quality = found
    assert quality is Quality.INTERPOLATED
    np.testing.assert_allclose(blended.ttft_ms, [100, 200, 400])
    np.testing.assert_allclose(blended.tpot_ms, [10, 10, 10])
    assert curve_at_shape(corners, 8192, 8192) is None


def test_two_shapes_speak_only_for_what_lies_between_them() -> None:
    """2896 is the middle of 1024 and 8192 in logs: sqrt(50 * 200) = 100."""
    pair = [curve((1024, 1024), N, [50] * 3, [5] * 3), curve((1024, 8192), N, [200] * 3, [20] * 3)]
    found = curve_at_shape(pair, 1024, 2896)
    assert found is not None
    np.testing.assert_allclose(found[0].ttft_ms, 100, rtol=1e-3)
    assert curve_at_shape(pair, 2048, 2896) is None
    assert curve_at_shape(pair, 1024, 512) is None


def test_corners_are_joined_over_the_concurrencies_all_of_them_cover() -> None:
    pair = [curve((1024, 1024), [1, 2, 8, 64], [10] * 4, [1] * 4), curve((1024, 4096), [4, 8, 32], [10] * 3, [1] * 3)]
    found = curve_at_shape(pair, 1024, 2048)
    assert found is not None
    assert found[0].concurrency.tolist() == [4, 8, 32]


def test_fewer_than_three_concurrencies_make_no_curve_to_derive_from() -> None:
    assert curve_at_shape([curve((1024, 1024), [4, 8], [1, 2], [1, 2])], 1024, 1024) is None
    narrow = [curve((1024, 1024), [1, 2, 4], [1] * 3, [1] * 3), curve((1024, 4096), [4, 8, 16], [1] * 3, [1] * 3)]
    assert curve_at_shape(narrow, 1024, 2048) is None


@given(st.tuples(st.integers(200, 20000), st.integers(200, 20000)))
def test_interpolated_times_stay_within_those_of_the_corners(shape: tuple[int, int]) -> None:
    corners = [
        curve((1024, 1024), N, [50, 100, 200], [5, 6, 7]),
        curve((1024, 8192), N, [100, 200, 400], [8, 9, 10]),
        curve((8192, 1024), N, [200, 400, 800], [11, 12, 13]),
        curve((4096, 4096), N, [150, 300, 600], [9, 9, 9]),
    ]
    found = curve_at_shape(corners, *shape)
    if found is not None:
        stack = np.stack([c.ttft_ms for c in corners])
        assert (found[0].ttft_ms >= stack.min(axis=0) * (1 - 1e-9)).all()
        assert (found[0].ttft_ms <= stack.max(axis=0) * (1 + 1e-9)).all()


LENGTHS = st.tuples(*[st.one_of(st.none(), st.integers(90, 140))] * 2)


@given(st.lists(LENGTHS), st.lists(LENGTHS))
def test_shapes_looked_for_together_are_those_looked_for_one_by_one(measured, wanted):
    expected = {one: [m for m in measured if is_same_shape(m, one)] for one in wanted}
    assert same_shapes(measured, wanted) == expected
