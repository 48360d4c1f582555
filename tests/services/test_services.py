"""The night against real PostgreSQL, Prometheus and Pushgateway: present, gone, slow, half there."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from optimizer.errors import BusyError, UnavailableError
from optimizer.nightly.config import DemandFeed
from optimizer.nightly.feeds import BadFeedError
from optimizer.nightly.prometheus import query_hours
from optimizer.nightly.store import STAGES, Store
from tests.optimizer.nightly.nights import NOW, demand_rows
from tests.optimizer.nightly.test_faults import next_night, the_next_run_succeeds

NEXT = NOW + timedelta(days=1)
QUERY = "requests_per_second"


def test_a_night_on_postgresql_and_its_history(job, database):
    job.configure(store=database)
    job.run()
    next_night(job)
    job.run(NEXT)
    with Store(database) as store:
        assert [(r["day"], r["exit_code"]) for r in store.runs()] == [("2026-11-23", 0), ("2026-11-22", 0)]
        assert [e["stage"] for e in store.journal(1)] == ["started", "fed", "solved", "verified", "guarded", "published"]
        assert store.scores(2)[0]["coverage"] == pytest.approx(1.0)


def test_the_same_rows_come_back_from_both_stores(database):
    stores = [Store("sqlite://"), Store(database)]
    rows = [("w", "q", r["hour"], r["rate_per_s"]) for r in demand_rows(days=2)]
    for store in stores:
        store.save_demand(rows)
        store.save_demand([(*rows[0][:3], 99.0)])
        store.save_feed("f", NOW.isoformat(), "[]")
        assert store.save_plan("{}", "h") == store.save_plan("{}", "h")
        runs = [int(store.begin_run(day, "c", "")["id"]) for day in ("2026-11-21", "2026-11-22")]
        store.reach(runs[0], "published", {})
        for run, body in zip([runs[0], *runs], ("old", "first", "second"), strict=True):
            store.save_learned(run, body)
        assert store.learned() == "first"  # the second run is not published
    one, two = ((s.demand("2026"), s.last_feed("f")["body"]) for s in stores)
    for store in stores:
        store.close()
    assert one == two
    assert one[0][0][3] == 99.0


def test_two_hosts_on_one_database_are_one_run_and_a_busy_one(database):
    with Store(database) as first, Store(database) as second:
        with first.alone(), pytest.raises(BusyError), second.alone():
            pass
        with second.alone():
            pass


def test_a_database_gone_before_the_night_keeps_the_last_plan(job, database, postgres):
    job.configure(store=database)
    job.run()
    before = job.pointer
    next_night(job)
    postgres.stop()
    try:
        with pytest.raises(UnavailableError):
            job.run(NEXT)
        assert job.metrics["allocate_nightly_exit_code"] == 9
    finally:
        postgres.start()
    assert job.pointer == before
    the_next_run_succeeds(job)


@pytest.mark.parametrize("stage", ["fed", "solved", "guarded"])
def test_a_database_gone_during_the_night_keeps_a_whole_plan(job, database, postgres, monkeypatch, stage):
    job.configure(store=database)
    job.run()
    before = job.plan
    next_night(job)

    def drop(reached):
        if reached == stage:
            postgres.stop()

    try:
        with monkeypatch.context() as patch:
            patch.setattr("optimizer.nightly.job._fault", drop)
            with pytest.raises(UnavailableError):
                job.run(NEXT)
    finally:
        postgres.start()
    published = stage == "guarded"  # the file is out, its journal line is not: the next run writes it
    assert (job.plan != before) == published
    the_next_run_succeeds(job)


def test_a_database_gone_after_publishing_loses_no_plan(job, database, postgres, monkeypatch):
    job.configure(store=database)
    job.run()
    next_night(job)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("optimizer.nightly.job._fault", lambda reached: postgres.stop() if reached == "published" else None)
            with pytest.raises(UnavailableError):
                job.run(NEXT)
    finally:
        postgres.start()
    assert job.plan["usd_per_hour"] == pytest.approx(2.4)
    the_next_run_succeeds(job)


def test_demand_comes_from_prometheus(job, prometheus):
    feed = {"kind": "prometheus", "url": prometheus.url, "query": QUERY}
    job.configure(feeds={"demand": feed})
    assert job.run().plan.usd_per_hour == 2.0
    rows = query_hours(DemandFeed(**feed), NOW - timedelta(days=10), NOW)
    wanted = {r["hour"]: r["rate_per_s"] for r in demand_rows(days=10)}
    found = {r["hour"]: float(r["rate_per_s"]) for r in rows}
    assert {hour: rate for hour, rate in found.items() if hour in wanted} == wanted


def test_many_pages_are_one_answer(prometheus, monkeypatch):
    feed = DemandFeed(kind="prometheus", url=prometheus.url, query=QUERY)
    whole = query_hours(feed, NOW - timedelta(days=10), NOW)
    monkeypatch.setattr("optimizer.nightly.prometheus.POINTS_PER_PAGE", 7)
    assert query_hours(feed, NOW - timedelta(days=10), NOW) == whole


def test_a_wrong_query_and_a_scalar_are_told(prometheus):
    for query, why in (("requests_per_second{", "parse error"), ("sum(requests_per_second)", "labels workload")):
        with pytest.raises(BadFeedError, match=why):
            query_hours(DemandFeed(kind="prometheus", url=prometheus.url, query=query), NOW - timedelta(days=1), NOW)


def test_prometheus_gone_the_demand_held_serves(job, prometheus):
    feed = {"kind": "prometheus", "url": prometheus.url, "query": QUERY, "retries": 1, "timeout_s": 2.0}
    job.configure(feeds={"demand": feed})
    job.run()
    prometheus.stop()
    try:
        outcome = job.run(NOW + timedelta(hours=21))
        assert any("the demand held up to" in flag for flag in outcome.flags)
        with pytest.raises(UnavailableError, match="too old"):
            job.run(NOW + timedelta(days=3))
    finally:
        prometheus.start()


def test_prometheus_slow_is_given_up_in_time(prometheus):
    prometheus.process.send_signal(signal.SIGSTOP)
    try:
        feed = DemandFeed(kind="prometheus", url=prometheus.url, query=QUERY, retries=1, timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(BadFeedError, match="Timeout"):
            query_hours(feed, NOW - timedelta(days=1), NOW)
        assert time.monotonic() - began < 10
    finally:
        prometheus.process.send_signal(signal.SIGCONT)


HALF = {
    "cut off": b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric"',
    "warned": json.dumps({"status": "success", "warnings": ["partial"], "data": {"resultType": "matrix", "result": []}}).encode(),
    "an error": json.dumps({"status": "error", "error": "query timed out"}).encode(),
    "no object": b"[]",
}


@pytest.mark.parametrize("how", HALF)
def test_half_an_answer_is_no_answer(how):
    class Half(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(HALF[how])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        feed = DemandFeed(kind="prometheus", url=f"http://127.0.0.1:{server.server_address[1]}", query=QUERY, retries=0)
        with pytest.raises(BadFeedError, match="no whole answer"):
            query_hours(feed, NOW - timedelta(days=1), NOW)
        server.shutdown()


def test_metrics_reach_the_gateway(job, pushgateway, monkeypatch):
    monkeypatch.setenv("ALLOCATE_NIGHTLY_PUSHGATEWAY", pushgateway)
    job.run()
    shown = urllib.request.urlopen(f"http://{pushgateway}/metrics").read().decode()
    assert 'allocate_nightly_success{instance="",job="allocate_nightly"} 1' in shown
    assert 'allocate_nightly_usd_per_hour{head="compute",instance="",job="allocate_nightly"} 2' in shown


def test_killed_at_fifty_moments_every_stage_three_times(job, postgres, database):
    """Kill a night at a random moment after a line of it; each takes up where the last stood, until one is let through."""
    import random

    job.configure(store=database)
    job.run()
    dice, hits, killed, day = random.Random(7), dict.fromkeys(STAGES, 0), 0, 1
    while killed < 50 or min(hits.values()) < 3:
        assert killed < 200, f"after 200 kills: {hits}"
        now = NOW + timedelta(days=day)
        job.prices(small=1.0 + 0.01 * (killed % 7), as_of=now)
        job.feed("quotas", [{"limit": "small quota", "amount": 50}], now)
        job.feed("demand", demand_rows(now), now)
        before = job.plan
        night = job.command(environment={"ALLOCATE_TEST_NOW": now.isoformat()})
        wanted = min(hits, key=lambda s: (hits[s], s))
        while (line := night.stderr.readline()) and not line.startswith(f"{wanted}:"):
            pass
        time.sleep(dice.random() * 0.05)
        night.kill()
        night.communicate(timeout=60)
        if night.returncode == -signal.SIGKILL:
            killed += 1
            with Store(database) as store:
                hits[store.runs(1)[0]["stage"]] += 1
            assert job.plan["verification"]["passed"] in (True, False)  # whole: its digest is the pointer's
            assert job.plan == before or job.pointer["day"] == now.date().isoformat()
        if killed % 5 == 0:
            the_next_run_succeeds(job, now)
            day += 1
    the_next_run_succeeds(job, NOW + timedelta(days=day))
    print(f"{killed} kills, by the stage they left: {hits}")
