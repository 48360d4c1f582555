"""Limits: caps on what deployments that match may use together."""

from __future__ import annotations

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Text

__all__ = [
    "Limit",
    "Match",
]

OneOrMore = Name | tuple[Name, ...]


class Match(Record):
    """Which deployments a limit or a cost counts: every field given must fit; a list fits when one of its members does."""

    provider: OneOrMore | None = None
    region: OneOrMore | None = None
    zone: OneOrMore | None = None
    instance_type: OneOrMore | None = None
    accelerator: OneOrMore | None = None
    family: OneOrMore | None = None
    kind: OneOrMore | None = None
    option: OneOrMore | None = None
    team: OneOrMore | None = None
    workload: OneOrMore | None = None
    model: OneOrMore | None = None
    precision: OneOrMore | None = None
    compression: OneOrMore | None = None
    site: OneOrMore | None = None

    @property
    def speaks_of_replicas(self) -> bool:
        """Say whether it tells replicas of one instance apart: by whom or what they serve."""
        return any(getattr(self, f) is not None for f in ("team", "workload", "model", "precision", "compression"))

    @property
    def speaks_of_offers(self) -> bool:
        """Say whether it tells offers of one region apart: by zone, instance type, option or site."""
        return any(getattr(self, f) is not None for f in ("zone", "instance_type", "option", "site"))


class Limit(Record):
    """A cap on what matching deployments may use together: accelerators in rented instances, or whole instances."""

    name: Name
    match: Match
    max_accelerators: NonNegative | None = None
    max_instances: NonNegative | None = None
    max_usd_per_month: NonNegative | None = None
    max_power_kw: NonNegative | None = None
    max_gco2_per_hour: NonNegative | None = None
    quality: Quality = Quality.ASSUMED
    reason: Text = ""
