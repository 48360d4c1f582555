"""Starting and stopping replicas between periods: a fee each, and hours of warm-up that are rented before a replica serves.

A month comes round: the first period follows the last. USD each; a change into a period is paid as often as it happens.
Source: the user's own figures; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["changes_usd_per_hour", "start_usd"]


def start_usd(
    usd_per_start: npt.ArrayLike, warm_up_hours: npt.ArrayLike = 0.0, usd_per_replica_hour: npt.ArrayLike = 0.0
) -> FloatArray:
    """Give what one start costs, ``fee + hours rent``, USD.

    2 USD, and a quarter of an hour on eight accelerators of 4 USD/h:

    >>> float(start_usd(2, 0.25, 32))
    10.0
    """
    return as_floats(usd_per_start) + as_floats(warm_up_hours) * as_floats(usd_per_replica_hour)


def changes_usd_per_hour(changes: npt.ArrayLike, usd_each: npt.ArrayLike, per_month: npt.ArrayLike) -> FloatArray:
    """Give what starts (or stops) come to that happen so often a month, ``changes usd_each per_month / 730``, USD per hour.

    Three replicas started every morning at 12 USD, 30.4 mornings a month (365 / 12):

    >>> round(float(changes_usd_per_hour(3, 12, 365 / 12)), 9)
    1.5
    """
    return hourly_usd(as_floats(changes) * as_floats(usd_each) * as_floats(per_month))
