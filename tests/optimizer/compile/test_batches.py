"""Servers of batches: the rows by hand, against brute force, what is refused, and what simulation says of them.

Where it can be solved on paper the target is a mean behind one central queue. A batch of k takes 12 + k ms, at most 8: a full one
20 ms, so that a server does 400 requests/s. Who finds no queue is reckoned with 20 ms of its own batch and 1.15 times half of one
that is going on, 31.5 ms; the unit of the queue is 1.15 * 20 / (2 * 8) = 1.4375 ms. A mean of 32.9375 ms leaves one unit: one
server bears 0.5 erlangs, 200/s, two the square root of 2, 565.7/s, as in ``test_queues``.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from optimizer.catalog import Profile
from optimizer.errors import InfeasibleError
from optimizer.instance import Balancer, Instance
from optimizer.performance.service import SAFE_WAIT, batches_met
from optimizer.pipeline import Options, allocate
from optimizer.simulate import simulate_plan
from optimizer.verify import verify_plan
from tests.optimizer import tiny
from tests.optimizer.compile.test_queues import SPREAD, asked, carried, cost, question
from tests.seeds import seeds

ONE_UNIT_MS = 32.9375


def batches(name: str, fixed_ms: float = 12.0, each_ms: float = 1.0, most: int = 8, **changes: Any) -> dict[str, Any]:
    """Give a profile of one batch at a time."""
    load = {"kind": "batches", "value": most, "accelerators_measured": 1}
    time = {"fixed_ms": fixed_ms, "each_ms": each_ms}
    return tiny.profile("m", name, 1.0, **{"load": load, "batch": time, "latency": [], **changes})


def batched(per_s: float, at_most_ms: float = ONE_UNIT_MS, statistic: str = "mean", **changes: Any) -> Instance:
    """Give one workload on servers of batches behind one queue."""
    parts = {"profiles": [batches("a")], "workloads": [asked(per_s, at_most_ms, statistic)], "balancer": "central"}
    return question(**{**parts, **changes})


@pytest.mark.parametrize(("per_s", "servers"), [(199.0, 1), (201.0, 2), (565.0, 2), (566.0, 3)])
def test_servers_are_as_many_as_the_mean_wait_asks_for(backend: str, per_s: float, servers: int) -> None:
    assert cost(batched(per_s), backend) == pytest.approx(servers)


def test_at_a_loose_target_only_the_cap_counts(backend: str) -> None:
    """At 80 % of 400/s a server bears 320/s."""
    assert cost(batched(639.0, 200.0, "p99", cap=0.8), backend) == pytest.approx(2.0)
    assert cost(batched(641.0, 200.0, "p99", cap=0.8), backend) == pytest.approx(3.0)


@pytest.mark.parametrize(("balancer", "met_ms"), [("central", 40.0), ("round_robin", 40.0), ("least_work", 60.0)])
def test_a_target_below_what_batches_take_alone_is_refused_with_both_numbers(balancer: str, met_ms: float) -> None:
    """Twice the full batch; three times where a request is committed to a server by its work."""
    with pytest.raises(InfeasibleError) as caught:
        cost(batched(10.0, met_ms - 1, "p99", balancer=balancer))
    (problem,) = [p for p in caught.value.problems if "when nothing waits" in p.found]
    assert f"e2e of class q is {met_ms:g} ms at p99 when nothing waits" in problem.found
    assert f"asked at most {met_ms - 1:g} ms" in problem.found


def test_servers_with_requests_of_their_own_do_not_pool(backend: str) -> None:
    """450/s: two servers behind one queue bear 565/s, but 200/s each at random."""
    assert cost(batched(450.0), backend) == pytest.approx(2.0)
    assert cost(batched(450.0, balancer="random"), backend) == pytest.approx(3.0)


def test_a_batch_of_several_classes_is_as_slow_as_the_slowest() -> None:
    """Short requests alone would fill batches of 12 + 8 ms; beside long ones each batch counts as 14 + 8 * 2 = 30 ms."""
    rows = [
        batches("a", fixed, each, input_tokens=n, output_tokens=1, unit="requests/s")
        for fixed, each, n in ((12.0, 1.0, 100), (14.0, 2.0, 200))
    ]
    network = {
        "name": "m",
        "architecture": "decoder",
        "source": "made up",
        "variants": [{"precision": "fp16", "weights_gib": 1.0}],
    }
    for long, servers in ((132.0, 1), (135.0, 2)):
        rates = (("short", 132.0, 100), ("long", long, 200))
        classes = [
            {"name": n, "input_tokens": i, "output_tokens": 1, "rate": {"value": r, "unit": "requests/s"}} for n, r, i in rates
        ]
        found = batched(1.0, profiles=rows, models=[network], workloads=[asked(1.0, 1e4, "p99", classes=classes)])
        assert cost(found) == pytest.approx(servers)  # 8 / 30 ms are 266.7/s


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"batch": None}, "only there"),
        ({"load": {"kind": "batches", "value": 1, "accelerators_measured": 1}}, "2 to 4096"),
        ({"load": {"kind": "batches", "value": 2.5, "accelerators_measured": 1}}, "whole number"),
        ({"load": {"kind": "batches", "value": 8, "accelerators_measured": 4}}, "accelerators of one replica"),
        ({"load": {"kind": "held_rate", "value": 8, "accelerators_measured": 1}}, "only there"),
        ({"batch": {"fixed_ms": 0.0, "each_ms": 1.0}}, "greater than 0"),
        ({"latency": [{"quantity": "e2e", "statistic": "mean", "ms": 3.0}]}, "batch alone"),
    ],
)
def test_half_a_batch_time_is_refused(broken: dict[str, Any], said: str) -> None:
    Profile.model_validate_json(json.dumps(batches("a")))
    with pytest.raises(ValueError, match=said):
        Profile.model_validate_json(json.dumps({**batches("a"), **broken}))


def drawn(seed: int) -> tuple[Instance, float | None]:
    """Draw servers of batches of two kinds beside a held rate, all in short supply; and the least cost by trying all."""
    rng = np.random.default_rng(seed)
    balancer, cap = Balancer(rng.choice(["central", "least_work", "random"])), float(rng.choice([0.8, 0.95]))
    statistic, tail = ("mean", None) if rng.random() < 0.5 else ("p95", 0.05)
    per_s, most = float(rng.integers(200, 2500)), [int(rng.integers(2, 6)) for _ in range(3)]
    variation = float(rng.choice([1.0, 1.0, 3.0]))
    price, at_most = [float(rng.integers(4, 16)) / 4 for _ in range(3)], float(rng.integers(55, 110))
    shape = [(float(rng.choice([8.0, 16.0])), float(rng.choice([0.5, 1.0])), int(rng.choice([4, 8, 16]))) for _ in range(2)]
    target = {"quantity": "e2e", "statistic": statistic, "at_most_ms": at_most}
    held = tiny.profile("m", "c", 300.0, latency=[target])
    instance = question(
        accelerators=[tiny.accelerator(n) for n in "abc"],
        offers=[tiny.offer(n, 1, usd) for n, usd in zip("abc", price, strict=True)],
        profiles=[batches(n, *s) for n, s in zip("ab", shape, strict=True)] + ([held] if tail else []),
        workloads=[asked(per_s, at_most, statistic, arrival_variation=variation)],
        limits=[
            {"name": n, "match": {"accelerator": n}, "max_accelerators": count} for n, count in zip("abc", most, strict=True)
        ],
        policy={"utilization_cap": cap, "balancer": balancer.value, "run_to_run_spread_factor": SPREAD},
    )
    rows = [[0.0] for _ in range(3)]
    for row, (fixed, each, size), count in zip(rows, shape, most, strict=False):
        full = fixed + each * size
        budget = at_most - full * batches_met(None if tail is None else 0.95, balancer)
        unit = SAFE_WAIT * full * variation / (2 * size)
        spare = unit * (1.0 if tail is None else -math.log(tail)) / budget if budget > 0 else math.inf
        for n in range(1, count + 1) if budget >= 0 else ():
            pooled = 1 if balancer is Balancer.RANDOM else n
            each = carried(pooled, budget, unit, tail, cap) if variation == 1 else min(max(pooled - spare, 0.0), cap * pooled)
            row.append(each * (n / pooled) * size * 1e3 / full)
    rows[2] += [n * 300.0 * cap for n in range(1, most[2] + 1)] if tail and variation == 1 else []
    counts = np.meshgrid(*(np.arange(len(row)) for row in rows), indexing="ij")
    carries = sum(np.array(row)[n] for row, n in zip(rows, counts, strict=True))
    usd = sum(p * n for p, n in zip(price, counts, strict=True))
    fits = carries >= per_s * (1 + 1e-9)
    return instance, float(usd[fits].min()) if fits.any() else None


def test_brute_force_agrees_with_both_backends() -> None:
    """40 questions, some infeasible, a third of them with bursts, and most with servers of batches in the plan."""
    wrong, infeasible, used = [], 0, 0
    for seed in range(seeds(40)):
        instance, best = drawn(seed)
        infeasible += best is None
        for backend in ("cbc", "ortools"):
            try:
                plan = allocate(instance, Options(backend=backend, relative_gap=1e-6))
            except InfeasibleError:
                found = None
            else:
                found = plan.usd_per_hour
                used += any("one batch at a time" in d.basis for d in plan.deployments)
            if (found is None) != (best is None) or (found is not None and found != pytest.approx(best, abs=1e-6)):
                wrong.append((seed, backend, best, found))
    print(f"{infeasible} infeasible, {used // 2} with batches")
    assert wrong == []
    assert infeasible >= 3
    assert used >= 30


@pytest.mark.parametrize("balancer", list(Balancer))
def test_what_is_planned_holds_in_simulation(balancer: Balancer) -> None:
    """A p99 and a mean near what can be promised at all, and what is left of each after the loss of a server."""
    insured = {"redundancy": [{"event": "replicas"}]}
    workloads = [asked(1500.0, 70.0, "p99", **insured), asked(800.0, 45.0, name="x", **insured)]
    instance = batched(0.0, workloads=workloads, balancer=balancer.value, cap=0.95)
    plan = allocate(instance, Options(relative_gap=1e-6))
    found = simulate_plan(instance, plan, requests=60_000, losses=True)
    assert found.holds
    assert len([p for p in found.pools if p.event]) >= 2
    assert any("known service times" in a for a in plan.assumptions)


def test_one_server_fewer_is_refused_by_verify() -> None:
    """600/s need 3 servers, though 2 would do at the cap."""
    instance = batched(600.0)
    plan = allocate(instance, Options(relative_gap=1e-6))
    document = plan.model_dump(mode="json")
    document["deployments"][0]["replicas"] = 2
    fired = {f.split(":")[0] for f in verify_plan(instance, type(plan).model_validate_json(json.dumps(document))).failures}
    assert "queue" in fired
    assert "capacity" not in fired
