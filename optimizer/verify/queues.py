"""Do servers with known service times keep their waits: worked out anew from counts and shares, without the compiler's pieces.

What a wait may be is a figure of the replica (``ReplicaEstimate.queue``); the probability of waiting is summed here from its
definition, the share of states in which all servers are busy, and not by the recursion that planned the pool; of bursts it is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import exp, fsum, log

from optimizer.performance import ReplicaEstimate
from optimizer.performance.figures import Queue
from optimizer.verify.facts import LOAD_TOLERANCE, Facts, grouped

__all__ = ["queue_rule", "waits_kept"]


def queue_rule(facts: Facts) -> Iterator[str]:
    """No pool of servers is so full that a target is missed by those that wait."""
    replicas = grouped(facts.plan.deployments, lambda d: (d.pool, d.period))
    for (pool, period), members in replicas.items():
        owner = facts.owner(members[0])
        answer = None if owner is None else facts.estimate(owner, members[0])
        load = facts.load(pool, period)
        if owner is None or not load or not isinstance(answer, ReplicaEstimate) or answer.queue is None:
            continue  # where nothing comes nobody waits, though of bursts all would
        count, queue = sum(d.replicas for d in members), answer.queue
        for target, kept in zip(owner.latency, waits_kept(queue, count, load), strict=True):
            if not kept:
                what = f"{target.statistic} {target.quantity} of {target.at_most_ms:g} ms"
                yield f"{pool}: {count} servers with {float(load):.9f} busy in {period} keep requests waiting too long for {what}"


def waits_kept(queue: Queue, count: int, load: Fraction) -> list[bool]:
    """Say of each budget of a queue whether ``count`` servers keep it with so many of them busy on average."""
    servers, busy = (count, load) if queue.is_pooled else (1, load / count)
    erlangs = float(busy * (1 - LOAD_TOLERANCE))
    waits = 1.0 if queue.is_bursty or erlangs >= servers else _waiting(servers, erlangs)
    ratios = [(wait_s / queue.residual_s, tail) for wait_s, tail in queue.waits]
    return [erlangs < servers and _keeps(waits, servers - erlangs, ratio, tail) for ratio, tail in ratios]


def _keeps(waits: float, spare: float, ratio: float, tail: float | None) -> bool:
    """Say whether a wait of ``ratio`` residual times is exceeded by at most a share, or by the mean not at all."""
    if tail is None:
        return waits <= ratio * spare
    return waits * exp(-ratio * spare) <= tail


def _waiting(servers: int, erlangs: float) -> float:
    """Give the probability that all servers are busy.

    States k below ``servers`` weigh a^k / k!, those from it on a^c / c! · c / (c - a) together; all are divided by a^c / c!, so
    that the terms are c (c - 1) ... (k + 1) / a^(c - k).
    """
    if erlangs <= 0:
        return 0.0
    weight, below = 0.0, []
    for k in range(servers, 0, -1):
        weight += log(k) - log(erlangs)
        if weight > 600:  # nobody waits, to 260 digits
            return 0.0
        below.append(exp(weight))
    full = servers / (servers - erlangs)
    return full / (full + fsum(below))
