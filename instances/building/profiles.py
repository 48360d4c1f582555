"""profiles_llm.csv and profiles_mlperf_language.csv: what one configuration was measured to do at one load point.

A blank cell stands for the schema's default: pipeline 1, `available`, `measured`, compression `none`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from building.tables import CatalogRow, RawRow, number, short_source

LATENCY_SLOTS = 2
HEADER = [
    "model", "precision", "accelerator", "accelerators_per_replica", "engine", "engine_version",
    "layout.tensor", "layout.pipeline", "layout.attention_data", "layout.expert", "input_tokens", "output_tokens", "unit",
    "load.kind", "load.value", "load.accelerators_measured", "rate",
    *(f"latency.{slot}.{field}" for slot in range(LATENCY_SLOTS) for field in ("quantity", "statistic", "ms", "at_most_ms")),
    "availability", "as_of", "source",
]  # fmt: skip
FORMATS = {"uint4": "int4"}  # two words for one format
ROUND_MONTHS = {"v2.1": "2022-09", "v3.0": "2023-04", "v4.1": "2024-08", "v5.1": "2025-09"}
LANGUAGE = {"bert", "gptj", "llama2-70b", "llama3.1-8b", "llama3.1-405b", "mixtral-8x7b", "deepseek-r1"}
MLPERF_BOUNDS = {"ttft": "p99_ttft_ms", "tpot": "p99_tpot_ms", "e2e": "p99_latency_ms"}


def llm_rows(profiles: list[RawRow], names: dict[str, str]) -> list[CatalogRow]:
    """Give one row a measured LLM point, whole deployments, curves together and rising in concurrency."""
    return sorted((_llm_row(raw, names) for raw in profiles if raw["precision"]), key=_order)


def _llm_row(raw: RawRow, names: dict[str, str]) -> CatalogRow:
    count, tensor = int(raw["accelerator_count"]), int(raw["tensor_parallel"])
    pipeline = re.search(r"\bPP(\d+)$", raw["source"])
    at_concurrency = bool(raw["concurrency"])
    times = [(quantity, raw[f"{quantity}_ms"]) for quantity in ("ttft", "tpot") if raw[f"{quantity}_ms"]]
    latency = {
        f"latency.{slot}.{field}": value
        for slot, (quantity, text) in enumerate(times)
        for field, value in (("quantity", quantity), ("statistic", "central"), ("ms", number(text)))
    }
    return {
        "model": names[raw["model"]],
        "precision": FORMATS.get(raw["precision"], raw["precision"]),
        "accelerator": raw["accelerator"],
        "accelerators_per_replica": count,
        "engine": raw["backend"],
        "engine_version": raw["backend_version"] or None,
        "layout.tensor": tensor,
        "layout.pipeline": int(pipeline.group(1)) if pipeline and pipeline.group(1) != "1" else None,
        "layout.attention_data": number(raw["attention_dp"]),
        "layout.expert": number(raw["expert_parallel"]),
        "input_tokens": number(raw["input_tokens"]),
        "output_tokens": number(raw["output_tokens"]),
        "unit": "tokens/s",
        "load.kind": "concurrency" if at_concurrency else "max_throughput",
        "load.value": number(raw["concurrency"] or raw["output_tokens_per_s_reported"]),
        "load.accelerators_measured": count,
        "rate": number(raw["output_tokens_per_s_reported"]),
        **latency,
        "as_of": raw["measured_on"] or None,
        "source": _llm_source(raw["source"]),
    }


def _llm_source(source: str) -> str:
    return re.sub(r" \((InferenceX/silicon runs|v1\.0-era, retrieved copy)\);?", "", short_source(source))


def mlperf_rows(results: list[RawRow], names: dict[str, str], known: set[str], benchmarks: set[str]) -> list[CatalogRow]:
    """Give the median submitter's rate for each system that held the bounds of its scenario.

    A group is one (model, precision, accelerator, count, round, scenario, availability). A system that was submitted at both
    accuracy levels counts once, with its lower rate; each submitter counts once, with its lower median system; the lower median
    submitter's result is the row: always a rate that somebody reached, never an average.
    """
    groups: dict[tuple[str, ...], list[RawRow]] = defaultdict(list)
    for raw in results:
        bounded = any(raw[column] for column in MLPERF_BOUNDS.values())
        if raw["benchmark"] in benchmarks and bounded and raw["precision"] in _PRECISIONS and raw["accelerator"] in known:
            groups[tuple(raw[field] for field in _GROUP)].append(raw)
    return sorted((_mlperf_row(group, names) for group in groups.values()), key=_order)


_GROUP = ("model", "precision", "accelerator", "accelerator_count", "mlperf_version", "scenario", "availability")
_PRECISIONS = {"fp16", "fp8", "int8", "fp4", "uint4", "int4", "bf16"}


def _rate(raw: RawRow) -> float:
    return float(raw["value"])


def _lower_median(rows: Iterable[RawRow]) -> RawRow:
    ordered = sorted(rows, key=lambda raw: (_rate(raw), raw["source"]))
    return ordered[(len(ordered) - 1) // 2]


def _by(rows: Iterable[RawRow], field: str, pick: Callable[[list[RawRow]], RawRow]) -> list[RawRow]:
    found: dict[str, list[RawRow]] = defaultdict(list)
    for raw in rows:
        found[raw[field]].append(raw)
    return [pick(rows) for rows in found.values()]


def median_submitter(group: list[RawRow]) -> tuple[RawRow, int]:
    """Give the lower median submitter's result of a group, and how many submitters there were."""
    systems = [system for rows in _grouped(group).values() for system in _by(rows, "system", _slowest)]
    submitters = _by(systems, "submitter", _lower_median)
    return _lower_median(submitters), len(submitters)


def _grouped(group: list[RawRow]) -> dict[str, list[RawRow]]:
    by_submitter: dict[str, list[RawRow]] = defaultdict(list)
    for raw in group:
        by_submitter[raw["submitter"]].append(raw)
    return by_submitter


def _slowest(rows: list[RawRow]) -> RawRow:
    return min(rows, key=lambda raw: (_rate(raw), raw["source"]))


def _mlperf_row(group: list[RawRow], names: dict[str, str]) -> CatalogRow:
    raw, submitters = median_submitter(group)
    engine, version = _engine(raw["framework"])
    count = int(raw["accelerator_count"])
    bounds = [(quantity, raw[column]) for quantity, column in MLPERF_BOUNDS.items() if raw[column]]
    latency = {
        f"latency.{slot}.{field}": value
        for slot, (quantity, text) in enumerate(bounds)
        for field, value in (("quantity", quantity), ("statistic", "p99"), ("at_most_ms", number(text)))
    }
    return {
        "model": names[raw["model"]],
        "precision": FORMATS.get(raw["precision"], raw["precision"]),
        "accelerator": raw["accelerator"],
        "accelerators_per_replica": count,
        "engine": engine,
        "engine_version": version,
        "unit": raw["metric_unit"],
        "load.kind": "held_rate",
        "load.value": number(raw["value"]),
        "load.accelerators_measured": count,
        "rate": number(raw["value"]),
        **latency,
        "availability": raw["availability"] if raw["availability"] != "available" else None,
        "as_of": ROUND_MONTHS[raw["mlperf_version"]],
        "source": _mlperf_source(raw["source"], submitters, len(group)),
    }


def _mlperf_source(source: str, submitters: int, results: int) -> str:
    path = re.sub(r"/performance/run_1/mlperf_log_summary\.txt \(.*\)$", "", source)
    return f"{path}; median of {submitters} submitter{'s' * (submitters > 1)}, {results} result{'s' * (results > 1)}"


def _engine(framework: str) -> tuple[str, str | None]:
    """Split `TensorRT 10.2.0, CUDA 12.4` into the engine and its version; what stands behind the comma is the platform's."""
    words = framework.split(",")[0].strip()
    if match := re.match(r"^(.*?) v?(\d[\w.+-]*)$", words):
        return match.group(1), match.group(2)
    return words, None


def _order(row: CatalogRow) -> tuple[tuple[bool, object], ...]:
    """Order rows by configuration, then shape, then load; blanks first."""
    fields = [*HEADER[: HEADER.index("unit")], "load.kind", "as_of", "availability", "load.value", "source"]
    return tuple((row.get(field) is not None, row.get(field) if row.get(field) is not None else 0) for field in fields)
