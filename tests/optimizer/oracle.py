"""Brute force over tiny instances, sharing no code with the compiler, and the generator that makes them.

Every instance is drawn so that any three replicas carry a workload, so all irreducible plans have at most three replicas a
workload: fewer replicas never cost more, use more of a limit or (spot replicas first) break a spot share. Prices are multiples
of 1/4 and so sums are exact in binary64.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from optimizer.instance import Instance
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, variant, workload

MOST_REPLICAS = 3


@dataclass(frozen=True)
class Pair:
    """One way to place a replica: what it needs and what it carries."""

    offer: tuple[str, str]
    size: int
    room: int
    price: float
    spot: bool
    pool: tuple[str, ...]
    mu: int
    kept: Fraction


def least_costs(question: Instance) -> tuple[float | None, float | None]:
    """Give the least USD per hour within the limits, and without them, by trying everything; None when nothing is feasible."""
    choices = [_plans(question, w) for w in question.workloads]
    if not all(choices):
        return None, None
    offers = sorted({p.offer for plans in choices for plan in plans for p in plan})
    at = {o: i for i, o in enumerate(offers)}
    price, room = np.zeros(len(offers)), np.ones(len(offers), dtype=np.int64)
    for plan in (plan for plans in choices for plan in plans):
        for p in plan:
            price[at[p.offer]], room[at[p.offer]] = p.price, p.room
    tables = [np.unique([_use(plan, at) + _dues(question, plan) for plan in plans], axis=0) for plans in choices]
    used = tables[0]
    for table in tables[1:]:
        used = (used[:, None, :] + table[None, :, :]).reshape(-1, table.shape[1])
    used, switched = used[:, : len(offers)], used[:, len(offers) :] > 0
    instances = -(-used // room)
    monthly = np.array([p.people * p.usd_per_person_hour * p.hours_per_month for p in question.people])
    cost = instances @ price + switched @ (monthly / 730)
    feasible = np.ones(len(cost), dtype=bool)
    for limit in question.limits:
        counted = np.array([_counted(question, limit, o) for o in offers], dtype=bool)
        feasible &= (instances * room)[:, counted].sum(axis=1) <= limit.max_accelerators
    return float(cost[feasible].min()) if feasible.any() else None, float(cost.min())


def _use(plan: tuple[Pair, ...], at: dict[tuple[str, str], int]) -> list[int]:
    use = [0] * len(at)
    for p in plan:
        use[at[p.offer]] += p.size
    return use


def _dues(question: Instance, plan: tuple[Pair, ...]) -> list[int]:
    """Say which people a plan needs: every replica of an irreducible plan is routed to."""
    return [int(any(_needs(entry.when, p) for p in plan)) for entry in question.people]


def _needs(when: Any, p: Pair) -> bool:
    precision, _, accelerator, _, region = p.pool
    facts = {"precision": precision, "accelerator": accelerator, "region": region}
    return all(getattr(when, name) in (None, fact) for name, fact in facts.items())


def _counted(question: Instance, limit: Any, key: tuple[str, str]) -> bool:
    found = next(o for o in question.catalogs.offers if o.label == key[0])
    facts = {"accelerator": found.accelerator, "option": key[1], "region": found.region, "provider": found.provider}
    return all(getattr(limit.match, name) in (None, fact) for name, fact in facts.items())


def _pairs(question: Instance, w: Any) -> list[Pair]:
    floor, found = w.accuracy, []
    forms = {(v.precision, v.compression): v for v in next(m for m in question.catalogs.models if m.name == w.model).variants}
    profiles: dict[tuple[str, ...], list[Any]] = {}
    for p in question.catalogs.profiles:
        if p.model == w.model:
            profiles.setdefault((p.precision, p.compression, p.accelerator, str(p.accelerators_per_replica)), []).append(p)
    for key, rows in profiles.items():
        form, p = forms[key[:2]], rows[0]
        kept = Fraction(1) if form.is_baseline else Fraction(repr(form.accuracy[0].kept_fraction))
        if floor is not None and floor.aggregation == "per_request" and kept < Fraction(repr(floor.floor_fraction_of_baseline)):
            continue
        for o in question.catalogs.offers:
            if o.accelerator != p.accelerator or o.accelerators_per_instance % p.accelerators_per_replica:
                continue
            for price in o.prices:
                if price.option == "spot" and w.max_spot_fraction == 0:
                    continue
                place = (
                    (o.label, price.option.value),
                    p.accelerators_per_replica,
                    o.accelerators_per_instance,
                    price.usd_per_hour,
                )
                found.append(Pair(*place, price.option == "spot", (*key, o.region), int(p.load.value), kept))
    return found


def _plans(question: Instance, w: Any) -> list[tuple[Pair, ...]]:
    pairs, found = _pairs(question, w), []
    for count in range(1, MOST_REPLICAS + 1):
        found += [plan for plan in combinations_with_replacement(pairs, count) if _serves(question, w, plan)]
    smallest: dict[tuple[Pair, ...], None] = dict.fromkeys(found)
    return [plan for plan in found if len(plan) < 2 or not any(plan[:i] + plan[i + 1 :] in smallest for i in range(len(plan)))]


def _serves(question: Instance, w: Any, plan: tuple[Pair, ...]) -> bool:
    if w.max_spot_fraction < 1:
        for pool in {p.pool for p in plan if p.spot}:
            mine = [p.spot for p in plan if p.pool == pool]
            if sum(mine) > w.max_spot_fraction * len(mine):
                return False
    demand = sum(c.rate.value for c in w.classes) / question.policy.utilization_cap
    left, kept = Fraction(demand), Fraction(0)
    if sum(p.mu for p in plan) < left:
        return False
    if w.accuracy is None or w.accuracy.aggregation != "traffic_weighted":
        return True
    for p in sorted(plan, key=lambda p: -p.kept):  # one rate serves all classes here, so the best average fills the best first
        share = min(left, p.mu)
        left, kept = left - share, kept + share * p.kept
    return kept >= Fraction(repr(w.accuracy.floor_fraction_of_baseline)) * Fraction(demand)


def random_instance(seed: int) -> Instance:
    """Draw two workloads on four accelerators with shared instances, spot, accuracy floors and limits."""
    rng = np.random.default_rng(seed)
    names, cap = ["a", "b", "c", "d"], float(rng.choice([0.5, 0.75, 1.0]))
    offers, profiles = [], []
    for name, size in product(names, (1, 2)):
        spot = float(rng.integers(2, 9)) / 4 if rng.random() < 0.3 else None
        offers.append(offer(name, size, float(rng.integers(4, 24)) * size / 4, region=str(rng.choice(["r", "s"])), spot=spot))
    models = []
    for m in ("m", "n"):
        kept = [float(x) for x in rng.choice([0.97, 0.98, 0.985, 0.99, 0.995], 2)]
        base = {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}
        models.append(model(m, base, variant("fp8", kept[0]), variant("int8", kept[1])))
        for name, precision in product(names, ("fp16", "fp8", "int8")):
            if rng.random() < 0.85:
                size = int(rng.choice([1, 1, 2]))
                profiles.append(profile(m, name, float(rng.integers(8, 25)), size=size, precision=precision))
        profiles.append(profile(m, "a", 8.0, precision="fp16")) if not any(p["model"] == m for p in profiles) else None
    workloads = [_random_workload(rng, f"w{i}", m, cap) for i, m in enumerate(("m", "n" if rng.random() < 0.5 else "m"))]
    limits = []
    for name in names:
        most = int(rng.choice([0, 0, 0, 1, 1, 1, 2]))
        match = {"accelerator": name} if rng.random() < 0.7 else {"accelerator": name, "option": "on_demand"}
        limits.append({"name": f"{name} quota", "match": match, "max_accelerators": most})
    unique = {(p["model"], p["accelerator"], p["precision"]): p for p in profiles}
    parts = {
        "accelerators": [accelerator(n) for n in names],
        "offers": offers,
        "profiles": list(unique.values()),
        "models": models,
    }
    return instance(**parts, workloads=workloads, limits=limits, utilization_cap=cap)


def random_priced_instance(seed: int) -> Instance:
    """Draw the same with people who must be paid for an accelerator, a precision or a region in use."""
    rng = np.random.default_rng(10_000 + seed)
    found = random_instance(seed)
    kinds = (("accelerator", ("a", "b", "c", "d")), ("precision", ("fp8", "int8")), ("region", ("r", "s")))
    people = []
    for field, names in kinds:
        for name in names:
            if rng.random() < 0.6 and (field != "region" or any(o.region == name for o in found.catalogs.offers)):
                cost = {"people": 0.5, "usd_per_person_hour": float(rng.integers(1, 12)), "hours_per_month": 730.0}
                people.append({"name": f"{field} {name}", "when": {field: name}, **cost})
    return found.replace(people=people)


def _random_workload(rng: np.random.Generator, name: str, model_name: str, cap: float) -> dict[str, Any]:
    """Draw a workload of which any replica carries at least a third: the least rate is 8, the total at most 3 * 8 * cap."""
    total = float(rng.integers(4, 25)) * cap
    rates = {"q": total} if rng.random() < 0.5 else {"q": total * 0.25, "s": total * 0.75}
    changes: dict[str, Any] = {"max_spot_fraction": float(rng.choice([0.0, 0.0, 0.5, 1.0]))}
    if rng.random() < 0.6:
        aggregation = "traffic_weighted" if rng.random() < 0.5 else "per_request"
        floor = float(rng.choice([0.975, 0.98, 0.99]))
        changes["accuracy"] = {**FLOOR, "floor_fraction_of_baseline": floor, "aggregation": aggregation}
    return workload(name, rates, model=model_name, **changes)
