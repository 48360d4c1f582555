"""Keeping a variant up to date: a share of its setup done again every month, or a stated amount a month.

Recurring, for as long as the variant is in use. Repair and service of owned hardware is in `compute`, engineers in `people`.
Source: the user's own figures; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["maintenance_usd_per_hour"]


def maintenance_usd_per_hour(
    setup_usd: npt.ArrayLike = 0.0, setup_share_per_month: npt.ArrayLike = 0.0, usd_per_month: npt.ArrayLike = 0.0
) -> FloatArray:
    """Give the cost of updates, ``(setup share + usd_per_month) / 730``, USD per hour.

    29,200 USD to make, a quarter of that again every month; and 730 USD a month, stated:

    >>> float(maintenance_usd_per_hour(29200, 0.25)), float(maintenance_usd_per_hour(usd_per_month=730))
    (10.0, 1.0)
    """
    return hourly_usd(as_floats(setup_usd) * as_floats(setup_share_per_month) + as_floats(usd_per_month))
