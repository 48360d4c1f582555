"""Is it a plan of this instance at all: names, and each thing told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from optimizer.plan import Deployment
from optimizer.verify.facts import Facts


def instance_rule(facts: Facts) -> Iterator[str]:
    """Check that the plan names this instance, by hash, name and day."""
    key, instance = facts.plan.instance, facts.instance
    if key.hash != instance.hash:
        yield f"the plan answers another question: hash {key.hash[:12]}, this instance has {instance.hash[:12]}"
    if (key.name, key.as_of) != (instance.name, instance.as_of):
        yield f"the plan says {key.name!r} of {key.as_of}, the instance is {instance.name!r} of {instance.as_of}"


def names_rule(facts: Facts) -> Iterator[str]:
    """Every offer, workload, model, period and pool exists, and a pool holds one configuration in one region."""
    periods = {p.name for p in facts.instance.periods}
    shared = {s.name: tuple(sorted(s.workloads)) for s in facts.instance.shared_pools}
    for d in facts.plan.deployments:
        if (d.offer, d.option) not in facts.sold:
            yield f"{d.pool}: no offer {d.offer!r} with option {d.option!r}"
        elif facts.sold[d.offer, d.option][0].region != d.region or facts.sold[d.offer, d.option][0].provider != d.provider:
            yield f"{d.pool}: {d.offer} is not in {d.provider}/{d.region}"
        if d.shared_pool is not None and shared.get(d.shared_pool) != d.workloads:
            yield f"{d.pool}: workloads {list(d.workloads)} are not those of a shared pool {d.shared_pool!r}"
        elif d.shared_pool is None and (len(d.workloads) != 1 or d.workloads[0] not in facts.workloads):
            yield f"{d.pool}: workloads {list(d.workloads)} are not one workload of the instance"
        elif facts.instance.models.get(d.model) is not facts.instance.models.get(facts.workloads[d.workloads[0]].model):
            yield f"{d.pool}: serves {d.model!r}, the workload asks for {facts.workloads[d.workloads[0]].model!r}"
        if d.period not in periods:
            yield f"{d.pool}: no period {d.period!r}"
    for pool, members in facts.pools.items():
        if len({_replica_of(d) for d in members}) > 1:
            yield f"{pool}: mixes configurations, workloads or regions in one pool"
    yield from (f"routing: no period {r.period!r}" for r in facts.plan.routing if r.period not in periods)
    yield from (f"{r.offer}: no period {r.period!r}" for r in facts.plan.rentals if r.period not in periods)


def _replica_of(d: Deployment) -> tuple[object, ...]:
    variant = (d.model, d.precision, d.compression, d.accelerator, d.accelerators, d.pattern, d.engine, d.engine_version)
    layout = (d.tensor, d.pipeline, d.attention_data, d.expert, d.availability)
    return (*variant, *layout, d.workloads, d.shared_pool, d.provider, d.region)


def complete_rule(facts: Facts) -> Iterator[str]:
    """Every workload is told once, and no deployment twice."""
    told = Counter(w.name for w in facts.plan.workloads)
    for name in facts.workloads:
        if told[name] != 1:
            yield f"workload {name!r} is told {told[name]} times"
    yield from (f"workload {name!r} is not in the instance" for name in told if name not in facts.workloads)
    for d, count in Counter((d.pool, d.offer, d.option, d.period) for d in facts.plan.deployments).items():
        if count > 1:
            yield f"the deployment {d} is told {count} times"


def candidates_rule(facts: Facts) -> Iterator[str]:
    """Check that the candidates considered are all accounted for."""
    counts = facts.plan.candidates
    parts = sum(count for name, count in counts.items() if name != "considered")
    if counts.get("considered") != parts:
        yield f"{counts.get('considered')} candidates were considered, {parts} are accounted for"
