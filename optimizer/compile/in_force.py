"""The plan in force: what runs now, against which ``policy.change`` prices and limits what a new plan changes.

A change is a replica more or fewer of a pool on an offer in a period, weighed by the period's share of the month: a replica that
moves for good counts as one stopped and one started. Without a plan in force, or without the policy, there is nothing here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Layout
from optimizer.compile.candidates import CandidateTable
from optimizer.compile.starts import StartPrices, Steps
from optimizer.instance import HOURS_PER_MONTH, ChangePolicy
from optimizer.plan import Deployment, Plan

__all__ = ["Changes", "Held", "InForce", "candidate_key", "move_steps", "replica_key", "replica_keys"]

IntArray = npt.NDArray[np.int64]
COMMITTED = ("reserved", "owned")


@dataclass(frozen=True, eq=False)
class Held:
    """Replicas in force of one pool on one offer: ``replicas`` per period; candidate or offer is -1 where it is gone."""

    pool: str
    offer_label: str
    option: str
    candidate: int
    offer: int
    replicas: IntArray


@dataclass(frozen=True, eq=False)
class InForce:
    """What the plan in force runs, and the policy that says what changing it means.

    ``committed`` are the instances to keep of each offer, shape (n_offers,).
    """

    policy: ChangePolicy
    plan_hash: str
    held: tuple[Held, ...]
    committed: IntArray

    @classmethod
    def of(cls, table: CandidateTable, plan: Plan | None) -> InForce | None:
        """Map a plan in force to candidates and offers; None without a plan, or where no policy asks for it."""
        if plan is None or (policy := table.instance.policy.change) is None:
            return None
        pairs = list(zip(table.offers.offers, table.offers.prices, strict=True))
        offers = {(o.label, p.option.value): i for i, (o, p) in enumerate(pairs)}
        periods = {p.name: t for t, p in enumerate(table.instance.periods)}
        keys, counts, shown = (
            replica_keys(table),
            dict[tuple[str, str, str], IntArray](),
            dict[tuple[str, str, str], Deployment](),
        )
        for d in plan.deployments:
            if d.period in periods:
                place = (d.pool, d.offer, d.option)
                counts.setdefault(place, np.zeros(len(periods), dtype=np.int64))[periods[d.period]] += d.replicas
                shown[place] = d
        held = []
        for place in sorted(counts):
            k, o = keys.get(replica_key(shown[place]), -1), offers.get(place[1:], -1)
            usable = (
                k >= 0 and o >= 0 and table.allowed[table.workload[k], o] and table.offers.accelerator[o] == table.accelerator[k]
            )
            held.append(Held(*place, k if usable else -1, o if usable else -1, counts[place]))
        committed = np.zeros(len(pairs), dtype=np.int64)
        for r in plan.rentals:
            if policy.keep_commitments and r.option in COMMITTED and (r.offer, r.option) in offers:
                o = offers[r.offer, r.option]
                committed[o] = max(committed[o], r.instances)
        return cls(policy, hashlib.sha256(plan.to_json().encode()).hexdigest(), tuple(held), committed)

    @property
    def offers(self) -> IntArray:
        """Give the offers in use or committed, which no other replaces."""
        return np.union1d([h.offer for h in self.held if h.offer >= 0], np.flatnonzero(self.committed)).astype(np.int64)

    @property
    def candidates(self) -> IntArray:
        """Give the candidates in use, which no other replaces."""
        return np.array(sorted({h.candidate for h in self.held if h.candidate >= 0}), dtype=np.int64)

    def replicas(self, hours_share: npt.NDArray[np.float64]) -> float:
        """Give all replicas in force, on average over the month."""
        return float(sum((h.replicas @ hours_share for h in self.held), 0.0))

    def of_pairs(self, candidate: IntArray, offer: IntArray, periods: int) -> IntArray:
        """Give the replicas in force of each (candidate, offer); shape (n_pairs, n_periods)."""
        place = {pair: row for row, pair in enumerate(zip(candidate.tolist(), offer.tolist(), strict=True))}
        found = np.zeros((len(candidate), periods), dtype=np.int64)
        for h in self.held:
            if (row := place.get((h.candidate, h.offer))) is not None:
                found[row] += h.replicas
        return found


def move_steps(table: CandidateTable, in_force: InForce | None, held: IntArray, period: IntArray) -> Steps:
    """Lay out the columns that count changes against the plan in force, for replica columns and what each has in force."""
    if in_force is None:
        return Steps.none()
    policy, now = in_force.policy, np.arange(len(held))
    down = np.flatnonzero(held)
    column, sign = np.concatenate([now, down]), np.repeat([1, -1], [len(now), len(down)])
    each = np.where(sign > 0, policy.usd_per_replica_start, policy.usd_per_replica_stop)
    price = each * table.hours_share[period[column]] / policy.horizon_hours
    return Steps(column, np.full(len(column), -1), held[column], sign, price)


@dataclass(frozen=True, eq=False)
class Changes:
    """What changing costs: from one period to the next, and against the plan in force."""

    starts: StartPrices
    in_force: InForce | None

    @classmethod
    def of(cls, table: CandidateTable, plan_in_force: Plan | None) -> Changes:
        """Lay out what an instance says of changes."""
        return cls(StartPrices.of(table), InForce.of(table, plan_in_force))

    @property
    def saving_usd_per_hour(self) -> float:
        """Give what changing anything in force must save, USD per hour."""
        return 0.0 if self.in_force is None else self.in_force.policy.minimum_saving_usd_per_month / HOURS_PER_MONTH


def replica_keys(table: CandidateTable) -> dict[tuple[object, ...], int]:
    """Give each candidate by what makes its replicas what they are."""
    return {candidate_key(table, k): k for k in range(len(table))}


def candidate_key(table: CandidateTable, k: int) -> tuple[object, ...]:
    """Give what makes replicas of a candidate what they are."""
    c = table.configuration(k)
    variant = (c.model, c.precision, c.compression, c.accelerator, c.accelerators, c.pattern, c.engine, c.engine_version)
    return (table.owners[table.workload[k]].name, *variant, *_layout(c.layout))


def replica_key(d: Deployment) -> tuple[object, ...]:
    """Give the same of a deployment."""
    variant = (d.model, d.precision, d.compression, d.accelerator, d.accelerators, d.pattern, d.engine, d.engine_version)
    return (d.shared_pool or d.workloads[0], *variant, d.tensor, d.pipeline, d.attention_data, d.expert)


def _layout(layout: Layout) -> tuple[int, int, int | None, int | None]:
    return layout.tensor, layout.pipeline, layout.attention_data, layout.expert
