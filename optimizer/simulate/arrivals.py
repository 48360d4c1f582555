"""When requests come: as a Poisson stream, at a variability, in bursts, or as a trace has them. Times s, rates requests/s."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optimizer.errors import InvalidInputError, Problem, UsageError

__all__ = ["Arrivals", "Bursty", "Poisson", "Renewal", "Trace", "arrivals_of", "load_trace", "stated"]

FloatArray = npt.NDArray[np.float64]

FEWEST_IN_TRACE = 1000
LONGEST_SILENCE = 0.05
"""Share of a trace that may pass without an arrival; more is a gap in the record, which would be read as a lull."""


class Arrivals(Protocol):
    """A way in which requests come."""

    @property
    def label(self) -> str:
        """Say it in a few words."""
        ...

    def times(self, rng: np.random.Generator, per_s: float, rows: int, requests: int) -> FloatArray:
        """Give ascending times of independent replications at a mean rate, shape (rows, requests)."""
        ...


@dataclass(frozen=True)
class Poisson:
    """Independent arrivals at a constant rate."""

    @property
    def label(self) -> str:
        """Say it in a few words."""
        return "poisson"

    def times(self, rng: np.random.Generator, per_s: float, rows: int, requests: int) -> FloatArray:
        """Give ascending times, shape (rows, requests)."""
        return np.cumsum(rng.exponential(1.0 / per_s, size=(rows, requests)), axis=1)


@dataclass(frozen=True)
class Renewal:
    """Independent times between arrivals of a squared coefficient of variation: now short, now long, half of the time each."""

    variation: float

    @property
    def label(self) -> str:
        """Say it in a few words."""
        return f"arrivals of variability {self.variation:g}"

    def times(self, rng: np.random.Generator, per_s: float, rows: int, requests: int) -> FloatArray:
        """Give ascending times, shape (rows, requests): exponential of two means, the commoner the shorter."""
        short = 0.5 * (1.0 + math.sqrt((self.variation - 1.0) / (self.variation + 1.0)))
        mean = np.where(rng.random((rows, requests)) < short, 0.5 / short, 0.5 / (1.0 - short))
        return np.cumsum(rng.exponential(size=(rows, requests)) * mean / per_s, axis=1)


def stated(variation: float) -> Arrivals:
    """Give arrivals as an instance states them."""
    return Renewal(variation) if variation > 1 else Poisson()


@dataclass(frozen=True)
class Bursty:
    """Poisson at ``peak`` times the mean rate and at ``2 - peak`` times it, for stretches of exponential length, in turns."""

    peak: float = 1.25
    stretch_s: float = 30.0

    @property
    def label(self) -> str:
        """Say it in a few words."""
        return f"bursty: {self.peak:g} and {2 - self.peak:g} times the rate for {self.stretch_s:g} s on average, in turns"

    def times(self, rng: np.random.Generator, per_s: float, rows: int, requests: int) -> FloatArray:
        """Give ascending times, shape (rows, requests): a stream of rate 1, on a clock that runs at the rate of the moment."""
        marks = np.cumsum(rng.exponential(1.0, size=(rows, requests)), axis=1)
        turns = int(marks[:, -1].max() / (per_s * self.stretch_s) * 1.5) + 60
        lengths = rng.exponential(self.stretch_s, size=(rows, turns))
        high = (np.arange(turns) + rng.integers(0, 2, size=(rows, 1))) % 2 == 0
        ends = np.cumsum(lengths, axis=1)
        passed = np.cumsum(lengths * per_s * np.where(high, self.peak, 2.0 - self.peak), axis=1)
        start = np.zeros(1)
        found = np.empty_like(marks)
        for row in range(rows):
            over = marks[row] - passed[row, -1]
            at = np.interp(marks[row], np.concatenate([start, passed[row]]), np.concatenate([start, ends[row]]))
            found[row] = at + np.maximum(over, 0.0) / per_s
        return found


@dataclass(frozen=True, eq=False)
class Trace:
    """The rhythm of recorded arrivals on their own clock, at the rate asked for: each comes as often as the rates' ratio says.

    Copies of one arrival are spread until the next. Replications start at evenly spaced places; after the end comes the start.
    ``gap_s`` holds the time from each arrival to the next, the mean after the last.
    """

    name: str
    gap_s: FloatArray

    @property
    def label(self) -> str:
        """Say it in a few words."""
        return f"trace {self.name}, {len(self.gap_s)} arrivals"

    def times(self, rng: np.random.Generator, per_s: float, rows: int, requests: int) -> FloatArray:
        """Give ascending times, shape (rows, requests)."""
        each = per_s * float(self.gap_s.mean())
        steps = int(requests / each * 1.1) + 100
        found = np.empty((rows, requests))
        for row in range(rows):
            at, times = row * len(self.gap_s) // rows, np.empty(0)
            end = 0.0
            while len(times) < requests:
                gap = self.gap_s[(at + np.arange(steps)) % len(self.gap_s)]
                copies = np.floor(each + rng.random(steps)).astype(np.int64)
                begins = end + np.concatenate([[0.0], np.cumsum(gap)[:-1]])
                spread = rng.random(int(copies.sum())) * np.repeat(gap, copies) * (each > 1.0)
                times = np.concatenate([times, np.sort(np.repeat(begins, copies) + spread)])
                at, end = at + steps, end + float(gap.sum())
            found[row] = times[:requests]
        return found


def arrivals_of(text: str) -> Arrivals:
    """Read ``poisson``, ``bursty``, ``bursty:PEAK:SECONDS`` or the name of a trace.

    Raises
    ------
    UsageError : numbers of a burst that mean nothing
    InvalidInputError : a trace that cannot be used
    """
    if text == "poisson":
        return Poisson()
    if text != "bursty" and not text.startswith("bursty:"):
        return load_trace(Path(text))
    try:
        found = Bursty(*(float(word) for word in text.split(":")[1:]))
    except (TypeError, ValueError):
        raise UsageError(f"--arrivals {text}: expected bursty:PEAK:SECONDS, such as bursty:1.25:30") from None
    if not (1.0 < found.peak <= 2.0 and 0.0 < found.stretch_s < 1e6):
        raise UsageError(f"--arrivals {text}: expected a peak above 1 and at most 2, and seconds above 0")
    return found


def load_trace(path: Path) -> Trace:
    """Read a trace: a CSV file with a column ``time_s``, ascending, without holes; every problem is told.

    Raises
    ------
    InvalidInputError : it is missing, too short, not sorted, or holds blanks or a long silence
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, strict=True)
            header = next(rows, [])
            if "time_s" not in header:
                raise _refused(path, [Problem(str(path), "line 1", ", ".join(header) or "nothing", "a column time_s")])
            column = header.index("time_s")
            words = [row[column].strip() if column < len(row) else "" for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        hint = "name poisson, bursty, or a CSV file with a column time_s"
        raise _refused(path, [Problem(str(path), "", str(error), "a CSV file in UTF-8", hint)]) from None
    times: list[float] = []
    problems: list[Problem] = []
    for line, word in enumerate(words, 2):
        time_s = _number(word)
        if time_s is None:
            problems.append(Problem(str(path), f"line {line}", repr(word), "seconds", "a trace without blanks"))
        elif times and time_s < times[-1]:
            problems.append(
                Problem(str(path), f"line {line}", f"{word} after {times[-1]:g}", "ascending times", "sort the trace")
            )
        else:
            times.append(time_s)
    return Trace(path.name, _gaps(path, np.array(times), problems))


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if word.isascii() and math.isfinite(value) and "_" not in word else None


def _gaps(path: Path, times: FloatArray, problems: list[Problem]) -> FloatArray:
    """Give the times between arrivals, or refuse the trace."""
    gaps = np.diff(times)
    if len(times) < FEWEST_IN_TRACE:
        problems.append(Problem(str(path), "", f"{len(times)} arrivals", f"at least {FEWEST_IN_TRACE}"))
    elif not gaps.sum() > 0:
        problems.append(Problem(str(path), "", "all arrivals at one moment", "times that pass"))
    elif gaps.max() > LONGEST_SILENCE * gaps.sum():
        at = int(gaps.argmax())
        found = f"no arrival from {times[at]:g} to {times[at + 1]:g} s, {gaps[at] / gaps.sum():.0%} of the trace"
        problems.append(Problem(str(path), "", found, f"no silence above {LONGEST_SILENCE:.0%}", "cut the trace at its gap"))
    if problems:
        shown = problems[:20]
        if len(problems) > len(shown):
            shown.append(Problem(str(path), "", f"and {len(problems) - len(shown)} more", ""))
        raise _refused(path, shown)
    return np.append(gaps, gaps.mean())


def _refused(path: Path, problems: list[Problem]) -> InvalidInputError:
    return InvalidInputError(f"{path} cannot be used as a trace", problems)
