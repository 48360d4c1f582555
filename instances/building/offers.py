"""offers.csv: what each provider rents out, each price with its own day, quality and source.

A price whose source names only a year is dated the first of January of that year (never younger than it is) and is `derived`; so
is a per-chip price times its chips. An on-demand price known to be from before a price cut is `assumed`. Quality is left blank,
which is `measured`, for a price read from a dated list.
"""

from __future__ import annotations

import re

from building.tables import CatalogRow, RawRow, number, short_source

OPTIONS = ("on_demand", "spot")
FIELDS = [
    "provider", "region", "instance_type", "accelerator", "accelerators_per_instance", "vcpus", "host_memory_gib"
]  # fmt: skip


def header(prices: int = 2) -> list[str]:
    """Give the columns of a table of offers with so many prices each."""
    slots = range(prices)
    return [
        *FIELDS,
        *(f"prices.{n}.{field}" for n in slots for field in ("option", "usd_per_hour", "as_of", "quality", "source")),
    ]


RETIRED = re.compile(r"^Standard_NC\d+r?s_v3$")
"""Azure NCv3 (V100 PCIe): announced as retired, so it cannot be rented whatever the price list still says."""


def _priced(raw: RawRow) -> bool:
    return any(raw[f"{option}_usd_per_hour"] for option in OPTIONS)


def offer_rows(offers: list[RawRow], known: set[str]) -> list[CatalogRow]:
    """Give every row with a price, a known accelerator and no retirement, by provider, region and instance type."""
    kept = [raw for raw in offers if raw["accelerator"] in known and _priced(raw) and not RETIRED.search(raw["instance_type"])]
    return [_row(raw) for raw in sorted(kept, key=lambda raw: (raw["provider"], raw["region"], raw["instance_type"]))]


def _row(raw: RawRow) -> CatalogRow:
    prices = [_price(raw, option) for option in OPTIONS if raw[f"{option}_usd_per_hour"]]
    return {
        "provider": raw["provider"],
        "region": raw["region"],
        "instance_type": raw["instance_type"],
        "accelerator": raw["accelerator"],
        "accelerators_per_instance": number(raw["accelerator_count"]),
        "vcpus": number(raw["vcpus"]),
        "host_memory_gib": number(raw["memory_gib"]),
        **{f"prices.{slot}.{field}": value for slot, price in enumerate(prices) for field, value in price.items()},
    }


def _price(raw: RawRow, option: str) -> CatalogRow:
    """Give one price; AWS spot prices beside a dated on-demand price come from another, older list."""
    parts = raw["source"].split("; ")
    own_spot = [part.removeprefix("spot: ") for part in parts if part.startswith("spot: ")]
    source, words = parts[0], raw["as_of"]
    if option == "spot" and own_spot:
        source, words = own_spot[0].removesuffix(" (2025)"), "2025 (catalog v7)"
    day, quality = _day(words)
    before_cut = "pre-cut" in words and option == "on_demand"
    return {
        "option": option,
        "usd_per_hour": number(raw[f"{option}_usd_per_hour"]),
        "as_of": day,
        "quality": "assumed" if before_cut else "derived" if "per-chip" in source else quality,
        "source": _words(source, words, before_cut),
    }


def _day(words: str) -> tuple[str, str | None]:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", words):
        return words, None
    return f"{words[:4]}-01-01", "derived"


def _words(source: str, words: str, before_cut: bool) -> str:
    repository = short_source(re.sub(r" \(.*$", "", source))
    notes = (
        [f"dated {words.removesuffix(', pre-cut)').removesuffix(')')})" if "(" in words else f"dated {words}"]
        if len(words) != 10
        else []
    )
    notes += ["before the AWS cut of mid-2025"] if before_cut else []
    notes += ["per chip-hour"] if "per-chip" in source else []
    return f"{repository} ({'; '.join(notes)})" if notes else repository
