"""What a workload is insured against: a loss, one at a time, and the share of requests that must still be served in time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from optimizer.catalog import Record
from optimizer.catalog.record import Fraction01, Name, PositiveInt

__all__ = ["Loss", "Recourse", "Redundancy"]


class Loss(StrEnum):
    """What is lost at once.

    ``replicas``: so many of any one pool. ``zone``: everything in a zone of a region, with all offers of the region that do not
    say their zone. ``region``: everything of one provider in a region. ``spot``: everything on one offer's spot.
    """

    REPLICAS = "replicas"
    ZONE = "zone"
    REGION = "region"
    SPOT = "spot"


class Redundancy(Record):
    """After any one such loss ``served_fraction`` of every class is still served within its targets, by what is left.

    Requests go elsewhere at once and whole; ``replicas`` (of one pool) is 1 unless said otherwise. Accuracy floors hold as
    before, a traffic-weighted one on the month's average if the loss lasted. What the loss costs in transfer is not counted, and
    ``max_spot_fraction`` is asked of what is rented, not of what a loss leaves.
    """

    event: Loss
    replicas: PositiveInt | None = None
    served_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def count(self) -> int:
        """Give how many replicas of a pool are lost; 0 where the loss is of something else."""
        return (self.replicas or 1) if self.event is Loss.REPLICAS else 0

    @model_validator(mode="after")
    def _counts_replicas(self) -> Self:
        if self.replicas is not None and self.event is not Loss.REPLICAS:
            raise ValueError("a number of replicas only with the loss of replicas")
        return self


class Recourse(Record):
    """The share of a class that a pool of a plan serves after a loss, of a workload that insures against it.

    ``lost`` is the zone, region, offer or pool; of a pool so many ``replicas`` are lost. Workloads that are not named under a
    loss that strikes something keep their routing, as far as its pools are left.
    """

    event: Loss
    lost: Name
    replicas: Annotated[int, Field(ge=0)] = 0
    workload: Name
    request_class: Name
    period: Name
    pool: Name
    share: Fraction01
