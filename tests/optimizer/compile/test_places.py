"""What places cost, on paper: answers sent over priced routes, classes that may not leave a region."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import CheckFailedError, InfeasibleError, InvalidInputError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.tiny import accelerator, instance, model, offer, profile, workload

GIB_AN_HOUR = 1 / 3600
"""GiB a request that make a GiB an hour of one request a second."""


def two_regions(*, sent: float = 0.0, origins: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    """10 requests/s on replicas of 5/s: 1 $/h each in region near, 0.5 in far; class q sends ``sent`` GiB/h per 1/s."""
    asked = workload("w", 10.0, origins=origins)
    asked["classes"][0]["gib_per_request"] = sent * GIB_AN_HOUR
    parts: dict[str, Any] = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", region="near"), offer("a", 1, 0.5, region="far")],
        "profiles": [profile("m", "a", 5.0)],
        "workloads": [asked],
    }
    return {**parts, **more}


def solve(backend: str, **options: Any) -> Plan:
    return allocate(instance(**two_regions(**options)), Options(backend=backend, relative_gap=1e-6))


@pytest.mark.parametrize(("usd_per_gib", "region", "cost"), [(0.125, "far", 1.0 + 0.625), (0.25, "near", 2.0)])
def test_answers_that_travel_pull_replicas_to_where_they_are_asked(
    backend: str, usd_per_gib: float, region: str, cost: float
) -> None:
    """5 GiB/h leave the far region, none the near one: 1 + 5 x 0.125 < 2 < 1 + 5 x 0.25."""
    plan = solve(backend, sent=0.5, origins={"p/near": 1.0}, routes=[{"usd_per_gib": usd_per_gib}])
    assert {d.region for d in plan.deployments} == {region}
    assert plan.usd_per_hour == pytest.approx(cost)
    assert plan.costs["transfer"].usd_per_hour == pytest.approx(cost - (1.0 if region == "far" else 2.0))
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(cost)


def test_the_closest_price_of_a_route_holds(backend: str) -> None:
    """10 GiB/h from far: half to x for 0.1, half anywhere for 0.2, whatever the provider's 9 and the rest's 99: 1 + 1.5."""
    routes = [
        {"usd_per_gib": 99.0},
        {"usd_per_gib": 9.0, "provider": "p"},
        {"usd_per_gib": 0.2, "region": "far"},
        {"usd_per_gib": 0.1, "to": "x"},
    ]
    plan = solve(backend, sent=1.0, origins={"x": 0.5, "y": 0.5}, routes=routes)
    assert plan.usd_per_hour == pytest.approx(2.5)
    assert plan.routing[0].transfer_usd_per_hour == pytest.approx(1.5)


def test_traffic_inside_a_region_is_priced_where_an_entry_names_it(backend: str) -> None:
    """Near asks near: 10 GiB/h at 0.3 is 3 $/h on top of 2, so far at 1 + 10 x 0.2 wins."""
    routes = [{"usd_per_gib": 0.2}, {"usd_per_gib": 0.3, "region": "near", "to": "p/near"}]
    assert solve(backend, sent=1.0, origins={"p/near": 1.0}, routes=routes).usd_per_hour == pytest.approx(3.0)


def test_answers_are_counted_by_the_token(backend: str) -> None:
    """64 tokens of 2^24 bytes are 1 GiB; 10/s of them are 36,000 GiB/h at 2^-10 $: 35.15625 beside 1."""
    asked = workload("w", 10.0, origins={"x": 1.0}, latency=[])
    asked["classes"][0] |= {"output_tokens": 64, "input_tokens": 8, "bytes_per_token": 2.0**24}
    held = profile("m", "a", 5.0, input_tokens=8, output_tokens=64)
    plan = solve(backend, workloads=[asked], profiles=[held], routes=[{"usd_per_gib": 2.0**-10}])
    assert plan.costs["transfer"].usd_per_hour == pytest.approx(35.15625)


def test_a_region_without_a_price_for_its_routes_is_left_out_and_told() -> None:
    """Only near has a price, so its 2 + 1 $/h are paid though far might be cheaper; never taken for zero."""
    parts = two_regions(sent=1.0, origins={"x": 1.0}, routes=[{"usd_per_gib": 0.1, "region": "near"}])
    plan = allocate(instance(**parts), Options(relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert any("p/far to x" in text for text in plan.warnings)
    with pytest.raises(CheckFailedError, match="strict-prices"):
        allocate(instance(**parts), Options(strict_prices=True))
    with pytest.raises(InfeasibleError, match="no plan"):
        allocate(instance(**parts | {"routes": []}))


def test_a_class_may_be_kept_in_a_region_while_another_leaves(backend: str) -> None:
    """10/s of each: q stays near for 2 $/h, s goes far for 1; together they would be 2 + 2 near or may not be far."""
    asked = workload("w", {"q": 10.0, "s": 10.0})
    asked["classes"][0]["regions_allowed"] = ["near"]
    plan = solve(backend, workloads=[asked])
    assert plan.usd_per_hour == pytest.approx(3.0)
    assert {(r.request_class, r.pool.rpartition("/")[2]) for r in plan.routing} == {("q", "near"), ("s", "far")}
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(4.0)


def test_a_class_that_may_be_served_nowhere_is_told() -> None:
    asked = workload("w", {"q": 10.0, "s": 10.0}, regions_allowed=["far"])
    asked["classes"][0]["regions_allowed"] = ["near"]
    with pytest.raises(InfeasibleError, match="anywhere") as told:
        allocate(instance(**two_regions(workloads=[asked])))
    assert told.value.problems[0].pointer == "/workloads/w/classes/q"


def test_a_class_kept_where_no_instance_holds_a_replica_is_refused() -> None:
    """A replica takes two accelerators; in far, where one class must stay, instances have one."""
    asked = workload("w", {"q": 5.0, "s": 5.0})
    asked["classes"][1]["regions_allowed"] = ["far"]
    offers = [offer("a", 2, region="near"), offer("a", 1, 0.5, region="far")]
    with pytest.raises(InfeasibleError) as told:
        solve("ortools", workloads=[asked], offers=offers, profiles=[profile("m", "a", 5.0, size=2)])
    assert [p.pointer for p in told.value.problems] == ["/workloads/w/classes/s"]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"sent": 1.0}, "/workloads/0/classes/0/gib_per_request"),
        ({"origins": {"x": 0.5}}, "/workloads/0/serving/origins"),
        ({"routes": [{"usd_per_gib": 1.0, "region": "nowhere"}]}, "/routes/0/region"),
        ({"storage": [{"usd_per_gib_month": 1.0, "provider": "q"}]}, "/storage/0/provider"),
        ({"data": [{"name": "d", "kept_gib": 1.0, "kept_in": "p/near"}]}, "/data/0/kept_in"),
        ({"routes": [{"usd_per_gib": 1.0}, {"usd_per_gib": 2.0}]}, "/routes/1"),
    ],
)
def test_places_that_do_not_hold_together_are_refused(parts: dict[str, Any], pointer: str) -> None:
    with pytest.raises((InvalidInputError, ValueError)) as told:
        instance(**two_regions(**parts))
    problems = getattr(told.value, "problems", None)
    assert pointer in ([p.pointer for p in problems] if problems else ["/" + "/".join(map(str, told.value.errors()[0]["loc"]))])


def test_weights_are_kept_once_in_each_region_in_use(backend: str) -> None:
    """Far: 2 x 0.5 and 2 GiB at 730 $/GiB-month, 2 $/h: 3. Near is 2 and, at 365, 1: 3; at 292 it is 2.8 and wins."""
    kept = [{"usd_per_gib_month": 730.0}, {"usd_per_gib_month": 292.0, "region": "near"}]
    forms = [model("m", {"precision": "fp16", "is_baseline": True, "weights_gib": 2.0})]
    plan = solve(backend, storage=kept, models=forms)
    assert plan.usd_per_hour == pytest.approx(2.8)
    assert plan.costs["storage"].usd_per_hour == pytest.approx(0.8)
    assert [s.name for s in plan.switches] == ["m fp16 in p/near"]
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(2.8)


def test_weights_shared_by_two_workloads_are_kept_once(backend: str) -> None:
    """Two workloads of 10/s far: 2 x 1 and one copy of 1 GiB at 730 $: 3."""
    asked = [workload("one", 10.0), workload("two", 10.0)]
    assert solve(backend, workloads=asked, storage=[{"usd_per_gib_month": 730.0}]).usd_per_hour == pytest.approx(3.0)


def test_each_version_of_the_weights_is_fetched_into_each_region_in_use(backend: str) -> None:
    """73 $/GiB, ten times a month: 730 $ a month are 1 $/h, far; nothing near: 2 = 1 + 1, so at 80 near wins."""
    kept = [{"usd_per_gib_month": 0.0}, {"usd_per_gib_month": 0.0, "usd_per_gib_fetched": 36.5, "region": "far"}]
    plan = solve(backend, storage=kept, policy={"utilization_cap": 1.0, "weight_versions_per_month": 10.0})
    assert (plan.usd_per_hour, plan.costs["transfer"].usd_per_hour) == pytest.approx((1.5, 0.5))
    dearer = [kept[0], {**kept[1], "usd_per_gib_fetched": 80.0}]
    plan = solve(backend, storage=dearer, policy={"utilization_cap": 1.0, "weight_versions_per_month": 10.0})
    assert plan.usd_per_hour == pytest.approx(2.0)


def test_weights_that_nobody_stated_follow_from_parameters_or_refuse_the_variant() -> None:
    """2^30 / 1e9 billion parameters at 16 bits are 2 GiB; with neither figure the variant cannot be priced."""
    plain = {"precision": "fp16", "is_baseline": True}
    parts = two_regions(storage=[{"usd_per_gib_month": 365.0}], models=[{**model("m", plain), "parameters_b": 2**30 / 1e9}])
    plan = allocate(instance(**parts), Options(relative_gap=1e-6))
    assert plan.costs["storage"].usd_per_hour == pytest.approx(1.0)
    assert plan.switches[0].quality == "assumed"  # the worst of price and size
    with pytest.raises(InfeasibleError, match="rejected") as told:
        allocate(instance(**parts | {"models": [model("m", plain)]}))
    assert "weights_unknown" in told.value.problems[0].found


def test_a_region_without_a_price_of_storage_is_left_out_and_told() -> None:
    plan = solve("ortools", storage=[{"usd_per_gib_month": 73.0, "region": "near"}])
    assert {d.region for d in plan.deployments} == {"near"}
    assert any("keeping a GiB in p/far" in text for text in plan.warnings)


def test_data_is_kept_where_it_is_said_to_be(backend: str) -> None:
    """10 GiB at 73 $/GiB-month are 1 $/h beside 1 of rent; weights are free of charge here, since 0 GiB-months of them cost 0."""
    kept = [{"usd_per_gib_month": 0.0}, {"usd_per_gib_month": 73.0, "region": "near"}]
    data = [{"name": "images", "kept_gib": 10.0, "kept_in": "p/near"}]
    plan = solve(backend, storage=kept, data=data)
    assert (plan.usd_per_hour, plan.costs["storage"].usd_per_hour) == pytest.approx((2.0, 1.0))
