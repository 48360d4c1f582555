"""What keeping data in a place and moving it between places costs."""

from __future__ import annotations

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Text

__all__ = ["RoutePrice", "StoragePrice"]


class RoutePrice(Record):
    """What a GiB costs that leaves a region for a place; what is left out fits every provider, region or place.

    The entry that fits most closely holds: one that names the place before one that does not, then region, then provider. What
    goes to a place written ``provider/region`` is free inside that region unless an entry names the place.
    """

    provider: Name | None = None
    region: Name | None = None
    to: Name | None = None
    usd_per_gib: NonNegative
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class StoragePrice(Record):
    """What keeping a GiB in a region costs for a month, and fetching it there once; the entry that fits most closely holds."""

    provider: Name | None = None
    region: Name | None = None
    usd_per_gib_month: NonNegative
    usd_per_gib_fetched: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""
