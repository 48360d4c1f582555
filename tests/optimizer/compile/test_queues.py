"""Servers with known service times: the rows by hand, against brute force, and what is refused.

Where it can be solved on paper the target is a mean. Service takes 20 ms at a variability of 1, so that the residual time is
20 ms, times 1.15 for safety: 23 ms. A mean of 43 ms then leaves a wait of one residual time: one server bears a / (1 - a) <= 1,
0.5 erlangs, 25 requests/s; two bear C / (2 - a) = (a^2 / (2 + a)) / (2 - a) <= 1, so a^2 = 2: 70.7 requests/s.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.compile import candidate_table, compile_instance, compile_table
from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.performance.service import HEAVY_WAIT, SAFE_TAIL, SAFE_WAIT
from optimizer.pipeline import Options, allocate
from optimizer.simulate import simulate_plan
from optimizer.verify import verify_plan
from solvers import SolveOptions, Termination, get_backend, to_lp
from tests.optimizer import tiny

GOLDEN = Path(__file__).parents[2] / "golden"
SPREAD = {"value": 1.0, "quality": "assumed"}
RULE = "queue"
"""The rule of ``verify`` whose mutations are here."""


def server(name: str, mean_ms: float, variation: float = 1.0, *, model: str = "m", **changes: Any) -> dict[str, Any]:
    """Give a profile of one request at a time."""
    return tiny.profile(
        model,
        name,
        1.0,
        load={"kind": "single_stream", "value": 1, "accelerators_measured": changes.get("size", 1)},
        latency=[{"quantity": "e2e", "statistic": "mean", "ms": mean_ms}],
        service_variation=variation,
        **changes,
    )


def asked(per_s: Any, at_most_ms: float = 43.0, statistic: str = "mean", **changes: Any) -> dict[str, Any]:
    """Give a workload with one target."""
    return tiny.workload(
        changes.pop("name", "w"),
        per_s,
        latency=[{"quantity": "e2e", "statistic": statistic, "at_most_ms": at_most_ms}],
        **changes,
    )


def question(per_s: Any = 70.0, *, cap: float = 1.0, balancer: str = "least_work", **changes: Any) -> Instance:
    """Give one accelerator with servers of 20 ms, 1 USD/h each."""
    parts: dict[str, Any] = {
        "accelerators": [tiny.accelerator("a")],
        "offers": [tiny.offer("a")],
        "profiles": [server("a", 20.0)],
        "workloads": [asked(per_s)],
        "policy": {"utilization_cap": cap, "balancer": balancer, "run_to_run_spread_factor": SPREAD},
    }
    return Instance.model_validate_json(json.dumps(tiny.document(**{**parts, **changes})))


def cost(instance: Instance, backend: str = "ortools") -> float:
    return allocate(instance, Options(backend=backend, relative_gap=1e-6)).usd_per_hour


@pytest.mark.parametrize(("per_s", "servers"), [(24.9, 1), (25.1, 2), (70.6, 2), (70.8, 3)])
def test_servers_are_as_many_as_the_mean_wait_asks_for(backend: str, per_s: float, servers: int) -> None:
    """One bears 25/s, two 70.7/s: more than twice as much, for whoever is free first serves the next."""
    assert cost(question(per_s), backend) == pytest.approx(servers)


def test_behind_a_random_balancer_servers_do_not_pool(backend: str) -> None:
    """70/s at 25/s each: 3 servers; round robin and the better of two are reckoned alike."""
    for balancer in ("random", "round_robin", "power_of_two"):
        assert cost(question(70.0, balancer=balancer), backend) == pytest.approx(3.0)


def test_the_cap_is_a_row_of_its_own(backend: str) -> None:
    """At a cap of 0.6 two servers bear 1.2 erlangs, 60/s, which the wait alone would let be 70.7/s."""
    assert cost(question(59.9, cap=0.6), backend) == pytest.approx(2.0)
    assert cost(question(60.1, cap=0.6), backend) == pytest.approx(3.0)


def test_a_percentile_leaves_what_the_service_takes() -> None:
    """P99 of 60 ms where every service takes 20 ms: waits above 40 ms, 40 / 23 residual times, may be 1 % at one server."""
    budget, always = 40.0 / (20.0 * SAFE_WAIT), [server("a", 20.0, 0.0)]
    low, high = 0.0, 1.0
    for _ in range(60):
        a = (low + high) / 2
        low, high = (a, high) if a * math.exp(-(1 - a) * budget) <= 0.01 else (low, a)
    for share, servers in ((0.999, 1), (1.001, 2)):
        found = question(profiles=always, workloads=[asked(50.0 * low * share, 60.0, "p99")])
        assert cost(found) == pytest.approx(servers)


def test_the_spread_between_runs_is_taken_off_the_target() -> None:
    """At a factor of 2 a mean of 86 ms leaves what 43 ms do at a factor of 1."""
    policy = {"utilization_cap": 1.0, "run_to_run_spread_factor": {"value": 2.0, "quality": "assumed"}}
    for per_s, servers in ((70.6, 2), (70.8, 3)):
        assert cost(question(policy=policy, workloads=[asked(per_s, 86.0)])) == pytest.approx(servers)


def test_classes_share_the_smallest_budget_and_the_longest_residual_time() -> None:
    """Requests of 100 tokens take 10 ms, of 200 tokens 20 ms: at a mean of 43 ms the long ones leave 23 ms for all.

    The residual time is theirs, 23 ms. Loads add up to 0.5 erlangs on one server: 20/s short and 15/s long are 0.2 + 0.3.
    """
    profiles = [server("a", ms, input_tokens=n, output_tokens=1, unit="requests/s") for ms, n in ((10.0, 100), (20.0, 200))]
    network = {
        "name": "m",
        "architecture": "decoder",
        "source": "made up",
        "variants": [{"precision": "fp16", "weights_gib": 1.0}],
    }
    for long, servers in ((14.9, 1), (15.1, 2)):
        rates = (("short", 20.0, 100), ("long", long, 200))
        classes = [
            {"name": n, "input_tokens": i, "output_tokens": 1, "rate": {"value": r, "unit": "requests/s"}} for n, r, i in rates
        ]
        found = question(profiles=profiles, models=[network], workloads=[asked(1.0, classes=classes)])
        assert cost(found) == pytest.approx(servers)


def test_the_worst_of_several_targets_counts() -> None:
    """A mean that leaves one residual time, beside a p99 that leaves no more than 0.1 of load on one server."""
    both = [
        {"quantity": "e2e", "statistic": "mean", "at_most_ms": 43.0},
        {"quantity": "e2e", "statistic": "p99", "at_most_ms": 110.0},
    ]
    alone = [{**both[1]}]
    easy = question(20.0)
    hard, harder = (question(workloads=[{**asked(20.0), "latency": targets}]) for targets in (alone, both))
    assert cost(easy) < cost(hard) == cost(harder)


def test_periods_have_servers_of_their_own(backend: str) -> None:
    """70/s by day need two servers, 20/s by night one: (2 + 1) / 2 on average."""
    periods = [{"name": n, "hours": 12.0, "per_month": 365.0 / 12} for n in ("day", "night")]
    classes = [{"name": "q", "rate": {"value": {"day": 70.0, "night": 20.0}, "unit": "queries/s"}}]
    found = question(periods=periods, workloads=[{**asked(1.0), "classes": classes}])
    assert cost(found, backend) == pytest.approx(1.5)


def test_a_held_rate_and_a_service_time_are_pools_of_their_own() -> None:
    """One configuration with both is taken as it was held; another engine's servers stay servers, in a pool of their own.

    Held 30/s and one server of 25/s carry 54/s for 2 USD/h; a third replica of either would cost 3.
    """
    held = tiny.profile("m", "a", 30.0, latency=[{"quantity": "e2e", "statistic": "p99", "at_most_ms": 90.0}])
    target = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 150.0}]
    both = question(profiles=[held, server("a", 20.0)], workloads=[{**asked(30.0), "latency": target}])
    plan = allocate(both, Options(relative_gap=1e-6))
    assert {d.basis.split(",")[0] for d in plan.deployments} == {"30 queries/s"}
    apart = question(profiles=[held, server("a", 20.0, engine="other")], workloads=[{**asked(40.0), "latency": target}])
    limits = [{"name": "few", "match": {"accelerator": "a"}, "max_accelerators": 2}]
    plan = allocate(apart.replace(limits=limits), Options(relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(2.0)
    assert verify_plan(apart.replace(limits=limits), plan).passed


@pytest.mark.parametrize(("at_most_ms", "variation"), [(19.0, 1.0), (20.0, 1.0), (20.0, 3.0)])
def test_a_target_that_leaves_no_wait_is_refused_with_both_numbers(at_most_ms: float, variation: float) -> None:
    """Below the time of a request, and at it: any load makes the mean longer."""
    with pytest.raises(InfeasibleError) as caught:
        cost(question(workloads=[asked(10.0, at_most_ms, arrival_variation=variation)]))
    (problem,) = [p for p in caught.value.problems if "when nothing waits" in p.found]
    assert "e2e of class q is 20 ms at mean when nothing waits" in problem.found
    assert f"asked at most {at_most_ms:g} ms" in problem.found


def test_a_target_on_tokens_is_refused_where_only_whole_requests_were_timed() -> None:
    target = [{"quantity": "tpot", "statistic": "p99", "at_most_ms": 500.0}]
    with pytest.raises(InfeasibleError) as caught:
        cost(question(workloads=[{**asked(10.0), "latency": target}]))
    assert any("asked for the time of a token" in p.found for p in caught.value.problems)


def test_more_servers_than_one_queue_may_have_are_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        cost(question(50.0 * 9_999.5))
    assert "10,000" in str(caught.value.problems[0].expected)


@pytest.mark.parametrize(
    "broken",
    [
        {"service_variation": None},
        {"load": {"kind": "single_stream", "value": 2, "accelerators_measured": 1}},
        {"load": {"kind": "single_stream", "value": 1, "accelerators_measured": 8}},
        {"load": {"kind": "held_rate", "value": 5.0, "accelerators_measured": 1}},
        {"latency": [{"quantity": "e2e", "statistic": "p99", "ms": 30.0}]},
        {"service_variation": -1.0},
    ],
)
def test_half_a_service_time_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises((InvalidInputError, ValueError)):
        question(profiles=[{**server("a", 20.0), **broken}])


def carried(servers: int, wait_s: float, residual_s: float, tail: float | None, cap: float) -> float:
    """Give the erlangs that servers carry: the budget kept by the sum of states, found by halving; and the cap."""
    low, high = 0.0, float(servers)
    for _ in range(60):
        a = (low + high) / 2
        if a >= servers:
            high = a
            continue
        states = [1.0]
        for k in range(1, servers):
            states.append(states[-1] * a / k)
        full = states[-1] * a / servers * servers / (servers - a)
        wait = full / (full + sum(states))
        ratio = wait_s / residual_s
        kept = wait <= ratio * (servers - a) if tail is None else wait * math.exp(-ratio * (servers - a)) <= tail
        low, high = (a, high) if kept else (low, a)
    return min(low, cap * servers)


def random_question(seed: int) -> tuple[Instance, float | None]:
    """Draw servers of two kinds in two regions beside a held rate, some in short supply; and the least cost by trying all."""
    rng = np.random.default_rng(seed)
    cap, mean = (
        float(rng.choice([0.7, 0.9, 1.0])),
        {"a": float(rng.choice([10.0, 20.0, 30.0])), "b": float(rng.choice([15.0, 25.0]))},
    )
    vary = {"a": float(rng.choice([0.0, 1.0, 2.0])), "b": float(rng.choice([0.5, 1.0]))}
    free = rng.random() < 0.4  # no limits but on spot in s, which r's cheaper servers must not leave behind in a queue of its own
    held, per_s = float(rng.choice([20.0, 45.0])), float(rng.integers(20, 90 if free else 700))
    statistic, at_most = ("mean", 60.0) if rng.random() < 0.5 else ("p95", 160.0)
    pools = [("a", "r"), ("a", "s"), ("b", "r"), ("c", "r")]
    price = {pool: float(rng.integers(4, 16)) / 4 for pool in pools}
    most = {pool: 7 if free else int(rng.choice([1, 2, 4, 6])) for pool in pools}
    spot = int(rng.integers(1, 4)) if free else 0
    target = {"quantity": "e2e", "statistic": statistic, "at_most_ms": at_most}
    rate = tiny.profile("m", "c", held, latency=[{**target}] if statistic == "p95" else [])
    profiles = [server("a", mean["a"], vary["a"]), server("b", mean["b"], vary["b"]), rate]
    if rng.random() < 0.5:  # another engine on a's, which one may dominate or be dominated by
        profiles.append(server("a", mean["a"] * float(rng.choice([0.8, 1.2])), vary["a"] + 0.5, engine="other"))
    offers = [tiny.offer(name, 1, usd, region=region) for (name, region), usd in price.items()]
    cheap = price["a", "s"] / 2
    limits = [{"name": f"{n} {r}", "match": {"accelerator": n, "region": r}, "max_accelerators": most[n, r]} for n, r in pools]
    if free:
        offers[1] = tiny.offer("a", 1, price["a", "s"], region="s", spot=cheap)
        limits = [{"name": "spot", "match": {"option": "spot"}, "max_accelerators": spot}]
    instance = question(
        accelerators=[tiny.accelerator(n) for n in "abc"],
        offers=offers,
        profiles=profiles,
        workloads=[asked(per_s, at_most, statistic, max_spot_fraction=1.0)],
        limits=limits,
        cap=cap,
    )
    rows: list[list[tuple[int, float]]] = []  # of each pool: what so many replicas carry, requests/s
    for p in profiles:
        name = p["accelerator"]
        for region in ("r", "s") if name == "a" else ("r",):
            if name == "c":
                if statistic == "p95":
                    rows.append([(n, n * held * cap) for n in range(most[name, region] + 1)])
                continue
            ms, v = p["latency"][0]["ms"], p["service_variation"]
            alone, tail = (ms, None) if statistic == "mean" else (_percentile_ms(ms, v), 0.05)
            if at_most < alone:
                continue
            residual = (SAFE_WAIT if v <= 2 else HEAVY_WAIT) * ms * (1 + max(v, 1.0)) / 2
            count = range(most[name, region] + 1)
            rows.append([(n, carried(n, at_most - alone, residual, tail, cap) * 1e3 / ms if n else 0.0) for n in count])
    names = [(p["accelerator"], r) for p in profiles for r in (("r", "s") if p["accelerator"] == "a" else ("r",))]
    names = [n for n in names if n[0] != "c" or statistic == "p95"]
    counts = [np.array(c) for c in np.meshgrid(*(np.arange(len(row)) for row in rows), indexing="ij")]
    carries = sum(np.array([x for _, x in row])[n] for row, n in zip(rows, counts, strict=True))
    used = {pool: sum(n for name, n in zip(names, counts, strict=True) if name == pool) for pool in names}
    usd = sum(price[pool] * n for pool, n in used.items()) - np.minimum(used.get(("a", "s"), 0), spot) * (price["a", "s"] - cheap)
    fits = np.logical_and.reduce([n <= most[pool] for pool, n in used.items()]) & (carries >= per_s * (1 + 1e-9))
    return instance, float(usd[fits].min()) if fits.any() else None


def _percentile_ms(mean_ms: float, variation: float) -> float:
    """Give the p95 of the service at its safe side, by sampling a gamma and a lognormal finely in probability."""
    from optimizer.performance.service import service_quantile

    return mean_ms * service_quantile(variation, 1 - SAFE_TAIL * 0.05)


def test_brute_force_agrees_with_both_backends_with_and_without_dominance() -> None:
    """60 questions; some are infeasible, and something is left out in a third."""
    wrong, left_out, infeasible = [], 0, 0
    for seed in range(60):
        instance, best = random_question(seed)
        infeasible += best is None
        found: list[float | None] = []
        for backend in ("cbc", "ortools"):
            try:
                plan = allocate(instance, Options(backend=backend, relative_gap=1e-6))
            except InfeasibleError:
                found.append(None)
            else:
                found.append(plan.usd_per_hour)
        try:
            table = candidate_table(instance)
        except InfeasibleError:
            continue
        whole, less = compile_table(table, dominance=False), compile_table(table)
        left_out += less.model.n_columns < whole.model.n_columns
        answer = get_backend("ortools").solve(whole.model, SolveOptions(relative_gap=0.0))
        found.append(None if answer.termination is Termination.INFEASIBLE else answer.objective)
        if any((x is None) != (best is None) or (x is not None and x != pytest.approx(best, abs=1e-6)) for x in found):
            wrong.append((seed, best, found))
    print(f"{infeasible} infeasible, {left_out} of 60 with something left out")
    assert wrong == []
    assert infeasible >= 6
    assert left_out >= 20


def big() -> Instance:
    """Six workloads on servers of two kinds under one limit."""
    rng = np.random.default_rng(3)
    workloads = [asked(float(rng.integers(20, 300)), float(rng.integers(45, 90)), name=f"w{i}") for i in range(6)]
    return question(
        accelerators=[tiny.accelerator("a"), tiny.accelerator("b")],
        offers=[tiny.offer("a"), tiny.offer("b", 2, 5.0), tiny.offer("b", 1, 2.75)],
        profiles=[server("a", 20.0), server("b", 10.0)],
        workloads=workloads,
        limits=[{"name": "few", "match": {"accelerator": "a"}, "max_accelerators": 20}],
        cap=0.9,
    )


def test_blocks_priced_apart_find_the_plan_of_the_whole_model() -> None:
    direct, apart = (allocate(big(), Options(relative_gap=1e-4, method=m)) for m in ("direct", "decompose"))
    assert apart.usd_per_hour <= direct.usd_per_hour * 1.01
    assert apart.bound_usd is not None
    assert apart.bound_usd <= direct.usd_per_hour + 1e-6


def test_a_plan_in_force_is_a_start_and_changes_no_cost() -> None:
    first = allocate(big(), Options(relative_gap=1e-6))
    again = allocate(big(), Options(relative_gap=1e-6), plan_in_force=first)
    assert again.usd_per_hour == pytest.approx(first.usd_per_hour)


def test_a_start_from_a_plan_holds_in_every_row() -> None:
    from optimizer.solve.direct import start_from

    compiled = compile_instance(big())
    start = start_from(compiled, allocate(big(), Options(relative_gap=1e-6)))
    model = compiled.model
    activity = np.bincount(model.row, weights=model.value * start[model.column], minlength=model.n_rows)
    assert (activity <= model.row_upper + 1e-9).all()
    assert (activity >= model.row_lower - 1e-9).all()


def test_the_plan_says_what_its_servers_rest_on() -> None:
    plan = allocate(question(70.0), Options(relative_gap=1e-6))
    assert any("Erlang-C" in text and "as one queue" in text for text in plan.assumptions)
    (figure,) = plan.workloads[0].latency
    assert (figure.basis, figure.value_ms) == ("service", pytest.approx(43.0))
    assert plan.workloads[0].utilization == pytest.approx(0.7)


def test_what_is_planned_holds_in_simulation() -> None:
    """Erlang-C is exact for exponential service, so that a mean of 43 ms is nearly reached: 1.15 is what is left."""
    instance = question(workloads=[asked(70.0), asked(120.0, 150.0, "p95", name="x")])
    found = simulate_plan(instance, allocate(instance, Options(relative_gap=1e-6)), requests=100_000)
    assert found.holds
    assert len(found.pools) == 2
    figure = next(f for pool in found.pools for f in pool.figures if f.statistic == "mean")
    assert 36.0 < figure.value_ms < 43.0


def test_a_pool_that_missed_is_loaded_less() -> None:
    instance = question(70.0)
    (name,) = {d.pool.rpartition(" in ")[0] for d in allocate(instance, Options()).deployments}
    assert allocate(instance, Options(relative_gap=1e-6), load_shares={name: 0.9}).usd_per_hour == pytest.approx(3.0)


def test_one_server_fewer_is_refused_by_verify() -> None:
    """Demand 120/s: 2.4 erlangs need 4 servers though 3 would do at the cap; 3 break the rule, and what else tells of counts."""
    instance = question(120.0)
    plan = allocate(instance, Options(relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(4.0)
    document = plan.model_dump(mode="json")
    document["deployments"][0]["replicas"] = 3
    fired = {f.split(":")[0] for f in verify_plan(instance, type(plan).model_validate_json(json.dumps(document))).failures}
    assert RULE in fired
    assert "capacity" not in fired


def test_a_tighter_target_is_refused_by_verify() -> None:
    """The plan stays, and is told to be of a question that leaves half the wait."""
    instance, stricter = question(70.0), question(workloads=[asked(70.0, 31.5)])
    plan = allocate(instance, Options(relative_gap=1e-6))
    document = plan.model_dump(mode="json")
    document["instance"]["hash"] = stricter.hash
    fired = {f.split(":")[0] for f in verify_plan(stricter, type(plan).model_validate_json(json.dumps(document))).failures}
    assert fired == {RULE, "latency"}


def test_the_model_of_servers_is_the_reviewed_one() -> None:
    """To renew: ALLOCATE_RENEW_GOLDEN=1, then read the diff beside FORMULATION.md."""
    compiled = compile_instance(question(120.0, cap=0.9))
    text, path = to_lp(compiled.model), GOLDEN / "queue.lp"
    if os.environ.get("ALLOCATE_RENEW_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    assert {"staff", "piece", "staffed", "range"} <= set(compiled.model.row_groups())
