"""What a simulation found: percentiles with their intervals against targets, and what was not simulated. Times ms."""

from __future__ import annotations

import json

from optimizer.catalog.record import Fraction01, NonNegative, Positive, Record
from optimizer.plan import InstanceKey

__all__ = ["Figure", "NotSimulated", "Remedy", "SimulatedPool", "Simulation"]


class Figure(Record):
    """One statistic of one class against its target, with its 95 % interval; values carry the factor for spread between runs."""

    workload: str
    request_class: str
    quantity: str
    statistic: str
    target_ms: Positive
    value_ms: NonNegative
    low_ms: NonNegative
    high_ms: NonNegative | None
    requests: int

    @property
    def holds(self) -> bool:
        """Say whether the upper end of the interval is within the target."""
        return self.high_ms is not None and self.high_ms <= self.target_ms


class Remedy(Record):
    """What would mend a pool: the share of its load at which every target holds, and replicas for all of it; null where none."""

    load_share: Fraction01 | None
    replicas: int | None
    utilization: NonNegative | None


class SimulatedPool(Record):
    """One pool in one period, or what is left of it after an ``event``."""

    pool: str
    period: str
    replicas: int
    lost_replicas: int
    requests_per_s: Positive
    utilization: NonNegative
    figures: tuple[Figure, ...]
    remedy: Remedy | None = None
    event: str | None = None

    @property
    def holds(self) -> bool:
        """Say whether every target holds."""
        return all(figure.holds for figure in self.figures)


class NotSimulated(Record):
    """A pool that was not simulated, why, and its share of all busy accelerators."""

    pool: str
    why: str
    load_share: Fraction01


class Simulation(Record):
    """All pools of a plan, simulated or listed. ``held_share`` is the share of busy accelerators in pools not simulated."""

    instance: InstanceKey
    arrivals: str
    balancer: str
    spread_factor: Positive
    requests_per_pool: int
    seed: int
    pools: tuple[SimulatedPool, ...]
    not_simulated: tuple[NotSimulated, ...]
    held_share: Fraction01

    @property
    def holds(self) -> bool:
        """Say whether every target of every simulated pool holds."""
        return all(pool.holds for pool in self.pools)

    @property
    def misses(self) -> tuple[tuple[SimulatedPool, Figure], ...]:
        """Give every figure that misses its target, with its pool."""
        return tuple((pool, figure) for pool in self.pools for figure in pool.figures if not figure.holds)

    def to_json(self) -> str:
        """Give the simulation as indented JSON; the same seed gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
