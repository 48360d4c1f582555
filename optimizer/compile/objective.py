"""The objective: choice-dependent cost in USD per hour, one coefficient a column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns
from optimizer.costs.compute import rent_usd_per_hour

__all__ = ["objective"]


def objective(table: CandidateTable, columns: Columns) -> npt.NDArray[np.float64]:
    """Give Σ_o price[o] · instances[o] as coefficients; shape (n_columns,)."""
    cost = np.zeros(len(columns.upper))
    offer = columns.rent_offer
    cost[columns.rent_column] = rent_usd_per_hour(table.offers.usd_per_hour[offer], np.ones(len(offer)))
    return cost
