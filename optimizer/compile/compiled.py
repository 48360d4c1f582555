"""The compiled question: candidates, columns and rows as arrays, and the solver model made of them.

FORMULATION.md beside this file states the model in the same names. Column order is that of ``Columns``; each
part is in canonical order, so that the same question always compiles to the same model, however its file is ordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable, candidate_table, tightened
from optimizer.compile.columns import Columns, columns_of
from optimizer.compile.dominance import dominated_candidates, dominated_ways
from optimizer.compile.in_force import Changes
from optimizer.compile.objective import objective
from optimizer.compile.rows import ROW_FAMILIES, stacked
from optimizer.compile.switches import switch_table
from optimizer.compile.training import training_table
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance import Instance
from optimizer.plan import Plan
from solvers import Model, ModelError

__all__ = ["Compiled", "compile_instance", "compile_table"]


@dataclass(frozen=True, eq=False)
class Compiled:
    """A planning question ready to be solved.

    ``dominated_by`` has shape (n_candidates,): the candidate that replaces each, or -1; ``dominated_runs`` (n_runs,) says which
    ways to run a training job another one replaces. ``model`` minimises choice-dependent
    USD per hour; ``row_label`` names one of its rows.
    """

    instance: Instance
    candidates: CandidateTable
    dominated_by: npt.NDArray[np.int64]
    dominated_runs: npt.NDArray[np.bool_]
    columns: Columns
    model: Model
    row_label: Callable[[int], str]

    @property
    def needed_alone(self) -> npt.NDArray[np.bool_]:
        """Say which candidates their owner would still want if nothing were shared; shape (n_candidates,)."""
        owner = self.candidates.workload
        return np.asarray((self.dominated_by < 0) | (owner[self.dominated_by] != owner))

    @property
    def counts(self) -> dict[str, int]:
        """Count candidates: considered, rejected (one entry a reason), dominated, kept."""
        runs = self.columns.training
        rejected = self.candidates.refused + Counter(r.code for r in runs.rejected)
        judged = self.candidates.judged or Counter(kept=len(self.candidates), dominated=int((self.dominated_by >= 0).sum()))
        kept, dominated = judged["kept"] + len(runs), judged["dominated"] + int(self.dominated_runs.sum())
        reasons = {f"rejected: {code.replace('_', ' ')}": rejected[code] for code in sorted(rejected)}
        return {"considered": kept + rejected.total(), **reasons, "dominated": dominated, "kept": kept - dominated}


def compile_instance(
    instance: Instance,
    plan_in_force: Plan | None = None,
    *,
    dominance: bool = True,
    shares: Mapping[str, float] | None = None,
) -> Compiled:
    """Turn an instance into a model; ``dominance`` may be switched off to test that it moves no optimum.

    ``plan_in_force`` matters where ``policy.change`` prices or limits what changes against it; ``shares`` says which part of its
    load a replica may carry of some ``workload: configuration``, where a simulation found that all of it is too much.

    Raises
    ------
    InfeasibleError : a workload has no candidate left
    InvalidInputError : its numbers are too large or too far apart for any solver
    """
    table = candidate_table(instance)
    return compile_table(tightened(table, shares) if shares else table, plan_in_force, dominance=dominance)


def compile_table(
    table: CandidateTable, plan_in_force: Plan | None = None, *, dominance: bool = True, partly: bool = False
) -> Compiled:
    """Turn laid-out candidates into a model, whole arrays at a time.

    ``partly`` says that others share what these workloads rent: commitments may be filled by them too, so that none is left out.
    """
    switches, changes, training = switch_table(table), Changes.of(table, plan_in_force), training_table(table)
    dominated_by = dominated_candidates(table, switches, changes) if dominance else np.full(len(table), -1, dtype=np.int64)
    filled = training.shared_offers | (table.offers.committed & partly)
    kept = np.flatnonzero(dominated_by < 0)
    columns = columns_of(table, switches, changes, training, kept, filled if dominance else None, partly=partly)
    rows = stacked((family(table, columns) for family in ROW_FAMILIES), len(columns.upper))
    cost = objective(table, columns)
    dominated_runs = dominated_ways(columns, rows, cost) if dominance else np.zeros(len(training), dtype=bool)
    upper = columns.upper
    if dominated_runs.any():
        upper = upper.copy()
        upper[columns.first_training + np.flatnonzero(dominated_runs)] = 0.0
    try:
        model = Model(
            objective=cost,
            lower=columns.lower,
            upper=upper,
            integer=columns.integer,
            row_start=rows.row_start,
            column=rows.column,
            value=rows.value,
            row_lower=rows.lower,
            row_upper=rows.upper,
            column_labels=columns.labels,
            row_labels=rows.names.labels,
            row_groups=rows.names.groups,
            name=table.instance.name,
        )
    except ModelError as error:
        problems = [Problem(None, "", problem, "") for problem in error.problems]
        raise InvalidInputError("the instance holds numbers too large or too far apart for any solver", problems) from error
    return Compiled(table.instance, table, dominated_by, dominated_runs, columns, model, rows.names.label)
