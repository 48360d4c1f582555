"""regions.csv: what electricity costs and emits where a provider's region lies; blank where no source was read."""

from __future__ import annotations

from building.tables import CatalogRow, RawRow, number, short_source

HEADER = [
    "provider", "region", "location", "usd_per_kwh", "usd_per_kwh_commercial", "eur_per_kwh", "gco2_per_kwh", "source",
]  # fmt: skip
FIGURES = ("usd_per_kwh", "usd_per_kwh_commercial", "eur_per_kwh", "gco2_per_kwh")


def region_rows(energy: list[RawRow]) -> list[CatalogRow]:
    """Give one row a region, by provider and region."""
    return [_row(raw) for raw in sorted(energy, key=lambda raw: (raw["provider"], raw["region"]))]


def _row(raw: RawRow) -> CatalogRow:
    return {
        "provider": raw["provider"],
        "region": raw["region"],
        "location": raw["location"] or None,
        **{figure: number(raw[figure]) for figure in FIGURES},
        "source": short_source(raw["source"]),
    }
