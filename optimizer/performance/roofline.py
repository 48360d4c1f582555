"""Times and rates of points nobody measured: prefill by compute, decode by bandwidth, the batch limited by memory.

Times ms, rates output tokens/s of the whole deployment. Central values at a fixed number of requests in flight, like the measured
points: no queue of open-loop arrivals and no percentile. Missing hardware or model figures give NaN, never a guess.
Ideal times come from ``steps``; what engines reach of them is fitted (``fit``) and read from the catalog of efficiencies; what
like points were measured to do corrects it (``similarity``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog import Quality
from optimizer.catalog.efficiencies import Efficiencies
from optimizer.instance import Catalogs
from optimizer.performance.lookup import Configurations, Lookup, positions
from optimizer.performance.points import Array, Codes, Points, Predictions, rate_of
from optimizer.performance.similarity import PLACE, AnchorTable, Placed, SurfaceTable, bits
from optimizer.performance.steps import Work

__all__ = ["ANCHORED", "PLAIN_MULTIPLES", "TRANSFERS", "Points", "Predictions", "Roofline", "model_times_s", "nearest_transfer"]

PLAIN_MULTIPLES = {
    "prefill_compute": 1.7,
    "prefill_attention": 2.5,
    "prefill_link": 2.0,
    "prefill_weights": 1.7,
    "prefill_s": 1e-3,
    "decode_weights": 1.3,
    "decode_cache": 1.3,
    "decode_compute": 1.5,
    "decode_link": 2.0,
    "layer_s": 40e-6,
    "reduce_s": 20e-6,
    "step_s": 1e-3,
    "interference": 1.0,
    "queue": 0.03,
    "queue_power": 1.0,
    "request_s": 0.02,
    "overflow": 0.2,
}
"""What holds where nothing was fitted, and what a fit is drawn to: multiples of ideal times, and seconds (names in ``_s``).
1.3 and 1.7 are about 75 % of bandwidth and 60 % of peak; a layer launches about ten kernels of 4 us. Assumed."""
OVERFLOW_TOLERANCE = 0.25
"""Share of requests beyond what memory holds that wait for no one, as caches fill only while answers grow. Assumed."""
FULL_LOAD_IN_LANE = 512.0
"""Requests in flight taken for a point without a concurrency (the most an engine reaches), unless memory holds fewer. Assumed."""
ANCHORED: dict[str, tuple[str, ...]] = {
    "shape": ("network", "precision", "accelerator", "engine", "layout"),
    "layout": ("network", "precision", "accelerator", "engine"),
    "sibling": ("network", "precision", "engine", "family"),
    "precision": ("network", "engine", "family"),
    "family": ("network", "engine"),
    "engine": ("network",),
}
"""How far a prediction is carried, nearest first: what the nearest anchor shares with the point, under the name of what differs.
Each has a band of its own."""
TRANSFERS = (*ANCHORED, "network", "stranger")
"""The transfers that have a band: those with an anchor of the same network, then a network never measured, then a whole family of
accelerators without an anchor (``stranger``)."""
PLAIN_BAND = (0.4, 2.0)
"""Band of the plain model, before any fit; assumed."""


def model_times_s(load: Work, output_tokens: Array, multiples: Mapping[str, float]) -> tuple[Array, Array]:
    """Time to first token and per further token, s, of the uncorrected model, shape (n_points,) each.

    One decode step reads weights and caches, multiplies, and talks; it shares the cards with the prompts that come in, one for
    each request that ends. A prompt waits for those ahead of it in its lane and, where memory is full, for a
    request in flight to end.
    """
    m = multiples
    prefill = load.prefill_flop_s * m["prefill_compute"] + load.prefill_attention_s * m["prefill_attention"] + m["prefill_s"]
    prefill = prefill + load.prefill_link_s * m["prefill_link"] + load.prefill_weights_s * m["prefill_weights"]
    step = load.decode_weights_s * m["decode_weights"] + load.decode_cache_s * m["decode_cache"] + m["step_s"]
    step = step + load.decode_flop_s * m["decode_compute"] + load.decode_link_s * m["decode_link"]
    step = step + load.layers * (m["layer_s"] + (load.group > 1) * m["reduce_s"])
    in_lane = np.maximum(load.in_flight / load.lanes, 1.0)
    tpot_s = step + m["interference"] * prefill * in_lane / np.maximum(output_tokens, 1.0)
    ttft_s = prefill * (1.0 + m["queue"] * (in_lane - 1.0) ** m["queue_power"]) + step + m["request_s"]
    overflow = np.maximum(load.waiting / load.in_flight - OVERFLOW_TOLERANCE, 0.0)
    return ttft_s + m["overflow"] * overflow * (ttft_s + output_tokens * tpot_s), tpot_s


@dataclass(frozen=True)
class _Fitted:
    """Efficiencies ready for use.

    ``has_tpot`` marks the anchors' configurations of which further tokens were timed; ``families`` are the accelerators' families
    that some anchor is of, and those that some such anchor is of.
    """

    table: AnchorTable
    ttft: SurfaceTable
    tpot: SurfaceTable
    bands: dict[tuple[str, str | None], tuple[float, float]]
    has_tpot: NDArray[np.bool_]
    families: tuple[set[str], set[str]]

    @classmethod
    def of(cls, efficiencies: Efficiencies) -> _Fitted:
        table = AnchorTable.of(efficiencies.anchors)
        bands = {(band.transfer, band.engine): (band.low, band.high) for band in efficiencies.bands}
        has_tpot = np.bincount(table.of_anchor, np.array(efficiencies.tpot.weights) != 0.0, len(table.place)) > 0
        names, family = list(table.names["family"]), table.codes["family"]
        families = tuple({names[place] for place in family[kept].tolist()} for kept in (slice(None), has_tpot))
        surfaces = SurfaceTable(efficiencies.ttft, table), SurfaceTable(efficiencies.tpot, table)
        return cls(table, *surfaces, bands, has_tpot, (families[0], families[1]))


class Roofline:
    """Predicts from one set of catalogs; each distinct configuration is looked up once, points go whole columns at a time."""

    def __init__(self, catalogs: Catalogs) -> None:
        """Index the catalogs and take the fitted efficiencies, where there are any."""
        self._lookup = Lookup(catalogs)
        self._efficiencies = catalogs.efficiencies[0] if catalogs.efficiencies else None
        self._fitted = _Fitted.of(self._efficiencies) if self._efficiencies else None
        self._multiples = self._efficiencies.multiples if self._efficiencies else PLAIN_MULTIPLES

    def predict(self, points: Points, of_point: Codes | None = None) -> Predictions:
        """Predict points. A blank concurrency asks for the rate at full load: times stay blank.

        ``of_point`` numbers the configurations of the points from 0, where the caller knows them; telling them apart takes time.
        """
        with np.errstate(all="ignore"):
            return self._predict(points, self._lookup.configurations(points, of_point))

    def transfer_of(self, points: Points) -> list[str]:
        """Name how far each prediction is carried (``TRANSFERS``); ``unfitted`` where there is no anchor to carry it from."""
        found = self._lookup.configurations(points)
        if not self._fitted:
            return ["unfitted"] * len(points)
        return [TRANSFERS[place] for place in transfers(self._fitted, found)[found.of_point]]

    def uncorrected_ms(self, points: Points) -> tuple[Array, Array]:
        """Give TTFT and TPOT (ms) of the fitted constants alone: a smooth shape to follow between two measured points."""
        with np.errstate(all="ignore"):
            load = self._lookup.work(points, self._lookup.configurations(points))
            ttft_s, tpot_s = model_times_s(load, points.output_tokens, self._multiples)
        return ttft_s * 1e3, tpot_s * 1e3

    def _predict(self, points: Points, found: Configurations) -> Predictions:
        is_full = np.isnan(points.concurrency)
        lanes = np.where(np.isnan(points.attention_data), 1.0, points.attention_data)
        load = self._lookup.work(points.at(np.where(is_full, FULL_LOAD_IN_LANE * lanes, points.concurrency)), found)
        ttft_s, tpot_s = model_times_s(load, points.output_tokens, self._multiples)
        if self._fitted:
            ttft_s, tpot_s = self._corrected(self._fitted, points, found, load, ttft_s, tpot_s)
        in_flight = np.where(is_full, load.in_flight, points.concurrency)
        rate = rate_of(in_flight, points.output_tokens, ttft_s * 1e3, tpot_s * 1e3)
        if self._efficiencies:
            rate = np.where(is_full, rate * self._efficiencies.full_load_factor, rate)
        is_known = load.fits & np.isfinite(rate)
        low, high = self._band(found, is_full)
        has_tpot = is_known & ~is_full & (points.output_tokens > 1)
        return Predictions(
            ttft_ms=np.where(is_known & ~is_full, ttft_s * 1e3, np.nan),
            tpot_ms=np.where(has_tpot, tpot_s * 1e3, np.nan),
            output_tokens_per_s=np.where(is_known, rate, np.nan),
            low=np.where(is_known, rate * low, np.nan),
            high=np.where(is_known, rate * high, np.nan),
            quality=_qualities(found),
        )

    def _corrected(
        self, fitted: _Fitted, points: Points, found: Configurations, load: Work, ttft_s: Array, tpot_s: Array
    ) -> tuple[Array, Array]:
        """Correct both times by what like points were measured to do, and by rates where a family has no such point."""
        position = positions(points, load)
        position = np.where(np.isfinite(position), position, 0.0)
        alike, place = fitted.table.alike(found.attributes), position[found.first, PLACE]
        placed = Placed.of(found.of_point, position)
        is_full = np.isnan(points.concurrency)  # no anchor is near full load: the model alone
        times = []
        for surface, plain, families in zip((fitted.ttft, fitted.tpot), (ttft_s, tpot_s), fitted.families, strict=True):
            slower = -self._family_rates(families, found)[found.of_point]
            correction = surface.correction(alike, place, placed)
            times.append(plain * np.exp(np.where(is_full, 0.0, correction) + slower))
        return times[0], times[1]

    def _family_rates(self, anchored: set[str], found: Configurations) -> Array:
        """Give log of rate over expected rate for configurations on families without an anchor; 0 elsewhere.

        The accelerator's own where a rate was held on it, else the mean of its vendor's, drawn to 0 as by one more accelerator,
        else the lowest of all (a TPU always).
        """
        rates = self._efficiencies.accelerator_rates if self._efficiencies else {}
        if not rates:
            return np.zeros(len(found.vendor))
        of_vendor: dict[str | None, list[float]] = {}
        for name, rate in rates.items():
            card = self._lookup.accelerators.get(name)
            of_vendor.setdefault(card.vendor if card else None, []).append(rate)
        lowest = min(rates.values())
        names, families = found.attributes["accelerator"], found.attributes["family"]
        result = np.zeros(len(names))
        for place, (card_name, family) in enumerate(zip(names, families, strict=True)):
            if family in anchored:
                continue
            mates = of_vendor.get(found.vendor[place])
            usual = sum(mates) / (len(mates) + 1) if mates and not found.is_tpu[place] else lowest
            result[place] = rates.get(card_name, usual) if card_name else usual
        return result

    def _band(self, found: Configurations, is_full: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Band of the rate as multiples of it, by how far the prediction is carried; shape (n_points,) each."""
        if not self._fitted:
            return np.full(len(found.of_point), PLAIN_BAND[0]), np.full(len(found.of_point), PLAIN_BAND[1])
        reached = [TRANSFERS[place] for place in transfers(self._fitted, found)]
        of_configuration = [self.band(name, engine) for name, engine in zip(reached, found.attributes["engine"], strict=True)]
        of_point = np.array(of_configuration).reshape(-1, 2)[found.of_point]
        of_point = np.where(is_full[:, None], np.array(self.band("full load", None)), of_point)
        return of_point[:, 0], of_point[:, 1]

    def band(self, transfer: str, engine: str | None, default: tuple[float, float] = PLAIN_BAND) -> tuple[float, float]:
        """Give the band of one transfer under one engine, that of any engine where it has none of its own."""
        bands = self._fitted.bands if self._fitted else {}
        return bands.get((transfer, engine)) or bands.get((transfer, None)) or default


def transfers(fitted: _Fitted, found: Configurations) -> Codes:
    """Give the place in ``TRANSFERS`` of each configuration, shape (n_configurations,); only anchors with a TPOT count."""
    alike = fitted.table.alike(found.attributes)[:, fitted.has_tpot]
    seen = [(alike & needed == needed).any(axis=1) for needed in (bits(names) for names in (*ANCHORED.values(), ("family",)))]
    return nearest_transfer([np.asarray(x, dtype=np.bool_) for x in seen[:-1]], np.asarray(seen[-1], dtype=np.bool_))


def nearest_transfer(seen: Sequence[NDArray[np.bool_]], is_family_seen: NDArray[np.bool_]) -> Codes:
    """Give the first transfer of ``ANCHORED`` that was seen, else ``network``; a family not seen is a ``stranger``."""
    strange = TRANSFERS.index("stranger")
    near = np.select(list(seen), range(len(seen)), TRANSFERS.index("network"))
    return np.where(is_family_seen, near, strange).astype(np.intp)


def _qualities(found: Configurations) -> NDArray[np.object_]:
    assumed = found.is_assumed | found.is_tpu
    values = np.array([Quality.MODELLED, Quality.ASSUMED], dtype=object)
    of_point: NDArray[np.object_] = values[assumed.astype(np.intp)][found.of_point]
    return of_point
