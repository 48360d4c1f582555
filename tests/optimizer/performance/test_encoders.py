"""Encoders carried over from the held rates of others: by arithmetic per query, with the bound going along."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.catalog import Accelerator, AcceleratorKind, Latency, Load, LoadKind, Model, Profile, Quality, Quantity, Variant
from optimizer.instance import LatencyTarget, Rate, RequestClass
from optimizer.performance.encoders import LOW_END, encoder_answers, layer_parameters
from optimizer.performance.figures import Answer, Question, Rejection, RejectionCode, ReplicaEstimate


def encoder(name: str, layers: int, hidden: int) -> Model:
    forms = (Variant(precision="fp16"), Variant(precision="int8"))
    return Model(name=name, architecture="encoder", parameters_b=0.3, layers=layers, hidden=hidden, source="", variants=forms)


LARGE, SMALL = encoder("large", 24, 1024), encoder("small", 12, 512)


def card(name: str, tflops: float | None, kind: AcceleratorKind = AcceleratorKind.GPU, **changes: Any) -> Accelerator:
    peaks = {} if tflops is None else {"fp16": tflops}
    fields: dict[str, Any] = {"name": name, "vendor": "v", "kind": kind, "family": "f", "memory_gib": 16.0, "source": ""}
    return Accelerator(**(fields | {"peak_tflops": peaks, "precisions": ("fp16", "bf16")} | changes))


CARDS = {c.name: c for c in (card("a", 100.0), card("b", 400.0), card("c", 50.0), card("t", 200.0, AcceleratorKind.TPU))}


def held(accelerator: str, rate: float, count: int = 1, **changes: Any) -> Profile:
    fields: dict[str, Any] = {
        "model": "large",
        "precision": "fp16",
        "accelerator": accelerator,
        "accelerators_per_replica": count,
        "engine": "TensorRT",
        "unit": "queries/s",
        "load": Load(kind=LoadKind.HELD_RATE, value=rate, accelerators_measured=count),
        "latency": (Latency(quantity=Quantity.E2E, statistic="p99", at_most_ms=130.0),),
        "source": f"row {rate:g}",
    }
    return Profile(**(fields | changes))


ROWS = [held("a", 400.0), held("b", 8000.0, 8)]


def asked(at_most_ms: float = 130.0, statistic: str = "p99", tokens: int | None = None, **changes: Any) -> Question:
    one = RequestClass(name="q", input_tokens=tokens, output_tokens=None, rate=Rate(value=1.0, unit="queries/s"))
    target = LatencyTarget(quantity=Quantity.E2E, statistic=statistic, at_most_ms=at_most_ms)
    return replace(Question("small", (one,), (target,), tuple(Quality), 1.5, False), **changes)


def answers(question: Question, model: Model = SMALL, rows: list[Profile] = ROWS, form: str = "fp16") -> dict[str, Answer]:
    found = encoder_answers(question, model, [form], list(CARDS.values()), [(LARGE, rows), (SMALL, [])], CARDS)
    return {c.accelerator: answer for c, answer in found.items()}


def rate(answer: Answer) -> float:
    assert isinstance(answer, ReplicaEstimate), answer
    return float(answer.rate_per_s[0])


def test_layers_and_width_count_and_embeddings_do_not() -> None:
    """12 h² a layer with a feed-forward of 4 h: half the layers at half the width is an eighth."""
    assert layer_parameters(LARGE) == 24 * 12 * 1024**2
    assert (layer_parameters(LARGE) or 0) / (layer_parameters(SMALL) or 1) == 8
    assert layer_parameters(Model(name="x", source="")) is None


def test_a_rate_on_the_same_card_is_scaled_by_the_arithmetic_and_its_low_end_taken() -> None:
    """400 x 8 = 3200 queries/s, of which 0.7; 16-bit formats share a peak."""
    found = answers(asked())["a"]
    assert rate(found) == pytest.approx(LOW_END * 3200)
    assert isinstance(found, ReplicaEstimate)
    assert found.quality is Quality.MODELLED
    assert rate(answers(asked(), form="bf16")["a"]) == pytest.approx(LOW_END * 3200)


def test_a_system_lends_its_rate_per_accelerator_unless_one_alone_was_measured() -> None:
    assert rate(answers(asked())["b"]) == pytest.approx(LOW_END * 1000 * 8)
    assert rate(answers(asked(), rows=[*ROWS, held("b", 900.0)])["b"]) == pytest.approx(LOW_END * 900 * 8)


def test_elsewhere_the_lowest_share_of_peak_counts_and_a_tpu_is_assumed() -> None:
    """Card a: 400 / 100 = 4 per TFLOP/s, card b: 1000 / 400 = 2.5. Card c: 2.5 x 50 x 8 = 1000; t: 2.5 x 200 x 8 = 4000."""
    found = answers(asked())
    assert rate(found["c"]) == pytest.approx(1000)
    assert rate(found["t"]) == pytest.approx(4000)
    assert [a.quality for a in found.values() if isinstance(a, ReplicaEstimate)][-2:] == [Quality.MODELLED, Quality.ASSUMED]


def test_the_bound_shrinks_with_the_speed_but_does_not_grow() -> None:
    """On a the rate is 5.6 times the one held at 130 ms: 23.2 ms. The large one itself on c is slower: 130 ms stay 130."""
    found = answers(asked(at_most_ms=24.0))
    assert isinstance(found["a"], ReplicaEstimate)
    np.testing.assert_allclose(found["a"].latency_ms, [[130 / (0.7 * 8)]])
    refused = answers(asked(at_most_ms=23.0))["a"]
    assert isinstance(refused, Rejection)
    assert (refused.code, refused.limit) == (RejectionCode.LATENCY, 23.0)
    slower = answers(asked(), model=LARGE)["c"]
    assert isinstance(slower, ReplicaEstimate)
    np.testing.assert_allclose(slower.latency_ms, [[130.0]])


def test_longer_queries_get_so_much_less_and_shorter_ones_no_more() -> None:
    base = rate(answers(asked())["a"])
    assert rate(answers(asked(tokens=256))["a"]) == pytest.approx(base / 2)
    assert rate(answers(asked(tokens=32))["a"]) == pytest.approx(base)


def test_what_was_not_held_lends_nothing() -> None:
    for question in (asked(statistic="p99.9"), asked(statistic="mean")):
        refused = answers(question)["a"]
        assert isinstance(refused, Rejection)
        assert refused.code is RejectionCode.NO_FIGURE
    preview = [held("a", 400.0, availability="preview")]
    assert isinstance(answers(asked(), rows=preview)["a"], Rejection)
    assert isinstance(answers(asked(include_preview=True), rows=preview)["a"], ReplicaEstimate)


def test_a_format_the_card_lacks_or_a_peak_nobody_read_is_refused() -> None:
    codes = {name: a.code for name, a in answers(asked(), form="int8").items() if isinstance(a, Rejection)}
    assert set(codes.values()) == {RejectionCode.PRECISION}
    blank = {"blank": card("blank", None), **CARDS}
    found = encoder_answers(asked(), SMALL, ["fp16"], [blank["blank"]], [(LARGE, ROWS)], blank)
    (refused,) = found.values()
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.NO_FIGURE
