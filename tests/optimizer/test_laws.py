"""Laws that hold for every instance: what makes a question harder never makes its answer cheaper, and money is only a unit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from optimizer.errors import InfeasibleError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from tests.optimizer import tiny
from tests.optimizer.oracle import random_instance
from tests.seeds import seeds

SEEDS = range(1000, 1000 + seeds(40))
Change = Callable[[dict[str, Any]], None]


def cost(question: Instance) -> float:
    """USD per hour, infinite where there is no plan."""
    try:
        return allocate(question, Options(relative_gap=1e-6)).usd_per_hour
    except InfeasibleError:
        return math.inf


@pytest.fixture(scope="module")
def costs() -> dict[int, float]:
    found = {seed: cost(random_instance(seed)) for seed in SEEDS}
    assert sum(map(math.isfinite, found.values())) >= len(SEEDS) / 4, "the laws need feasible instances"
    return found


def changed(seed: int, change: Change) -> Instance:
    document = random_instance(seed).model_dump(mode="json")
    change(document)
    return Instance.model_validate_json(json.dumps(document))


def dearer(document: dict[str, Any]) -> None:
    for offer in document["catalogs"]["offers"][::2]:
        for price in offer["prices"]:
            price["usd_per_hour"] *= 1.5


def more_demand(document: dict[str, Any]) -> None:
    for entry in document["workloads"][0]["classes"]:
        entry["rate"]["value"] *= 1.25


def higher_floor(document: dict[str, Any]) -> None:
    for workload in document["workloads"]:
        if workload["accuracy"] is not None:
            workload["accuracy"]["floor_fraction_of_baseline"] += 0.005


def tighter_limits(document: dict[str, Any]) -> None:
    for limit in document["limits"]:
        limit["max_accelerators"] = max(limit["max_accelerators"] - 1, 0)


def less_spot(document: dict[str, Any]) -> None:
    for workload in document["workloads"]:
        workload["max_spot_fraction"] /= 2


def tighter_target(document: dict[str, Any]) -> None:
    for target in document["workloads"][0]["latency"]:
        target["at_most_ms"] = 129.0


@pytest.mark.parametrize("harder", [dearer, more_demand, higher_floor, tighter_limits, less_spot, tighter_target])
def test_a_harder_question_is_never_cheaper(costs: dict[int, float], harder: Change) -> None:
    after = {seed: cost(changed(seed, harder)) for seed in SEEDS}
    assert [seed for seed in SEEDS if after[seed] < costs[seed] * (1 - 1e-6)] == []
    assert any(after[seed] > costs[seed] for seed in SEEDS), "the change changes nothing"


def test_scaling_every_price_scales_the_cost(costs: dict[int, float]) -> None:
    def fourfold(document: dict[str, Any]) -> None:
        for offer in document["catalogs"]["offers"]:
            for price in offer["prices"]:
                price["usd_per_hour"] *= 4

    for seed in SEEDS:
        assert cost(changed(seed, fourfold)) == pytest.approx(4 * costs[seed], rel=2e-6)


def test_the_order_of_everything_changes_nothing(costs: dict[int, float]) -> None:
    def turned(document: dict[str, Any]) -> None:
        for part in ("accelerators", "offers", "models", "profiles"):
            document["catalogs"][part].reverse()
        document["workloads"].reverse()
        document["limits"].reverse()

    for seed in SEEDS:
        assert cost(changed(seed, turned)) == costs[seed]


def test_questions_that_share_nothing_add(costs: dict[int, float]) -> None:
    """The second question's names are all changed, so that no limit, instance or offer is shared."""
    caps = {seed: random_instance(seed).policy.utilization_cap for seed in SEEDS if math.isfinite(costs[seed])}
    pairs = [(a, b) for a, b in pairwise(sorted(caps, key=lambda seed: (caps[seed], seed))) if caps[a] == caps[b]]
    assert len(pairs) >= len(SEEDS) / 6
    for a, b in pairs:
        one, other = random_instance(a).model_dump(mode="json"), renamed(random_instance(b).model_dump(mode="json"))
        for part in ("accelerators", "offers", "models", "profiles"):
            one["catalogs"][part] += other["catalogs"][part]
        one["workloads"] += other["workloads"]
        one["limits"] += other["limits"]
        assert cost(Instance.model_validate_json(json.dumps(one))) == pytest.approx(costs[a] + costs[b], rel=3e-6)


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    """Give the document with every accelerator, model, workload and limit under another name."""
    for part in ("accelerators", "models"):
        for entry in document["catalogs"][part]:
            entry["name"] += "-two"
    for entry in [*document["catalogs"]["offers"], *document["catalogs"]["profiles"]]:
        entry["accelerator"] += "-two"
    for entry in document["catalogs"]["offers"]:
        entry["instance_type"] += "-two"
    for entry in [*document["catalogs"]["profiles"], *document["workloads"]]:
        entry["model"] += "-two"
    for entry in [*document["workloads"], *document["limits"]]:
        entry["name"] += "-two"
    for limit in document["limits"]:
        limit["match"]["accelerator"] += "-two"
    return document


@pytest.mark.parametrize(("aggregation", "usd"), [("traffic_weighted", [12.0, 2.0]), ("per_request", [41.0, 41.0])])
def test_more_of_one_class_may_cost_less_where_the_floor_is_an_average(aggregation: str, usd: list[float]) -> None:
    """Half of all traffic may keep 90 % if the other half keeps all: 50 exact requests allow 75 of the 100 others, 100 allow all.

    Exact: 25 requests/s for 10 USD/h in region r, 100 for 1 USD/h in s. In r also 100 for 1 USD/h at 90 %: ``cost-model.md``.
    """
    floor = {**tiny.FLOOR, "floor_fraction_of_baseline": 0.95, "aggregation": aggregation}

    def asked(exact: float) -> Instance:
        work = tiny.workload("w", {"plain": 100.0, "exact": exact}, accuracy=floor)
        for entry, region in zip(work["classes"], ("r", "s"), strict=True):
            entry["regions_allowed"] = [region]
        rough = tiny.accelerator("rough", precisions=["int8"])
        rates = [("dear", 25.0, "fp16"), ("rough", 100.0, "int8"), ("cheap", 100.0, "fp16")]
        return tiny.instance(
            accelerators=[tiny.accelerator("dear"), rough, tiny.accelerator("cheap")],
            offers=[tiny.offer("dear", 1, 10.0), tiny.offer("rough", 1, 1.0), tiny.offer("cheap", 1, 1.0, region="s")],
            models=[tiny.model("m", tiny.variant("fp16", 1.0, is_baseline=True), tiny.variant("int8", 0.9))],
            profiles=[tiny.profile("m", card, rate, precision=precision) for card, rate, precision in rates],
            workloads=[work],
        )

    assert [cost(asked(exact)) for exact in (50.0, 100.0)] == pytest.approx(usd)
