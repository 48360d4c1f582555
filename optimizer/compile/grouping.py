"""Groups of things that are told apart by small whole numbers, found without sorting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["numbered"]

IntArray = npt.NDArray[np.int64]


def numbered(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Give the different keys, ascending, and which of them each is: ``np.unique`` for keys from zero that are not large.

    >>> [found.tolist() for found in numbered(np.array([7, 2, 7, 5]))]
    [[2, 5, 7], [2, 0, 2, 1]]
    """
    there = np.zeros(int(keys.max(initial=-1)) + 1, dtype=bool)
    there[keys] = True
    found, place = np.flatnonzero(there), np.zeros(len(there), dtype=np.int32)
    place[found] = np.arange(len(found))
    return found, place[keys].astype(np.int64)
