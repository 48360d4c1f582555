"""Load points and what is predicted for them, as columns: the currency between profiles, roofline and the command line.

Times ms, rates output tokens/s of the whole deployment; one entry a point, NaN for what is blank or cannot be said.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Codes", "Points", "Predictions", "codes", "rate_of"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
Strings = Sequence[str] | NDArray[np.object_]
MaybeStrings = Sequence[str | None] | NDArray[np.object_]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Points:
    """Load points as columns of equal length; numbers are float arrays with NaN for blank, ``engine`` may hold None."""

    model: Strings
    compression: Strings
    accelerator: Strings
    precision: Strings
    tensor: Array
    pipeline: Array
    attention_data: Array
    expert: Array
    accelerators: Array
    engine: MaybeStrings
    engine_version: MaybeStrings
    input_tokens: Array
    output_tokens: Array
    concurrency: Array

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")

    def __len__(self) -> int:
        """Give the number of points."""
        return len(self.model)

    def take(self, index: NDArray[Any]) -> Points:
        """Give some of the points, by place or by mask."""
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            array = column if isinstance(column, np.ndarray) else np.array(column, dtype=object)
            columns[field.name] = array[index]
        return Points(**columns)

    def at(self, concurrency: Array) -> Points:
        """Give the same points at another load."""
        return replace(self, concurrency=concurrency)


@dataclass(frozen=True)
class Predictions:
    """What points are expected to do: arrays of shape (n_points,), NaN where nothing can be said.

    ``low`` and ``high`` bound the rate: its 90 % band. ``quality`` holds ``Quality`` values.
    """

    ttft_ms: Array
    tpot_ms: Array
    output_tokens_per_s: Array
    low: Array
    high: Array
    quality: NDArray[np.object_]


def codes(column: Sequence[Key] | NDArray[Any]) -> tuple[list[Key], Codes]:
    """Give the distinct values of a column, in order of appearance, and for each point its place among them.

    >>> codes(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    seen: dict[Key, int] = {}
    values = column.tolist() if isinstance(column, np.ndarray) else column
    index = np.fromiter((seen.setdefault(value, len(seen)) for value in values), dtype=np.intp, count=len(column))
    return list(seen), index


def rate_of(concurrency: Array, output_tokens: Array, ttft_ms: Array, tpot_ms: Array) -> Array:
    """Output tokens/s of requests in flight, by Little's law; one output token takes the time to the first.

    >>> float(rate_of(np.array([4.0]), np.array([101.0]), np.array([500.0]), np.array([5.0]))[0])
    404.0
    """
    rest = np.where(output_tokens > 1, (output_tokens - 1.0) * tpot_ms, 0.0)
    rate: Array = 1e3 * concurrency * output_tokens / (ttft_ms + rest)
    return rate
