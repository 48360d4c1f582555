"""A small library for mixed-integer linear programs: a model in, a solution out, no word of any domain.

Names are loaded when first used; importing this package imports no solver.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solvers.backend import Backend, Progress
    from solvers.check import CheckReport, lp_dual_bound
    from solvers.errors import (
        BackendCrashedError,
        BackendUnavailableError,
        CapabilityError,
        ModelError,
        OptionError,
        SolutionError,
        SolverError,
    )
    from solvers.files import to_lp, to_mps
    from solvers.model import Capability, Model
    from solvers.options import SolveOptions
    from solvers.registry import Availability, available_backends, backend_names, get_backend
    from solvers.solution import Limit, Solution, Termination

__all__ = [
    "Availability",
    "Backend",
    "BackendCrashedError",
    "BackendUnavailableError",
    "Capability",
    "CapabilityError",
    "CheckReport",
    "Limit",
    "Model",
    "ModelError",
    "OptionError",
    "Progress",
    "Solution",
    "SolutionError",
    "SolveOptions",
    "SolverError",
    "Termination",
    "available_backends",
    "backend_names",
    "get_backend",
    "lp_dual_bound",
    "to_lp",
    "to_mps",
]

_HOME = {
    "backend": ("Backend", "Progress"),
    "check": ("CheckReport", "lp_dual_bound"),
    "errors": (
        "BackendCrashedError",
        "BackendUnavailableError",
        "CapabilityError",
        "ModelError",
        "OptionError",
        "SolutionError",
        "SolverError",
    ),
    "files": ("to_lp", "to_mps"),
    "model": ("Capability", "Model"),
    "options": ("SolveOptions",),
    "registry": ("Availability", "available_backends", "backend_names", "get_backend"),
    "solution": ("Limit", "Solution", "Termination"),
}
_PLACE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PLACE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
