"""From what a backend claims to a Solution that is true; every backend's result passes here.

Integers are rounded once. If the rows then fail, the integers are held and the continuous columns solved again as a linear
program. A point that still fails ``check`` is never called a solution: the answer becomes NO_SOLUTION_FOUND, its message
names the violation, and the claimed bound goes with it. A start that is a solution counts as found.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from solvers.check import CheckReport, check, lp_dual_bound, snapped
from solvers.errors import SolverError
from solvers.model import FloatArray, Model
from solvers.options import SolveOptions, usable_start
from solvers.solution import PROVED_GAP, Limit, Solution, Termination, relative_gap

CROSSED_TOLERANCE = 1e-6  # relative: a bound this much above a verified objective is false, not merely rounded
PROVED_ENDS = (Termination.INFEASIBLE, Termination.UNBOUNDED, Termination.INFEASIBLE_OR_UNBOUNDED)

Polish = Callable[[Model], Solution]


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What a backend says, in its own precision; fields as in ``Solution``."""

    termination: Termination
    limit: Limit | None = None
    values: FloatArray | None = None
    dual_bound: float | None = None
    bound_source: str = ""
    row_duals: FloatArray | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Who claims it, and how long it took."""

    backend: str
    version: str
    seconds: float


def accept(model: Model, options: SolveOptions, claim: Claim, author: Author, polish: Polish | None = None) -> Solution:
    """Turn a claim into a Solution whose values, objective, bound and termination agree.

    Parameters
    ----------
    polish : solves a model without integers, used once when rounding breaks a row
    """
    blank = Solution(claim.termination, author.backend, author.version, solve_seconds=author.seconds)
    start = _feasible_start(model, options)
    if claim.termination is Termination.INFEASIBLE and start is not None:
        claim = Claim(
            Termination.NO_SOLUTION_FOUND, Limit.OTHER, message="the backend called infeasible what the start satisfies"
        )
    if claim.termination in PROVED_ENDS:
        return replace(blank, message=claim.message)
    point, report, note = _verified(model, claim.values, polish)
    if claim.values is not None and point is None:
        rejected = f"the backend's point is not a solution: {note}"
        claim = replace(
            claim, dual_bound=None, limit=claim.limit or Limit.OTHER, message="; ".join(filter(None, (claim.message, rejected)))
        )
    if start is not None and (report is None or start[1].objective < report.objective):
        (point, report), note = start, "the start is the best solution known"
    bound, source = _finite(claim.dual_bound), claim.bound_source
    if point is None or report is None:
        return replace(
            blank,
            termination=Termination.NO_SOLUTION_FOUND,
            limit=claim.limit or Limit.OTHER,
            dual_bound=bound,
            bound_source=source if bound is not None else "",
            message=claim.message,
        )
    bound, crossed = _uncrossed(bound, report.objective)
    found = replace(
        blank,
        values=point,
        objective=report.objective,
        dual_bound=bound,
        bound_source=source if bound is not None else "",
        message="; ".join(filter(None, (claim.message, note, crossed))),
        row_duals=claim.row_duals if options.want_duals else None,
        reduced_costs=_reduced_costs(model, claim.row_duals) if options.want_duals else None,
    )
    if found.is_proved_optimal:
        return replace(found, termination=Termination.OPTIMAL)
    gap = found.relative_gap
    at_gap = gap is not None and (gap <= options.relative_gap or claim.termination is Termination.OPTIMAL)
    stopped = claim.limit or (Limit.GAP if at_gap else Limit.OTHER)
    return replace(found, termination=Termination.FEASIBLE, limit=stopped)


def _verified(
    model: Model, values: FloatArray | None, polish: Polish | None
) -> tuple[FloatArray | None, CheckReport | None, str]:
    """Give the point that passes ``check``, its report and a note; or None, None and what is violated."""
    if values is None:
        return None, None, ""
    point = snapped(model, values)
    report = check(model, point)
    if report.is_clean:
        return point, report, ""
    if polish is not None and report.finite and not len(report.fractional) and model.integer.any() and not model.integer.all():
        held = np.clip(point, model.lower, model.upper)
        fixed = model.with_bounds(
            np.where(model.integer, held, model.lower), np.where(model.integer, held, model.upper)
        ).relaxed()
        try:
            again = polish(fixed)
        except SolverError:
            return None, None, report.describe(model)
        if again.values is not None:
            point = snapped(model, again.values)
            if (second := check(model, point)).is_clean:
                return point, second, "continuous columns solved again after rounding the integers"
    return None, None, report.describe(model)


def linear_bound(model: Model, row_duals: FloatArray, word: float, author: str) -> tuple[float, str]:
    """Bound of a linear program and where it comes from: its duals made safe, unless wide bounds of columns spoil that."""
    safe = lp_dual_bound(model, row_duals)
    gap = relative_gap(word, safe)
    if safe is not None and (not np.isfinite(word) or (gap is not None and gap <= PROVED_GAP)):
        return safe, f"{author}'s duals, made safe"
    return word, f"{author}'s word"


def _feasible_start(model: Model, options: SolveOptions) -> tuple[FloatArray, CheckReport] | None:
    """Give the start and its report when it is complete and a solution."""
    start = usable_start(model, options)
    if start is None or len(start[0]) < model.n_columns:
        return None
    point = snapped(model, start[1])
    report = check(model, point)
    return (point, report) if report.is_clean else None


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and np.isfinite(bound) else None


def _uncrossed(bound: float | None, objective: float) -> tuple[float | None, str]:
    """Cap a bound at the objective; drop one that is false."""
    if bound is None or bound <= objective:
        return bound, ""
    if bound - objective <= CROSSED_TOLERANCE * max(1.0, abs(objective)):
        return objective, ""
    return None, f"the backend's bound {bound:.9g} is above a verified objective and was dropped"


def _reduced_costs(model: Model, row_duals: FloatArray | None) -> FloatArray | None:
    if row_duals is None:
        return None
    return model.objective - model.column_sums(model.value * row_duals[model.row])
