"""What changing the plan in force costs and may change, on paper and against brute force."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.cli.main import main
from optimizer.compile import candidate_table, compile_table
from optimizer.errors import InfeasibleError
from optimizer.instance import Instance
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.report.text import render
from optimizer.verify import verify_plan
from solvers import SolveOptions, Termination, get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.tiny import accelerator, instance, offer, profile, two_types, workload

EXACT = Options(relative_gap=1e-6)


def question(demand: float, large: float = 3.0, **policy: Any) -> Instance:
    """Small: 5/s for 1 USD/h. Large: 12/s for ``large``; ``policy`` is that of changes."""
    found = instance(**two_types(demand, offers=[offer("small", 1, 1.0), offer("large", 1, large)]))
    return found.replace(policy={**found.policy.model_dump(mode="json"), "change": policy or None})


@pytest.fixture(scope="module")
def force() -> Plan:
    """Four small replicas for 20/s."""
    return allocate(question(20.0), EXACT)


def cheaper(backend: str, force: Plan, **policy: Any) -> Plan:
    """Large at 1.5 USD/h: 2 large cost 3, 1 large and 2 small 3.5, 4 small 4."""
    return allocate(question(20.0, 1.5, **policy), Options(backend=backend, relative_gap=1e-6), plan_in_force=force)


def test_without_a_policy_a_plan_in_force_changes_nothing(backend: str, force: Plan) -> None:
    assert cheaper(backend, force).replicas == {"large": 2}
    assert cheaper(backend, force).change is None


@pytest.mark.parametrize(
    ("usd", "replicas", "cost"),
    [
        (73.0, {"large": 2}, 3.0 + 0.6),
        (146.0, {"small": 4}, 4.0),
    ],
)
def test_a_change_must_pay_for_itself(backend: str, force: Plan, usd: float, replicas: dict[str, int], cost: float) -> None:
    """4 stops and 2 starts at 73 USD over 730 h are 0.6 USD/h < 1 saved; at 146 USD 1.2 > 1, and half of it 0.6 > 0.5."""
    plan = cheaper(backend, force, usd_per_replica_start=usd, usd_per_replica_stop=usd)
    assert plan.replicas == replicas
    assert plan.usd_per_hour == plan.objective_usd == pytest.approx(cost)
    assert plan.change is not None
    assert plan.change.usd == pytest.approx(6 * usd if "large" in replicas else 0.0)
    told = {(c.pool.split()[1], c.before, c.after) for c in plan.change.moves}
    assert len(told) == (2 if "large" in replicas else 0)


def test_what_a_change_costs_is_spread_over_its_horizon(backend: str, force: Plan) -> None:
    """The same 73 USD over a tenth of the hours are 6 USD/h: nothing changes."""
    plan = cheaper(backend, force, usd_per_replica_start=73.0, usd_per_replica_stop=73.0, horizon_hours=73.0)
    assert plan.replicas == {"small": 4}


def test_the_report_and_the_command_line_tell_the_changes(force: Plan, tmp_path: Path) -> None:
    policy = {"usd_per_replica_start": 73.0, "usd_per_replica_stop": 73.0}
    plan, asked = cheaper("ortools", force, **policy), question(20.0, 1.5, **policy)
    text = render(plan)
    assert "Changes of the plan in force, 438.00 USD once" in text
    assert "4 -> 0" in text
    files = {"instance": asked.model_dump_json(), "plan": plan.to_json(), "old": force.to_json()}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(content)
    old = ["--plan-in-force", str(tmp_path / "old.json")]
    command = ["verify", str(tmp_path / "instance.json"), str(tmp_path / "plan.json")]
    for in_force, code in ((force, 0), (plan, 7)):
        (tmp_path / "old.json").write_text(in_force.to_json())
        with pytest.raises(SystemExit) as stop:
            main([*command, *old])
        assert stop.value.code == code


@pytest.mark.parametrize(
    ("policy", "replicas"),
    [
        ({"max_changes": 3.0}, {"small": 2, "large": 1}),
        ({"max_changes": 2.0}, {"small": 4}),
        ({"max_changed_accelerators": 3.0}, {"small": 2, "large": 1}),
        ({"max_changed_fraction": 0.5}, {"small": 2, "large": 1}),
        ({"max_changed_fraction": 0.4}, {"small": 4}),
    ],
)
def test_no_more_changes_than_the_budget_allows(
    backend: str, force: Plan, policy: dict[str, float], replicas: dict[str, int]
) -> None:
    """2 stops and 1 start are 3 changes, 3 of 7 replicas before and after; the whole change is 6 of 6."""
    plan = cheaper(backend, force, **policy)
    assert plan.replicas == replicas


def test_a_plan_is_kept_unless_changing_it_saves_enough(backend: str, force: Plan) -> None:
    """The change saves 1 USD/h, 730 USD a month."""
    kept, changed = (cheaper(backend, force, minimum_saving_usd_per_month=usd) for usd in (800.0, 700.0))
    assert kept.replicas == {"small": 4}
    assert kept.objective_usd == kept.usd_per_hour == pytest.approx(4.0)
    assert changed.replicas == {"large": 2}
    assert changed.usd_per_hour == pytest.approx(3.0)
    assert changed.objective_usd == pytest.approx(3.0 + 700 / 730)
    assert changed.change is not None
    assert changed.change.changed_fraction == 1.0


def test_growth_that_must_be_served_counts_in_the_budget(force: Plan) -> None:
    """40/s need two large, at 12/s each, beside four small."""
    with pytest.raises(InfeasibleError, match="what may change"):
        allocate(question(40.0, max_changes=1.0), EXACT, plan_in_force=force)


def test_what_can_run_no_longer_stops_at_a_cost_nobody_chooses(backend: str, force: Plan) -> None:
    """Small is sold no more: 2 large for 6 USD/h, 4 stops and 2 starts at 73 USD; only the starts are chosen or limited."""
    gone = question(20.0, usd_per_replica_start=73.0, usd_per_replica_stop=73.0, max_changes=2.0)
    catalogs = gone.model_dump(mode="json")["catalogs"]
    gone = gone.replace(catalogs={**catalogs, "offers": [o for o in catalogs["offers"] if o["accelerator"] == "large"]})
    plan = allocate(gone, Options(backend=backend, relative_gap=1e-6), plan_in_force=force)
    assert plan.usd_per_hour == pytest.approx(6.6)
    assert plan.objective_usd == pytest.approx(6.2)
    assert plan.change is not None
    assert [(c.before, c.after) for c in plan.change.gone] == [(4, 0)]


def test_commitments_in_force_are_kept(backend: str) -> None:
    """4 small reserved at 0.8 beat on demand; when large falls to 1 they are paid all the same, unless they may be given back."""

    def reserved(demand: float, large: float, **policy: Any) -> Instance:
        offers = [offer("small", 1, 1.0), offer("large", 1, large)]
        offers[0]["prices"].append({"option": "reserved", "usd_per_hour": 0.8, "as_of": "2026-11-01", "source": "made up"})
        found = question(demand, **policy)
        return found.replace(catalogs={**found.model_dump(mode="json")["catalogs"], "offers": offers})

    force = allocate(reserved(20.0, 3.0), EXACT)
    options = Options(backend=backend, relative_gap=1e-6)
    kept = allocate(reserved(20.0, 1.0, max_changes=99.0), options, plan_in_force=force)
    assert kept.usd_per_hour == pytest.approx(3.2)
    fewer = allocate(reserved(10.0, 1.0, max_changes=99.0), options, plan_in_force=force)
    assert fewer.usd_per_hour == pytest.approx(3.2)
    given_back = allocate(reserved(20.0, 1.0, keep_commitments=False), options, plan_in_force=force)
    assert given_back.usd_per_hour == pytest.approx(2.0)


def drawn(seed: int, **policy: Any) -> tuple[Instance, Plan]:
    """Two accelerators and two workloads; the plan in force answers yesterday's prices and demand."""
    rng = np.random.default_rng(seed)
    rates = rng.integers(3, 16, 2).astype(float)
    profiles = [profile("m", name, float(rng.integers(4, 12))) for name in ("x", "y")]

    def ask(factor: np.ndarray[Any, Any], prices: np.ndarray[Any, Any], **change: Any) -> Instance:
        found = instance(
            accelerators=[accelerator("x"), accelerator("y")],
            offers=[offer(name, 1, float(p) / 4) for name, p in zip(("x", "y"), prices, strict=True)],
            profiles=profiles,
            workloads=[workload(f"w{i}", float(r)) for i, r in enumerate(rates * factor)],
        )
        return found.replace(policy={**found.policy.model_dump(mode="json"), "change": change or None})

    force = allocate(ask(np.ones(2), rng.integers(4, 12, 2)), EXACT)
    return ask(rng.choice([0.5, 1.0, 1.25], 2), rng.integers(4, 12, 2), **policy), force


def brute_force(asked: Instance, force: Plan) -> float:
    """Try every count of both accelerators for both workloads."""
    policy, names = asked.policy.change, [(w.name, a) for w in asked.workloads for a in ("x", "y")]
    assert policy is not None
    mu = {p.accelerator: p.load.value for p in asked.catalogs.profiles}
    price = {o.accelerator: o.prices[0].usd_per_hour for o in asked.catalogs.offers}
    held = dict.fromkeys(names, 0)
    for d in force.deployments:
        held[d.workloads[0], d.accelerator] += d.replicas
    rate = {w.name: w.classes[0].rate.at("always") for w in asked.demands}
    best = math.inf
    for counts in product(range(6), repeat=4):
        n = dict(zip(names, counts, strict=True))
        if any(n[w, "x"] * mu["x"] + n[w, "y"] * mu["y"] < rate[w] for w in rate):
            continue
        up, down = (sum(max(s * (n[k] - held[k]), 0) for k in names) for s in (1, -1))
        if policy.max_changes is not None and up + down > policy.max_changes:
            continue
        if policy.max_changed_fraction is not None and up + down > policy.max_changed_fraction * sum((*counts, *held.values())):
            continue
        cost = sum(n[k] * price[k[1]] for k in names)
        cost += (up * policy.usd_per_replica_start + down * policy.usd_per_replica_stop) / policy.horizon_hours
        best = min(best, cost + (up + down > 0) * policy.minimum_saving_usd_per_month / 730)
    return best


@pytest.mark.parametrize(
    "policy",
    [
        {"usd_per_replica_start": 60.0, "usd_per_replica_stop": 20.0, "horizon_hours": 240.0},
        {"max_changes": 3.0, "usd_per_replica_start": 30.0},
        {"max_changed_fraction": 0.35, "minimum_saving_usd_per_month": 150.0},
    ],
)
def test_changes_agree_with_brute_force(policy: dict[str, float]) -> None:
    wrong, felt = [], 0
    for seed in range(20):
        asked, force = drawn(seed, **policy)
        try:
            found = (plan := allocate(asked, EXACT, plan_in_force=force)).objective_usd
            assert verify_plan(asked, plan).passed, "a plan verifies without the plan in force too"
        except InfeasibleError:
            found = math.inf
        felt += found > allocate(asked, EXACT).usd_per_hour + 1e-9
        if found != pytest.approx(brute_force(asked, force), rel=2e-6):
            wrong.append(seed)
    assert wrong == []
    assert felt >= 5


def test_full_instances_agree_with_and_without_dominance_and_between_backends() -> None:
    """Prices of yesterday's plan change; the objective is the same from both backends and from the whole model."""
    wrong, compared = [], 0
    policy = {"usd_per_replica_start": 20.0, "usd_per_replica_stop": 5.0, "max_changed_fraction": 0.6}
    for seed in range(8):
        asked = full_instance(seed)
        try:
            force = allocate(asked, EXACT)
        except InfeasibleError:
            continue
        document = asked.model_dump(mode="json")
        for entry in document["catalogs"]["offers"][::2]:
            for price in entry["prices"]:
                price["usd_per_hour"] *= 1.5
        document["policy"]["change"] = {**policy, "minimum_saving_usd_per_month": 50.0 * (seed % 3)}
        asked = asked.replace(catalogs=document["catalogs"], policy=document["policy"])
        whole = compile_table(candidate_table(asked), force, dominance=False).model
        found = get_backend("ortools").solve(whole, SolveOptions(relative_gap=1e-7))
        best = math.inf if found.termination is Termination.INFEASIBLE else found.objective
        for name in ("ortools", "cbc"):
            try:
                cost = allocate(asked, Options(backend=name, relative_gap=1e-6), plan_in_force=force).objective_usd
            except InfeasibleError:
                cost = math.inf
            compared += math.isfinite(cost)
            if cost != pytest.approx(best, rel=3e-6):
                wrong.append((seed, name, cost, best))
    assert wrong == []
    assert compared >= 8
