"""The base of every record that is read from a file, and the order of qualities.

Records are frozen, reject unknown fields, NaN and infinities, and never coerce ("5" is not 5, true is not 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Day", "Fraction01", "Name", "NonNegative", "Positive", "PositiveInt", "Quality", "Record", "Text", "worst"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/+%@()-]{0,119}$")]
"""A name that is safe in messages, tables and file names: ASCII, at most 120 characters."""
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F\u202A-\u202E\u2066-\u2069]*$")]
"""Free text without control characters: it is shown on terminals."""
Positive = Annotated[float, Field(gt=0, le=1e15)]
NonNegative = Annotated[float, Field(ge=0, le=1e15)]
PositiveInt = Annotated[int, Field(ge=1, le=10**9)]
Fraction01 = Annotated[float, Field(ge=0, le=1)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
"""A calendar day, ISO 8601."""


class Record(BaseModel):
    """A frozen, strict record; ``model_copy`` and ``replace`` make changed values."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")


class Quality(StrEnum):
    """What a number is made of, best first; a figure is as good as the worst it rests on."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    DERIVED = "derived"
    MODELLED = "modelled"
    ASSUMED = "assumed"

    @cached_property
    def rank(self) -> int:
        """Give 0 for the best quality, 4 for the worst."""
        return list(Quality).index(self)


def worst(qualities: Iterable[Quality]) -> Quality:
    """Give the worst of some qualities; ``measured`` when there are none.

    >>> worst([Quality.MEASURED, Quality.MODELLED, Quality.DERIVED])
    <Quality.MODELLED: 'modelled'>
    """
    return max(qualities, key=attrgetter("rank"), default=Quality.MEASURED)
