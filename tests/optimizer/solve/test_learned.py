"""Warm starts: what a solve learned makes the next one shorter, and its plan rests on nothing of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.errors import InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.solve import Learned, load_learned
from optimizer.solve.blocks import blocks_of, seeds_of
from optimizer.solve.learned import Names
from optimizer.solve.parts import block_marks
from tests.optimizer.full import full_instance
from tests.optimizer.tiny import accelerator, instance, model, offer, profile, variant, workload
from tests.seeds import seeds

ASKED = Options(method="decompose", relative_gap=1e-4, time_limit_s=60.0)


def solved(question: Instance, learned: Learned | None = None, **changes: Any) -> tuple[Plan, Learned]:
    kept = list[Learned]()
    plan = allocate(question, replace(ASKED, **changes), learned=learned, on_learned=kept.append)
    return plan, kept[0]


def shared(*, names: tuple[str, str] = ("v", "w"), rate: float = 10.0, floor: float = 0.9, large: bool = True) -> Instance:
    """Two workloads. Small: 5/s, of fp8 10/s, for 1 USD/h, two of them there. Large: 12/s for 3 USD/h. fp8 keeps 0.95."""
    asked = {"metric": "f1", "evaluation": "squad", "floor_fraction_of_baseline": floor}
    profiles = [profile("m", "small", 5.0), profile("m", "small", 10.0, precision="fp8")]
    return instance(
        accelerators=[accelerator("small"), accelerator("large")],
        offers=[offer("small", 1, 1.0)] + [offer("large", 1, 3.0)] * large,
        profiles=profiles + [profile("m", "large", 12.0)] * large,
        models=[model("m", variant("fp16", 1.0, is_baseline=True), variant("fp8", 0.95))],
        workloads=[workload(name, rate, accuracy=asked) for name in names],
        limits=[{"name": "small", "match": {"accelerator": "small"}, "max_accelerators": 2}] * large,
    )


def held(plan: Plan) -> tuple[int, int]:
    """Read off the method how many of the saved plans held, of how many."""
    words = plan.method.rpartition("from ")[2].split()
    return int(words[0]), int(words[2])


def changed(seed: int) -> tuple[Instance, Instance]:
    """Give a question with every feature, and one in which demand, a price and a name moved."""
    before = full_instance(seed)
    rng, plain = np.random.default_rng(seed), json.loads(before.model_dump_json())
    for w in plain["workloads"]:
        for c in w.get("classes", []) if rng.random() < 0.5 else []:
            if isinstance(c.get("rate", {}).get("value"), float):
                c["rate"]["value"] *= 1.2
    plain["catalogs"]["offers"][0]["prices"][0]["usd_per_hour"] *= 1.1
    return before, Instance.model_validate_json(json.dumps(plain))


@pytest.mark.parametrize("seed", range(seeds(2)))
def test_the_optimum_lies_between_the_bound_and_cost_of_a_warm_solve(seed: int, backend: str) -> None:
    before, after = changed(seed)
    _, learned = solved(before, backend=backend, relative_gap=1e-2)
    warm, again = solved(after, learned, backend=backend, relative_gap=1e-2)
    least = allocate(after, Options(method="direct", relative_gap=1e-6)).objective_usd
    assert warm.bound_usd is not None
    assert warm.bound_usd <= least * (1 + 1e-6)
    assert least <= warm.objective_usd * (1 + 1e-6)
    assert held(warm)[0] > 0
    assert len(again.plans.index) > 0


@pytest.mark.parametrize("seed", range(seeds(2)))
def test_lies_about_prices_and_plans_are_not_believed(seed: int) -> None:
    """Plans of half the replicas and prices turned round or grown: the interval still holds the optimum."""
    question = full_instance(seed)
    _, learned = solved(question, relative_gap=1e-2)
    least = allocate(question, Options(method="direct", relative_gap=1e-6)).objective_usd
    for factor in (-3.0, 100.0):
        plans = replace(learned.plans, value=learned.plans.value * 0.5)
        wrong, _ = solved(question, Learned(plans, learned.row, learned.price * factor), relative_gap=1e-2)
        assert wrong.bound_usd is not None
        assert wrong.bound_usd <= least * (1 + 1e-6)
        assert least <= wrong.objective_usd * (1 + 1e-6)


def test_the_same_question_keeps_every_plan_and_gives_the_same_plan() -> None:
    cold, learned = solved(shared())
    warm, again = solved(shared(), learned)
    assert held(warm) == (len(learned.plans.start) - 1,) * 2
    assert (warm.deployments, warm.objective_usd) == (cold.deployments, cold.objective_usd)
    assert warm.bound_usd == pytest.approx(2.0, rel=1e-4)  # each from one small of fp8
    assert solved(shared(), learned)[1].to_json() == again.to_json()


@pytest.mark.parametrize(
    ("changes", "usd"),
    [
        ({"names": ("v", "x")}, 2.0),  # half of the plans are of a workload that is gone
        ({"floor": 0.97}, 5.0),  # plans with fp8 go; two small for one, large for the other
        ({"rate": 10.5}, 5.0),  # one small of fp8 carries 10/s: two for one, large for the other
    ],
)
def test_stale_plans_are_dropped(changes: dict[str, Any], usd: float) -> None:
    _, learned = solved(shared())
    warm, _ = solved(shared(**changes), learned)
    assert warm.objective_usd == pytest.approx(usd)
    kept, of = held(warm)
    assert kept < of


def test_names_tell_columns_and_rows_apart() -> None:
    for seed in range(2):
        compiled = compile_instance(full_instance(seed, insured=True))
        blocks = blocks_of(compiled.model, seeds_of(compiled))
        names = Names.of(compiled, blocks)
        assert len(names.column) == len(np.unique(names.column)) == blocks.model.n_columns
        assert len(names.row) == len(np.unique(names.row)) == len(blocks.coupling)
        assert names.column.max() < 2**56
        some = np.array([len(names.row) - 1, 0])
        assert names.rows(np.append(names.row[some], -5)).tolist() == [*some, -1]
        assert (names.columns(names.column) == np.arange(blocks.model.n_columns)).all()
        assert Names(names.column[:0], names.row[:0]).columns(names.column[:2]).tolist() == [-1, -1]


def test_what_was_learned_is_read_back_as_written_and_anything_else_is_refused(tmp_path) -> None:
    _, learned = solved(shared())
    text = learned.to_json()
    assert Learned.from_json(text).to_json() == text
    plain = json.loads(text)
    damaged = {
        "damaged": {**plain, "value": [2 * x for x in plain["value"]]},
        "schema_version 4": {**plain, "schema_version": 4},
        "not what": {"schema_version": 1},
    }
    for found, document in damaged.items():
        path = tmp_path / "learned.json"
        path.write_text(json.dumps(document))
        with pytest.raises(InvalidInputError, match=found):
            load_learned(path)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        Learned.from_json(text[: len(text) // 2])


def test_what_version_1_kept_is_a_start_without_bounds() -> None:
    """Kept by the first version, of ``shared()``."""
    learned = load_learned(Path(__file__).parent / "kept" / "learned_v1.json")
    plan, again = solved(shared(), learned)
    assert held(plan) == (2, 2)
    assert not len(learned.mark)
    assert json.loads(again.to_json())["schema_version"] == 3


def test_a_mark_tells_a_block_from_one_with_another_cost_row_or_bound() -> None:
    compiled = compile_instance(full_instance(0))
    blocks = blocks_of(compiled.model, seeds_of(compiled))
    model, cost = blocks.model, blocks.model.objective
    marks = block_marks(blocks, cost)
    assert len(np.unique(marks)) == blocks.count
    assert (block_marks(blocks, cost) == marks).all()
    assert (block_marks(blocks, np.nextafter(cost, np.inf)) != marks).all()
    for changed in (
        replace(model, upper=model.upper + 1.0),
        replace(model, value=np.nextafter(model.value, np.inf)),
        replace(model, row_upper=np.nextafter(model.row_upper, np.inf)),
        replace(model, integer=~model.integer),
    ):
        assert (block_marks(replace(blocks, model=changed), cost) != marks).all()
