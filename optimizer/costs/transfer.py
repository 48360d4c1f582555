"""Moving data: answers that leave a region for where they were asked, and weights fetched when a replica starts.

GiB and USD per GiB of a route (from region, to origin). A route that is free has price 0; one whose price is not known is NaN.
Providers that bill decimal GB need their price converted (x 1.073741824 a GiB). Source: the provider's price list, as stated in
the instance; the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats

__all__ = ["download_usd_per_hour", "egress_usd_per_hour", "transfer_usd"]

SECONDS_PER_HOUR = 3600.0


def transfer_usd(moved_gib: npt.ArrayLike, usd_per_gib: npt.ArrayLike) -> FloatArray:
    """Give the price of moving something once, USD. Any unit of size will do as long as both figures share it.

    The weights of one starting replica, 140 GiB at 0.02 USD:

    >>> round(float(transfer_usd(140, 0.02)), 9)
    2.8
    """
    return as_floats(moved_gib) * as_floats(usd_per_gib)


def egress_usd_per_hour(gib_per_request: npt.ArrayLike, requests_per_s: npt.ArrayLike, usd_per_gib: npt.ArrayLike) -> FloatArray:
    """Give the price of traffic on a route, ``3600 gib_per_request requests_per_s usd_per_gib``, USD per hour.

    Parameters
    ----------
    gib_per_request : what one request sends over the priced border, both ways if both are priced, GiB
    requests_per_s : rate of the requests that take this route, per second
    usd_per_gib : price of the route, USD/GiB

    100 images a second of a MiB (1/1024 GiB), at 0.0512 USD/GiB:

    >>> round(float(egress_usd_per_hour(1 / 1024, 100, 0.0512)), 9)
    18.0
    """
    return transfer_usd(as_floats(gib_per_request) * as_floats(requests_per_s) * SECONDS_PER_HOUR, usd_per_gib)


def download_usd_per_hour(weights_gib: npt.ArrayLike, usd_per_gib: npt.ArrayLike, starts_per_hour: npt.ArrayLike) -> FloatArray:
    """Give the price of fetching weights at each start of a replica, USD per hour.

    140 GiB at 0.02 USD, ten starts a day (interruptions of spot replicas count as starts):

    >>> round(float(download_usd_per_hour(140, 0.02, 10 / 24)), 6)
    1.166667
    """
    return transfer_usd(weights_gib, usd_per_gib) * as_floats(starts_per_hour)
