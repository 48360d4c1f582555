"""Options of a workload: derived, modelled and carried over, rejections with their numbers, one path for one and for all."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from optimizer.catalog import (
    Accelerator,
    AcceleratorKind,
    Latency,
    Layout,
    Load,
    LoadKind,
    Model,
    Profile,
    Quality,
    Quantity,
    Speedup,
    Variant,
)
from optimizer.instance import Catalogs, Instance, LatencyTarget, Policy, Rate, RequestClass, ServingWorkload, Stated
from optimizer.performance import (
    Configuration,
    Kind,
    OptionTable,
    Performance,
    Rejection,
    RejectionCode,
    ReplicaEstimate,
    lengths,
    sheets,
)
from optimizer.performance.figures import table_of
from optimizer.performance.roofline import Points, Predictions
from optimizer.read import load_instance, shipped_folder
from optimizer.synthetic import synthetic_document


class FakeRoofline:
    """TTFT n x input / 10 ms, TPOT 10 ms; the low end is half the rate; nothing known of the card ``blank``."""

    def predict(self, points: Points, of_point: object = None) -> Predictions:
        known = np.array([name != "blank" for name in points.accelerator])
        ttft = np.where(known, points.concurrency * points.input_tokens / 10.0, np.nan)
        tpot = np.where(known, 10.0, np.nan)
        rate = points.concurrency * points.output_tokens * 1e3 / (ttft + (points.output_tokens - 1) * tpot)
        quality = np.array([Quality.ASSUMED if name == "tpu" else Quality.MODELLED for name in points.accelerator], dtype=object)
        return Predictions(ttft, tpot, rate, rate / 2, rate * 2, quality)


def card(name: str, **changes: Any) -> Accelerator:
    fields: dict[str, Any] = {
        "name": name,
        "vendor": "v",
        "kind": AcceleratorKind.GPU,
        "family": "f",
        "memory_gib": 80.0,
        "memory_bandwidth_gb_s": 1000.0,
        "peak_tflops": {"fp16": 100.0, "fp8": 200.0},
        "precisions": ("fp16", "fp8", "int4-awq"),
        "source": "",
    }
    return Accelerator(**(fields | changes))


def points(ttft: list[float], tpot: list[float], grid: tuple[float, ...] = (4, 8, 16), **changes: Any) -> list[Profile]:
    fields: dict[str, Any] = {
        "model": "llm",
        "precision": "fp8",
        "accelerator": "gpu",
        "accelerators_per_replica": 1,
        "engine": "vllm",
        "layout": Layout(),
        "input_tokens": 1000,
        "output_tokens": 100,
        "unit": "tokens/s",
        "source": "a run",
    }
    return [
        Profile(
            load=Load(kind=LoadKind.CONCURRENCY, value=n, accelerators_measured=changes.get("accelerators_per_replica", 1)),
            latency=(
                Latency(quantity=Quantity.TTFT, statistic="central", ms=a),
                Latency(quantity=Quantity.TPOT, statistic="central", ms=b),
            ),
            **(fields | changes),
        )
        for n, a, b in zip(grid, ttft, tpot, strict=True)
    ]


LLM = Model(
    name="llm",
    aliases=("the-llm",),
    parameters_b=10.0,
    layers=10,
    hidden=1024,
    heads=4,
    kv_heads=4,
    head_dim=64,
    kv_cache_bytes_per_token_bf16=10240.0,
    source="",
    variants=(
        Variant(precision="fp16", is_baseline=True),
        Variant(precision="fp8"),
        Variant(precision="fp8", compression="2:4"),
        Variant(precision="int4-awq"),
        Variant(precision="fp16", compression="wider", size_fraction=1.5),
    ),
)


def asking(
    *targets: tuple[str, str, float], shape: tuple[int | None, int | None] = (1000, 100), **changes: Any
) -> ServingWorkload:
    unit = changes.pop("unit", "requests/s")
    one = RequestClass(name="chat", input_tokens=shape[0], output_tokens=shape[1], rate=Rate(value=1.0, unit=unit))
    bounds = tuple(LatencyTarget(quantity=Quantity(q), statistic=s, at_most_ms=b) for q, s, b in targets)
    fields: dict[str, Any] = {"name": "w", "model": "llm", "classes": (one,), "latency": bounds}
    return ServingWorkload(**(fields | changes))


def performance(
    workload: ServingWorkload,
    profiles: list[Profile],
    cards: tuple[Accelerator, ...] = (card("gpu"),),
    models: tuple[Model, ...] = (LLM,),
    policy: Policy | None = None,
) -> Performance:
    policy = policy or Policy(run_to_run_spread_factor=Stated(value=1.0))
    catalogs = Catalogs(accelerators=cards, offers=(), models=models, profiles=tuple(profiles))
    instance = Instance(schema_version=1, name="i", as_of="2026-01-01", catalogs=catalogs, workloads=(workload,), policy=policy)
    return Performance(instance, FakeRoofline())  # type: ignore[arg-type]


def options(workload: ServingWorkload, profiles: list[Profile], **changes: Any) -> OptionTable:
    return performance(workload, profiles, **changes).options(workload)


def by_label(table: OptionTable) -> dict[str, float]:
    return {c.label: float(rates[0]) for c, rates in zip(table.configurations, table.rate_per_s, strict=True)}


def reasons(table: OptionTable) -> dict[str, RejectionCode]:
    return {c.label: r.code for c, r in table.rejected}


FLAT = points([100.0] * 3, [10.0] * 3)


def test_three_concurrencies_of_one_configuration_are_derived_and_fewer_are_not() -> None:
    """Flat times: 16 servers of 100 + 99 x 10 = 1090 ms; p50 of Erlang's C lies below 16 / 1.09 per second."""
    workload = asking(("ttft", "p50", 200.0))
    table = options(workload, FLAT)
    row = table.configurations.index(next(c for c in table.configurations if c.engine == "vllm" and c.compression == "none"))
    assert (table.estimates[row].kind, table.estimates[row].quality) == (Kind.DERIVED, Quality.DERIVED)
    assert 0.8 * 16 / 1.09 < table.rate_per_s[row, 0] < 16 / 1.09
    assert table.estimates[row].latency_ms.tolist() == [[pytest.approx(100.0)]]
    fewer = options(workload, FLAT[:2])
    assert "fp8 on 1 x gpu (vllm)" not in by_label(fewer) or Kind.DERIVED not in {e.kind for e in fewer.estimates}


def test_points_of_two_versions_do_not_add_up_to_a_curve() -> None:
    mixed = FLAT[:2] + points([100.0] * 3, [10.0] * 3, engine_version="0.9")[2:]
    assert Kind.DERIVED not in {e.kind for e in options(asking(("ttft", "p50", 200.0)), mixed).estimates}


def test_token_units_count_the_output() -> None:
    per_request = by_label(options(asking(("ttft", "p50", 200.0)), FLAT))["fp8 on 1 x gpu (vllm)"]
    per_token = by_label(options(asking(("ttft", "p50", 200.0), unit="tokens/s"), FLAT))["fp8 on 1 x gpu (vllm)"]
    assert per_token == pytest.approx(100 * per_request)


def test_the_spread_factor_of_the_policy_is_applied() -> None:
    policy = Policy(run_to_run_spread_factor=Stated(value=2.1))
    table = options(asking(("ttft", "p50", 200.0)), FLAT, policy=policy)
    rejected = dict(table.rejected)[next(c for c, _ in table.rejected if c.engine == "vllm")]
    assert rejected.code is RejectionCode.LATENCY
    assert (rejected.number, rejected.limit) == (pytest.approx(210.0), 200.0)


def test_figures_for_poisson_arrivals_are_refused_for_bursts() -> None:
    table = options(asking(("ttft", "p50", 200.0), arrival_variation=4.0), FLAT)
    assert not table.configurations
    assert RejectionCode.ARRIVALS in set(reasons(table).values())
    assert options(asking(arrival_variation=4.0), FLAT).configurations, "without a target there is nothing to miss"


def test_another_shape_of_a_measured_configuration_is_modelled_and_anchored() -> None:
    """Measured TTFT 100 at 4 to 16 in flight, where the roofline says 400 at 4: a quarter, so at 1 in flight too.

    At 2000 tokens it says 200 at 1 in flight: anchored 50, and the low end of the band doubles it.
    """
    table = options(asking(("ttft", "p50", 10000.0), shape=(2000, 100)), FLAT)
    row = [c.label for c in table.configurations].index("fp8 on 1 x gpu (vllm)")
    assert (table.estimates[row].kind, table.estimates[row].quality) == (Kind.MODELLED, Quality.MODELLED)
    refused = options(asking(("ttft", "p50", 99.0), shape=(2000, 100)), FLAT)
    rejected = {c.label: r for c, r in refused.rejected}["fp8 on 1 x gpu (vllm)"]
    assert (rejected.number, rejected.limit) == (pytest.approx(100.0), 99.0)


def test_without_targets_the_largest_measured_rate_counts_even_of_one_point() -> None:
    """4 in flight, each 1090 ms: 3.67 per second."""
    table = options(asking(), FLAT[:1])
    row = [c.label for c in table.configurations].index("fp8 on 1 x gpu (vllm)")
    assert table.rate_per_s[row, 0] == pytest.approx(4 / 1.09)
    assert (table.estimates[row].kind, table.estimates[row].quality) == (Kind.THROUGHPUT, Quality.MEASURED)


def test_what_nobody_measured_is_modelled_where_format_layout_and_memory_allow() -> None:
    """10e9 parameters: 18.6 GiB at fp16, 9.3 at fp8; four heads divide over 1, 2 and 4."""
    cards = card("gpu"), card("small", memory_gib=12.0), card("old", precisions=("fp16",)), card("blank")
    table = options(asking(("ttft", "p50", 5000.0)), FLAT, cards=cards)
    found, why = by_label(table), reasons(table)
    assert "fp16 on 4 x gpu (modelled)" in found
    assert "fp8 on 1 x gpu (modelled)" not in found | why, "it was measured"
    assert "fp8 on 1 x small (modelled)" in found
    assert why["fp16 on 8 x gpu (modelled)"] is RejectionCode.LAYOUT
    assert why["fp16 on 1 x small (modelled)"] is RejectionCode.MEMORY
    assert why["fp8 on 1 x old (modelled)"] is RejectionCode.PRECISION
    assert why["fp16 on 1 x blank (modelled)"] is RejectionCode.NO_FIGURE


def test_one_request_must_fit_beside_the_weights() -> None:
    """12 GiB x 0.9 - 9.31 = 1.49 GiB; 100,000 tokens x 10 KiB = 0.95 GiB fit, 200,000 do not."""
    cards = (card("small", memory_gib=12.0),)
    slow = asking(("ttft", "p50", 1e9), shape=(100_000, 10))
    assert "fp8 on 1 x small (modelled)" in by_label(options(slow, [], cards=cards))
    rejected = {c.label: r for c, r in options(asking(("ttft", "p50", 1e9), shape=(200_000, 10)), [], cards=cards).rejected}
    assert rejected["fp8 on 1 x small (modelled)"].code is RejectionCode.MEMORY
    assert rejected["fp8 on 1 x small (modelled)"].limit == pytest.approx(10.8)


def test_a_variant_that_only_keeps_fewer_weights_runs_as_the_full_one_and_no_faster() -> None:
    table = options(asking(("ttft", "p50", 200.0)), FLAT)
    found = by_label(table)
    assert found["fp8+2:4 on 1 x gpu (vllm)"] == found["fp8 on 1 x gpu (vllm)"]
    row = [c.label for c in table.configurations].index("fp8+2:4 on 1 x gpu (vllm)")
    assert (table.estimates[row].kind, table.estimates[row].quality) == (Kind.MODELLED, Quality.MODELLED)
    assert reasons(table)["fp16+wider on 1 x gpu (modelled)"] is RejectionCode.NO_FIGURE
    assert "int4-awq on 1 x gpu (vllm)" not in found, "another format never borrows a measured speed"


def test_a_cited_speed_up_multiplies_the_rate_and_lends_its_quality() -> None:
    faster = LLM.model_copy(
        update={
            "variants": (
                Variant(precision="fp8"),
                Variant(
                    precision="fp8",
                    compression="distilled",
                    speedup=Speedup(factor=2.0, over_precision="fp8", quality=Quality.ASSUMED, source="a paper"),
                ),
            )
        }
    )
    workload = asking(("ttft", "p50", 200.0), allowed_quality=tuple(Quality))
    table = options(workload, FLAT, models=(faster,))
    found = by_label(table)
    assert found["fp8+distilled on 1 x gpu (vllm)"] == pytest.approx(2 * found["fp8 on 1 x gpu (vllm)"])
    row = [c.label for c in table.configurations].index("fp8+distilled on 1 x gpu (vllm)")
    assert table.estimates[row].quality is Quality.ASSUMED
    strict = options(workload.model_copy(update={"allowed_quality": (Quality.DERIVED,)}), FLAT, models=(faster,))
    assert reasons(strict)["fp8+distilled on 1 x gpu (vllm)"] is RejectionCode.QUALITY


def test_preview_points_need_the_policy() -> None:
    preview = points([100.0] * 3, [10.0] * 3, availability="preview")
    assert RejectionCode.PREVIEW in reasons(options(asking(("ttft", "p50", 200.0)), preview)).values()
    policy = Policy(include_preview=True, run_to_run_spread_factor=Stated(value=1.0))
    assert "preview" in [c.availability for c in options(asking(("ttft", "p50", 200.0)), preview, policy=policy).configurations]


def test_a_benchmarks_own_lengths_need_a_held_rate() -> None:
    table = options(asking(("ttft", "p50", 200.0), shape=(None, None), unit="tokens/s"), FLAT)
    assert table.configurations == ()
    assert {code for label, code in reasons(table).items() if "vllm" not in label} == {RejectionCode.NO_FIGURE}
    assert reasons(table)["fp8 on 1 x gpu (vllm)"] is RejectionCode.SHAPE


def test_one_configuration_is_answered_by_the_path_that_answers_all() -> None:
    held = Profile(
        model="the-llm",
        precision="fp8",
        accelerator="GPU",
        accelerators_per_replica=8,
        engine="TensorRT",
        unit="tokens/s",
        load=Load(kind=LoadKind.HELD_RATE, value=900.0, accelerators_measured=8),
        source="held",
    )
    workload = asking(("ttft", "p90", 5000.0), ("tpot", "p99", 30.0), shape=(1500, 120))
    cards = card("gpu", aliases=("GPU",)), card("other"), card("tpu", kind=AcceleratorKind.TPU), card("blank")
    able = performance(workload, [*FLAT, *points([90.0] * 3, [9.0] * 3, accelerator="GPU", engine="trtllm"), held], cards=cards)
    table = able.options(workload)
    assert len(table.configurations) > 10
    for row, configuration in enumerate(table.configurations):
        one = able.estimate(workload, configuration)
        assert isinstance(one, ReplicaEstimate)
        assert one.rate_per_s.tolist() == table.rate_per_s[row].tolist()
        same = table.estimates[row]
        assert (one.quality, one.kind, one.basis) == (same.quality, same.kind, same.basis)
    for configuration, rejection in table.rejected:
        assert able.estimate(workload, configuration) == rejection


def test_an_unknown_configuration_is_refused_by_name() -> None:
    workload = asking()
    able = performance(workload, [])
    for accelerator in ("gpu", "nowhere"):
        strange = Configuration("llm", "fp8", "none", accelerator, 3, "vllm", None, Layout())
        answer = able.estimate(workload, strange)
        assert isinstance(answer, Rejection)
        assert answer.code is RejectionCode.NO_FIGURE


@pytest.mark.parametrize("where", ["nlp", "synthetic"])
def test_a_sheet_answers_like_the_path_that_words_every_reason(where: str) -> None:
    if where == "nlp":
        instance = load_instance(shipped_folder() / "nlp.json")
    else:
        instance = Instance.model_validate_json(json.dumps(synthetic_document(2, 3)))
    able, everywhere = Performance(instance), instance.catalogs.accelerators
    for workload in instance.demands[:4]:
        question, model = able._question(workload)
        told, table = table_of(able._answers(question, model, everywhere).items(), question), able.options(workload)
        mine, theirs = ({e.configuration: e for e in t.estimates} for t in (table, told))
        assert dict(table.refused) == dict(told.refused)
        assert set(mine) == set(theirs)
        for configuration, e in mine.items():
            other = theirs[configuration]
            assert (e.quality, e.kind, e.basis, e.source) == (other.quality, other.kind, other.basis, other.source)
            np.testing.assert_array_equal(e.rate_per_s, other.rate_per_s)
            np.testing.assert_array_equal(e.latency_ms, other.latency_ms)


@pytest.mark.parametrize("statistic", ["p95", "mean"])
def test_what_was_worked_out_for_others_and_forgotten_changes_no_answer(statistic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six workloads of two models at once, twice, with hardly any memory; each alone, asked first thing, is answered the same."""
    document = synthetic_document(6, 3)
    for number, workload in enumerate(document["workloads"]):
        workload["model"] = document["workloads"][number % 2]["model"]
        workload["latency"] = document["workloads"][number % 2]["latency"] if number < 4 else []
        tight = [{**target, "statistic": statistic, "at_most_ms": target["at_most_ms"] / 4} for target in workload["latency"]]
        workload["latency"], workload["classes"] = tight, workload["classes"][number // 2 :]
    instance = Instance.model_validate_json(json.dumps(document))
    for name, most in (("MOST_LENGTHS", 3), ("MOST_TARGETS", 1), ("TOGETHER", 2)):
        monkeypatch.setattr(sheets, name, most)
    monkeypatch.setattr(lengths, "MOST_CHAINS", 100)
    able = Performance(instance)
    able.options_of(instance.demands)
    for workload, table in zip(instance.demands, able.options_of(instance.demands), strict=True):
        alone = Performance(instance).options(workload)
        np.testing.assert_array_equal(table.form, alone.form)
        np.testing.assert_array_equal(table.rate_per_s, alone.rate_per_s)
        assert table.refused == alone.refused
        for row in range(0, len(table.form), 150):
            mine, its = table.estimate(row), alone.estimate(row)
            assert (mine.basis, mine.quality, mine.source) == (its.basis, its.quality, its.source)
            np.testing.assert_array_equal(mine.latency_ms, its.latency_ms)


@pytest.mark.parametrize("slow", [False, True])
def test_a_form_measured_elsewhere_keeps_others_from_being_carried_over_only_where_it_serves(slow: bool) -> None:
    """The sparse form was measured under another engine: that of vllm is carried over only where the measured one is too slow."""
    rival = points([90.0] * 3, [500.0 if slow else 9.0] * 3, engine="trtllm", precision="fp8", compression="2:4")
    workload = asking(("tpot", "p90", 50.0))
    able = performance(workload, [*points([100.0] * 3, [10.0] * 3, precision="fp8"), *rival])
    carried = Configuration("llm", "fp8", "2:4", "gpu", 1, "vllm", None, Layout())
    assert (carried in able.options(workload).configurations) is slow
    assert isinstance(able.estimate(workload, carried), ReplicaEstimate) is slow


def test_configurations_asked_for_together_are_answered_as_in_the_tables_of_their_workloads() -> None:
    """Classes alone and in company, with bounds on percentiles and means and without, kept and rejected, in any order."""
    document = synthetic_document(6, 3)
    for number, workload in enumerate(document["workloads"]):
        workload["model"] = document["workloads"][number % 2]["model"]
        targets = [{**t, "statistic": "mean" if number < 2 else "p90"} for t in document["workloads"][number % 2]["latency"]]
        workload["latency"], workload["classes"] = targets if number < 5 else [], workload["classes"][: 1 + number % 3]
    instance = Instance.model_validate_json(json.dumps(document))
    asked, expected = list[tuple[ServingWorkload, Configuration]](), list[ReplicaEstimate | Rejection]()
    for workload, table in zip(instance.demands, Performance(instance).options_of(instance.demands), strict=True):
        rows = range(0, len(table.form), 40)
        rejected = table.rejected[::100]
        asked += [(workload, c) for c in (*(table.configurations[row] for row in rows), *(c for c, _ in rejected))]
        expected += [*(table.estimate(row) for row in rows), *(why for _, why in rejected)]
    order = np.random.default_rng(1).permutation(len(asked))
    answers = Performance(instance).estimates([asked[n] for n in order])
    for answer, wanted in zip(answers, (expected[n] for n in order), strict=True):
        if isinstance(wanted, Rejection) or isinstance(answer, Rejection):
            assert answer == wanted
            continue
        told = ("configuration", "quality", "kind", "basis", "source")
        assert [getattr(answer, name) for name in told] == [getattr(wanted, name) for name in told]
        np.testing.assert_array_equal(answer.rate_per_s, wanted.rate_per_s)
        np.testing.assert_array_equal(answer.latency_ms, wanted.latency_ms)


def test_parts_of_a_question_share_what_was_worked_out_and_other_policies_do_not() -> None:
    instance = Instance.model_validate_json(json.dumps(synthetic_document(4, 3)))
    whole = Performance(instance)
    whole.options_of(instance.demands)
    fields = {name: getattr(instance, name) for name in type(instance).model_fields}
    slower = Policy(run_to_run_spread_factor=Stated(value=2.0))
    for policy, is_shared in ((instance.policy, True), (slower, False)):
        part = Instance.model_construct(**fields | {"workloads": instance.workloads[1:2], "policy": policy})
        mine = whole.for_part(part)
        assert (mine._sheets is whole._sheets) is is_shared
        (found,), (alone,) = mine.options_of(part.demands), Performance(part).options_of(part.demands)
        np.testing.assert_array_equal(found.rate_per_s, alone.rate_per_s)
        assert found.refused == alone.refused
