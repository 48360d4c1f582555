"""Blocks of rows compressed one by one make the model that all of their triplets make at once."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.compile.grouping import numbered
from optimizer.compile.rows import RowBlock, stacked
from solvers import Model


@pytest.mark.parametrize("ordered", [False, True])
def test_blocks_stack_to_the_model_of_their_triplets(ordered: bool) -> None:
    """Two blocks drawn at random, with entries at one place, that cancel or are zero, rows without any, in order or not."""
    rng = np.random.default_rng(7)
    for _ in range(300):
        (m, n), k = rng.integers(1, 6, 2).tolist(), int(rng.integers(0, 14))
        row, column, value = rng.integers(0, m, k), rng.integers(0, n, k), rng.integers(-2, 3, k).astype(np.float64)
        if ordered:
            order = np.lexsort((column, row))
            row, column, value = row[order], column[order], value[order]
        cut = int(rng.integers(0, m + 1))
        blocks = [
            RowBlock(
                group=f"rows from {first}",
                row=row[mine] - first,
                column=column[mine],
                value=value[mine],
                lower=np.full(count, -1.0),
                upper=np.full(count, 1.0),
                name=str,
            )
            for first, count, mine in ((0, cut, row < cut), (cut, m - cut, row >= cut))
        ]
        found = stacked(blocks, n)
        sides, bounds = {"row_lower": np.full(m, -1.0), "row_upper": np.full(m, 1.0)}, {"lower": 0, "upper": 1}
        entries = {"row": row, "column": column, "value": value}
        model = Model.from_triplets(objective=np.ones(n), **bounds, integer=True, **entries, **sides)
        for mine, its in ((found.row_start, model.row_start), (found.column, model.column), (found.value, model.value)):
            np.testing.assert_array_equal(mine, its)
        dense, whole = np.zeros((m, n)), np.zeros((m, n))
        np.add.at(whole, (row, column), value)
        dense[model.row, model.column] = model.value
        np.testing.assert_array_equal(dense, whole)
        labels = [f"rows from 0[{r}]" for r in range(cut)] + [f"rows from {cut}[{r}]" for r in range(m - cut)]
        assert found.names.labels() == labels == [found.names.label(r) for r in range(m)]
        assert [f"{group}[" for group in found.names.groups()] == [label[: label.index("[") + 1] for label in labels]


def test_keys_are_numbered_as_by_sorting() -> None:
    rng = np.random.default_rng(3)
    for size in (0, 1, 5, 200):
        keys = rng.integers(0, 90, size)
        for mine, its in zip(numbered(keys), np.unique(keys, return_inverse=True), strict=True):
            np.testing.assert_array_equal(mine, its)
