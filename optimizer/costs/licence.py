"""Software licences: per accelerator, per instance and flat per platform.

USD per month (a yearly price is divided by 12). Counted on what is rented or owned, idle accelerators of a whole instance
included, since that is what such licences count. Source of the example: 4,500 USD per GPU and year for NVIDIA AI Enterprise,
as told in NVIDIA's earnings call for the third quarter of fiscal 2024 (November 2023); no other price is given here.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["licence_usd_per_hour"]


def licence_usd_per_hour(
    usd_per_accelerator_month: npt.ArrayLike = 0.0,
    accelerators: npt.ArrayLike = 0.0,
    usd_per_instance_month: npt.ArrayLike = 0.0,
    instances: npt.ArrayLike = 0.0,
    usd_per_platform_month: npt.ArrayLike = 0.0,
    platforms: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give the cost of licences, USD per hour: each price times what it counts, over 730.

    ``platforms`` is the switch of a flat licence: 0 where nothing in use needs it, 1 where something does.

    Eight accelerators at 4,500 USD a year are 3,000 USD a month; with a flat 650, 3,650:

    >>> float(licence_usd_per_hour(4500 / 12, 8, usd_per_platform_month=650, platforms=1))
    5.0
    """
    counted = as_floats(usd_per_accelerator_month) * as_floats(accelerators)
    counted = counted + as_floats(usd_per_instance_month) * as_floats(instances)
    return hourly_usd(counted + as_floats(usd_per_platform_month) * as_floats(platforms))
