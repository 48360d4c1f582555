"""Fixtures and house rules of the suite: with ALLOCATE_CI=1 a skip is a failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest


def pytest_configure() -> None:
    """Make a run the same wherever it was started: tables as wide as they come, and Ctrl-C heeded, as behind a terminal."""
    os.environ.pop("COLUMNS", None)  # set for the processes of pytest-xdist
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background, and then in what it starts as well
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("ALLOCATE_CI") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and ALLOCATE_CI=1 turns a skip into a failure: {report.longrepr}"
    return report


@pytest.fixture(params=["cbc", "ortools"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name of every backend that must work; a missing one fails where it is used."""
    name: str = request.param
    return name
