"""Keeping weights and data: size times a price per size and month, once for each region in use.

GiB and USD per GiB-month. Weights are kept in every region where a variant serves, data where it is bought. Requests per object
and retrieval fees are not included. Source: the provider's price list, as stated in the instance; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["storage_usd", "storage_usd_per_hour"]


def storage_usd(stored_gib: npt.ArrayLike, usd_per_gib_month: npt.ArrayLike, months: npt.ArrayLike = 1.0) -> FloatArray:
    """Give the price of keeping something for some months, USD. Any unit of size will do as long as both figures share it.

    140 GiB at 0.02 USD for a year:

    >>> round(float(storage_usd(140, 0.02, 12)), 9)
    33.6
    """
    return as_floats(stored_gib) * as_floats(usd_per_gib_month) * as_floats(months)


def storage_usd_per_hour(stored_gib: npt.ArrayLike, usd_per_gib_month: npt.ArrayLike) -> FloatArray:
    """Give the price of keeping something, ``gib usd_per_gib_month / 730``, USD per hour and region.

    36.5 TiB of images (37,376 GiB) at 0.03125 USD is 1,168 USD a month:

    >>> float(storage_usd_per_hour(37376, 0.03125))
    1.6
    """
    return hourly_usd(storage_usd(stored_gib, usd_per_gib_month))
