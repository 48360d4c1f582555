"""What every backend offers: a model in, a solution out, one meaning for options, progress and cancel.

A backend is stateless: one object may be used from many threads at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from solvers.errors import BackendUnavailableError, CapabilityError, SolverError
from solvers.model import Capability, Model
from solvers.options import SolveOptions
from solvers.solution import Solution, relative_gap

__all__ = ["Backend", "Cancel", "Capability", "OnProgress", "Progress", "check_capabilities", "prove"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a running solve stands; numbers are the backend's word, printed digits only.

    Attributes
    ----------
    seconds : since the call began
    incumbent : objective of the best solution so far, None before the first
    bound : best dual bound so far, None when unknown
    """

    seconds: float
    incumbent: float | None = None
    bound: float | None = None

    @property
    def gap(self) -> float | None:
        """Relative gap of the two, None when either is unknown."""
        return relative_gap(self.incumbent, self.bound)


OnProgress = Callable[[Progress], None]


class Cancel(Protocol):
    """A value that is polled, for example a ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Backend(Protocol):
    """One solver behind the common contract."""

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it represents exactly."""
        ...

    def version(self) -> str:
        """Version of the library and of the solver inside."""
        ...

    def solve(
        self,
        model: Model,
        options: SolveOptions = ...,
        *,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Solution:
        """Solve ``model``; an infeasible model or a limit is an answer.

        ``on_progress`` is called in the calling thread, a few times a second at most. Once ``cancel`` is set the best
        solution known is returned (FEASIBLE, limit INTERRUPT), or NO_SOLUTION_FOUND. KeyboardInterrupt passes through after
        the backend has been stopped.

        Raises
        ------
        CapabilityError : the model cannot be represented exactly.
        OptionError : the start does not fit the model.
        BackendUnavailableError, BackendCrashedError : the backend is missing, or died.
        """
        ...

    def prove(self) -> None:
        """Solve a two-variable model.

        Raises
        ------
        BackendUnavailableError : it cannot be loaded, or its answer is wrong.
        """
        ...


def check_capabilities(name: str, capabilities: frozenset[Capability], model: Model, options: SolveOptions) -> None:
    """Refuse a model that a backend would have to change.

    Raises
    ------
    CapabilityError : naming what is missing.
    """
    needed = model.required_capabilities
    if options.want_duals:
        if Capability.INTEGER in needed:
            raise CapabilityError("duals exist only without integers: fix them with with_bounds() and solve relaxed()", ["duals"])
        needed |= {Capability.DUALS}
    if missing := sorted(needed - capabilities):
        raise CapabilityError(f"backend {name!r} lacks {', '.join(missing)}, which this model needs", missing)


def prove(backend: Backend) -> None:
    """Solve min −x − 2y, 2x + 3y ≤ 12, x, y whole in 0 to 3, whose optimum is −7 (relaxed: −7.5).

    Raises
    ------
    BackendUnavailableError : any other outcome.
    """
    model = Model.from_triplets(
        objective=[-1, -2],
        lower=0,
        upper=3,
        integer=True,
        row=[0, 0],
        column=[0, 1],
        value=[2, 3],
        row_lower=[-np.inf],
        row_upper=[12],
    )
    if Capability.INTEGER not in backend.capabilities:
        model = model.relaxed()
    wanted = -7.0 if Capability.INTEGER in backend.capabilities else -7.5
    try:
        solution = backend.solve(model, SolveOptions(time_limit_s=20.0, relative_gap=0.0))
    except SolverError as error:
        raise BackendUnavailableError(f"backend {backend.name!r}: {error}") from error
    if solution.objective is None or abs(solution.objective - wanted) > 1e-4:
        raise BackendUnavailableError(f"backend {backend.name!r}: found {solution.objective} where {wanted:g} is right")
