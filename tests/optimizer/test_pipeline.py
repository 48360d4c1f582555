"""The pipeline as a caller sees it: options, warnings, progress, cancel, warm start."""

from __future__ import annotations

import threading

import pytest

from optimizer.errors import BackendFailedError, CheckFailedError, InterruptedByUserError, UsageError
from optimizer.pipeline import Options, Progress, allocate
from tests.optimizer.oracle import random_instance
from tests.optimizer.tiny import instance, model, offer, profile, two_types, variant, workload


def test_a_price_dated_after_the_day_of_the_question_is_told() -> None:
    late = offer("small", 1, 1.0)
    late["prices"][0]["as_of"] = "2026-12-01"
    plan = allocate(instance(**(two_types(5.0) | {"offers": [late]})))
    assert any("after 2026-11-22" in warning for warning in plan.warnings)
    assert allocate(instance(**two_types(5.0))).warnings == ()


def test_an_offer_without_a_price_is_left_out_told_and_refused_when_strict() -> None:
    parts = two_types(5.0) | {"offers": [offer("small", 1, 1.0), offer("large", 1, 3.0, prices=[])]}
    assert any("no usable price" in warning for warning in allocate(instance(**parts)).warnings)
    with pytest.raises(CheckFailedError, match="largex1"):
        allocate(instance(**parts), Options(strict_prices=True))


def test_setup_without_prices_is_told() -> None:
    made = variant("fp8", 0.99, setup={"accelerator_hours": 10.0, "source": "made up"})
    models = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}, made)]
    plan = allocate(instance(**(two_types(5.0) | {"models": models})))
    assert any("policy.setup" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    "wrong", [{"time_limit_s": float("nan")}, {"relative_gap": -0.1}, {"method": "guess"}, {"threads": 0}, {"seed": -1}]
)
def test_options_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Options(**wrong)  # type: ignore[arg-type]


def test_an_unknown_backend_is_a_backend_failure() -> None:
    with pytest.raises(BackendFailedError, match="nothing"):
        allocate(instance(**two_types(5.0)), Options(backend="nothing"))


def test_a_cancel_that_is_set_stops_before_a_plan(backend: str) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InterruptedByUserError):
        allocate(instance(**two_types(5.0)), Options(backend=backend), cancel=cancel)


def test_progress_is_told_in_plan_terms(backend: str) -> None:
    seen: list[Progress] = []
    plan = allocate(random_instance(1003), Options(backend=backend), on_progress=seen.append)
    assert all(p.usd_per_hour is None or p.usd_per_hour >= plan.usd_per_hour * (1 - 1e-3) for p in seen)


def test_a_plan_in_force_never_changes_the_optimum(backend: str) -> None:
    question = random_instance(1003)
    plan = allocate(question, Options(backend=backend, relative_gap=1e-6))
    dearer = question.replace(policy={"utilization_cap": question.policy.utilization_cap * 0.9})
    cold = allocate(dearer, Options(backend=backend, relative_gap=1e-6))
    warm = allocate(dearer, Options(backend=backend, relative_gap=1e-6), plan_in_force=plan)
    assert warm.usd_per_hour == pytest.approx(cold.usd_per_hour, rel=3e-6)


def test_the_same_input_gives_the_same_bytes(backend: str) -> None:
    question = random_instance(1003)
    one, other = (allocate(question, Options(backend=backend)).model_copy(update={"solve_seconds": 0.0}) for _ in range(2))
    assert one.to_json() == other.to_json()


def test_a_trickle_on_a_fast_replica_is_a_plan_that_verifies(backend: str) -> None:
    """A millionth of a request a second on a replica of 1e6/s: one replica, busy for 1e-12 of the time."""
    parts = two_types(0.0) | {"profiles": [profile("m", "small", 1e6)], "workloads": [workload("w", 1e-6)]}
    plan = allocate(instance(**parts), Options(backend=backend))
    assert plan.replicas == {"small": 1}
    assert plan.workloads[0].utilization == pytest.approx(1e-12)
