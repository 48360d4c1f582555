"""Held rates: when one speaks for a workload, and for how many accelerators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.catalog import Latency, Load, LoadKind, Profile, Quality, Quantity
from optimizer.instance import LatencyTarget, Rate, RequestClass
from optimizer.performance import Kind, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.figures import Question
from optimizer.performance.held import held_answers


def held(rate: float, accelerators: int = 8, bounds: tuple[tuple[str, str, float], ...] = (), **changes: Any) -> Profile:
    bounds = bounds or (("ttft", "p99", 2000.0), ("tpot", "p99", 200.0))
    fields: dict[str, Any] = {
        "model": "m",
        "precision": "fp8",
        "accelerator": "H200-SXM",
        "accelerators_per_replica": accelerators,
        "engine": "TensorRT",
        "engine_version": "10",
        "unit": "tokens/s",
        "load": Load(kind=LoadKind.HELD_RATE, value=rate, accelerators_measured=accelerators),
        "latency": tuple(Latency(quantity=Quantity(q), statistic=s, at_most_ms=b) for q, s, b in bounds),
        "source": f"row of {rate:g}",
    }
    return Profile(**(fields | changes))


def asked(*targets: tuple[str, str, float], unit: str = "tokens/s", tokens: int | None = None, **changes: Any) -> Question:
    one = RequestClass(name="chat", input_tokens=tokens, output_tokens=tokens, rate=Rate(value=1.0, unit=unit))
    bounds = tuple(LatencyTarget(quantity=Quantity(q), statistic=s, at_most_ms=b) for q, s, b in targets)
    return replace(Question("m", (one,), bounds, tuple(Quality), 1.5, False), **changes)


def kept(question: Question, *profiles: Profile) -> list[tuple[int, float]]:
    found = held_answers(question, profiles).values()
    return sorted(
        (e.configuration.accelerators_per_replica, float(e.rate_per_s[0])) for e in found if not isinstance(e, Rejection)
    )


SERVER = (("ttft", "p99", 2000.0), ("tpot", "p99", 200.0))


def test_a_held_rate_is_used_as_it_is_for_the_system_measured() -> None:
    (answer,) = held_answers(asked(*SERVER), [held(800)]).values()
    assert isinstance(answer, ReplicaEstimate)
    assert (answer.kind, answer.quality) == (Kind.HELD, Quality.MEASURED)
    assert answer.configuration.accelerators_per_replica == 8
    assert answer.rate_per_s.tolist() == [800]
    assert answer.latency_ms.tolist() == [[2000, 200]]


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ((("ttft", "p99", 1999.0),), RejectionCode.LATENCY),
        ((("tpot", "p99.9", 200.0),), RejectionCode.LATENCY),
        ((("e2e", "p99", 60000.0),), RejectionCode.LATENCY),
        ((("ttft", "mean", 2000.0),), RejectionCode.LATENCY),
        ((("ttft", "p99", 3000.0), ("tpot", "p99", 50.0)), RejectionCode.LATENCY),
        ((("ttft", "p50", 2000.0), ("tpot", "p95", 300.0)), None),
        ((("ttft", "p99", 2000.0),), None),
    ],
)
def test_every_target_needs_a_bound_held_at_least_as_strictly(
    targets: tuple[tuple[str, str, float], ...], code: RejectionCode | None
) -> None:
    (answer,) = held_answers(asked(*targets), [held(800)]).values()
    assert (answer.code if isinstance(answer, Rejection) else None) is code


def test_a_refusal_gives_both_numbers() -> None:
    (answer,) = held_answers(asked(("ttft", "p99", 450.0)), [held(800)]).values()
    assert isinstance(answer, Rejection)
    assert (answer.number, answer.limit) == (2000.0, 450.0)
    assert "2000" in answer.message
    assert "450" in answer.message


def test_lengths_and_unit_must_be_those_of_the_benchmark() -> None:
    codes = [
        next(iter(held_answers(question, [held(800)]).values()))
        for question in (asked(*SERVER, tokens=1024), asked(*SERVER, unit="queries/s"))
    ]
    assert [c.code for c in codes if isinstance(c, Rejection)] == [RejectionCode.SHAPE, RejectionCode.UNIT]


def test_preview_rows_count_only_when_the_policy_says_so_and_stay_apart() -> None:
    rows = held(900, availability="preview"), held(800)
    assert kept(asked(*SERVER), *rows) == [(8, 800)]
    answers = held_answers(asked(*SERVER, include_preview=True), rows)
    assert {c.availability for c, a in answers.items() if not isinstance(a, Rejection)} == {"preview", "available"}


def test_the_lower_median_of_one_configuration_is_used() -> None:
    assert kept(asked(*SERVER), held(700), held(900), held(800), held(850)) == [(8, 800)]


def test_of_two_bounds_that_both_suffice_the_larger_rate_counts() -> None:
    interactive = held(300, bounds=(("ttft", "p99", 450.0), ("tpot", "p99", 40.0)))
    assert kept(asked(*SERVER), interactive, held(800)) == [(8, 800)]
    assert kept(asked(("ttft", "p99", 500.0), ("tpot", "p99", 50.0)), interactive, held(800)) == [(8, 300)]


def test_a_system_is_single_replicas_when_a_one_accelerator_row_agrees_within_10_percent() -> None:
    """800 on 8 is 100 each; 109 on one is within 10 %: one per replica at the lower, 100. 112 on one is not."""
    assert kept(asked(*SERVER), held(800), held(109, 1)) == [(1, 100)]
    assert kept(asked(*SERVER), held(800), held(95, 1)) == [(1, 95)]
    assert kept(asked(*SERVER), held(800), held(112, 1)) == [(1, 112), (8, 800)]


def test_a_one_accelerator_row_of_another_format_or_engine_version() -> None:
    """Another format says nothing; another version may show that the model fits one, but lends its rate to no other version."""
    assert kept(asked(*SERVER), held(800), held(100, 1, precision="fp4")) == [(1, 100), (8, 800)]
    assert kept(asked(*SERVER), held(800), held(104, 1, engine_version="9")) == [(1, 100), (1, 104)]


def test_rates_with_no_latency_watched_speak_only_for_workloads_without_targets() -> None:
    offline = held(2000, load=Load(kind=LoadKind.MAX_THROUGHPUT, value=2000.0, accelerators_measured=8), latency=())
    assert kept(asked(), offline) == [(8, 2000)]
    (answer,) = held_answers(asked(), [offline]).values()
    assert isinstance(answer, ReplicaEstimate)
    assert answer.kind is Kind.THROUGHPUT
    (refused,) = held_answers(asked(("ttft", "p99", 1e6)), [offline]).values()
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.LATENCY


def test_token_rates_at_known_lengths_turn_into_requests() -> None:
    """2048 tokens/s at 1024 output tokens each are 2 requests/s."""
    offline = held(
        2048,
        load=Load(kind=LoadKind.MAX_THROUGHPUT, value=2048.0, accelerators_measured=8),
        latency=(),
        input_tokens=1024,
        output_tokens=1024,
    )
    (answer,) = held_answers(asked(unit="requests/s", tokens=1024), [offline]).values()
    assert isinstance(answer, ReplicaEstimate)
    np.testing.assert_allclose(answer.rate_per_s, [2.0])


def test_classes_of_different_lengths_each_take_the_row_at_their_own() -> None:
    rows = [
        held(
            rate, 1, input_tokens=i, output_tokens=o, unit="requests/s", load=Load(kind=kind, value=rate, accelerators_measured=1)
        )
        for kind, i, o, rate in ((LoadKind.MAX_THROUGHPUT, *one) for one in [(100, 10, 8.0), (100, 10, 6.0), (1000, 20, 3.0)])
    ]
    lengths = [(100, 10), (1000, 20)]
    classes = tuple(RequestClass(name=f"c{i}", input_tokens=i, output_tokens=o, rate=Rate(value=1.0)) for i, o in lengths)
    (answer,) = held_answers(asked(classes=classes), rows).values()
    assert isinstance(answer, ReplicaEstimate)
    assert (answer.rate_per_s.tolist(), answer.latency_ms.shape) == ([6.0, 3.0], (2, 0))  # the lower median of two
    (refused,) = held_answers(asked(classes=classes), rows[:2]).values()
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.SHAPE
