"""Backends that misbehave in one way each; also a program: ``python -m tests.optimizer.cli.fakes FAKE ARGUMENTS``."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from solvers import Capability, Limit, Solution, Termination, registry
from solvers.errors import BackendCrashedError, BackendUnavailableError
from solvers.ortools import OrtoolsBackend


class Fake:
    """Proves itself, has a name, and solves nothing."""

    name = "fake"
    capabilities = frozenset(Capability)

    def version(self):
        return "fake 1"

    def prove(self):
        pass


class Dying(Fake):
    def solve(self, model, options, **_):
        raise BackendCrashedError("the solver died by signal 9", "its last words")


class Hung(Fake):
    def solve(self, model, options, **_):
        raise BackendCrashedError("the solver did not answer and was killed")


class Unproved(Fake):
    def prove(self):
        raise BackendUnavailableError("found 3 where -7 is right")

    def solve(self, model, options, **_):
        raise BackendUnavailableError("no binary")


class Broken(Fake):
    def solve(self, model, options, **_):
        raise RuntimeError("a mistake\nof ours")


class Empty(Fake):
    """Reaches the time limit with nothing in hand."""

    def solve(self, model, options, **_):
        return Solution(Termination.NO_SOLUTION_FOUND, "fake", "fake 1", limit=Limit.TIME)


class Slow(Fake):
    """Finds the best plan, has proved half of it, and waits to be stopped."""

    def solve(self, model, options, *, cancel=None, **_):
        found = OrtoolsBackend().solve(model, options)
        _wait_for(cancel)
        return replace(found, termination=Termination.FEASIBLE, limit=Limit.INTERRUPT, dual_bound=found.objective / 2)


class SlowAndEmpty(Fake):
    """Finds nothing and waits to be stopped."""

    def solve(self, model, options, *, cancel=None, **_):
        _wait_for(cancel)
        return Solution(Termination.NO_SOLUTION_FOUND, "fake", "fake 1", limit=Limit.INTERRUPT)


class Deaf(Fake):
    """Heeds no cancel."""

    def solve(self, model, options, *, cancel=None, **_):
        _wait_for(cancel)
        print("not stopping", file=sys.stderr, flush=True)
        time.sleep(30)


def _wait_for(cancel):
    print("solving", file=sys.stderr, flush=True)
    deadline = time.monotonic() + 30
    while not cancel.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)


if __name__ == "__main__":
    from optimizer.cli import main

    registry.BUILT_IN |= dict.fromkeys(registry.BUILT_IN, f"tests.optimizer.cli.fakes:{sys.argv[1]}")
    main(sys.argv[2:])
