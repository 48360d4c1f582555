"""The objective: choice-dependent cost in USD per hour, one coefficient a column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.compile.columns import Columns

__all__ = ["bill", "busy_usd_per_hour", "objective"]


def objective(table: CandidateTable, columns: Columns) -> npt.NDArray[np.float64]:
    """Give the coefficients of what is minimised; shape (n_columns,), USD per hour.

    That is the bill, what changing anything in force must save, and with the objective ``profit`` what unserved requests do not
    earn: revenue less the bill is largest where the bill and the revenue lost are least together.
    """
    cost = bill(table, columns)
    cost[columns.first_changed : columns.first_lot] = columns.changes.saving_usd_per_hour
    if table.instance.objective == "profit":
        cost[columns.first_shed : columns.first_changed] += columns.shed.lost_usd_per_hour
    return cost


def bill(table: CandidateTable, columns: Columns) -> npt.NDArray[np.float64]:
    """Give the coefficients of the sum of these; shape (n_columns,), USD per hour.

    Σ_{o,t} hours_share[t] · price[o] · instances[o, t] + Σ_o price[o] · r[o] + Σ_s price[s] · y[s]
    + Σ_{j,c} (price[o] · use[c] + busy_usd[c] · working[c]) · x[j, c]
    + Σ_{p,b,t} hours_share[t] · (transfer[p, b, t] + busy_usd[p] · busy[p, b, t]) · f[p, b, t]

    ``price[o]`` is what an instance-hour costs under all heads that count instances: rent, unit licences, interruptions, idle
    draw at a site. Reserved and owned offers are paid by the commitment r, in all periods, and not by use; so are training runs
    on them. Starts, stops, changes and unserved requests are paid at the price of their columns. ``busy_usd`` is what an
    accelerator of a site draws more while it is busy.
    """
    cost = np.zeros(len(columns.upper))
    price = np.where(table.offers.committed, 0.0, table.offers.usd_per_hour)
    cost[columns.rent_column] = price[columns.rent_offer] * table.hours_share[columns.rent_period]
    whole = table.offers.usd_per_hour * table.hours_share.sum()
    cost[columns.first_commit : columns.first_switch] = whole[columns.commit_offer]
    runs = columns.training
    cost[columns.first_switch : columns.first_training] = [columns.switches.switches[s].usd_per_hour for s in columns.switch]
    cost[columns.first_training : columns.first_routing] = price[runs.offer] * runs.use + runs.busy_usd_per_hour
    transfer = columns.routing_usd_per_hour * table.hours_share[columns.routing_period]
    cost[columns.first_routing : columns.first_start] = transfer + busy_usd_per_hour(table, columns)
    cost[columns.first_start : columns.first_move] = columns.starts.usd_per_hour
    cost[columns.first_move : columns.first_shed] = columns.moves.usd_per_hour
    cost[columns.first_shed : columns.first_changed] = columns.shed.penalty_usd_per_hour
    return cost


def busy_usd_per_hour(table: CandidateTable, columns: Columns) -> npt.NDArray[np.float64]:
    """Give the electricity that load costs at sites, beyond idle draw, of each routing column when its share is 1."""
    if not table.offers.energy.busy_usd_per_hour.any():
        return np.zeros(len(columns.routing_pool))
    drawn = table.offers.energy.busy_usd_per_hour[columns.routing_place] * columns.routing_busy
    return np.asarray(drawn * table.hours_share[columns.routing_period])
