"""The engines against exact theory, which stands only here, and against the figures of independent simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.catalog import Quantity
from optimizer.errors import CheckFailedError, UsageError
from optimizer.instance import LatencyTarget
from optimizer.performance import ClassCurve, ServiceTime
from optimizer.simulate.arrivals import Poisson
from optimizer.simulate.flow import Engine, serve_together
from optimizer.simulate.pools import Load, Pool
from optimizer.simulate.run import GROUPS, Loss, engine_of, estimate, put_through
from optimizer.simulate.servers import BatchServer, serve_batches, serve_singly
from optimizer.simulate.streams import Stream

ROWS, WARM, COUNTED = 80, 2000, 8000


def poisson(per_s: float, seed: int = 1, rows: int = ROWS, requests: int = WARM + COUNTED, rates=(1.0,)) -> Stream:
    rng = np.random.default_rng(seed)
    return Stream.of(np.cumsum(rng.exponential(1 / per_s, size=(rows, requests)), axis=1), rates, rng)


def interval(times, percentile=None):
    """Give the 99.9 % interval of a percentile or the mean from groups of replications, so that a fixed seed passes with room."""
    groups = np.array_split(times[:, WARM:], GROUPS)
    parts = [np.mean(part) if percentile is None else np.quantile(part, percentile) for part in groups]
    margin = 3.9 * np.std(parts, ddof=1) / math.sqrt(GROUPS)
    return np.mean(parts) - margin, np.mean(parts) + margin


def erlang_c(servers: int, load: float) -> float:
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (16, 0.85)])
def test_a_central_queue_of_exponential_servers_waits_as_erlang_says(servers, load):
    stream = poisson(servers * load)
    rng = np.random.default_rng(2)
    service = rng.exponential(size=stream.when_s.shape)
    waits = serve_singly(stream, service, servers, "central", rng) - stream.when_s - service
    busy, spare = erlang_c(servers, servers * load), servers * (1 - load)
    low, high = interval(waits, 0.99)
    assert low <= math.log(busy / 0.01) / spare <= high
    low, high = interval(waits)
    assert low <= busy / spare <= high


def md1_tail(load: float, wait: float) -> float:
    """P(wait > t) of M/D/1 with service 1 (Erlang, 1909), summed in exact fractions of e."""
    from fractions import Fraction

    total = Fraction(0)
    for k in range(math.floor(wait) + 1):
        x = Fraction(load).limit_denominator(1000) * (k - Fraction(wait).limit_denominator(10**6))
        total += x**k / math.factorial(k) * Fraction(math.exp(-float(x)))
    return 1 - (1 - load) * float(total)


@pytest.mark.parametrize("engine", ["servers", "flow"])
def test_a_batch_1_server_of_fixed_service_waits_as_erlang_says(engine):
    """Both engines: one server, and continuous batching that admits one request whose first token is its last."""
    load, stream, rng = 0.7, poisson(0.7), np.random.default_rng(3)
    if engine == "servers":
        waits = serve_singly(stream, np.ones(stream.when_s.shape), 1, "central", rng) - stream.when_s - 1.0
    else:
        one = Engine(np.array([[1.0, np.nan], [1.0, np.nan]]))
        waits = serve_together(one, 1, stream, "random", rng, until=WARM + COUNTED).last_s - stream.when_s - 1.0
    low, high = interval(waits, 0.99)
    assert md1_tail(load, high) < 0.01 < md1_tail(load, low)
    low, high = interval(waits)
    assert low <= load / (2 * (1 - load)) <= high


def test_balancers_are_as_far_apart_as_independent_simulations_found():
    """16 exponential servers, 85 % busy: p99 wait 1.57 with a central queue, at random 19 times that (an M/M/1 queue each)."""
    stream, rng = poisson(16 * 0.85, seed=4), np.random.default_rng(40)
    service = rng.exponential(size=stream.when_s.shape)
    found = {
        name: float(np.quantile((serve_singly(stream, service, 16, name, rng) - stream.when_s - service)[:, WARM:], 0.99))
        for name in ("central", "least_work", "power_of_two", "round_robin", "random")
    }
    known = {"central": 1.57, "least_work": 1.59, "power_of_two": 4.39, "round_robin": 16.2, "random": 29.6}
    assert found == {name: pytest.approx(value, rel=0.06) for name, value in known.items()}


@pytest.mark.parametrize(("servers", "load", "p99_ms"), [(1, 0.5, 71), (1, 0.8, 104), (1, 0.95, 215), (4, 0.8, 77)])
def test_batch_servers_are_as_slow_as_independent_simulations_found(servers, load, p99_ms):
    """20 ms + 2 ms a request, batches of at most 16, one queue."""
    server = BatchServer(0.02, 0.002, 16)
    stream = poisson(load * servers * 16 / 0.052, seed=5)
    times = serve_batches(stream, server, servers, "central", np.random.default_rng(5)) - stream.when_s
    assert 1e3 * np.quantile(times[:, WARM:], 0.99) == pytest.approx(p99_ms, rel=0.08)  # theirs are single runs


@pytest.mark.parametrize("balancer", ["central", "random", "round_robin", "power_of_two", "least_work"])
def test_a_batch_server_of_one_is_a_batch_1_server(balancer):
    stream = poisson(2 * 0.7, rows=20, requests=3000)
    alone = serve_singly(stream, np.ones(stream.when_s.shape), 2, balancer, np.random.default_rng(6))
    batches = serve_batches(stream, BatchServer(1.0, 0.0, 1), 2, balancer, np.random.default_rng(6))
    assert np.quantile(batches - stream.when_s, 0.95) == pytest.approx(np.quantile(alone - stream.when_s, 0.95), rel=0.05)


def test_requests_in_flight_follow_the_birth_death_chain_of_a_curve():
    """Of one class whose speed falls with what is in flight; processor sharing does not see that lengths are fixed.

    Weights of n in flight are the products of rate * seconds(k) / k; those beyond the 16 admitted wait and make a geometric tail.
    """
    seconds, rate, most = 1.0 + 0.2 * np.arange(17), 1.6, 16
    weights = np.cumprod(np.concatenate([[1.0], rate * seconds[1:] / np.arange(1, most + 1)]))
    beyond = weights[-1] * rate * seconds[most] / most / (1 - rate * seconds[most] / most)
    n = np.arange(most + 1)
    total = weights.sum() + beyond
    mean = (weights @ n + beyond * (most + 1 / (1 - rate * seconds[most] / most))) / total
    engine = Engine(np.stack([0.25 * seconds, 0.75 * seconds], axis=1))
    stream = poisson(rate, seed=7)
    served = serve_together(engine, 1, stream, "random", np.random.default_rng(7), until=WARM + COUNTED)
    stay = (served.last_s - stream.when_s)[:, WARM:].mean()
    assert stay * rate == pytest.approx(mean, rel=0.03)  # Little's law


def test_a_lone_request_takes_the_times_of_the_curve():
    curve = ClassCurve(11, np.array([2.0, 4.0]), np.array([100.0, 200.0]), np.array([10.0, 40.0]), 4)
    engine = engine_of([curve])
    assert engine.seconds[:, 0].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.1 * 2 ** (math.log(1.5) / math.log(2)), 0.2])
    served = serve_together(engine, 3, poisson(1e-3, rows=2, requests=4), "least_work", np.random.default_rng(8), until=4)
    assert np.ptp(served.last_s - served.first_s) < 1e-6
    assert (served.last_s - served.first_s)[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("balancer", ["central", "random", "round_robin", "power_of_two", "least_work"])
def test_all_that_a_lost_replica_held_is_served_by_the_others(balancer):
    """2 of 4 replicas stop at 50 s: nobody is lost, and who was there begins anew."""
    engine = Engine(np.array([[1.0, 3.0]] * 4))
    stream = poisson(1.2, seed=9, rows=10, requests=300)
    loss = np.full(10, 50.0)
    served = serve_together(engine, 4, stream, balancer, np.random.default_rng(9), until=300, lost=2, lost_at_s=loss)
    assert np.isfinite(served.last_s).all()
    stay = served.last_s - stream.when_s
    assert stay.min() == pytest.approx(4.0)
    there = (stream.when_s < 50.0) & (served.last_s > 50.0)
    assert (served.last_s[there] >= 50.0).all()
    assert ((served.last_s - served.first_s)[there] >= 3.0 - 1e-9).all()
    assert stay[there].mean() > stay[stream.when_s < 40.0].mean()


@pytest.mark.parametrize("balancer", ["random", "least_work"])
def test_a_lost_server_hands_its_requests_on(balancer):
    stream = poisson(1.5, seed=10, rows=10, requests=400)
    service, rng = np.ones(stream.when_s.shape), np.random.default_rng(10)
    leaves = serve_singly(stream, service, 4, balancer, rng, lost=2, lost_at_s=np.full(10, 100.0))
    assert np.isfinite(leaves).all()
    spans = [np.sort(row[row > 102.0]) for row in leaves]
    assert all(((row[2:] - row[:-2]) >= 1.0 - 1e-9).all() for row in spans), "two servers are left: at most two leave in a second"


def pool_of(service: ServiceTime, replicas: int, per_s: float) -> Pool:
    target = LatencyTarget(quantity=Quantity.E2E, statistic="p99", at_most_ms=1.0)
    return Pool("p", "always", replicas, 1.0, (Load("w", "q", per_s, service, (target,)),))


@pytest.mark.parametrize(
    ("service", "replicas", "per_s", "p99_ms"),
    [
        (ServiceTime(1000.0, variation=1.0), 1, 0.7, 1000 * math.log(100) / 0.3),  # M/M/1: stays are exponential
        (ServiceTime(20.0, 2.0, 16), 4, 0.8 * 4 * 16 / 0.052, 77.0),
        (ServiceTime(1000.0), 1, 0.7, 7580.0),  # M/D/1, as above
    ],
)
def test_pools_of_servers_are_simulated_from_their_service_times(service, replicas, per_s, p99_ms):
    pool = pool_of(service, replicas, per_s)
    run = put_through(pool, 200_000, Poisson(), "central", np.random.SeedSequence(11))
    got = estimate(run, 0, pool.loads[0], Quantity.E2E, 0.99)
    assert got.value_ms == pytest.approx(p99_ms, rel=0.08)
    assert got.low_ms < got.value_ms < got.high_ms
    with pytest.raises(CheckFailedError, match="unstable"):
        put_through(pool.at(3.0), 1000, Poisson(), "central", np.random.SeedSequence(11))


@pytest.mark.parametrize("balancer", ["random", "round_robin"])
def test_lost_servers_of_batches_of_one_are_lost_servers(balancer):
    """Batches of one request are requests: they leave when they do in the other engine, through the loss of 2 of 4."""
    when = np.cumsum(np.random.default_rng(4).exponential(0.6, size=(10, 600)), axis=1)
    stream, loss = Stream(when, np.zeros(when.shape, dtype=np.int64)), np.full(10, 100.0)
    singly = serve_singly(stream, np.ones(when.shape), 4, balancer, np.random.default_rng(5), lost=2, lost_at_s=loss)
    batches = serve_batches(stream, BatchServer(1.0, 0.0, 1), 4, balancer, np.random.default_rng(5), lost=2, lost_at_s=loss)
    np.testing.assert_allclose(batches, singly)


@pytest.mark.parametrize("balancer", ["central", "random", "least_work"])
def test_what_a_lost_server_of_batches_held_starts_anew(balancer):
    """3 of 4 servers stop at 50 s under 6 requests a second: a batch of up to 8 takes 1 s, so that the one left keeps up."""
    when = np.cumsum(np.random.default_rng(4).exponential(1 / 6, size=(20, 900)), axis=1)
    stream, loss = Stream(when, np.zeros(when.shape, dtype=np.int64)), np.full(20, 50.0)
    ways = [{}, {"lost": 3, "lost_at_s": loss}]
    whole, hit = (serve_batches(stream, BatchServer(1.0, 0.0, 8), 4, balancer, np.random.default_rng(5), **way) for way in ways)
    assert np.isfinite(hit).all()
    assert (hit >= when + 1.0 - 1e-9).all()
    done = whole <= 50.0
    np.testing.assert_array_equal(hit[done], whole[done])
    begun = (when < 50.0) & ~done
    anew = begun & (hit >= 51.0 - 1e-9)
    assert 0.3 < anew.sum() / begun.sum() < 1.0, "of what was there, three quarters begin anew at 50 s or later"
    for row in hit:
        ends, sizes = np.unique(row[row > 52.0], return_counts=True)
        assert sizes.max() <= 8
        assert (np.diff(ends) >= 1.0 - 1e-9).all(), "one server is left: a batch ends a second after another"


def test_what_comes_after_a_loss_counts_however_late_it_is_within_reason():
    pool = pool_of(ServiceTime(10.0), 4, 9.0)
    run = put_through(pool, 1000, Poisson(), "random", np.random.SeedSequence(1), Loss(1, 60.0))
    assert run.counted.sum() >= 900
    with pytest.raises(UsageError, match="lose replicas earlier"):
        put_through(pool, 1000, Poisson(), "random", np.random.SeedSequence(1), Loss(1, 1e6))
    with pytest.raises(UsageError, match="raise --requests"):
        estimate(run, 1, pool.loads[0], Quantity.E2E, 0.99)
