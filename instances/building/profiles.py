"""profiles_llm.csv: what one configuration was measured to do at one load point; and the columns of every table of points.

A blank cell stands for the schema's default: pipeline 1, `available`, `measured`, compression `none`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from building.tables import CatalogRow, RawRow, number, short_source

LATENCY_SLOTS = 2
COLUMNS = [
    "model", "precision", "compression", "accelerator", "accelerators_per_replica", "engine", "engine_version",
    "layout.tensor", "layout.pipeline", "layout.attention_data", "layout.expert", "input_tokens", "output_tokens", "unit",
    "load.kind", "load.value", "load.accelerators_measured", "rate",
    *(f"latency.{slot}.{field}" for slot in range(LATENCY_SLOTS) for field in ("quantity", "statistic", "ms", "at_most_ms")),
    "availability", "as_of", "quality", "source",
]  # fmt: skip
WHERE_NEEDED = {"compression", "quality"}
FORMATS = {"uint4": "int4", "fp8(unet)": "fp8"}  # two words for one format; of SDXL only the UNet ever runs in FP8


def header_of(rows: Iterable[CatalogRow]) -> list[str]:
    """Give the columns of a table: all but those that no row needs."""
    used = {name for row in rows for name in row}
    return [name for name in COLUMNS if name not in WHERE_NEEDED or name in used]


def llm_rows(profiles: list[RawRow], names: dict[str, str]) -> list[CatalogRow]:
    """Give one row a measured LLM point, whole deployments, curves together and rising in concurrency."""
    return sorted((_llm_row(raw, names) for raw in profiles if raw["precision"]), key=order)


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


def order(row: CatalogRow) -> tuple[tuple[bool, object], ...]:
    """Order rows by configuration, then shape, then load; blanks first."""
    fields = [*COLUMNS[: COLUMNS.index("unit")], "load.kind", "as_of", "availability", "load.value", "source"]
    return tuple((row.get(field) is not None, row.get(field) if row.get(field) is not None else 0) for field in fields)
