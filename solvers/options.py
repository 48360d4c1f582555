"""What a caller may ask of a solve: one meaning for all backends, checked before any backend sees it."""

import math
import numbers
from dataclasses import dataclass

import numpy as np

from solvers.errors import OptionError
from solvers.model import FloatArray, IntArray, Model

LARGEST_TIME_LIMIT_S = 1e7  # about four months: far beyond any plan, far below any backend's overflow


@dataclass(frozen=True, slots=True, eq=False)
class SolveOptions:
    """Limits and wishes of one solve.

    Attributes
    ----------
    time_limit_s : wall time, s, ≥ 0; None for no limit
    relative_gap : stop once |objective − bound| ÷ max(|objective|, 1e-9) is at most this, ≥ 0
    threads : threads the backend may use, ≥ 1; runs are repeatable with 1
    seed : of the backend's own randomness, 0 to 2^31 − 1
    start : shape (n,), a point to start from, NaN where unknown; a hint that never changes the optimum
    want_duals : ask for row duals and reduced costs; only for a model without integers
    small : one of many small models: backends that can leave out what pays on large ones only (restarts, symmetry, heuristics)

    Raises
    ------
    OptionError : anything not of the stated kind; a string is never taken for a number.
    """

    time_limit_s: float | None = None
    relative_gap: float = 1e-4
    threads: int = 1
    seed: int = 0
    start: FloatArray | None = None
    want_duals: bool = False
    small: bool = False

    def __post_init__(self) -> None:
        """Refuse what has no meaning; turn numbers into plain floats and ints."""
        if self.time_limit_s is not None:
            _set(self, "time_limit_s", _real("time_limit_s", self.time_limit_s, 0.0, LARGEST_TIME_LIMIT_S))
        _set(self, "relative_gap", _real("relative_gap", self.relative_gap, 0.0, 1.0))
        _set(self, "threads", _whole("threads", self.threads, 1, 1024))
        _set(self, "seed", _whole("seed", self.seed, 0, 2**31 - 1))
        for field in ("want_duals", "small"):
            if not isinstance(getattr(self, field), bool):
                raise OptionError(f"{field}: expected True or False, found {getattr(self, field)!r}")
        if self.start is not None:
            _set(self, "start", _start(self.start))


def usable_start(model: Model, options: SolveOptions) -> tuple[IntArray, FloatArray] | None:
    """Columns and values of the start that a backend may be given: known, whole where needed, inside the bounds.

    Raises
    ------
    OptionError : the start has another length than the model has columns.
    """
    if options.start is None:
        return None
    if len(options.start) != model.n_columns:
        raise OptionError(f"start: expected {model.n_columns} values, found {len(options.start)}")
    known = np.flatnonzero(np.isfinite(options.start))
    values = np.where(model.integer[known], np.rint(options.start[known]), options.start[known])
    return known, np.clip(values, model.lower[known], model.upper[known])


def _set(options: SolveOptions, field: str, value: object) -> None:
    object.__setattr__(options, field, value)


def _real(field: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise OptionError(f"{field}: expected a number, found {value!r}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise OptionError(f"{field}: expected {low:g} to {high:g}, found {value!r}")
    return number


def _whole(field: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise OptionError(f"{field}: expected a whole number, found {value!r}")
    number = int(value)
    if not low <= number <= high:
        raise OptionError(f"{field}: expected {low} to {high}, found {value!r}")
    return number


def _start(value: object) -> FloatArray:
    try:
        start = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"start: expected one number per column: {error}") from error
    if start.ndim != 1:
        raise OptionError(f"start: expected one dimension, found {start.ndim}")
    start.flags.writeable = False
    return start
