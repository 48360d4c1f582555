"""What a solver's tolerance left overloaded, mended by hand."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.decode.mending import leave, unload

CELL, KEY = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
"""Two cells that both take two classes."""


@pytest.mark.parametrize("room", [(1 - 1e-9, 0.8), (1 - 1e-9, 0.75)], ids=["beside room", "beside a full cell"])
def test_what_overloads_a_cell_goes_where_it_fits(room: tuple[float, float]) -> None:
    """The second class loads the other cell half as much: it moves there, in exchange for the first where there is no room."""
    load, shares, space = np.array([1.0, 1.0, 1.0, 0.5]), np.full(4, 0.5), np.array(room)
    used = np.bincount(CELL, weights=load * shares)
    unload(0, CELL, KEY, load, shares, used, space)
    assert (np.bincount(CELL, weights=load * shares) <= space + 1e-15).all()
    assert np.bincount(KEY, weights=shares) == pytest.approx([1.0, 1.0], abs=1e-12)
    assert shares == pytest.approx(0.5, abs=1e-8)
    assert used == pytest.approx(np.bincount(CELL, weights=load * shares), abs=1e-15)


def test_where_nothing_fits_all_stays() -> None:
    """Both cells are full, and no exchange spares the first anything."""
    load, shares, space = np.ones(4), np.full(4, 0.5), np.array([1 - 1e-9, 1.0])
    used = np.bincount(CELL, weights=load * shares)
    unload(0, CELL, KEY, load, shares, used, space)
    assert shares.tolist() == [0.5] * 4


@pytest.mark.parametrize(("spare", "excess", "left"), [(0.5, 1e-8, 1e-8), (0.0, 1e-8, 0.0), (0.5, 1e-3, 0.0)])
def test_a_trace_too_much_is_left_unserved_where_that_is_allowed(spare: float, excess: float, left: float) -> None:
    """The second class may be left; never more than a tolerance explains."""
    load, shares, space = np.array([1.0, 1.0, 1.0, 0.5]), np.full(4, 0.5), np.array([1.0 - excess, 1.0])
    used = np.bincount(CELL, weights=load * shares)
    leave(np.array([0, 1]), 0, KEY, load, shares, used, space, np.array([0.0, spare]))
    assert shares == pytest.approx([0.5, 0.5 - left, 0.5, 0.5], abs=1e-13)
    assert (used[0] <= space[0]) == (left > 0)
    assert used == pytest.approx(np.bincount(CELL, weights=load * shares), abs=1e-15)
