"""The user's own price rules: what a list price becomes, and reserved prices that follow from on-demand ones."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimizer.catalog import Quality, Record
from optimizer.catalog.record import Name, NonNegative, Text
from optimizer.instance.limits import Match

__all__ = ["PriceRule"]


class PriceRule(Record):
    """A change of every price that fits ``match``: a percentage (-20 takes a fifth off), a fixed fee an instance-hour, or both.

    Of the rules that fit a price, percentages come first, each on what the one before left, in the order of the list; then fees,
    which no percentage touches. A rule that ``makes`` reserved prices leaves the on-demand price as it is and gives each offer
    that fits, and has no reserved price of its own, one that it works out of it; the other rules then apply to that price too.
    """

    name: Name
    match: Match = Match()
    percent: Annotated[float, Field(gt=-100, le=1000)] = 0.0
    fee_usd_per_hour: NonNegative = 0.0
    makes: Literal["reserved"] | None = None
    quality: Quality = Quality.ASSUMED
    source: Text = ""

    @model_validator(mode="after")
    def _speaks_of_prices(self) -> Self:
        if self.match.speaks_of_replicas or self.match.site is not None:
            raise ValueError("prices are of offers: a rule cannot tell teams, workloads, variants or sites apart")
        if self.makes is not None and self.match.option not in (None, "on_demand"):
            raise ValueError("a reserved price is made of an on-demand one")
        return self
