"""Everything `allocate` may refuse, and with which exit code.

::

    AllocationError (1)
    ├── UsageError (2)               a flag, an extra or a path that is not there
    ├── InfeasibleError (3)          no plan can meet the instance; the reasons are in ``problems``
    ├── NoPlanError (4)              a limit was reached before any plan was found
    ├── BackendFailedError (5)       a solver is missing, died, hung or answered nonsense
    ├── InvalidInputError (6)        the instance, a catalog or a plan file is wrong
    ├── CheckFailedError (7)         a check, gate or guard rail refused
    ├── BusyError (8)                another run holds the lock
    ├── UnavailableError (9)         a store, feed or cluster cannot be had; the last plan is kept
    ├── VerificationError (1)        our own plan failed our own verification: a bug
    └── InterruptedByUserError (130) stopped before any plan was found

Exit codes are the contract of docs/design.md; callers branch on the class or on ``exit_code``, never on text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AllocationError",
    "BackendFailedError",
    "BusyError",
    "CheckFailedError",
    "InfeasibleError",
    "InterruptedByUserError",
    "InvalidInputError",
    "NoPlanError",
    "Problem",
    "UnavailableError",
    "UsageError",
    "VerificationError",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it is, what was found, what was expected and what to do.

    >>> print(Problem("nlp.json", "/workloads/1/model", "'bert'", "a model of the catalog", "did you mean 'bert-large'?"))
    /workloads/1/model: found 'bert', expected a model of the catalog; did you mean 'bert-large'?
    """

    file: str | None
    pointer: str
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        """Give the problem as one line, without the file."""
        where = f"{self.pointer}: " if self.pointer else ""
        wanted = f", expected {self.expected}" if self.expected else ""
        found = f"found {self.found}" if self.expected else self.found
        return f"{where}{found}{wanted}" + (f"; {self.hint}" if self.hint else "")


class AllocationError(Exception):
    """Base of everything this package raises on purpose; ``problems`` holds the facts."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        """Keep the message and its problems, in the order they were found."""
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Give the message, then the problems grouped by file, one indented line each."""
        if not self.problems:
            return self.message
        lines = [self.message]
        for file in dict.fromkeys(p.file for p in self.problems):
            found = [p for p in self.problems if p.file == file]
            if file:
                lines.append(f"{file}: {len(found)} problem{'s' if len(found) > 1 else ''}")
            lines += [f"  {p}" for p in found]
        return "\n".join(lines)


class UsageError(AllocationError):
    """A command or call that cannot be carried out as written, a missing extra included."""

    exit_code = 2


class InfeasibleError(AllocationError):
    """No plan can meet the instance."""

    exit_code = 3


class NoPlanError(AllocationError):
    """A limit was reached before any plan was found."""

    exit_code = 4


class BackendFailedError(AllocationError):
    """A solver backend is missing, died, hung or answered what cannot be."""

    exit_code = 5


class InvalidInputError(AllocationError):
    """An instance, catalog, configuration or plan file is wrong, or a cluster holds another version."""

    exit_code = 6


class CheckFailedError(AllocationError):
    """A check, gate or guard rail refused; the answer to the question asked is no."""

    exit_code = 7


class BusyError(AllocationError):
    """Another run holds the lock; nothing was touched."""

    exit_code = 8


class UnavailableError(AllocationError):
    """A store, feed or cluster cannot be had and nothing good enough is held; the last plan is kept."""

    exit_code = 9


class VerificationError(AllocationError):
    """A plan made here failed the verification made here; a bug, never the user's fault."""


class InterruptedByUserError(AllocationError):
    """Ctrl-C, SIGTERM or a cancel value came before any plan was found."""

    exit_code = 130
