"""A choice told in domain words: deployments, rentals, routes and the bill."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quality, worst
from optimizer.compile import CandidateTable, Compiled
from optimizer.compile.prices import RuledPrice
from optimizer.decode.changes import change_use, period_changes
from optimizer.decode.counts import Choice, IntArray
from optimizer.decode.earnings import unserved_of
from optimizer.decode.energy import Drawn, known
from optimizer.decode.mending import SHARE_UNIT
from optimizer.instance import HOURS_PER_MONTH, Recourse
from optimizer.performance import ReplicaEstimate
from optimizer.plan import (
    ChangeUse,
    Deployment,
    PeriodChange,
    Rental,
    Route,
    SwitchUse,
    Unserved,
)

__all__ = ["Told"]


@dataclass(frozen=True, eq=False)
class Told:
    """A choice and the tables it points into."""

    compiled: Compiled
    choice: Choice

    @property
    def table(self) -> CandidateTable:
        """Give the candidates."""
        return self.compiled.candidates

    @cached_property
    def drawn(self) -> Drawn:
        """Give what the choice draws."""
        return Drawn(self.compiled, self.choice)

    @cached_property
    def _pool_names(self) -> dict[int, str]:
        return {}

    def pool_name(self, pool: int) -> str:
        """Name a pool: workload, configuration, region; unique and stable under the order of the input."""
        if pool not in self._pool_names:
            table, k = self.table, int(self.compiled.columns.pool_candidate[pool])
            region = table.offers.regions[self.compiled.columns.pool_region[pool]]
            self._pool_names[pool] = f"{table.owners[table.workload[k]].name}: {table.configuration(k).label} in {region}"
        return self._pool_names[pool]

    @cached_property
    def _estimates(self) -> dict[int, ReplicaEstimate]:
        """Give the estimates of all candidates in use that are worked out together the cheaper."""
        columns, table = self.compiled.columns, self.table
        used = columns.replica_pool[self.choice.replicas > 0], columns.routing_pool[self.choice.shares > 0]
        candidates = np.unique(columns.pool_candidate[np.concatenate(used)]).tolist()
        mine = [k for k in candidates if table.options[int(table.workload[k])].is_of_sheet]
        asked = [(table.owners[int(table.workload[k])], table.configuration(k)) for k in mine]
        answers = zip(mine, table.performance.estimates(asked), strict=True)
        return {k: answer for k, answer in answers if isinstance(answer, ReplicaEstimate)}

    def estimate(self, k: int) -> ReplicaEstimate:
        """Give what a replica of a candidate does, with its evidence."""
        if k not in self._estimates:
            options = self.table.options[int(self.table.workload[k])]
            self._estimates[k] = options.estimate(int(self.table.option_row[k]))
        return self._estimates[k]

    @cached_property
    def deployments(self) -> tuple[Deployment, ...]:
        """Tell each replica column that is used."""
        return tuple(self._deployment(int(j)) for j in np.flatnonzero(self.choice.replicas))

    def _deployment(self, j: int) -> Deployment:
        columns, table, offers = self.compiled.columns, self.table, self.table.offers
        pool, o, t = int(columns.replica_pool[j]), int(columns.replica_offer[j]), int(columns.replica_period[j])
        k = int(columns.pool_candidate[pool])
        c, owner = table.configuration(k), table.owners[table.workload[k]]
        taken = int(self.choice.replicas[j]) * c.accelerators
        rent = Fraction(repr(offers.prices[o].usd_per_hour)) * int(self.choice.instances[o, t])
        estimate = self.estimate(k)
        return Deployment(
            pool=self.pool_name(pool),
            workloads=table.instance.members[owner.name],
            shared_pool=None if table.workload[k] < len(table.workloads) else owner.name,
            model=c.model,
            precision=c.precision,
            compression=c.compression,
            accelerator=c.accelerator,
            accelerators_per_replica=c.accelerators_per_replica,
            pattern=c.pattern,
            slots=c.slots,
            engine=c.engine,
            engine_version=c.engine_version,
            tensor=c.layout.tensor,
            pipeline=c.layout.pipeline,
            attention_data=c.layout.attention_data,
            expert=c.layout.expert,
            availability=c.availability,
            replicas=int(self.choice.replicas[j]),
            provider=offers.offers[o].provider,
            region=offers.offers[o].region,
            offer=offers.offers[o].label,
            option=offers.prices[o].option.value,
            period=table.instance.periods[t].name,
            quality=worst([estimate.quality, offers.prices[o].quality]),
            usd_per_hour=float(rent * taken / Fraction(float(self.choice.used[o, t]))),
            kwh_per_hour=known(self.drawn.replica_kw[j]),
            gco2_per_hour=known(self.drawn.replica_gco2_per_hour[j]),
            basis=estimate.basis,
        )

    @cached_property
    def rentals(self) -> tuple[Rental, ...]:
        """Tell each offer that is rented, period by period."""
        return tuple(self._rental(int(o), int(t)) for o, t in np.argwhere(self.choice.instances))

    def _rental(self, o: int, t: int) -> Rental:
        offers, count = self.table.offers, int(self.choice.instances[o, t])
        offer, price = offers.offers[o], offers.prices[o]
        return Rental(
            offer=offer.label,
            option=price.option.value,
            period=self.table.instance.periods[t].name,
            accelerator=offers.accelerators[offers.accelerator[o]],
            accelerators_per_instance=offer.accelerators_per_instance,
            instances=count,
            accelerators_used=whole_or_not(self.choice.used[o, t]),
            usd_per_instance_hour=price.usd_per_hour,
            usd_per_hour=float(Fraction(repr(price.usd_per_hour)) * count),
            price_as_of=price.as_of,
            price_quality=price.quality,
            price_source=price.source,
            list_usd_per_instance_hour=price.list_usd_per_hour if isinstance(price, RuledPrice) else price.usd_per_hour,
            price_rules=price.rules if isinstance(price, RuledPrice) else (),
        )

    @cached_property
    def month_share(self) -> list[Fraction]:
        """Give each period's share of a month of 730 hours, exactly."""
        periods = self.table.instance.periods
        return [Fraction(repr(p.hours)) * Fraction(repr(p.per_month)) / Fraction(HOURS_PER_MONTH) for p in periods]

    def run_rent(self, n: int) -> Fraction:
        """Give the rent of a training run: by use, or its share of a commitment by accelerators; USD per hour of the month."""
        runs, offers = self.compiled.columns.training, self.table.offers
        run, price = runs.runs[n], Fraction(repr(offers.prices[runs.runs[n].offer].usd_per_hour))
        if not offers.committed[run.offer]:
            return price * run.instances * self.run_hours(n)
        held, used = self.choice.instances[run.offer], self.choice.used[run.offer]
        parts = (self.month_share[t] * int(held[t]) / Fraction(float(used[t])) for t in run.periods)  # slots use parts of one
        return price * run.gang * run.gangs * sum(parts, Fraction(0))

    @property
    def occupied(self) -> IntArray:
        """Give the instances occupied per offer and period: what is rented, and what training jobs rent by use on top."""
        runs, found = self.compiled.columns.training, self.choice.instances.copy()
        for n, o, _ in self.paid_by_use:
            found[o, list(runs.runs[n].periods)] += runs.runs[n].instances * runs.runs[n].gangs
        return found

    def run_hours(self, n: int) -> Fraction:
        """Give the hours in the month that a training job runs, per hour of the month."""
        runs = self.compiled.columns.training
        monthly = Fraction(repr(runs.jobs[runs.runs[n].job].runs_per_month))
        return Fraction(repr(runs.runs[n].hours)) * monthly / Fraction(HOURS_PER_MONTH)

    @cached_property
    def paid_by_use(self) -> list[tuple[int, int, Fraction]]:
        """Give (way, offer, mean instances over the month) of the training jobs that are paid by use."""
        runs, committed = self.compiled.columns.training, self.table.offers.committed
        mine = [(int(n), runs.runs[n].offer) for n in self.choice.ways]
        return [(n, o, runs.runs[n].instances * self.run_hours(n)) for n, o in mine if not committed[o]]

    @cached_property
    def switches(self) -> tuple[SwitchUse, ...]:
        """Tell each switch that routed traffic or a training job turns on, with the pools and jobs that do."""
        columns = self.compiled.columns
        routed = np.zeros(len(columns.pool_candidate), dtype=bool)
        routed[columns.routing_pool[self.choice.shares > 0]] = True
        routed[columns.routing_pool[columns.losses.route[self.choice.recourse > 0]]] = True
        belongs, runs, jobs = columns.switch_pools & routed, columns.switch_runs[:, self.choice.ways], columns.training.jobs
        found = []
        for at in np.flatnonzero(belongs.any(axis=1) | runs.any(axis=1)):
            s = columns.switches.switches[int(columns.switch[at])]
            pools = tuple(self.pool_name(int(p)) for p in np.flatnonzero(belongs[at]))
            pools += tuple(jobs[int(j)].name for j in np.flatnonzero(runs[at]))
            found.append(
                SwitchUse(name=s.name, head=s.head, usd_per_hour=s.usd_per_hour, pools=pools, quality=s.quality, source=s.source)
            )
        return tuple(found)

    @cached_property
    def starts(self) -> tuple[PeriodChange, ...]:
        """Tell each start and stop between periods that is priced."""
        return period_changes(self.compiled, self.choice, self.pool_name)

    @cached_property
    def change(self) -> ChangeUse | None:
        """Tell what differs from the plan in force, where a policy compares."""
        return change_use(self.compiled, self.choice, self.pool_name)

    @property
    def changes(self) -> tuple[PeriodChange, ...]:
        """Give every change that is paid for."""
        return self.starts if self.change is None else (*self.starts, *self.change.moves, *self.change.gone)

    @cached_property
    def unserved(self) -> tuple[Unserved, ...]:
        """Tell each share of a class that is left unserved."""
        return unserved_of(self.compiled, self.choice)

    @property
    def penalties(self) -> list[tuple[Fraction, Quality]]:
        """Give the penalties that are expected whatever is chosen, USD per hour."""
        told = [w.penalty for w in self.table.instance.workloads if w.penalty is not None]
        months = Fraction(HOURS_PER_MONTH)
        return [(Fraction(repr(p.usd_each)) * Fraction(repr(p.expected_per_month)) / months, p.quality) for p in told]

    @property
    def beside_bill(self) -> Fraction:
        """Give what the objective holds beyond the bill, less what the bill holds beyond the objective, USD per hour."""
        found = -sum((usd for usd, _ in self.penalties), Fraction(0))
        if self.table.instance.objective == "profit":
            found += sum((Fraction(repr(x.lost_revenue_usd_per_hour)) for x in self.unserved), Fraction(0))
        if self.change is not None:
            found -= sum((Fraction(repr(c.usd_per_hour)) for c in self.change.gone), Fraction(0))
            found += Fraction(repr(self.change.saving_asked_usd_per_hour))
        return found

    @cached_property
    def heads(self) -> dict[str, Fraction]:
        """Add up the bill exactly, by head, USD per hour."""
        heads = {"compute": Fraction(0), **self.unit_charges}
        for o, t in np.argwhere(self.choice.instances):
            price = Fraction(repr(self.table.offers.prices[o].usd_per_hour))
            heads["compute"] += price * int(self.choice.instances[o, t]) * self.month_share[t]
        for n, _, _ in self.paid_by_use:
            heads["compute"] += self.run_rent(n)
        heads["transfer"] = self.answers_usd_per_hour
        for s in self.switches:
            heads[s.head] = heads.get(s.head, Fraction(0)) + Fraction(repr(s.usd_per_hour))
        heads["setup"] = sum((Fraction(repr(c.usd_per_hour)) for c in self.changes), heads.get("setup", Fraction(0)))
        heads["risk"] += sum((Fraction(repr(x.usd_per_hour)) for x in self.unserved), Fraction(0))
        heads["risk"] += sum((usd for usd, _ in self.penalties), Fraction(0))
        return heads

    @cached_property
    def unit_charges(self) -> dict[str, Fraction]:
        """Add up what is charged for each instance beside its rent; the head power also holds what load draws at sites."""
        rates = {head: rate for head, rate in self.table.offers.heads.items() if head != "compute"}
        hours = self.choice.instances @ self.table.hours_share
        for _, o, instances in self.paid_by_use:
            hours[o] += float(instances)
        found = {head: sum((Fraction(float(x)) for x in rate * hours), Fraction(0)) for head, rate in rates.items()}
        trained = self.compiled.columns.training.busy_usd_per_hour[self.choice.ways].sum()
        return found | {"power": found["power"] + Fraction(self.drawn.busy_usd_per_hour()) + Fraction(float(trained))}

    @cached_property
    def routing_usd_per_hour(self) -> npt.NDArray[np.float64]:
        """Give what sending the answers of each routing column costs while its period lasts."""
        return np.asarray(self.compiled.columns.routing_usd_per_hour * self.choice.shares / SHARE_UNIT)

    @cached_property
    def answers_usd_per_hour(self) -> Fraction:
        """Give what sending all answers costs, USD per hour of the month."""
        usd = self.routing_usd_per_hour * self.table.hours_share[self.compiled.columns.routing_period]
        return sum((Fraction(float(x)) for x in usd[usd > 0]), Fraction(0))

    def charges_by_quality(self) -> dict[Quality, Fraction]:
        """Add up everything beside rent by its quality; unit charges are as good as the worst of their rates."""
        instance = self.table.instance
        found = {quality: Fraction(0) for quality in Quality}
        for s in self.switches:
            found[s.quality] += Fraction(repr(s.usd_per_hour))
        for c in self.changes:
            found[c.quality] += Fraction(repr(c.usd_per_hour))
        for x in self.unserved:
            found[x.quality] += Fraction(repr(x.usd_per_hour))
        for usd, quality in self.penalties:
            found[quality] += usd
        units = {"licence": [x.quality for x in instance.licences], "risk": [x.quality for x in instance.interruptions]}
        units["power"] = [instance.power_quality]
        for head, usd in self.unit_charges.items():
            found[worst(units[head])] += usd
        found[worst(x.quality for x in instance.routes)] += self.answers_usd_per_hour
        return found

    def routing(self) -> tuple[Route, ...]:
        """Tell each share that is not zero."""
        columns, transfer = self.compiled.columns, self.routing_usd_per_hour
        return tuple(
            Route(
                workload=self.table.workloads[columns.routing_workload[j]].name,
                request_class=self._class_name(int(j)),
                period=self.table.instance.periods[columns.routing_period[j]].name,
                pool=self.pool_name(int(columns.routing_pool[j])),
                share=int(self.choice.shares[j]) / SHARE_UNIT,
                transfer_usd_per_hour=float(transfer[j]),
            )
            for j in np.flatnonzero(self.choice.shares)
        )

    def recourse(self) -> tuple[Recourse, ...]:
        """Tell each share after a loss that is not zero."""
        columns, losses, found = self.compiled.columns, self.compiled.columns.losses, []
        for at in np.flatnonzero(self.choice.recourse):
            j, event = int(losses.route[at]), losses.events[int(losses.event[losses.route_cell[at]])]
            found.append(
                Recourse(
                    event=event.kind,
                    lost=event.lost if event.pool < 0 else self.pool_name(event.pool),
                    replicas=event.replicas,
                    workload=self.table.workloads[columns.routing_workload[j]].name,
                    request_class=self._class_name(j),
                    period=self.table.instance.periods[columns.routing_period[j]].name,
                    pool=self.pool_name(int(columns.routing_pool[j])),
                    share=int(self.choice.recourse[at]) / SHARE_UNIT,
                )
            )
        return tuple(found)

    def _class_name(self, j: int) -> str:
        columns = self.compiled.columns
        return self.table.workloads[int(columns.routing_workload[j])].classes[int(columns.routing_number[j])].name


def whole_or_not(accelerators: float) -> int | float:
    """Give a number of accelerators as an int where it is whole."""
    return int(accelerators) if accelerators == int(accelerators) else float(accelerators)
