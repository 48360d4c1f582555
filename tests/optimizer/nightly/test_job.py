"""Nights one after another: what is planned, what is kept, what is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from optimizer.errors import BusyError, CheckFailedError, InvalidInputError, UnavailableError, UsageError
from optimizer.nightly.config import load_config
from optimizer.nightly.lock import held
from optimizer.nightly.store import Store
from optimizer.simulate import Simulation
from tests.optimizer.nightly.nights import NOW, demand_rows

NEXT = NOW + timedelta(days=1)


def test_the_first_night_plans_for_the_forecast_of_the_day(job):
    """Sunday at most 0.8 * 8 = 6.4 queries/s: two small ones at 5 each, 2 USD/h."""
    outcome = job.run()
    assert outcome.plan.usd_per_hour == 2.0
    assert job.plan["deployments"][0]["replicas"] == 2
    assert [line.split(":")[0] for line in job.said] == ["started", "fed", "solved", "verified", "guarded", "published"]
    assert job.pointer["day"] == "2026-11-22"
    assert job.pointer["valid_until"] == "2026-11-23T06:00:00+00:00"
    assert job.metrics["allocate_nightly_success"] == 1
    assert (
        job.metrics['allocate_nightly_desired_replicas{accelerator="small",period="always",precision="fp16",workload="w"}'] == 2
    )
    assert job.metrics['allocate_nightly_usd_per_hour{head="compute"}'] == 2.0
    assert "The first plan." in (job.folder / "plans/latest.md").read_text()


def test_a_plan_is_simulated_where_that_is_asked_and_refused_where_it_misses(job, monkeypatch):
    job.configure(solve={"backend": "ortools", "gap": 1e-6, "simulate_requests": 2000})
    plan = job.run().plan
    assert any(a.startswith("simulated with 2,000 requests a pool") for a in plan.assumptions)
    before = job.pointer
    monkeypatch.setattr(Simulation, "holds", property(lambda self: False))
    job.prices(small=1.1, as_of=NEXT)
    with pytest.raises(CheckFailedError, match="miss their targets in simulation"):
        job.run(NEXT)
    assert job.pointer == before


def test_the_same_night_again_changes_nothing(job):
    job.run()
    before = job.pointer
    assert "nothing new" in job.run().message
    assert job.pointer == before


def test_a_new_price_changes_the_plan_and_says_why(job):
    job.run()
    job.configure(guards={"max_changed_fraction": None})
    job.prices(small=2.0, large=1.5, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    change = job.run(NEXT).change
    assert {(c.accelerator, c.before, c.after) for c in change.changes} == {("small", 2, 0), ("large", 0, 1)}
    assert all("price" in c.reasons and "demand" in c.reasons for c in change.changes)
    assert change.changed_fraction == 1.0
    assert "| w: fp16 on 1 x large (made-up) in p/r | p/r/largex1 |" in (job.folder / "plans/latest.md").read_text()


def test_an_offer_that_its_feed_leaves_out_is_gone(job):
    job.prices(small=None)
    outcome = job.run()
    assert {d.accelerator for d in outcome.plan.deployments} == {"large"}
    assert any("p/r/smallx1 on_demand is gone" in flag for flag in outcome.flags)


def test_a_quota_replaces_a_limit(job):
    job.feed("quotas", [{"limit": "small quota", "amount": 1}])
    assert {d.accelerator for d in job.run().plan.deployments} == {"large"}


def test_a_quota_for_no_limit_is_refused(job):
    job.feed("quotas", [{"limit": "smal quota", "amount": 1}])
    with pytest.raises(InvalidInputError, match="smal quota"):
        job.run()
    assert job.metrics["allocate_nightly_exit_code"] == 6


@pytest.mark.parametrize(
    ("guards", "name"),
    [({"max_cost_rise_fraction": 0.1}, "cost"), ({"max_changed_fraction": 0.1}, "changes")],
)
def test_a_guard_keeps_the_last_plan_unless_it_is_overridden_with_a_reason(job, guards, name):
    job.run()
    before = job.pointer
    job.configure(guards={"max_cost_rise_fraction": None, "max_changed_fraction": None} | guards)
    job.prices(small=4.0, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    with pytest.raises(CheckFailedError) as refused:
        job.run(NEXT)
    assert [p.pointer for p in refused.value.problems] == [name]
    assert job.pointer == before
    assert job.metrics["allocate_nightly_exit_code"] == 7
    assert job.metrics["allocate_nightly_success"] == 0
    assert job.run(NEXT, overrides={name: "prices rose for good"}).exit_code == 0
    run = Store(load_config(job.folder / "nightly.yaml").store_url).runs(1)[0]
    assert json.loads(run["override"]) == {name: "prices rose for good"}
    assert job.pointer["day"] == "2026-11-23"


def test_guards_on_gap_and_age_of_prices():
    from optimizer.nightly.config import Guards
    from optimizer.nightly.guards import refusals
    from optimizer.pipeline import allocate
    from tests.optimizer.tiny import instance, two_types

    plan = allocate(instance(**two_types(10)))
    assert refusals(plan, None, Guards()) == {}
    assert set(refusals(plan.model_copy(update={"relative_gap": None}), None, Guards())) == {"gap"}
    assert set(refusals(plan.model_copy(update={"relative_gap": 0.03}), None, Guards())) == {"gap"}
    assert set(refusals(plan, None, Guards(max_price_age_days=20))) == {"prices"}
    assert refusals(plan, None, Guards(max_price_age_days=21)) == {}


def test_an_infeasible_night_keeps_the_last_plan_and_says_so(job):
    job.run()
    before = job.pointer
    job.feed("quotas", [{"limit": "small quota", "amount": 0}], NEXT)
    job.prices(large=None, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    with pytest.raises(CheckFailedError, match="infeasible; the last plan stays"):
        job.run(NEXT)
    assert job.pointer == before


def test_two_runs_at_once_are_one_run_and_a_busy_one(job):
    with held(job.folder / "state/lock"), pytest.raises(BusyError):
        job.run()
    assert job.run().exit_code == 0


def test_a_damaged_plan_in_force_is_taken_from_the_store(job):
    job.run()
    path = job.folder / "plans" / job.pointer["plan"]
    path.write_bytes(path.read_bytes()[:-40])
    job.feed("demand", demand_rows(NEXT), NEXT)
    outcome = job.run(NEXT)
    assert any("not what was published; the store's copy" in flag for flag in outcome.flags)
    assert outcome.change is not None
    assert outcome.change.changed_fraction == 0.0 or outcome.change.changes


def test_a_damaged_pointer_is_survived(job):
    job.run()
    (job.folder / "plans/latest.json").write_text('{"plan": ')
    assert any("cannot be read" in flag for flag in job.run(NEXT).flags)


def test_a_clock_that_went_back_plans_all_the_same(job):
    job.run(NEXT)
    outcome = job.run(NOW)
    assert outcome.exit_code == 0
    assert outcome.day == "2026-11-22"


def test_days_of_23_and_25_hours_are_planned(job):
    document = json.loads((job.folder / "instance.json").read_text())
    (job.folder / "instance.json").write_text(json.dumps(document | {"time_zone": "Europe/Berlin"}))
    for now in (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)):
        job.prices(as_of=now)
        job.feed("quotas", [{"limit": "small quota", "amount": 50}], now)
        job.feed("demand", demand_rows(now), now)
        assert job.run(now).day == now.date().isoformat()


def test_old_runs_are_forgotten_but_never_the_plan_in_force(job):
    job.run()
    store = Store(load_config(job.folder / "nightly.yaml").store_url)
    with store.engine.begin() as connection:
        for table, column in (("runs", "started_at"), ("plans", "made_at"), ("feeds", "taken_at")):
            connection.exec_driver_sql(f"UPDATE {table} SET {column} = '2020-01-01T00:00:00+00:00'")
    assert store.forget(30) == 0
    assert store.plan(store.last_published()["plan_hash"]) is not None
    assert store.last_feed("p") is not None
    job.prices(small=1.1, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    job.run(NEXT)
    assert [r["day"] for r in store.runs()] == ["2026-11-23"]


def test_a_night_starts_from_what_the_last_published_one_learned(job):
    """Damage to what is stored is a flag and a night from nothing; an old row goes once a newer one is in force."""
    job.configure(solve={"backend": "ortools", "gap": 1e-6, "method": "decompose"})
    job.run()
    store = Store(load_config(job.folder / "nightly.yaml").store_url)
    assert store.learned() is not None
    for hours, damage in ((24, None), (48, "substr(body, 1, 40)"), (72, "replace(body, '1', '2')"), (96, None)):
        now = NOW + timedelta(hours=hours)
        if damage is not None:
            with store.engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE learned SET body = {damage}")
        job.prices(small=1.0 + hours / 1000, as_of=now)
        job.feed("quotas", [{"limit": "small quota", "amount": 50}], now)
        job.feed("demand", demand_rows(now, level=8.0 + hours / 240), now)
        outcome = job.run(now)
        assert (" plans and " in outcome.plan.method) == (damage is None)
        assert any("are left out" in flag for flag in outcome.flags) == (damage is not None)
    with store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM learned").scalar() == 2
        connection.exec_driver_sql("UPDATE runs SET started_at = '2020-01-01T00:00:00+00:00'")
    store.forget(30)
    with store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM learned").scalar() == 1


def test_a_feed_does_not_price_what_is_owned(job):
    document = json.loads((job.folder / "instance.json").read_text())
    prices = document["catalogs"]["offers"][0]["prices"]
    prices.append(prices[0] | {"option": "owned", "usd_per_hour": 5.0})
    (job.folder / "instance.json").write_text(json.dumps(document))
    columns = ("provider", "region", "zone", "instance_type", "option")
    keys = [("p", "r", "", "smallx1", "on_demand"), ("p", "r", "", "largex1", "on_demand"), ("p", "r", "", "smallx1", "owned")]
    rows = [dict(zip(columns, key, strict=True)) | {"usd_per_hour": 1.5, "as_of": "2026-11-22"} for key in keys]
    job.feed("prices", rows)
    outcome = job.run()
    assert any("is owned: the price in its feed is left out" in flag for flag in outcome.flags)
    assert outcome.plan.usd_per_hour == pytest.approx(1.5)  # one large; not one owned for 5 USD/h


def test_an_unknown_guard_is_a_usage_error(job):
    with pytest.raises(UsageError, match="no guard gaps"):
        job.run(overrides={"gaps": "why"})


def test_a_store_that_is_no_store_is_unavailable_without_telling_its_password(job):
    job.configure(store="postgresql+psycopg://allocate:secret@127.0.0.1:9/nothing")
    with pytest.raises(UnavailableError) as gone:
        job.run()
    assert "secret" not in str(gone.value)
    assert job.metrics["allocate_nightly_exit_code"] == 9


def test_a_wrong_configuration_is_told_whole(job):
    (job.folder / "nightly.yaml").write_text("instance: a.json\nsolv: {}\nkeep_days: 0\n")
    with pytest.raises(InvalidInputError) as refused:
        load_config(job.folder / "nightly.yaml")
    assert {p.pointer for p in refused.value.problems} == {"/solv", "/keep_days"}
    (job.folder / "nightly.yaml").write_text("instance: a.json\ninstance: b.json\n")
    with pytest.raises(InvalidInputError, match="twice"):
        load_config(job.folder / "nightly.yaml")
