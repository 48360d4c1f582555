"""How much measured points say about a point nobody measured: corrections of the roofline, taken from anchors by likeness.

The correction is the mean of a Gaussian process over log(measured / modelled). Two points are alike in so far as they share
attributes (engine, family, network ...) and lie close (requests in flight, lengths, layout); a point that shares nothing
gets no correction. That is the nearest measured anchor, its weight falling with distance, and many anchors at once.
Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog.efficiencies import Anchors, Surface

__all__ = ["ATTRIBUTES", "UNKNOWN", "AnchorTable", "Placed", "SurfaceTable", "bits", "gaussian"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

ATTRIBUTES = ("network", "mixture", "accelerator", "family", "precision", "engine", "engine_version", "layout")
UNKNOWN = "unknown"
"""A blank engine version: a value of its own (blank is not any named version)."""
LOAD, SHAPE, PLACE = slice(0, 1), slice(1, 3), slice(3, 6)
"""Coordinates: requests in flight, the two lengths, and those of the layout, which all points of a configuration share."""
CELL_ROWS, POINT_ROWS = 32, 1024
"""Rows of cells, and points, handled together: few enough for their likenesses to stay in a core's cache."""


def bits(attributes: Iterable[str]) -> int:
    """Give a set of attributes as one number, a bit for each.

    >>> bits(["network", "accelerator"])
    5
    """
    return sum(1 << ATTRIBUTES.index(attribute) for attribute in attributes)


@dataclass(frozen=True)
class AnchorTable:
    """Anchors ready for comparison, gathered by the configurations that they were measured on.

    Attributes
    ----------
    names : the code of each name of an attribute
    codes, place : attribute codes, shape (n_configurations,), and the layout's coordinates, shape (n_configurations, 3)
    of_anchor, point : the configuration of each anchor, shape (n_anchors,), its load and lengths, shape (n_anchors, 3)
    """

    names: dict[str, dict[str, int]]
    codes: dict[str, Codes]
    place: Array
    of_anchor: Codes
    point: Array

    @classmethod
    def of(cls, anchors: Anchors) -> AnchorTable:
        """Index the anchors of a catalog."""
        names = {key: {name: place for place, name in enumerate(anchors.attributes[key].names)} for key in ATTRIBUTES}
        position = np.array(anchors.position, dtype=np.float64).reshape(-1, 6)
        columns = [np.array(anchors.attributes[key].index, dtype=np.float64) for key in ATTRIBUTES]
        rows, of_anchor = np.unique(np.column_stack([*columns, position[:, PLACE]]), axis=0, return_inverse=True)
        codes = {key: rows[:, column].astype(np.intp) for column, key in enumerate(ATTRIBUTES)}
        return cls(names, codes, rows[:, len(ATTRIBUTES) :], of_anchor.reshape(-1), position[:, : PLACE.start])

    def alike(self, attributes: Mapping[str, Sequence[str | None]]) -> NDArray[np.uint8]:
        """Give the attributes that some configurations share with those of the anchors, as ``bits``.

        Parameters
        ----------
        attributes : the names of each attribute, shape (n_wanted,) each; None is shared with nothing

        Returns
        -------
        shape (n_wanted, n_configurations)
        """
        found = np.zeros((len(attributes[ATTRIBUTES[0]]), len(self.place)), dtype=np.uint8)
        for key in ATTRIBUTES:
            known = self.names[key]
            wanted = np.array([-1 if name is None else known.get(name, -1) for name in attributes[key]], dtype=np.intp)
            found |= np.uint8(bits([key])) * (wanted[:, None] == self.codes[key])
        return found


def gaussian(left: Array, right: Array, lengths: Array) -> Array:
    """Likeness by distance, exp(-d^2 / 2) with one length a coordinate, shape (n_left, n_right).

    >>> gaussian(np.array([[0.0]]), np.array([[0.0], [2.0]]), np.array([2.0])).round(4).tolist()
    [[1.0, 0.6065]]
    """
    a, b = left / lengths, right / lengths
    squared = np.zeros((len(a), len(b)))
    for column in range(a.shape[1]):  # no matrix product: its last bits hang on how many rows are asked for
        squared += np.subtract.outer(a[:, column], b[:, column]) ** 2
    found: Array = np.exp(squared / -2.0)
    return found


@dataclass(frozen=True)
class Placed:
    """Points ready for comparison: each is of a (configuration, shape) pair and at a load; distinct ones are compared once.

    Attributes
    ----------
    of_point, of_pair, of_load : the configuration, the pair and the load of each point, shape (n_points,)
    pairs : configuration and shape of each pair, shape (n_pairs, 2)
    loads, shapes : logarithms, shapes (n_loads, 1) and (n_shapes, 2)
    """

    of_point: Codes
    of_pair: Codes
    of_load: Codes
    pairs: Codes
    loads: Array
    shapes: Array

    @classmethod
    def of(cls, of_point: Codes, position: Array) -> Placed:
        """Tell apart the loads and the shapes of points, which lie at some positions, shape (n_points, 6)."""
        loads, of_load = _distinct(position[:, LOAD])
        shapes, of_shape = _distinct(position[:, SHAPE])
        keys, of_pair = np.unique(of_point * len(shapes) + of_shape, return_inverse=True)
        pairs = np.stack(np.divmod(keys, max(len(shapes), 1)), axis=1)
        return cls(of_point, of_pair, of_load, pairs, loads, shapes)


class SurfaceTable:
    """One correction surface, ready to be evaluated for many points of few configurations.

    The Gaussian factors by coordinate, and anchors lie on few configurations, loads and shapes: weights are summed over the
    configurations by (load, shape), the cells, then over the shapes, after which a point costs one product for each distinct
    load. All sums run along rows, so that an answer does not hang on what else is asked.
    """

    def __init__(self, surface: Surface, anchors: AnchorTable) -> None:
        """Sort the anchors by cell; cells are sorted by load."""
        self._lengths, self._flat_share, self._place = np.array(surface.lengths), surface.flat_share, anchors.place
        self._variance = np.zeros(1 << len(ATTRIBUTES))
        for likeness in surface.likenesses:
            needed = bits(likeness.alike_in)
            self._variance += likeness.sd**2 * (np.arange(len(self._variance)) & needed == needed)
        order = np.lexsort(anchors.point.T[::-1])
        self._weights, self._of_anchor = np.array(surface.weights)[order], anchors.of_anchor[order]
        self._summed = np.bincount(self._of_anchor, self._weights, len(anchors.place))
        cells, self._start_of_cell = np.unique(anchors.point[order], axis=0, return_index=True)
        loads, self._start_of_load = np.unique(cells[:, LOAD], return_index=True)
        self._loads, (self._shapes, self._shape_of_cell) = loads[:, None], _distinct(cells[:, SHAPE])

    def correction(self, alike: NDArray[np.uint8], place: Array, placed: Placed) -> Array:
        """Give the correction of points, shape (n_points,).

        Parameters
        ----------
        alike, place : of the configurations: what they share with the anchors', and the layout's coordinates
        placed : the points
        """
        likeness = self._variance[alike]
        found: Array = (self._flat_share * (likeness * self._summed).sum(axis=1))[placed.of_point]
        near = self._by_cell((1.0 - self._flat_share) * likeness * gaussian(place, self._place, self._lengths[PLACE]))
        by_load, by_pair = gaussian(placed.loads, self._loads, self._lengths[LOAD]), self._by_pair(near, placed)
        for here in _blocks(len(found), POINT_ROWS):
            found[here] += (by_pair[placed.of_pair[here]] * by_load[placed.of_load[here]]).sum(axis=1)
        return found

    def _by_cell(self, likeness: Array) -> Array:
        """Sum the weights of anchors by cell, times the likeness of configurations to theirs; (n_configurations, n_cells)."""
        found = np.empty((len(likeness), len(self._start_of_cell)))
        for here in _blocks(len(likeness), CELL_ROWS):
            weighted = np.take(likeness[here], self._of_anchor, axis=1) * self._weights
            np.add.reduceat(weighted, self._start_of_cell, axis=1, out=found[here])
        return found

    def _by_pair(self, weights: Array, placed: Placed) -> Array:
        """Sum the weights of cells over shapes, by the likeness of each pair's shape to theirs; shape (n_pairs, n_loads)."""
        by_shape = gaussian(placed.shapes, self._shapes, self._lengths[SHAPE])
        found = np.empty((len(placed.pairs), len(self._loads)))
        for here in _blocks(len(found), CELL_ROWS):
            row, shape = placed.pairs[here].T
            weighted = weights[row] * np.take(by_shape[shape], self._shape_of_cell, axis=1)
            np.add.reduceat(weighted, self._start_of_load, axis=1, out=found[here])
        return found


def _blocks(count: int, size: int) -> Iterable[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _distinct(rows: Array) -> tuple[Array, Codes]:
    """Give the distinct rows and for each row its place among them; columns are numbered first, as rows sort slowly."""
    index = np.zeros(len(rows), dtype=np.intp)
    for column in rows.T:
        values = np.unique(column)
        index = index * len(values) + np.searchsorted(values, column)
    _, first, of_row = np.unique(index, return_index=True, return_inverse=True)
    return rows[first], of_row
