"""One of many models solved in a process of its own, which loads nothing but its backend."""

import functools

from solvers.backend import Backend
from solvers.model import Model
from solvers.options import SolveOptions
from solvers.registry import get_backend
from solvers.solution import Solution


def solved_by(name: str, model: Model, options: SolveOptions) -> Solution:
    """Give the answer of the backend of that name, which is looked for once in a process."""
    return _backend(name).solve(model, options)


@functools.cache
def _backend(name: str) -> Backend:
    return get_backend(name)
