"""From names to figures: the accelerators, models and layouts of many points, each distinct one looked up once.

Where the catalog leaves a peak or a bandwidth blank, the other one times the usual ratio of the accelerator's family stands in,
and the answer counts as assumed; with neither there is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog import Accelerator, AcceleratorKind, Model
from optimizer.instance import Catalogs
from optimizer.performance.points import Array, Codes, Points, codes
from optimizer.performance.similarity import UNKNOWN
from optimizer.performance.steps import Columns, Hardware, Network, Work, hardware, network, weight_bytes, work

__all__ = ["Configurations", "Lookup", "positions"]

PCIE_LINK_B_S = 32e9
"""PCIe 4.0 x16, one direction: the interconnect of cards for which the catalog has none; assumed."""
TEXT = ("model", "accelerator", "precision", "engine", "engine_version")
NUMBERS = ("tensor", "pipeline", "attention_data", "expert", "accelerators")
MISSING_HARDWARE = Hardware(np.nan, np.nan, np.nan, np.nan)
MISSING_NETWORK = Network(*[np.nan] * 8)


@dataclass(frozen=True)
class Configurations:
    """The distinct configurations of some points: one point of each, the configuration of every point, and their attributes.

    ``first`` is the place of that one point, shape (n_configurations,).
    """

    first: Codes
    representative: Points
    of_point: Codes
    attributes: dict[str, list[str | None]]
    vendor: list[str | None]
    is_assumed: NDArray[np.bool_]
    is_tpu: NDArray[np.bool_]


class Lookup:
    """One set of catalogs, by name and alias."""

    def __init__(self, catalogs: Catalogs) -> None:
        """Index the catalogs."""
        self.models = {name: m for m in catalogs.models for name in (*m.aliases, m.name)}
        self.accelerators = {name: a for a in catalogs.accelerators for name in (*a.aliases, a.name)}
        self._catalog = catalogs.accelerators
        self._hardware = lru_cache(maxsize=None)(self._found_hardware)

    def configurations(self, points: Points, of_point: Codes | None = None) -> Configurations:
        """Tell apart the configurations of points, by ``of_point`` where the caller knows, and name what each is alike in."""
        of_point = _told_apart(points) if of_point is None else of_point
        first = np.zeros(int(of_point.max(initial=-1)) + 1, dtype=np.intp)
        first[of_point[::-1]] = np.arange(len(of_point))[::-1]
        one = points.take(first)
        cards = [self.accelerators.get(name) for name in one.accelerator]
        assumed = [self._is_assumed(m, a, p) for m, a, p in zip(one.model, cards, one.precision, strict=True)]
        return Configurations(
            first=first,
            representative=one,
            of_point=of_point,
            attributes=self._attributes(one, cards),
            vendor=[None if card is None else card.vendor for card in cards],
            is_assumed=np.array(assumed, dtype=bool),
            is_tpu=np.array([card is not None and card.kind == AcceleratorKind.TPU for card in cards], dtype=bool),
        )

    def work(self, points: Points, found: Configurations) -> Work:
        """Count the work of points; NaN for unknown names and for figures that nothing stands in for."""
        one, of_point = found.representative, found.of_point
        cards = (self.accelerators.get(name) for name in one.accelerator)
        devices = [
            MISSING_HARDWARE if card is None else self._hardware(card.name, p)[0]
            for card, p in zip(cards, one.precision, strict=True)
        ]
        distinct, of_name = codes(one.model)
        models = (self.models.get(name) for name in distinct)
        nets = [MISSING_NETWORK if model is None else network(model) for model in models]
        run = Columns(
            weight_bytes=np.array([weight_bytes(precision) for precision in one.precision])[of_point],
            tensor=points.tensor,
            pipeline=_or_one(points.pipeline),
            lanes=_or_one(points.attention_data),
            accelerators=points.accelerators,
            input_tokens=points.input_tokens,
            output_tokens=points.output_tokens,
            concurrency=points.concurrency,
        )
        return work(_table(Hardware, devices, of_point), _table(Network, nets, of_name[of_point]), run)

    def _attributes(self, one: Points, cards: Sequence[Accelerator | None]) -> dict[str, list[str | None]]:
        models = [self.models.get(name) for name in one.model]
        signatures = {name: _signature(model) for name in set(one.model) if (model := self.models.get(name))}
        columns = (one.tensor, _or_one(one.pipeline), _or_one(one.attention_data), _or_one(one.expert), one.accelerators)
        degrees = list(zip(*(column.tolist() for column in columns), strict=True))
        layouts = {row: "x".join(f"{degree:g}" for degree in row) for row in set(degrees)}
        return {
            "network": [signatures.get(name) for name in one.model],
            "mixture": [None if model is None else ("mixture" if model.experts else "dense") for model in models],
            "accelerator": [None if card is None else card.name for card in cards],
            "family": [None if card is None else card.family for card in cards],
            "precision": list(one.precision),
            "engine": list(one.engine),
            "engine_version": [_version(e, v) for e, v in zip(one.engine, one.engine_version, strict=True)],
            "layout": [layouts[row] for row in degrees],
        }

    def _is_assumed(self, model: str, card: Accelerator | None, precision: str) -> bool:
        known = self.models.get(model)
        return (known is not None and known.parameters_b is None) or (
            card is not None and self._hardware(card.name, precision)[1]
        )

    def _found_hardware(self, name: str, precision: str) -> tuple[Hardware, bool]:
        """Look up an accelerator at a precision, what is blank filled in, and whether anything was."""
        card = self.accelerators[name]
        found = hardware(card, precision)
        if np.isnan(found.link):
            found = replace(found, link=PCIE_LINK_B_S)
        if np.isnan(found.bandwidth) == np.isnan(found.peak):
            return found, False
        peers = [hardware(peer, precision) for peer in self._catalog if peer.family == card.family]
        ratios = [peer.peak / peer.bandwidth for peer in peers if np.isfinite(peer.peak / peer.bandwidth)]
        ratio = float(np.median(ratios)) if ratios else np.nan
        if np.isnan(found.peak):
            return replace(found, peak=found.bandwidth * ratio), True
        return replace(found, bandwidth=found.peak / ratio), True


def positions(points: Points, load: Work) -> Array:
    """Six logarithms that place each point among the anchors (``catalog.efficiencies.Anchors``), shape (n_points, 6)."""
    columns = (
        np.maximum(load.in_flight / load.lanes, 1.0),
        points.input_tokens,
        np.maximum(points.output_tokens, 16.0),
        load.group,
        load.lanes,
        _or_one(points.expert),
    )
    found: Array = np.log(np.stack(columns, axis=1))
    return found


def _told_apart(points: Points) -> Codes:
    """Give the configuration of each point, numbered from 0."""
    index = np.zeros(len(points), dtype=np.int64)
    for name in TEXT:
        values, of_point = codes(getattr(points, name))
        index = index * (len(values) + 1) + of_point
    for name in NUMBERS:
        distinct, of_point = np.unique(getattr(points, name), return_inverse=True)
        index = np.unique(index * (len(distinct) + 1) + of_point, return_inverse=True)[1]
    return np.unique(index, return_inverse=True)[1]


def _or_one(column: Array) -> Array:
    return np.where(np.isnan(column), 1.0, column)


def _version(engine: str | None, version: str | None) -> str | None:
    return None if engine is None else version or UNKNOWN


def _signature(model: Model) -> str:
    """Name a network by its sizes: two checkpoints of one architecture run alike."""
    sizes = (model.layers, model.hidden, model.heads, model.kv_heads or model.heads, model.experts)
    return "-".join("x" if size is None else str(size) for size in sizes)


def _table(kind: type, rows: Sequence[Any], of_point: Codes) -> dict[str, Array]:
    """Columns of the records that points refer to."""
    return {field.name: np.array([getattr(row, field.name) for row in rows], dtype=float)[of_point] for field in fields(kind)}
