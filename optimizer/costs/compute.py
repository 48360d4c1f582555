"""Rent of whole instances.

An instance is paid for whole, whatever share of it is used; prices are USD per instance-hour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["rent_usd_per_hour"]


def rent_usd_per_hour(usd_per_instance_hour: npt.ArrayLike, instances: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Give the rent of some instances, USD per hour, elementwise.

    >>> rent_usd_per_hour([4.6, 1.9], [2, 3]).tolist()
    [9.2, 5.699999999999999]
    """
    return np.asarray(usd_per_instance_hour, dtype=np.float64) * np.asarray(instances, dtype=np.float64)
