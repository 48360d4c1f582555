"""How much measured points say about a point nobody measured: corrections of the roofline, taken from anchors by likeness.

The correction is the mean of a Gaussian process over log(measured / modelled). Two points are alike in so far as they share
attributes (engine, family, network ...) and lie close (requests in flight, lengths, layout); a point that shares nothing
gets no correction. That is the nearest measured anchor, its weight falling with distance, and many anchors at once.
Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog.efficiencies import Anchors, Surface

__all__ = ["ATTRIBUTES", "UNKNOWN", "AnchorTable", "SurfaceTable", "gaussian", "shared"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

ATTRIBUTES = ("network", "mixture", "accelerator", "family", "precision", "engine", "engine_version", "layout")
UNKNOWN = "unknown"
"""A blank engine version: a value of its own (blank is not any named version)."""
POINT, PLACE = slice(0, 3), slice(3, 6)
"""Coordinates that change from point to point (load, lengths), and those of the layout."""


@dataclass(frozen=True)
class AnchorTable:
    """Anchors ready for comparison: codes of each attribute, shape (n_anchors,), positions, shape (n_anchors, 6)."""

    names: dict[str, dict[str, int]]
    codes: dict[str, Codes]
    position: Array

    @classmethod
    def of(cls, anchors: Anchors) -> AnchorTable:
        """Index the anchors of a catalog."""
        names = {key: {name: place for place, name in enumerate(column.names)} for key, column in anchors.attributes.items()}
        codes = {key: np.array(column.index, dtype=np.intp) for key, column in anchors.attributes.items()}
        return cls(names, codes, np.array(anchors.position, dtype=np.float64).reshape(-1, 6))

    def code(self, attribute: str, names: Sequence[str | None]) -> Codes:
        """Give the code of each name; -1 for a name that no anchor has."""
        known = self.names[attribute]
        return np.array([-1 if name is None else known.get(name, -1) for name in names], dtype=np.intp)

    def same(self, attribute: str, codes: Codes) -> NDArray[np.bool_]:
        """Say which anchors share an attribute with each of some points, shape (n_points, n_anchors)."""
        found: NDArray[np.bool_] = codes[:, None] == self.codes[attribute][None, :]
        return found


def shared(equal: dict[str, NDArray[np.bool_]], alike_in: Sequence[str], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Say which pairs share all the attributes; every pair shares none of them."""
    found = np.ones(shape, dtype=bool)
    for attribute in alike_in:
        found &= equal[attribute]
    return found


def gaussian(left: Array, right: Array, lengths: Array) -> Array:
    """Likeness by distance, exp(-d^2 / 2) with one length a coordinate, shape (n_left, n_right).

    >>> gaussian(np.array([[0.0]]), np.array([[0.0], [2.0]]), np.array([2.0])).round(4).tolist()
    [[1.0, 0.6065]]
    """
    a, b = left / lengths, right / lengths
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    found: Array = np.exp(-np.maximum(squared, 0.0) / 2.0)
    return found


class SurfaceTable:
    """One correction surface, ready to be evaluated for many points of few configurations.

    The Gaussian factors by coordinate, and anchors lie on few distinct loads and shapes: per configuration the weights are summed
    into a (loads, shapes) matrix once, after which a point costs a few thousand multiplications in one matrix product.
    """

    def __init__(self, surface: Surface, anchors: AnchorTable) -> None:
        """Keep the weights and sort the anchors by distinct load and shape."""
        self._surface, self._anchors = surface, anchors
        self._lengths = np.array(surface.lengths)
        self._loads, self._load_of = np.unique(anchors.position[:, 0], return_inverse=True)
        self._shapes, shape_of = np.unique(anchors.position[:, 1:3], axis=0, return_inverse=True)
        self._shape_of = shape_of.reshape(-1)

    def weights(self, codes: dict[str, Codes]) -> Array:
        """Give the weight of every anchor for configurations given by attribute codes, shape (n_configurations, n_anchors)."""
        equal = {attribute: self._anchors.same(attribute, column) for attribute, column in codes.items()}
        shape = (len(next(iter(codes.values()))), len(self._anchors.position))
        total = np.zeros(shape)
        for likeness in self._surface.likenesses:
            total += likeness.sd**2 * shared(equal, likeness.alike_in, shape)
        weighted: Array = total * np.array(self._surface.weights)
        return weighted

    def correction(self, weights: Array, of_point: Codes, position: Array) -> Array:
        """Give the correction of points, shape (n_points,).

        Parameters
        ----------
        weights : of the configurations, from ``weights``
        of_point : the configuration of each point
        position : six logarithms of each point, shape (n_points, 6)
        """
        found = np.empty(len(of_point))
        order = np.argsort(of_point, kind="stable")
        starts = np.searchsorted(of_point[order], np.arange(len(weights) + 1))
        flat = self._surface.flat_share
        for row, (start, stop) in enumerate(pairwise(starts.tolist())):
            here = order[start:stop]
            if not len(here):
                continue
            place = gaussian(position[here[:1], PLACE], self._anchors.position[:, PLACE], self._lengths[PLACE])[0]
            near = self._near(weights[row] * place, position[here])
            found[here] = flat * weights[row].sum() + (1.0 - flat) * near
        return found

    def _near(self, weights: Array, position: Array) -> Array:
        matrix = np.zeros((len(self._loads), len(self._shapes)))
        np.add.at(matrix, (self._load_of, self._shape_of), weights)
        by_load = gaussian(position[:, :1], self._loads[:, None], self._lengths[:1])
        by_shape = gaussian(position[:, 1:3], self._shapes, self._lengths[1:3])
        total: Array = ((by_load @ matrix) * by_shape).sum(axis=1)
        return total
