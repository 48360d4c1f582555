"""What a plan takes for granted, and what its reader should be warned of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.catalog import Quality
from optimizer.compile import CandidateTable
from optimizer.plan import (
    Deployment,
    EnergyUse,
    LimitUse,
    Rental,
)

__all__ = ["assumptions_of", "warnings_of"]


def warnings_of(table: CandidateTable) -> list[str]:
    """Say what of the question was left out or looks wrong."""
    found = []
    if table.offers.left_out:
        _, label, reason = table.offers.left_out[0]
        found.append(f"{len(table.offers.left_out)} offers have no usable price and are left out, such as {label}: {reason}")
    if table.unpriced:
        found.append(f"{len(table.unpriced)} routes have no price and are not used, such as: {table.unpriced[0]}")
    for cap in table.offers.caps:
        if (unknown := np.flatnonzero(table.offers.unknown(cap))).size:
            what = f"{len(unknown)} offers are barred by {cap.limit.name!r}, since their {cap.unit} is unknown"
            found.append(f"{what}, such as {table.offers.label(int(unknown[0]))}")
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


def _queues(table: CandidateTable, deployments: Sequence[Deployment]) -> list[str]:
    """Say what pools of servers rest on, and how much the model's straight pieces may cost there."""
    used = {(d.shared_pool or d.workloads[0], d.basis) for d in deployments if d.workloads}
    queues = [k for k in table.queues if (table.owners[table.workload[k]].name, _basis(table, k)) in used]
    if not queues:
        return []
    loss = max((table.curves[k].loss for k in queues if k in table.curves), default=0.0)
    pooled = "as one queue" if table.queues[queues[0]].is_pooled else "each with a queue of its own"
    return [
        f"servers with known service times are staffed {pooled}, by Erlang-C with Allen-Cunneen's correction at its safe side, "
        f"for arrivals at the stated rates and variability; the model's straight pieces lose at most {loss:.1%} of their load"
    ]


def _basis(table: CandidateTable, k: int) -> str:
    return table.options[int(table.workload[k])].estimate(int(table.option_row[k])).basis


def assumptions_of(
    table: CandidateTable,
    deployments: Sequence[Deployment],
    rentals: Sequence[Rental],
    limits: Sequence[LimitUse],
    energy: EnergyUse,
) -> list[str]:
    """Say what the plan takes for granted, most telling first."""
    policy = table.instance.policy
    assumed = [c.rate for w in table.workloads for c in w.classes if c.rate.quality is Quality.ASSUMED]
    found = []
    if assumed:
        found.append(f"demand of {len(assumed)} request classes is assumed, constant within each period")
    found += _assumed_limits(limits)
    found.append(f"replicas are loaded to at most {policy.utilization_cap:.0%} of the rate at which every target holds")
    found.append(f"requests of a pool are shared among its replicas by {policy.balancer} (policy.balancer)")
    found += _queues(table, deployments)
    if any(w.redundancy for w in table.workloads):
        found.append("insured losses come one at a time, and requests move at once; what is in flight at the moment starts anew")
    if any("derived" in d.basis or d.quality in (Quality.DERIVED, Quality.INTERPOLATED, Quality.MODELLED) for d in deployments):
        spread = policy.run_to_run_spread_factor
        found.append(
            f"percentiles derived from central values carry a factor {spread.value:g} ({spread.quality}: {spread.reason})"
        )
    if rough := sorted({r.offer for r in rentals if r.price_quality is Quality.ASSUMED}):
        found.append(f"the price or its date is assumed for {', '.join(rough)}")
    ruled = sorted({name for r in rentals for name in r.price_rules})
    listed = f"prices follow the rules {', '.join(ruled)}" if ruled else "prices are list prices without discounts"
    found.append(f"a rented instance is paid whole and its price holds for the month; {listed}")
    if energy.energy_known_fraction:
        pue, idle = policy.rented_pue, policy.idle_share_of_tdp
        found.append(
            f"energy of what is rented is reckoned from TDP at a PUE of {pue.value:g}, idle at {idle.value:.0%} of it, "
            f"without the host beside the accelerators ({pue.quality}: {pue.reason})"
        )
    if table.instance.sites:
        found.append("hosts held at sites are on in every period; their draw rises in proportion to load")
    return found
