"""Shedding: the share of a class in a period (of a volume) that a plan may leave unserved, and what that costs.

``u[w, b, t]`` is there only where the workload states ``shedding``. Requests are counted per hour of the month, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable
from optimizer.costs.revenue import usd_per_served_request
from optimizer.instance import HOURS_PER_MONTH, BatchWorkload, Instance, ServingWorkload

__all__ = ["ShedColumns", "requests_per_hour", "shed_columns"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShedColumns:
    """Columns of unserved shares: which demand each is of, as in ``Columns.routing_demand``, ascending; shapes (n_columns,).

    ``penalty_usd_per_hour`` is what leaving all of it unserved costs, ``lost_usd_per_hour`` what it does not earn.
    """

    demand: IntArray
    penalty_usd_per_hour: FloatArray
    lost_usd_per_hour: FloatArray
    upper: FloatArray

    def __len__(self) -> int:
        """Give the number of columns."""
        return len(self.demand)


def requests_per_hour(instance: Instance, workload: str, request_class: str, period: str) -> Fraction:
    """Give the requests of a class in a period, or of a volume in all, per hour of the month."""
    months = Fraction(HOURS_PER_MONTH)
    asked = instance.named[workload]
    if isinstance(asked, BatchWorkload):
        first = asked.window(instance.periods)[0]
        return Fraction(repr(asked.volume_requests)) * Fraction(repr(first.per_month)) / months
    (found,) = (p for p in instance.periods if p.name == period)
    assert isinstance(asked, ServingWorkload)
    (rate,) = (c.rate.at(period) for c in asked.classes if c.name == request_class)
    return Fraction(repr(rate)) * 3600 * Fraction(repr(found.hours)) * Fraction(repr(found.per_month)) / months


def shed_columns(table: CandidateTable, demand: Callable[[], IntArray]) -> ShedColumns:
    """Lay out the columns for the demands, as ``Columns.routing_demand`` gives them, of which some may be left unserved."""
    width, periods = table.load.shape[1], len(table.hours_share)
    allowed = np.array([w.shedding is not None for w in table.workloads], dtype=bool)
    keys = np.unique(demand()) if allowed.any() else np.zeros(0, dtype=np.int64)
    keys = keys[allowed[keys // (width * periods)]] if len(keys) else keys
    penalty, lost, upper = np.zeros(len(keys)), np.zeros(len(keys)), np.zeros(len(keys))
    for at, key in enumerate(keys.tolist()):
        workload = table.workloads[key // (width * periods)]
        request_class = workload.classes[key // periods % width]
        requests = float(
            requests_per_hour(table.instance, workload.name, request_class.name, table.instance.periods[key % periods].name)
        )
        assert workload.shedding is not None
        upper[at], penalty[at] = workload.shedding.max_unserved_fraction, requests * workload.shedding.usd_per_request
        if (r := workload.revenue) is not None:
            each = usd_per_served_request(r.usd_per_request, r.impressions_per_request, r.usd_per_thousand_impressions)
            lost[at] = requests * float(each)
    return ShedColumns(keys, penalty, lost, upper)
