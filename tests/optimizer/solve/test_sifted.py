"""Solving in shards against the whole model: whatever the features, the direct optimum lies between bound and cost."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from optimizer.compile import Compiled, compile_instance
from optimizer.decode.baselines import baselines_of
from optimizer.errors import BackendFailedError, InfeasibleError, InterruptedByUserError, NoPlanError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.solve import Learned, improve, method
from optimizer.solve.blocks import Seeds, blocks_of, seeds_of
from optimizer.solve.crew import Crew
from optimizer.solve.plans import Ragged
from optimizer.solve.settle import Settled, settle
from optimizer.solve.shards import Desk, Prices, Proof, Proposal, Shard, Told, cut, sample
from optimizer.synthetic import synthetic_document
from tests.optimizer.full import full_instance
from tests.optimizer.oracle import random_instance
from tests.optimizer.solve.test_decompose import optimum
from tests.seeds import seeds

SEEDS = sorted({*range(seeds(2)), 7, 12, 14, 36, 164})
"""In 14 it is asked whether there can be any plan, and there is; in 12 and 36 there is none, in 164 none of whole replicas."""


def interval(question: Instance, backend: str = "ortools", gap: float = 1e-3) -> tuple[float, float]:
    """Give bound and cost of the sifted solve, infinite where there is no plan; the plan verifies itself on the way."""
    try:
        plan = allocate(question, Options(backend=backend, relative_gap=gap, time_limit_s=60.0))
    except InfeasibleError:
        return math.inf, math.inf
    assert " shards" in plan.method
    return -math.inf if plan.bound_usd is None else plan.bound_usd, plan.objective_usd


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("draw", [full_instance, random_instance])
def test_the_optimum_lies_between_bound_and_cost(
    draw: Callable[[int], Instance], seed: int, backend: str, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With odd seeds one shard proposes and settles prices before all others, as some of very many do."""
    monkeypatch.setattr(sifting, "GROUPED", 1 if seed % 2 else 16)
    question = draw(seed)
    (bound, cost), least = interval(question, backend), optimum(question)
    assert bound <= least * (1 + 1e-6)
    assert least <= cost * (1 + 1e-6)


@pytest.fixture(scope="module")
def day() -> Instance:
    """Give a question of three periods that nothing but supply joins workloads in, and no period to another."""
    return Instance.model_validate_json(json.dumps(synthetic_document(3, 5, shared_supply=True, periods=3)))


@pytest.mark.parametrize("is_cut", [True, False])
def test_periods_that_nothing_joins_are_blocks(
    is_cut: bool, day: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where blocks of shards are not cut by period, as where columns join them that the small question lacks, plans are."""
    compiled = compile_instance(day)
    blocks = blocks_of(compiled.model, seeds_of(compiled))
    assert blocks.count == 9
    period = compiled.columns.replica_period
    owner = blocks.owner[: compiled.columns.first_instance]
    assert all(len(np.unique(period[owner == k])) == 1 for k in range(9))

    def whole(compiled: Compiled, *, partly: bool) -> Seeds:
        return replace(seeds_of(compiled, partly=partly), periods=1)

    know, known = sifting.know, list[tuple[int, int]]()

    def counted(small: Any, tellings: Sequence[Told | None]) -> None:
        before = len(small.search.plans)
        know(small, tellings)
        known.append((sum(len(told.cost) for told in tellings if told is not None), len(small.search.plans) - before))

    monkeypatch.setattr(sifting, "know", counted)
    if not is_cut:
        monkeypatch.setattr(sys.modules["optimizer.solve.shards"], "seeds_of", whole)
    plan = allocate(day, replace(WISHES, relative_gap=0.05))
    monkeypatch.setattr(sifting, "FEWEST_CELLS", 10**6)
    other = allocate(day, replace(WISHES, relative_gap=0.05, method="decompose"))
    assert (" shards" in plan.method, " shards" in other.method) == (True, False)
    assert plan.bound_usd is not None
    assert other.bound_usd is not None
    assert max(plan.bound_usd, other.bound_usd) <= min(plan.objective_usd, other.objective_usd)
    told, kept = known[0]
    assert kept == told if is_cut else kept >= 2 * told


def choice(plan: Plan) -> dict[str, Any]:
    """Give all of a plan that does not hang on the clock."""
    return plan.model_dump(mode="json", exclude={"solve_seconds", "method"})


@pytest.fixture(scope="module")
def shared() -> Instance:
    """Give a question whose workloads share supply that is scarce."""
    return Instance.model_validate_json(json.dumps(synthetic_document(6, 3, shared_supply=True)))


WISHES = Options(relative_gap=0.02, time_limit_s=120.0)


def proved_once(question: Instance) -> Plan:
    """Give a plan after one proof, before any clock has a say."""
    return allocate(question, replace(WISHES, relative_gap=0.9))


@pytest.mark.parametrize("seed", [10, 27])
def test_processes_change_no_plan(seed: int, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    question = full_instance(seed)
    here = proved_once(question)
    monkeypatch.setattr(sifting, "processes_for", lambda _: 2)
    assert choice(proved_once(question)) == choice(here)
    assert "in 3 shards" in here.method


def test_a_plan_tells_what_it_would_tell_of_the_whole_question(shared: Instance, sifting: ModuleType) -> None:
    found, compiled = allocate(shared, WISHES), compile_instance(shared)
    assert found.candidates == compiled.counts
    assert found.baselines == baselines_of(compiled, found.usd_per_hour)
    assert sifting.is_sifted(shared, WISHES, None)
    assert not sifting.is_sifted(shared, replace(WISHES, method="direct"), None)


def test_a_lost_process_is_done_without(sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    question = full_instance(10)
    expected = proved_once(question)
    monkeypatch.setattr(sifting, "processes_for", lambda _: 2)
    ask, lost = Crew.ask, list[int]()

    def asking(crew: Crew, task: Any, about: Any) -> list[Any]:
        if task is Desk.prove:
            process = crew._others[0].process  # type: ignore[union-attr]
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            lost.append(process.pid)
            monkeypatch.setattr(Crew, "ask", ask)
        return ask(crew, task, about)

    monkeypatch.setattr(Crew, "ask", asking)
    assert choice(proved_once(question)) == choice(expected)
    assert lost


def test_what_a_process_raises_is_raised_here(shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sifting, "processes_for", lambda _: 2)
    with pytest.raises(BackendFailedError, match="no backend 'nobody'"):
        allocate(shared, replace(WISHES, backend="nobody"))


@pytest.mark.parametrize("processes", [1, 2])
def test_cancelling_ends_it(shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(sifting, "processes_for", lambda _: processes)
    told = threading.Event()
    told.set()
    with pytest.raises(InterruptedByUserError):
        allocate(shared, WISHES, cancel=told)
    later = threading.Event()
    plan = allocate(shared, replace(WISHES, relative_gap=0.0), on_progress=lambda _: later.set(), cancel=later)
    assert plan.stopped_by == "interrupt"
    assert plan.verification.passed


def test_all_workloads_without_a_candidate_are_named(shared: Instance, sifting: ModuleType) -> None:
    hopeless = [w.name for w in shared.workloads[:2]]
    workloads = tuple(
        w.model_copy(update={"regions_allowed": ("nowhere",)}) if w.name in hopeless else w for w in shared.workloads
    )
    with pytest.raises(InfeasibleError) as refused:
        allocate(shared.of(workloads), WISHES)
    assert all(repr(name) in refused.value.message for name in hopeless)


@pytest.mark.parametrize("seed", [12, 36])
def test_rows_that_no_plan_keeps_are_told_without_compiling_the_whole(
    seed: int, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.solve.method.compile_instance", None)
    with pytest.raises(InfeasibleError, match="cannot hold together"):
        allocate(full_instance(seed), WISHES)


def test_where_prices_are_alone_nothing_else_costs_anything(sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of seed 6, which has a plan, it is asked whether it has one; at prices of nothing, blocks then cost nothing."""
    prove, asked = Desk.prove, list[tuple[bool, bool]]()

    def noted(desk: Desk, shard: Shard, prices: Prices, *more: Any) -> Proof | None:
        free = prove(desk, shard, replace(prices, value=0.0 * prices.value), *more)
        assert free is not None
        asked.append((prices.alone, bool(free.least.any())))
        return prove(desk, shard, prices, *more)

    monkeypatch.setattr(sifting.Desk, "prove", noted)
    monkeypatch.setattr(sifting, "CELLS_EACH", 2)
    allocate(full_instance(6), WISHES)
    assert {(True, False), (False, True)} <= set(asked)
    assert (True, True) not in asked


def test_what_shards_find_no_plan_of_is_compiled_whole_in_the_time_left(
    sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of seed 164 only whole replicas break rows, which no prices show; a larger question is not compiled whole."""
    asked, whole = list[float](), method.solve_compiled

    def noted(compiled: Compiled, wishes: Options, *others: Any) -> Any:
        asked.append(wishes.time_limit_s)
        return whole(compiled, wishes, *others)

    monkeypatch.setattr(method, "solve_compiled", noted)
    for name in ("construct", "_mend"):  # which find nothing either, in more and more time
        monkeypatch.setattr(improve, name, lambda *_: None)
    with pytest.raises(InfeasibleError):
        allocate(full_instance(164), WISHES)
    assert 0 < asked[0] < WISHES.time_limit_s
    monkeypatch.setattr(sifting, "MOST_CELLS", 2)
    with pytest.raises(NoPlanError):
        allocate(full_instance(164), WISHES)
    assert len(asked) == 1


def test_where_shards_have_no_plan_of_any_workload_the_whole_is_asked(sifting: ModuleType) -> None:
    with pytest.raises(InfeasibleError, match="cannot hold together"):
        allocate(random_instance(80), WISHES)


def test_plans_that_differ_between_a_shard_and_the_small_question_are_refused(
    shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose = Desk.propose

    def lying(desk: Desk, shard: Shard, prices: Prices, near: float) -> Proposal:
        found = propose(desk, shard, prices, near)
        assert found.told is not None
        return replace(found, told=replace(found.told, cost=found.told.cost * 1.01))

    monkeypatch.setattr(sifting.Desk, "propose", lying)
    plan = allocate(shared, replace(WISHES, time_limit_s=20.0))
    assert "whole since" in plan.method
    assert "plans differ" in plan.method


def test_what_was_learned_and_a_plan_in_force_are_starts(shared: Instance, sifting: ModuleType) -> None:
    learned = list[Learned]()
    first = allocate(shared, WISHES, on_learned=learned.append)
    again = allocate(shared, replace(WISHES, relative_gap=0.05), learned=learned[-1], plan_in_force=first)
    assert re.search(r"from [1-9]\d* of [1-9]\d* plans", again.method)
    assert again.usd_per_hour <= first.usd_per_hour * (1 + 1e-9)


def test_bounds_are_recalled_of_blocks_that_are_the_same_to_the_bit(shared: Instance, sifting: ModuleType) -> None:
    """One of six workloads wants 7 % more: the bounds of the other five are those of the first solve, which kept them all."""
    kept = list[Learned]()
    allocate(shared, WISHES, on_learned=kept.append)
    assert len(kept[0].mark) == 6
    first, *others = shared.workloads
    classes = tuple(
        c.model_copy(update={"rate": c.rate.model_copy(update={"value": 1.07 * c.rate.value})}) for c in first.classes
    )
    changed = shared.of((first.model_copy(update={"classes": classes}), *others))
    plan = allocate(changed, WISHES, learned=kept[0])
    assert "and 5 of 6 bounds" in plan.method
    assert plan.bound_source is not None
    assert "5 bounds as an earlier solve proved them" in plan.bound_source
    assert plan.bound_usd is not None
    assert plan.bound_usd <= optimum(changed) * (1 + 1e-6) <= plan.objective_usd * (1 + 2e-6)
    dearer = shared.replace(policy=shared.policy.model_copy(update={"utilization_cap": 0.7}))
    assert "and 0 of 6 bounds" in allocate(dearer, WISHES, learned=kept[0]).method


def test_more_is_proposed_where_proposals_cannot_share_what_there_is(
    shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more than what plans need, as good ones are known by then."""
    asked, sizes, propose = list[int](), dict[bool, int](), Desk.propose

    def counted(desk: Desk, shard: Shard, prices: Prices, near: float) -> Proposal:
        asked.append(shard.number)
        found = propose(desk, shard, prices, near)
        assert found.portion is not None
        sizes[near > 0] = sizes.get(near > 0, 0) + len(found.portion.pair)
        return found

    def breaking(*arguments: Any, **wishes: Any) -> Settled:
        found = settle(*arguments, **wishes)
        return replace(found, broken=1) if len(asked) == len(set(asked)) else found

    monkeypatch.setattr(sifting.Desk, "propose", counted)
    monkeypatch.setattr(sifting, "settle", breaking)
    plan = allocate(shared, replace(WISHES, relative_gap=0.1))
    assert len(asked) > len(set(asked))
    assert 0 < sizes[False] < sizes[True] / 2
    assert plan.relative_gap is not None
    assert plan.relative_gap <= 0.1


def test_some_of_many_shards_stand_for_all(shared: Instance) -> None:
    workloads = tuple(w.model_copy(update={"name": f"{w.name} {n:02}"}) for n in range(20) for w in shared.workloads)
    shards = cut(shared.of(workloads), 10)
    assert sorted(w.name for s in shards for w in s.workloads) == sorted(w.name for w in workloads)
    chosen = sample(shards)
    assert (chosen.number, chosen.of, len(chosen.workloads)) == (-1, 3, 40)
    assert sample(shards[:2]) is shards[0]


def test_shards_are_alike_whatever_recurs_in_the_names(shared: Instance) -> None:
    """Every fifth workload may be of one kind: a shard, or every fifth shard, must not be of these alone."""
    kinds = [w.model_copy(update={"name": f"{n:03}"}) for n in range(250) for w in shared.workloads[:1]]
    shards = cut(shared.of(kinds), 10)
    assert len(shards) == 25
    for some in (*((shard,) for shard in shards), shards[::5], (sample(shards),)):
        residues = [int(w.name) % 5 for shard in some for w in shard.workloads]
        assert np.bincount(residues, minlength=5).max() <= 0.7 * len(residues)
    assert [s.workloads for s in cut(shared.of(kinds[::-1]), 10)] == [s.workloads for s in shards]


def test_workloads_that_share_a_pool_stay_together() -> None:
    question = full_instance(3)
    pools = {p.name: set(p.workloads) for p in question.shared_pools}
    found = {p.name: {w.name for w in s.workloads} for s in cut(question, 1) for p in s.pools}
    assert pools
    assert pools.keys() == found.keys()
    assert all(found[name] >= pools[name] for name in pools)


@pytest.mark.parametrize("held", [0, 10**9])
def test_prices_proved_before_are_proved_further(
    held: int, shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds of blocks at the same prices never fall, and what was proved is not asked again, held or compiled anew."""
    monkeypatch.setattr("optimizer.solve.shards.HELD_COLUMNS", held)
    prove, found = Desk.prove, list[list[Proof]]()

    def thrice(desk: Desk, shard: Shard, prices: Prices, learned: Learned, *more: Any) -> Proof:
        _, until, _, first, _ = more
        efforts = ("brief", "usual", "further")
        proofs = [prove(desk, shard, prices, learned, 0.0, until, effort, first, True) for effort in efforts]
        late = prove(desk, shard, prices, learned, 0.0, 0.0, "usual", first, True)
        assert prove(desk, shard, prices, learned, 0.0, 0.0, "usual", first, False) is None
        assert late is not None
        assert proofs[-1] is not None
        assert (late.least[:-1] >= proofs[-1].least[:-1] - 1e-9).all()  # what was proved before is kept
        found.append([proof for proof in proofs if proof is not None])
        return proofs[-1]

    monkeypatch.setattr(sifting.Desk, "prove", thrice)
    allocate(shared, replace(WISHES, relative_gap=0.0005, time_limit_s=30.0))
    for brief, usual, further in found:
        assert further.loss <= usual.loss <= brief.loss
        assert (usual.least[:-1] >= brief.least[:-1]).all()
        assert (further.least[:-1] >= usual.least[:-1]).all()
        assert further.calls <= max(usual.calls, 1)
    assert any(usual.loss < brief.loss for brief, usual, _ in found)


@pytest.mark.parametrize("is_late", [True, False])
def test_shards_that_lost_little_are_not_asked_again(
    is_late: bool, shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a proof is taken further, one shard is told to lose less here, and only that one proves anything.

    Where it is late, what all proved before still holds.
    """
    prove, proofs, rounds = Desk.prove, sifting.Sifter.proofs, list[tuple[bool, list[int]]]()

    def noted(desk: Desk, shard: Shard, *asked: Any) -> Proof | None:
        rounds[-1][1].append(shard.number)
        return None if is_late and rounds[-1][0] else prove(desk, shard, *asked)

    def counted(sifter: Any, small: Any, effort: str, before: Any) -> list[Proof]:
        rounds.append((before is not None, []))
        found: list[Proof] = proofs(sifter, small, effort, before)
        assert len(found) == 6
        return found

    def less(losses: Sequence[float], _: float) -> np.ndarray:
        return np.where(np.arange(len(losses)) == 2, -1.0, losses)

    monkeypatch.setattr(sifting.Desk, "prove", noted)
    monkeypatch.setattr(sifting.Sifter, "proofs", counted)
    monkeypatch.setattr(sifting, "further", less)
    monkeypatch.setattr(sifting, "AGAIN", -1e9)
    allocate(shared, replace(WISHES, relative_gap=1e-5, time_limit_s=30.0))
    assert all(asked == ([2] if is_further else list(range(6))) for is_further, asked in rounds)
    assert {is_further for is_further, _ in rounds} == {True, False}


@pytest.mark.parametrize("least", [-1e9, 1e9])
def test_prices_move_where_working_further_made_little(
    least: float, shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever blocks still lose, no proof is taken further twice where the first time did not make up for enough."""
    proofs, rounds = sifting.Sifter.proofs, list[bool]()

    def noted(sifter: Any, small: Any, effort: str, before: Any) -> list[Proof]:
        rounds.append(before is not None)
        found: list[Proof] = proofs(sifter, small, effort, before)
        return found

    monkeypatch.setattr(sifting.Sifter, "proofs", noted)
    monkeypatch.setattr(sifting, "AGAIN", -1e9)
    monkeypatch.setattr(sifting, "STUCK", least)
    allocate(shared, replace(WISHES, relative_gap=1e-5, time_limit_s=30.0))
    assert rounds[:3] == [False, True, least < 0]


def test_near_candidates_are_some_of_all(
    shared: Instance, day: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many shards of one period, or where plans are learned, all are proposed; else those near the least alone."""
    learned = Learned(Ragged.empty(), np.zeros(0, dtype=np.int64), np.zeros(0))
    cases = (shared, 31, None, sifting.NEAR), (shared, 32, None, 1.0), (day, 32, None, sifting.NEAR), (day, 2, learned, 1.0)
    for question, count, known, near in cases:
        shards = sifting.cut(question, 1)[:1] * count
        assert sifting.Sifter(question, WISHES, None, shards, None, None, None, known).near == near
    propose, sizes = Desk.propose, list[tuple[int, int]]()

    def both(desk: Desk, shard: Shard, prices: Prices, near: float) -> Proposal:
        some, all_near = (propose(desk, shard, prices, share) for share in (near, 1.0))
        assert some.portion is not None
        assert all_near.portion is not None
        assert np.isin(some.portion.pair, all_near.portion.pair).all()
        sizes.append((len(some.portion.pair), len(all_near.portion.pair)))
        return some

    monkeypatch.setattr(sifting.Desk, "propose", both)
    allocate(shared, replace(WISHES, relative_gap=0.05))
    assert any(some < all_near for some, all_near in sizes)


def test_no_proof_is_begun_that_time_would_end(shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another would take more than there is left, plans are bettered instead, of the bound that there is."""
    proofs, rounds = sifting.Sifter.proofs, list[str]()

    def slow(sifter: Any, small: Any, effort: str, before: Any) -> list[Proof]:
        rounds.append(effort)
        found: list[Proof] = proofs(sifter, small, effort, before)
        sifter.proof_s = 1e9
        return found

    monkeypatch.setattr(sifting.Sifter, "proofs", slow)
    plan = allocate(shared, replace(WISHES, relative_gap=1e-6, time_limit_s=3.0))
    assert rounds == ["brief"]
    assert plan.bound_usd is not None
    assert plan.stopped_by == "time"


def test_shards_that_come_first_are_dealt_to_all_processes(
    shared: Instance, sifting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of every second shard, of which each process has every second, would all be one process's."""
    monkeypatch.setattr(sifting, "GROUPED", 2)
    monkeypatch.setattr(sifting, "processes_for", lambda _: 2)
    ask, asked = Crew.ask, list[list[int]]()

    def noted(crew: Crew, task: Any, about: Any) -> list[Any]:
        about = list(about)
        asked.append([shard.number for shard, _ in about])
        return ask(crew, task, about)

    monkeypatch.setattr(Crew, "ask", noted)
    allocate(shared, replace(WISHES, relative_gap=0.5))
    assert {number % 2 for number in asked[0]} == {0, 1}
    assert sorted(asked[0] + asked[1]) == list(range(6))
