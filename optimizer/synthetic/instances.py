"""A whole synthetic instance as a document: catalogs, workloads and, if wanted, supply that they must share.

Models and profiles are shared between workloads, so that the file stays small. With shared supply, half of what the workloads
would take of the cheapest is there. Everything follows from the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.synthetic.hardware import (
    ACCELERATORS,
    COMPRESSIONS,
    CORNERS,
    PRECISIONS,
    SIZES,
    Form,
    Made,
    formats_of,
    forms_of,
    rates,
    times_s,
)

__all__ = ["synthetic_document"]

Json = dict[str, Any]
FloatArray = npt.NDArray[np.float64]

MODELS = 25
CLASSES = 10
LENGTHS = np.array([(i, o) for i in (60, 170, 500, 1400, 3800) for o in (24, 75, 240, 760)])
REGIONS = ("east", "west", "north")
FLOORS = (0.93, 0.95, 0.96, 0.97, 0.98)
QUALITIES = ("measured", "interpolated", "derived", "modelled", "assumed")
SOURCE = "synthetic"
AS_OF = "2026-01-01"
SHARE_OF_WANTED = 0.5


def synthetic_document(workloads: int, seed: int, *, shared_supply: bool = False, periods: int = 1) -> Json:
    """Make an instance of any size, as plain values.

    Parameters
    ----------
    shared_supply : limit each accelerator in each region and option to half of what the workloads want there
    periods : parts of a day with demands of their own; 1 is a constant demand
    """
    rng = np.random.default_rng(seed)
    models = [_made(rng, number) for number in range(min(workloads, MODELS))]
    forms = [forms_of(made) for made in models]
    market = {region: (1 + 0.15 * rng.random(), 0.4 + 0.2 * rng.random()) for region in REGIONS}
    width = len(str(workloads - 1))
    asked = [_workload(rng, f"w{number:0{width}d}", models[number % len(models)], periods) for number in range(workloads)]
    document: Json = {
        "schema_version": 1,
        "name": f"synthetic {workloads} seed {seed}" + (" shared supply" if shared_supply else ""),
        "description": "Nothing here was observed: made by allocate generate, for measuring.",
        "as_of": AS_OF,
        "catalogs": {
            "accelerators": [_accelerator(name) for name in ACCELERATORS],
            "offers": [
                _offer(name, region, size, *market[region]) for name in ACCELERATORS for region in REGIONS for size in SIZES
            ],
            "models": [_model(made) for made in models],
            "profiles": [row for mine in forms for form in mine for row in _profiles(form)],
        },
        "workloads": asked,
    }
    if periods > 1:
        document["periods"] = [{"name": f"p{n:02d}", "hours": 24 / periods, "per_month": 730 / 24} for n in range(periods)]
    if shared_supply:
        document["limits"] = _limits(_wanted(asked, forms, market), workloads)
    return document


def _made(rng: np.random.Generator, number: int) -> Made:
    size_b = float(np.exp(rng.uniform(np.log(0.3), np.log(34.0))))
    ttft_s, tpot_s = rng.choice([8.0, 12.0]), rng.choice([0.2, 0.3, 0.4])
    return Made(f"model-{number:02d}", _short(size_b), _short(rng.uniform(0.5, 1.2)), float(ttft_s), float(tpot_s))


def _short(value: float) -> float:
    """Round to five significant digits, which keeps files small."""
    return float(f"{value:.5g}")


def _accelerator(name: str) -> Json:
    vendor, family, memory_gb, tflops, bandwidth_gb_s, _ = ACCELERATORS[name]
    return {
        "name": name,
        "vendor": vendor,
        "kind": "tpu" if family == "tpu" else "gpu",
        "family": family,
        "memory_gib": memory_gb,
        "memory_bandwidth_gb_s": bandwidth_gb_s,
        "peak_tflops": {"bf16": tflops},
        "precisions": formats_of(name),
        "quality": "assumed",
        "source": SOURCE,
    }


def _offer(name: str, region: str, size: int, on_demand: float, spot: float) -> Json:
    paid = {"on_demand": on_demand, "spot": on_demand * spot}
    prices = [
        {"option": o, "usd_per_hour": _price(name, size, f), "as_of": AS_OF, "quality": "assumed", "source": SOURCE}
        for o, f in paid.items()
    ]
    what = {"instance_type": f"{name}-{size}", "accelerator": name, "accelerators_per_instance": size}
    return {"provider": "cloud", "region": region, **what, "prices": prices}


def _price(name: str, size: int, factor: float) -> float:
    """Give USD per hour of an instance, in proportion to its accelerators."""
    return round(size * round(ACCELERATORS[name][5] * factor, 4), 4)


def _model(made: Made) -> Json:
    variants = [_variant(made, precision) for precision in PRECISIONS]
    variants += [_variant(made, precision, compression) for precision in PRECISIONS for compression in COMPRESSIONS]
    return {"name": made.name, "parameters_b": made.size_b, "quality": "assumed", "source": SOURCE, "variants": variants}


def _variant(made: Made, precision: str, compression: str = "none") -> Json:
    left, kept = COMPRESSIONS.get(compression, (1.0, 1.0))
    value = _short(max(1 - (1 - PRECISIONS[precision][2] * kept) * made.sensitivity, 0.0))
    accuracy = {
        "metric": "score",
        "evaluation": SOURCE,
        "value": value,
        "baseline_value": 1,
        "quality": "assumed",
        "source": SOURCE,
    }
    found: Json = {"precision": precision, "compression": compression, "accuracy": [accuracy]}
    if compression != "none":
        factor = {"factor": _short(1 / left), "over_precision": precision, "quality": "assumed", "source": SOURCE}
        found |= {"size_fraction": left, "speedup": factor}
    return found | ({"is_baseline": True} if (precision, compression) == ("bf16", "none") else {})


def _profiles(form: Form) -> list[Json]:
    """Give the points of a form: three numbers in flight at each corner of the lengths."""
    ttft_s, tpot_s = times_s(form, CORNERS)
    shared = {
        "model": form.made.name,
        "precision": form.precision,
        "accelerator": form.accelerator,
        "accelerators_per_replica": form.accelerators,
        "engine": SOURCE,
        "layout": {"tensor": form.accelerators},
        "unit": "tokens/s",
        "quality": "assumed",
        "source": SOURCE,
    }
    return [
        {
            **shared,
            "input_tokens": int(lengths[0]),
            "output_tokens": int(lengths[1]),
            "load": {"kind": "concurrency", "value": n, "accelerators_measured": form.accelerators},
            "latency": [
                {"quantity": "ttft", "statistic": "mean", "ms": _short(1e3 * ttft_s[row, column])},
                {"quantity": "tpot", "statistic": "mean", "ms": _short(1e3 * tpot_s[row, column])},
            ],
        }
        for row, lengths in enumerate(CORNERS)
        for column, n in enumerate(form.in_flight)
    ]


def _workload(rng: np.random.Generator, name: str, made: Made, periods: int) -> Json:
    """Give a workload of ten classes, from a fraction of a replica to dozens of replicas in all."""
    total = float(np.exp(rng.uniform(np.log(1.0), np.log(1000.0)))) * (8 / made.size_b) ** 0.5
    share, lengths = rng.dirichlet(np.ones(CLASSES)), rng.choice(len(LENGTHS), CLASSES, replace=False)
    day = 1 + 0.6 * np.sin(2 * np.pi * (np.arange(periods) / periods - rng.random()))
    classes = []
    for number, (part, row) in enumerate(zip(share, lengths, strict=True)):
        rate = max(part * total, 1e-5)
        value: Any = _short(rate) if periods == 1 else {f"p{n:02d}": _short(rate * height) for n, height in enumerate(day)}
        size = {"input_tokens": int(LENGTHS[row, 0]), "output_tokens": int(LENGTHS[row, 1])}
        classes.append({"name": f"c{number}", **size, "rate": {"value": value}})
    allowed = [] if rng.random() < 0.85 else sorted(rng.choice(REGIONS, 2, replace=False).tolist())
    bounds = {"ttft": made.ttft_s, "tpot": made.tpot_s}
    return {
        "kind": "serving",
        "name": name,
        "model": made.name,
        **({"regions_allowed": allowed} if allowed else {}),
        "classes": classes,
        "latency": [{"quantity": q, "statistic": "p95", "at_most_ms": 1e3 * bound} for q, bound in bounds.items()],
        "accuracy": {
            "metric": "score",
            "evaluation": SOURCE,
            "floor_fraction_of_baseline": float(rng.choice(FLOORS)),
            "aggregation": "traffic_weighted" if rng.random() < 0.02 else "per_request",
        },
        "max_spot_fraction": 1.0 if rng.random() < 0.75 else 0.5,
        "allowed_quality": QUALITIES,
    }


def _wanted(
    asked: list[Json], forms: list[list[Form]], market: dict[str, tuple[float, float]]
) -> dict[tuple[str, str, str], float]:
    """Count the accelerators that workloads would take if each had the cheapest single form to itself, by where and how sold."""
    known = [np.array([rates(form, LENGTHS) for form in mine]) for mine in forms]
    row_of = {tuple(lengths): row for row, lengths in enumerate(LENGTHS.tolist())}
    wanted: dict[tuple[str, str, str], float] = {}
    for number, workload in enumerate(asked):
        mine, spot = forms[number % len(forms)], workload["max_spot_fraction"]
        rows = [row_of[c["input_tokens"], c["output_tokens"]] for c in workload["classes"]]
        values = [c["rate"]["value"] for c in workload["classes"]]
        demand = np.array([max(v.values()) if isinstance(v, dict) else v for v in values])
        with np.errstate(divide="ignore"):
            replicas = np.ceil((demand / (0.8 * known[number % len(forms)][:, rows])).sum(axis=1))
        kept = np.array([1 - (1 - PRECISIONS[f.precision][2]) * f.made.sensitivity for f in mine])
        replicas[kept < workload["accuracy"]["floor_fraction_of_baseline"]] = np.inf
        region = min(workload.get("regions_allowed", REGIONS), key=lambda r: market[r][0] * (1 - spot + spot * market[r][1]))
        best = int(np.argmin(replicas * [f.accelerators * ACCELERATORS[f.accelerator][5] for f in mine]))
        if np.isfinite(replicas[best]):
            for option, part in (("spot", spot), ("on_demand", 1 - spot)):
                place = mine[best].accelerator, region, option
                wanted[place] = wanted.get(place, 0.0) + part * replicas[best] * mine[best].accelerators
    return wanted


def _limits(wanted: dict[tuple[str, str, str], float], workloads: int) -> list[Json]:
    limits = []
    for accelerator in ACCELERATORS:
        for region in REGIONS:
            for option in ("on_demand", "spot"):
                here = wanted.get((accelerator, region, option), 0.0)
                most = max(8, int(SHARE_OF_WANTED * here)) if here > 0 else max(8, workloads)
                match = {"accelerator": accelerator, "region": region, "option": option}
                limits.append(
                    {
                        "name": f"{accelerator} {region} {option}",
                        "match": match,
                        "max_accelerators": most,
                        "quality": "assumed",
                        "reason": SOURCE,
                    }
                )
    return limits
