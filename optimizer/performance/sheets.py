"""What many workloads of one model share: its configurations, which of them take the figures of others, and rates by length.

A sheet lists every configuration of a model once. Each request length is worked out once for all of them, and each chain of
those that share replicas once (``lengths``), so that a workload costs a few array operations. It answers exactly as the path of
single answers (``options``), which alone words a rejection.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model, Quality
from optimizer.performance.figures import Answer, Kind, OptionTable, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.lengths import Length, Solved
from optimizer.performance.profiles import Configuration, Shape
from optimizer.performance.variants import base_of, carriage, place_of

__all__ = ["Carried", "Sheet", "sheet_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Reasons = Callable[[], tuple[tuple[Configuration, Rejection], ...]]

CODES = tuple(RejectionCode)
KEPT = -1
MOST_LENGTHS = 256
"""Request lengths remembered for each model, targets or none; the ones not used for longest are forgotten first."""
MOST_TARGETS = 16
"""Sets of targets for which chains are remembered for each model, as lengths."""
MOST_KEPT = 4096
"""Selections of entries that workloads share, remembered for each model; beyond it all of them are forgotten."""
TOGETHER = 32
"""Workloads of a model whose chains are solved together."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An entry that takes its figures of an entry before it, unless one of ``rivals``, measured as it is, has an answer."""

    parent: int
    factor: float
    quality: Quality
    because: str
    rivals: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Entries that are kept, shape (n_kept,), ranks of their quality, the rows they stand on, and how many are refused why."""

    entry: IntArray
    rows: IntArray
    rank: IntArray
    refused: Mapping[RejectionCode, int]


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
    source: Callable[[int], str]
    engines: tuple[bool, ...]
    work_out: Callable[[Question, Sequence[Shape]], Sequence[Length]]
    lengths: OrderedDict[tuple[bool, Shape], Length] = field(default_factory=OrderedDict)
    solved: OrderedDict[Hashable, Solved] = field(default_factory=OrderedDict)
    kept: dict[Hashable, _Kept] = field(default_factory=dict)

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

    def tables(self, questions: Sequence[Question], reasons: Sequence[Reasons]) -> list[OptionTable]:
        """Answer questions for every entry; ``reasons`` word the rejections where somebody asks.

        Questions of the same targets are worked out together.
        """
        found: dict[int, OptionTable] = {}
        alike = defaultdict[Hashable, list[int]](list)
        for number, question in enumerate(questions):
            alike[_targets_of(question)].append(number)
        for mine in alike.values():
            for some in (mine[at : at + TOGETHER] for at in range(0, len(mine), TOGETHER)):
                lengths = [self._lengths(questions[number]) for number in some]
                rates, _ = self._solved(questions[some[0]]).of(lengths, self._rows)
                ends = np.cumsum([len(company) for company in lengths])
                for number, company, rate in zip(some, lengths, np.split(rates, ends[:-1]), strict=True):
                    found[number] = self._table(questions[number], company, rate.T, reasons[number])
                self._forget()
        return [found[number] for number in range(len(questions))]

    @cached_property
    def _rows(self) -> IntArray:
        return np.arange(len(self.engines))

    def _lengths(self, question: Question) -> list[Length]:
        """Give the length of each class, remembered."""
        keys = [(bool(question.targets), shape) for shape in question.shapes]
        missing = [key for key in dict.fromkeys(keys) if key not in self.lengths]
        if missing:
            self.lengths.update(zip(missing, self.work_out(question, [shape for _, shape in missing]), strict=True))
        for key in keys:
            self.lengths.move_to_end(key)
        return [self.lengths[key] for key in keys]

    def _solved(self, question: Question) -> Solved:
        """Give the chains that were solved for a question's targets."""
        key = _targets_of(question)
        if key not in self.solved:
            self.solved[key] = Solved(question.targets, question.spread_factor, together=question.is_mixed)
        self.solved.move_to_end(key)
        return self.solved[key]

    def _forget(self) -> None:
        """Forget what was not used for longest, where it is too much."""
        while len(self.lengths) > MOST_LENGTHS:
            self.lengths.popitem(last=False)
        while len(self.solved) > MOST_TARGETS:
            self.solved.popitem(last=False)

    def _table(self, question: Question, lengths: Sequence[Length], per_s: FloatArray, reasons: Reasons) -> OptionTable:
        """Answer a question by what each row carries, shape (n_rows, n_classes)."""
        rate = per_s * question.units_per_request
        kept = self._kept(question, *self._judged(question, lengths, rate, self._rows))
        chosen = rate[kept.rows]
        return OptionTable(
            forms=self.entries,
            form=kept.entry,
            rates=lambda: self._carried_to(kept, chosen),
            rank=kept.rank,
            refused=kept.refused,
            estimate=lambda n: self._estimate(question, int(kept.entry[n]), list(Quality)[kept.rank[n]]),
            reasons=reasons,
            is_of_sheet=True,
        )

    def _judged(
        self, question: Question, lengths: Sequence[Length], rate: FloatArray, rows: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Give the rank of the quality of some rows, and what each comes to; shapes (n_rows,)."""
        rank = np.stack([length.rank[rows] for length in lengths], axis=1).max(axis=1).astype(np.int64)
        if question.targets:
            rank = np.maximum(rank, Quality.DERIVED.rank)
        own = np.where((rate <= 0).any(axis=1), CODES.index(RejectionCode.LATENCY), KEPT)
        own = np.where(np.isnan(rate).any(axis=1), self._unknown[rows], own)
        does_not_fit = np.any([length.does_not_fit[rows] for length in lengths], axis=0)
        return rank, np.where(does_not_fit, CODES.index(RejectionCode.MEMORY), own)

    @cached_property
    def _unknown(self) -> IntArray:
        """Give what each row comes to where nothing is known."""
        return np.where(self.engines, CODES.index(RejectionCode.SHAPE), CODES.index(RejectionCode.NO_FIGURE))

    def _kept(self, question: Question, rank: IntArray, own: IntArray) -> _Kept:
        """Give what is left of the entries where rows are of some quality and refused for some reason; once for all alike."""
        allowed = [quality in question.allowed_quality for quality in Quality]
        key = tuple(allowed), rank.tobytes(), own.tobytes()
        if key not in self.kept:
            if len(self.kept) > MOST_KEPT:
                self.kept.clear()
            self.kept[key] = self._laid_out(np.array(allowed), rank, own)
        return self.kept[key]

    def _laid_out(self, allowed: npt.NDArray[np.bool_], rank: IntArray, own: IntArray) -> _Kept:
        """Lay the rows out as entries and let the others follow these."""
        direct = self.row >= 0
        root, ranks, code = self.row.copy(), np.zeros_like(self.row), self.code.copy()
        ranks[direct], code[direct] = rank[self.row[direct]], own[self.row[direct]]
        there = np.ones(len(self.entries), dtype=bool)
        there[self._rivalry[0][code[self._rivalry[1]] == KEPT]] = False
        for at, parent, _, quality in self._steps:
            there[at] &= there[parent]
            root[at], ranks[at] = root[parent], np.maximum(ranks[parent], quality)
            code[at] = np.where(self.code[at] == KEPT, code[parent], self.code[at])
        code = np.where((code == KEPT) & ~allowed[ranks], CODES.index(RejectionCode.QUALITY), code)
        there &= self.listed
        kept = np.flatnonzero(there & (code == KEPT))
        refused = np.bincount(code[there & (code != KEPT)], minlength=len(CODES))
        told = {CODES[c]: int(n) for c, n in enumerate(refused) if n}
        return _Kept(kept, np.unique(root[kept]), ranks[kept], told)

    def _carried_to(self, kept: _Kept, chosen: FloatArray) -> FloatArray:
        """Give the rates of what is kept, from those of the rows that it stands on."""
        direct, classes = self.row >= 0, chosen.shape[1]
        own, rates = (np.full((count, classes), np.nan) for count in (len(self.engines), len(self.entries)))
        own[kept.rows] = chosen
        rates[direct] = own[self.row[direct]]
        for at, parent, factor, _ in self._steps:
            rates[at] = rates[parent] * factor[:, None]
        return rates[kept.entry]

    def _estimate(self, question: Question, entry: int, quality: Quality) -> ReplicaEstimate:
        """Give what stands behind an entry's rate: the same as the path of single answers gives."""
        lengths, line = self._lengths(question), self._line(entry)
        ((per_s, reached_ms),) = self._solved(question).of_some([lengths], [[int(self.row[line[-1]])]])
        self._forget()
        rate = self._carried_along(line, per_s[0] * question.units_per_request)
        return self._told(question, lengths, line, rate, reached_ms[0], quality)

    def _line(self, entry: int) -> list[int]:
        """Give an entry and those that its figures are carried from, up to the one that has them of its own."""
        line = [entry]
        while line[-1] in self.carried:
            line.append(self.carried[line[-1]].parent)
        return line

    def _carried_along(self, line: Sequence[int], rate: FloatArray) -> FloatArray:
        """Give the rates of an entry, from those of the last in its line."""
        for entry in reversed(line[:-1]):
            rate = rate * self.carried[entry].factor
        return rate

    def _told(
        self,
        question: Question,
        lengths: Sequence[Length],
        line: Sequence[int],
        rate: FloatArray,
        reached_ms: FloatArray,
        quality: Quality,
    ) -> ReplicaEstimate:
        row, kind = int(self.row[line[-1]]), Kind.DERIVED if question.targets else Kind.THROUGHPUT
        words = [self.carried[entry].because for entry in line[:-1]]
        return ReplicaEstimate(
            configuration=self.entries[line[0]],
            rate_per_s=rate,
            latency_ms=reached_ms,
            quality=quality,
            kind=Kind.MODELLED if len(line) > 1 or quality.rank >= Quality.MODELLED.rank else kind,
            basis=": ".join([*words, "; ".join(dict.fromkeys(length.basis[row] for length in lengths))]),
            source=self.source(row),
        )

    def estimates(self, asked: Sequence[tuple[Question, Configuration]]) -> list[ReplicaEstimate | None]:
        """Give the estimate of one configuration for each question, as their tables do; None where it has none."""
        found, alike = list[ReplicaEstimate | None]([None] * len(asked)), defaultdict[Hashable, list[int]](list)
        lines = [self._line(self.place[c]) if c in self.place else [] for _, c in asked]
        for number, ((question, _), line) in enumerate(zip(asked, lines, strict=True)):
            if line and self.listed[line[0]] and self.row[line[-1]] >= 0 and (self.code[line] == KEPT).all():
                alike[_targets_of(question)].append(number)
        for mine in alike.values():
            for some in (mine[at : at + TOGETHER] for at in range(0, len(mine), TOGETHER)):
                questions, those = [asked[number][0] for number in some], [lines[number] for number in some]
                for number, estimate in zip(some, self._few(questions, those), strict=True):
                    found[number] = estimate
        return found

    def _few(self, questions: Sequence[Question], lines: Sequence[Sequence[int]]) -> Iterator[ReplicaEstimate | None]:
        """Yield the estimate of one entry, told with its line, for each of some questions of the same targets."""
        rivals = [[r for e in line[:-1] for r in self.carried[e].rivals if self.row[r] >= 0] for line in lines]
        rows = [self.row[[line[-1], *others]].tolist() for line, others in zip(lines, rivals, strict=True)]
        companies = [self._lengths(question) for question in questions]
        solved = self._solved(questions[0]).of_some(companies, rows)
        self._forget()
        for question, lengths, line, mine, (per_s, reached_ms) in zip(questions, companies, lines, rows, solved, strict=True):
            rate = per_s * question.units_per_request
            ranks, codes = self._judged(question, lengths, rate, np.array(mine))
            rank = max([int(ranks[0]), *(self.carried[entry].quality.rank for entry in line[:-1])])
            quality, own = list(Quality)[rank], self._carried_along(line, rate[0])
            is_kept = codes[0] == KEPT and not (codes[1:] == KEPT).any() and quality in question.allowed_quality
            yield self._told(question, lengths, line, own, reached_ms[0], quality) if is_kept else None

    def estimate(self, question: Question, configuration: Configuration) -> ReplicaEstimate | None:
        """Give one configuration's estimate; None where it has none."""
        return self.estimates([(question, configuration)])[0]


def sheet_of(
    model: Model,
    rows: Sequence[Configuration],
    settled: Mapping[Configuration, Answer],
    source: Callable[[int], str],
    catalog: Mapping[str, Accelerator],
    work_out: Callable[[Question, Sequence[Shape]], Sequence[Length]],
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
        source=source,
        engines=tuple(c.engine is not None for c in rows),
        work_out=work_out,
    )


def _targets_of(question: Question) -> Hashable:
    """Give what chains hang on beside lengths."""
    return question.targets, question.spread_factor, question.is_mixed
