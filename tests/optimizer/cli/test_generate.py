"""Synthetic instances: the same for a seed, as large and as hard as they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from optimizer.compile import compile_instance
from optimizer.read import load_instance
from optimizer.synthetic import synthetic_document


def test_a_seed_gives_one_instance_and_another_seed_another():
    first, again, other = (synthetic_document(3, seed, shared_supply=True) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("periods", [1, 3])
def test_a_synthetic_instance_compiles_like_any_other(allocate, tmp_path, periods):
    path = tmp_path / "some.json"
    assert (
        allocate("generate", "--workloads", "4", "--seed", "7", "--shared-supply", "--periods", str(periods), "-o", path).code
        == 0
    )
    compiled = compile_instance(load_instance(path))
    table = compiled.candidates
    kept = np.bincount(table.workload[compiled.dominated_by < 0], minlength=4)
    assert kept.min() >= 40
    assert len(table.offers.accelerators) >= 13
    assert any(a.kind == "tpu" for a in compiled.instance.catalogs.accelerators)
    assert {str(table.quality(k)) for k in range(len(table))} == {"assumed"}


def test_only_shared_supply_has_limits_and_only_periods_have_a_day():
    assert "limits" not in synthetic_document(2, 0)
    document = synthetic_document(2, 0, periods=4)
    assert [p["hours"] for p in document["periods"]] == [6.0] * 4
    assert json.dumps(document, allow_nan=False)
