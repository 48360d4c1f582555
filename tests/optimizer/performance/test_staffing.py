"""Staffing against direct sums, closed forms and published values, and the laws that the model rests on."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from optimizer.performance.staffing import (
    MOST_LOSS,
    MOST_SERVERS,
    Curve,
    Wait,
    curve_of,
    erlang_c,
    most_load,
    wait_quantile,
)

RATIOS = (0.0, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 20.0)
TAILS = (0.5, 0.1, 0.05, 0.01, 0.001, None)
WAITS = [Wait(r, t) for r, t in product(RATIOS, TAILS) if r > 0 or t is not None]


def waiting(servers: int, load: Fraction) -> Fraction:
    """Sum the states of M/M/c in rationals: those below ``servers``, and all others, in which requests wait."""
    below = sum((load**k / math.factorial(k) for k in range(servers)), Fraction(0))
    full = load**servers / math.factorial(servers) * servers / (servers - load)
    return full / (below + full)


@pytest.mark.parametrize("servers", [1, 2, 3, 5, 8, 16, 40])
def test_erlang_c_is_the_sum_of_the_states_in_which_all_are_busy(servers: int) -> None:
    for share in ("1/1000", "3/10", "7/10", "19/20", "999/1000"):
        load = servers * Fraction(share)
        assert erlang_c(servers, float(load)) == pytest.approx(float(waiting(servers, load)), rel=1e-12)


def test_erlang_c_gives_values_known_from_textbooks() -> None:
    """One server: its utilization. Two with 1 erlang: 1/3. A call centre of 14 agents with 10 erlangs: 17.41 % wait."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(14, 10.0) == pytest.approx(0.1741, abs=5e-5)


@pytest.mark.parametrize(("servers", "load"), [(1000, 950.0), (10_000, 9_900.0), (10_000, 9_999.0), (10_000, 1.0)])
def test_erlang_c_stays_right_for_ten_thousand_servers(servers: int, load: float) -> None:
    """The same probability from logarithms of Poisson weights, which share nothing with the recursion."""
    log_weight = [k * math.log(load) - math.lgamma(k + 1) for k in range(servers + 1)]
    top = max(log_weight)
    below = math.fsum(math.exp(x - top) for x in log_weight[:-1])
    full = math.exp(log_weight[-1] - top) * servers / (servers - load)
    assert erlang_c(servers, load) == pytest.approx(full / (below + full), rel=1e-9, abs=1e-300)


def test_one_server_carries_what_closed_forms_say() -> None:
    """M/M/1: the mean wait is a / (1 - a); a wait t is exceeded by a * exp(-(1 - a) t)."""
    for ratio in (0.1, 1.0, 7.0):
        assert most_load(1, Wait(ratio, None)) == pytest.approx(ratio / (1 + ratio))
        load = most_load(1, Wait(ratio, 0.05))
        assert load * math.exp(-(1 - load) * ratio) == pytest.approx(0.05)


def test_the_quantile_of_the_wait_is_that_of_the_notes() -> None:
    """M/M/8 at 80 %, p99: 2.390 service times (simulated 2.432)."""
    assert wait_quantile(8, 6.4, 0.99) == pytest.approx(2.390, abs=1e-3)
    assert wait_quantile(8, 0.1, 0.99) == 0.0


@pytest.mark.parametrize("wait", WAITS)
def test_the_most_load_keeps_its_budget_and_a_little_more_does_not(wait: Wait) -> None:
    for servers in (1, 3, 30):
        load = most_load(servers, wait)
        assert 0 < load < servers
        for at, keeps in ((load, True), (load * (1 + 1e-9) + 1e-12, False)):
            waits, spare = erlang_c(servers, at), servers - at
            kept = waits <= wait.ratio * spare if wait.tail is None else waits * math.exp(-spare * wait.ratio) <= wait.tail
            assert kept is keeps or at >= servers


@pytest.mark.parametrize("wait", WAITS)
def test_load_is_convex_in_servers(wait: Wait) -> None:
    load = np.array([0.0, *(most_load(n, wait) for n in range(1, 60))])
    assert np.diff(load, 2).min() > -1e-9


@pytest.mark.parametrize("waits", [(Wait(0.05, 0.01),), (Wait(1.0, 0.05),), (Wait(0.3, None), Wait(1.5, 0.01))])
@pytest.mark.parametrize("cap", [0.8, 1.0])
def test_pieces_lie_under_the_load_by_two_percent_at_most_and_are_exact_for_few(waits: tuple[Wait, ...], cap: float) -> None:
    curve = curve_of(waits, cap, 2_000.0, pooled=True)
    assert curve is not None
    ends = [*curve.first.tolist(), *(np.minimum(curve.last, MOST_SERVERS)).tolist()]
    for n in sorted({*range(1, 40), *ends}):
        if n > 4000:
            continue
        most = min(min(most_load(n, w) for w in waits), cap * n)  # the cap is a row of its own
        carried = min(float(curve.carried(n)), cap * n)
        assert carried <= most * (1 + 1e-12)
        assert carried >= most * (1 - MOST_LOSS)
        assert carried == pytest.approx(most, rel=1e-12) or n > 8
    assert curve.loss <= MOST_LOSS


def test_a_few_pieces_reach_ten_thousand_servers() -> None:
    curve = curve_of([Wait(0.1, 0.01)], 1.0, 9_700.0, pooled=True)
    assert curve is not None
    assert len(curve.first) <= 14
    assert 9_700 < curve.needed(9_700.0) < MOST_SERVERS
    with pytest.raises(OverflowError, match="10000 servers"):
        curve_of([Wait(0.1, 0.01)], 1.0, 9_999.9, pooled=True)


@pytest.mark.parametrize("waits", [(Wait(0.05, 0.01),), (Wait(0.3, None), Wait(1.5, 0.01))])
def test_two_queues_made_one_carry_what_both_did(waits: tuple[Wait, ...]) -> None:
    """The load a server carries never falls with their number, in the pieces as well: dominance rests on it."""
    curve = curve_of(waits, 0.95, 900.0, pooled=True)
    assert curve is not None
    n, room = np.arange(1, 1000), np.arange(1, 1000) * 0.95  # the cap is a row of its own
    carried = np.minimum(curve.carried(n), room)
    assert (np.diff(carried / n) >= -1e-12).all()
    one, other = np.meshgrid(n[:300], n[:300])
    assert (carried[one + other - 1] >= carried[one - 1] + carried[other - 1] - 1e-9).all()


def test_pieces_do_not_hang_on_what_was_asked_before() -> None:
    few, many, again = (curve_of([Wait(0.07, 0.013)], 0.95, load, pooled=True) for load in (3.0, 80.0, 3.0))
    assert few is not None
    assert many is not None
    assert again is not None
    assert few.first.tolist() == again.first.tolist()
    assert len(few.first) < len(many.first)


def test_where_the_cap_says_as_much_there_is_no_curve() -> None:
    assert curve_of([Wait(50.0, 0.01)], 0.8, 100.0, pooled=True) is None
    assert curve_of([], 1.0, 100.0, pooled=True) is None


def test_servers_behind_a_random_balancer_are_so_many_single_ones() -> None:
    curve = curve_of([Wait(1.0, 0.01)], 0.8, 100.0, pooled=False)
    assert curve is not None
    assert curve.carried(7) == pytest.approx(7 * most_load(1, Wait(1.0, 0.01)))


def test_the_fewest_servers_are_found() -> None:
    curve = curve_of([Wait(0.1, 0.01)], 0.9, 50.0, pooled=True)
    assert curve is not None
    for load in (1e-6, 0.01, 3.3, 49.0):
        needed = curve.needed(load)
        assert curve.carried(needed) >= load
        assert needed == 1 or curve.carried(needed - 1) < load


@pytest.mark.parametrize("tail", [0.05, 0.01, None])
def test_a_looser_budget_never_needs_more_servers(tail: float | None) -> None:
    """The law of looser targets, in the pieces and not only in the formula: they begin at the same counts for every budget."""
    for load in (5.0, 11.3, 17.0, 25.0, 40.0, 70.0, 150.0, 400.0):
        curves = [curve_of([Wait(float(r), tail)], 0.95, load, pooled=True) for r in np.geomspace(0.02, 5, 40)]
        needed = [max(math.ceil(load / 0.95), 1 if c is None else c.needed(load)) for c in curves]
        assert all(a >= b for a, b in pairwise(needed))


def test_a_longer_budget_covers_a_shorter_one() -> None:
    short, long = (curve_of([Wait(r, 0.01)], 0.9, 50.0, pooled=True) for r in (0.1, 0.2))
    assert isinstance(short, Curve)
    assert isinstance(long, Curve)
    assert long.covers(short)
    assert not short.covers(long)
    assert short.covers(short)


def test_a_budget_that_one_server_cannot_keep_is_kept_by_many() -> None:
    curve = curve_of([Wait(1e-25, None)], 0.95, 1.0, pooled=True)
    assert curve is not None
    assert curve.carried(1) == 0.0
    assert most_load(curve.needed(1.0), Wait(1e-25, None)) > 0
    assert curve.loss <= MOST_LOSS


@pytest.mark.parametrize(("tail", "spare"), [(None, 0.5), (0.01, math.log(100) / 2)])
def test_in_bursts_a_constant_number_of_servers_is_spare(tail: float | None, spare: float) -> None:
    """Everyone waits 1 / (n - a) units on average, and longer than 2 units with probability exp(-2 (n - a))."""
    wait = Wait(2.0, tail, is_bursty=True)
    curve = curve_of([wait], 0.95, 300.0, pooled=True)
    assert curve is not None
    assert curve.carried([0, 1, 2, 10, 3000]) == pytest.approx([0.0, *(max(n - spare, 0.0) for n in (1, 2, 10, 3000))])
    assert (curve.loss, curve.needed(300.0)) == (0.0, math.ceil(300.0 + spare))
    assert all(most_load(n, wait) <= most_load(n, Wait(2.0, tail)) for n in (1, 3, 10, 50))
    with pytest.raises(OverflowError, match="10000 servers"):
        curve_of([Wait(0.0, tail, is_bursty=True)], 0.95, 1.0, pooled=True)
