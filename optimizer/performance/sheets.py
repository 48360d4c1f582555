"""What many workloads of one model share: its configurations, which of them take the figures of others, and rates by length.

A sheet lists every configuration of a model once. Each request length is worked out once for all of them (lengths that share
replicas under targets: each company of lengths once), so that a workload costs a few array operations. It answers exactly as the
path of single answers (``options``), which alone words a rejection.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model, Quality
from optimizer.instance import Rate, RequestClass
from optimizer.performance.figures import Answer, Kind, OptionTable, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.modelled import requests_in_memory
from optimizer.performance.profiles import Configuration, Curve, Shape
from optimizer.performance.roofline import Roofline
from optimizer.performance.serving import measured_results, modelled_results
from optimizer.performance.variants import base_of, carriage, place_of

__all__ = ["Carried", "Column", "Sheet", "classes_of", "columns_at", "sheet_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Reasons = Callable[[], tuple[tuple[Configuration, Rejection], ...]]

CODES = tuple(RejectionCode)
KEPT = -1
MOST_COLUMNS = 4096
"""Request lengths remembered for each model and set of targets; the ones not used for longest are forgotten first."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """What each configuration with figures of its own does with requests of one length; first axis (n_rows,).

    ``rate_per_s`` is in requests/s, NaN where nothing is known; ``does_not_fit`` says where memory holds no request.
    """

    rate_per_s: FloatArray
    reached_ms: FloatArray
    quality: npt.NDArray[np.int8]
    does_not_fit: npt.NDArray[np.bool_]
    basis: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """An entry that takes its figures of an entry before it, unless one of ``rivals``, measured as it is, has an answer."""

    parent: int
    factor: float
    quality: Quality
    because: str
    rivals: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Every configuration of a model: ``entries`` with rates of their own (``row``), settled for all (``code``) or carried.

    ``row`` and ``code`` have shape (n_entries,), -1 where there is none; ``listed`` says which are not left out unsaid.
    """

    entries: tuple[Configuration, ...]
    row: IntArray
    code: IntArray
    carried: Mapping[int, Carried]
    listed: npt.NDArray[np.bool_]
    sources: tuple[str, ...]
    engines: tuple[bool, ...]
    work_out: Callable[[Question, Sequence[Shape]], Sequence[Column]]
    columns: dict[object, OrderedDict[Shape, Column]] = field(default_factory=dict)

    @cached_property
    def place(self) -> Mapping[Configuration, int]:
        """Give the place of each configuration among the entries."""
        return {configuration: e for e, configuration in enumerate(self.entries)}

    @cached_property
    def _rivalry(self) -> IntArray:
        """Give (entry, rival) pairs; shape (2, n_pairs)."""
        pairs = [(e, rival) for e, c in self.carried.items() for rival in c.rivals]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    @cached_property
    def _steps(self) -> list[tuple[IntArray, IntArray, FloatArray, IntArray]]:
        """Give (entry, parent, factor, rank) of what is carried, nearest first, so that each step is one array operation."""
        depth: dict[int, int] = {}
        for e, c in self.carried.items():
            depth[e] = depth.get(c.parent, 0) + 1
        steps = []
        for n in sorted(set(depth.values())):
            mine = [(e, self.carried[e]) for e, d in depth.items() if d == n]
            entry, parent = np.array([e for e, _ in mine]), np.array([c.parent for _, c in mine])
            steps.append((entry, parent, np.array([c.factor for _, c in mine]), np.array([c.quality.rank for _, c in mine])))
        return steps

    def table(self, question: Question, reasons: Reasons) -> OptionTable:
        """Answer a question for every entry; ``reasons`` words the rejections where somebody asks."""
        columns = self._columns(question)
        rate = np.stack([c.rate_per_s for c in columns], axis=1) * question.units_per_request
        rank = np.stack([c.quality for c in columns], axis=1).max(axis=1).astype(np.int64)
        if question.targets:
            rank = np.maximum(rank, Quality.DERIVED.rank)
        unknown = np.where(self.engines, CODES.index(RejectionCode.SHAPE), CODES.index(RejectionCode.NO_FIGURE))
        own = np.where((rate <= 0).any(axis=1), CODES.index(RejectionCode.LATENCY), KEPT)
        own = np.where(np.isnan(rate).any(axis=1), unknown, own)
        does_not_fit = np.any([c.does_not_fit for c in columns], axis=0)
        own = np.where(does_not_fit, CODES.index(RejectionCode.MEMORY), own)
        return self._laid_out(question, rate, rank, own, reasons)

    def _laid_out(self, question: Question, rate: FloatArray, rank: IntArray, own: IntArray, reasons: Reasons) -> OptionTable:
        """Lay the rows out as entries and let the others take theirs from these."""
        direct = self.row >= 0
        rates, ranks, code = np.full((len(self.entries), rate.shape[1]), np.nan), np.zeros_like(self.row), self.code.copy()
        rates[direct], ranks[direct], code[direct] = rate[self.row[direct]], rank[self.row[direct]], own[self.row[direct]]
        there = np.ones(len(self.entries), dtype=bool)
        there[self._rivalry[0][code[self._rivalry[1]] == KEPT]] = False
        for at, parent, factor, quality in self._steps:
            there[at] &= there[parent]
            rates[at], ranks[at] = rates[parent] * factor[:, None], np.maximum(ranks[parent], quality)
            code[at] = np.where(self.code[at] == KEPT, code[parent], self.code[at])
        allowed = np.array([quality in question.allowed_quality for quality in Quality])
        code = np.where((code == KEPT) & ~allowed[ranks], CODES.index(RejectionCode.QUALITY), code)
        there &= self.listed
        kept = np.flatnonzero(there & (code == KEPT))
        chosen, best = rates[kept], ranks[kept]
        refused = np.bincount(code[there & (code != KEPT)], minlength=len(CODES))
        return OptionTable(
            forms=self.entries,
            form=kept,
            rate_per_s=chosen,
            rank=best,
            refused={CODES[c]: int(n) for c, n in enumerate(refused) if n},
            estimate=lambda n: self._estimate(question, int(kept[n]), chosen[n], list(Quality)[best[n]]),
            reasons=reasons,
        )

    def _estimate(self, question: Question, entry: int, rate: FloatArray, quality: Quality) -> ReplicaEstimate:
        """Give what stands behind an entry's rate: the same as the path of single answers gives."""
        words, configuration, columns = [], self.entries[entry], self._columns(question)
        carried = entry in self.carried
        while entry in self.carried:
            words.append(self.carried[entry].because)
            entry = self.carried[entry].parent
        row = int(self.row[entry])
        kind = Kind.DERIVED if question.targets else Kind.THROUGHPUT
        return ReplicaEstimate(
            configuration=configuration,
            rate_per_s=rate,
            latency_ms=np.stack([column.reached_ms[row] for column in columns]),
            quality=quality,
            kind=Kind.MODELLED if carried or quality.rank >= Quality.MODELLED.rank else kind,
            basis=": ".join([*words, "; ".join(dict.fromkeys(column.basis[row] for column in columns))]),
            source=self.sources[row],
        )

    def _columns(self, question: Question) -> list[Column]:
        """Give the column of each class, remembered by what decides it."""
        shapes = question.shapes
        together = tuple(dict.fromkeys(shapes)) if question.is_mixed else ()  # worked out together, and again in other company
        known = self.columns.setdefault((question.targets, question.spread_factor, together), OrderedDict())
        missing = [shape for shape in dict.fromkeys(shapes) if shape not in known]
        known.update(zip(missing, self.work_out(question, missing) if missing else (), strict=True))
        found = [known[shape] for shape in shapes]
        for shape in dict.fromkeys(shapes):
            known.move_to_end(shape)
        while len(known) > MOST_COLUMNS:
            known.popitem(last=False)
        while len(self.columns) > MOST_COLUMNS:
            self.columns.pop(next(iter(self.columns)))
        return found

    def estimate(self, question: Question, configuration: Configuration) -> ReplicaEstimate | None:
        """Give one configuration's estimate; None where it has none."""
        if configuration not in self.place:
            return None
        table = self.table(question, tuple)
        row = np.searchsorted(table.form, self.place[configuration])
        return table.estimate(int(row)) if row < len(table.form) and table.form[row] == self.place[configuration] else None


def sheet_of(
    model: Model,
    rows: Sequence[Configuration],
    settled: Mapping[Configuration, Answer],
    sources: Sequence[str],
    catalog: Mapping[str, Accelerator],
    work_out: Callable[[Question, Sequence[Shape]], Sequence[Column]],
) -> Sheet:
    """List the configurations of a model: ``rows`` with figures of their own, those ``settled``, those that take theirs."""
    row = dict(zip(rows, range(len(rows)), strict=True))
    code = {c: CODES.index(why.code) for c, why in settled.items() if isinstance(why, Rejection)}
    place = {c: e for e, c in enumerate(dict.fromkeys([*rows, *settled]))}
    carried, by_variant = {}, defaultdict[tuple[str, str], list[Configuration]](list)
    for configuration in place:
        by_variant[configuration.variant].append(configuration)
    for variant in sorted(model.variants, key=lambda v: base_of(v)[1] != "none"):
        mine = by_variant[variant.precision, variant.compression]
        own = [(place_of(c), place[c]) for c in mine if c in row and c not in code]
        for base in by_variant[base_of(variant)] if variant.compression != "none" else ():
            configuration = base.of_variant(variant.precision, variant.compression)
            if configuration not in place:
                rivals = tuple(e for where, e in own if where[2:] == place_of(base)[2:])
                found = carriage(variant, catalog[base.accelerator])
                if isinstance(found, Rejection):
                    code[configuration], found = CODES.index(found.code), (1.0, Quality.MEASURED, "")
                carried[len(place)] = Carried(place[base], *found, rivals)
                place[configuration] = len(place)
                mine.append(configuration)
    listed = {(v.precision, v.compression) for v in model.variants}
    return Sheet(
        entries=tuple(place),
        row=np.array([KEPT if c in code else row.get(c, KEPT) for c in place], dtype=np.int64),
        code=np.array([code.get(c, KEPT) for c in place], dtype=np.int64),
        carried=carried,
        listed=np.array([c.engine is not None or c.variant in listed for c in place], dtype=bool),
        sources=tuple(sources),
        engines=tuple(c.engine is not None for c in rows),
        work_out=work_out,
    )


def classes_of(shapes: Sequence[Shape]) -> tuple[RequestClass, ...]:
    """Give classes of some lengths, counted in requests."""
    return tuple(RequestClass(name="x", input_tokens=i, output_tokens=o, rate=Rate(value=0.0)) for i, o in shapes)


def columns_at(
    question: Question,
    curves: Mapping[Configuration, Sequence[Curve]],
    unmeasured: Sequence[Configuration],
    model: Model,
    catalog: Mapping[str, Accelerator],
    roofline: Roofline,
    *,
    together: bool,
    memory: dict[Hashable, Any],
) -> list[Column]:
    """Work out each class of a question, whose classes are counted in requests, for the measured and then the other rows."""
    most, _ = requests_in_memory(model, unmeasured, question.shapes, [catalog[c.accelerator] for c in unmeasured])
    parts = (
        measured_results(question, curves, roofline, together=together, memory=memory),
        modelled_results(question, unmeasured, most, roofline, together=together),
    )
    rate, reached = (np.concatenate([getattr(p, name) for p in parts]) for name in ("rate_per_s", "reached_ms"))
    quality = np.array([[q.rank for q in row] for p in parts for row in p.quality], dtype=np.int8).reshape(rate.shape)
    basis = [row for p in parts for row in p.basis]
    does_not_fit = np.concatenate([np.zeros((len(curves), len(question.classes)), dtype=bool), most < 1])
    return [
        Column(
            rate[:, b].copy(), reached[:, b].copy(), quality[:, b].copy(), does_not_fit[:, b].copy(), tuple(r[b] for r in basis)
        )
        for b in range(len(question.classes))
    ]
