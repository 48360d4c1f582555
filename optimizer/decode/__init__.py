"""From a compiled question and a solver's answer to a plan: the only place where solver floats become counts."""

from optimizer.decode.assemble import decode
from optimizer.decode.baselines import compared_candidates

__all__ = ["compared_candidates", "decode"]
