"""Rows that rounding up implies: by hand, and against the compiled model with everything on."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.solve import rounding
from optimizer.solve.rounding import rounded_up
from solvers import Model, SolveOptions, get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.tiny import accelerator, instance, model, offer, profile, workload
from tests.seeds import seeds

SEEDS = sorted({*range(seeds(8)), 18, 20, 29})


def added(before: Model, after: Model) -> list[tuple[list[tuple[int, float]], float]]:
    """Give each new row: its columns with their coefficients, and what it must reach."""
    row, rows = np.asarray(after.row), range(before.n_rows, after.n_rows)
    found = [(after.column[row == r].tolist(), after.value[row == r].round(6).tolist()) for r in rows]
    return [(list(zip(*one, strict=True)), round(float(after.row_lower[r]), 6)) for r, one in zip(rows, found, strict=True)]


def two_speeds(**changes: object) -> Model:
    """13 queries/s: 1.3 replicas of a (10/s, $3) or 2.6 of b (5/s, $2)."""
    question = instance(
        accelerators=[accelerator("a"), accelerator("b")],
        offers=[offer("a", usd_per_hour=3.0), offer("b", usd_per_hour=2.0)],
        profiles=[profile("m", "a", 10.0), profile("m", "b", 5.0)],
        models=[model("m")],
        workloads=[workload("w", 13.0, **changes)],
    )
    compiled = compile_instance(question)
    before, after = compiled.model, rounded_up(compiled)
    assert before.n_columns == after.n_columns
    assert after.row_lower[: before.n_rows].tolist() == before.row_lower.tolist()
    assert after.row_upper.tolist() == [*before.row_upper.tolist(), *[np.inf] * (after.n_rows - before.n_rows)]
    return compiled.model, after


def test_a_class_that_needs_part_of_a_replica_more_needs_a_whole_one():
    """Loads 1.3 of a and 2.6 of b.

    In a's: n_a + n_b / 2 >= 1.3; half is more than the 0.3 above 1, so that a b counts whole: n_a + n_b >= 2.
    In b's: 2 n_a + n_b >= 2.6, so that 2 n_a + n_b >= 3.
    """
    before, after = two_speeds()
    assert added(before, after) == [([(0, 1.0), (1, 1.0)], 2.0), ([(0, 2.0), (1, 1.0)], 3.0)]
    exact = get_backend("ortools").solve(after, SolveOptions(relative_gap=0.0))
    assert exact.objective == pytest.approx(5.0)  # one of each carries 15
    loose, tight = (get_backend("ortools").solve(m.relaxed()).objective for m in (before, after))
    assert loose == pytest.approx(3.9)  # 1.3 of a
    assert tight == pytest.approx(5.0)


def test_what_may_be_left_unserved_is_rounded_with_the_rest():
    """In a's: n_a + n_b / 2 + 1.3 u >= 1.3, so n_a + n_b + (1.3 / 0.3) u >= 2; at u = 0.3 / 1.3 one replica of a is enough."""
    before, after = two_speeds(shedding={"usd_per_request": 1.0, "max_unserved_fraction": 0.5})
    unserved = before.n_columns - 1
    first, second = added(before, after)
    assert first == ([(0, 1.0), (1, 1.0), (unserved, round(1.3 / 0.3, 6))], 2.0)
    assert second == ([(0, 2.0), (1, 1.0), (unserved, round(2.6 / 0.6, 6))], 3.0)
    point = np.zeros(before.n_columns)
    point[[0, unserved]] = 1.0, 0.3 / 1.3
    assert dict(first[0])[0] * point[0] + dict(first[0])[unserved] * point[unserved] == pytest.approx(2.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("insured", [False, True])
def test_optima_do_not_move_and_relaxations_do_not_fall(seed: int, insured: bool) -> None:
    compiled = compile_instance(full_instance(seed, insured))
    before, after = compiled.model, rounded_up(compiled)
    ortools = get_backend("ortools")
    exact = SolveOptions(time_limit_s=60.0, relative_gap=1e-7)
    plain, tightened = ortools.solve(before, exact), ortools.solve(after, exact)
    assert tightened.termination == plain.termination
    if plain.objective is None:
        return
    assert tightened.objective == pytest.approx(plain.objective, rel=1e-6)
    loose, tight = (ortools.solve(m.relaxed()).objective for m in (before, after))
    assert tight >= loose - 1e-6 * abs(loose)


def test_random_loads_leave_every_plan_in():
    """Whole counts that carry a class satisfy its rows, whatever the loads; some counts that do not carry it violate one."""
    rng, cut = np.random.default_rng(5), 0
    for _ in range(300):
        load = np.round(rng.uniform(0.05, 9.0, rng.integers(1, 5)), int(rng.integers(0, 4))) + 0.01
        levels, weight, whole = rounding._rounded(load)
        counts = rng.integers(0, 5, (200, len(load)))
        carried = (counts / load).sum(axis=1) >= 1.0 - 1e-12
        reached = counts @ weight.T >= whole * (1.0 - rounding.SAFETY) - 1e-9
        assert reached[carried].all(), load
        cut += int((~reached[~carried]).sum())
        assert (weight <= whole[:, None]).all()
        assert len(levels) == len(weight) == len(whole) <= rounding.MOST_ROWS
    assert cut > 1000


def test_large_models_are_left_as_they_are(monkeypatch):
    compiled = compile_instance(full_instance(0))
    assert rounded_up(compiled).n_rows > compiled.model.n_rows
    monkeypatch.setattr(rounding, "LARGEST_NONZEROS", compiled.model.n_nonzeros - 1)
    assert rounded_up(compiled) is compiled.model
