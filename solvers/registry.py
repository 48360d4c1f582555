"""Finds backends by name without importing those that are not asked for.

Names come from the entry points ``allocate.backends`` of installed packages and from the built-in table, which serves when
this package runs from a checkout. ``auto`` is the first of the built-in ones that proves itself, once in a process. Entry
points are looked through for other names only: that takes longer than a small solve.
"""

import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from solvers.backend import Backend
from solvers.errors import BackendUnavailableError

ENTRY_POINT_GROUP = "allocate.backends"
BUILT_IN = {"ortools": "solvers.ortools:OrtoolsBackend", "cbc": "solvers.cbc:CbcBackend"}  # best first


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend works here.

    Attributes
    ----------
    name : what to ask ``get_backend`` for
    version : its own words, empty when it does not load
    problem : why it does not work; None when it proved itself
    """

    name: str
    version: str
    problem: str | None

    @property
    def is_available(self) -> bool:
        """Whether it proved itself."""
        return self.problem is None


def backend_names() -> tuple[str, ...]:
    """Names of all backends known, built-in ones first; nothing is imported."""
    return tuple(_places())


def get_backend(name: str = "auto") -> Backend:
    """Load one backend.

    Parameters
    ----------
    name : a known name, ``name:solver`` for a solver inside it (``ortools:scip``), or ``auto``

    Raises
    ------
    BackendUnavailableError : unknown, or it does not load; for ``auto``: none proves itself, with each one's reason.
    """
    if name == "auto":
        return _first_proved(tuple(BUILT_IN.items()))
    family, _, solver = name.partition(":")
    places = BUILT_IN if family in BUILT_IN else _places()
    if family not in places:
        raise BackendUnavailableError(f"no backend {name!r}; known are auto, {', '.join(places)}")
    factory = _load(family, places[family])
    try:
        return factory(solver) if solver else factory()
    except TypeError as error:
        raise BackendUnavailableError(f"backend {family!r} has no solver {solver!r}") from error


def available_backends() -> tuple[Availability, ...]:
    """Load each known backend, let it prove itself, and say what came of it."""
    return tuple(_availability(name) for name in _places())


def _availability(name: str) -> Availability:
    version = ""
    try:
        backend = get_backend(name)
        version = backend.version()
        backend.prove()
    except BackendUnavailableError as error:
        return Availability(name, version, str(error))
    return Availability(name, version, None)


@functools.cache
def _first_proved(built_in: tuple[tuple[str, str], ...]) -> Backend:
    """Give the first that proves itself; what raises is tried again when asked again."""
    reasons = []
    for name, _ in built_in:
        try:
            backend = get_backend(name)
            backend.prove()
        except BackendUnavailableError as error:
            reasons.append(str(error))
        else:
            return backend
    raise BackendUnavailableError("no backend works here: " + "; ".join(reasons))


def _places() -> dict[str, str]:
    """Give name -> ``module:attribute``; a built-in name cannot be taken over."""
    found = {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    return BUILT_IN | {name: found[name] for name in sorted(found) if name not in BUILT_IN}


def _load(name: str, place: str) -> Callable[..., Backend]:
    module, _, attribute = place.partition(":")
    try:
        return cast(Callable[..., Backend], getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise BackendUnavailableError(f"backend {name!r} does not load: {error}") from error
