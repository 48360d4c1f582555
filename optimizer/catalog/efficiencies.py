"""Efficiencies: what real engines reach of the ideal, fitted to measured points by ``python -m optimizer.performance.fit``.

Data with a source, like every catalog: ``multiples`` say how many times the ideal a part takes, ``anchors`` are the measured
points that corrections are taken from, ``bands`` how far left-out points lay from the prediction. Nothing here computes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from optimizer.catalog.record import Name, NonNegative, Positive, PositiveInt, Quality, Record, Text

__all__ = ["Anchors", "Band", "Category", "Efficiencies", "Likeness", "Surface"]

Finite = Annotated[float, Field(ge=-1e6, le=1e6)]
Index = Annotated[int, Field(ge=0, le=10**6)]


class Category(Record):
    """A column of names: the distinct ones, and for each anchor the place of its name among them."""

    names: tuple[Name, ...]
    index: tuple[Index, ...]

    @model_validator(mode="after")
    def _index_is_inside(self) -> Category:
        if self.index and max(self.index) >= len(self.names):
            raise ValueError(f"index {max(self.index)} is outside the {len(self.names)} names")
        return self


class Anchors(Record):
    """Measured points as columns: what each is alike in (``attributes``) and where it lies (``position``, six logarithms).

    Positions are log(requests in flight in a lane), log(input tokens), log(output tokens), log(accelerators that work on one
    request), log(lanes), log(expert parallel degree).
    """

    attributes: dict[Name, Category]
    position: tuple[tuple[Finite, Finite, Finite, Finite, Finite, Finite], ...]

    @model_validator(mode="after")
    def _columns_agree(self) -> Anchors:
        if any(len(column.index) != len(self.position) for column in self.attributes.values()):
            raise ValueError("columns of different lengths")
        return self


class Likeness(Record):
    """How much points that share these attributes tell of one another: the standard deviation of what their logarithms share."""

    alike_in: tuple[Name, ...]
    sd: NonNegative


class Surface(Record):
    """The correction of one quantity: log(measured / ideal model) as a weighted sum of likenesses to the anchors.

    ``flat_share`` of a likeness does not fall with distance; the rest falls as a Gaussian with one length a coordinate.
    """

    likenesses: tuple[Likeness, ...]
    flat_share: Annotated[float, Field(ge=0, le=1)]
    lengths: tuple[Positive, Positive, Positive, Positive, Positive, Positive]
    weights: tuple[Finite, ...]


class Band(Record):
    """90 % band of a left-out rate as multiples of the predicted one, for one kind of transfer; ``points`` it rests on.

    ``engine`` None is for an engine that has no band of its own.
    """

    transfer: Name
    engine: Name | None = None
    low: Positive
    high: Positive
    points: PositiveInt


class Efficiencies(Record):
    """Everything that was fitted, and to what. ``accelerator_rates`` are logarithms: log(rate / rate expected of the figures)."""

    multiples: dict[Name, Positive]
    anchors: Anchors
    ttft: Surface
    tpot: Surface
    accelerator_rates: dict[Name, Finite] = Field(default_factory=dict)
    full_load_factor: Positive = 1.0
    bands: tuple[Band, ...]
    quality: Quality = Quality.MODELLED
    source: Text

    @model_validator(mode="after")
    def _a_weight_an_anchor(self) -> Efficiencies:
        anchors = len(self.anchors.position)
        if len(self.ttft.weights) != anchors or len(self.tpot.weights) != anchors:
            raise ValueError(f"{anchors} anchors need as many weights")
        return self
