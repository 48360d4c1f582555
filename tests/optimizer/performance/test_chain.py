"""Rates derived from chains: small ones solved on paper, the M/M/c limit, and laws."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer.catalog import Quantity
from optimizer.instance import LatencyTarget
from optimizer.performance.chain import Chains, bearable, chains, largest_rates
from optimizer.performance.profiles import MIN_CONCURRENCIES, curves_by_configuration
from optimizer.read import load_catalogs


def target(statistic: str, at_most_ms: float, quantity: Quantity = Quantity.TTFT) -> LatencyTarget:
    return LatencyTarget(quantity=quantity, statistic=statistic, at_most_ms=at_most_ms)


def rate(chain: Chains, *targets: LatencyTarget, spread: float = 1.0) -> float:
    (found,) = largest_rates(chain, targets, spread).per_s
    return float(found)


def erlang_c(servers: int, load: float) -> float:
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def test_one_state_is_an_mm1_queue_in_which_one_in_a_hundred_may_wait() -> None:
    """Service 100 ms: P(busy) = λ/10 = 0.01 -> λ = 0.1."""
    assert rate(chains([1], [[100.0]], [[1.0]], [1]), target("p99", 100.0)) == pytest.approx(0.1, rel=2e-7)


def test_two_states_by_hand() -> None:
    """Departures 10 and 20 per s, both allowed at p50: 1 + 2r = 2r²/(1 - r) with r = λ/20, so r = (1 + √17)/8."""
    two = chains([1, 2], [[100.0, 100.0]], [[1.0, 1.0]], [1])
    assert rate(two, target("p50", 100.0)) == pytest.approx(20 * (1 + sqrt(17)) / 8, rel=2e-7)


def test_a_slower_second_state_that_breaks_the_target_is_reached_by_no_more_than_the_share_allowed() -> None:
    """Departures 10, then 2/0.4 = 5 per s; only one in flight meets 100 ms.

    P(1 or more) = 1 - π0 <= 1/2 needs π0 = 1/2: λ/10 + λ²/50/(1 - λ/5) = 1 -> λ² - 15 λ + 50 = λ²... so 15 λ = 50, λ = 10/3.
    """
    two = chains([1, 2], [[100.0, 400.0]], [[1.0, 1.0]], [1])
    assert rate(two, target("p50", 100.0)) == pytest.approx(10 / 3, rel=2e-7)


def test_mean_of_one_state_is_the_mm1_sojourn_time() -> None:
    """1 / (10 - λ) = 200 ms -> λ = 5."""
    one = chains([1], [[100.0]], [[1.0]], [1])
    assert rate(one, target("mean", 200.0)) == pytest.approx(5.0, rel=2e-7)
    assert rate(one, target("mean", 200.0, Quantity.E2E)) == pytest.approx(5.0, rel=2e-7)


@pytest.mark.parametrize(("servers", "percentile"), [(1, 50), (4, 90), (16, 95), (64, 99), (300, 99.9)])
def test_equal_times_at_every_load_make_an_mmc_queue(servers: int, percentile: float) -> None:
    """TTFT 50 ms and 25 further tokens of 10 ms: service 300 ms, and P(wait) is Erlang's C."""
    grid = [1, servers] if servers > 1 else [1]
    found = rate(chains(grid, [[50.0] * len(grid)], [[10.0] * len(grid)], [26]), target(f"p{percentile}", 50.0))
    assert erlang_c(servers, found * 0.3) == pytest.approx(1 - percentile / 100, rel=1e-6)


def test_the_spread_factor_multiplies_times_before_they_are_compared() -> None:
    curve = chains([1, 4, 16], [[100.0, 120.0, 300.0]], [[10.0, 11.0, 15.0]], [100])
    assert rate(curve, target("p90", 225.0), spread=1.5) == pytest.approx(rate(curve, target("p90", 150.0)), rel=3e-7)


def test_a_bound_below_the_time_at_the_lightest_load_gives_no_rate_and_says_which_time() -> None:
    found = largest_rates(chains([4, 8, 16], [[100.0, 120.0, 300.0]], [[10.0, 11.0, 15.0]], [100]), [target("p99", 120.0)], 1.5)
    assert found.per_s.tolist() == [0.0]
    np.testing.assert_allclose(found.lightest_ms, [[150.0]])
    assert np.isnan(found.reached_ms).all()


def test_the_value_reached_is_the_time_at_the_percentile_and_within_the_bound() -> None:
    """Grid 1, 2, 3: at the rate found two are allowed, so the p-th percentile meets exactly the time of two in flight."""
    three = chains([1, 2, 3], [[100.0, 150.0, 500.0]], [[10.0, 10.0, 10.0]], [2])
    found = largest_rates(three, [target("p90", 160.0), target("p90", 400.0, Quantity.E2E)])
    np.testing.assert_allclose(found.reached_ms, [[150.0, 160.0]])


def test_an_end_to_end_bound_counts_the_first_token_and_each_further_one() -> None:
    """100 + 9 x 10 = 190 ms and 120 + 9 x 12 = 228 ms."""
    curve = chains([1, 2], [[100.0, 120.0]], [[10.0, 12.0]], [10])
    assert rate(curve, target("p90", 189.0, Quantity.E2E)) == 0.0
    assert 0 < rate(curve, target("p90", 191.0, Quantity.E2E)) < rate(curve, target("p90", 229.0, Quantity.E2E))


def test_dips_are_read_as_flat() -> None:
    dipped = chains([1, 2, 4], [[100.0, 60.0, 200.0]], [[10.0, 10.0, 10.0]], [5])
    np.testing.assert_allclose(dipped.ttft_ms[0, :2], 100.0)


def test_overloaded_points_bound_the_rate_without_lending_it_their_concurrency() -> None:
    """A last point of minutes adds states that no target allows: the rate barely moves."""
    sane = rate(chains([1, 8, 64], [[100.0, 150.0, 400.0]], [[10.0, 12.0, 20.0]], [200]), target("p95", 450.0))
    over = rate(chains([1, 8, 64, 128], [[100.0, 150.0, 400.0, 9e4]], [[10.0, 12.0, 20.0, 25.0]], [200]), target("p95", 450.0))
    assert over <= sane * (1 + 3e-7)


def test_without_targets_the_rate_is_the_largest_departure_rate() -> None:
    """16 / (300 + 99 x 15) ms = 8.96 per s."""
    assert rate(chains([1, 4, 16], [[100.0, 120.0, 300.0]], [[10.0, 11.0, 15.0]], [100])) == pytest.approx(16e3 / (300 + 99 * 15))


def test_memory_and_unknown_points_end_a_chain() -> None:
    nan = np.nan
    many = chains([1, 2, 4], [[1.0, 1, 1], [1, 1, nan], [nan, nan, nan], [1, 1, 1]], [[1.0] * 3] * 4, [1] * 4, [9, 9, 9, 3])
    assert many.size.tolist() == [4, 2, 0, 3]
    assert largest_rates(many, [target("p90", 5.0)]).per_s[2] == 0.0


def test_a_batch_gives_what_each_chain_gives_alone() -> None:
    grid, ttft, tpot = [1, 4, 32], np.array([[50.0, 60, 90], [80, 200, 4000], [10, 10, 10]]), np.array([[5.0, 6, 9]] * 3)
    targets = [target("p95", 150.0), target("p99", 12.0, Quantity.TPOT), target("mean", 120.0)]
    together = largest_rates(chains(grid, ttft, tpot, [50, 500, 5], [32, 32, 17]), targets, 1.2).per_s
    alone = [
        rate(chains(grid, ttft[[i]], tpot[[i]], [out], [most]), *targets, spread=1.2)
        for i, (out, most) in enumerate([(50, 32), (500, 32), (5, 17)])
    ]
    np.testing.assert_allclose(together, alone, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1.0, 1.8), min_size=2, max_size=7), st.integers(1, 6), st.sampled_from([0.5, 0.9, 0.99]))
def test_an_equilibrium_found_by_linear_algebra_agrees(growth: list[float], allowed: int, percentile: float) -> None:
    """The chain cut at 200 in the system, solved as a linear system at the rate found: P(allowed or more) is 1 - p."""
    times_ms = 50.0 * np.cumprod(growth)
    allowed = min(allowed, len(growth))
    curve = chains(range(1, len(growth) + 1), [times_ms], [np.ones(len(growth))], [1])
    found = rate(curve, target(f"p{100 * percentile:g}", float(times_ms[allowed - 1]) * (1 + 1e-9)))
    allowed = int((times_ms <= times_ms[allowed - 1] * (1 + 1e-9)).sum())
    states = 200
    leave = np.array([1e3 * min(n, len(growth)) / times_ms[min(n, len(growth)) - 1] for n in range(1, states)])
    assume(found < 0.9 * leave[-1])  # else the cut is felt
    generator = np.diag(np.full(states - 1, found), 1) + np.diag(leave, -1)
    generator -= np.diag(generator.sum(axis=1))
    balance = np.vstack([generator.T[:-1], np.ones(states)])
    share = np.linalg.solve(balance, np.eye(states)[-1])
    assert share[allowed:].sum() == pytest.approx(1 - percentile, abs=1e-5)


def test_on_real_curves_a_p99_costs_a_fifth_to_two_fifths_of_the_rate_at_the_central_value() -> None:
    """Llama-3.1-70B, every curve: p99 TTFT 2 s and TPOT 50 ms, no spread; the sketch for the design found 0.61 to 0.80."""
    shares = []
    targets = [target("p99", 2000.0), target("p99", 50.0, Quantity.TPOT)]
    profiles = [p for p in load_catalogs().profiles if p.model == "Llama-3.1-70B-Instruct"]
    for curve in (curve for found in curves_by_configuration(profiles).values() for curve in found):
        if len(curve.concurrency) >= MIN_CONCURRENCIES:
            chain = chains(curve.concurrency, [curve.ttft_ms], [curve.tpot_ms], [curve.output_tokens])
            central = (chain.ttft_ms <= 2000.0) & (chain.tpot_ms <= 50.0)
            shares.append(rate(chain, *targets) / chain.departures_per_s[central].max())
    assert len(shares) > 60
    assert 0.7 < np.median(shares) < 0.85
    assert np.quantile(shares, 0.05) > 0.6
    assert max(shares) < 0.95


increments = st.lists(st.floats(0.0, 400.0), min_size=4, max_size=4)


@st.composite
def drawn_chains(draw: Any) -> Chains:
    ttft = 20.0 + np.cumsum(draw(increments))
    tpot = 2.0 + np.cumsum(draw(increments)) / 50.0
    return chains([1, 4, 16, 64], [ttft], [tpot], [draw(st.integers(1, 800))])


@settings(max_examples=60, deadline=None)
@given(drawn_chains(), st.floats(20.0, 2000.0), st.floats(1.0, 3.0), st.sampled_from(["mean", "p50", "p90", "p99", "p99.9"]))
def test_a_looser_bound_or_more_targets_move_the_rate_the_right_way(
    curve: Chains, bound_ms: float, looser: float, statistic: str
) -> None:
    tight = rate(curve, target(statistic, bound_ms))
    assert rate(curve, target(statistic, bound_ms * looser)) >= tight * (1 - 3e-7)
    assert rate(curve, target(statistic, bound_ms), target("p95", 30.0, Quantity.TPOT)) <= tight * (1 + 3e-7)
    assert rate(curve, target(statistic, bound_ms), spread=looser) <= tight * (1 + 3e-7)


@settings(max_examples=60, deadline=None)
@given(drawn_chains(), st.floats(20.0, 2000.0))
def test_a_higher_percentile_never_raises_the_rate_and_its_value_holds(curve: Chains, bound_ms: float) -> None:
    found = [largest_rates(curve, [target(f"p{p}", bound_ms)]) for p in (50, 90, 95, 99, 99.9)]
    rates = [float(f.per_s[0]) for f in found]
    assert rates == sorted(rates, reverse=True)
    for one in found:
        assert one.per_s[0] == 0.0 or one.reached_ms[0, 0] <= bound_ms * (1 + 3e-7)
        assert one.per_s[0] <= curve.departures_per_s[0, -1]


def test_a_class_that_shares_replicas_bears_what_the_strictest_bears() -> None:
    """The fast class (10 ms) alone bears both states, of which one in 20 may be beyond; the slow one bears 1.

    Fast, bearing 1: 1 - P(0) = 0.05 where weights are 1, r = λ/100 and r²/2 + ...: 1/P(0) = 1 + r/(1 - r/2) -> r = 2/39.
    """
    fast = chains([1, 2], [[10.0, 10.0]], [[1.0, 1.0]], [1])
    slow = chains([1, 2], [[50.0, 90.0]], [[1.0, 1.0]], [1])
    asked = [target("p95", 60.0)]
    assert bearable(fast, asked, 1.0).tolist() == [[2.0]]
    assert bearable(slow, asked, 1.0).tolist() == [[1.0]]
    (shared,) = largest_rates(fast, asked, 1.0, bearable(slow, asked, 1.0)).per_s
    r = 2 / 39
    assert 1 / (1 + r / (1 - r / 2)) == pytest.approx(0.95)
    assert shared == pytest.approx(100 * r, rel=1e-7)
    assert shared < rate(fast, *asked)


def test_on_means_a_class_that_shares_replicas_stays_at_the_mean_in_flight_of_the_strictest() -> None:
    fast = chains([1, 4], [[10.0, 20.0]], [[1.0, 1.0]], [1])
    slow = chains([1, 4], [[50.0, 100.0]], [[1.0, 1.0]], [1])
    asked = [target("mean", 60.0)]
    borne = bearable(slow, asked, 1.0)
    shared = largest_rates(fast, asked, 1.0, borne)
    assert bearable(fast, [target("mean", float(shared.reached_ms[0, 0]))], 1.0) == pytest.approx(borne, rel=1e-6)
    assert largest_rates(slow, asked, 1.0, borne).per_s == pytest.approx(largest_rates(slow, asked).per_s, rel=1e-7)
