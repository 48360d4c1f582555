"""Instances small enough to solve on paper, built from plain Python values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.instance import Instance

FLOOR = {"metric": "f1", "evaluation": "squad", "floor_fraction_of_baseline": 0.99}


def accelerator(name: str, **changes: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "vendor": "acme",
        "kind": "gpu",
        "family": "acme",
        "memory_gib": 80.0,
        "precisions": ["fp16", "fp8", "int8"],
    }
    return {**base, "source": "made up", **changes}


def offer(name: str, size: int = 1, usd_per_hour: float = 1.0, **changes: Any) -> dict[str, Any]:
    """One instance type ``<accelerator>x<size>`` of provider p in region r; ``spot`` gives a spot price beside the other."""
    prices = [{"option": "on_demand", "usd_per_hour": usd_per_hour, "as_of": "2026-11-01", "source": "made up"}]
    if (spot := changes.pop("spot", None)) is not None:
        prices.append({"option": "spot", "usd_per_hour": spot, "as_of": "2026-11-01", "source": "made up"})
    base = {
        "provider": "p",
        "region": "r",
        "instance_type": f"{name}x{size}",
        "accelerator": name,
        "accelerators_per_instance": size,
    }
    return {**base, "prices": prices, **changes}


def profile(model: str, name: str, rate: float, *, size: int = 1, precision: str = "fp16", **changes: Any) -> dict[str, Any]:
    """One held rate, queries/s, of a whole replica of ``size`` accelerators."""
    load = {"kind": "held_rate", "value": rate, "accelerators_measured": size}
    base = {"model": model, "precision": precision, "accelerator": name, "accelerators_per_replica": size, "engine": "made-up"}
    held = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 130.0}]
    return {**base, "unit": "queries/s", "load": load, "latency": held, "source": "made up", **changes}


def model(name: str, *variants: Mapping[str, Any]) -> dict[str, Any]:
    forms = variants or ({"precision": "fp16", "is_baseline": True, "weights_gib": 1.0},)
    return {"name": name, "architecture": "encoder", "source": "made up", "variants": list(forms)}


def variant(precision: str, kept: float, *, compression: str = "none", **changes: Any) -> dict[str, Any]:
    row = {"metric": "f1", "evaluation": "squad", "value": 100.0 * kept, "baseline_value": 100.0, "source": "made up"}
    return {"precision": precision, "compression": compression, "weights_gib": 1.0, "accuracy": [row], **changes}


def workload(name: str, rate: float | Mapping[str, float], *, model: str = "m", **changes: Any) -> dict[str, Any]:
    """Give a serving workload in queries/s; one class ``q``, or one a name of the mapping."""
    rates = rate if isinstance(rate, Mapping) else {"q": rate}
    classes = [{"name": n, "rate": {"value": float(r), "unit": "queries/s"}} for n, r in rates.items()]
    target = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 130.0}]
    return {"name": name, "kind": "serving", "model": model, "classes": classes, "latency": target, **changes}


def document(
    *,
    accelerators: Sequence[Mapping[str, Any]],
    offers: Sequence[Mapping[str, Any]],
    profiles: Sequence[Mapping[str, Any]],
    workloads: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]] | None = None,
    utilization_cap: float = 1.0,
    **more: Any,
) -> dict[str, Any]:
    """Give an instance as the plain document a file would hold."""
    catalogs = {"accelerators": accelerators, "offers": offers, "models": models or [model("m")], "profiles": profiles}
    policy = {"utilization_cap": utilization_cap}
    head = {"schema_version": 1, "name": "tiny", "as_of": "2026-11-22", "policy": policy, "catalogs": catalogs}
    plain: dict[str, Any] = json.loads(json.dumps({**head, "workloads": workloads, **more}))
    return plain


def instance(**parts: Any) -> Instance:
    """Give an instance from the same parts."""
    return Instance.model_validate_json(json.dumps(document(**parts)))


def two_types(demand: float, **changes: Any) -> dict[str, Any]:
    """Small: 5 queries/s for 1 USD/h. Large: 12 queries/s for 3 USD/h."""
    parts: dict[str, Any] = {
        "accelerators": [accelerator("small"), accelerator("large")],
        "offers": [offer("small", 1, 1.0), offer("large", 1, 3.0)],
        "profiles": [profile("m", "small", 5.0), profile("m", "large", 12.0)],
        "workloads": [workload("w", demand)],
    }
    return {**parts, **changes}
