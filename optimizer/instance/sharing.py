"""What is shared: pools by workloads of one base model, each with its adapter or simply alike; accelerators by replicas.

A shared pool is asked for what all its members ask: every class at the strictest target of any member, in the regions and of the
quality that all allow, with the smallest share of spot. Each member may be served there, in pools of its own, or in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Text
from optimizer.instance.demand import LatencyTarget, ServingWorkload

__all__ = ["FractionPattern", "SharedPool", "merged"]


class SharedPool(Record):
    """Workloads of one model that may share replicas.

    ``adapter_memory_gib`` is what each member's adapter takes of a replica's memory; members that are not named take none.
    ``rate_factor`` is the share of its rate that a replica keeps when it serves several adapters; ``quality`` and ``source`` are
    those of both figures. ``pays`` is the team whose budgets and limits count the pool; null where all members have one team.
    """

    name: Name
    workloads: Annotated[tuple[Name, ...], Field(min_length=2)]
    pays: Name | None = None
    adapter_memory_gib: dict[Name, NonNegative] = Field(default_factory=dict)
    rate_factor: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @property
    def is_exact(self) -> bool:
        """Say whether its replicas are those of any other pool: no adapters, no rate lost."""
        return self.rate_factor == 1.0 and not any(self.adapter_memory_gib.values())


class FractionPattern(Record):
    """A way to cut one accelerator into slots that each hold a replica of their own.

    A slot has ``memory_share`` of the memory and, alone, ``rate_share`` of the rate; beside busy neighbours it keeps
    ``interference_factor`` of that. Slots are a power of two, so that counting them with whole accelerators stays exact.
    """

    name: Name
    accelerator: Name
    slots: Literal[2, 4, 8, 16]
    memory_share: Annotated[float, Field(gt=0, le=0.5)]
    rate_share: Annotated[float, Field(gt=0, le=0.5)]
    interference_factor: Annotated[float, Field(ge=0.01, le=1)]
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _fits_the_whole(self) -> FractionPattern:
        if self.slots * max(self.memory_share, self.rate_share) > 1 + 1e-9:
            raise ValueError("shares that slots together have at most once")
        return self


def merged(pool: SharedPool, members: Sequence[ServingWorkload]) -> ServingWorkload:
    """Give a shared pool as one workload with the classes of all its members, ``member/class``, asked for at the strictest.

    Its accuracy is null: each member keeps its own floor for its own traffic.
    """
    tightest: dict[tuple[str, str], LatencyTarget] = {}
    for target in sorted((t for w in members for t in w.latency), key=lambda t: -t.at_most_ms):
        tightest[target.quantity.value, target.statistic] = target
    classes = [
        c.model_copy(update={"name": f"{w.name}/{c.name}", "origins": c.origins or w.origins}) for w in members for c in w.classes
    ]
    regions = [set(w.regions_allowed) for w in members if w.regions_allowed is not None]
    return members[0].model_copy(
        update={
            "name": pool.name,
            "team": pool.pays or members[0].team,
            "regions_allowed": tuple(sorted(set.intersection(*regions))) if regions else None,
            "latency": tuple(tightest[key] for key in sorted(tightest)),
            "accuracy": None,
            "max_spot_fraction": min(w.max_spot_fraction for w in members),
            "allowed_quality": tuple(q for q in Quality if all(q in w.allowed_quality for w in members)),
            "arrival_variation": max(w.arrival_variation for w in members),
            "classes": tuple(classes),
            "note": pool.source,
        }
    )
