"""How many random questions a sweep draws: few by default, as many as ALLOCATE_SEEDS says in `.ci/run` and before a release."""

from __future__ import annotations

import os


def seeds(few: int) -> int:
    """Give ALLOCATE_SEEDS, or ``few`` where it is not set."""
    return int(os.environ.get("ALLOCATE_SEEDS", few))
