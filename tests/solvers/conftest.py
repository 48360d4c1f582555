"""Fixtures of the solver tests: every backend answers the same tests."""

import os

import pytest

from solvers import Backend, get_backend
from solvers.registry import BUILT_IN


@pytest.fixture(params=[*sorted(BUILT_IN), "ortools:scip"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend; one that is missing fails the test."""
    return get_backend(request.param)


@pytest.fixture(params=sorted(BUILT_IN))
def main_backend(request: pytest.FixtureRequest) -> Backend:
    """Give the two that people ask for."""
    return get_backend(request.param)


@pytest.fixture
def stdout_bytes(tmp_path):
    """Give a function telling what reached descriptor 1 since the test began, from Python and C alike."""
    path = tmp_path / "stdout"
    kept, file = os.dup(1), os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    yield path.read_bytes
    os.dup2(kept, 1)
    os.close(kept)
    os.close(file)
