"""The formulation as reviewed text: golden LP files, canonical order, what is left out and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.pipeline import Options, allocate
from solvers import to_lp
from tests.optimizer.compile.test_sites import site
from tests.optimizer.test_training import JOB, ON_A
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, two_types, variant, workload

QUICK = {"quantity": "e2e", "statistic": "p99"}
GOLDEN = Path(__file__).parents[2] / "golden"


def rich() -> dict[str, Any]:
    """Every row family once: two classes, shared instances, spot, limits, an average floor."""
    models = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, variant("fp8", 0.98)), model("n")]
    asked = {**FLOOR, "aggregation": "traffic_weighted"}
    return {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 4, 8.0), offer("b", 1, 3.0, spot=1.0)],
        "profiles": [
            profile("m", "a", 10.0),
            profile("m", "b", 8.0),
            profile("m", "b", 20.0, precision="fp8"),
            profile("n", "a", 6.0, size=2),
            profile("n", "b", 7.0),
        ],
        "models": models,
        "workloads": [
            workload("one", {"q": 20.0, "s": 4.0}, max_spot_fraction=0.5, accuracy=asked),
            workload("two", 10.0, model="n"),
        ],
        "limits": [
            {"name": "a quota", "match": {"accelerator": "a"}, "max_accelerators": 8},
            {"name": "b machines", "match": {"accelerator": "b"}, "max_instances": 6},
        ],
    }


def training() -> dict[str, Any]:
    """Give a job beside serving: two gangs, spot, a commitment, a limit and an engineer that both share."""
    fixed = offer("b", 4, 3.0, spot=1.5)
    fixed["prices"].append({"option": "reserved", "usd_per_hour": 2.0, "as_of": "2026-11-01", "source": "made up"})
    job = JOB | {"gangs": [4, 8], "max_spot_fraction": 1.0, "work": ON_A | {"accelerator_hours_on": {"a": 500.0, "b": 900.0}}}
    return {
        "accelerators": [accelerator("a"), accelerator("b")],
        "offers": [offer("a", 4, 8.0), fixed],
        "profiles": [profile("m", "a", 20.0, size=4), profile("m", "b", 8.0, size=2)],
        "workloads": [workload("w", 10.0), job | {"deadline_hours": 150.0}],
        "limits": [{"name": "b quota", "match": {"accelerator": "b"}, "max_accelerators": 8}],
        "people": [{"name": "b engineer", "when": {"accelerator": "b"}, "people": 0.01, "usd_per_person_hour": 73.0}],
    }


def cut() -> dict[str, Any]:
    """Give a card whole and in halves, in instances of two."""
    half = {
        "name": "half",
        "accelerator": "small",
        "slots": 2,
        "memory_share": 0.5,
        "rate_share": 0.5,
        "interference_factor": 0.9,
    }
    quick = [{**QUICK, "at_most_ms": 50.0}]
    parts = {"profiles": [profile("m", "small", 5.0, latency=quick)], "offers": [offer("small", 2, 2.0)]}
    return two_types(4.0) | parts | {"fractions": [half | {"quality": "measured"}]}


def shared() -> dict[str, Any]:
    """Give the rich model with two workloads of one model that may share at a cost, and one that may not."""
    parts = rich()
    third = workload("three", {"q": 3.0}, max_spot_fraction=1.0)
    pool = {"name": "pool", "workloads": ["one", "three"], "rate_factor": 0.9, "quality": "measured"}
    profiles = [*parts["profiles"], profile("m", "a", 12.0, engine="quick", latency=[{**QUICK, "at_most_ms": 100.0}])]
    return {**parts, "workloads": [*parts["workloads"], third], "profiles": profiles, "shared_pools": [pool]}


SITES = two_types(10.0) | {"sites": [site(max_power_kw={"value": 2.0})]}
MODELS = {"two_types": two_types(10.0), "rich": rich(), "training": training(), "sites": SITES, "shared": shared(), "cut": cut()}


@pytest.mark.parametrize(("name", "parts"), MODELS.items(), ids=MODELS)
def test_the_model_is_the_reviewed_one(name: str, parts: dict[str, Any]) -> None:
    """To renew: ALLOCATE_RENEW_GOLDEN=1, then read the diff beside FORMULATION.md."""
    text, path = to_lp(compile_instance(instance(**parts)).model), GOLDEN / f"{name}.lp"
    if os.environ.get("ALLOCATE_RENEW_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def changing() -> dict[str, Any]:
    """Two halves of the day, starts that cost, a share that may go unserved, and a policy against the plan in force."""
    served = workload("w", 20.0, shedding={"max_unserved_fraction": 0.1, "usd_per_request": 2.0**-10})
    served["classes"][0]["rate"]["value"] = {"day": 20.0, "night": 5.0}
    halves = [{"name": name, "hours": 12.0, "per_month": 365 / 12} for name in ("day", "night")]
    start = {"name": "start", "when": {"accelerator": "small"}, "usd_per_start": 6.0, "usd_per_stop": 3.0}
    return two_types(0.0, workloads=[served], periods=halves, starts=[start])


def test_the_model_of_changes_is_the_reviewed_one() -> None:
    policy = {"usd_per_replica_start": 73.0, "max_changes": 3.0, "max_changed_fraction": 0.5}
    question = instance(**changing())
    force = allocate(question.replace(starts=()), Options(relative_gap=1e-6))
    document = question.policy.model_dump(mode="json") | {"change": policy | {"minimum_saving_usd_per_month": 73.0}}
    compiled = compile_instance(question.replace(policy=document), force)
    text, path = to_lp(compiled.model), GOLDEN / "changing.lp"
    if os.environ.get("ALLOCATE_RENEW_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    groups, formulation = set(compiled.model.row_groups()), Path(__file__).parents[3] / "optimizer/compile/FORMULATION.md"
    assert {"start", "move", "change", "kept"} <= groups
    assert all(f"`{group}[" in formulation.read_text() for group in groups)


def test_every_row_family_of_the_formulation_is_in_the_golden_model() -> None:
    groups = {group for parts in (rich(), training()) for group in compile_instance(instance(**parts)).model.row_groups()}
    families = {
        "demand",
        "capacity",
        "switch",
        "use",
        "accuracy",
        "instances",
        "commitment",
        "limit",
        "spot",
        "train",
        "train_use",
    }
    assert groups == families
    formulation = (Path(__file__).parents[3] / "optimizer/compile/FORMULATION.md").read_text()
    assert all(f"`{group}[" in formulation for group in groups)


def test_the_order_of_the_file_changes_nothing() -> None:
    parts = rich()
    turned = {name: list(reversed(value)) if isinstance(value, list) else value for name, value in parts.items()}
    one, other = compile_instance(instance(**parts)).model, compile_instance(instance(**turned)).model
    assert one.column_labels() == other.column_labels()
    assert sorted(one.row_labels()) == sorted(other.row_labels())
    assert np.array_equal(one.objective, other.objective)
    first, second = (allocate(instance(**p), Options(relative_gap=1e-6)) for p in (parts, turned))
    assert first.deployments == second.deployments


def test_a_bigger_replica_on_the_same_accelerator_that_does_no_more_is_dominated() -> None:
    parts = two_types(10.0)
    parts["profiles"] = [*parts["profiles"], profile("m", "small", 5.0, size=2, engine="other")]
    parts["offers"] = [*parts["offers"], offer("small", 2, 1.5)]
    compiled = compile_instance(instance(**parts))
    dominated = [
        compiled.candidates.configuration(k).accelerators_per_replica for k in np.flatnonzero(compiled.dominated_by >= 0)
    ]
    assert dominated == [2]
    assert compiled.counts["dominated"] == 1


def test_a_faster_bigger_replica_is_not_dominated() -> None:
    parts = two_types(10.0)
    parts["profiles"] = [*parts["profiles"], profile("m", "small", 6.0, size=2, engine="other")]
    parts["offers"] = [*parts["offers"], offer("small", 2, 1.5)]
    assert compile_instance(instance(**parts)).counts["dominated"] == 0


def test_a_dearer_offer_is_left_out_unless_a_limit_counts_the_cheaper_one() -> None:
    offers = [offer("small", 1, 1.0), offer("small", 1, 1.1, region="s"), offer("large", 1, 3.0)]
    limit = {"name": "quota", "match": {"region": "r"}, "max_accelerators": 1}
    free = compile_instance(instance(**(two_types(10.0) | {"offers": offers})))
    limited = compile_instance(instance(**(two_types(10.0) | {"offers": offers}), limits=[limit]))
    assert "p/s/smallx1" not in " ".join(free.model.column_labels())
    assert "p/s/smallx1" in " ".join(limited.model.column_labels())


def test_an_offer_that_replacing_would_undercut_is_left_out_unless_supply_is_limited() -> None:
    """A large replica does 12/s for 30 $/h; three small ones do 15/s for 3 $/h."""
    offers = [offer("small", 1, 1.0), offer("large", 1, 30.0)]
    limit = {"name": "quota", "match": {"accelerator": "small"}, "max_accelerators": 4}
    free = compile_instance(instance(**(two_types(10.0) | {"offers": offers})))
    limited = compile_instance(instance(**(two_types(10.0) | {"offers": offers}), limits=[limit]))
    assert not any("large" in label for label in free.model.column_labels())
    assert any("large" in label for label in limited.model.column_labels())


def test_replica_sizes_that_do_not_divide_one_another_do_not_share_instances() -> None:
    """Sizes 2 and 3 in an instance of 6 cannot be counted; the 3 gives way there and keeps the instance of 3."""
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 6, 6.0), offer("a", 3, 4.0)],
        "profiles": [profile("m", "a", 5.0, size=2), profile("n", "a", 9.0, size=3)],
        "models": [model("m"), model("n")],
        "workloads": [workload("one", 5.0), workload("two", 9.0, model="n")],
    }
    plan = allocate(instance(**parts), Options(relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(10.0)
