"""Reads what solvers print while they run: the incumbent and the bound of the last line that has them.

Printed numbers are rounded; ``safe_bound`` is lowered by what the printing can have added.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solvers.backend import Progress
from solvers.model import FloatArray

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, slots=True)
class Reading:
    """The last incumbent and bound printed, and half a unit of the bound's last digit."""

    incumbent: float | None = None
    bound: float | None = None
    rounding: float = 0.0

    @property
    def safe_bound(self) -> float | None:
        """The bound, lowered by its rounding."""
        return None if self.bound is None else self.bound - self.rounding

    def scaled(self, factor: float) -> "Reading":
        """All numbers times ``factor``."""
        return Reading(_times(self.incumbent, factor), _times(self.bound, factor), self.rounding * factor)

    def progress(self, seconds: float) -> Progress:
        """As a progress report."""
        return Progress(seconds, self.incumbent, self.bound)


# nodes, open, leaves, explored %, bound, incumbent, gap:  R       0       0         0   0.00%   45.6   55.6   18.0% ...
_HIGHS = re.compile(rf"^ ?[A-Za-z]?\s+\d+\s+\d+\s+\d+\s+{_NUMBER}%\s+({_NUMBER}|-?inf)\s+({_NUMBER}|-?inf)\s", re.MULTILINE)

_CBC_NODES = re.compile(rf"({_NUMBER}) best solution, best possible ({_NUMBER})")
_CBC_INCUMBENT = re.compile(rf"Integer solution of ({_NUMBER}) found")
_CBC_RELAXED = re.compile(rf"Continuous objective value is ({_NUMBER})")
_SCIP_CELLS = 18  # time | node | left | LP iter | LP it/n | mem | ... | dualbound | primalbound | gap | compl.


def read_highs(text: str) -> Reading:
    """Last line of HiGHS's branch-and-bound table."""
    found = _HIGHS.findall(text)
    return _reading(*reversed(found[-1])) if found else Reading()


def read_scip(lines: Sequence[str]) -> Reading:
    """Last line of SCIP's table."""
    for line in reversed(lines):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == _SCIP_CELLS and cells[1].isdigit():
            return _reading(cells[15], cells[14])
    return Reading()


def read_cbc(text: str) -> Reading:
    """Last progress line of CBC; before the first, what its incumbent and relaxation lines tell."""
    if found := _CBC_NODES.findall(text):
        return _reading(*found[-1])
    incumbents, relaxed = _CBC_INCUMBENT.findall(text), _CBC_RELAXED.findall(text)
    return _reading(incumbents[-1] if incumbents else "", relaxed[-1] if relaxed else "")


def last_improving_solution(path: Path, n_columns: int) -> FloatArray | None:
    """Read the last complete block of HiGHS's file of improving solutions, shape (n_columns,)."""
    try:
        blocks = path.read_text("ascii", "replace").split("Objective ")
    except OSError:
        return None
    for block in reversed(blocks):
        lines = block.splitlines()
        if block.endswith("\n") and len(lines) == n_columns + 2 and lines[1].startswith("# Columns"):
            return np.array(lines[2:], np.float64)
    return None


def _reading(incumbent: str, bound: str) -> Reading:
    return Reading(_number(incumbent), _number(bound), _half_unit(bound) if _number(bound) is not None else 0.0)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e20 else None


def _half_unit(text: str) -> float:
    """Half a unit of the last digit printed.

    >>> _half_unit("12.34"), _half_unit("1.5e+03")
    (0.005, 50.0)
    """
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return float(0.5 * 10.0 ** (int(exponent or 0) - digits))
