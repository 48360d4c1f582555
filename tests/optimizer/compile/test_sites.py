"""Owned sites, their electricity and the limits on power and carbon, on paper.

A box holds two small accelerators of 5 queries/s that draw 100 W idle and 500 W busy; the site's PUE is 1.25. A box is on with
0.25 kW, and each busy accelerator adds 0.5 kW.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import InfeasibleError, InvalidInputError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import verify_plan
from tests.optimizer.compile.test_periods import HALVES, daily
from tests.optimizer.files import refused_document
from tests.optimizer.test_training import JOB
from tests.optimizer.test_training import parts as training_parts
from tests.optimizer.tiny import accelerator, document, instance, offer, two_types, workload

BOX = {"instance_type": "box", "accelerator": "small", "accelerators_per_host": 2, "available": 3}
BOUGHT = {**BOX, "purchase_usd": 8760.0, "depreciation_months": 12.0}
"""1 USD/h."""
PAID = {**BOX, "paid": True, "maintenance_usd_per_year": 876.0}
"""0.1 USD/h."""
DRAW = {"accelerator": "small", "idle_w": 100.0, "active_w": 500.0}


def site(*hosts: dict[str, Any], usd_per_kwh: float = 0.4, **changes: Any) -> dict[str, Any]:
    """Give a site at 0.4 USD/kWh: a box that is on costs 0.1 USD/h, each busy accelerator 0.2 more."""
    base = {"name": "home", "provider": "us", "region": "home", "usd_per_kwh": {"value": usd_per_kwh}, "pue": {"value": 1.25}}
    return {**base, "draws": [DRAW], "hosts": list(hosts) or [BOUGHT], **changes}


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**parts), Options(backend=backend, relative_gap=1e-6))


def test_a_host_is_bought_where_it_is_cheaper_with_its_electricity(backend: str) -> None:
    """10/s fill a box: 1 + 0.1 + 2 x 0.2 = 1.5 USD/h, 1.25 kW; renting two small ones costs 2."""
    plan = solve(backend, **two_types(10.0), sites=[site()])
    assert plan.usd_per_hour == pytest.approx(1.5)
    assert (plan.costs["compute"].usd_per_hour, plan.costs["power"].usd_per_hour) == pytest.approx((1.0, 0.5))
    assert plan.energy.kwh_per_hour == pytest.approx(1.25)
    assert (plan.energy.gco2_per_hour, plan.energy.energy_known_fraction) == (None, 1.0)
    assert [(d.option, d.kwh_per_hour) for d in plan.deployments] == [("owned", pytest.approx(1.25))]


def test_a_dear_tariff_sends_load_to_rented_machines(backend: str) -> None:
    """At 1 USD/kWh a full box costs 1 + 1.25."""
    assert solve(backend, **two_types(10.0), sites=[site(usd_per_kwh=1.0)]).usd_per_hour == pytest.approx(2.0)


def test_a_held_host_is_on_by_night_and_busy_by_day(backend: str) -> None:
    """10/s by day: a box is 1.1 in all hours, 0.4 in half of them, and renting for half costs 1; a paid box 0.1 + 0.1 + 0.2."""
    parts = two_types(0.0) | {"workloads": [daily("w", 10.0, 0.0)]}
    assert solve(backend, **parts, periods=HALVES, sites=[site()]).usd_per_hour == pytest.approx(1.0)
    plan = solve(backend, **parts, periods=HALVES, sites=[site(PAID)])
    assert plan.usd_per_hour == pytest.approx(0.4)
    assert plan.energy.kwh_per_hour == pytest.approx(0.25 + 0.5)


def test_no_more_hosts_are_held_than_there_are(backend: str) -> None:
    """20/s want two boxes, there is one: 1.5 and two rented small ones."""
    plan = solve(backend, **two_types(20.0), sites=[site({**BOUGHT, "available": 1})])
    assert plan.usd_per_hour == pytest.approx(3.5)


def test_residual_value_and_maintenance_are_in_the_price(backend: str) -> None:
    """(8760 - 4380) / 8760 h + 10 % of 8760 a year + 438 a year: 0.5 + 0.1 + 0.05 USD/h, and 0.5 of electricity."""
    kept_up = {"residual_usd": 4380.0, "maintenance_fraction_per_year": 0.1, "maintenance_usd_per_year": 438.0}
    assert solve(backend, **two_types(10.0), sites=[site(BOUGHT | kept_up)]).usd_per_hour == pytest.approx(1.15)


def test_a_power_cap_binds_between_whole_hosts(backend: str) -> None:
    """20/s on two paid boxes: 0.2 + 0.2 + 0.8 USD/h and 2.5 kW. At 2 kW three of four may be busy: 15/s for 1, 5/s rented."""
    assert solve(backend, **two_types(20.0), sites=[site(PAID)]).usd_per_hour == pytest.approx(1.2)
    capped = site(PAID, max_power_kw={"value": 2.0, "quality": "measured", "source": "the fuse"})
    plan = solve(backend, **two_types(20.0), sites=[capped])
    assert plan.usd_per_hour == pytest.approx(2.0)
    (told,) = plan.limits
    assert (told.name, told.unit, told.most, told.binding, told.reason) == ("home power", "kW", 2.0, True, "the fuse")
    assert told.used == pytest.approx(2.0)
    limit = {"name": "grid", "match": {"site": "home"}, "max_power_kw": 2.0}
    assert solve(backend, **two_types(20.0), sites=[site(PAID)], limits=[limit]).usd_per_hour == pytest.approx(2.0)


def test_a_cap_holds_in_each_period(backend: str) -> None:
    """The cap of 2 kW bites by day only: 0.2 + 0.2 in all hours, 0.6 + 1 for a rented one by half of them."""
    parts = two_types(0.0) | {"workloads": [daily("w", 20.0, 0.0)]}
    plan = solve(backend, **parts, periods=HALVES, sites=[site(PAID, max_power_kw={"value": 2.0})])
    assert plan.usd_per_hour == pytest.approx(0.4 + 0.3 + 0.5)


def carbon(**changes: Any) -> dict[str, Any]:
    """Region r emits 400 g/kWh, s 100, of t nobody knows; a busy small one (TDP 400 W, PUE 1.25) draws 0.5 kW, 1 to 1.5 USD/h."""
    cards = [accelerator("small", tdp_w=400.0), accelerator("large")]
    offers = [offer("small"), offer("small", usd_per_hour=1.5, region="s"), offer("small", usd_per_hour=0.75, region="t")]
    parts = document(**two_types(10.0) | {"accelerators": cards, "offers": [*offers, offer("large", 1, 9.0)]}, **changes)
    grids = [{"provider": "p", "region": r, "gco2_per_kwh": g, "source": "made up"} for r, g in (("r", 400.0), ("s", 100.0))]
    parts["catalogs"]["regions"] = grids
    parts["policy"] |= {"rented_pue": {"value": 1.25}, "idle_share_of_tdp": {"value": 0.25}}
    return parts


def question(parts: dict[str, Any]) -> Instance:
    return Instance.model_validate_json(json.dumps(parts))


@pytest.mark.parametrize(("most", "usd"), [(400.0, 2.0), (250.0, 2.5), (100.0, 3.0)])
def test_a_carbon_cap_sends_load_to_cleaner_regions(backend: str, most: float, usd: float) -> None:
    """A busy one emits 200 g/h in r and 50 in s: two in r, one in each, two in s. Region t is barred, since nobody knows."""
    limits = [{"name": "carbon", "match": {"accelerator": "small"}, "max_gco2_per_hour": most}]
    plan = allocate(question(carbon(limits=limits)), Options(backend=backend, relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(usd)
    assert plan.limits[0].used == pytest.approx(most)
    assert plan.limits[0].binding
    assert any("barred by 'carbon'" in w and "p/t/smallx1" in w for w in plan.warnings)
    assert plan.energy.gco2_per_hour == pytest.approx(most)
    alone = plan.baselines.good_practice  # a single type cannot mix regions
    assert alone.usd_per_hour == pytest.approx(2.0 if most == 400.0 else 3.0)


def test_a_teams_carbon_counts_its_replicas(backend: str) -> None:
    """Half a team's instance of two is another's: each replica emits 200 g/h."""
    workloads = [workload("w", 5.0, team="mine"), workload("v", 5.0, team="yours")]
    limits = [{"name": "carbon", "match": {"team": "mine"}, "max_gco2_per_hour": 200.0}]
    parts = carbon(limits=limits) | {"workloads": workloads}
    parts["catalogs"]["offers"] = [offer("small", 2, 1.0)]
    plan = allocate(question(parts), Options(backend=backend, relative_gap=1e-6))
    assert (plan.usd_per_hour, plan.limits[0].used) == (pytest.approx(1.0), pytest.approx(200.0))
    assert plan.baselines.good_practice.limits_broken_together == ()
    parts["limits"][0]["max_gco2_per_hour"] = 199.0
    with pytest.raises(InfeasibleError):
        allocate(question(parts), Options(backend=backend))


def test_what_nobody_knows_is_told_as_unknown_and_never_zero(backend: str) -> None:
    """Without a limit both run in t: energy is known, carbon is not."""
    plan = allocate(question(carbon()), Options(backend=backend, relative_gap=1e-6))
    assert plan.usd_per_hour == pytest.approx(1.5)
    assert (plan.energy.kwh_per_hour, plan.energy.gco2_per_hour) == (pytest.approx(1.0), None)
    assert (plan.energy.energy_known_fraction, plan.energy.carbon_known_fraction) == (1.0, 0.0)
    assert any("PUE of 1.25" in a for a in plan.assumptions)


def test_a_limit_on_what_nobody_knows_leaves_no_plan_and_says_why() -> None:
    parts = carbon(limits=[{"name": "carbon", "match": {}, "max_gco2_per_hour": 1e9}])
    parts["catalogs"]["regions"] = []
    with pytest.raises(InfeasibleError) as caught:
        allocate(question(parts))
    assert any("power or carbon where it is unknown" in p.found for p in caught.value.problems)


def test_a_sites_budget_covers_its_electricity(backend: str) -> None:
    """A full box costs 1.5 USD/h, 1,095 USD a month; a dollar less leaves a part of the load to a rented one."""
    budget = {"name": "home", "match": {"site": "home"}, "max_usd_per_month": 1095.0}
    plan = solve(backend, **two_types(10.0), sites=[site()], limits=[budget])
    assert (plan.usd_per_hour, plan.limits[0].used) == (pytest.approx(1.5), pytest.approx(1095.0))
    budget["max_usd_per_month"] = 1094.0
    assert solve(backend, **two_types(10.0), sites=[site()], limits=[budget]).usd_per_hour == pytest.approx(2.0)
    mine = {"name": "t", "match": {"team": "t"}, "max_usd_per_month": 1095.0}
    parts = two_types(10.0) | {"workloads": [workload("w", 10.0, team="t")]}
    assert solve(backend, **parts, sites=[site()], limits=[mine]).limits[0].used == pytest.approx(1095.0)


def test_training_keeps_its_gang_busy_for_its_hours(backend: str) -> None:
    """Eight paid ones are on for 0.1 + 8 x 0.05 and busy for 8 x 0.2 in 100 of 730 hours; they draw 1 kW and 4 more."""
    host = PAID | {"accelerator": "a", "accelerators_per_host": 8}
    home, job = site(host, draws=[DRAW | {"accelerator": "a"}]), JOB | {"gangs": [8], "team": "t"}
    limits = [{"name": "mine", "match": {"team": "t"}, "max_power_kw": 5.0}]
    limits.append({"name": "money", "match": {"site": "home"}, "max_usd_per_month": 1000.0})
    asked = training_parts(job, sites=[home | {"max_power_kw": {"value": 5.0}}], limits=limits)
    plan = solve(backend, **asked)
    assert plan.usd_per_hour == pytest.approx(0.5 + 160 / 730)
    assert plan.energy.kwh_per_hour == pytest.approx(1 + 4 * 100 / 730)
    assert {x.name: x.used for x in plan.limits} == {
        n: pytest.approx(u) for n, u in (("mine", 5), ("money", 525), ("home power", 5))
    }
    tight = asked | {"sites": [home | {"max_power_kw": {"value": 4.9}}], "limits": []}
    assert solve(backend, **tight).usd_per_hour == pytest.approx(800 / 730)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"region": "r", "provider": "p"}, "/sites/0/region"),
        ({"draws": []}, "/sites/0/hosts/0/accelerator"),
        ({"draws": [DRAW, DRAW]}, "/sites/0/draws/1"),
        ({"draws": [DRAW, {**DRAW, "accelerator": "tiny"}]}, "/sites/0/draws/1/accelerator"),
        ({"draws": [{**DRAW, "idle_w": 600.0}]}, "/sites/0/draws/0"),
        ({"hosts": [BOUGHT, BOUGHT]}, "/sites/0/hosts/1"),
        ({"hosts": [{**BOUGHT, "accelerator": "tiny"}]}, "/sites/0/hosts/0/accelerator"),
        ({"hosts": [{**BOUGHT, "as_of": "2026-02-31"}]}, "/sites/0/hosts/0/as_of"),
        ({"hosts": [BOX]}, "/sites/0/hosts/0"),
        ({"hosts": [{**BOX, "paid": True}]}, "/sites/0/hosts/0"),
        ({"hosts": [{**BOUGHT, "residual_usd": 1e5}]}, "/sites/0/hosts/0"),
        ({"pue": {"value": 0.9}}, "/sites/0"),
        ({"usd_per_kwh": {"value": 0.0}}, "/sites/0"),
        ({"max_gco2_per_hour": {"value": 1.0}}, "/sites/0"),
        ({"name": "grid", "max_power_kw": {"value": 1.0}}, "/sites/0/max_power_kw"),
    ],
)
def test_a_site_that_does_not_hold_together_is_refused_at_its_place(tmp_path: Path, change: dict[str, Any], place: str) -> None:
    limits = [{"name": "grid power", "match": {"accelerator": "small"}, "max_power_kw": 1.0}]
    problems = refused_document(tmp_path, document(**two_types(10.0), sites=[site() | change], limits=limits))
    assert {p.pointer for p in problems} == {place}


def test_two_sites_are_two_places() -> None:
    with pytest.raises(InvalidInputError) as caught:
        instance(**two_types(10.0), sites=[site(), site() | {"name": "other"}])
    assert [p.pointer for p in caught.value.problems] == ["/sites/1"]


def test_limits_and_workloads_may_name_a_site_and_its_region(backend: str) -> None:
    """A workload kept at home buys the box even at a dear tariff; one box is all that the limit leaves."""
    parts = two_types(10.0) | {"workloads": [workload("w", 10.0, regions_allowed=["home"])]}
    limits = [{"name": "racks", "match": {"site": "home", "instance_type": "box"}, "max_instances": 1}]
    assert solve(backend, **parts, sites=[site(usd_per_kwh=4.0)], limits=limits).usd_per_hour == pytest.approx(6.0)
    with pytest.raises(InvalidInputError, match="away"):
        instance(**parts, sites=[site()], limits=[{"name": "l", "match": {"site": "away"}, "max_instances": 1}])


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("limits", {"max_power_kw": {"value": 1.9}}),
        ("price", {"hosts": [{**PAID, "maintenance_usd_per_year": 900.0}]}),
        ("bill", {"usd_per_kwh": {"value": 0.41}}),
        ("energy", {"pue": {"value": 1.26}}),
        ("instances", {"hosts": [{**PAID, "available": 1}]}),
    ],
    ids=["cap", "maintenance", "tariff", "pue", "hosts"],
)
def test_verification_refuses_a_plan_of_another_site(rule: str, change: dict[str, Any]) -> None:
    parts = document(**two_types(20.0), sites=[site(PAID, max_power_kw={"value": 2.0})])
    plan = allocate(question(parts), Options(relative_gap=1e-6))
    parts["sites"][0] |= change
    failures = verify_plan(question(parts), plan).failures
    assert rule in {f.partition(":")[0] for f in failures}


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"energy": {"kwh_per_hour": 1.9}}, "energy"),
        ({"energy": {"energy_known_fraction": 0.9}}, "energy"),
        ({"deployments": {"kwh_per_hour": 0.9}}, "energy"),
        ({"deployments": {"gco2_per_hour": None}}, "energy"),
        ({"limits": {"used": 249.0}}, "limits"),
        ({"limits": {"binding": True}}, "limits"),
    ],
    ids=["sum", "share", "deployment", "carbon", "limit", "binding"],
)
def test_verification_refuses_energy_told_wrongly(told: dict[str, dict[str, Any]], rule: str) -> None:
    asked = question(carbon(limits=[{"name": "carbon", "match": {"accelerator": "small"}, "max_gco2_per_hour": 1e4}]))
    plan = json.loads(allocate(asked, Options(relative_gap=1e-6)).to_json())
    for part, changes in told.items():
        for entry in plan[part] if isinstance(plan[part], list) else (plan[part],):
            entry |= changes
    failures = verify_plan(asked, Plan.model_validate_json(json.dumps(plan))).failures
    assert {f.partition(":")[0] for f in failures} == {rule}
