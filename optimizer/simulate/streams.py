"""Streams of requests: when they come, and of which class they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Stream"]


@dataclass(frozen=True, eq=False)
class Stream:
    """The requests of each replication, in order of arrival.

    Shapes: ``when_s`` (n_replications, n_requests), s; ``classes`` the same, numbers of classes.
    """

    when_s: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, when_s: npt.NDArray[np.float64], rates: Sequence[float], rng: np.random.Generator) -> Stream:
        """Draw the class of each arrival, by the classes' rates."""
        share = np.cumsum(rates)[:-1] / np.sum(rates)
        return cls(when_s, np.searchsorted(share, rng.random(when_s.shape), side="right"))
