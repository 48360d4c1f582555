"""Accuracy rows of the catalog's models: which variant each raw row speaks of, and on which metric of which evaluation.

Where several rows speak of one variant on one metric (rounds, recipes), the worst recovery stands and the source says so.
"""

from __future__ import annotations

from building.tables import CatalogRow, RawRow, short_source

VARIANTS: dict[str, tuple[str, str]] = {  # the source's word -> (precision, compression); a missing word is left out
    "fp16": ("fp16", "none"),
    "fp16 label (Hopper entries run fp8)": ("fp8", "none"),
    "fp8": ("fp8", "none"),
    "fp8 (submitted label fp16)": ("fp8", "none"),
    "fp4": ("fp4", "none"),
    "nvfp4-rtn": ("fp4", "none"),
    "nvfp4-qat": ("fp4", "qat"),
    "int8": ("int8", "none"),
    "int8-sq": ("int8", "none"),
    "w8a8-int8": ("int8", "none"),
    "int4": ("int4", "none"),
    "uint4": ("int4", "none"),
    "w4a16-gptq": ("int4", "none"),
    "int4-awq": ("int4-awq", "none"),
    "onnx-int4-awq": ("int4-awq", "none"),
    "w4a8-awq": ("w4a8-awq", "none"),
    "2of4-sparse+distill-13B-tokens": ("bf16", "2:4"),
    "fp8+2:4-with-finetune": ("fp8", "2:4"),
    "fp8+2:4-sparsegpt-no-finetune": ("fp8", "2:4-one-shot"),
    "puzzletron-config-2-before-distill": ("bf16", "pruned-puzzletron-2-raw"),
    "puzzletron-config-2-distilled": ("bf16", "pruned-puzzletron-2"),
    "puzzletron-config-3-before-distill": ("bf16", "pruned-puzzletron-3-raw"),
    "puzzletron-config-3-distilled": ("bf16", "pruned-puzzletron-3"),
    "reap-25%-experts": ("bf16", "reap-25%-experts"),
    "reap-50%-experts": ("bf16", "reap-50%-experts"),
}
BERT_BASE: dict[str, str] = {  # compressions of BERT-base; served in 16 bit, see SIXTEEN_BIT
    "DistilBERT-base-uncased": "distilbert",
    "MiniLM-L12xH384 (33M)": "minilm-l12",
    "MiniLM-L6xH384 (22M)": "minilm-l6",
    "hybrid-filled pruned -59% params": "pruned-59%",
    "hybrid-filled pruned -65% params": "pruned-65%",
    "hybrid-filled pruned -73% params": "pruned-73%",
    "hybrid-filled pruned -74% params": "pruned-74%",
    "hybrid-filled pruned -74% params (b)": "pruned-74%-b",
    "hybrid-filled pruned -81% params": "pruned-81%",
    "hybrid-filled pruned -86% params struct": "pruned-86%-struct",
    "hybrid-filled pruned -87% params": "pruned-87%",
    **{f"{way}-pruned {left} weights + distillation": f"sparse-{way}-{left}"
       for way in ("magnitude", "L0", "movement", "soft-movement") for left in ("3%", "10%")},
}  # fmt: skip
SIXTEEN_BIT = (
    "scored in PyTorch, precision not stated; 16 bit is taken to keep it, as FP16 does for BERT-Large (100.0 %, MLPerf v2.1)"
)
SIXTEEN_BIT_MODELS = {"BERT-base-uncased"}
METRICS: dict[str, tuple[str, str]] = {  # the source's words -> (metric, evaluation)
    "SQuAD v1.1 F1": ("F1", "SQuAD v1.1"),
    "OpenOrca ROUGE-1": ("ROUGE-1", "OpenOrca"),
    "CNN/DailyMail ROUGE-1": ("ROUGE-1", "CNN/DailyMail"),
    "MLPerf exact_match %": ("exact_match", "MLPerf"),
    "OpenOrca validation loss": ("loss", "OpenOrca validation"),
    "GSM8K %": ("accuracy", "GSM8K"),
    "MMLU %": ("accuracy", "MMLU"),
    "MMLU": ("accuracy", "MMLU"),
    "MMLU 5-shot %": ("accuracy", "MMLU 5-shot"),
    "MMLU relative to BF16 %": ("recovery", "MMLU"),
    "MNLI": ("accuracy", "MNLI"),
    "MNLI acc": ("accuracy", "MNLI"),
    "MNLI matched acc": ("accuracy", "MNLI"),
    "MNLI-m": ("accuracy", "MNLI"),
    "QQP acc": ("accuracy", "QQP"),
    "mean DICE": ("DICE", "KiTS19"),
    "ImageNet top-1 %": ("top-1", "ImageNet"),
    "OpenImages mAP %": ("mAP", "OpenImages"),
    "COCO CLIP score": ("CLIP score", "COCO 2014"),
    "AUC %": ("AUC", "Criteo multihot"),
    "LibriSpeech word accuracy %": ("word accuracy", "LibriSpeech"),
    "average of 4 %": ("accuracy", "average of MMLU GSM8K HellaSwag WinoGrande"),
    "gsm8k_platinum_cot_llama strict match": ("strict_match", "gsm8k_platinum_cot_llama"),
}
BASE_MODELS = {"Llama-3.1-8B", "Llama-2-70B"}  # scored on the base model, filed under its chat form: the evaluation says so
LINEAR_SHARE = 0.777  # of BERT-base's parameters lie in the linear layers that nn_pruning counts: 12 x 12 x 768^2 of 109.5e6
NN_PRUNING = "huggingface/nn_pruning:README.md, measured there on an RTX 3090 with Hugging Face transformers"
MINILM = "microsoft/unilm:minilm/README.md@768a3c8 (2.7x and 5.3x over BERT-base)"
DISTILBERT = "Sanh et al. 2019 (arXiv 1910.01108): 60 % faster than BERT-base"
BERT_BASE_SPEEDUPS: dict[str, tuple[float, str]] = {  # of two tasks' figures, the smaller
    "pruned-59%": (1.84, NN_PRUNING), "pruned-65%": (1.98, NN_PRUNING), "pruned-73%": (2.6, NN_PRUNING),
    "pruned-74%": (2.4, NN_PRUNING), "pruned-74%-b": (2.8, NN_PRUNING), "pruned-81%": (2.86, NN_PRUNING),
    "pruned-86%-struct": (3.64, NN_PRUNING), "pruned-87%": (3.44, NN_PRUNING),
    "minilm-l12": (2.7, MINILM), "minilm-l6": (5.3, MINILM), "distilbert": (1.6, DISTILBERT),
}  # fmt: skip


def speedups(model: str) -> dict[str, tuple[float, str]]:
    """Give the cited speed-ups of a model's compressions; without a citation there is none."""
    return BERT_BASE_SPEEDUPS if model == "BERT-base-uncased" else {}


def compressed_sizes(model: str) -> dict[str, float]:
    """Give the share of parameters left, for compressions whose smaller matrices are real (unstructured sparsity is not)."""
    if model != "BERT-base-uncased":
        return {}
    pruned = {name: int(name.split("-")[1].rstrip("%")) / 100 for name in BERT_BASE_SPEEDUPS if name.startswith("pruned-")}
    sizes = {name: round(1 - LINEAR_SHARE * gone, 3) for name, gone in pruned.items()}
    return sizes | {"distilbert": round(66 / 109, 3), "minilm-l12": round(33 / 109, 3), "minilm-l6": round(22 / 109, 3)}


def accuracy_records(accuracy: list[RawRow], names: dict[str, str]) -> dict[tuple[str, str, str], list[CatalogRow]]:
    """Give the scores of each (model, precision, compression), one for each metric of each evaluation."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], list[CatalogRow]]] = {}
    for raw in accuracy:
        model = names.get(raw["model"])
        for precision, compression in _forms(raw) if model else ():
            record = score(raw)
            place = found.setdefault((str(model), precision, compression), {})
            place.setdefault((str(record["metric"]), str(record["evaluation"])), []).append(record)
    return {key: [worst(records) for _, records in sorted(by_metric.items())] for key, by_metric in found.items()}


def _forms(raw: RawRow) -> list[tuple[str, str]]:
    """Give the variants a raw row speaks of: BERT-base's are served in either 16-bit format."""
    if raw["model"] in SIXTEEN_BIT_MODELS:
        return [(precision, BERT_BASE[raw["variant"]]) for precision in ("bf16", "fp16")]
    form = VARIANTS.get(raw["variant"])
    return [form] if form else []


def score(raw: RawRow) -> CatalogRow:
    """Give the score that a raw row states, in the catalog's words."""
    metric, evaluation = METRICS.get(raw["metric"]) or _other_metric(raw["metric"])
    if raw["model"] in BASE_MODELS:
        evaluation += " (base model)"
    sixteen_bit = raw["model"] in SIXTEEN_BIT_MODELS
    notes = [raw["variant"], *([raw["note"]] if raw["note"] and "speedup" not in raw["note"] else [])]
    return {
        "metric": metric,
        "evaluation": evaluation,
        "value": float(raw["value"]),
        "baseline_value": float(raw["baseline_value"]),
        **({} if raw["higher_is_better"] == "1" else {"higher_is_better": False}),
        "quality": "derived" if sixteen_bit else "measured",
        "source": f"{short_source(raw['source'])}; {', '.join(notes)}" + (f"; {SIXTEEN_BIT}" if sixteen_bit else ""),
    }


def _other_metric(words: str) -> tuple[str, str]:
    if words.endswith(" recovery %"):
        return "recovery", words.removesuffix(" recovery %")
    return "accuracy", words.removesuffix(" %").replace(" average", " mean of tasks")


def _kept(record: CatalogRow) -> float:
    value, baseline = float(record["value"]), float(record["baseline_value"])
    return value / baseline if record.get("higher_is_better", True) else baseline / value


def worst(records: list[CatalogRow]) -> CatalogRow:
    """Give the row whose form kept least; its source says of how many."""
    lowest = min(records, key=_kept)
    if len(records) == 1:
        return lowest
    return lowest | {"source": f"{lowest['source']}; the worst of {len(records)} rows"}
