"""Training jobs on paper and against brute force: gangs, deadlines, spot, memory, and what serving shares with them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest

from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.read import load_instance
from optimizer.report.changes import difference
from optimizer.verify import RULES, verify_plan
from tests.optimizer.compile.test_periods import HALVES
from tests.optimizer.oracle import least_costs, random_instance
from tests.optimizer.tiny import FLOOR, accelerator, document, instance, model, offer, profile, variant, workload

ON_A = {"accelerator_hours_on": {"a": 800.0}, "precision": "fp16", "quality": "measured", "source": "made up"}
SCALING = {"kept_per_doubling": 0.8, "from_gang": 8, "quality": "measured"}
JOB: dict[str, Any] = {"name": "job", "kind": "training", "model": "m", "gangs": [8, 16], "scaling": SCALING, "work": ON_A}
JOB |= {"precisions": [{"precision": "fp16"}], "memory": {"parameters_b": 1.0}, "deadline_hours": 700.0}
CHECKPOINT = {"write_seconds": 0.0, "interval_hours": 10.0, "restart_seconds": 3600.0}


def parts(*workloads: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Eight accelerators a for 8 $/h; one of them answers 10 queries/s."""
    base = {"accelerators": [accelerator("a")], "offers": [offer("a", 8, 8.0)], "profiles": [profile("m", "a", 10.0)]}
    return base | {"workloads": list(workloads)} | changes


def solve(backend: str, *workloads: dict[str, Any], **changes: Any) -> Plan:
    return allocate(instance(**parts(*workloads, **changes)), Options(backend=backend, relative_gap=1e-6))


def month(plan: Plan) -> float:
    return plan.usd_per_hour * 730


@pytest.mark.parametrize(("deadline", "gang", "hours", "usd"), [(101.0, 8, 100.0, 800.0), (70.0, 16, 62.5, 1000.0)])
def test_a_deadline_forces_the_larger_gang(backend: str, deadline: float, gang: int, hours: float, usd: float) -> None:
    """8 x 100 h x 1 $ = 800 $; 16 keep 0.8: 800 / 12.8 = 62.5 h x 16 $ = 1,000 $."""
    plan = solve(backend, JOB | {"deadline_hours": deadline})
    (run,) = plan.training
    assert (run.gang, run.hours, run.instances, run.gangs_at_once) == (gang, hours, gang // 8, 1)
    assert month(plan) == pytest.approx(usd)
    assert plan.rentals == ()


def test_a_difference_tells_the_gangs_that_change() -> None:
    slow, fast = (solve("ortools", JOB | {"deadline_hours": deadline}) for deadline in (101.0, 70.0))
    told = difference(slow, fast)
    gangs = {(c.pool, c.before, c.after) for c in told.changes}
    assert gangs == {("job: fp16 on 8 x a in p/r", 1, 0), ("job: fp16 on 16 x a in p/r", 0, 1)}
    assert told.saving_usd_per_hour_by_workload["job"] == pytest.approx(-200 / 730)
    assert difference(slow, slow).changes == ()


def test_a_deadline_that_nothing_meets_is_told_with_the_hours() -> None:
    with pytest.raises(InfeasibleError) as caught:
        solve("ortools", JOB | {"deadline_hours": 60.0})
    assert "takes 62.5 hours, 60 are left until the deadline" in str([p.found for p in caught.value.problems])


@pytest.mark.parametrize(
    ("per_hour", "deadline", "option", "usd"),
    [(0.02, 200.0, "spot", 4 * 100 / 0.88), (0.1, 700.0, "on_demand", 800.0), (0.02, 110.0, "on_demand", 800.0)],
)
def test_interruptions_lengthen_a_run_on_spot(backend: str, per_hour: float, deadline: float, option: str, usd: float) -> None:
    """Each loses 10 / 2 + 1 h. At 0.02 an hour 100 / 0.88 = 113.6 h x 4 $ = 455 $; at 0.1 250 h, 1,000 $."""
    spot = {"name": "taken", "when": {"option": "spot"}, "per_hour": per_hour, "usd_each": 0.0}
    job = JOB | {"checkpoint": CHECKPOINT, "max_spot_fraction": 1.0, "deadline_hours": deadline, "gangs": [8]}
    plan = solve(backend, job, offers=[offer("a", 8, 8.0, spot=4.0)], interruptions=[spot])
    assert plan.training[0].option == option
    assert month(plan) == pytest.approx(usd)
    if option == "spot":
        assert plan.training[0].interruptions == pytest.approx(0.02 * 100 / 0.88)


def test_without_checkpoints_nothing_runs_where_it_may_be_interrupted() -> None:
    spot = {"name": "taken", "when": {"option": "spot"}, "per_hour": 1e-6, "usd_each": 0.0}
    plan = solve("ortools", JOB | {"max_spot_fraction": 1.0}, offers=[offer("a", 8, 8.0, spot=1.0)], interruptions=[spot])
    assert plan.training[0].option == "on_demand"


def test_writing_checkpoints_takes_time(backend: str) -> None:
    """360 s every 10 h on 100 h of work: 1 h more."""
    plan = solve(backend, JOB | {"checkpoint": CHECKPOINT | {"write_seconds": 360.0}, "gangs": [8]})
    assert (plan.training[0].checkpoint_hours, plan.training[0].hours) == (pytest.approx(1.0), pytest.approx(101.0))
    assert month(plan) == pytest.approx(808.0)


@pytest.mark.parametrize(("quota", "usd"), [(16, 8 + 800 / 730), (8, 8 + 1000 / 730)])
def test_a_quota_is_shared_with_serving(backend: str, quota: int, usd: float) -> None:
    """Serving costs 8 $/h on a, 10 on b; the job 800 $ on a, 1,000 on b. Where one must go to b, the job does."""
    changes: dict[str, Any] = {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 8, 8.0), offer("b", 8, 10.0)],
        "profiles": [profile("m", "a", 10.0, size=8), profile("m", "b", 10.0, size=8)],
        "limits": [{"name": "quota", "match": {"accelerator": "a"}, "max_accelerators": quota}],
    }
    job = JOB | {"work": ON_A | {"accelerator_hours_on": {"a": 800.0, "b": 800.0}}, "gangs": [8]}
    plan = solve(backend, workload("w", 10.0), job, **changes)
    assert plan.usd_per_hour == pytest.approx(usd)
    assert plan.limits[0].used == 8 * quota / 8
    assert plan.limits[0].binding


NIGHTLY = JOB | {"gangs": [8], "work": ON_A | {"accelerator_hours_on": {"a": 80.0}}, "runs_per_month": 365 / 12}
NIGHTLY |= {"deadline_hours": 24.0}


def by_day(name: str, rate: float) -> dict[str, Any]:
    entry = workload(name, rate)
    entry["classes"][0]["rate"]["value"] = {"day": rate, "night": 0.0}
    return entry


def reserved(usd_per_hour: float) -> list[dict[str, Any]]:
    entry = offer("a", 8, 8.0)
    entry["prices"].append({"option": "reserved", "usd_per_hour": usd_per_hour, "as_of": "2026-11-01", "source": "made up"})
    return [entry]


@pytest.mark.parametrize(("with_job", "option", "usd"), [(False, "on_demand", 4.0), (True, "reserved", 5.0)])
def test_a_commitment_is_shared_with_serving(backend: str, with_job: bool, option: str, usd: float) -> None:
    """Serving by day is 8 / 2 = 4 $/h on demand, the job 10 h a night 3.33: 7.33; one reserved instance does both for 5."""
    plan = solve(backend, by_day("w", 80.0), *[NIGHTLY] * with_job, offers=reserved(5.0), periods=HALVES)
    assert plan.usd_per_hour == pytest.approx(usd)
    assert {r.option for r in plan.rentals} == {option}
    if with_job:
        assert (plan.training[0].option, plan.training[0].periods) == ("reserved", ("night",))
        assert {r.period: (r.instances, r.accelerators_used) for r in plan.rentals} == {"day": (1, 8), "night": (1, 8)}
        assert sum(plan.quality_shares.values()) == pytest.approx(1.0)


def test_a_commitment_that_another_needs_at_night_is_not_given_up_for_a_dearer_replacement(backend: str) -> None:
    """Reserved a for 1 $/h is all that n can use, by night; m by day would pay 0.9 on b, but a is free then: 1 $/h."""
    day, night = by_day("one", 10.0), by_day("two", 10.0) | {"model": "n"}
    night["classes"][0]["rate"]["value"] = {"day": 0.0, "night": 10.0}
    only = offer("a", 1, 100.0)
    only["prices"] = [{"option": "reserved", "usd_per_hour": 1.0, "as_of": "2026-11-01", "source": "made up"}]
    plan = solve(
        backend,
        day,
        night,
        accelerators=[accelerator("a"), accelerator("b")],
        offers=[only, offer("b", 1, 0.9)],
        models=[model("m"), model("n")],
        profiles=[profile("m", "a", 10.0), profile("m", "b", 10.0), profile("n", "a", 10.0)],
        periods=HALVES,
    )
    assert plan.usd_per_hour == pytest.approx(1.0)


def test_jobs_take_turns_under_a_limit(backend: str) -> None:
    """Two nightly jobs of 10 h and room for one gang: one by day, one by night; a third finds no room."""
    limit = {"name": "quota", "match": {"team": "t"}, "max_accelerators": 8}
    jobs = [NIGHTLY | {"name": name, "team": "t"} for name in ("one", "two", "three")]
    plan = solve(backend, *jobs[:2], periods=HALVES, limits=[limit])
    assert sorted(run.periods for run in plan.training) == [("day",), ("night",)]
    assert [run.finish_hours for run in sorted(plan.training, key=lambda r: r.periods)] == [10.0, 22.0]
    with pytest.raises(InfeasibleError):
        solve(backend, *jobs, periods=HALVES, limits=[limit])


@pytest.mark.parametrize(("runs", "gangs"), [(7.3, 1), (7.4, 2), (20.0, 3)])
def test_runs_that_do_not_fit_one_after_the_other_occupy_more_gangs(runs: float, gangs: int) -> None:
    """Runs of 100 h: 7.3 fill a month of 730."""
    limit = {"name": "quota", "match": {"accelerator": "a"}, "max_accelerators": 64}
    plan = solve("ortools", JOB | {"runs_per_month": runs, "gangs": [8]}, limits=[limit])
    assert (plan.training[0].gangs_at_once, plan.limits[0].used) == (gangs, 8 * gangs)
    assert month(plan) == pytest.approx(800 * runs)


def test_a_layout_that_does_not_fit_gives_way_and_none_is_told_with_the_number() -> None:
    """10e9 x 16 bytes = 149.0 GiB, 72 usable: over 4 they are 37.3; over 2, 74.5 is too much. Sharing among 8 ranks: 51.2."""
    layouts = [{"tensor": 1}, {"tensor": 2}, {"tensor": 2, "pipeline": 2}]
    plan = solve("ortools", JOB | {"layouts": layouts, "memory": {"parameters_b": 10.0}, "gangs": [8]})
    (run,) = plan.training
    assert (run.tensor, run.pipeline, run.data_parallel) == (2, 2, 2)
    assert run.memory_gib == pytest.approx(10e9 * 16 / 4 / 2**30)
    shared = solve("ortools", JOB | {"memory": {"parameters_b": 10.0, "shared": "optimizer"}, "gangs": [8]})
    assert shared.training[0].memory_gib == pytest.approx(10e9 * (4 + 12 / 8) / 2**30)
    with pytest.raises(InfeasibleError) as caught:
        solve("ortools", JOB | {"memory": {"parameters_b": 10.0}})
    assert "149.0 GiB an accelerator for weights, gradients, optimizer and activations, 72.0 are usable" in str(
        caught.value.problems
    )


def test_a_gang_spans_no_more_instances_than_it_may(backend: str) -> None:
    """Eight machines of one for 7 $/h would be cheaper than one of eight for 8; spanning two at most forbids it."""
    offers = [offer("a", 8, 8.0), offer("a", 1, 0.875)]
    job = JOB | {"gangs": [8]}
    assert month(solve(backend, job, offers=offers)) == pytest.approx(700.0)
    plan = solve(backend, job | {"max_instances": 2}, offers=offers)
    assert month(plan) == pytest.approx(800.0)
    eased = instance(**parts(job, offers=offers))
    changed = plan.model_copy(update={"instance": plan.instance.model_copy(update={"hash": eased.hash})})
    assert verify_plan(eased, changed).passed
    tight = instance(**parts(job | {"max_instances": 1, "gangs": [8, 16]}, offers=offers))
    wide = plan.training[0].model_copy(update={"instances": 2, "gang": 16})
    failures = verify_plan(tight, plan.model_copy(update={"training": (wide,)})).failures
    assert any("spans 2 instances" in failure for failure in failures)


def test_operations_run_at_a_share_of_the_peak_and_a_cited_ratio_speeds_them_up() -> None:
    """6 x 1e9 x 3e9 = 1.8e19 at 0.5 x 100 TFLOP/s: 100 hours of an accelerator; fp8 twice as fast: 50."""
    card = accelerator("a", peak_tflops={"fp16": 100.0})
    work = {"tokens": 3e9, "parameters_b": 1.0, "utilization": 0.5, "precision": "fp16", "source": "made up"}
    everything = ["measured", "modelled", "assumed"]
    job = JOB | {"work": work, "gangs": [1], "scaling": None, "allowed_quality": everything}
    assert solve("ortools", job, accelerators=[card]).training[0].hours == pytest.approx(100.0)
    fast = {"precision": "fp8", "speed_ratio": 2.0, "over": "fp16", "source": "made up"}
    run = solve("ortools", job | {"precisions": [{"precision": "fp16"}, fast]}, accelerators=[card]).training[0]
    assert (run.precision, run.hours) == ("fp8", pytest.approx(50.0))
    with pytest.raises(InfeasibleError, match="rejected"):
        solve("ortools", job | {"allowed_quality": ["measured"]}, accelerators=[card])


def test_an_accelerator_without_hours_of_its_own_takes_them_by_the_peak_rates() -> None:
    """800 h on a at 100 TFLOP/s are 400 at 200 on b, which costs less though it is dearer an hour."""
    cards = [accelerator("a", peak_tflops={"fp16": 100.0}), accelerator("b", peak_tflops={"fp16": 200.0})]
    plan = solve("ortools", JOB | {"gangs": [8]}, accelerators=cards, offers=[offer("a", 8, 8.0), offer("b", 8, 12.0)])
    assert (plan.training[0].accelerator, plan.training[0].hours) == ("b", 50.0)
    assert plan.training[0].quality == "modelled"


def test_a_variant_below_the_floor_is_not_trained(backend: str) -> None:
    """fp8 would halve the work and keeps 0.98 of 0.99 asked."""
    forms = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98))]
    fast = {"precision": "fp8", "speed_ratio": 2.0, "over": "fp16", "quality": "measured", "source": "made up"}
    job = JOB | {"precisions": [{"precision": "fp16"}, fast], "gangs": [8]}
    assert month(solve(backend, job, models=forms)) == pytest.approx(400.0)
    assert month(solve(backend, job | {"accuracy": FLOOR}, models=forms)) == pytest.approx(800.0)


def test_costs_switched_on_by_use_are_shared_with_serving(backend: str) -> None:
    """Card b would save the job 100 $, its engineer costs 730; once serving needs one for b anyhow, the job goes there too."""
    changes: dict[str, Any] = {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 8, 8.0), offer("b", 8, 7.0)],
        "profiles": [profile("m", "b", 10.0, size=8)],
        "people": [{"name": "b", "when": {"accelerator": "b"}, "people": 1.0, "usd_per_person_hour": 4.5625}],
    }
    job = JOB | {"work": ON_A | {"accelerator_hours_on": {"a": 800.0, "b": 800.0}}, "gangs": [8]}
    alone, beside = solve(backend, job, **changes), solve(backend, job, workload("w", 10.0), **changes)
    assert month(alone) == pytest.approx(800.0)
    assert month(beside) == pytest.approx(700.0 + 730 + 7 * 730)
    assert beside.switches[0].pools[-1] == "job"


def test_a_budget_counts_what_a_team_trains(backend: str) -> None:
    """The fast gang costs 1,000 $ a month, the slow one 800; with 900 to spend a deadline of 70 h cannot be held."""
    budget = {"name": "team", "match": {"team": "t"}, "max_usd_per_month": 900.0}
    assert month(solve(backend, JOB | {"team": "t"}, limits=[budget])) == pytest.approx(800.0)
    with pytest.raises(InfeasibleError):
        solve(backend, JOB | {"team": "t", "deadline_hours": 70.0}, limits=[budget])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"work": {}}, "one of accelerator_hours_on, flops and tokens"),
        ({"work": {"flops": 1e20}}, "utilization"),
        ({"scaling": None}, "gangs of several sizes"),
        ({"scaling": {"table": [{"gang": 8, "kept_fraction": 1.0}]}}, "also 16"),
        ({"scaling": {}}, "kept_per_doubling or a table"),
        ({"precisions": [{"precision": "fp8", "speed_ratio": 2.0, "over": "fp16"}]}, "source"),
        ({"max_spot_fraction": 0.5}, "0 or 1"),
        ({"latency": [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 1.0}]}, "no latency targets"),
        ({"gangs": []}, "at least 1 item"),
        ({"work": ON_A | {"accelerator_hours_on": {"h100": 1.0}}}, "an accelerator of the catalog"),
    ],
)
def test_a_job_that_cannot_be_is_refused(change: dict[str, Any], told: str, tmp_path: Any) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(document(**parts(JOB | change))))
    with pytest.raises(InvalidInputError) as caught:
        load_instance(path)
    assert told in " ".join(f"{p.expected} {p.found} {p.hint}" for p in caught.value.problems)


def ways(question: Instance, job: dict[str, Any]) -> list[tuple[tuple[str, str], int, Fraction]]:
    """List (offer, instances, USD per hour) of every way to run a job of stated hours, by the formulas alone."""
    found, lost = [], {"on_demand": Fraction(0), "spot": Fraction(1, 50)}
    for o in question.catalogs.offers:
        for price in o.prices:
            for gang in job["gangs"]:
                hours = Fraction(job["work"]["accelerator_hours_on"][o.accelerator]) / gang
                hours /= Fraction(4, 5) ** {2: 0, 4: 1}[gang]
                instances = -(-gang // o.accelerators_per_instance)
                hours /= 1 - lost[price.option] * instances * 6
                if hours <= Fraction(job["deadline_hours"]):
                    usd = Fraction(price.usd_per_hour) * instances * hours / 730
                    found.append(((o.label, price.option.value), instances, usd))
    return found


@lru_cache(maxsize=64)
def drawn(seed: int) -> tuple[Instance, float | None]:
    """Give a random question with a job beside serving, and its least cost: for each way, serving's in what it leaves."""
    served = random_instance(seed)
    hours = {name: float(100 + 37 * ((seed + n) % 7)) for n, name in enumerate("abcd")}
    scaling = {"kept_per_doubling": 0.8, "from_gang": 2, "quality": "measured"}
    job = JOB | {"gangs": [2, 4], "scaling": scaling, "deadline_hours": 100.0 + seed % 5 * 20, "max_spot_fraction": 1.0}
    job |= {"work": ON_A | {"accelerator_hours_on": hours}, "checkpoint": CHECKPOINT}
    taken = {"name": "taken", "when": {"option": "spot"}, "per_hour": 0.02, "usd_each": 0.0}
    best: float | None = None
    costs: dict[tuple[float, ...], float | None] = {}
    for key, instances, usd in ways(served, job):
        sold = next(o for o in served.catalogs.offers if o.label == key[0])
        room = []
        for limit in served.limits:
            counted = limit.match.accelerator == sold.accelerator and limit.match.option in (None, key[1])
            room.append((limit.max_accelerators or 0.0) - counted * instances * sold.accelerators_per_instance)
        if min(room) >= 0 and tuple(room) not in costs:
            limits = [x.model_copy(update={"max_accelerators": m}) for x, m in zip(served.limits, room, strict=True)]
            costs[tuple(room)] = least_costs(served.replace(limits=limits))[0]
        cost = costs.get(tuple(room))
        if cost is not None and (best is None or cost + float(usd) < best):
            best = cost + float(usd)
    return served.replace(workloads=[*served.workloads, job], interruptions=[taken]), best


def test_backend_agrees_with_brute_force(backend: str) -> None:
    wrong, feasible, spot = [], 0, 0
    for seed in range(40):
        question, best = drawn(seed)
        try:
            plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
            found, feasible, spot = plan.usd_per_hour, feasible + 1, spot + (plan.training[0].option == "spot")
        except InfeasibleError:
            found = None
        if (found is None) != (best is None) or (found is not None and found != pytest.approx(best, abs=2e-6)):
            wrong.append((seed, found, best))
    assert wrong == []
    assert feasible >= 10
    assert spot >= 3


@pytest.fixture(scope="module")
def question() -> Instance:
    """Two jobs beside serving: one on spot with checkpoints, one nightly on a commitment that serving shares."""
    taken = {"name": "taken", "when": {"option": "spot"}, "per_hour": 0.02, "usd_each": 3.0}
    offers = [*reserved(5.0), offer("b", 8, 8.0, spot=2.0)]
    on_b = {"work": ON_A | {"accelerator_hours_on": {"b": 800.0}}, "checkpoint": CHECKPOINT | {"write_seconds": 36.0}}
    return instance(
        **parts(by_day("w", 80.0), NIGHTLY, JOB | on_b | {"name": "long", "max_spot_fraction": 1.0, "accuracy": FLOOR})
        | {"offers": offers, "accelerators": [accelerator("a"), accelerator("b")]},
        periods=HALVES,
        limits=[{"name": "b", "match": {"accelerator": "b"}, "max_accelerators": 24}],
        people=[{"name": "b engineer", "when": {"accelerator": "b"}, "people": 0.01, "usd_per_person_hour": 90.0}],
    ).replace(interruptions=[taken])


@pytest.fixture(scope="module")
def plan(question: Instance) -> Plan:
    return allocate(question, Options(relative_gap=1e-6))


Mutation = Callable[[dict[str, Any]], None]


def in_run(place: int, **changes: Any) -> Mutation:
    """Give a mutation of fields of one run; functions are applied to what is there."""

    def mutate(document: dict[str, Any]) -> None:
        run = document["training"][place]
        run |= {field: value(run[field]) if callable(value) else value for field, value in changes.items()}

    return mutate


def twice(document: dict[str, Any]) -> None:
    document["training"].append(copy.deepcopy(document["training"][1]))


RENT = {"bill", "objective", "baselines", "quality shares"}
MUTATIONS: list[tuple[str, str, Mutation, set[str]]] = [
    ("jobs", "a job in two ways", twice, RENT | {"limits"}),
    ("jobs", "a job left out", lambda d: d["training"].pop(), RENT | {"switches", "limits"}),
    ("jobs", "an unknown period", in_run(1, periods=["dusk"]), {"hours", "limits"}),
    ("jobs", "another model", in_run(1, model="else"), set()),
    ("jobs", "another region", in_run(1, region="s"), set()),
    ("gangs", "a gang that is not allowed", in_run(1, gang=4), set()),
    ("gangs", "a format that is not allowed", in_run(1, precision="fp8"), set()),
    ("gangs", "memory told too small", in_run(1, memory_gib=1.0), set()),
    ("gangs", "another layout", in_run(1, tensor=2), set()),
    ("gangs", "half the instances", in_run(0, instances=2), {"instances"}),
    ("gangs", "better evidence", in_run(1, quality="assumed"), {"quality shares"}),
    ("gangs", "another accuracy", in_run(1, accuracy_kept=0.999), set()),
    ("hours", "a shorter run", in_run(1, hours=lambda x: x / 2), {*RENT, "runs' rent"}),
    ("hours", "no interruptions", in_run(1, interruptions=0.0), set()),
    ("hours", "an earlier end", in_run(1, finish_hours=1.0), set()),
    ("hours", "fewer periods", in_run(1, periods=["day"]), set()),
    ("hours", "one gang too many", in_run(1, gangs_at_once=2), {"limits"}),
    ("hours", "by day", in_run(0, periods=["day"]), {"instances", "rent"}),
    ("runs' rent", "a run undercharged", in_run(1, usd_per_hour=lambda x: x / 2), {"quality shares"}),
    ("runs' rent", "a share undercharged", in_run(0, usd_per_hour=lambda x: x / 2), {"quality shares"}),
    ("runs' rent", "a cheaper price", in_run(1, usd_per_instance_hour=1.0), set()),
    ("runs' rent", "a fresher price", in_run(1, price_as_of="2026-11-21"), set()),
]


@pytest.mark.parametrize(("rule", "what", "mutation", "companions"), MUTATIONS, ids=[f"{m[0]}: {m[1]}" for m in MUTATIONS])
def test_rule_refuses(question: Instance, plan: Plan, rule: str, what: str, mutation: Mutation, companions: set[str]) -> None:
    assert [(r.job, r.option, r.quality) for r in plan.training] == [
        ("job", "reserved", "measured"),
        ("long", "spot", "measured"),
    ]
    changed = plan.model_dump(mode="json")
    mutation(changed)
    failures = verify_plan(question, Plan.model_validate_json(json.dumps(changed))).failures
    assert {failure.partition(":")[0] for failure in failures} == {rule, *companions}
    assert rule in RULES
