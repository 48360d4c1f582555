"""The compiled question: candidates, columns and rows as arrays, and the solver model made of them.

FORMULATION.md beside this file states the model in the same names. Column order is that of ``Columns``; each
part is in canonical order, so that the same question always compiles to the same model, however its file is ordered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable, candidate_table
from optimizer.compile.columns import Columns, columns_of
from optimizer.compile.dominance import dominated_candidates
from optimizer.compile.objective import objective
from optimizer.compile.rows import ROW_FAMILIES, stacked
from optimizer.compile.starts import StartPrices
from optimizer.compile.switches import switch_table
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance import Instance
from solvers import Model, ModelError

__all__ = ["Compiled", "compile_instance", "compile_table"]


@dataclass(frozen=True, eq=False)
class Compiled:
    """A planning question ready to be solved.

    ``dominated_by`` has shape (n_candidates,): the candidate that replaces each, or -1. ``model`` minimises choice-dependent
    USD per hour.
    """

    instance: Instance
    candidates: CandidateTable
    dominated_by: npt.NDArray[np.int64]
    columns: Columns
    model: Model

    @property
    def counts(self) -> dict[str, int]:
        """Count candidates: considered, rejected (one entry a reason), dominated, kept."""
        rejected = Counter(r.code for r in self.candidates.rejected)
        total = len(self.candidates) + len(self.candidates.rejected)
        dominated = int((self.dominated_by >= 0).sum())
        reasons = {f"rejected: {code.replace('_', ' ')}": rejected[code] for code in sorted(rejected)}
        return {"considered": total, **reasons, "dominated": dominated, "kept": len(self.candidates) - dominated}


def compile_instance(instance: Instance, *, dominance: bool = True) -> Compiled:
    """Turn an instance into a model; ``dominance`` may be switched off to test that it moves no optimum.

    Raises
    ------
    InfeasibleError : a workload has no candidate left
    InvalidInputError : its numbers are too large or too far apart for any solver
    """
    return compile_table(candidate_table(instance), dominance=dominance)


def compile_table(table: CandidateTable, *, dominance: bool = True) -> Compiled:
    """Turn laid-out candidates into a model, whole arrays at a time."""
    switches, starts = switch_table(table), StartPrices.of(table)
    dominated_by = dominated_candidates(table, switches, starts) if dominance else np.full(len(table), -1, dtype=np.int64)
    columns = columns_of(table, switches, starts, np.flatnonzero(dominated_by < 0), dominance=dominance)
    rows = stacked([family(table, columns) for family in ROW_FAMILIES])
    try:
        model = Model.from_triplets(
            objective=objective(table, columns),
            lower=0.0,
            upper=columns.upper,
            integer=columns.integer,
            row=rows.row,
            column=rows.column,
            value=rows.value,
            row_lower=rows.lower,
            row_upper=rows.upper,
            column_labels=columns.labels,
            row_labels=rows.labels,
            row_groups=rows.groups,
            name=table.instance.name,
        )
    except ModelError as error:
        problems = [Problem(None, "", problem, "") for problem in error.problems]
        raise InvalidInputError("the instance holds numbers too large or too far apart for any solver", problems) from error
    return Compiled(table.instance, table, dominated_by, columns, model)
