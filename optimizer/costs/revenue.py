"""What workloads earn: by requests served, by advertising impressions, by subscriptions, by contract.

No cost head: with the objective ``profit`` what is lost by not serving stands beside the bill. USD; means over the month.
Source: the user's own prices and counts; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["revenue_usd_per_hour", "usd_per_served_request"]


def usd_per_served_request(
    usd_per_request: npt.ArrayLike,
    impressions_per_request: npt.ArrayLike = 0.0,
    usd_per_thousand_impressions: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give what one served request earns, ``usd_per_request + impressions usd_per_thousand / 1000``, USD.

    A hundredth of a cent, and two impressions at 5 USD a thousand:

    >>> round(float(usd_per_served_request(0.0001, 2, 5)), 9)
    0.0101
    """
    return as_floats(usd_per_request) + as_floats(impressions_per_request) * as_floats(usd_per_thousand_impressions) / 1000


def revenue_usd_per_hour(
    served_per_hour: npt.ArrayLike,
    usd_each: npt.ArrayLike,
    subscribers: npt.ArrayLike = 0.0,
    usd_per_subscriber_month: npt.ArrayLike = 0.0,
    contract_usd_per_month: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give ``served usd_each + (subscribers usd_per_subscriber_month + contract) / 730``, USD per hour.

    1,000 requests an hour at a cent, 73 subscribers at 20 USD a month, a contract of 730 USD a month:

    >>> float(revenue_usd_per_hour(1000, 0.01, 73, 20, 730))
    13.0
    """
    monthly = as_floats(subscribers) * as_floats(usd_per_subscriber_month) + as_floats(contract_usd_per_month)
    return as_floats(served_per_hour) * as_floats(usd_each) + hourly_usd(monthly)
