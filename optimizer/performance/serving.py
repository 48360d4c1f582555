"""Answers for requests with known lengths: a chain on a measured curve where one speaks for the shape, else on the roofline.

For each configuration and class: the measured curve of the same shape, or one interpolated inside the hull of measured shapes
(``derived``); else the roofline, anchored to the nearest measured shape where there is one (``modelled``). With fewer than three
concurrencies a configuration has no curve: its points still anchor the roofline. Workloads without a latency target take the
largest rate of any measured point of the same shape, however few there are. Rates per second in the class's unit, times ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Accelerator, Model, Quality, worst
from optimizer.performance.chain import chains, largest_rates
from optimizer.performance.figures import Answer, Kind, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.modelled import CONCURRENCIES, Anchor, anchored, predicted, requests_in_memory
from optimizer.performance.profiles import MIN_CONCURRENCIES, Configuration, Curve, Shape, curve_at_shape
from optimizer.performance.roofline import Roofline

__all__ = ["measured_answers", "modelled_answers"]

FloatArray = npt.NDArray[np.float64]


BATCH = 256
"""Chains solved together: few enough for their states to stay in a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class _Results:
    """What chains say of some configurations: shapes (n_configurations, n_classes[, n_targets]); NaN until known."""

    rate_per_s: FloatArray
    reached_ms: FloatArray
    lightest_ms: FloatArray
    quality: list[list[Quality]] = field(default_factory=list)
    basis: list[list[str]] = field(default_factory=list)

    @classmethod
    def empty(cls, question: Question, count: int) -> _Results:
        shape = count, len(question.classes)
        times = np.full((*shape, len(question.targets)), np.nan)
        blank = [[Quality.MEASURED] * shape[1] for _ in range(count)]
        return cls(np.full(shape, np.nan), times, times.copy(), blank, [[""] * shape[1] for _ in range(count)])

    def solve(
        self,
        question: Question,
        where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
        grid: FloatArray,
        times_ms: tuple[FloatArray, FloatArray],
        most: npt.ArrayLike = np.inf,
    ) -> None:
        """Fill the places (rows, classes) with the rates of their chains; times are (n_places, n_concurrencies)."""
        outputs = np.array([o for _, o in question.shapes], dtype=np.float64)[where[1]]
        limits = np.broadcast_to(np.asarray(most, dtype=np.float64), outputs.shape)
        order = np.argsort(limits, kind="stable")  # chains of like length together waste the fewest states
        for places in np.split(order, range(BATCH, len(order), BATCH)):
            at = where[0][places], where[1][places]
            ttft, tpot = times_ms[0][places], times_ms[1][places]
            found = largest_rates(
                chains(grid, ttft, tpot, outputs[places], limits[places]), question.targets, question.spread_factor
            )
            self.rate_per_s[at] = np.where(np.isfinite(ttft[:, 0]), found.per_s * question.units_per_request[at[1]], np.nan)
            self.reached_ms[at], self.lightest_ms[at] = found.reached_ms, found.lightest_ms


def measured_answers(
    question: Question, curves: Mapping[Configuration, Sequence[Curve]], roofline: Roofline
) -> dict[Configuration, Answer]:
    """Answer for every configuration with closed-loop points."""
    configurations = list(curves)
    results = _Results.empty(question, len(configurations))
    by_grid: dict[tuple[float, ...], list[tuple[int, int, Curve]]] = defaultdict(list)
    anchors: list[tuple[int, int, Anchor]] = []
    for row, configuration in enumerate(configurations):
        mine = curves[configuration]
        for column, shape in enumerate(question.shapes):
            match = curve_at_shape(mine, *shape, fewest=MIN_CONCURRENCIES if question.targets else 1)
            if match is None:
                anchors.append((row, column, Anchor(configuration, _nearest(mine, shape), shape)))
                continue
            curve, results.quality[row][column] = match
            results.basis[row][column] = _curve_words(curve, match[1], question)
            by_grid[tuple(curve.concurrency.tolist())].append((row, column, curve))
    for grid, group in by_grid.items():
        where = np.array([row for row, _, _ in group]), np.array([column for _, column, _ in group])
        times = np.stack([c.ttft_ms for _, _, c in group]), np.stack([c.tpot_ms for _, _, c in group])
        results.solve(question, where, np.array(grid), times)
    if anchors:
        _anchor(question, results, anchors, roofline)
    return {
        configuration: _answer(question, results, row, configuration, _sources(curves[configuration]))
        for row, configuration in enumerate(configurations)
    }


def _nearest(curves: Sequence[Curve], shape: Shape) -> Curve:
    """Give the curve whose lengths are nearest, the larger of the two ratios counting."""
    measured = np.log(np.array([curve.shape for curve in curves], dtype=np.float64))
    return curves[int(np.abs(measured - np.log(shape)).max(axis=1).argmin())]


def _anchor(question: Question, results: _Results, anchors: Sequence[tuple[int, int, Anchor]], roofline: Roofline) -> None:
    """Fill (row, column) places of measured configurations from the roofline, anchored to the nearest measured shape of each."""
    times = anchored(roofline, [anchor for _, _, anchor in anchors])
    for (row, column, anchor), quality in zip(anchors, times.quality, strict=True):
        results.quality[row][column] = worst([Quality.MODELLED, quality])
        results.basis[row][column] = _roofline_words(anchor.nearest)
    where = np.array([row for row, _, _ in anchors]), np.array([column for _, column, _ in anchors])
    safe_ttft, safe_tpot = times.safe_ms()
    results.solve(question, where, CONCURRENCIES, (safe_ttft[:, 0], safe_tpot[:, 0]))


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
    results = _Results.empty(question, len(kept))
    times = predicted(roofline, kept, question.shapes)
    for row in range(len(kept)):
        results.quality[row][:] = [worst([Quality.MODELLED, times.quality[row]])] * len(question.classes)
        results.basis[row][:] = [_roofline_words(None)] * len(question.classes)
    where = np.divmod(np.arange(len(kept) * len(question.classes)), len(question.classes))
    flat = (len(kept) * len(question.classes), len(CONCURRENCIES))
    safe_ttft, safe_tpot = (safe.reshape(flat) for safe in times.safe_ms())
    limit = np.where(np.isfinite(most[rows]), most[rows], np.inf).reshape(-1)
    results.solve(question, where, CONCURRENCIES, (safe_ttft, safe_tpot), limit)
    source = f"roofline; {model.source}"
    return answers | {c: _answer(question, results, row, c, source) for row, c in enumerate(kept)}


def _curve_words(curve: Curve, quality: Quality, question: Question) -> str:
    load = f"{curve.concurrency[0]:g} to {curve.concurrency[-1]:g} in flight"
    how = "measured" if quality is Quality.MEASURED else "log-linear between measured shapes"
    what = f"chain on {len(curve.concurrency)} concurrencies, {load}" if question.targets else f"largest rate, {load}"
    return f"{what}, {curve.input_tokens}/{curve.output_tokens} tokens, {how}"


def _roofline_words(nearest: Curve | None) -> str:
    anchor = "" if nearest is None else f" anchored at {nearest.input_tokens}/{nearest.output_tokens}"
    return f"chain on the roofline{anchor}, low end of its band"


def _sources(curves: Iterable[Curve]) -> str:
    """Give the first source and how many more points stand behind a configuration."""
    sources = list(dict.fromkeys(source for curve in curves for source in curve.sources))
    return sources[0] + (f" and {len(sources) - 1} more points" if len(sources) > 1 else "")


def _answer(question: Question, results: _Results, row: int, configuration: Configuration, source: str) -> Answer:
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
