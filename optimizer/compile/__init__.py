"""From an instance to a solver model: candidates, dominance, columns, rows."""

from optimizer.compile.candidates import CandidateTable, Rejected, candidate_table, kept_accuracy
from optimizer.compile.compiled import Compiled, compile_instance, compile_table
from optimizer.compile.training import training_table

__all__ = [
    "CandidateTable",
    "Compiled",
    "Rejected",
    "candidate_table",
    "compile_instance",
    "compile_table",
    "kept_accuracy",
    "training_table",
]
