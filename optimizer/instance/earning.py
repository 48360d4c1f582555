"""What a workload earns, what it costs not to serve it, and what missed service levels are expected to cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import NonNegative, Text

__all__ = ["Penalty", "Revenue", "Shedding"]


class Revenue(Record):
    """What a workload earns: by each request served (of its own price, or by advertising impressions), and whatever is served.

    Subscriptions and contracts are paid by the month; a request that is not served earns nothing of the first sort.
    """

    usd_per_request: NonNegative = 0.0
    impressions_per_request: NonNegative = 0.0
    usd_per_thousand_impressions: NonNegative = 0.0
    subscribers: NonNegative = 0.0
    usd_per_subscriber_month: NonNegative = 0.0
    contract_usd_per_month: NonNegative = 0.0
    quality: Quality = Quality.ASSUMED
    source: Text = ""


class Shedding(Record):
    """Leave to serve less than is asked: at most so much of each class in each period, at a price for each request lost.

    The price is for what a lost request costs beside its own revenue, such as customers who leave.
    """

    max_unserved_fraction: Annotated[float, Field(gt=0, le=1)]
    usd_per_request: NonNegative
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _leaves_something_or_nothing(self) -> Shedding:
        if 0.999 < self.max_unserved_fraction < 1:
            raise ValueError("a fraction of at most 0.999, or 1")
        return self


class Penalty(Record):
    """Penalties for missed service levels, as expected whatever the plan: how many a month, and USD each."""

    usd_each: NonNegative
    expected_per_month: NonNegative
    quality: Quality = Quality.ASSUMED
    source: Text = ""
