"""Regions: what electricity costs and emits where a provider's region lies.

Prices are retail averages per kWh, not a data centre's contract; carbon is the grid's average, location-based. Blank is unknown.
"""

from __future__ import annotations

from optimizer.catalog.record import Name, NonNegative, Positive, Record, Text

__all__ = ["Region"]


class Region(Record):
    """One region of one provider.

    ``usd_per_kwh`` is the industrial price, ``usd_per_kwh_commercial`` the commercial one; ``eur_per_kwh`` is left in euros.
    """

    provider: Name
    region: Name
    location: Text = ""
    usd_per_kwh: Positive | None = None
    usd_per_kwh_commercial: Positive | None = None
    eur_per_kwh: Positive | None = None
    gco2_per_kwh: NonNegative | None = None
    source: Text

    @property
    def label(self) -> str:
        """Give the region's unique name, ``provider/region``."""
        return f"{self.provider}/{self.region}"
