"""The shipped catalogs: what is said of each number holds together, and the build script makes them from raw tables."""

from __future__ import annotations

import csv
import filecmp
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.catalog import LoadKind, Option, Profile, Quality
from optimizer.instance import Catalogs, Instance
from optimizer.read import load_instance
from tests.instances.small import INSTANCES, RawRows, build, write_raw

SHIPPED = sorted(p.relative_to(INSTANCES).as_posix() for p in INSTANCES.rglob("*") if p.suffix in {".csv", ".json", ".md", ".py"})
DATA = [name for name in SHIPPED if name.endswith((".csv", ".json"))]
FITTED = {"catalogs/efficiencies.json"}  # made from the other catalogs by a command of its own
SINCE_ADA = "nvidia-ada nvidia-hopper nvidia-blackwell"
HYPERSCALERS = {"aws", "azure", "gcp"}


@pytest.fixture(scope="module")
def nlp() -> Instance:
    return load_instance(INSTANCES / "nlp.json")


def doubles(keys: list[object]) -> list[object]:
    return [key for key, count in Counter(keys).items() if count > 1]


def profile_key(p: Profile) -> object:
    """Everything but the measured figures; a system's rate is its own in each round and under each bound."""
    load = p.load.value if p.load.kind is LoadKind.CONCURRENCY else p.as_of
    bounds = tuple(latency.at_most_ms for latency in p.latency)
    configuration = (p.model, p.precision, p.compression, p.accelerator, p.accelerators_per_replica, p.engine, p.engine_version)
    return (
        *configuration,
        p.layout,
        p.input_tokens,
        p.output_tokens,
        p.load.kind,
        load,
        bounds if None not in bounds else (),
        p.availability,
    )


def test_keys_are_unique(catalogs: Catalogs) -> None:
    assert doubles([a.name for a in catalogs.accelerators]) == []
    assert doubles([o.label for o in catalogs.offers]) == []
    assert doubles([name for m in catalogs.models for name in (m.name, *m.aliases)]) == []
    assert doubles([profile_key(p) for p in catalogs.profiles]) == []


def test_every_number_has_a_source(catalogs: Catalogs) -> None:
    sources = [x.source for x in (*catalogs.accelerators, *catalogs.models, *catalogs.profiles)]
    sources += [price.source for offer in catalogs.offers for price in offer.prices]
    variants = [variant for model in catalogs.models for variant in model.variants]
    sources += [row.source for variant in variants for row in variant.accuracy]
    assert all(len(source) > 3 for source in sources)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_file_names_a_folder_of_a_machine(name: str) -> None:
    text = (INSTANCES / name).read_text(encoding="utf-8")
    assert not [word for word in ("/home/", "/tmp/", "/Users/", "index-url") if word in text]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith(".csv")])
def test_tables_are_plain_and_square(name: str) -> None:
    """Every row as wide as its header, no carriage returns, one newline at the end: the same bytes on every system."""
    raw = (INSTANCES / name).read_bytes()
    rows = list(csv.reader(raw.decode("utf-8").splitlines()))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert b"\r" not in raw
    assert raw.endswith(b"\n")


# -- accelerators and offers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "families"),
    [
        (
            "bf16",
            f"nvidia-ampere {SINCE_ADA} amd-cdna2 amd-cdna3 amd-cdna4 intel-xe2 intel-gaudi aws-neuron tpu",
        ),
        ("fp8", f"{SINCE_ADA} amd-cdna3 amd-cdna4 intel-gaudi aws-neuron tpu"),
        ("fp4", "nvidia-blackwell amd-cdna4"),
        ("w4a8-awq", SINCE_ADA),
    ],
)
def test_precision_support_is_written_down_by_generation(catalogs: Catalogs, precision: str, families: str) -> None:
    assert {a.family for a in catalogs.accelerators if precision in a.precisions} == set(families.split())


def test_exceptions_in_precision_support(catalogs: Catalogs) -> None:
    by_name = {a.name: a for a in catalogs.accelerators}
    assert "int8" not in by_name["V100-SXM2-16GB"].precisions
    assert "int8" in by_name["T4"].precisions
    assert "fp8" not in by_name["Gaudi"].precisions
    assert [name for name, a in by_name.items() if a.family == "tpu" and "fp8" in a.precisions] == ["TPU-v6e"]
    assert by_name["TPU-v6e"].peak_tflops["fp8"] == by_name["TPU-v6e"].peak_tflops["bf16"]


def test_peaks_are_given_for_supported_formats_only(catalogs: Catalogs) -> None:
    assert [
        (a.name, set(a.peak_tflops) - set(a.precisions)) for a in catalogs.accelerators if set(a.peak_tflops) - set(a.precisions)
    ] == []


def test_prices_carry_a_day_and_say_when_it_is_not_known(catalogs: Catalogs, nlp: Instance) -> None:
    """A day that the source does not give is the first of a year and never `measured`; no price lies in the future."""
    prices = [price for offer in catalogs.offers for price in offer.prices]
    assert all(price.as_of <= nlp.as_of for price in prices)
    unknown_day = [price for price in prices if "dated" in price.source]
    assert unknown_day
    assert all(price.as_of.endswith("-01-01") and price.quality is not Quality.MEASURED for price in unknown_day)
    before_cut = [price for price in prices if "before the AWS cut" in price.source]
    assert before_cut
    assert {price.quality for price in before_cut} == {Quality.ASSUMED}


def test_prices_lie_where_accelerator_prices_lie(catalogs: Catalogs) -> None:
    """0.05 to 80 USD per accelerator-hour, and spot below on-demand: a slipped digit or column would show."""
    for offer in catalogs.offers:
        each = {price.option: price.usd_per_hour / offer.accelerators_per_instance for price in offer.prices}
        assert all(0.05 < price < 80 for price in each.values()), offer.label
        assert each.get(Option.SPOT, 0) <= each.get(Option.ON_DEMAND, 80), offer.label


# -- models and profiles -----------------------------------------------------------------------------------------------------


def test_source_names_resolve_to_one_model(catalogs: Catalogs) -> None:
    known = {name: model.name for model in catalogs.models for name in (model.name, *model.aliases)}
    assert known["meta-llama/Llama-3.1-70B"] == known["Llama-3.1-70B-Instruct"]
    assert known["meta-llama/Llama-2-70b"] == known["Llama-2-70B-chat"]
    assert {p.model for p in catalogs.profiles} <= {model.name for model in catalogs.models}


def test_every_model_has_a_baseline(catalogs: Catalogs) -> None:
    baselines = {m.name: [v.label for v in m.variants if v.is_baseline] for m in catalogs.models}
    assert all(baselines.values())
    assert baselines["DeepSeek-R1"] == ["fp8"]
    assert {name for name, labels in baselines.items() if len(labels) > 1} == {"BERT-base-uncased"}


def test_compressed_variants_are_scored_and_only_cited_ones_are_faster(catalogs: Catalogs) -> None:
    compressed = [(m.name, v) for m in catalogs.models for v in m.variants if v.compression != "none"]
    assert all(v.accuracy for _, v in compressed)
    faster = [(name, v) for name, v in compressed if v.speedup]
    assert {name for name, _ in faster} == {"BERT-base-uncased"}
    assert all(v.speedup and v.speedup.source and v.size_fraction < 1 for _, v in faster)
    assert not [
        v.label for m in catalogs.models for v in m.variants if v.speedup and v.compression.startswith(("2:4", "sparse-"))
    ]


def test_one_score_a_metric(catalogs: Catalogs) -> None:
    for model in catalogs.models:
        for variant in model.variants:
            assert doubles([(row.metric, row.evaluation) for row in variant.accuracy]) == [], (model.name, variant.label)


def test_profiles_ran_in_formats_their_accelerators_support(catalogs: Catalogs) -> None:
    """But for one known case: gpt-oss's MXFP4 weights run on Hopper with 16-bit arithmetic, which is not FP4 support."""
    supported = {a.name: set(a.precisions) for a in catalogs.accelerators}
    others = {(p.model, p.accelerator) for p in catalogs.profiles if p.precision not in supported[p.accelerator]}
    assert others == {("gpt-oss-120b", "H100-SXM"), ("gpt-oss-120b", "H200-SXM")}


def test_held_rates_hold_a_p99_bound(catalogs: Catalogs) -> None:
    held = [p for p in catalogs.profiles if p.load.kind is LoadKind.HELD_RATE]
    assert len(held) > 150
    for p in held:
        assert p.latency
        assert all(latency.statistic == "p99" and latency.at_most_ms for latency in p.latency), p.source
        assert p.rate == p.load.value
        assert p.input_tokens is None
        assert p.load.accelerators_measured == p.accelerators_per_replica
        assert p.unit in {"queries/s", "tokens/s"}


def test_points_at_a_concurrency_carry_central_values_only(catalogs: Catalogs) -> None:
    points = [p for p in catalogs.profiles if p.load.kind is LoadKind.CONCURRENCY]
    assert len(points) > 1500
    assert {latency.statistic for p in points for latency in p.latency} == {"central"}
    assert all(p.latency or p.rate for p in points)


def test_largest_throughput_is_never_evidence_for_a_latency(catalogs: Catalogs) -> None:
    largest = [p for p in catalogs.profiles if p.load.kind is LoadKind.MAX_THROUGHPUT]
    assert largest
    assert not [p.source for p in largest if p.latency]


# -- the question ------------------------------------------------------------------------------------------------------------


def test_question_spans_types_providers_and_options(nlp: Instance) -> None:
    offered = {o.accelerator for o in nlp.catalogs.offers}
    assert len(offered) >= 12
    assert {a.kind.value for a in nlp.catalogs.accelerators if a.name in offered} >= {"gpu", "tpu"}
    assert len({o.provider for o in nlp.catalogs.offers}) >= 4
    assert {price.option for o in nlp.catalogs.offers for price in o.prices} == {Option.ON_DEMAND, Option.SPOT}
    assert len(nlp.workloads) == 10


def test_every_demand_and_limit_says_that_it_is_assumed_and_why(nlp: Instance) -> None:
    rates = [c.rate for w in nlp.workloads if w.kind == "serving" for c in w.classes]
    assert all(rate.quality is Quality.ASSUMED and f"times {rate.scale:g}: " in rate.source for rate in rates)
    assert all(limit.quality is Quality.ASSUMED and len(limit.reason) > 40 for limit in nlp.limits)


def test_each_floor_lets_some_variant_through_and_keeps_some_out(nlp: Instance) -> None:
    for w in nlp.workloads:
        assert w.accuracy
        kept = []
        for variant in nlp.models[w.model].variants:
            rows = [r for r in variant.accuracy if (r.metric, r.evaluation) == (w.accuracy.metric, w.accuracy.evaluation)]
            kept.append(bool(rows) and rows[0].kept_fraction >= w.accuracy.floor_fraction_of_baseline)
        assert any(kept), w.name
        assert not all(kept), w.name


def test_every_workload_can_rent_from_hyperscalers_too(nlp: Instance) -> None:
    for w in nlp.workloads:
        providers = {o.provider for o in nlp.catalogs.offers if o.region in (w.regions_allowed or ())}
        assert providers >= HYPERSCALERS, w.name
        assert not [region for region in w.regions_allowed or () if "gov" in region]


# -- the build ---------------------------------------------------------------------------------------------------------------

RAW_ROWS = {
    "hardware": ["TPU-v7x,google,tpu,,,2307.0,,,,,,,here"],
    "offers": [
        "aws,us-east-1,g6.xlarge,L4,1,4.0,16.0,0.8,0.3,"
        "a/b:c.csv @0123456; spot: d/e:catalogs/v7/aws/vms.csv @0123456 (2025),2026-07-20",
        "lambda,us-east-1,one_l4,L4,1,4.0,16.0,0.7,,d/e:f.csv @0123456,2026",
        "azure,eastus,Standard_NC6s_v3,V100-PCIe-16GB,1,6.0,112.0,3.06,,a/b:c.csv @0123456,2026-06-18",
    ],
    "throughput": [
        f"bert,BERT-Large-SQuAD,server,L4,1,int8,queries/s,{rate},,,130.0,99.0,,available,{who},{system},"
        f"TensorRT 8.6.0,v3.0,{system}"
        for who, system, rate in [("A", "a1", 100), ("A", "a2", 120), ("B", "b1", 90), ("C", "c1", 200), ("C", "c1", 210)]
    ],
}


@pytest.fixture(scope="module")
def small(built: Callable[[RawRows], Catalogs]) -> Catalogs:
    return built(RAW_ROWS)


def test_median_submitter_is_the_rate_somebody_reached(small: Catalogs) -> None:
    """A's systems held 100 and 120: its lower median is 100. B held 90. C held 200 and 210 on one system: 200 counts.

    Of 90, 100 and 200 the median is A's 100.
    """
    assert [(p.load.value, p.source) for p in small.profiles] == [(100.0, "a1; median of 3 submitters, 5 results")]
    assert (small.profiles[0].engine, small.profiles[0].engine_version) == ("TensorRT", "8.6.0")


def test_types_without_memory_and_retired_offers_are_left_out(small: Catalogs) -> None:
    assert [a.name for a in small.accelerators] == ["L4"]
    assert [o.instance_type for o in small.offers] == ["g6.xlarge", "one_l4"]


def test_each_price_keeps_its_own_day(small: Catalogs) -> None:
    found = [
        (price.option.value, price.usd_per_hour, price.as_of, price.quality.value) for o in small.offers for price in o.prices
    ]
    assert found == [
        ("on_demand", 0.8, "2026-07-20", "measured"),
        ("spot", 0.3, "2025-01-01", "derived"),
        ("on_demand", 0.7, "2026-01-01", "derived"),
    ]
    assert small.offers[0].prices[1].source == "d/e:catalogs/v7/aws/vms.csv@0123456 (dated 2025 (catalog v7))"


REAL_RAW = [Path(os.environ["ALLOCATE_RAW_DATA"])] if "ALLOCATE_RAW_DATA" in os.environ else []


@pytest.mark.parametrize("raw", [None, *REAL_RAW])
def test_the_same_tables_give_the_same_bytes(raw: Path | None, tmp_path: Path) -> None:
    """The small tables are built twice; the real ones, where their folder is given, must give the shipped files."""
    small_raw = write_raw(tmp_path / "raw", RAW_ROWS)
    expected = INSTANCES if raw else build(small_raw, tmp_path / "once")
    again = build(raw or small_raw, tmp_path / "again")
    names = sorted(p.relative_to(again).as_posix() for p in again.rglob("*") if p.is_file())
    assert names == sorted({*DATA} - FITTED)
    assert filecmp.cmpfiles(expected, again, names, shallow=False)[0] == names
