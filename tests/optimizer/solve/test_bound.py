"""The bound of price and branch, its parts on paper and broken one by one; and how a decomposed solve ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from optimizer.compile import Compiled, compile_instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.solve import master, pricing, search, workers
from optimizer.solve.blocks import Blocks, blocks_of, seeds_of
from optimizer.solve.decompose import decomposed
from optimizer.solve.master import combined_bound
from optimizer.solve.parts import block_model
from optimizer.solve.plans import Plans, plans_of_point
from optimizer.solve.reduction import Reduction
from solvers import Limit, Progress, Solution, SolveOptions, get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.tiny import accelerator, instance, offer, profile, two_types, workload

ASKED = Options(method="decompose", relative_gap=1e-4, time_limit_s=60.0)


def shared_supply() -> Compiled:
    """Two workloads of 10/s each. Small: 5/s for 1 USD/h, two of them there. Large: 12/s for 3 USD/h. Best: 2 + 3 = 5 USD/h."""
    limit = {"name": "small", "match": {"accelerator": "small"}, "max_accelerators": 2}
    return compile_instance(
        instance(
            accelerators=[accelerator("small"), accelerator("large")],
            offers=[offer("small", 1, 1.0), offer("large", 1, 3.0)],
            profiles=[profile("m", "small", 5.0), profile("m", "large", 12.0)],
            workloads=[workload("v", 10.0), workload("w", 10.0)],
            limits=[limit],
        )
    )


def cut(compiled: Compiled) -> Blocks:
    return blocks_of(compiled.model, seeds_of(compiled))


def theta(blocks: Blocks, duals: np.ndarray, *, reduced: bool = False) -> np.ndarray:
    """Give what a backend proves for each block at the duals."""
    cost = blocks.reduced_costs(duals)
    kept = Reduction(blocks).keep(cost) if reduced else np.ones(len(cost), dtype=bool)
    least = np.zeros(blocks.count)  # of a block that keeps no column
    for k in np.unique(blocks.owner[kept & (blocks.owner >= 0)]):
        answer = get_backend("ortools").solve(block_model(blocks, k, kept, cost).model, SolveOptions(relative_gap=1e-9))
        assert answer.dual_bound is not None
        least[k] = answer.dual_bound
    return least


def test_the_bound_on_paper() -> None:
    """At 0.25 USD/h a small accelerator: two blocks of 2 · 1.25, less 2 · 0.25. At 0.5 (large costs as much): 5, the optimum.

    At 2 USD/h both take large, 6, less 4 for the supply that nobody takes.
    """
    blocks = cut(shared_supply())
    assert (blocks.count, len(blocks.coupling)) == (2, 1)
    for price, bound in ((0.0, 4.0), (0.25, 4.5), (0.5, 5.0), (2.0, 2.0)):
        duals = np.array([-price])
        assert combined_bound(blocks, duals, theta(blocks, duals)) == pytest.approx(bound, rel=1e-5)
        assert combined_bound(blocks, duals, theta(blocks, duals)) <= bound


def test_a_dual_of_the_wrong_sign_counts_as_none() -> None:
    blocks = cut(shared_supply())
    assert combined_bound(blocks, np.array([5.0]), theta(blocks, np.zeros(1))) == pytest.approx(4.0, rel=3e-6)


@pytest.mark.parametrize("seed", range(3))
def test_any_prices_give_a_bound(seed: int) -> None:
    """Random duals, on every feature at once: never above the optimum; what reduction leaves out changes no block."""
    compiled = compile_instance(full_instance(seed))
    blocks, rng = cut(compiled), np.random.default_rng(seed)
    least = get_backend("ortools").solve(compiled.model, SolveOptions(relative_gap=1e-7)).objective
    if least is None:
        return
    for scale in (0.01, 0.1):
        duals = -rng.random(len(blocks.coupling)) * scale
        whole, left = theta(blocks, duals), theta(blocks, duals, reduced=True)
        assert left == pytest.approx(whole, rel=1e-6, abs=1e-9)
        cost = blocks.reduced_costs(master.clipped(blocks, duals))
        relaxed = Reduction(blocks).least(blocks.reduced_costs(duals), np.ones(len(cost), dtype=bool))
        assert (relaxed <= whole + 1e-6 * np.abs(whole) + 1e-9).all()
        clipped = master.clipped(blocks, duals)
        assert combined_bound(blocks, clipped, theta(blocks, clipped)) <= least * (1 + 1e-6)


def mixed_supply(seed: int) -> Compiled:
    """Draw three workloads of two classes, a share of spot each, on three accelerators in three regions, scarce by the offer."""
    rng = np.random.default_rng(seed)
    names, regions = ("a", "b", "c"), ("r", "s", "t")
    offers, limits = [], []
    for name, region in product(names, regions):
        usd = float(rng.integers(4, 13)) / 4 * (1 + names.index(name))
        spot = usd * float(rng.uniform(0.2, 0.9))
        offers.append(offer(name, 1, usd, region=region, instance_type=f"{name}-{region}", spot=spot))
        for option in ("on_demand", "spot"):
            match = {"accelerator": name, "region": region, "option": option}
            limits.append({"name": f"{name} {region} {option}", "match": match, "max_accelerators": int(rng.choice([2, 5, 30]))})
    profiles = [profile("m", name, float(rng.integers(3, 9)) * (1 + names.index(name))) for name in names]
    workloads = [
        workload(f"w{k}", {q: float(rng.uniform(1, 25)) for q in "pq"}, max_spot_fraction=float(rng.choice([0.3, 0.5, 0.7])))
        for k in range(3)
    ]
    parts = {"accelerators": [accelerator(n) for n in names], "offers": offers, "profiles": profiles}
    return compile_instance(instance(**parts, workloads=workloads, limits=limits), dominance=False)


@pytest.mark.parametrize("seed", range(12))
def test_what_a_known_plan_lets_us_leave_out_is_in_no_better_one(seed: int) -> None:
    """Spot beside on-demand, offers too small for a workload, prices of the limits: the best plan of each block stays."""
    blocks, rng = cut(mixed_supply(seed)), np.random.default_rng(seed)
    reduction, left_out = Reduction(blocks), 0
    for scale in (0.0, 1.0):
        duals = -rng.random(len(blocks.coupling)) * scale
        cost, whole = blocks.reduced_costs(duals), theta(blocks, duals)
        for known in (whole, 1.05 * whole):
            kept = reduction.keep(cost, known)
            left_out += int((~kept).sum())
            models = [block_model(blocks, k, kept, cost).model for k in range(blocks.count)]
            found = [get_backend("ortools").solve(m, SolveOptions(relative_gap=1e-9)).objective for m in models]
            assert found == pytest.approx(whole.tolist(), rel=1e-6)
    assert left_out > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_block_planned_among_few_columns_first_has_no_other_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block is called large, and few columns leave it too little or none; the best of the whole stays in the interval."""
    question = mixed_supply(seed)
    best = get_backend("ortools").solve(question.model, SolveOptions(relative_gap=1e-7)).objective
    assert best is not None
    monkeypatch.setattr(pricing, "MANY_LEFT", 0)
    for few in (0, 2, 100):
        monkeypatch.setattr(pricing, "FEW", few)
        asked = Options(relative_gap=0.02, time_limit_s=20)
        found = decomposed(search.new_search(question.model, cut(question), get_backend("ortools"), asked))
        assert found.dual_bound is not None
        assert found.objective is not None
        assert found.dual_bound <= best * (1 + 1e-7) <= found.objective * (1 + 2e-7)
        assert found.objective - found.dual_bound <= 0.02 * found.objective


def test_a_block_whose_bound_is_known_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a better plan among few columns, however many are left of it."""
    question = mixed_supply(0)
    found = search.new_search(question.model, cut(question), get_backend("ortools"), Options(relative_gap=0.02))
    prices = np.zeros(len(found.blocks.coupling))
    bounds, _ = pricing.price_exactly(found, prices, "fine", allowed=0.0)
    monkeypatch.setattr(pricing, "MANY_LEFT", 0)
    found.large_blocks, calls = np.zeros(0, dtype=np.int64), found.clock.calls
    again, _ = pricing.price_exactly(found, prices, allowed=np.inf, known=bounds)
    assert found.clock.calls == calls
    assert (again >= bounds - 1e-9).all()


def test_a_block_of_which_nothing_is_left_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model has no columns: such a block, an hour without traffic, is not asked about, whatever its relaxation says."""
    compiled = compile_instance(full_instance(1))
    blocks = cut(compiled)
    found = search.new_search(compiled.model, blocks, get_backend("ortools"), Options())
    monkeypatch.setattr(found.reduction, "keep", lambda *_: np.zeros(blocks.model.n_columns, dtype=bool))
    monkeypatch.setattr(found.reduction, "least", lambda *_: np.full(blocks.count, -np.inf))
    monkeypatch.setattr(found, "heuristic", SimpleNamespace(plans=lambda *_, **__: Plans.empty()))
    found.plans = plans_of_point(blocks, np.zeros(blocks.model.n_columns), np.ones(blocks.count, dtype=bool))
    bounds, loss = pricing.price_exactly(found, np.zeros(len(blocks.coupling)))
    assert not bounds.any()
    assert loss == 0.0
    assert found.clock.calls == 0


def test_a_broken_ingredient_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs for bounds of blocks, a forgotten side or a sign not clipped would put the bound above the optimum of 5 USD/h."""
    blocks, price = cut(shared_supply()), np.array([-2.0])
    bounds = theta(blocks, price)
    assert combined_bound(blocks, price, bounds + 1.6) > 5.0
    unlimited = replace(
        blocks, model=replace(blocks.model, row_upper=np.where(blocks.row_owner < 0, 0.0, blocks.model.row_upper))
    )
    assert combined_bound(unlimited, price, bounds) > 5.0
    monkeypatch.setattr(master, "clipped", lambda _, duals: duals)
    assert not np.isfinite(combined_bound(blocks, np.array([5.0]), bounds))


@pytest.mark.parametrize(("rate", "most", "usd"), [(9.0, 50, 2.0), (14.0, 3, 3.0), (20.0, 3, 5.0), (20.0, 1, 6.0)])
def test_a_limit_of_one_pool_alone_is_no_cap_on_a_share(rate: float, most: int, usd: float) -> None:
    """Small: 5/s for 1 USD/h, at most so many. Large: 12/s for 3 USD/h. Small stays where the best plan has it."""
    limit = {"name": "small", "match": {"accelerator": "small"}, "max_accelerators": most}
    blocks = cut(compile_instance(instance(**two_types(rate, limits=[limit]))))
    cost = blocks.model.objective
    assert len(blocks.coupling) == 0
    assert Reduction(blocks).least(cost, np.ones(len(cost), dtype=bool))[0] <= usd
    kept = Reduction(blocks).keep(cost, np.array([usd]))
    assert get_backend("ortools").solve(block_model(blocks, 0, kept, cost).model, SolveOptions()).objective == usd


def solved(seed: int, **changes: object) -> Plan:
    return allocate(full_instance(seed), replace(ASKED, **changes))  # type: ignore[arg-type]


def test_the_same_question_gives_the_same_plan_in_one_process_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    used, answers = dict[int, list[float | None]](), workers.Workers.answers

    def noted(self: workers.Workers, questions: Iterable[workers.Question]) -> Generator[Solution]:
        for answer in answers(self, questions):
            used.setdefault(self.processes, []).append(answer.objective)
            yield answer

    monkeypatch.setattr(workers.Workers, "answers", noted)
    monkeypatch.setattr(pricing, "BATCH", 2)
    plans = []
    for processes in (1, 2):
        monkeypatch.setattr(search, "processes_for", lambda blocks, n=processes: n)
        plans.append(solved(0))
    one, two = plans
    assert (two.deployments, two.bound_usd, two.method) == (one.deployments, one.bound_usd, one.method)
    assert len(used[1]) > 2
    assert used[1] == used[2]


def test_an_interrupt_keeps_the_best_plan_and_its_bound() -> None:
    compiled, cancel, seen = compile_instance(full_instance(2)), threading.Event(), list[Progress]()

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if progress.incumbent is not None:
            cancel.set()

    asked = replace(ASKED, relative_gap=0.0)

    def prepared(on_progress: Callable[[Progress], None] | None = None) -> search.Search:
        return search.new_search(compiled.model, cut(compiled), get_backend("ortools"), asked, on_progress, cancel)

    found = decomposed(prepared(stop))
    assert found.limit is Limit.INTERRUPT
    assert found.values is not None
    assert found.objective == seen[-1].incumbent
    cancel.set()
    found = decomposed(prepared())
    assert (found.values, found.limit) == (None, Limit.INTERRUPT)


def test_a_plan_in_force_is_a_start() -> None:
    plan = solved(0)
    again = allocate(full_instance(0), replace(ASKED, relative_gap=1e-3), plan_in_force=plan)
    assert again.objective_usd <= plan.objective_usd * (1 + 1e-3)
