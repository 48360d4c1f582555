"""Workloads that did not change are not looked at again; what is told of them holds as what is found out anew does."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.solve import Learned, unchanged
from optimizer.solve.shards import Desk, Shard, grouped
from optimizer.synthetic import synthetic_document
from tests.optimizer.full import full_instance
from tests.optimizer.solve.test_decompose import optimum

ASKED = Options(relative_gap=0.01, time_limit_s=60.0)


@pytest.fixture
def looked(sifting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have as many workloads change as may be, and note of which shards look for plans."""
    monkeypatch.setattr(unchanged, "MOST_NEW", 0.5)
    propose, names = Desk.propose, list[str]()

    def noted(desk: Desk, shard: Shard, *more: object) -> object:
        names.extend(w.name for w in shard.workloads)
        return propose(desk, shard, *more)

    monkeypatch.setattr(Desk, "propose", noted)
    return names


@pytest.fixture(scope="module")
def shared() -> Instance:
    """Give a question whose workloads share supply that is scarce."""
    return Instance.model_validate_json(json.dumps(synthetic_document(6, 3, shared_supply=True)))


def solved(question: Instance, learned: Learned | None = None, options: Options = ASKED) -> tuple[Plan, Learned]:
    kept = list[Learned]()
    plan = allocate(question, options, learned=learned, on_learned=kept.append)
    return plan, Learned.from_json(kept[-1].to_json())


def with_more(question: Instance, name: str, factor: float) -> Instance:
    """Give the question in which a workload is asked for more."""
    plain = json.loads(question.model_dump_json())
    for workload in plain["workloads"]:
        for c in workload["classes"] if workload["name"] == name else []:
            c["rate"]["scale"] *= factor
    return Instance.model_validate_json(json.dumps(plain))


def test_only_what_changed_is_looked_at(shared: Instance, looked: list[str]) -> None:
    """The bound of what is known is that of a proof from nothing; a second night starts from what the first one kept."""
    _, learned = solved(shared)
    assert len(learned.group) == len(shared.workloads)
    looked.clear()
    names = [w.name for w in shared.workloads]
    changed = with_more(shared, names[3], 1.1)
    plan, again = solved(changed, learned)
    assert looked == [names[3]]
    assert "5 of 6 bounds" in plan.method
    assert plan.bound_usd is not None
    anew, _ = solved(changed)
    assert anew.bound_usd is not None
    assert plan.bound_usd <= anew.objective_usd
    assert anew.bound_usd <= plan.objective_usd
    assert plan.relative_gap is not None
    assert plan.relative_gap <= ASKED.relative_gap
    looked.clear()
    same, kept = solved(changed, again)
    assert len(looked) == 1
    assert same.bound_usd == pytest.approx(plan.bound_usd, rel=1e-5)
    assert same.usd_per_hour <= plan.usd_per_hour * (1 + 1e-9)
    assert len(set(kept.mark.tolist())) == len(kept.mark)
    assert same.candidates == plan.candidates == anew.candidates


def test_what_else_changed_has_all_looked_at(shared: Instance, looked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy, the part that replicas may carry, our own code: all rest on these; and more than half are too many."""
    _, learned = solved(shared)
    names = sorted(w.name for w in shared.workloads)
    dearer = shared.replace(policy=shared.policy.model_copy(update={"utilization_cap": 0.75}))
    fewer = with_more(shared, names[0], 1.1)
    for name in names[1:4]:
        fewer = with_more(fewer, name, 1.1)
    monkeypatch.setattr(unchanged, "_shard", None)  # nobody may look at some alone
    for question in (dearer, fewer):
        looked.clear()
        solved(question, learned)
        assert set(looked) == set(names)
    looked.clear()
    allocate(shared, ASKED, learned=learned, load_shares={"nobody: nothing": 0.5})
    assert set(looked) == set(names)
    looked.clear()
    monkeypatch.setattr(unchanged, "_code", lambda: "another")
    allocate(shared, ASKED, learned=learned)
    assert set(looked) == set(names)


def test_one_gone_and_one_come_are_told_apart(shared: Instance, looked: list[str]) -> None:
    _, learned = solved(shared)
    first, *others = shared.workloads
    newcomer = first.model_copy(update={"name": "newcomer"})
    looked.clear()
    plan, _ = solved(shared.replace(workloads=(*others, newcomer)), learned)
    assert looked == ["newcomer"]
    assert "5 of 6 bounds" in plan.method


@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_lies_between_bound_and_cost(seed: int, looked: list[str], backend: str) -> None:
    """With every feature on; where the prices of before do not come to the gap, all is looked at."""
    question = full_instance(8 if seed == 5 else seed)  # of 5 there is no plan
    options = replace(ASKED, backend=backend, relative_gap=0.05)
    _, learned = solved(question, options=options)
    served = [w.name for w in question.workloads if w.kind == "serving"]
    changed = with_more(question, served[seed % len(served)], 1.05)
    looked.clear()
    plan, _ = solved(changed, learned, options)
    assert plan.bound_usd is not None
    least = optimum(changed)
    assert plan.bound_usd <= least * (1 + 1e-6)
    assert least <= plan.objective_usd * (1 + 1e-6)


def test_what_lost_most_is_looked_at_further(shared: Instance, looked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the bounds of two groups a little lower, these two would be proved anew, and the others would not."""
    first, learned = solved(shared, options=replace(ASKED, relative_gap=0.003))
    groups = [[w.name for w in group] for group in grouped(shared)]
    least = learned.least.copy()
    assert first.relative_gap is not None
    least[[2, 4]] -= (0.012 - first.relative_gap) / 2 * first.objective_usd
    prove, proved = Desk.prove, list[list[str]]()

    def noted(desk: Desk, shard: Shard, *more: object) -> object:
        proved.append([w.name for w in shard.workloads])
        found = prove(desk, shard, *more)
        assert not desk._proved  # of another shard of the same number, it would prove what is wrong
        return found

    monkeypatch.setattr(Desk, "prove", noted)
    plan, again = solved(shared, replace(learned, least=least))
    assert proved[1] == sorted(groups[2] + groups[4])
    assert len(proved) == 2
    assert plan.bound_usd is not None
    assert np.allclose(np.sort(again.least), np.sort(learned.least), rtol=0.02)


def test_prices_that_cannot_be_kept_prove_nothing(shared: Instance, looked: list[str]) -> None:
    """A priced row or a shared column that is gone takes with it what known bounds rest on: all is looked at."""
    first, learned = solved(shared)
    names = {w.name for w in shared.workloads}
    gone = np.array([12345])
    for lost in (
        replace(learned, row=np.append(learned.row, gone), price=np.append(learned.price, 1.0)),
        replace(learned, shared=np.append(learned.shared, gone)),
    ):
        looked.clear()
        plan, _ = solved(shared, lost)
        assert set(looked) == names
        assert plan.bound_usd == pytest.approx(first.bound_usd, rel=0.01)


def test_members_of_a_pool_are_one_group() -> None:
    for seed in range(20):
        question = full_instance(seed)
        if not question.shared_pools:
            continue
        groups = grouped(question)
        for pool in question.shared_pools:
            assert sum(bool({w.name for w in g} & set(pool.workloads)) for g in groups) == 1
        marks = unchanged._marks(question, {}, groups)
        pool = question.shared_pools[0].model_copy(update={"source": "another"})
        other = question.of(question.workloads, (pool, *question.shared_pools[1:]))
        assert (marks != unchanged._marks(other, {}, groups)).sum() == 1
        return
    pytest.fail("no question with a shared pool was drawn")
