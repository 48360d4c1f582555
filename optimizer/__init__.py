"""Chooses accelerator type, count, precision and compression for ML workloads at the least total cost, and proves it.

A plan is two calls away: ``load_instance("instances/nlp.json")``, then ``allocate(instance)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.errors import AllocationError, InfeasibleError, InvalidInputError, Problem
    from optimizer.instance import Instance
    from optimizer.pipeline import Options, Progress, allocate
    from optimizer.plan import Plan, load_plan
    from optimizer.read import load_catalogs, load_instance
    from optimizer.solve import Learned, load_learned
    from optimizer.verify import verify_plan

__all__ = [
    "AllocationError",
    "InfeasibleError",
    "Instance",
    "InvalidInputError",
    "Learned",
    "Options",
    "Plan",
    "Problem",
    "Progress",
    "allocate",
    "load_catalogs",
    "load_instance",
    "load_learned",
    "load_plan",
    "verify_plan",
]

_HOME = {
    "AllocationError": "errors",
    "InfeasibleError": "errors",
    "Instance": "instance",
    "InvalidInputError": "errors",
    "Learned": "solve",
    "Options": "pipeline",
    "Plan": "plan",
    "Problem": "errors",
    "Progress": "pipeline",
    "allocate": "pipeline",
    "load_catalogs": "read",
    "load_instance": "read",
    "load_learned": "solve",
    "load_plan": "plan",
    "verify_plan": "verify",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): `allocate --help` pays for nothing it does not use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
