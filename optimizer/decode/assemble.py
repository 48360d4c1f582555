"""A choice told in domain words: deployments, rentals, routes, the bill, what binds and what it all rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from optimizer.catalog import Quality, worst
from optimizer.compile import CandidateTable, Compiled
from optimizer.compile.candidates import concerns
from optimizer.decode.baselines import baselines_of
from optimizer.decode.counts import SHARE_UNIT, Choice, choice_of
from optimizer.errors import AllocationError, InfeasibleError, InterruptedByUserError, NoPlanError
from optimizer.instance import HOURS_PER_MONTH, Match
from optimizer.plan import (
    HEADS,
    PROVED_GAP,
    Deployment,
    HeadCost,
    InstanceKey,
    LatencyFigure,
    LimitUse,
    Plan,
    Rental,
    Route,
    SwitchUse,
    Verification,
    WorkloadResult,
    relative_gap,
)
from solvers import Limit as StopLimit
from solvers import Solution, Termination

__all__ = ["BOUND_SAFETY", "decode"]

BOUND_SAFETY = 5e-7
"""A solver's bound is lowered by this share before it is believed: half the gap that counts as proof, so proof stays possible."""


def decode(
    compiled: Compiled, solution: Solution, *, method: str, requested_gap: float, seed: int, warnings: Sequence[str] = ()
) -> Plan:
    """Turn a solution into a plan, not yet verified.

    Raises
    ------
    InfeasibleError, NoPlanError, InterruptedByUserError : the solution holds no plan
    AllocationError : the solution cannot be, such as an unbounded cost
    """
    _refuse_planless(solution)
    choice = choice_of(compiled, solution)
    table, told = compiled.candidates, _Told(compiled, choice)
    deployments, rentals = told.deployments(), told.rentals()
    switches, heads = told.switches(), told.heads()
    usd_per_hour, limits = float(sum(heads.values())), told.limits()
    bound = _safe_bound(solution, usd_per_hour)
    gap = None if bound is None else relative_gap(usd_per_hour, bound)
    proved = gap is not None and gap <= PROVED_GAP
    return Plan(
        instance=InstanceKey(name=compiled.instance.name, hash=compiled.instance.hash, as_of=compiled.instance.as_of),
        status="optimal" if proved else "feasible",
        stopped_by=None if proved else _stopped_by(solution, gap, requested_gap),
        objective_usd=usd_per_hour,
        bound_usd=bound,
        relative_gap=gap,
        bound_source=f"{solution.bound_source}, lowered by {BOUND_SAFETY:g}" if bound is not None else "none known",
        usd_per_hour=usd_per_hour,
        usd_per_month=usd_per_hour * HOURS_PER_MONTH,
        costs=_costs(heads),
        deployments=deployments,
        rentals=rentals,
        switches=switches,
        routing=told.routing(),
        workloads=told.workloads(deployments, limits),
        limits=limits,
        baselines=baselines_of(compiled, usd_per_hour),
        quality_shares=_quality_shares(told, deployments, usd_per_hour),
        oldest_price=min(r.price_as_of for r in rentals),
        assumptions=tuple(_assumptions(table, deployments, rentals, limits)),
        candidates=compiled.counts,
        backend=solution.backend,
        backend_version=solution.backend_version,
        method=method,
        seed=seed,
        requested_gap=requested_gap,
        solve_seconds=solution.solve_seconds,
        verification=Verification(passed=False, rules=()),
        warnings=(*warnings, *_warnings(table)),
    )


def _refuse_planless(solution: Solution) -> None:
    if solution.termination is Termination.INFEASIBLE:
        raise InfeasibleError(
            "no plan: limits, budgets, spot shares and averaged floors cannot hold together; each workload alone has candidates"
        )
    if solution.termination in (Termination.UNBOUNDED, Termination.INFEASIBLE_OR_UNBOUNDED):
        raise AllocationError(f"{solution.backend} calls a bounded model {solution.termination}: {solution.message}")
    if solution.values is None:
        if solution.limit is StopLimit.INTERRUPT:
            raise InterruptedByUserError("interrupted before any plan was found")
        raise NoPlanError(f"no plan within the limit ({solution.limit or 'none'}); raise --time-limit or --gap")


def _safe_bound(solution: Solution, usd_per_hour: float) -> float | None:
    """Give the solver's bound, no higher than the exact cost, lowered by BOUND_SAFETY; None where none is known."""
    if solution.dual_bound is None:
        return None
    bound = min(solution.dual_bound, usd_per_hour)
    return max(bound - BOUND_SAFETY * abs(bound), 0.0)


def _stopped_by(solution: Solution, gap: float | None, requested: float) -> Literal["gap", "time", "interrupt"]:
    if solution.limit is StopLimit.INTERRUPT:
        return "interrupt"
    return "gap" if gap is not None and gap <= max(requested, PROVED_GAP) * (1 + 1e-9) else "time"


def _costs(heads: dict[str, Fraction]) -> dict[str, HeadCost]:
    amounts = {head: float(heads.get(head, 0)) for head in HEADS}
    return {head: HeadCost(usd_per_hour=x, usd_per_month=x * HOURS_PER_MONTH) for head, x in amounts.items()}


def _quality_shares(told: _Told, deployments: Sequence[Deployment], usd_per_hour: float) -> dict[str, float]:
    """Give the share of the cost that rests on figures of each quality: rent by deployment, other heads by their own quality.

    A committed instance that stands idle in a period has no deployment; its rent is as good as its price.
    """
    weight = dict(zip((p.name for p in told.table.instance.periods), map(float, told.month_share), strict=True))
    cost = {quality: sum(d.usd_per_hour * weight[d.period] for d in deployments if d.quality is quality) for quality in Quality}
    for r in told.rentals():
        cost[r.price_quality] += r.usd_per_hour * weight[r.period] * (r.accelerators_used == 0)
    for quality, usd in told.charges_by_quality().items():
        cost[quality] += float(usd)
    return {quality.value: min(amount / max(usd_per_hour, 1e-9), 1.0) for quality, amount in cost.items()}


def _warnings(table: CandidateTable) -> list[str]:
    found = []
    if table.offers.left_out:
        _, label, reason = table.offers.left_out[0]
        found.append(f"{len(table.offers.left_out)} offers have no usable price and are left out, such as {label}: {reason}")
    late = [
        f"{o.label} {p.option}"
        for o, p in zip(table.offers.offers, table.offers.prices, strict=True)
        if p.as_of > table.instance.as_of
    ]
    if late:
        found.append(f"{len(late)} prices are dated after {table.instance.as_of}, the day of the question, such as {late[0]}")
    unpriced = {m.name for m in table.instance.catalogs.models for v in m.variants if v.setup is not None}
    if table.instance.policy.setup is None and (mine := sorted({w.model for w in table.workloads} & unpriced)):
        found.append(f"making variants is not priced, since policy.setup gives no prices: {', '.join(mine)}")
    return found


def _assumed_limits(limits: Sequence[LimitUse]) -> list[str]:
    """Say which limits are assumed: those that bind one by one, the others counted."""
    assumed = [x for x in limits if x.quality is Quality.ASSUMED]
    found = [
        f"limit {x.name!r} of {x.most:g} {x.unit} is assumed and binds: {x.reason or 'no reason given'}"
        for x in assumed
        if x.binding
    ]
    if loose := [x.name for x in assumed if not x.binding]:
        found.append(f"{len(loose)} further limits are assumed and do not bind: {', '.join(loose)}")
    return found


def _assumptions(
    table: CandidateTable, deployments: Sequence[Deployment], rentals: Sequence[Rental], limits: Sequence[LimitUse]
) -> list[str]:
    """Say what the plan takes for granted, most telling first."""
    policy = table.instance.policy
    assumed = [c.rate for w in table.workloads for c in w.classes if c.rate.quality is Quality.ASSUMED]
    found = []
    if assumed:
        found.append(f"demand of {len(assumed)} request classes is assumed, constant within each period")
    found += _assumed_limits(limits)
    found.append(f"replicas are loaded to at most {policy.utilization_cap:.0%} of the rate at which every target holds")
    if any("derived" in d.basis or d.quality in (Quality.DERIVED, Quality.INTERPOLATED, Quality.MODELLED) for d in deployments):
        spread = policy.run_to_run_spread_factor
        found.append(
            f"percentiles derived from central values carry a factor {spread.value:g} ({spread.quality}: {spread.reason})"
        )
    if rough := sorted({r.offer for r in rentals if r.price_quality is Quality.ASSUMED}):
        found.append(f"the price or its date is assumed for {', '.join(rough)}")
    found.append("a rented instance is paid whole and its price holds for the month; prices are list prices without discounts")
    return found


@dataclass(frozen=True, eq=False)
class _Told:
    """A choice and the tables it points into."""

    compiled: Compiled
    choice: Choice

    @property
    def table(self) -> CandidateTable:
        return self.compiled.candidates

    def pool_name(self, pool: int) -> str:
        """Name a pool: workload, configuration, region; unique and stable under the order of the input."""
        table, k = self.table, int(self.compiled.columns.pool_candidate[pool])
        region = table.offers.regions[self.compiled.columns.pool_region[pool]]
        return f"{table.workloads[table.workload[k]].name}: {table.configuration(k).label} in {region}"

    def deployments(self) -> tuple[Deployment, ...]:
        """Tell each replica column that is used."""
        return tuple(self._deployment(int(j)) for j in np.flatnonzero(self.choice.replicas))

    def _deployment(self, j: int) -> Deployment:
        columns, table, offers = self.compiled.columns, self.table, self.table.offers
        pool, o, t = int(columns.replica_pool[j]), int(columns.replica_offer[j]), int(columns.replica_period[j])
        k = int(columns.pool_candidate[pool])
        c, workload = table.configuration(k), table.workloads[table.workload[k]]
        taken = int(self.choice.replicas[j]) * c.accelerators_per_replica
        rent = Fraction(repr(offers.prices[o].usd_per_hour)) * int(self.choice.instances[o, t])
        option = table.options[table.workload[k]]
        row = int(table.option_row[k])
        return Deployment(
            pool=self.pool_name(pool),
            workloads=(workload.name,),
            model=c.model,
            precision=c.precision,
            compression=c.compression,
            accelerator=c.accelerator,
            accelerators_per_replica=c.accelerators_per_replica,
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
            quality=worst([option.quality[row], offers.prices[o].quality]),
            usd_per_hour=float(rent * taken / int(self.choice.used[o, t])),
            basis=option.basis[row],
        )

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
            accelerators_used=int(self.choice.used[o, t]),
            usd_per_instance_hour=price.usd_per_hour,
            usd_per_hour=float(Fraction(repr(price.usd_per_hour)) * count),
            price_as_of=price.as_of,
            price_quality=price.quality,
            price_source=price.source,
        )

    @property
    def month_share(self) -> list[Fraction]:
        """Give each period's share of a month of 730 hours, exactly."""
        periods = self.table.instance.periods
        return [Fraction(repr(p.hours)) * Fraction(repr(p.per_month)) / Fraction(HOURS_PER_MONTH) for p in periods]

    def switches(self) -> tuple[SwitchUse, ...]:
        """Tell each switch that routed traffic turns on, with the pools that do."""
        columns = self.compiled.columns
        routed = np.zeros(len(columns.pool_candidate), dtype=bool)
        routed[columns.routing_pool[self.choice.shares > 0]] = True
        belongs = columns.switch_pools & routed
        found = []
        for at in np.flatnonzero(belongs.any(axis=1)):
            s = columns.switches.switches[int(columns.switch[at])]
            pools = tuple(self.pool_name(int(p)) for p in np.flatnonzero(belongs[at]))
            found.append(
                SwitchUse(name=s.name, head=s.head, usd_per_hour=s.usd_per_hour, pools=pools, quality=s.quality, source=s.source)
            )
        return tuple(found)

    def heads(self) -> dict[str, Fraction]:
        """Add up the bill exactly, by head, USD per hour."""
        heads = {"compute": Fraction(0), **self.unit_charges()}
        for o, t in np.argwhere(self.choice.instances):
            price = Fraction(repr(self.table.offers.prices[o].usd_per_hour))
            heads["compute"] += price * int(self.choice.instances[o, t]) * self.month_share[t]
        for s in self.switches():
            heads[s.head] = heads.get(s.head, Fraction(0)) + Fraction(repr(s.usd_per_hour))
        return heads

    def unit_charges(self) -> dict[str, Fraction]:
        """Add up what is charged for each rented instance beside its rent."""
        rates = {head: rate for head, rate in self.table.offers.heads.items() if head != "compute"}
        hours = self.choice.instances @ self.table.hours_share
        return {head: sum((Fraction(float(x)) for x in rate * hours), Fraction(0)) for head, rate in rates.items()}

    def charges_by_quality(self) -> dict[Quality, Fraction]:
        """Add up everything beside rent by its quality; unit charges are as good as the worst of their rates."""
        instance = self.table.instance
        found = {quality: Fraction(0) for quality in Quality}
        for s in self.switches():
            found[s.quality] += Fraction(repr(s.usd_per_hour))
        units = {"licence": [x.quality for x in instance.licences], "risk": [x.quality for x in instance.interruptions]}
        for head, usd in self.unit_charges().items():
            found[worst(units[head])] += usd
        return found

    def routing(self) -> tuple[Route, ...]:
        """Tell each share that is not zero."""
        columns = self.compiled.columns
        return tuple(
            Route(
                workload=self.table.workloads[columns.pool_workload[columns.routing_pool[j]]].name,
                request_class=self._class_name(int(j)),
                period=self.table.instance.periods[columns.routing_period[j]].name,
                pool=self.pool_name(int(columns.routing_pool[j])),
                share=int(self.choice.shares[j]) / SHARE_UNIT,
            )
            for j in np.flatnonzero(self.choice.shares)
        )

    def _class_name(self, j: int) -> str:
        columns = self.compiled.columns
        workload = self.table.workloads[int(columns.pool_workload[columns.routing_pool[j]])]
        return workload.classes[int(columns.routing_class[j])].name

    def workloads(self, deployments: Sequence[Deployment], limits: Sequence[LimitUse]) -> tuple[WorkloadResult, ...]:
        """Tell each workload's requirements against what it gets."""
        columns, table, cap = self.compiled.columns, self.table, self.table.instance.policy.utilization_cap
        binding = {limit.name for limit in limits if limit.binding}
        hours, load = table.hours_share, self._replicas_busy()
        weight = dict(zip((p.name for p in table.instance.periods), map(float, self.month_share), strict=True))
        found = []
        for number, workload in enumerate(table.workloads):
            mine = columns.pool_workload[columns.routing_pool] == number
            held = columns.pool_workload[columns.replica_pool] == number
            replicas = float(self.choice.replicas[held] @ hours[columns.replica_period[held]])
            busy = float(load[mine] @ hours[columns.routing_period[mine]])
            floor = workload.accuracy
            cost = sum(d.usd_per_hour * weight[d.period] for d in deployments if workload.name in d.workloads)
            felt = [x.name for x in table.instance.limits if x.name in binding and self._feels(x.name, number, cost)]
            found.append(
                WorkloadResult(
                    name=workload.name,
                    model=workload.model,
                    accuracy_metric=None if floor is None else f"{floor.metric} on {floor.evaluation}",
                    accuracy_floor=None if floor is None else floor.floor_fraction_of_baseline,
                    accuracy_kept=None if floor is None else self._accuracy(number, mine),
                    latency=self._latency(np.flatnonzero(mine & (self.choice.shares > 0))),
                    utilization=min(busy / max(replicas, 1e-9), 1.0),
                    utilization_cap=cap,
                    usd_per_hour=cost,
                    binding_limits=tuple(felt),
                )
            )
        return tuple(found)

    def _replicas_busy(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Give how many replicas each routing column keeps busy; the model's own loads are clamped where they are tiny."""
        columns, table = self.compiled.columns, self.table
        k, b = columns.pool_candidate[columns.routing_pool], columns.routing_class
        w = table.workload[k]
        places = zip(w.tolist(), table.option_row[k].tolist(), b.tolist(), strict=True)
        rate = np.array([table.options[number].rate_per_s[row, b] for number, row, b in places], dtype=np.float64)
        demand = table.demand[w, b] * table.shape[w, b, columns.routing_period]
        return np.asarray(demand * self.choice.shares / SHARE_UNIT / rate)

    def _accuracy(self, number: int, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        """Give the traffic-weighted share of the baseline that a workload keeps."""
        columns, table = self.compiled.columns, self.table
        period, number_of_class = columns.routing_period[mine], columns.routing_class[mine]
        demand = table.demand[number, number_of_class] * table.shape[number, number_of_class, period] * table.hours_share[period]
        weight = np.where(table.batch[number], 1.0, demand) * self.choice.shares[mine] / SHARE_UNIT
        kept = table.accuracy[columns.pool_candidate[columns.routing_pool[mine]]]
        return float((weight * kept).sum() / weight.sum()) if weight.sum() > 0 else 1.0

    def _latency(self, routed: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[LatencyFigure, ...]:
        """Tell each class's figures on each pool it is ever routed to; they are those of the rate a replica may carry."""
        columns, table = self.compiled.columns, self.table
        found = []
        places = zip(columns.routing_pool[routed].tolist(), columns.routing_class[routed].tolist(), strict=True)
        for pool, b in dict.fromkeys(places):
            k = int(columns.pool_candidate[pool])
            workload, options = table.workloads[table.workload[k]], table.options[table.workload[k]]
            row = int(table.option_row[k])
            found += [
                LatencyFigure(
                    request_class=workload.classes[b].name,
                    pool=self.pool_name(pool),
                    quantity=target.quantity.value,
                    statistic=target.statistic,
                    target_ms=target.at_most_ms,
                    value_ms=float(options.latency_ms[row, b, number]),
                    basis=options.kind[row].value,
                )
                for number, target in enumerate(workload.latency)
            ]
        return tuple(found)

    def _feels(self, name: str, number: int, usd_per_hour: float) -> bool:
        """Say whether a limit keeps a workload from cheaper hardware: more of what it counts would carry all of it for less."""
        table, offers = self.table, self.table.offers
        at = [x.name for x in table.instance.limits].index(name)
        if not concerns(table.instance.limits[at], table.workloads[number]):
            return False
        counted = np.flatnonzero(offers.limited[at] & table.allowed[number])
        mine = np.flatnonzero((table.workload == number) & (self.compiled.dominated_by < 0))
        same = table.accelerator[mine][:, None] == offers.accelerator[counted][None, :]
        same &= offers.size[counted][None, :] % table.size[mine][:, None] == 0
        cost = (table.load[mine].sum(axis=1) * table.size[mine])[:, None] * (offers.usd_per_hour / offers.size)[counted][None, :]
        return bool((same & (cost < usd_per_hour)).any())

    def limits(self) -> tuple[LimitUse, ...]:
        """Tell how much of each limit is used, in the period that uses most."""
        found = []
        for number, limit in enumerate(self.table.instance.limits):
            accelerators, least = self._counted(number)
            used = int(accelerators.max())
            if limit.max_accelerators is not None:
                most = limit.max_accelerators
                found.append(
                    _use(limit.name, "accelerators", used, most, least > 0 and used + least > most, limit.quality, limit.reason)
                )
            if limit.max_instances is not None:
                instances, most = (
                    int(self.choice.instances[self.table.offers.limited[number]].sum(axis=0).max()),
                    limit.max_instances,
                )
                found.append(_use(limit.name, "instances", instances, most, instances + 1 > most, limit.quality, limit.reason))
            if limit.max_usd_per_month is not None:
                usd, least_usd = self._spent(limit.match, number)
                most, tight = limit.max_usd_per_month, usd + least_usd > limit.max_usd_per_month
                found.append(_use(limit.name, "USD/month", usd, most, tight, limit.quality, limit.reason))
        return tuple(found)

    def _spent(self, match: Match, number: int) -> tuple[float, float]:
        """Give what a match covers of the bill, USD per month, and the least that one more accelerator-hour a month would add."""
        table, columns, offers = self.table, self.compiled.columns, self.table.offers
        least = float((offers.usd_per_hour / offers.size).min()) * HOURS_PER_MONTH * float(table.hours_share.min())
        if match == Match():
            return float(sum(self.heads().values()) * Fraction(HOURS_PER_MONTH)), least
        counted, price = offers.limited[number], offers.usd_per_hour
        if not match.speaks_of_replicas:
            spent = float((self.choice.instances @ table.hours_share * price)[counted].sum())
            return spent * HOURS_PER_MONTH, least
        mine = table.limited[number, columns.pool_candidate[columns.replica_pool]] & counted[columns.replica_offer]
        share = columns.replica_size / offers.size[columns.replica_offer] * table.hours_share[columns.replica_period]
        return float((self.choice.replicas * share * price[columns.replica_offer])[mine].sum()) * HOURS_PER_MONTH, least

    def _counted(self, number: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
        """Give the accelerators a limit counts in each period, and the fewest that one more of anything would add."""
        columns, table = self.compiled.columns, self.table
        limit, counted, size = table.instance.limits[number], table.offers.limited[number], table.offers.size
        if not limit.match.speaks_of_replicas:
            unit = size[columns.rent_offer[counted[columns.rent_offer]]]
            return (self.choice.instances * size[:, None])[counted].sum(axis=0), int(unit.min()) if len(unit) else 0
        mine = table.limited[number, columns.pool_candidate[columns.replica_pool]]
        mine &= counted[columns.replica_offer]
        used = np.zeros(columns.n_periods, dtype=np.int64)
        np.add.at(used, columns.replica_period[mine], (self.choice.replicas * columns.replica_size)[mine])
        return used, int(columns.replica_size[mine].min()) if mine.any() else 0


def _use(name: str, unit: str, used: float, most: float, binding: bool, quality: Quality, reason: str) -> LimitUse:
    return LimitUse(name=name, unit=unit, used=used, most=most, binding=binding, quality=quality, reason=reason)
