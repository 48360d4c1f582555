"""Errors of the solver library; an infeasible model is an answer, not an error.

::

    SolverError
    ├── ModelError                 the model is not one: every problem listed together
    ├── OptionError                an option out of range (also a ValueError)
    ├── CapabilityError            the backend cannot represent the model, or cannot give what was asked
    ├── BackendUnavailableError    no such backend, or it fails to prove itself here
    ├── BackendCrashedError        the backend died or spoke nonsense while solving
    └── SolutionError              values that are not a solution were used as one
"""

from collections.abc import Sequence


class SolverError(Exception):
    """Base of everything raised on purpose by ``solvers``."""


class ModelError(SolverError):
    """A model that no backend may see.

    Attributes
    ----------
    problems : one sentence per problem, in a fixed order
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"invalid model, {len(self.problems)} problem(s): " + "; ".join(self.problems))


class OptionError(SolverError, ValueError):
    """An option that has no meaning, refused before any backend sees it."""


class CapabilityError(SolverError):
    """A backend was asked for what it cannot do exactly.

    Attributes
    ----------
    missing : names of the capabilities it lacks, sorted
    """

    def __init__(self, message: str, missing: Sequence[str] = ()) -> None:
        self.missing = tuple(sorted(missing))
        super().__init__(message)


class BackendUnavailableError(SolverError):
    """No such backend, its package or binary is missing, or it failed its two-variable proof."""


class BackendCrashedError(SolverError):
    """The backend died, or returned something that cannot be read.

    Attributes
    ----------
    output : the end of what it printed, for a bug report
    """

    def __init__(self, message: str, output: str = "") -> None:
        self.output = output
        super().__init__(message)


class SolutionError(SolverError):
    """Values that violate the model were used as a solution."""
