"""profiles_timm.csv and models_timm.json: families of image models of the timm library, smaller members as compression levels.

A family is one model: its largest network at its largest image is the baseline, every other (network, image size) a compression.
Rates are full-batch throughput under automatic mixed precision; nobody watched a latency. Batch and image size stand in the
source. Of the devices measured only one is for rent, the RTX 4090; the RTX PRO 6000 Max-Q stands in for the Server edition, as an
assumption.
"""

from __future__ import annotations

from collections import defaultdict

from building.profiles import order
from building.tables import CatalogRow, RawRow, number, short_source

FAMILIES = {  # the raw table's word -> the model's name; not MobileNetV3 (two networks) nor DenseNet (small ones no faster)
    "convnext": "timm-convnext",
    "deit": "timm-deit",
    "efficientnet": "timm-efficientnet",
    "regnety": "timm-regnety",
    "resnet": "timm-resnet",
    "swin": "timm-swin",
    "tf": "timm-efficientnetv2",
    "vit": "timm-vit",
}
STANDS_IN = "measured on the Max-Q edition of the RTX PRO 6000 (300 W), the same chip and memory size: assumed to carry over"
DEVICES = {"RTX-4090": ("RTX-4090", ""), "RTX-PRO-6000-MaxQ": ("RTX-PRO-6000-Server", STANDS_IN)}
PRECISIONS = {"amp-fp16": "fp16"}
SCORED = "the checkpoint's top-1 accuracy, the precision of scoring not stated; mixed precision is taken to keep it"


def timm_rows(measured: list[RawRow]) -> list[CatalogRow]:
    """Give one row a (network, image size, device), where the device is for rent and a checkpoint was scored."""
    usable, largest = _usable(measured), _largest(measured)
    return sorted((_row(raw, largest) for raw in usable if raw["hardware"] in DEVICES), key=order)


def timm_models(measured: list[RawRow]) -> list[CatalogRow]:
    """Give one model a family, by name."""
    forms: dict[str, dict[str, RawRow]] = defaultdict(dict)
    for raw in _usable(measured):
        forms[raw["family"]].setdefault(_network(raw), raw)
    largest = _largest(measured)
    models = [_model(family, largest[family], list(found.values())) for family, found in forms.items()]
    return sorted(models, key=lambda model: str(model["name"]))


def _usable(measured: list[RawRow]) -> list[RawRow]:
    return [raw for raw in measured if raw["family"] in FAMILIES and raw["top1_pct"]]


def _size(raw: RawRow) -> tuple[float, int]:
    return float(raw["params_m"]), int(raw["image_size"])


def _largest(measured: list[RawRow]) -> dict[str, RawRow]:
    """Give each family's baseline: most parameters, then most pixels."""
    return {raw["family"]: raw for raw in sorted(_usable(measured), key=_size)}


def _network(raw: RawRow) -> str:
    """Name a network at an image size: `resnet50_224`; some names hold the size already."""
    name, size = raw["model"], raw["image_size"]
    return name if name.endswith(f"_{size}") else f"{name}_{size}"


def _compression(raw: RawRow, largest: RawRow) -> str:
    return "none" if _network(raw) == _network(largest) else _network(raw)


def _row(raw: RawRow, largest: dict[str, RawRow]) -> CatalogRow:
    accelerator, assumption = DEVICES[raw["hardware"]]
    compression = _compression(raw, largest[raw["family"]])
    files = short_source(raw["source"])
    file, commit = files.split(" + ")[0], files.rsplit("@", 1)[1]
    what = f"{_network(raw)}, batch {raw['batch_size']}, automatic mixed precision"
    return {
        "model": FAMILIES[raw["family"]],
        "precision": PRECISIONS[raw["precision"]],
        "compression": None if compression == "none" else compression,
        "accelerator": accelerator,
        "accelerators_per_replica": 1,
        "engine": "PyTorch",
        "engine_version": raw["software"].removeprefix("pt"),
        "unit": "samples/s",
        "load.kind": "max_throughput",
        "load.value": number(raw["samples_per_s"]),
        "load.accelerators_measured": 1,
        "quality": "assumed" if assumption else None,
        "source": f"{file}@{commit}; {what}" + (f"; {assumption}" if assumption else ""),
    }


def _model(family: str, largest: RawRow, forms: list[RawRow]) -> CatalogRow:
    files = short_source(largest["source"])
    ordered = sorted(forms, key=lambda raw: (*(-size for size in _size(raw)), raw["model"]))
    return {
        "name": FAMILIES[family],
        "aliases": [],
        "architecture": "image",
        "parameters_b": round(float(largest["params_m"]) / 1000, 5),
        "quality": "measured",
        "source": f"{files.split(':', 1)[0]}@{files.rsplit('@', 1)[1]}; the baseline is {_network(largest)}",
        "variants": [_variant(raw, largest) for raw in ordered],
    }


def _variant(raw: RawRow, largest: RawRow) -> CatalogRow:
    compression = _compression(raw, largest)
    return {
        "precision": "fp16",
        "compression": compression,
        **({"is_baseline": True} if compression == "none" else {}),
        "size_fraction": round(float(raw["params_m"]) / float(largest["params_m"]), 4),
        "accuracy": [_score(raw, largest)],
        "note": f"checkpoint {raw['top1_checkpoint']}, images of {raw['image_size']} pixels",
    }


def _score(raw: RawRow, largest: RawRow) -> CatalogRow:
    repository, commit = raw["source"].split(":", 1)[0], raw["source"].rsplit("@", 1)[1]
    compared = f"{raw['top1_checkpoint']} beside {largest['top1_checkpoint']}"
    return {
        "metric": "top-1",
        "evaluation": "ImageNet",
        "value": float(raw["top1_pct"]),
        "baseline_value": float(largest["top1_pct"]),
        "quality": "derived",
        "source": f"{repository}:results/results-imagenet.csv@{commit}; {compared}; {SCORED}",
    }
