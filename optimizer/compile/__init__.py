"""From an instance to a solver model: candidates, dominance, columns, rows."""

from optimizer.compile.candidates import CandidateTable, Rejected, candidate_table, kept_accuracy, unjudged
from optimizer.compile.compiled import Compiled, compile_instance, compile_table
from optimizer.compile.in_force import replica_key, replica_keys
from optimizer.compile.names import column_names, mixed, names_of
from optimizer.compile.training import training_table

__all__ = [
    "CandidateTable",
    "Compiled",
    "Rejected",
    "candidate_table",
    "column_names",
    "compile_instance",
    "compile_table",
    "kept_accuracy",
    "mixed",
    "names_of",
    "replica_key",
    "replica_keys",
    "training_table",
    "unjudged",
]
