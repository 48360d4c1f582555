"""Arrivals that vary more than Poisson's: the rows by hand, what is refused, and what simulation says of them.

Brute force over such questions is in ``test_batches``. Service takes 20 ms at a variability of 1; at a variability of 3 of the
arrivals the unit of the queue is 1.15 * 20 * (3 + 1) / 2 = 46 ms. A mean of 66 ms leaves a wait of one unit. Everyone is reckoned
to wait, 1 / (n - a) units: so n servers bear n - 1 erlangs, and one server nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.simulate import Poisson, simulate_plan
from optimizer.verify import verify_plan
from tests.optimizer import tiny
from tests.optimizer.compile.test_queues import asked, cost, question, server


def bursty(per_s: float, at_most_ms: float = 66.0, statistic: str = "mean", variation: float = 3.0, **changes: Any) -> Instance:
    """Give one workload in bursts on servers of 20 ms."""
    return question(workloads=[asked(per_s, at_most_ms, statistic, arrival_variation=variation)], **changes)


@pytest.mark.parametrize(("per_s", "servers"), [(1.0, 2), (49.0, 2), (51.0, 3), (99.0, 3), (451.0, 11)])
def test_servers_are_one_more_than_are_busy(backend: str, per_s: float, servers: int) -> None:
    assert cost(bursty(per_s), backend) == pytest.approx(servers)


def test_servers_with_requests_of_their_own_each_keep_what_is_spare() -> None:
    """A mean of 112 ms leaves two units: a server alone bears 0.5 erlangs, 25/s; one unit would leave it nothing."""
    assert cost(bursty(49.0, 112.0, balancer="random")) == pytest.approx(2.0)
    assert cost(bursty(51.0, 112.0, balancer="random")) == pytest.approx(3.0)
    with pytest.raises(InfeasibleError) as caught:
        cost(bursty(1.0, 65.0, balancer="random"))
    assert any("is 66 ms at mean in a burst at the lightest load" in p.found for p in caught.value.problems)


def test_more_servers_than_one_queue_may_have_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        cost(bursty(50.0 * 9_999.5))


def test_what_shares_a_pool_with_bursts_waits_as_long() -> None:
    """Two workloads of 24/s at a variability of 1 and 3: apart 1 and 2 servers, together 2 as well, since 2 bear 50/s."""
    workloads = [asked(24.0, 66.0, name="v"), asked(24.0, 66.0, arrival_variation=3.0)]
    assert cost(question(workloads=workloads)) == pytest.approx(3.0)
    pools = [{"name": "both", "workloads": ["v", "w"]}]
    assert cost(question(workloads=workloads, shared_pools=pools)) == pytest.approx(2.0)


def test_figures_for_poisson_arrivals_are_refused_with_both_numbers() -> None:
    """A held rate speaks for arrivals as they were; where a service time stands beside it, the servers remain."""
    held = tiny.profile("m", "a", 30.0, latency=[{"quantity": "e2e", "statistic": "p99", "at_most_ms": 90.0}])
    with pytest.raises(InfeasibleError) as caught:
        cost(bursty(10.0, 150.0, "p99", profiles=[held]))
    assert any("for Poisson arrivals; the workload's have a variability of 3" in p.found for p in caught.value.problems)
    plan = allocate(bursty(10.0, 300.0, "p99", profiles=[held, server("a", 20.0)]), Options())
    assert plan.deployments[0].basis.startswith("one request at a time")


@pytest.mark.parametrize("variation", [0.5, 101.0])
def test_a_variability_that_means_nothing_is_refused(variation: float) -> None:
    with pytest.raises((InvalidInputError, ValueError), match="arrival_variation"):
        bursty(10.0, variation=variation)


def test_what_is_planned_for_bursts_holds_in_them_and_what_is_planned_without_them_misses() -> None:
    target = (300.0, 200.0, "p99")
    with_bursts, without = bursty(*target, variation=9.0, cap=0.95), bursty(*target, variation=1.0, cap=0.95)
    plans = [allocate(q, Options(relative_gap=1e-6)) for q in (with_bursts, without)]
    found = simulate_plan(with_bursts, plans[0], requests=100_000)
    assert found.holds
    assert found.arrivals == "arrivals of variability 9"
    assert simulate_plan(with_bursts, plans[0], requests=100_000, arrivals=Poisson()).arrivals == "poisson"
    document = plans[1].model_dump(mode="json")
    document["instance"]["hash"] = with_bursts.hash
    fewer = type(plans[1]).model_validate_json(json.dumps(document))
    assert not simulate_plan(with_bursts, fewer, requests=100_000).holds
    assert {f.split(":")[0] for f in verify_plan(with_bursts, fewer).failures} == {"queue"}
