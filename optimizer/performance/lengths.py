"""What replicas do with requests of each length, alone or in company: every chain is solved once for all workloads of a model.

A chain is told by its length, its row (a configuration with figures of its own), how many may be in flight, and what all classes
of its company bear in flight. Workloads differ in the company that their classes keep, but what a company bears takes few values,
so that few chains are left to solve. Rates requests/s, times ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model
from optimizer.instance import LatencyTarget, Rate, RequestClass
from optimizer.performance.chain import bearable, largest_rates
from optimizer.performance.figures import Question
from optimizer.performance.modelled import requests_in_memory
from optimizer.performance.profiles import Configuration, Curve, Shape
from optimizer.performance.roofline import Roofline
from optimizer.performance.serving import batches, measured_groups, modelled_groups

__all__ = ["Length", "Solved", "classes_of", "lengths_at"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NO_GRID = -1
MOST_CHAINS = 100_000
"""Solved chains remembered for each model and set of targets; beyond it all of them are forgotten."""
MOST_LEVELS = 2**20
"""Numbers in flight, and what companies bear, that are told apart; as chains."""


@dataclass(frozen=True, slots=True, eq=False)
class Length:
    """What each row does with requests of one length, before it is known what they share replicas with.

    ``grid`` (n_rows,) says which of ``grids`` holds the concurrencies of a row's times, -1 where nothing is known; ``times_ms``
    are TTFT and TPOT, shape (2, n_rows, n_points), NaN beyond a row's grid; ``size`` (n_rows,) is the most requests in flight,
    infinite where there is no grid; ``does_not_fit`` says where memory holds no request; ``rank`` is that of the quality.
    """

    number: int
    output_tokens: float
    grids: tuple[FloatArray, ...]
    grid: IntArray
    times_ms: FloatArray
    size: FloatArray
    rank: npt.NDArray[np.int8]
    does_not_fit: npt.NDArray[np.bool_]
    basis: tuple[str, ...]


def classes_of(shapes: Sequence[Shape]) -> tuple[RequestClass, ...]:
    """Give classes of some lengths, counted in requests."""
    return tuple(RequestClass(name="x", input_tokens=i, output_tokens=o, rate=Rate(value=0.0)) for i, o in shapes)


def lengths_at(
    question: Question,
    numbers: Iterator[int],
    curves: Mapping[Configuration, Sequence[Curve]],
    rows_alike: Sequence[Sequence[int]],
    unmeasured: Sequence[Configuration],
    model: Model,
    catalog: Mapping[str, Accelerator],
    roofline: Roofline,
) -> list[Length]:
    """Give what is known of the length of each class of a question, for the measured and then the other rows.

    ``numbers`` tells them apart from all others.
    """
    most, _ = requests_in_memory(model, unmeasured, question.shapes, [catalog[c.accelerator] for c in unmeasured])
    measured, groups = measured_groups(question, curves, roofline, rows_alike)
    modelled, others = modelled_groups(question, unmeasured, most, roofline)
    placed = [(g.where, g) for g in groups] + [((g.where[0] + len(curves), g.where[1]), g) for g in others]
    shape, width = (len(question.classes), len(curves) + len(unmeasured)), max((len(g.grid) for _, g in placed), default=0)
    grid, size, grids = np.full(shape, NO_GRID), np.full(shape, np.inf), tuple(g.grid for _, g in placed)
    times = np.full((shape[0], 2, shape[1], width), np.nan)
    for number, ((rows, classes), group) in enumerate(placed):
        grid[classes, rows], size[classes, rows] = number, group.size
        for quantity in (0, 1):
            times[classes, quantity, rows, : len(group.grid)] = group.times_ms[quantity]
    quality = [*measured.quality, *modelled.quality]
    rank = np.array([[q.rank for q in row] for row in quality], dtype=np.int8).reshape(shape[::-1])
    basis = [*measured.basis, *modelled.basis]
    does_not_fit = np.concatenate([np.zeros((len(curves), shape[0]), dtype=bool), most < 1])
    return [
        Length(
            number=next(numbers),
            output_tokens=float(question.shapes[b][1]),
            grids=grids,
            grid=grid[b].copy(),
            times_ms=times[b].copy(),  # each length on its own: others may be forgotten
            size=size[b].copy(),
            rank=rank[:, b].copy(),
            does_not_fit=does_not_fit[:, b].copy(),
            basis=tuple(row[b] for row in basis),
        )
        for b in range(shape[0])
    ]


class _Memory:
    """Numbers by key: keys ascend, shape (n_known,), values are (n_known, width)."""

    def __init__(self, width: int) -> None:
        self.keys, self.values = np.zeros(0, dtype=np.int64), np.zeros((0, width))

    def missing(self, keys: IntArray) -> npt.NDArray[np.bool_]:
        """Say which keys, ascending, are not known."""
        at = np.searchsorted(self.keys, keys)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == keys[known]
        return ~known

    def add(self, keys: IntArray, values: FloatArray) -> None:
        """Keep the values of keys, ascending, that are not known."""
        at = np.searchsorted(self.keys, keys)
        self.keys, self.values = np.insert(self.keys, at, keys), np.insert(self.values, at, values, axis=0)

    def at(self, keys: IntArray) -> FloatArray:
        """Give the values of known keys."""
        return self.values[np.searchsorted(self.keys, keys)]


class Solved:
    """The chains that were solved for some targets; ``together``: classes share replicas, and bear what all of them bear."""

    def __init__(self, targets: tuple[LatencyTarget, ...], spread_factor: float, *, together: bool) -> None:
        self._targets, self._spread, self._together = targets, spread_factor, together
        self._forget()

    def _forget(self) -> None:
        self._levels: dict[bytes, int] = {}
        self._borne, self._rates = _Memory(len(self._targets)), _Memory(1 + len(self._targets))

    def of(self, companies: Sequence[Sequence[Length]], rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Give what rows carry of the length of each class of each company, one after another, and the times then reached.

        Returns
        -------
        rates, shape (n_classes_of_all, n_rows), NaN where nothing is known; times, ms, (n_classes_of_all, n_rows, n_targets)
        """
        if len(self._rates.keys) > MOST_CHAINS or len(self._levels) > MOST_LEVELS // 2:
            self._forget()
        asked = _Asked.of(companies, rows)
        size, of_class, borne, here = asked.size, asked.length, None, (asked.length[:, None], np.arange(len(rows)))
        if self._together:
            begin = np.cumsum([0, *(len(c) for c in companies[:-1])])
            of_class = np.repeat(np.arange(len(companies)), [len(c) for c in companies])
            size = np.minimum.reduceat(size[asked.length], begin, axis=0)
            level = self._level(_told(size, None))[of_class]
            each = self._remembered(self._borne, asked, here, level, size[of_class], None, np.inf)
            borne = np.minimum.reduceat(each, begin, axis=0)
        level, all_borne = self._level(_told(size, borne))[of_class], None if borne is None else borne[of_class]
        found = self._remembered(self._rates, asked, here, level, size[of_class], all_borne, np.nan)
        return found[:, :, 0], found[:, :, 1:]

    def of_some(
        self, companies: Sequence[Sequence[Length]], rows: Sequence[Sequence[int]]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Give the same of some rows of each company alone, company by company: (n_rows, n_classes) and the times."""
        if len(self._rates.keys) > MOST_CHAINS or len(self._levels) > MOST_LEVELS // 2:
            self._forget()
        asked = _Asked.of(companies, np.arange(len(companies[0][0].size)))
        row = np.concatenate([np.repeat(mine, len(c)) for c, mine in zip(companies, rows, strict=True)])
        each = zip(np.split(asked.length, np.cumsum([len(c) for c in companies])[:-1]), rows, strict=True)
        place = np.concatenate([np.tile(mine, len(of)) for mine, of in each])
        count = np.array([len(c) for c, mine in zip(companies, rows, strict=True) for _ in mine])
        group, size, borne = np.repeat(np.arange(len(count)), count), asked.size[place, row], None
        if self._together:
            first = np.cumsum(count) - count
            size = np.minimum.reduceat(size, first)[group]
            bearing = self._remembered(self._borne, asked, (place, row), self._level(_told(size, None)), size, None, np.inf)
            borne = np.minimum.reduceat(bearing, first, axis=0)[group]
        found = self._remembered(self._rates, asked, (place, row), self._level(_told(size, borne)), size, borne, np.nan)
        ends = np.cumsum([len(c) * len(mine) for c, mine in zip(companies, rows, strict=True)])[:-1]
        blocks = zip(np.split(found, ends), rows, strict=True)
        shaped = [block.reshape(len(mine), -1, found.shape[1]) for block, mine in blocks]
        return [(block[:, :, 0], block[:, :, 1:]) for block in shaped]

    def _level(self, told: FloatArray) -> IntArray:
        """Give a number to what is told of each place, shape (..., width): one for all places of which the same is told."""
        raw = np.ascontiguousarray(told).view(np.dtype((np.void, told.itemsize * told.shape[-1])))
        different, which = np.unique(raw.reshape(-1), return_inverse=True)
        numbers = [self._levels.setdefault(one.tobytes(), len(self._levels)) for one in different]
        return np.array(numbers, dtype=np.int64)[which.reshape(told.shape[:-1])]

    def _remembered(
        self,
        memory: _Memory,
        asked: _Asked,
        where: tuple[IntArray, IntArray],
        level: IntArray,
        size: FloatArray,
        borne: FloatArray | None,
        unknown: float,
    ) -> FloatArray:
        """Give what a memory holds of the lengths and rows ``where``, shape (..., width); what it lacks is solved first."""
        length, row = np.broadcast_arrays(*where)
        chain, there = asked.numbers[where[0]] * asked.n_rows + asked.rows[where[1]], asked.grid[where] != NO_GRID
        keys, first = np.unique((chain * MOST_LEVELS + level)[there], return_index=True)
        new = memory.missing(keys)
        if new.any():
            mine = tuple(index[first[new]] for index in np.nonzero(there))
            bounds = size[mine], None if borne is None else borne[mine]
            memory.add(keys[new], self._solve(memory, asked, length[mine], row[mine], *bounds))
        found = np.full((*there.shape, memory.values.shape[1]), unknown)
        found[there] = memory.at((chain * MOST_LEVELS + level)[there])
        return found

    def _solve(
        self, memory: _Memory, asked: _Asked, length: IntArray, r: IntArray, size: FloatArray, borne: FloatArray | None
    ) -> FloatArray:
        """Solve the chains of lengths on rows ``r``: what they bear in flight, or their rates and times reached."""
        row, outputs = asked.rows[r], np.array([x.output_tokens for x in asked.lengths])
        found = np.empty((len(length), memory.values.shape[1]))
        for number, grid in enumerate(asked.grids):
            mine = np.flatnonzero(asked.grid[length, r] == number)
            ttft, tpot = (asked.times_ms[length[mine], quantity, row[mine], : len(grid)] for quantity in (0, 1))
            for places, given in batches(grid, ttft, tpot, outputs[length[mine]], size[mine]):
                at = mine[places]
                if memory is self._borne:
                    found[at] = bearable(given, self._targets, self._spread)
                    continue
                rates = largest_rates(given, self._targets, self._spread, None if borne is None else borne[at])
                found[at, 0] = np.where(np.isfinite(ttft[places, 0]), rates.per_s, np.nan)
                found[at, 1:] = rates.reached_ms
        return found


def _told(size: FloatArray, borne: FloatArray | None) -> FloatArray:
    """Give what chains hang on beside their length and row: the most in flight, and what their company bears."""
    return size[..., None] if borne is None else np.concatenate([size[..., None], borne], axis=-1)


@dataclass(frozen=True, eq=False)
class _Asked:
    """Rows and the lengths of classes: ``length`` (n_classes,) is the place of each one's among ``lengths``.

    ``size`` and ``grid`` (a place in ``grids``) have shape (n_lengths, n_rows), ``numbers`` (n_lengths,); ``times_ms`` holds all
    ``n_rows`` there are, (n_lengths, 2, n_all_rows, n_points).
    """

    lengths: tuple[Length, ...]
    length: IntArray
    rows: IntArray
    size: FloatArray
    grids: tuple[FloatArray, ...]
    grid: IntArray

    @classmethod
    def of(cls, companies: Sequence[Sequence[Length]], rows: IntArray) -> _Asked:
        lengths = {length.number: length for company in companies for length in company}
        place, grids, grid = {number: at for at, number in enumerate(lengths)}, dict[bytes, int](), []
        for length in lengths.values():
            mine = [grids.setdefault(g.tobytes(), len(grids)) for g in length.grids]
            grid.append(np.array([*mine, NO_GRID], dtype=np.int64)[length.grid[rows]])  # none is the last
        return cls(
            tuple(lengths.values()),
            np.array([place[length.number] for company in companies for length in company], dtype=np.int64),
            rows,
            np.stack([length.size[rows] for length in lengths.values()]),
            tuple(np.frombuffer(raw) for raw in grids),
            np.stack(grid),
        )

    @property
    def numbers(self) -> IntArray:
        return np.array([length.number for length in self.lengths], dtype=np.int64)

    @property
    def n_rows(self) -> int:
        return len(self.lengths[0].size)

    @cached_property
    def times_ms(self) -> FloatArray:
        width = max(length.times_ms.shape[2] for length in self.lengths)
        found = np.full((len(self.lengths), 2, self.n_rows, width), np.nan)
        for times, length in zip(found, self.lengths, strict=True):
            times[:, :, : length.times_ms.shape[2]] = length.times_ms
        return found
