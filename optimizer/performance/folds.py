"""How far left-out points lie from what the others predict, by how far the prediction was carried.

Errors are log(predicted / measured) of the rate. Groups are taken out of the fitted processes without fitting again (the
constants of the roofline keep their values); ``tests/benchmarks/fidelity.py`` fits anew for every group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.performance.calibration import Calibration
from optimizer.performance.points import Array, Codes, rate_of
from optimizer.performance.roofline import ANCHORED, TRANSFERS, nearest_transfer

__all__ = ["Errors", "errors_by_transfer", "groups_of", "interior_errors"]

LEFT_OUT: dict[str, tuple[str, ...]] = {
    "shape": (*ANCHORED["shape"], "shape"),
    "layout": ANCHORED["shape"],
    "configuration": ANCHORED["layout"],
    "variant": ("network", "precision"),
    "network": ("network",),
    "accelerator": ("accelerator",),
    "family": ("family",),
}
"""What is left out together. A point so left out tells of the transfer that its nearest remaining anchor makes it."""


@dataclass(frozen=True)
class Errors:
    """Errors of left-out points, log(predicted / measured) of the rate, and the engine of each, shape (n_errors,)."""

    values: Array
    engine: NDArray[np.object_]


def errors_by_transfer(calibration: Calibration) -> dict[str, Errors]:
    """Give the errors of left-out points for each transfer, and ``load`` for points inside a measured curve."""
    keys = {name: groups_of(calibration, alike_in) for name, alike_in in ANCHORED.items()}
    family = groups_of(calibration, ("family",))
    found: dict[str, list[tuple[Codes, Array]]] = {name: [] for name in TRANSFERS}
    for alike_in in LEFT_OUT.values():
        of_point = groups_of(calibration, alike_in)
        for group in range(int(of_point.max()) + 1):
            members = np.flatnonzero(of_point == group)
            timed = calibration.has_tpot
            seen = [_remains(key, members, timed) for key in keys.values()]
            reached = nearest_transfer(seen, _remains(family, members, timed))
            errors = np.where(timed[members], _left_out(calibration, members), np.nan)
            for place in np.unique(reached):
                found[TRANSFERS[place]].append((members[reached == place], errors[reached == place]))
    found["load"] = [interior_errors(calibration)]
    engines = np.array(calibration.measured.points.engine, dtype=object)
    result = {}
    for name, parts in found.items():
        members = np.concatenate([np.empty(0, dtype=np.intp), *(part[0] for part in parts)])
        values = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        result[name] = Errors(values[np.isfinite(values)], engines[members[np.isfinite(values)]])
    return result


def groups_of(calibration: Calibration, alike_in: Sequence[str]) -> Codes:
    """Give the number of each anchor's group: anchors that share attributes (``shape``: lengths)."""
    found, points = calibration.found, calibration.measured.points
    of_point = np.zeros(len(points), dtype=np.intp)
    for attribute in alike_in:
        if attribute == "shape":
            places = np.unique(np.stack([points.input_tokens, points.output_tokens], axis=1), axis=0, return_inverse=True)[1]
        else:
            names = [str(name) for name in found.attributes[attribute]]
            places = np.unique(names, return_inverse=True)[1][found.of_point]
        places = places.reshape(-1)
        of_point = np.unique(of_point * (int(places.max()) + 1) + places, return_inverse=True)[1].reshape(-1)
    return of_point


def interior_errors(calibration: Calibration) -> tuple[Codes, Array]:
    """Give points and errors: leave out each interior point of each curve, interpolate between its neighbours (``combined``)."""
    points, measured = calibration.measured.points, calibration.measured
    curve = groups_of(calibration, (*ANCHORED["shape"], "engine_version", "shape"))
    order = np.lexsort((points.concurrency, curve))
    left, here, right = order[:-2], order[1:-1], order[2:]
    load = np.log(points.concurrency)
    inside = (curve[left] == curve[right]) & (load[left] < load[here]) & (load[here] < load[right])
    left, here, right = left[inside], here[inside], right[inside]
    share = (load[here] - load[left]) / (load[right] - load[left])
    predicted = []
    for times, model in zip((measured.ttft_ms, measured.tpot_ms), calibration.model_ms, strict=True):
        off = np.log(times / model)
        predicted.append(model[here] * np.exp((1.0 - share) * off[left] + share * off[right]))
    return here, _rate_errors(calibration, here, predicted[0], predicted[1])


def _left_out(calibration: Calibration, members: Codes) -> Array:
    """Error of the rate of some anchors, predicted from all the others, shape (n_members,); NaN where no TPOT was measured."""
    has_tpot = calibration.has_tpot[members]
    place = np.cumsum(calibration.has_tpot) - 1
    tpot_error = np.full(len(members), np.nan)
    tpot_error[has_tpot] = calibration.tpot.left_out(place[members[has_tpot]])
    ttft = calibration.measured.ttft_ms[members] * np.exp(-calibration.ttft.left_out(members))
    return _rate_errors(calibration, members, ttft, calibration.measured.tpot_ms[members] * np.exp(-tpot_error))


def _rate_errors(calibration: Calibration, members: Codes, ttft_ms: Array, tpot_ms: Array) -> Array:
    measured, points = calibration.measured, calibration.measured.points
    load, out = points.concurrency[members], points.output_tokens[members]
    truth = rate_of(load, out, measured.ttft_ms[members], measured.tpot_ms[members])
    errors: Array = np.log(rate_of(load, out, ttft_ms, tpot_ms) / truth)
    return errors


def _remains(of_point: Codes, members: Codes, timed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say for each left-out point whether others of its group, with a TPOT, are still there."""
    is_left = timed.copy()
    is_left[members] = False
    left = np.bincount(of_point, weights=is_left)
    found: NDArray[np.bool_] = left[of_point[members]] > 0.5
    return found
