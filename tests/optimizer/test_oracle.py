"""Both backends against brute force over random instances (80; 500 in `.ci/run`), whose own counts are asserted."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest

from optimizer.compile import candidate_table, compile_table
from optimizer.errors import InfeasibleError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from solvers import SolveOptions, Termination, get_backend
from tests.optimizer.oracle import least_costs, random_instance, random_priced_instance
from tests.seeds import seeds

COUNT = seeds(80)


@dataclass(frozen=True)
class Case:
    seed: int
    question: Instance
    cost: float | None
    without_limits: float | None


def same(one: float | None, other: float | None) -> bool:
    """Both infeasible, or equal to within what a solver's objective is worth."""
    return one == other if one is None or other is None else one == pytest.approx(other, abs=1e-6)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    drawn = ((seed, random_instance(seed)) for seed in range(COUNT))
    return [Case(seed, question, *least_costs(question)) for seed, question in drawn]


def test_the_generator_draws_hard_instances(cases: list[Case]) -> None:
    """At least a quarter infeasible, half of the rest with a binding limit, half of the workloads with six candidates."""
    infeasible = sum(c.cost is None for c in cases)
    binding = sum(c.cost is not None and c.without_limits is not None and c.without_limits < c.cost for c in cases)
    counts: list[int] = []
    for case in cases:
        try:
            table = candidate_table(case.question)
        except InfeasibleError:
            continue
        counts += [int((table.workload == w).sum()) for w in range(len(table.workloads))]
    print(
        f"infeasible {infeasible}, binding {binding} of {COUNT - infeasible}, candidates per workload {statistics.median(counts)}"
    )
    assert infeasible >= 0.25 * COUNT
    assert binding >= 0.5 * (COUNT - infeasible)
    assert statistics.median(counts) >= 6


def test_backend_agrees_with_brute_force(cases: list[Case], backend: str) -> None:
    wrong = []
    for case in cases:
        try:
            plan = allocate(case.question, Options(backend=backend, relative_gap=1e-6))
        except InfeasibleError:
            found = None
        else:
            found = plan.usd_per_hour
            if plan.bound_usd is not None and case.cost is not None and plan.bound_usd > case.cost:
                wrong.append((case.seed, "bound", plan.bound_usd, case.cost))
        if not same(found, case.cost):
            wrong.append((case.seed, "cost", found, case.cost))
    assert wrong == []


def test_leaving_out_what_is_dominated_moves_no_optimum(cases: list[Case]) -> None:
    solver, wrong, smaller = get_backend("ortools"), [], 0
    for case in cases[: COUNT // 2]:
        try:
            table = candidate_table(case.question)
        except InfeasibleError:
            continue
        reduced, whole = compile_table(table), compile_table(table, dominance=False)
        smaller += reduced.model.n_columns < whole.model.n_columns
        found = solver.solve(whole.model, SolveOptions(relative_gap=0.0))
        cost = None if found.termination is Termination.INFEASIBLE else found.objective
        if not same(cost, case.cost):
            wrong.append((case.seed, cost, case.cost))
    assert wrong == []
    assert smaller >= 0.3 * COUNT


def test_costs_switched_on_by_use_agree_with_brute_force() -> None:
    """Instances with people to pay; a plan changes against the same instance without them in a third of many."""
    wrong, differ, feasible = [], 0, 0
    for seed in range(COUNT * 3 // 10):
        question = random_priced_instance(seed)
        cost, _ = least_costs(question)
        try:
            plan = allocate(question, Options(backend="ortools", relative_gap=1e-6))
        except InfeasibleError:
            found = None
        else:
            found, feasible = plan.usd_per_hour, feasible + 1
            free = allocate(question.replace(people=()), Options(backend="ortools", relative_gap=1e-6))
            differ += {(d.accelerator, d.precision) for d in plan.deployments} != {
                (d.accelerator, d.precision) for d in free.deployments
            }
        if not same(found, cost):
            wrong.append((seed, found, cost))
    assert wrong == []
    assert differ >= feasible / (3 if COUNT >= 500 else 5)  # 5 of 18 of the first
