"""Answers for requests with known lengths: a chain on a measured curve where one speaks for the shape, else on the roofline.

For each configuration and class: the measured curve of the same shape, or one interpolated inside the hull of measured shapes
(``derived``); else the roofline, anchored to the nearest measured shape where there is one (``modelled``). With fewer than three
concurrencies a configuration has no curve: its points still anchor the roofline. Workloads without a latency target take the
largest rate of any measured point of the same shape, however few there are. Rates per second in the class's unit, times ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model, Quality, worst
from optimizer.performance.chain import Chains, bearable, chains, largest_rates, most_known
from optimizer.performance.figures import Answer, Kind, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.modelled import CONCURRENCIES, Anchor, anchored, predicted, requests_in_memory
from optimizer.performance.profiles import MIN_CONCURRENCIES, Configuration, Curve, Shape, curves_at_shape, nearest_curve
from optimizer.performance.roofline import Roofline

__all__ = [
    "Group",
    "Results",
    "alike",
    "batches",
    "measured_answers",
    "measured_groups",
    "modelled_answers",
    "modelled_groups",
    "roofline_source",
    "sources_of",
]

FloatArray = npt.NDArray[np.float64]
_Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray, FloatArray]
"""Rows, columns, concurrencies, and TTFT and TPOT (ms), shape (2, n_places, n_concurrencies)."""

BATCH = 256
"""Chains solved together: few enough for their states to stay in a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What chains say of some configurations: shapes (n_configurations, n_classes[, n_targets]); NaN until known."""

    rate_per_s: FloatArray
    reached_ms: FloatArray
    lightest_ms: FloatArray
    quality: list[list[Quality]] = field(default_factory=list)
    basis: list[list[str]] = field(default_factory=list)

    @classmethod
    def empty(cls, question: Question, count: int) -> Results:
        """Give results of which nothing is known yet."""
        shape = count, len(question.classes)
        times = np.full((*shape, len(question.targets)), np.nan)
        blank = [[Quality.MEASURED] * shape[1] for _ in range(count)]
        return cls(np.full(shape, np.nan), times, times.copy(), blank, [[""] * shape[1] for _ in range(count)])

    def solve(self, question: Question, groups: Sequence[Group], *, together: bool) -> None:
        """Fill the places of groups of chains with their rates; classes served together bear in flight what all of them bear."""
        outputs, size = np.array([o for _, o in question.shapes], dtype=np.float64), np.full(self.rate_per_s.shape, np.inf)
        for group in groups:
            size[group.where] = group.size
        if together:
            size[:] = size.min(axis=1, keepdims=True)
        solved = []
        for group in groups:
            rows, classes = group.where
            for places, given in batches(group.grid, *group.times_ms, outputs[classes], size[group.where]):
                solved.append(((rows[places], classes[places]), group.times_ms[0][places, 0], given))
        borne = np.full(self.reached_ms.shape, np.inf)
        for at, _, given in solved if together else ():
            borne[at] = bearable(given, question.targets, question.spread_factor)
        borne = borne.min(axis=1, initial=np.inf)
        for at, first, given in solved:
            rates = largest_rates(given, question.targets, question.spread_factor, borne[at[0]] if together else None)
            self.rate_per_s[at] = np.where(np.isfinite(first), rates.per_s * question.units_per_request[at[1]], np.nan)
            self.reached_ms[at], self.lightest_ms[at] = rates.reached_ms, rates.lightest_ms


def batches(
    grid: FloatArray, ttft_ms: FloatArray, tpot_ms: FloatArray, output_tokens: FloatArray, size: FloatArray
) -> Iterator[tuple[npt.NDArray[np.intp], Chains]]:
    """Build chains of at most ``size`` in flight from times on one grid, a batch at a time: the places, and their chains."""
    order = np.argsort(size, kind="stable")  # chains of like length together waste the fewest states
    for places in np.split(order, range(BATCH, len(order), BATCH)):
        yield places, chains(grid, ttft_ms[places], tpot_ms[places], output_tokens[places], size[places])


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Chains on one grid of concurrencies: their places (rows, classes), TTFT and TPOT (n_places, n_concurrencies) and limits."""

    where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    grid: FloatArray
    times_ms: tuple[FloatArray, FloatArray]
    most: FloatArray | float = np.inf

    @property
    def size(self) -> FloatArray:
        """Give the most requests in flight of each chain alone: what was measured, and what memory holds."""
        return np.minimum(most_known(self.grid, *self.times_ms), self.most)


def measured_answers(
    question: Question, curves: Mapping[Configuration, Sequence[Curve]], roofline: Roofline
) -> dict[Configuration, Answer]:
    """Answer for every configuration with closed-loop points."""
    results, groups = measured_groups(question, curves, roofline)
    results.solve(question, groups, together=question.is_mixed)
    return {
        configuration: _answer(question, results, row, configuration, sources_of(mine))
        for row, (configuration, mine) in enumerate(curves.items())
    }


def measured_groups(
    question: Question,
    curves: Mapping[Configuration, Sequence[Curve]],
    roofline: Roofline,
    rows_alike: Sequence[Sequence[int]] | None = None,
) -> tuple[Results, list[Group]]:
    """Give the chains of every configuration with closed-loop points for each class, and what stands behind them.

    Configurations measured alike (``alike``) are worked out together.
    """
    results, fewest = Results.empty(question, len(curves)), MIN_CONCURRENCIES if question.targets else 1
    configurations = list(curves)
    by_grid: dict[bytes, list[_Places]] = defaultdict(list)
    anchors: list[tuple[int, int, Anchor]] = []
    for rows in alike(curves) if rows_alike is None else rows_alike:
        group = [curves[configurations[row]] for row in rows]
        for column, shape in enumerate(question.shapes):
            match = curves_at_shape(group, *shape, fewest=fewest)
            if match is None:
                anchors += [
                    (r, column, Anchor(configurations[r], nearest_curve(m, shape), shape))
                    for r, m in zip(rows, group, strict=True)
                ]
                continue
            grid, times_ms, measured_at, quality = match
            blended = measured_at not in {curve.shape for curve in group[0]}
            words = _curve_words(grid, measured_at, "log-linear between measured shapes" if blended else str(quality), question)
            for row in rows:
                results.quality[row][column], results.basis[row][column] = quality, words
            by_grid[grid.tobytes()].append((np.array(rows), np.full(len(rows), column), grid, times_ms))
    groups = []
    for places in by_grid.values():
        where = np.concatenate([p[0] for p in places]), np.concatenate([p[1] for p in places])
        times = np.concatenate([p[3] for p in places], axis=1)
        groups.append(Group(where, places[0][2], (times[0], times[1])))
    if anchors:
        groups.append(_anchor(results, anchors, roofline))
    return results, groups


def alike(curves: Mapping[Configuration, Sequence[Curve]]) -> list[list[int]]:
    """Group the rows that were measured at the same lengths and concurrencies, as well."""
    found = defaultdict[Hashable, list[int]](list)
    for row, mine in enumerate(curves.values()):
        found[tuple((curve.shape, curve.concurrency.tobytes(), curve.quality) for curve in mine)].append(row)
    return list(found.values())


def _anchor(results: Results, anchors: Sequence[tuple[int, int, Anchor]], roofline: Roofline) -> Group:
    """Give chains on the roofline for (row, column) places, anchored to the nearest measured shape of each configuration."""
    times = anchored(roofline, [anchor for _, _, anchor in anchors])
    for (row, column, anchor), quality in zip(anchors, times.quality, strict=True):
        results.quality[row][column] = worst([Quality.MODELLED, quality])
        results.basis[row][column] = _roofline_words(anchor.nearest)
    where = np.array([row for row, _, _ in anchors]), np.array([column for _, column, _ in anchors])
    safe_ttft, safe_tpot = times.safe_ms()
    return Group(where, CONCURRENCIES, (safe_ttft[:, 0], safe_tpot[:, 0]))


def modelled_answers(
    question: Question,
    model: Model,
    configurations: Sequence[Configuration],
    accelerators: Mapping[str, Accelerator],
    roofline: Roofline,
) -> dict[Configuration, Answer]:
    """Answer for configurations that nobody measured, from the roofline alone."""
    if not configurations:
        return {}
    of_rows = [accelerators[c.accelerator] for c in configurations]
    most, refused = requests_in_memory(model, configurations, question.shapes, of_rows)
    answers: dict[Configuration, Answer] = {configurations[row]: why for row, why in refused.items()}
    rows = [row for row in range(len(configurations)) if row not in refused]
    kept = [configurations[row] for row in rows]
    results, groups = modelled_groups(question, kept, most[rows], roofline)
    results.solve(question, groups, together=question.is_mixed)
    source = roofline_source(model)
    return answers | {c: _answer(question, results, row, c, source) for row, c in enumerate(kept)}


def modelled_groups(
    question: Question, configurations: Sequence[Configuration], most: FloatArray, roofline: Roofline
) -> tuple[Results, list[Group]]:
    """Give the chains of the roofline for each class, but where ``most``, the requests that fit into memory, is below one."""
    results = Results.empty(question, len(configurations))
    if not configurations:
        return results, []
    times = predicted(roofline, configurations, question.shapes)
    for row, quality in enumerate(times.quality):
        results.quality[row][:] = [worst([Quality.MODELLED, quality])] * len(question.classes)
        results.basis[row][:] = [_roofline_words(None)] * len(question.classes)
    where = np.nonzero(~(most < 1))
    safe_ttft, safe_tpot = (safe[where] for safe in times.safe_ms())
    limit = np.where(np.isfinite(most), most, np.inf)[where]
    return results, [Group((where[0], where[1]), CONCURRENCIES, (safe_ttft, safe_tpot), limit)]


def roofline_source(model: Model) -> str:
    """Say where modelled figures are from."""
    return f"roofline; {model.source}"


def _curve_words(grid: FloatArray, shape: Shape, how: str, question: Question) -> str:
    load = f"{grid[0]:g} to {grid[-1]:g} in flight"
    what = f"chain on {len(grid)} concurrencies, {load}" if question.targets else f"largest rate, {load}"
    return f"{what}, {shape[0]}/{shape[1]} tokens, {how}"


def _roofline_words(nearest: Curve | None) -> str:
    anchor = "" if nearest is None else f" anchored at {nearest.input_tokens}/{nearest.output_tokens}"
    return f"chain on the roofline{anchor}, low end of its band"


def sources_of(curves: Iterable[Curve]) -> str:
    """Give the first source and how many more points stand behind a configuration."""
    sources = list(dict.fromkeys(source for curve in curves for source in curve.sources))
    return sources[0] + (f" and {len(sources) - 1} more points" if len(sources) > 1 else "")


def _answer(question: Question, results: Results, row: int, configuration: Configuration, source: str) -> Answer:
    """Turn one row of results into an estimate, or into the reason that decided."""
    rates = results.rate_per_s[row].tolist()
    unknown = next((shape for shape, rate in zip(question.shapes, rates, strict=True) if isnan(rate)), None)
    if unknown is not None:
        message = (
            f"no measured curve speaks for {unknown[0]}/{unknown[1]} tokens and the roofline lacks a figure of the model or card"
        )
        return Rejection(RejectionCode.SHAPE if configuration.engine else RejectionCode.NO_FIGURE, message)
    if min(rates) <= 0:
        return _too_slow(question, results.lightest_ms[row])
    quality = worst(results.quality[row])
    if question.targets:
        quality = worst([quality, Quality.DERIVED])
    kind = Kind.MODELLED if quality.rank >= Quality.MODELLED.rank else Kind.DERIVED if question.targets else Kind.THROUGHPUT
    return ReplicaEstimate(
        configuration=configuration,
        rate_per_s=results.rate_per_s[row],
        latency_ms=results.reached_ms[row],
        quality=quality,
        kind=kind,
        basis="; ".join(dict.fromkeys(results.basis[row])),
        source=source,
    )


def _too_slow(question: Question, lightest_ms: FloatArray) -> Rejection:
    """Name the class and target whose time at the lightest load is furthest over its bound, with both numbers."""
    bounds = np.array([target.at_most_ms for target in question.targets])
    number, which = divmod(int((lightest_ms / bounds).argmax()), len(bounds))
    target, time = question.targets[which], float(lightest_ms[number, which])
    spread = f"central time x {question.spread_factor:g} for spread"
    return Rejection(
        RejectionCode.LATENCY,
        f"{target.quantity} of class {question.classes[number].name} is {time:.4g} ms at the lightest load ({spread}), "
        f"asked {target.statistic} at most {target.at_most_ms:g} ms",
        time,
        target.at_most_ms,
    )
