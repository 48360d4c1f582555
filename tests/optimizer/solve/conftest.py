"""What tests of shards have in common."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


@pytest.fixture
def sifting(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Have every workload looked at in a shard of its own, in this process."""
    module = importlib.import_module("optimizer.solve.sifted")
    monkeypatch.setattr(module, "FEWEST_CELLS", 1)
    monkeypatch.setattr(module, "CELLS_EACH", 1)
    monkeypatch.setattr(module, "processes_for", lambda _: 1)
    return module
