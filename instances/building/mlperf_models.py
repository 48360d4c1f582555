"""models_vision.json, models_recommendation.json, models_speech.json: the models that MLPerf measures outside language.

Their `architecture` is a word that no arithmetic model knows: nothing but measured rates speaks for them. The baseline is the
FP32 reference of MLPerf's rules, a variant's score the one in the accuracy logs; of several rounds the worst stands.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from building.accuracies import score, worst
from building.mlperf import INT8_INTERACTION
from building.tables import CatalogRow, RawRow

RULES = "mlcommons/inference:docs/index.md@13db0f8"
REFERENCE = "mlcommons/inference:README.md@059fb6c"
TARGETS = "mlcommons/inference:tools/submission/submission-checker.py@a5a2ab5"
DOMAINS: dict[str, dict[str, dict[str, Any]]] = {  # file -> model -> fields
    "vision": {
        "3D-UNet-KiTS19": {"aliases": ["3d-unet"], "architecture": "image", "parameters_b": 0.0325, "source": RULES},
        "ResNet-50-v1.5": {"aliases": ["resnet50-v1.5"], "architecture": "image", "parameters_b": 0.0256, "source": RULES},
        "RetinaNet-ResNeXt50": {"aliases": ["retinanet"], "architecture": "image", "source": f"{REFERENCE}; size not stated"},
        "Stable-Diffusion-XL": {
            "aliases": ["SDXL", "stable-diffusion-xl"], "architecture": "diffusion", "parameters_b": 3.5, "source": RULES,
        },
    },
    "recommendation": {
        "DLRM-Criteo": {"aliases": ["dlrm"], "architecture": "recommendation", "source": f"{REFERENCE}; size not stated"},
        "DLRM-v2-DCNv2": {"aliases": ["dlrm-v2"], "architecture": "recommendation", "parameters_b": 23.0, "source": RULES},
    },
    "speech": {
        "RNN-T": {"aliases": ["rnnt"], "architecture": "speech", "source": f"{REFERENCE}; size not stated"},
        "Whisper-Large-v3": {
            "aliases": ["openai/whisper-large-v3"], "architecture": "speech", "parameters_b": 1.55,
            "source": "openai/whisper-large-v3 model card (1550 M parameters)",
        },
    },
}  # fmt: skip
FORMS = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "fp8-unet": "fp8", "int8": "int8"}  # mixed ones left out
NOTES = {
    ("DLRM-v2-DCNv2", "int8", "none"): "submitted at 99.9 %: feature interaction in FP16",
    ("DLRM-v2-DCNv2", "int8", INT8_INTERACTION): "submitted at 99 %: feature interaction in INT8 too",
}
SDXL, SDXL_REFERENCE = "Stable-Diffusion-XL", 31.74981837
"""CLIP score of the FP32 reference (RULES). The raw table's baseline is the floor for acceptance, 0.2 % below it."""
RNNT_REFERENCE = 92.548
"""Word accuracy, %, of the FP32 reference: 100 - 7.452 (TARGETS)."""
DLRM_AUC, DLRM_REFERENCE = 80.185, 80.25
"""AUC, %, in the accuracy log named in `_dlrm`, and of the FP32 reference (TARGETS)."""

Form = tuple[str, str, str]


def mlperf_names() -> dict[str, str]:
    """Give the catalog's name of each model by every name the sources use."""
    models = [(name, fields) for domain in DOMAINS.values() for name, fields in domain.items()]
    return {alias: name for name, fields in models for alias in [name, *fields["aliases"]]}


def mlperf_models(domain: str, accuracy: list[RawRow], results: list[RawRow], profiles: Iterable[CatalogRow]) -> list[CatalogRow]:
    """Give a domain's models with their variants: the FP32 baseline, what was scored, and what was measured."""
    scores = _scores(accuracy, results)
    seen = {(str(p["model"]), str(p["precision"]), str(p.get("compression", "none"))) for p in profiles}
    models = DOMAINS[domain]
    return [
        {"name": name, **fields, "quality": "measured", "variants": _variants(name, scores, seen)}
        for name, fields in models.items()
    ]


def _variants(model: str, scores: dict[Form, CatalogRow], seen: set[Form]) -> list[CatalogRow]:
    baseline = (model, "fp32", "none")
    keys = {key for key in {*scores, *seen} if key[0] == model} | {baseline}
    return [
        {
            "precision": key[1],
            "compression": key[2],
            **({"is_baseline": True} if key == baseline else {}),
            "accuracy": [scores[key]] if key in scores else [],
            **({"note": NOTES[key]} if key in NOTES else {}),
        }
        for key in sorted(keys, key=lambda key: (key != baseline, key[2] != "none", key))
    ]


def _scores(accuracy: list[RawRow], results: list[RawRow]) -> dict[Form, CatalogRow]:
    known = {name for domain in DOMAINS.values() for name in domain}
    found: dict[Form, list[CatalogRow]] = defaultdict(list)
    for raw in accuracy:
        if raw["model"] in known and raw["variant"] in FORMS:
            found[_form(raw)].append(_sdxl(score(raw)) if raw["model"] == SDXL else score(raw))
    scores = {form: worst(rows) for form, rows in found.items()}
    return scores | _dlrm(results) | _rnnt(results)


def _form(raw: RawRow) -> Form:
    at_99 = raw["model"] == "DLRM-v2-DCNv2" and raw["note"].endswith(" 99")
    return raw["model"], FORMS[raw["variant"]], INT8_INTERACTION if at_99 else "none"


def _sdxl(record: CatalogRow) -> CatalogRow:
    """Compare with the reference's score; the raw row compares with the floor for acceptance."""
    source = str(record["source"]).split("; baseline", 1)[0]
    return record | {"baseline_value": SDXL_REFERENCE, "source": f"{source}; baseline: FP32 reference, {RULES}"}


def _dlrm(results: list[RawRow]) -> dict[Form, CatalogRow]:
    """Give DLRM's score, which the raw accuracy table lacks: every result states the same share of right answers."""
    mine = [raw for raw in results if raw["benchmark"] == "dlrm" and raw["measured_accuracy"]]
    if not mine:
        return {}
    log = "mlcommons/inference_results_v3.0:closed/NVIDIA/results/DGX-H100_H100-SXM-80GBx8_TRT/dlrm-99.9/Server/accuracy"
    told = "/".join(sorted({raw["measured_accuracy"] for raw in mine}))
    source = f"{log}/accuracy.txt@dad59af; {told} % there as in each of {len(mine)} results; baseline FP32 reference: {TARGETS}"
    return {("DLRM-Criteo", "int8", "none"): _record("AUC", "Criteo Terabyte", DLRM_AUC, DLRM_REFERENCE, source)}


def _rnnt(results: list[RawRow]) -> dict[Form, CatalogRow]:
    """Give RNN-T's score, which the raw accuracy table lacks: the worst round's median of the accuracy logs."""
    rounds: dict[str, list[float]] = defaultdict(list)
    for raw in results:
        if raw["benchmark"] == "rnnt" and raw["precision"] == "fp16" and raw["measured_accuracy"]:
            rounds[raw["mlperf_version"]].append(float(raw["measured_accuracy"].removeprefix("accuracy=")))
    rows = [_record("word accuracy", "LibriSpeech", *_median(name, values)) for name, values in sorted(rounds.items())]
    return {("RNN-T", "fp16", "none"): worst(rows)} if rows else {}


def _median(name: str, values: list[float]) -> tuple[float, float, str]:
    words = f"closed accuracy.txt median of {len(values)} runs (min {min(values):.4f}, max {max(values):.4f})"
    source = f"mlcommons/inference_results_{name} {words}; baseline FP32 reference: {TARGETS}"
    return round(statistics.median_low(values), 4), RNNT_REFERENCE, source


def _record(metric: str, evaluation: str, value: float, baseline: float, source: str) -> CatalogRow:
    return {
        "metric": metric,
        "evaluation": evaluation,
        "value": value,
        "baseline_value": baseline,
        "quality": "measured",
        "source": source,
    }
