"""Money over time: months of 730 hours, and one-time amounts spread over a horizon.

Straight-line, without interest: 1 USD spent once over ``m`` months is ``1 / (730 m)`` USD per hour. Amounts USD, horizons months.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["HOURS_PER_MONTH", "MONTHS_PER_YEAR", "FloatArray", "amortised_usd_per_hour", "as_floats", "hourly_usd"]

HOURS_PER_MONTH = 730.0
"""A twelfth of 8760 h, everywhere in this project; a test holds it to the instance's."""
MONTHS_PER_YEAR = 12.0

FloatArray = npt.NDArray[np.float64]


def as_floats(values: npt.ArrayLike) -> FloatArray:
    """Give some numbers as an array of floats, shape as given.

    >>> as_floats([1, 2]).tolist()
    [1.0, 2.0]
    """
    return np.asarray(values, dtype=np.float64)


def hourly_usd(usd_per_month: npt.ArrayLike) -> FloatArray:
    """Give what costs this much a month in USD per hour, elementwise.

    >>> float(hourly_usd(1460))
    2.0
    """
    return as_floats(usd_per_month) / HOURS_PER_MONTH


def amortised_usd_per_hour(usd: npt.ArrayLike, horizon_months: npt.ArrayLike) -> FloatArray:
    """Give a one-time amount as USD per hour of its horizon, ``usd / (730 horizon_months)``, elementwise.

    Parameters
    ----------
    usd : spent once, USD
    horizon_months : months that it serves, > 0

    Raises
    ------
    ValueError : a horizon is not positive; the schema refuses those before they get here

    8,760 USD over 12 months of 730 h:

    >>> float(amortised_usd_per_hour(8760, 12))
    1.0
    """
    months = as_floats(horizon_months)
    if not np.all(months > 0):
        raise ValueError(f"a horizon must be more than 0 months, found {horizon_months!r}")
    return as_floats(usd) / (months * HOURS_PER_MONTH)
