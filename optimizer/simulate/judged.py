"""A plan's pools simulated one by one and judged: which target misses, by how much, and what would mend it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.catalog import Quantity
from optimizer.errors import UsageError
from optimizer.instance import Balancer, Instance
from optimizer.performance import ClassCurve
from optimizer.plan import Plan
from optimizer.problems import nearest
from optimizer.simulate.arrivals import Arrivals, stated
from optimizer.simulate.losses import plans_after_losses
from optimizer.simulate.pools import Load, Pool, pools_of
from optimizer.simulate.results import Figure, NotSimulated, Remedy, SimulatedPool, Simulation
from optimizer.simulate.run import Loss, estimate, put_through

__all__ = ["LossAt", "simulate_plan"]

REMEDY_STEPS, REMEDY_REQUESTS = 6, 200_000
"""Halvings in search of the load that holds, and requests counted in each."""
MOST_REQUESTS = 20_000_000


@dataclass(frozen=True)
class LossAt:
    """Replicas of a named pool that stop at a moment, s after counting begins."""

    pool: str
    loss: Loss

    @classmethod
    def read(cls, text: str) -> LossAt:
        """Read ``POOL@T`` or ``POOL@T*COUNT``.

        Raises
        ------
        UsageError : it is neither
        """
        pool, _, moment = text.rpartition("@")
        when, _, count = moment.partition("*")
        try:
            loss = Loss(int(count or 1), float(when))
        except ValueError:
            loss = Loss(0, 0.0)
        if not pool or loss.replicas < 1 or not 0 <= loss.at_s < 1e9:
            raise UsageError(f"--lose {text}: expected POOL@SECONDS or POOL@SECONDS*REPLICAS, such as 'chat: fp8 ...@60'")
        return cls(pool, loss)


@dataclass(frozen=True)
class _Question:
    """What every pool is put through."""

    requests: int
    arrivals: Arrivals | None
    balancer: Balancer
    spread: float
    seed: int

    def figures(self, pool: Pool, number: int, loss: Loss | None, requests: int) -> tuple[Figure, ...]:
        """Give every figure of one pool."""
        seed = np.random.SeedSequence([self.seed, number])
        run = put_through(pool, requests, self.arrivals or stated(pool.variation), self.balancer, seed, loss)
        found = []
        for place, load in enumerate(pool.loads):
            for target in load.targets:
                if target.quantity is Quantity.TPOT and _tokens(load) == 1:
                    continue  # there is no further token
                got = estimate(run, place, load, target.quantity, target.percentile)
                high = got.high_ms * self.spread
                found.append(
                    Figure(
                        workload=load.workload,
                        request_class=load.name,
                        quantity=target.quantity.value,
                        statistic=target.statistic,
                        target_ms=target.at_most_ms,
                        value_ms=got.value_ms * self.spread,
                        low_ms=got.low_ms * self.spread,
                        high_ms=high if math.isfinite(high) else None,
                        requests=got.requests,
                    )
                )
        return tuple(found)


def _tokens(load: Load) -> int:
    return load.curve.output_tokens if isinstance(load.curve, ClassCurve) else 1


def simulate_plan(
    instance: Instance,
    plan: Plan,
    *,
    requests: int = 1_000_000,
    arrivals: Arrivals | None = None,
    balancer: Balancer | None = None,
    seed: int = 0,
    every_period: bool = False,
    losses: bool = False,
    lose: tuple[LossAt, ...] = (),
    on_pool: Callable[[str], Any] | None = None,
) -> Simulation:
    """Simulate every pool of a plan that rests on a curve, at its busiest period or in all, and judge it against its targets.

    Parameters
    ----------
    requests : counted in each pool, warm-up apart
    arrivals : as each workload states them unless said otherwise; Poisson where it states nothing
    balancer : the policy's unless said otherwise
    losses : simulate what is left after each loss that a workload insures against, too, at the share that is still served
    lose : replicas that stop; what they held starts anew elsewhere, and requests count that were there or came later
    on_pool : called with a pool's name before it is simulated

    Raises
    ------
    InvalidInputError : the plan answers another instance
    CheckFailedError : a pool's load is unstable, or the plan does not fit its instance
    UsageError : a number of requests, or a pool, that cannot be
    """
    if not 1000 <= requests <= MOST_REQUESTS:
        raise UsageError(f"--requests {requests}: expected 1000 to {MOST_REQUESTS}")
    pools, resting, busy = pools_of(instance, plan, every_period)
    stopped = {found.pool: found.loss for found in lose}
    if unknown := sorted(stopped.keys() - {pool.name for pool in pools}):
        raise UsageError(f"--lose {unknown[0]!r}: no simulated pool of that name; {nearest(unknown[0], [p.name for p in pools])}")
    chosen, spread = balancer or instance.policy.balancer, instance.policy.run_to_run_spread_factor.value
    question = _Question(requests, arrivals, chosen, spread, seed)
    found = []
    for number, pool in enumerate(pools):
        if on_pool is not None:
            on_pool(pool.name)
        found.append(_judged(question, pool, number, stopped.get(pool.name)))
    if losses:
        found += _after_losses(question, instance, plan, every_period, on_pool or (lambda _: None))
    total = busy + sum(r.busy_accelerators for r in resting)
    shares = [NotSimulated(pool=r.name, why=r.why, load_share=min(r.busy_accelerators / max(total, 1e-9), 1.0)) for r in resting]
    return Simulation(
        instance=plan.instance,
        arrivals=(arrivals or stated(max((pool.variation for pool in pools), default=1.0))).label,
        balancer=chosen.value,
        spread_factor=spread,
        requests_per_pool=requests,
        seed=seed,
        pools=tuple(found),
        not_simulated=tuple(shares),
        held_share=min(sum(share.load_share for share in shares), 1.0),
    )


def _after_losses(
    question: _Question, instance: Instance, plan: Plan, every_period: bool, on_pool: Callable[[str], Any]
) -> list[SimulatedPool]:
    """Judge what every loss leaves that a workload insures against."""
    found = []
    for event, left in plans_after_losses(instance, plan):
        for number, pool in enumerate(pools_of(instance, left, every_period)[0]):
            on_pool(f"{event}: {pool.name}")
            found.append(_judged(question, pool, number, None).model_copy(update={"event": event}))
    return found


def _judged(question: _Question, pool: Pool, number: int, loss: Loss | None) -> SimulatedPool:
    figures = question.figures(pool, number, loss, question.requests)
    told = SimulatedPool(
        pool=pool.name,
        period=pool.period,
        replicas=pool.replicas,
        lost_replicas=loss.replicas if loss else 0,
        requests_per_s=pool.per_s,
        utilization=pool.utilization,
        figures=figures,
    )
    return told if told.holds else told.model_copy(update={"remedy": _remedy(question, pool, number, loss)})


def _remedy(question: _Question, pool: Pool, number: int, loss: Loss | None) -> Remedy:
    """Search the largest share of the load at which every target holds, by halving; replicas for all of it stand beside it."""
    low, high = 0.0, 1.0
    for _ in range(REMEDY_STEPS):
        share = (low + high) / 2
        figures = question.figures(pool.at(share), number, loss, min(question.requests, REMEDY_REQUESTS))
        low, high = (share, high) if all(f.holds for f in figures) else (low, share)
    if low == 0.0:
        return Remedy(load_share=None, replicas=None, utilization=None)
    return Remedy(load_share=low, replicas=math.ceil(pool.replicas / low), utilization=pool.utilization * low)
