"""Fit what engines reach of the ideal, and write it as a catalog: ``python -m optimizer.performance.fit -o efficiencies.json``.

Three layers: the roofline's constants and what like points share (``calibration``), and for accelerators of families that no such
point is of, the rates they held (``rates``). Bands come from left-out groups (``folds``). The same catalogs give the same file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from optimizer.catalog.efficiencies import Anchors, Band, Category, Efficiencies, Likeness, Surface
from optimizer.instance import Catalogs
from optimizer.performance.calibration import FLAT_SHARE, LENGTHS, LIKENESSES, Calibration, calibrated
from optimizer.performance.folds import Errors, errors_by_transfer
from optimizer.performance.lookup import Configurations
from optimizer.performance.points import Array
from optimizer.performance.rates import accelerator_rates, full_load_errors
from optimizer.performance.roofline import TRANSFERS
from optimizer.performance.similarity import ATTRIBUTES, UNKNOWN
from optimizer.read import load_catalogs

__all__ = ["fit", "main"]

BAND_QUANTILES = (0.05, 0.95)
CARRIED_WIDENING = 1.15
"""Widening of the logarithm of bands of predictions carried beyond a measured layout: leaving points out of a finished fit spares
the constants, which saw them. Set from coverage in docs/fidelity.md, where the constants are fitted anew."""
CARRIED = TRANSFERS[2:]
SHARED_POINTS = 400.0
"""Points that the errors of all other engines, however many, count for in the band of one; assumed."""


def fit(catalogs: Catalogs, source: str = "") -> Efficiencies:
    """Fit efficiencies to the measured points of catalogs; efficiencies that these hold already are ignored."""
    calibration = calibrated(catalogs)
    errors = errors_by_transfer(calibration)
    source = source or f"fitted to {len(calibration.measured)} closed-loop points of the catalogs' profiles"
    first = Efficiencies(
        multiples={name: _rounded(value) for name, value in calibration.multiples.items()},
        anchors=_anchors(calibration.found, calibration.position),
        ttft=_surface(0, calibration.ttft.weights),
        tpot=_surface(1, _tpot_weights(calibration)),
        accelerator_rates={name: _rounded(rate) for name, rate in accelerator_rates(catalogs, calibration.multiples).items()},
        bands=_bands(errors),
        source=source,
    )
    full = full_load_errors(catalogs.model_copy(update={"efficiencies": (first,)}))
    if not len(full):
        return first
    middle = float(np.median(full))
    band = _band("full load", None, full - middle, np.ones(len(full)))
    return first.model_copy(update={"full_load_factor": _rounded(float(np.exp(-middle))), "bands": (*first.bands, band)})


def _bands(errors: Mapping[str, Errors]) -> tuple[Band, ...]:
    """Give the bands of all transfers, for each engine and for any other.

    Errors of other engines count as fewer than ``SHARED_POINTS`` points more. A family never measured has at least the band that
    a network never measured has under any engine.
    """
    bands: dict[tuple[str, str | None], Band] = {}
    engines = sorted({str(engine) for found in errors.values() for engine in found.engine})
    for name, found in errors.items():
        for engine in (None, *engines) if len(found.values) else ():
            is_own = np.array([engine in (None, other) for other in found.engine])
            if not is_own.any():
                continue
            share = SHARED_POINTS / (SHARED_POINTS + int((~is_own).sum()))
            bands[name, engine] = _band(name, engine, found.values, np.where(is_own, 1.0, share))
    for (name, engine), far in bands.items():
        near = bands.get(("network", None))
        if name == "stranger" and near:
            bands[name, engine] = far.model_copy(update={"low": min(near.low, far.low), "high": max(near.high, far.high)})
    return tuple(bands.values())


def _band(transfer: str, engine: str | None, errors: Array, weight: Array) -> Band:
    """90 % band of a rate from weighted errors log(predicted / measured) of left-out points."""
    order = np.argsort(errors, kind="stable")
    reached = (np.cumsum(weight[order]) - weight[order] / 2.0) / weight.sum()
    near, far = np.interp(BAND_QUANTILES, reached, errors[order]) * (CARRIED_WIDENING if transfer in CARRIED else 1.0)
    low, high = _rounded(float(np.exp(-far))), _rounded(float(np.exp(-near)))
    return Band(transfer=transfer, engine=engine, low=low, high=high, points=int((weight == 1.0).sum()))


def _tpot_weights(calibration: Calibration) -> Array:
    weights = np.zeros(len(calibration.measured))
    weights[calibration.has_tpot] = calibration.tpot.weights
    return weights


def _anchors(found: Configurations, position: Array) -> Anchors:
    attributes = {}
    for key in ATTRIBUTES:
        names = [UNKNOWN if name is None else name for name in found.attributes[key]]
        distinct = sorted(set(names))
        place = np.array([distinct.index(name) for name in names])[found.of_point]
        attributes[key] = Category(names=tuple(distinct), index=tuple(place.tolist()))
    rows = tuple(
        (_rounded(a), _rounded(b), _rounded(c), _rounded(d), _rounded(e), _rounded(f)) for a, b, c, d, e, f in position.tolist()
    )
    return Anchors(attributes=attributes, position=rows)


def _surface(which: int, weights: Array) -> Surface:
    levels = tuple(Likeness(alike_in=alike_in, sd=sds[which]) for alike_in, *sds in LIKENESSES)
    return Surface(
        likenesses=levels, flat_share=FLAT_SHARE, lengths=LENGTHS, weights=tuple(_rounded(w) for w in weights.tolist())
    )


def _rounded(value: float) -> float:
    """Six significant digits: what a file needs, and the same on every machine but for the last of them."""
    return float(f"{value:.6g}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit a folder of catalogs and write the catalog of efficiencies."""
    parser = argparse.ArgumentParser(
        prog="python -m optimizer.performance.fit", description="Fit efficiencies to measured profiles."
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder of catalogs; the shipped ones when left out")
    parser.add_argument("-o", "--output", type=Path, required=True, help="efficiencies.json to write")
    options = parser.parse_args(arguments)
    fitted = fit(load_catalogs(options.folder))
    options.output.write_text(json.dumps([fitted.model_dump(mode="json")], separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
