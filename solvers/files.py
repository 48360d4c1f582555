"""Model to MPS and LP text (being built)."""

from solvers.model import Model


def to_mps(model: Model) -> str:
    """Model as free-format MPS text."""
    raise NotImplementedError


def to_lp(model: Model) -> str:
    """Model as LP text."""
    raise NotImplementedError
