"""The objective: choice-dependent cost in USD per hour, one coefficient a column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns

__all__ = ["objective"]


def objective(table: CandidateTable, columns: Columns) -> npt.NDArray[np.float64]:
    """Give Σ_o price[o] · instances[o] + Σ_s price[s] · y[s] as coefficients; shape (n_columns,).

    ``price[o]`` is what an instance-hour costs under all heads that count instances: rent, unit licences, interruptions.
    """
    cost = np.zeros(len(columns.upper))
    cost[columns.rent_column] = table.offers.usd_per_hour[columns.rent_offer]
    cost[columns.first_switch : columns.first_routing] = [columns.switches.switches[s].usd_per_hour for s in columns.switch]
    return cost
