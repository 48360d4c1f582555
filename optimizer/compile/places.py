"""What a region costs beside rent: keeping weights there, and sending answers from there to where they were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optimizer.costs.transfer import egress_usd_per_hour
from optimizer.instance import Instance, RequestClass, RoutePrice, ServingWorkload, StoragePrice

__all__ = ["route_price", "storage_price", "transfer_costs"]


def transfer_costs(
    instance: Instance, workloads: Sequence[ServingWorkload], regions: Sequence[str]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Give what sending the answers to each class's peak costs from each region, and what has no price.

    Returns
    -------
    shape (n_workloads, n_classes, n_regions), USD per hour; infinite where a class may not be served or a price is missing; zero
    for a class without demand
    """
    classes = max((len(w.classes) for w in workloads), default=1)
    peaks = np.zeros((len(workloads), classes))
    cost, unpriced = np.zeros((len(workloads), classes, len(regions))), dict[str, None]()
    for number, workload in enumerate(workloads):
        for b, c in enumerate(workload.classes):
            peak = peaks[number, b] = max(c.rate.at(p.name) for p in instance.periods)
            told = peak > 0 and (c.gib_sent > 0 or c.regions_allowed is not None)
            for r, region in enumerate(regions) if told else ():
                if c.regions_allowed is not None and region.partition("/")[2] not in c.regions_allowed:
                    cost[number, b, r] = np.inf
                elif c.gib_sent > 0:
                    missing, usd_per_gib = _usd_per_gib(instance.routes, region, c, workload)
                    cost[number, b, r] = egress_usd_per_hour(c.gib_sent, peak, usd_per_gib)
                    unpriced |= dict.fromkeys(missing)
    for r, region in enumerate(regions) if instance.storage else ():
        if storage_price(instance.storage, region) is None:
            cost[:, :, r] = np.where(peaks > 0, np.inf, 0.0)
            unpriced[f"nothing says what keeping a GiB in {region} costs"] = None
    return cost, tuple(unpriced)


def _usd_per_gib(
    routes: Sequence[RoutePrice], region: str, c: RequestClass, workload: ServingWorkload
) -> tuple[list[str], float]:
    """Give the mean price of what a class sends from a region, infinite if a route has none, and the routes that have none."""
    missing, total = [], 0.0
    for place, share in sorted((c.origins or workload.origins or {}).items()):
        entry = route_price(routes, region, place)
        if entry is not None:
            total += share * entry.usd_per_gib
        elif place != region:
            missing.append(f"nothing says what a GiB from {region} to {place} costs")
    return missing, np.inf if missing else total


def route_price(routes: Sequence[RoutePrice], region: str, place: str) -> RoutePrice | None:
    """Give the entry that fits a route most closely; inside a region only one that names the place."""
    fitting = [x for x in routes if _holds(x, region) and (x.to == place or (x.to is None and place != region))]
    return max(fitting, key=lambda x: (x.to is not None, x.region is not None, x.provider is not None), default=None)


def storage_price(prices: Sequence[StoragePrice], region: str) -> StoragePrice | None:
    """Give the entry that fits a region most closely."""
    fitting = [x for x in prices if _holds(x, region)]
    return max(fitting, key=lambda x: (x.region is not None, x.provider is not None), default=None)


def _holds(entry: RoutePrice | StoragePrice, region: str) -> bool:
    provider, _, name = region.partition("/")
    return entry.provider in (None, provider) and entry.region in (None, name)
