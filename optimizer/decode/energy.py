"""What a choice draws and emits: at sites for the bill, everywhere for the plan to tell and for limits to count.

An instance that is rented or held is on; load keeps accelerators busy. Figures are at the meter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.compile import Compiled
from optimizer.compile.energy import Cap
from optimizer.decode.counts import SHARE_UNIT, Choice
from optimizer.plan import EnergyUse, LimitUse

__all__ = ["Drawn", "known", "replicas_busy"]

FloatArray = npt.NDArray[np.float64]


def known(figure: float) -> float | None:
    """Give a figure as a plan tells it, None where it is unknown."""
    return None if np.isnan(figure) else float(figure)


def replicas_busy(compiled: Compiled, choice: Choice) -> FloatArray:
    """Give how many replicas each routing column keeps busy; the model's own loads are clamped where they are tiny."""
    columns, table, busy = compiled.columns, compiled.candidates, np.zeros(len(choice.shares))
    used = np.flatnonzero(choice.shares)
    k, b = columns.pool_candidate[columns.routing_pool[used]], columns.routing_class[used]
    w = table.workload[k]
    rates = {owner: table.options[owner].rate_per_s for owner in np.unique(w).tolist()}  # each is worked out when asked for
    places = zip(w.tolist(), table.option_row[k].tolist(), b.tolist(), strict=True)
    rate = np.array([rates[owner][row, b] for owner, row, b in places], dtype=np.float64)
    demand = table.demand[w, b] * table.shape[w, b, columns.routing_period[used]]
    busy[used] = demand * choice.shares[used] / SHARE_UNIT / rate
    return busy


@dataclass(frozen=True, eq=False)
class Drawn:
    """A choice and what it draws."""

    compiled: Compiled
    choice: Choice

    @cached_property
    def replicas(self) -> FloatArray:
        """Give the replicas that each routing column keeps busy."""
        return replicas_busy(self.compiled, self.choice)

    @cached_property
    def busy(self) -> FloatArray:
        """Give the accelerators that each routing column keeps busy."""
        columns = self.compiled.columns
        size = columns.table.size[columns.pool_candidate[columns.routing_pool]]
        return np.asarray(self.replicas * size)

    @cached_property
    def replica_kw(self) -> FloatArray:
        """Give what each replica column draws, kW: its part of the instances it is on, and of its pool's load."""
        columns, offers, energy = self.compiled.columns, self.compiled.candidates.offers, self.compiled.candidates.offers.energy
        o, t, cell = columns.replica_offer, columns.replica_period, columns.replica_cell
        place = offers.region[o], offers.accelerator[o]
        whole = self.choice.instances[o, t] * offers.size[o] / np.maximum(self.choice.used[o, t], 1 / 16)  # no slot is smaller
        cells = max(int(cell.max(initial=0)), int(columns.routing_cell.max(initial=0))) + 1
        busy = np.bincount(columns.routing_cell, weights=self.busy, minlength=cells)
        count = np.bincount(cell, weights=self.choice.replicas, minlength=cells)
        on = energy.idle_kw[place] * columns.replica_size * whole
        return np.asarray(self.choice.replicas * (on + energy.busy_kw[place] * (busy / np.maximum(count, 1.0))[cell]))

    @cached_property
    def replica_gco2_per_hour(self) -> FloatArray:
        """Give what each replica column emits; NaN where unknown."""
        offers = self.compiled.candidates.offers
        return np.asarray(self.replica_kw * offers.energy.gco2_per_kwh[offers.region[self.compiled.columns.replica_offer]])

    def busy_usd_per_hour(self, counted: npt.NDArray[np.bool_] | bool = True) -> float:
        """Give what the load of some routing columns costs at sites, beyond idle draw, in the mean of the month."""
        columns, table = self.compiled.columns, self.compiled.candidates
        usd = table.offers.energy.busy_usd_per_hour[columns.routing_place] * self.busy
        return float((usd * counted) @ table.hours_share[columns.routing_period])  # zero, never NaN, where power is in the rent

    def in_all(self) -> EnergyUse:
        """Tell energy and carbon in the mean of the month, and for what share of the accelerators on they are known."""
        columns, table, offers = self.compiled.columns, self.compiled.candidates, self.compiled.candidates.offers
        energy, instances = offers.energy, self.choice.instances @ table.hours_share
        runs, ways = columns.training, self.choice.ways
        by_use = ways[~offers.committed[runs.offer[ways]]]
        np.add.at(instances, runs.offer[by_use], runs.use[by_use])
        held = instances * offers.size
        on = energy.idle_kw[offers.region, offers.accelerator] * held
        place = tuple(np.concatenate([a, b[ways]]) for a, b in zip(columns.routing_place, runs.place, strict=True))
        working = np.concatenate([self.busy * table.hours_share[columns.routing_period], runs.working[ways]])
        busy = energy.busy_kw[place] * working
        grams = energy.gco2_per_kwh[offers.region], energy.gco2_per_kwh[place[0]]
        carbon_known = min(float(held[~np.isnan(on * grams[0])].sum() / max(held.sum(), 1e-300)), 1.0)
        energy_known = min(float(held[~np.isnan(on)].sum() / max(held.sum(), 1e-300)), 1.0)
        kwh = float(np.nansum(on) + np.nansum(busy))
        emitted = float(np.nansum(on * grams[0]) + np.nansum(busy * grams[1]))
        return EnergyUse(
            kwh_per_hour=kwh if energy_known else None,
            gco2_per_hour=emitted if carbon_known else None,
            energy_known_fraction=energy_known,
            carbon_known_fraction=carbon_known,
        )

    def limits(self) -> list[LimitUse]:
        """Tell how much of each limit on power and carbon is used, in the period that uses most."""
        found = []
        for cap in self.compiled.candidates.offers.caps:
            used, least = float(self._used(cap).max()), self._least(cap)
            reason, binding = cap.limit.reason, least > 0 and used + least > cap.most
            told = LimitUse(
                name=cap.limit.name,
                unit=cap.unit,
                used=used,
                most=cap.most,
                binding=binding,
                quality=cap.limit.quality,
                reason=reason,
            )
            found.append(told)
        return found

    def _used(self, cap: Cap) -> FloatArray:
        """Give what a cap counts in each period; shape (n_periods,)."""
        columns, table, choice = self.compiled.columns, self.compiled.candidates, self.choice
        mine = table.limited[cap.number, columns.pool_candidate]
        used = np.zeros(columns.n_periods)
        runs, (run, period) = columns.training, columns.training.touched
        active = np.isin(run, choice.ways) & runs.limited[cap.number, run]
        run, period = run[active], period[active]
        np.add.at(used, period, cap.busy[runs.place][run] * runs.accelerators[run])
        loaded = mine[columns.routing_pool] & (self.busy > 0)
        np.add.at(used, columns.routing_period[loaded], (cap.busy[columns.routing_place] * self.busy)[loaded])
        if not cap.limit.match.speaks_of_replicas:
            held = choice.instances > 0
            on = np.where(held, (cap.idle * table.offers.size)[:, None] * choice.instances, 0.0)
            rented = ~table.offers.committed[runs.offer[run]]
            whole = cap.idle[runs.offer[run]] * table.offers.size[runs.offer[run]] * runs.instances[run]
            np.add.at(used, period[rented], whole[rented])
            return np.asarray(used + on.sum(axis=0))
        np.add.at(used, period, cap.idle[runs.offer[run]] * runs.accelerators[run])
        counted = mine[columns.replica_pool] & (choice.replicas > 0)
        on = cap.idle[columns.replica_offer] * columns.replica_size * choice.replicas
        np.add.at(used, columns.replica_period[counted], on[counted])
        return used

    def _least(self, cap: Cap) -> float:
        """Give the least that one more busy accelerator would add, among what may serve; 0 where nothing is counted."""
        columns = self.compiled.columns
        mine = columns.table.limited[cap.number, columns.pool_candidate[columns.replica_pool]]
        mine &= (cap.idle > 0)[columns.replica_offer]
        offers, o = columns.table.offers, columns.replica_offer[mine]
        each = cap.idle[o] + cap.busy[offers.region[o], offers.accelerator[o]]
        return float(each.min()) if len(each) else 0.0
