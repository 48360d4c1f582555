"""What a backend proved and found, in one vocabulary; nothing here trusts a solver's word.

Objectives and bounds include the model's offset. The gap is computed here, from both bounds, since backends define theirs
differently.
"""

from dataclasses import dataclass
from enum import StrEnum

from solvers.model import FloatArray

PROVED_GAP = 1e-6  # a relative gap at or below this is a proof


class Termination(StrEnum):
    """What is known when the backend stopped."""

    OPTIMAL = "optimal"  # a solution whose gap is at most PROVED_GAP
    FEASIBLE = "feasible"  # a solution, stopped by a limit (the gap asked is one)
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    INFEASIBLE_OR_UNBOUNDED = "infeasible_or_unbounded"  # the backend did not tell which
    NO_SOLUTION_FOUND = "no_solution_found"  # a limit came before the first solution, or the claimed one was none


class Limit(StrEnum):
    """Which limit stopped the backend."""

    TIME = "time"
    GAP = "gap"
    INTERRUPT = "interrupt"
    NODES = "nodes"
    OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The answer to one solve.

    Attributes
    ----------
    termination : what is known
    backend, backend_version : who says so
    limit : what stopped it, None when nothing did
    values : shape (n,), integers exactly whole, or None when there is no solution
    objective : cost of ``values``, recomputed here, or None
    dual_bound : no solution costs less, or None when unknown or infinite
    bound_source : where the bound comes from and what it was rounded by, in words
    row_duals : shape (m,), change of the optimum per unit of a row's side, when asked of a model without integers
    reduced_costs : shape (n,), c − Aᵀ·row_duals
    solve_seconds : wall time of the call
    message : anything a reader should know besides
    """

    termination: Termination
    backend: str
    backend_version: str
    limit: Limit | None = None
    values: FloatArray | None = None
    objective: float | None = None
    dual_bound: float | None = None
    bound_source: str = ""
    row_duals: FloatArray | None = None
    reduced_costs: FloatArray | None = None
    solve_seconds: float = 0.0
    message: str = ""

    @property
    def relative_gap(self) -> float | None:
        """|objective − bound| ÷ max(|objective|, 1e-9); None when either is unknown."""
        return relative_gap(self.objective, self.dual_bound)

    @property
    def is_proved_optimal(self) -> bool:
        """Whether the gap is at most ``PROVED_GAP``, whatever word the backend used."""
        gap = self.relative_gap
        return gap is not None and gap <= PROVED_GAP


def relative_gap(objective: float | None, dual_bound: float | None) -> float | None:
    """|objective − bound| ÷ max(|objective|, 1e-9), dimensionless; None when either is unknown.

    >>> relative_gap(10.0, 9.0)
    0.1
    """
    if objective is None or dual_bound is None:
        return None
    return abs(objective - dual_bound) / max(abs(objective), 1e-9)
