"""models.json: each model once, with the names the sources use, its architecture and its variants.

A variant's `precision` is a number format in the sources' words; every pruning, sparsity, distillation or retraining is its
`compression`. Recipes for one format are one variant (GPTQ is an `int4`), except where a source names the recipe and measures its
speed (`int4-awq`, `w4a8-awq`). Variants come from three places: the baseline, the accuracy rows, and the profiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from building.accuracies import SIXTEEN_BIT, SIXTEEN_BIT_MODELS, accuracy_records, compressed_sizes, speedups
from building.tables import CatalogRow, RawRow, number, short_source

# name -> (row of the raw model table, released precision, the names by which the sources know it)
MODELS: dict[str, tuple[str, str, list[str]]] = {
    "DeepSeek-R1": ("deepseek-ai/DeepSeek-R1", "fp8", ["deepseek-ai/DeepSeek-R1", "nvidia/DeepSeek-R1-NVFP4"]),
    "DeepSeek-V3": ("deepseek-ai/DeepSeek-V3", "fp8", ["deepseek-ai/DeepSeek-V3"]),
    "DeepSeek-V3.1": ("nvidia/DeepSeek-V3.1-NVFP4", "fp8", ["nvidia/DeepSeek-V3.1-NVFP4"]),
    "GLM-5": ("zai-org/GLM-5", "bf16", ["zhipuai/GLM-5", "zai-org/GLM-5"]),
    "Kimi-K2.5": ("moonshotai/Kimi-K2.5", "int4", ["moonshotai/Kimi-K2.5"]),
    "Llama-1-7B": ("meta-llama/Llama-2-7b-hf", "fp16", ["meta-llama/Llama-7B"]),
    "Llama-2-70B-chat": ("meta-llama/Llama-2-70b-hf", "fp16", ["meta-llama/Llama-2-70b", "Llama-2-70B"]),
    "Llama-3.1-8B-Instruct": (
        "meta-llama/Meta-Llama-3.1-8B", "bf16",
        ["meta-llama/Llama-3.1-8B-Instruct", "nvidia/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B", "Llama-3.1-8B"],
    ),
    "Llama-3.1-70B-Instruct": (
        "meta-llama/Meta-Llama-3.1-70B", "bf16",
        ["meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.1-70B", "nvidia/Llama-3.1-70B-Instruct-FP8", "Llama-3.1-70B"],
    ),
    "Llama-3.1-405B-Instruct": ("meta-llama/Meta-Llama-3.1-405B", "bf16", ["meta-llama/Llama-3.1-405B-Instruct"]),
    "Llama-3.3-70B-Instruct": ("meta-llama/Meta-Llama-3.1-70B", "bf16", ["nvidia/Llama-3.3-70B-Instruct"]),
    "Llama-4-Scout-17B-16E-Instruct": (
        "meta-llama/Llama-4-Scout-17B-16E-Instruct", "bf16", ["meta-llama/Llama-4-Scout-17B-16E-Instruct"],
    ),
    "MiniMax-M2.5": ("MiniMaxAI/MiniMax-M2.5", "fp8", ["MiniMaxAI/MiniMax-M2.5"]),
    "Mixtral-8x7B-Instruct": ("mistralai/Mixtral-8x7B-v0.1", "bf16", ["mistralai/Mixtral-8x7B-Instruct-v0.1"]),
    "Qwen3-30B-A3B": ("Qwen/Qwen3-30B-A3B", "bf16", ["Qwen/Qwen3-30B-A3B"]),
    "Qwen3-32B": ("Qwen/Qwen3-32B", "bf16", ["Qwen/Qwen3-32B", "nvidia/Qwen3-32B-NVFP4"]),
    "Qwen3-235B-A22B": ("Qwen/Qwen3-235B-A22B", "bf16", ["Qwen/Qwen3-235B-A22B", "Qwen/Qwen3-235B-A22B-FP8"]),
    "Qwen3.5-397B-A17B": ("Qwen/Qwen3.5-397B-A17B", "bf16", ["Qwen/Qwen3.5-397B-A17B"]),
    "gpt-oss-120b": ("openai/gpt-oss-120b", "fp4", ["openai/gpt-oss-120b"]),
}  # fmt: skip
BORROWED = {  # architectures taken from a sibling with the same configuration
    "Llama-1-7B": "same layer sizes as Llama 2 7B (Touvron et al. 2023, arXiv 2302.13971, table 2)",
    "Llama-3.3-70B-Instruct": "same architecture as Llama 3.1 70B (model card of Llama 3.3)",
    "Mixtral-8x7B-Instruct": "the Instruct model is a fine-tune of v0.1",
}
BERT = "Devlin et al. 2019 (arXiv 1810.04805), section 3; google-research/bert configuration for the vocabulary"
PUBLISHED: dict[str, dict[str, Any]] = {  # models that the raw model table does not hold whole, from their papers and cards
    "BERT-base-uncased": {
        "aliases": ["bert-base-uncased", "bert-base"], "architecture": "encoder", "parameters_b": 0.109,
        "active_parameters_b": 0.109, "layers": 12, "hidden": 768, "intermediate": 3072, "heads": 12, "kv_heads": 12,
        "head_dim": 64, "vocabulary": 30522, "context_tokens": 512,
        "source": f"{BERT}; 109M parameters: microsoft/unilm:minilm/README.md@768a3c8",
    },
    "BERT-Large-SQuAD": {
        "aliases": ["bert-large", "BERT-Large"], "architecture": "encoder", "parameters_b": 0.34,
        "active_parameters_b": 0.34, "layers": 24, "hidden": 1024, "intermediate": 4096, "heads": 16, "kv_heads": 16,
        "head_dim": 64, "vocabulary": 30522, "context_tokens": 512, "source": BERT,
    },
    "GPT-J-6B": {
        "aliases": ["EleutherAI/gpt-j-6b"], "architecture": "decoder", "parameters_b": 6.053,
        "active_parameters_b": 6.053, "layers": 28, "hidden": 4096, "intermediate": 16384, "heads": 16, "kv_heads": 16,
        "head_dim": 256, "vocabulary": 50400, "context_tokens": 2048, "kv_cache_bytes_per_token_bf16": 458752,
        "source": "EleutherAI/gpt-j-6b model card, hyperparameters (6,053,381,344 parameters); KV bytes = 2 x 28 x 16 x 256 x 2",
    },
}  # fmt: skip
RELEASED = {"BERT-base-uncased": ("fp32", "bf16", "fp16"), "BERT-Large-SQuAD": ("fp32",), "GPT-J-6B": ("fp32",)}
SPEC_FIELDS = {
    "parameters_b": "parameters_b", "active_parameters_b": "active_parameters_b", "layers": "layers", "hidden": "hidden",
    "intermediate": "intermediate", "heads": "heads", "kv_heads": "kv_heads", "head_dim": "head_dim", "experts": "experts",
    "experts_per_token": "experts_per_token", "vocabulary": "vocab", "context_tokens": "context",
    "kv_cache_bytes_per_token_bf16": "kv_cache_bytes_per_token_bf16",
}  # fmt: skip


def canonical_names() -> dict[str, str]:
    """Give the catalog's name of each model by every name the sources use."""
    names = {alias: name for name, (_, _, aliases) in MODELS.items() for alias in [name, *aliases]}
    return names | {alias: name for name, fields in PUBLISHED.items() for alias in [name, *fields["aliases"]]}


def model_records(specs: list[RawRow], accuracy: list[RawRow], profiles: Iterable[CatalogRow]) -> list[CatalogRow]:
    """Give every model with its variants, by name."""
    by_name = {row["model"]: row for row in specs}
    scores = accuracy_records(accuracy, canonical_names())
    seen = {(str(p["model"]), str(p["precision"]), "none") for p in profiles}
    records = [_from_table(name, by_name[raw], aliases) for name, (raw, _, aliases) in MODELS.items() if raw in by_name]
    records += [{"name": name, **fields, "quality": "measured"} for name, fields in PUBLISHED.items()]
    for record in records:
        record["variants"] = _variants(str(record["name"]), scores, seen)
    return sorted(records, key=lambda record: str(record["name"]))


def _from_table(name: str, raw: RawRow, aliases: list[str]) -> CatalogRow:
    fields = {field: number(raw[column]) for field, column in SPEC_FIELDS.items()}
    source = short_source(raw["source"]) + (f"; {BORROWED[name]}" if name in BORROWED else "")
    return {
        "name": name,
        "aliases": aliases,
        "architecture": "decoder",
        **{field: value for field, value in fields.items() if value is not None},
        "quality": "derived" if name in BORROWED else "measured",
        "source": source,
    }


def _variants(
    model: str, scores: dict[tuple[str, str, str], list[CatalogRow]], seen: set[tuple[str, str, str]]
) -> list[CatalogRow]:
    released = {(precision, "none") for precision in RELEASED.get(model) or MODELS[model][1:2]}
    keys = {key[1:] for key in {*scores, *seen} if key[0] == model} | released
    order = sorted(keys, key=lambda key: (key not in released, key[1] != "none", key[1], key[0]))
    return [_variant(model, precision, compression, released, scores) for precision, compression in order]


def _variant(
    model: str,
    precision: str,
    compression: str,
    released: set[tuple[str, str]],
    scores: dict[tuple[str, str, str], list[CatalogRow]],
) -> CatalogRow:
    variant: CatalogRow = {"precision": precision, "compression": compression}
    if (precision, compression) in released:
        variant["is_baseline"] = True
        if model in SIXTEEN_BIT_MODELS:
            variant["note"] = SIXTEEN_BIT
    if size := compressed_sizes(model).get(compression):
        variant["size_fraction"] = size
    variant["accuracy"] = scores.get((model, precision, compression), [])
    if speedup := speedups(model).get(compression):
        factor, source = speedup
        variant["speedup"] = {"factor": factor, "over_precision": precision, "over_compression": "none", "source": source}
    return variant
