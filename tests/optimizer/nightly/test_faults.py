"""A night that dies, is stopped or is short of something: the last plan stays whole, the next run succeeds, nothing is left."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from optimizer.errors import BackendFailedError, NoPlanError, UnavailableError
from optimizer.nightly.config import load_config
from optimizer.nightly.store import Store
from optimizer.output import write_atomically
from solvers import registry
from tests.optimizer.nightly.nights import NOW, demand_rows

NEXT = NOW + timedelta(days=1)
BOUNDARIES = ("started", "fed", "solved", "verified", "guarded", "written", "published")


def next_night(job):
    """Bring news of the day after: the small one costs more, and demand is that of a working day."""
    job.prices(small=1.2, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    return {"ALLOCATE_TEST_NOW": NEXT.isoformat()}


def the_next_run_succeeds(job, now=NEXT):
    outcome = job.run(now)
    assert outcome.exit_code == 0
    assert job.pointer["day"] == now.date().isoformat()
    assert job.plan["verification"]["failures"] == []
    assert job.strays() == []
    assert job.metrics["allocate_nightly_success"] == 1


@pytest.mark.parametrize("stage", BOUNDARIES)
def test_killed_after_a_stage_the_next_run_takes_it_up(job, stage):
    job.run()
    before = job.plan
    night = job.command(environment=next_night(job) | {"ALLOCATE_FAULT": f"after:{stage}"})
    night.communicate(timeout=60)
    assert night.returncode == -signal.SIGKILL, "a harness that kills nothing proves nothing"
    published = stage in ("written", "published")
    assert (job.plan == before) != published
    the_next_run_succeeds(job)
    assert any("taken up after" in line for line in job.said) == (stage != "started")
    assert job.plan["usd_per_hour"] == pytest.approx(2.4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_solves_the_last_plan_stays(job, number):
    job.run()
    before = job.pointer
    night = job.command(environment=next_night(job) | {"ALLOCATE_TEST_BACKEND": "SlowAndEmpty"})
    while "solving" not in (line := night.stderr.readline()):
        assert line, "the night ended before it could be stopped"
    night.send_signal(number)
    _, said = night.communicate(timeout=60)
    assert night.returncode == 128 + number
    assert "Traceback" not in said
    assert job.pointer == before
    assert job.metrics["allocate_nightly_exit_code"] == 130
    the_next_run_succeeds(job)


def test_of_two_at_once_one_runs_and_one_is_busy(job):
    first = job.command(environment={"ALLOCATE_TEST_BACKEND": "SlowAndEmpty"})
    while "solving" not in (line := first.stderr.readline()):
        assert line, "the first run ended before the second began"
    second = job.command()
    _, said = second.communicate(timeout=60)
    assert second.returncode == 8
    assert "another run holds" in said
    first.kill()
    first.communicate(timeout=60)
    the_next_run_succeeds(job, NOW)


def test_a_full_disk_keeps_the_last_plan(job, monkeypatch):
    job.run()
    before = job.plan
    next_night(job)

    def full(path, text):
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        write_atomically(path, text)

    with monkeypatch.context() as patch:
        patch.setattr("optimizer.nightly.publish.write_atomically", full)
        with pytest.raises(UnavailableError, match="No space left"):
            job.run(NEXT)
    assert job.plan == before
    assert job.metrics["allocate_nightly_exit_code"] == 9
    the_next_run_succeeds(job)


def test_a_process_that_may_write_little_leaves_the_last_plan_whole(job):
    job.run()
    before = job.plan
    night = job.command(environment=next_night(job), preexec_fn=_little_room)
    _, said = night.communicate(timeout=60)
    assert night.returncode in (9, -signal.SIGXFSZ), said
    assert job.plan == before
    the_next_run_succeeds(job)


def _little_room():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


@pytest.mark.parametrize(("fake", "error"), [("Dying", BackendFailedError), ("Hung", BackendFailedError), ("Empty", NoPlanError)])
def test_a_solver_that_dies_hangs_or_finds_nothing_keeps_the_last_plan(job, monkeypatch, fake, error):
    job.run()
    before = job.pointer
    next_night(job)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "BUILT_IN", dict.fromkeys(registry.BUILT_IN, f"tests.optimizer.cli.fakes:{fake}"))
        with pytest.raises(error):
            job.run(NEXT)
    assert job.pointer == before
    assert job.metrics["allocate_nightly_exit_code"] == error.exit_code
    the_next_run_succeeds(job)


def test_a_time_limit_with_a_plan_in_hand_is_judged_by_the_gap_guard(job, monkeypatch):
    from optimizer.errors import CheckFailedError

    job.run()
    before = job.pointer
    next_night(job)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "BUILT_IN", dict.fromkeys(registry.BUILT_IN, "tests.optimizer.nightly.program:OutOfTime"))
        with pytest.raises(CheckFailedError, match="its gap is"):
            job.run(NEXT)
    assert job.pointer == before
    the_next_run_succeeds(job)


@pytest.mark.parametrize("call", ["begin_run", "reach", "learned", "save_learned", "save_plan", "end_run", "forget"])
def test_a_store_that_goes_away_at_any_call_keeps_the_last_plan(job, monkeypatch, call):
    job.configure(solve={"backend": "ortools", "gap": 1e-6, "method": "decompose"})
    job.run()
    before = job.plan
    next_night(job)

    def gone(*_, **__):
        raise UnavailableError("the store fails: gone")

    with monkeypatch.context() as patch:
        patch.setattr(Store, call, gone)
        with pytest.raises(UnavailableError):
            job.run(NEXT)
    assert (job.plan == before) or call in ("end_run", "forget")
    the_next_run_succeeds(job)


def test_a_damaged_plan_in_the_store_is_solved_again(job):
    job.run()
    night = job.command(environment=next_night(job) | {"ALLOCATE_FAULT": "after:solved"})
    night.communicate(timeout=60)
    store = Store(load_config(job.folder / "nightly.yaml").store_url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE plans SET body = substr(body, 1, 100)")
    the_next_run_succeeds(job)


def test_a_webhook_and_a_gateway_that_fail_never_undo_a_plan(job, monkeypatch):
    monkeypatch.setenv("ALLOCATE_NIGHTLY_WEBHOOK", "http://127.0.0.1:9/secret-path")
    monkeypatch.setenv("ALLOCATE_NIGHTLY_PUSHGATEWAY", "127.0.0.1:9")
    job.run()
    failed = [line for line in job.said if line.startswith("cannot announce")]
    assert len(failed) == 2
    assert not any("secret-path" in line for line in failed)
    the_next_run_succeeds(job, NOW)


def test_strays_of_a_killed_write_are_swept(job):
    job.run()
    (job.folder / "plans/.plan-2026-11-21.json.abcd").write_text("{")
    next_night(job)
    the_next_run_succeeds(job)
