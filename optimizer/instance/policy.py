"""Policy: what holds for every workload unless it says otherwise."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Fraction01, NonNegative, Positive, Text

__all__ = [
    "Balancer",
    "ChangePolicy",
    "Policy",
    "SetupPrices",
    "Stated",
]


class Stated(Record):
    """A number with what it is made of and why it was chosen."""

    value: Positive
    quality: Quality = Quality.ASSUMED
    reason: Text = ""


class SetupPrices(Record):
    """What making a variant once costs per unit of work, and the months over which it is paid off."""

    usd_per_accelerator_hour: NonNegative = 0.0
    usd_per_labelling_hour: NonNegative = 0.0
    usd_per_item: NonNegative = 0.0
    horizon_months: Positive = 12.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Balancer(StrEnum):
    """How the replicas of a pool share its requests.

    ``central``: one queue, from which a replica takes the next request when it has room. The others choose a replica at once:
    the one with the ``least_work``, the better of two drawn at random (``power_of_two``), each in turn (``round_robin``), or any.
    """

    CENTRAL = "central"
    LEAST_WORK = "least_work"
    POWER_OF_TWO = "power_of_two"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


class ChangePolicy(Record):
    """What changing the plan in force costs and how much of it may change; without a plan in force it says nothing.

    Replicas are counted on average over the month: one more in half of the hours is half a replica started. What a change costs
    is spread over ``horizon_hours``. The fraction is of the replicas in force and of the new plan together: 0 for the same
    fleet, 1 for two that share nothing. Replicas that can run no longer count in no limit. The plan in force is kept, as far as
    it can serve, unless changing it saves more than ``minimum_saving_usd_per_month`` beyond what the change costs; its reserved
    and owned instances are kept unless ``keep_commitments`` is false.
    """

    usd_per_replica_start: NonNegative = 0.0
    usd_per_replica_stop: NonNegative = 0.0
    horizon_hours: Positive = 730.0
    max_changes: NonNegative | None = None
    max_changed_accelerators: NonNegative | None = None
    max_changed_fraction: Fraction01 | None = None
    minimum_saving_usd_per_month: NonNegative = 0.0
    keep_commitments: bool = True
    quality: Quality = Quality.ASSUMED
    reason: Text = ""


class Policy(Record):
    """What holds for every workload unless it says otherwise.

    ``weight_versions_per_month`` is how often the weights of each variant in use are fetched anew into each of its regions.
    """

    max_price_age_days: NonNegative = 730.0
    utilization_cap: Annotated[float, Field(ge=0.01, le=1)] = 0.8
    run_to_run_spread_factor: Stated = Stated(value=1.5, reason="spread of repeated runs around a published central value")
    include_preview: bool = False
    balancer: Balancer = Balancer.LEAST_WORK
    rented_pue: Stated = Stated(value=1.2, reason="providers tell 1.1 to 1.2 for all their sites together")
    idle_share_of_tdp: Stated = Stated(value=0.15, reason="idle draw that tools report, a tenth to a fifth of the TDP")
    setup: SetupPrices | None = None
    weight_versions_per_month: NonNegative = 0.0
    change: ChangePolicy | None = None

    @model_validator(mode="after")
    def _can_draw(self) -> Self:
        if self.rented_pue.value < 1 or self.idle_share_of_tdp.value > 1:
            raise ValueError("rented_pue is at least 1, idle_share_of_tdp at most 1")
        return self
