"""A job of its own for each test."""

from __future__ import annotations

import pytest

from tests.optimizer.nightly.nights import job_in


@pytest.fixture
def job(tmp_path, monkeypatch):
    for name in ("ALLOCATE_NIGHTLY_STORE", "ALLOCATE_NIGHTLY_PUSHGATEWAY", "ALLOCATE_NIGHTLY_WEBHOOK", "ALLOCATE_FAULT"):
        monkeypatch.delenv(name, raising=False)
    return job_in(tmp_path / "job")
