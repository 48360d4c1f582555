"""Changes of a question's document that never make its answer cheaper: dearer, more, stricter; and money in another unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Document = dict[str, Any]
CAPS = ("max_usd_per_month", "max_accelerators", "max_instances", "max_power_kw", "max_gco2_per_hour")
NO_PRICES = ("max_usd_per_month", "residual_usd", "revenue")
"""Amounts of money that make nothing dearer when they rise."""


def amounts(part: Any, left_out: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], str]]:
    """Give every amount of money in a document as the record that holds it and its field."""
    for entry in part if isinstance(part, list) else []:
        yield from amounts(entry, left_out)
    for field, value in part.items() if isinstance(part, dict) else []:
        if field in left_out or value is None:
            continue
        if isinstance(value, dict | list):
            yield from ([(value, "value")] if "usd" in field else amounts(value, left_out))
        elif "usd" in field:
            yield part, field


def times(document: Document, factor: float) -> None:
    """Multiply every amount of money."""
    for record, field in list(amounts(document)):
        record[field] *= factor


def dearer_offers(document: Document) -> None:
    for offer in document["catalogs"]["offers"][::2]:
        for price in offer["prices"]:
            price["usd_per_hour"] *= 1.5


def dearer_half(document: Document) -> None:
    """Raise half of all prices, drawn by what the question holds."""
    prices = list(amounts(document, NO_PRICES))
    for chosen, (record, field) in zip(np.random.default_rng(len(prices)).random(len(prices)) < 0.5, prices, strict=True):
        record[field] *= 1.5 if chosen else 1.0


def dearer_rules(document: Document) -> None:
    """Smaller discounts, higher fees, larger lots, longer warm-up."""
    for rule in document["price_rules"]:
        rule["percent"] += 3.0
        rule["fee_usd_per_hour"] += 0.125
    for price in (p for offer in document["catalogs"]["offers"] for p in offer["prices"]):
        price["lot"] *= 2 if price["option"] == "reserved" else 1
    for entry in document["starts"]:
        entry["warm_up_hours"] *= 2


def dearer_people(document: Document) -> None:
    for entry in document["people"]:
        entry["usd_per_person_hour"] *= 3


def dearer_places(document: Document) -> None:
    for entry in document["routes"]:
        entry["usd_per_gib"] *= 2
    for entry in document["storage"]:
        entry["usd_per_gib_month"] *= 1.5


def dearer_power(document: Document) -> None:
    """Raise the tariff, and what is lost on the way to the machines."""
    document["policy"]["rented_pue"]["value"] *= 1.2
    for site in document["sites"]:
        site["usd_per_kwh"]["value"] *= 2
        site["pue"]["value"] *= 1.2


def more_demand(document: Document) -> None:
    for entry in document["workloads"][0]["classes"]:
        value = entry["rate"]["value"]
        entry["rate"]["value"] = {k: v * 1.25 for k, v in value.items()} if isinstance(value, dict) else value * 1.25


def more_volume(document: Document) -> None:
    document["workloads"][2]["volume_requests"] *= 1.5


def more_work(document: Document) -> None:
    for entry in document["workloads"]:
        if entry["kind"] == "training":
            hours = entry["work"]["accelerator_hours_on"]
            entry["work"]["accelerator_hours_on"] = {name: value * 1.2 for name, value in hours.items()}


def higher_floors(document: Document) -> None:
    for entry in document["workloads"]:
        if entry.get("accuracy") is not None:
            entry["accuracy"]["floor_fraction_of_baseline"] += 0.008


def tighter_targets(document: Document) -> None:
    """Only rates held at 130 ms are left of those held at 130 and 600."""
    for target in (t for entry in document["workloads"] if entry["kind"] == "serving" for t in entry["latency"]):
        target["at_most_ms"] = 400.0


def tighter_limits(document: Document) -> None:
    for limit in document["limits"]:
        for field in CAPS:
            if limit[field] is not None:
                limit[field] = max(limit[field] - 1, 0) if field in ("max_accelerators", "max_instances") else limit[field] * 0.8
    for site in document["sites"]:
        for field in ("max_power_kw", "max_gco2_per_hour"):
            site[field] = None if site[field] is None else {**site[field], "value": site[field]["value"] * 0.8}


def less_spot(document: Document) -> None:
    for entry in document["workloads"]:
        entry["max_spot_fraction"] = 0.0 if entry["kind"] == "training" else entry["max_spot_fraction"] / 2


def sooner(document: Document) -> None:
    """Training ends earlier, and a batch that had a day has the first part of it."""
    for entry in document["workloads"]:
        if entry["kind"] != "serving":
            entry["deadline_hours"] = 14.0 if entry["kind"] == "batch" else entry["deadline_hours"] * 0.8


def less_unserved(document: Document) -> None:
    for entry in document["workloads"]:
        if entry.get("shedding") is not None:
            entry["shedding"]["max_unserved_fraction"] /= 2


def higher_shares(document: Document) -> None:
    """More of what is insured must be served after a loss."""
    for entry in (r for w in document["workloads"] for r in w.get("redundancy") or []):
        entry["served_fraction"] = min(entry["served_fraction"] + 0.2, 1.0)


def more_lost(document: Document) -> None:
    """One more replica of a pool is lost at once."""
    for entry in (r for w in document["workloads"] for r in w.get("redundancy") or []):
        if entry["event"] == "replicas":
            entry["replicas"] = (entry["replicas"] or 1) + 1


def slower_servers(document: Document) -> None:
    """Let times of requests vary more, and batches take longer."""
    for entry in document["catalogs"]["profiles"]:
        if entry["service_variation"] is not None:
            entry["service_variation"] += 2.0
        if entry["batch"] is not None:
            entry["batch"]["fixed_ms"] *= 1.1


def bursts(document: Document) -> None:
    """Let requests of one workload come in bursts, in which only servers with known service times keep a target."""
    document["workloads"][0]["arrival_variation"] = 2.0


def earlier_percentiles(document: Document) -> None:
    """Ask for p95 where p99 was asked, which makes nothing harder: what was held at p99 holds it."""
    for target in (t for entry in document["workloads"] if entry["kind"] == "serving" for t in entry["latency"]):
        target["statistic"] = "p95"


PRICES = (dearer_offers, dearer_half, dearer_rules, dearer_people, dearer_places, dearer_power)
DEMANDS = (more_demand, more_volume, more_work)
BOUNDS = (higher_floors, tighter_targets, tighter_limits, less_spot, sooner, less_unserved)
HARDER: dict[str, Callable[[Document], None]] = {change.__name__: change for change in (*PRICES, *DEMANDS, *BOUNDS)}
INSURED: dict[str, Callable[[Document], None]] = {
    change.__name__: change for change in (higher_shares, more_lost, slower_servers, bursts)
}
"""Changes that questions with insurance or servers feel alone."""
