"""Does a fact fit one field of a match."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fits"]


def fits(wanted: str | Sequence[str] | None, fact: str | None) -> bool:
    """Say whether a fact is what one field of a match wants: nothing in particular, this, or one of these."""
    return wanted is None or fact == wanted or (not isinstance(wanted, str) and fact in wanted)
