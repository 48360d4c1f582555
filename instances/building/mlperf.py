"""profiles_mlperf_*.csv: rates of MLPerf Inference systems, one median submitter's result for each configuration.

Server and Interactive results held a p99 bound (`held_rate`); Offline results watched no latency (`max_throughput`), and leave
`rate` blank: it would repeat the load, and the fit of efficiencies reads it as a rate of a known layout, which these are not.
A query is one sample: an image, an utterance, a volume, one user's list of items.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from building.profiles import FORMATS, order
from building.tables import CatalogRow, RawRow, number

ROUND_MONTHS = {"v2.1": "2022-09", "v3.0": "2023-04", "v4.1": "2024-08", "v5.1": "2025-09"}
LANGUAGE = {"bert", "gptj", "llama2-70b", "llama3.1-8b", "llama3.1-405b", "mixtral-8x7b", "deepseek-r1"}
VISION = {"resnet50", "retinanet", "stable-diffusion-xl", "3d-unet"}
RECOMMENDATION = {"dlrm", "dlrm-v2"}
SPEECH = {"rnnt", "whisper"}
HELD = {"server", "interactive"}
OFFLINE = {"offline"}
BOUNDS = {"ttft": "p99_ttft_ms", "tpot": "p99_tpot_ms", "e2e": "p99_latency_ms"}
PRECISIONS = {"fp16", "fp8", "int8", "fp4", "int4", "bf16"}
INT8_INTERACTION = "int8-interaction"
COMPRESSIONS = {("dlrm-v2", "99.0"): INT8_INTERACTION}
"""Forms that the format does not tell apart: in DLRM v2 the feature interaction runs in FP16 at 99.9 %, in INT8 at 99 %."""

Group = tuple[str, ...]


def mlperf_rows(
    results: list[RawRow], names: dict[str, str], known: set[str], benchmarks: set[str], scenarios: set[str]
) -> list[CatalogRow]:
    """Give the median submitter's rate for each system of these benchmarks and scenarios.

    A group is one (model, form, accelerator, count, round, scenario, availability). A system that was submitted at both accuracy
    levels in one form counts once, with its lower rate; each submitter counts once, with its lower median system; the lower
    median submitter's result is the row: always a rate that somebody reached, never an average.
    """
    groups: dict[Group, list[RawRow]] = defaultdict(list)
    for raw in results:
        bounded = any(raw[column] for column in BOUNDS.values()) or raw["scenario"] in OFFLINE
        wanted = raw["benchmark"] in benchmarks and raw["scenario"] in scenarios
        if wanted and bounded and _form(raw)[0] in PRECISIONS and raw["accelerator"] in known:
            groups[*_form(raw), *(raw[field] for field in _GROUP)].append(raw)
    return sorted((_row(group, names) for group in groups.values()), key=order)


_GROUP = ("model", "accelerator", "accelerator_count", "mlperf_version", "scenario", "availability")


def _form(raw: RawRow) -> tuple[str, str]:
    compression = COMPRESSIONS.get((raw["benchmark"], raw["accuracy_target_pct"]), "none")
    return FORMATS.get(raw["precision"], raw["precision"]), compression


def _rate(raw: RawRow) -> float:
    return float(raw["value"])


def _lower_median(rows: Iterable[RawRow]) -> RawRow:
    ordered = sorted(rows, key=lambda raw: (_rate(raw), raw["source"]))
    return ordered[(len(ordered) - 1) // 2]


def _slowest(rows: list[RawRow]) -> RawRow:
    return min(rows, key=lambda raw: (_rate(raw), raw["source"]))


def _by(rows: Iterable[RawRow], field: str, pick: Callable[[list[RawRow]], RawRow]) -> list[RawRow]:
    found: dict[str, list[RawRow]] = defaultdict(list)
    for raw in rows:
        found[raw[field]].append(raw)
    return [pick(rows) for rows in found.values()]


def median_submitter(group: list[RawRow]) -> tuple[RawRow, int]:
    """Give the lower median submitter's result of a group, and how many submitters there were."""
    by_submitter: dict[str, list[RawRow]] = defaultdict(list)
    for raw in group:
        by_submitter[raw["submitter"]].append(raw)
    systems = [system for rows in by_submitter.values() for system in _by(rows, "system", _slowest)]
    submitters = _by(systems, "submitter", _lower_median)
    return _lower_median(submitters), len(submitters)


def _row(group: list[RawRow], names: dict[str, str]) -> CatalogRow:
    raw, submitters = median_submitter(group)
    precision, compression = _form(raw)
    engine, version = _engine(raw["framework"])
    count, value = int(raw["accelerator_count"]), number(raw["value"])
    offline = raw["scenario"] in OFFLINE
    bounds = [] if offline else [(quantity, raw[column]) for quantity, column in BOUNDS.items() if raw[column]]
    latency = {
        f"latency.{slot}.{field}": value
        for slot, (quantity, text) in enumerate(bounds)
        for field, value in (("quantity", quantity), ("statistic", "p99"), ("at_most_ms", number(text)))
    }
    return {
        "model": names[raw["model"]],
        "precision": precision,
        **({"compression": compression} if compression != "none" else {}),
        "accelerator": raw["accelerator"],
        "accelerators_per_replica": count,
        "engine": engine,
        "engine_version": version,
        "unit": raw["metric_unit"],
        "load.kind": "max_throughput" if offline else "held_rate",
        "load.value": value,
        "load.accelerators_measured": count,
        "rate": None if offline else value,
        **latency,
        "availability": raw["availability"] if raw["availability"] != "available" else None,
        "as_of": ROUND_MONTHS[raw["mlperf_version"]],
        "source": _source(raw["source"], submitters, len(group)),
    }


def _source(source: str, submitters: int, results: int) -> str:
    path = re.sub(r"/performance/run_1/mlperf_log_summary\.txt \(.*\)$", "", source)
    return f"{path}; median of {submitters} submitter{'s' * (submitters > 1)}, {results} result{'s' * (results > 1)}"


def _engine(framework: str) -> tuple[str, str | None]:
    """Split `TensorRT 10.2.0, CUDA 12.4` into the engine and its version; what stands behind the comma is the platform's."""
    words = framework.split(",")[0].strip()
    if match := re.match(r"^(.*?) v?(\d[\w.+-]*)$", words):
        return match.group(1), match.group(2)
    return words, None
