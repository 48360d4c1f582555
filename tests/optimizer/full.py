"""Random instances with every feature on at once, small enough for both backends to prove in a moment."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from optimizer.instance import Instance
from tests.optimizer.tiny import FLOOR, accelerator, document, model, offer, profile, variant

PERIODS = [{"name": "day", "hours": 14.0, "per_month": 365 / 12}, {"name": "night", "hours": 10.0, "per_month": 365 / 12}]
FASTER = {"fp16": 1.0, "fp8": 1.5}
REGIONS, CARDS = ("r", "s"), ("a", "b")


def full_instance(seed: int, insured: bool = False) -> Instance:
    """Draw serving and batch workloads over two periods, two cards in two regions, and every kind of cost and limit.

    ``insured`` adds losses to insure against and servers of known service times, which make a question harder to solve.
    """
    rng = np.random.default_rng(50_000 + seed)
    models = [model(name, *_variants(rng)) for name in ("m", "n")]
    profiles = [
        profile(
            m,
            card,
            float(rng.integers(4, 20) * FASTER[precision]),
            size=int(rng.choice([1, 1, 2])),
            precision=precision,
            latency=_held(rng),
        )
        for m in ("m", "n")
        for card in CARDS
        for precision in ("fp16", "fp8")
        if rng.random() < 0.6 or (card, precision) == ("a", "fp16")
    ]
    workloads = [_serving(rng, "w0", "m"), _serving(rng, "w1", "n"), _batch(rng), *_training(seed)]
    _shed(np.random.default_rng(70_000 + seed), workloads)
    more = np.random.default_rng(90_000 + seed)
    if insured:
        _insure(np.random.default_rng(95_000 + seed), workloads)
        profiles += _servers(np.random.default_rng(97_000 + seed), profiles)
    parts = document(
        accelerators=[accelerator("a", family="family-a", tdp_w=300.0), accelerator("b", family="family-b", **_power(more))],
        offers=_offers(rng),
        profiles=profiles,
        models=models,
        workloads=workloads,
        periods=PERIODS,
        policy={"utilization_cap": float(rng.choice([0.5, 0.75, 1.0])), "weight_versions_per_month": float(rng.integers(0, 9))},
        limits=_limits(rng) + _energy_limits(more),
        sites=_sites(more),
        **_charges(rng),
        price_rules=_price_rules(np.random.default_rng(70_000 + seed)),
        starts=_starts(np.random.default_rng(60_000 + seed)),
        **_shared(np.random.default_rng(72_000 + seed)),
        **_cut(np.random.default_rng(80_000 + seed)),
    )
    grids = (("r", float(more.integers(100, 600))), ("s", None if more.random() < 0.2 else float(more.integers(20, 400))))
    parts["catalogs"]["regions"] = [{"provider": "p", "region": r, "gco2_per_kwh": g, "source": "made up"} for r, g in grids]
    return Instance.model_validate_json(json.dumps(parts))


def _sites(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw a site with hosts to buy and hosts already paid, perhaps of a card without a TDP."""
    if rng.random() < 0.4:
        return []
    draws = [{"accelerator": card, "idle_w": 100.0, "active_w": float(rng.integers(100, 900))} for card in CARDS]
    hosts: list[dict[str, Any]] = []
    for card in CARDS:
        host = {"accelerator": card, "accelerators_per_host": int(rng.choice([1, 2, 4])), "available": int(rng.integers(1, 4))}
        if rng.random() < 0.7:
            bought = {"purchase_usd": float(rng.integers(5, 40)) * 1000, "depreciation_months": 36.0}
            hosts.append({**host, "instance_type": f"new {card}", **bought, "maintenance_fraction_per_year": 0.05})
        if rng.random() < 0.4 or not hosts:
            hosts.append({**host, "instance_type": f"old {card}", "paid": True, "maintenance_usd_per_year": 500.0})
    home: dict[str, Any] = {
        "name": "home",
        "provider": "us",
        "region": "h",
        "gco2_per_kwh": {"value": float(rng.integers(0, 300))},
    }
    home |= {"usd_per_kwh": {"value": float(rng.integers(5, 200)) / 100}, "pue": {"value": 1.5}, "draws": draws, "hosts": hosts}
    if rng.random() < 0.5:
        home["max_power_kw"] = {"value": float(rng.integers(3, 30)) / 10}
    if rng.random() < 0.3:
        home["max_gco2_per_hour"] = {"value": float(rng.integers(50, 600))}
    return [home]


def _energy_limits(rng: np.random.Generator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if rng.random() < 0.5:
        found.append({"name": "watts", "match": {"accelerator": ["a", "b"]}, "max_power_kw": float(rng.integers(12, 40)) / 10})
    if rng.random() < 0.4:
        match = {"workload": "w0"} if rng.random() < 0.5 else {"region": "r", "option": "on_demand", "accelerator": ["a", "b"]}
        found.append({"name": "carbon", "match": match, "max_gco2_per_hour": float(rng.integers(150, 900))})
    return found


def _power(rng: np.random.Generator) -> dict[str, Any]:
    return {"tdp_w": 700.0} if rng.random() < 0.7 else {}


def _held(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw the time at which a rate was held: under the target that questions ask, or under a tighter one too."""
    return [{"quantity": "e2e", "statistic": "p99", "at_most_ms": float(rng.choice([130.0, 130.0, 600.0]))}]


def _variants(rng: np.random.Generator) -> list[dict[str, Any]]:
    base = {"precision": "fp16", "is_baseline": True, "weights_gib": 1.0}
    extra: dict[str, Any] = {"maintenance_usd_per_month": float(rng.integers(0, 1500))} if rng.random() < 0.5 else {}
    return [base, variant("fp8", float(rng.choice([0.97, 0.985, 0.985, 0.995])), **extra)]


def _offers(rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for card in CARDS:
        price = float(rng.integers(4, 16)) / 4
        for region in REGIONS:
            for size in (1, 2, 4):
                if rng.random() < 0.4 or (card == "a" and (size, region) in ((4, "r"), (1, "s"))):
                    spot = price * size * 0.5 if rng.random() < 0.3 else None
                    entry = offer(card, size, price * size * float(rng.choice([1.0, 1.0, 1.25])), region=region, spot=spot)
                    if rng.random() < 0.25:
                        term = {
                            "option": "reserved",
                            "usd_per_hour": price * size * 0.75,
                            "lot": 1 + int(price * 4) % 3,
                            "as_of": "2026-11-01",
                            "source": "made up",
                        }
                        entry["prices"].append(term)
                    found.append(entry)
    return found


def _serving(rng: np.random.Generator, name: str, of: str) -> dict[str, Any]:
    day = float(rng.integers(4, 13))
    rates = {"day": day, "night": float(rng.choice([0.0, day / 4, day]))}
    classes = [{"name": "q", "rate": {"value": rates, "unit": "queries/s"}}]
    if rng.random() < 0.5:
        classes.append({"name": "s", "rate": {"value": float(rng.integers(1, 9)), "unit": "queries/s"}})
    found: dict[str, Any] = {"name": name, "kind": "serving", "model": of, "classes": classes, "team": f"team-{name}"}
    if rng.random() < 0.4:
        found["origins"] = {"p/r": 0.5, "world": 0.5}
        classes[0]["gib_per_request"] = float(rng.integers(1, 9)) / 2**18
        classes[-1]["regions_allowed"] = [["r"], ["s"], ["r", "s"]][int(rng.integers(3))]
    found["latency"] = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 1000.0}]
    found["max_spot_fraction"] = float(rng.choice([0.0, 0.5, 0.5, 1.0]))
    if rng.random() < 0.8:
        kind = "traffic_weighted" if rng.random() < 0.75 else "per_request"
        found["accuracy"] = {**FLOOR, "floor_fraction_of_baseline": float(rng.choice([0.98, 0.99])), "aggregation": kind}
    if rng.random() < 0.2 and classes[-1].get("regions_allowed") != ["s"]:
        found["regions_allowed"] = ["r"]
    return found


def _batch(rng: np.random.Generator) -> dict[str, Any]:
    volume = float(rng.integers(1, 6)) * 3600 * 10
    base = {"name": "batch", "kind": "batch", "model": "m", "volume_requests": volume, "unit": "queries", "team": "team-w0"}
    return {**base, "deadline_hours": float(rng.choice([14.0, 24.0])), "max_spot_fraction": float(rng.choice([0.0, 1.0]))}


def _training(seed: int) -> list[dict[str, Any]]:
    """Draw a nightly job and a rare one, from numbers of their own so that the rest of an instance stays as it was."""
    rng, found = np.random.default_rng(90_000 + seed), []
    for name, model_name, runs in (("job", "m", 365 / 12), ("rare", "n", 1.5)):
        hours = {card: float(rng.integers(4, 40)) for card in CARDS}
        fast = {"precision": "fp8", "speed_ratio": 1.5, "over": "fp16", "quality": "measured", "source": "made up"}
        job: dict[str, Any] = {"name": name, "kind": "training", "model": model_name, "team": "team-w0", "gangs": [1, 2]}
        job |= {"work": {"accelerator_hours_on": hours, "precision": "fp16", "quality": "measured"}, "runs_per_month": runs}
        job |= {"scaling": {"kept_per_doubling": 0.9, "quality": "measured"}, "precisions": [{"precision": "fp16"}, fast]}
        job |= {"memory": {"parameters_b": 1.0}, "deadline_hours": float(rng.choice([20.0, 24.0, 40.0]))}
        job |= {"start": str(rng.choice(["day", "night"])), "max_spot_fraction": float(rng.choice([0.0, 1.0]))}
        if rng.random() < 0.7:
            job["checkpoint"] = {"write_seconds": 90.0, "interval_hours": 1.0, "restart_seconds": 600.0}
        found += [job] if rng.random() < 0.5 else []
    return found


def _cut(rng: np.random.Generator) -> dict[str, Any]:
    """Cut one card in halves or quarters."""
    slots = int(rng.choice([2, 4]))
    pattern = {"name": "cut", "accelerator": str(rng.choice(CARDS)), "slots": slots, "memory_share": 1 / slots}
    pattern |= {"rate_share": 1 / slots, "interference_factor": 0.9, "quality": "measured"}
    return {"fractions": [pattern]} if rng.random() < 0.4 else {}


def _shared(rng: np.random.Generator) -> dict[str, Any]:
    """Let the serving workload and the batch of one model share, at a cost or at none."""
    pool = {"name": "shared", "workloads": ["w0", "batch"], "pays": "team-w0"}
    factor = {"rate_factor": 0.9, "quality": "measured"} if rng.random() < 0.3 else {}
    memory = {"adapter_memory_gib": {"w0": 3.55}, "quality": "measured"} if rng.random() < 0.3 else {}
    return {"shared_pools": [pool | factor | memory]} if rng.random() < 0.6 else {}


def _limits(rng: np.random.Generator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    drawn = [(card, int(rng.integers(2, 8))) for card in CARDS if rng.random() < 0.6]
    found += [{"name": card, "match": {"accelerator": card}, "max_accelerators": most} for card, most in drawn]
    if rng.random() < 0.4:
        found.append({"name": "spot", "match": {"option": "spot"}, "max_instances": int(rng.integers(1, 4))})
    if rng.random() < 0.3:
        found.append(
            {"name": "team", "match": {"team": "team-w0", "precision": "fp8"}, "max_accelerators": int(rng.integers(1, 3))}
        )
    if rng.random() < 0.3:
        found.append({"name": "budget", "match": {"team": "team-w1"}, "max_usd_per_month": float(rng.integers(1000, 4000))})
    if rng.random() < 0.3:
        found.append({"name": "all", "match": {}, "max_usd_per_month": float(rng.integers(4000, 15000))})
    return found


def _charges(rng: np.random.Generator) -> dict[str, Any]:
    people = [
        {
            "name": f"people {card}",
            "when": {"family": f"family-{card}"},
            "people": 0.1,
            "usd_per_person_hour": float(rng.integers(5, 60)),
        }
        for card in CARDS
        if rng.random() < 0.5
    ]
    people += (
        [{"name": "abroad", "when": {"region": "s"}, "people": 0.1, "usd_per_person_hour": 20.0}] if rng.random() < 0.4 else []
    )
    licences: list[dict[str, Any]] = []
    if rng.random() < 0.5:
        licences.append({"name": "unit", "kind": "unit", "when": {"accelerator": "b"}, "usd_per_accelerator_month": 365.0})
    if rng.random() < 0.5:
        licences.append(
            {"name": "flat", "kind": "flat", "when": {"precision": "fp8"}, "usd_per_month": float(rng.integers(50, 900))}
        )
    data = (
        [{"name": "labels", "when": {"model": "n", "precision": "fp8"}, "items": 1000.0, "usd_per_item": 5.0}]
        if rng.random() < 0.4
        else []
    )
    risk = [{"name": "reclaimed", "when": {"option": "spot"}, "per_hour": 0.05, "usd_each": float(rng.integers(1, 12))}]
    routes = [{"usd_per_gib": 0.25}, {"usd_per_gib": float(rng.integers(1, 9)) / 8, "region": "s"}]
    routes += [{"usd_per_gib": 0.75, "region": "r", "to": "world"}] if rng.random() < 0.3 else []
    risk = risk if rng.random() < 0.6 else []
    kept = [{"usd_per_gib_month": 73.0 * float(rng.integers(1, 9)), "usd_per_gib_fetched": float(rng.integers(0, 20))}]
    kept += [{"usd_per_gib_month": float(rng.integers(1, 200)), "region": "s"}] if rng.random() < 0.5 else []
    for entry in data:
        entry |= {"kept_gib": 2.0, "kept_in": "p/r"}
    storage = kept if data or rng.random() < 0.4 else []
    return {"people": people, "licences": licences, "data": data, "interruptions": risk, "routes": routes, "storage": storage}


def _price_rules(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw a discount, a fee for support, and reserved prices made of on-demand ones."""
    drawn: list[dict[str, Any]] = [
        {"name": "discount", "match": {"region": "s"}, "percent": float(rng.choice([-10.0, 5.0]))},
        {"name": "support", "match": {"accelerator": ["a", "b"]}, "fee_usd_per_hour": float(rng.integers(1, 4)) / 8},
        {"name": "year", "match": {"accelerator": "a"}, "percent": -30.0, "makes": "reserved"},
    ]
    return [rule for rule in drawn if rng.random() < 0.3]


def _starts(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw what starts cost: of an accelerator, of a precision, on spot or of a team."""
    whens = ({"accelerator": "a"}, {"precision": "fp8"}, {"option": "spot"}, {"team": "team-w1", "region": "r"}, {})
    drawn = [when for when in whens if rng.random() < 0.3]
    prices = [("usd_per_start", 1, 30), ("usd_per_stop", 0, 5), ("warm_up_hours", 0, 3)]
    return [
        {"name": f"start {n}", "when": when, **{field: float(rng.integers(low, high)) for field, low, high in prices}}
        for n, when in enumerate(drawn)
    ]


def _shed(rng: np.random.Generator, workloads: list[dict[str, Any]]) -> None:
    """Let some workloads leave some of their demand unserved, at a price near that of serving it, and give some penalties."""
    for w in workloads:
        if w["kind"] != "training" and rng.random() < 0.3:
            price = float(rng.integers(1, 9)) / 2**15
            w["shedding"] = {"max_unserved_fraction": float(rng.choice([0.05, 0.25, 1.0])), "usd_per_request": price}
            w["revenue"] = {"usd_per_request": float(rng.integers(0, 5)) / 2**15, "contract_usd_per_month": 730.0}
        if rng.random() < 0.2:
            w["penalty"] = {"usd_each": 100.0, "expected_per_month": float(rng.integers(1, 9)) / 4}


def _insure(rng: np.random.Generator, workloads: list[dict[str, Any]]) -> None:
    """Let a serving workload keep a share of its requests when something is lost."""
    for w in workloads[:2]:
        if rng.random() < 0.3:
            event = str(rng.choice(["replicas", "region", "spot"]))
            stays = "regions_allowed" in w or any(len(c.get("regions_allowed", "rs")) < 2 for c in w["classes"])
            event = "replicas" if stays and event == "region" else event
            w["redundancy"] = [{"event": event, "served_fraction": float(rng.choice([0.3, 0.5, 0.8]))}]


def _servers(rng: np.random.Generator, profiles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give some forms on card b that nobody held a rate for as servers of known service times, of requests or of batches."""
    known = {(p["model"], p["accelerator"], p["precision"]) for p in profiles}
    lacking = [key for key in (("m", "b", "fp16"), ("n", "b", "fp8")) if key not in known]
    found = []
    for of, card, precision in lacking:
        time = [{"quantity": "e2e", "statistic": "mean", "ms": float(rng.integers(40, 200))}]
        load = {"kind": "single_stream", "value": 1, "accelerators_measured": 1}
        given: dict[str, Any] = {"load": load, "latency": time, "service_variation": float(rng.choice([0.5, 1.0]))}
        if rng.random() < 0.5:
            batch = {"fixed_ms": float(rng.integers(60, 190)), "each_ms": 10.0}
            given = {"load": {**load, "kind": "batches", "value": int(rng.integers(2, 5))}, "latency": [], "batch": batch}
        found.append(profile(of, card, 1.0, precision=precision, **given))
    return found
