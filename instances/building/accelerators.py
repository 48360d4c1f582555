"""accelerators.csv: the raw hardware table, each type with its family and an explicit list of precisions.

Precision support is written down by hardware generation, never computed: FP8 tensor arithmetic came with compute capability 8.9,
NVFP4 with 10.0, INT8 with 7.5, BF16 with 8.0. `int4` and `int4-awq` are weight-only (16-bit arithmetic); `w4a8-awq` has 4-bit
weights and FP8 arithmetic.
"""

from __future__ import annotations

from building.tables import CatalogRow, RawRow, number, short_source

HEADER = [
    "name", "vendor", "kind", "family", "memory_gib", "memory_bandwidth_gb_s", "peak_tflops.bf16", "peak_tflops.fp16",
    "peak_tflops.fp8", "peak_tflops.int8", "peak_tflops.fp4", "precisions", "tdp_w", "interconnect_gb_s", "aliases",
    "source",
]  # fmt: skip

AMPERE = ["fp32", "bf16", "fp16", "int8", "int4", "int4-awq"]
HOPPER = ["fp32", "bf16", "fp16", "fp8", "int8", "int4", "int4-awq", "w4a8-awq"]
BLACKWELL = ["fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4", "int4-awq", "w4a8-awq"]
PRECISIONS = {
    "nvidia-volta": ["fp32", "fp16", "int4", "int4-awq"],
    "nvidia-turing": ["fp32", "fp16", "int8", "int4", "int4-awq"],
    "nvidia-ampere": AMPERE,
    "nvidia-ada": HOPPER,
    "nvidia-hopper": HOPPER,
    "nvidia-blackwell": BLACKWELL,
    "amd-cdna2": AMPERE,
    "amd-cdna3": ["fp32", "bf16", "fp16", "fp8", "int8", "int4", "int4-awq"],
    "amd-cdna4": ["fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4", "int4-awq"],
    "intel-xe2": AMPERE,
    "intel-gaudi": ["fp32", "bf16", "fp16", "fp8", "int4", "int4-awq"],
    "aws-neuron": ["fp32", "bf16", "fp16", "fp8"],
    "tpu": ["fp32", "bf16", "int8", "int4", "int4-awq"],
}
OWN_PRECISIONS = {  # types that differ from their family
    "Gaudi": ["fp32", "bf16"],  # the first generation has no FP8
    "TPU-v6e": ["fp32", "bf16", "fp8", "int8", "int4", "int4-awq"],  # FP8 at the BF16 rate: it saves memory, not time
}
FAMILY_BY_PREFIX = [
    ("nvidia-volta", ("V100",)),
    ("nvidia-turing", ("T4",)),
    ("nvidia-ampere", ("A100", "A30", "A10", "A40", "RTX-A6000")),
    ("nvidia-ada", ("L4", "RTX-4090")),
    ("nvidia-hopper", ("H100", "H200", "GH200")),
    ("nvidia-blackwell", ("B200", "B300", "GB200", "GB300", "RTX-PRO-6000", "RTX-5090")),
    ("amd-cdna2", ("MI250",)),
    ("amd-cdna3", ("MI300", "MI325")),
    ("amd-cdna4", ("MI355",)),
    ("intel-xe2", ("Arc-Pro-B60",)),
    ("intel-gaudi", ("Gaudi",)),
    ("aws-neuron", ("Trainium", "Inferentia")),
    ("tpu", ("TPU",)),
]
ALIASES = {
    "A100-SXM-40GB": ["A100-40GB"],
    "A100-SXM-80GB": ["A100-80GB"],
    "H100-SXM": ["H100-SXM-80GB", "H100"],
    "H200-SXM": ["H200"],
    "RTX-PRO-6000-Server": ["RTX-PRO-6000"],
    "TPU-v5e": ["v5e"],
    "TPU-v6e": ["v6e"],
}


def family(name: str) -> str:
    """Give the family of types that one team knows how to run."""
    return next(group for group, prefixes in FAMILY_BY_PREFIX if name.startswith(prefixes))


def accelerator_rows(hardware: list[RawRow]) -> list[CatalogRow]:
    """Give one row a type, by name; a type whose memory was not read cannot be planned with and is left out (TPU v7x)."""
    return sorted((_row(raw) for raw in hardware if raw["memory_gib"]), key=lambda row: str(row["name"]))


def _row(raw: RawRow) -> CatalogRow:
    name = raw["accelerator"]
    precisions = OWN_PRECISIONS.get(name) or PRECISIONS[family(name)]
    sixteen_bit = number(raw["bf16_tflops"])  # the raw column holds the FP16 peak of types that have no BF16
    peaks = {"fp8": "fp8_tflops", "int8": "int8_tops", "fp4": "fp4_tflops"}
    return {
        "name": name,
        "vendor": raw["vendor"],
        "kind": raw["kind"],
        "family": family(name),
        "memory_gib": number(raw["memory_gib"]),
        "memory_bandwidth_gb_s": number(raw["memory_bandwidth_gb_s"]),
        **{f"peak_tflops.{form}": sixteen_bit for form in ("bf16", "fp16") if form in precisions},
        **{f"peak_tflops.{form}": number(raw[column]) for form, column in peaks.items() if form in precisions},
        "precisions": precisions,
        "tdp_w": number(raw["tdp_w"]),
        "interconnect_gb_s": number(raw["interconnect_gb_s"]),
        "aliases": ALIASES.get(name),
        "source": short_source(raw["source"]),
    }
