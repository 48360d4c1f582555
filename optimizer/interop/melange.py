"""The published GPU-selection format: prices, throughput by bucket of request sizes, and how requests fall into buckets.

``gpu_info`` {name: {``cost`` USD/h, ``tputs`` requests/s}}, ``workload_distribution`` (shares), ``total_request_rate``
(requests/s), ``slice_factor``. Rows are buckets of input lengths, columns of output lengths. Each bucket becomes a request class
and each throughput a rate with no latency watched. Routing is divisible, so slices are not needed, and replicas may be busy all
the time. A throughput of 0 says that a GPU cannot serve the bucket.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from optimizer.documents import read_document
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance import Instance
from optimizer.problems import nearest

__all__ = ["melange_document"]

Json = dict[str, Any]
FIELDS = ("gpu_info", "workload_distribution", "total_request_rate", "slice_factor")
FORM = "as-profiled"
AS_OF = "2024-04-22"
SOURCE = "GPU-selection configuration"
SHARES_TOLERANCE = 0.01
"""How far from 1 the shares may sum, as published figures are rounded; they are used as they are."""
SMALLEST_RATE = 1e-6
LENGTH, GROWTH, MOST_BUCKETS = 20.0, 1.25, 80
"""The format tells no lengths: bucket n stands at 20 tokens x 1.25^n, far enough apart that none is taken for another."""


def melange_document(path: Path) -> Json:
    """Turn a configuration file into an instance, as plain values.

    Raises
    ------
    InvalidInputError : all that is wrong with the file, together
    """
    config = read_document(path)
    if found := _problems(config):
        raise InvalidInputError(f"{path} cannot be imported", [Problem(str(path), *one) for one in found])
    shares, rate = config["workload_distribution"], config["total_request_rate"]
    gpus: dict[str, Json] = config["gpu_info"]
    buckets = [(i, o) for i in range(len(shares)) for o in range(len(shares[0]))]
    apart = any(g["tputs"][i][o] == 0 for g in gpus.values() for i, o in buckets)
    document = {
        "schema_version": 1,
        "name": "GPU selection",
        "description": (
            f"Imported from {path.name[:80]!a}. Buckets have no lengths there: the token counts of classes only tell them apart. "
            "Memory of the GPUs and the day of the prices are not told either and stand as 1 GiB and the day of publication."
        ),
        "as_of": AS_OF,
        "policy": {"utilization_cap": 1.0},
        "catalogs": {
            "accelerators": [_accelerator(name) for name in gpus],
            "offers": [_offer(name, gpu["cost"], name if apart else "anywhere") for name, gpu in gpus.items()],
            "models": [
                {"name": "model", "quality": "assumed", "source": SOURCE, "variants": [{"precision": FORM, "is_baseline": True}]}
            ],
            "profiles": [_profile(name, i, o, gpu["tputs"]) for name, gpu in gpus.items() for i, o in buckets],
        },
        "workloads": [
            {
                "kind": "serving",
                "name": "requests",
                "model": "model",
                "classes": [_class(i, o, shares[i][o] * rate, gpus if apart else {}) for i, o in buckets],
            }
        ],
    }
    Instance.model_validate_json(json.dumps(document))
    return document


def _accelerator(name: str) -> Json:
    return {
        "name": name,
        "vendor": "unknown",
        "kind": "gpu",
        "family": name,
        "memory_gib": 1.0,
        "precisions": [FORM],
        "quality": "assumed",
        "source": SOURCE,
    }


def _offer(name: str, cost: float, region: str) -> Json:
    price = {"option": "on_demand", "usd_per_hour": cost, "as_of": AS_OF, "quality": "assumed", "source": SOURCE}
    where = {"provider": "any", "region": region, "instance_type": name}
    return {**where, "accelerator": name, "accelerators_per_instance": 1, "prices": [price]}


def _profile(name: str, i: int, o: int, tputs: list[list[float]]) -> Json:
    """Give a bucket's throughput; one of 0 stands as 1, and the class is kept away (``regions_allowed``)."""
    what = {"model": "model", "precision": FORM, "accelerator": name, "accelerators_per_replica": 1, "engine": FORM}
    load = {"kind": "max_throughput", "value": tputs[i][o] or 1.0, "accelerators_measured": 1}
    return {**what, **_lengths(i, o), "unit": "requests/s", "load": load, "source": SOURCE}


def _class(i: int, o: int, rate: float, gpus: dict[str, Json]) -> Json:
    able = [name for name, gpu in gpus.items() if gpu["tputs"][i][o] > 0]
    where = {"regions_allowed": able} if 0 < len(able) < len(gpus) else {}
    return {"name": f"input {i + 1} output {o + 1}", **_lengths(i, o), **where, "rate": {"value": rate, "source": SOURCE}}


def _lengths(i: int, o: int) -> Json:
    return {"input_tokens": round(LENGTH * GROWTH**i), "output_tokens": round(LENGTH * GROWTH**o)}


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+%@()-]{0,119}")
Finding = tuple[str, str, str, str]


def _problems(config: Json) -> list[Finding]:
    """Give everything that keeps a configuration from being one: pointer, found, expected, hint."""
    unknown = [name for name in config if name not in FIELDS]
    found = [(f"/{name}", "a field this format does not have", "", nearest(name, FIELDS)) for name in unknown]
    gpus: Any = config.get("gpu_info")
    shares: Any = config.get("workload_distribution")
    rate: Any = config.get("total_request_rate")
    if not _is_number(rate) or rate <= 0:
        found.append(("/total_request_rate", _shown(rate), "a number above 0, requests/s", ""))
    if "slice_factor" in config and not (type(config["slice_factor"]) is int and config["slice_factor"] >= 1):
        found.append(
            ("/slice_factor", _shown(config["slice_factor"]), "a whole number of at least 1", "routing is divisible anyway")
        )
    found += _matrix(shares, "/workload_distribution", None)
    size = None if _matrix(shares, "", None) else (len(shares), len(shares[0]))
    if size is not None:
        total = sum(map(sum, shares))
        if abs(total - 1) > SHARES_TOLERANCE:
            found.append(("/workload_distribution", f"shares that sum to {total:g}", "1", "divide each by their sum"))
        tiny = [x for row in shares for x in row if _is_number(rate) and 0 < x * rate < SMALLEST_RATE]
        if tiny:
            found.append(("/workload_distribution", f"a share of {tiny[0]:g}", "0, or one of at least 1e-6 requests/s", ""))
    if not isinstance(gpus, dict) or not gpus:
        return [*found, ("/gpu_info", _shown(gpus), "an object with a GPU or more", "")]
    return (
        found
        + [problem for name, gpu in gpus.items() for problem in _gpu(f"/gpu_info/{name}", name, gpu, size)]
        + _unserved(gpus, shares, size)
    )


def _gpu(place: str, name: str, gpu: object, size: tuple[int, int] | None) -> list[Finding]:
    found: list[Finding] = []
    if not NAME.fullmatch(name):
        found.append(
            (place, f"the name {name[:80]!a}", "letters, digits and ._:/+%@()- after a letter or digit, at most 120", "")
        )
    if not isinstance(gpu, dict):
        return [*found, (place, _shown(gpu), "an object with cost and tputs", "")]
    found += [
        (f"{place}/{key}", "a field this format does not have", "cost and tputs", "")
        for key in gpu
        if key not in ("cost", "tputs")
    ]
    if not _is_number(gpu.get("cost")) or not 1e-6 <= gpu["cost"] <= 1e9:
        found.append(
            (f"{place}/cost", _shown(gpu.get("cost")), "a number above 0, USD/h", "a missing price is missing, never zero")
        )
    return found + _matrix(gpu.get("tputs"), f"{place}/tputs", size)


def _matrix(value: object, place: str, size: tuple[int, int] | None) -> list[Finding]:
    """Tell what keeps a value from being a matrix of numbers of at least 0, of a size where one is given."""
    rows = value if isinstance(value, list) else []
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if not width or any(not isinstance(row, list) or len(row) != width for row in rows):
        return [(place, _shown(value), "a list of rows of equal length", "")]
    if size is not None and (len(rows), width) != size:
        return [(place, f"{len(rows)} x {width} buckets", f"{size[0]} x {size[1]}, as workload_distribution has", "")]
    if max(len(rows), width) > MOST_BUCKETS:
        return [(place, f"{len(rows)} x {width} buckets", f"at most {MOST_BUCKETS} x {MOST_BUCKETS}", "merge some")]
    wrong = [
        (f"{place}/{i}/{o}", x)
        for i, row in enumerate(rows)
        for o, x in enumerate(row)
        if not _is_number(x) or not 0 <= x <= 1e12
    ]
    return [(where, _shown(x), "a number of at least 0", "") for where, x in wrong]


def _unserved(gpus: dict[str, Any], shares: Any, size: tuple[int, int] | None) -> list[Finding]:
    """Tell buckets with requests that no GPU serves."""
    if size is None or any(not isinstance(g, dict) or _matrix(g.get("tputs"), "", size) for g in gpus.values()):
        return []
    places = [(i, o) for i in range(size[0]) for o in range(size[1]) if shares[i][o] > 0]
    dead = [(i, o) for i, o in places if all(g["tputs"][i][o] == 0 for g in gpus.values())]
    return [
        (f"/workload_distribution/{i}/{o}", "requests that no GPU serves", "a throughput above 0 somewhere", "") for i, o in dead
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
