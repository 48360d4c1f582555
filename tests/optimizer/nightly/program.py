"""The command line as a program: ``python -m tests.optimizer.nightly.program ARGUMENTS``; tests kill it.

The clock stands where the tests' feeds are, for what the job takes as now.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import datetime

from optimizer.cli import main
from optimizer.nightly import job
from solvers import Limit, Termination, registry
from solvers.ortools import OrtoolsBackend
from tests.optimizer.nightly.nights import NOW


class _Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        moment = os.environ.get("ALLOCATE_TEST_NOW")
        return datetime.fromisoformat(moment) if moment else NOW


class OutOfTime:
    """Finds the best plan, and has proved half of it when time is up."""

    name = "fake"
    capabilities = frozenset()

    def version(self):
        return "fake 1"

    def prove(self):
        pass

    def solve(self, model, options, **_):
        found = OrtoolsBackend().solve(model, options)
        return replace(found, termination=Termination.FEASIBLE, limit=Limit.TIME, dual_bound=found.objective / 2)


if __name__ == "__main__":
    job.datetime = _Clock
    if fake := os.environ.get("ALLOCATE_TEST_BACKEND"):
        registry.BUILT_IN |= dict.fromkeys(registry.BUILT_IN, f"tests.optimizer.cli.fakes:{fake}")
    main(sys.argv[1:])
