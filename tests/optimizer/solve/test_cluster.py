"""Blocks on a real Dask scheduler with two workers, processes of their own: the same answers, whoever is lost meanwhile."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import optimizer
from optimizer.errors import InvalidInputError, UnavailableError, UsageError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.solve import cluster as clusters
from optimizer.solve import workers
from optimizer.solve.cluster import Cluster, reached
from optimizer.solve.workers import Workers
from solvers import Model, Solution, SolveOptions, get_backend
from tests.optimizer.full import full_instance
from tests.optimizer.servers import Servers, started
from tests.solvers.small import planning

ASKED = Options(method="decompose", relative_gap=1e-4, time_limit_s=60.0)
LIMIT_S = 1.0
MODELS = [planning(1, seed, options=10, classes=4) for seed in range(12)]
"""Of 0.02 to 0.1 s each."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with started(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def expected() -> list[float | None]:
    """Give what the models cost, solved here, where no cluster is asked."""
    return costs(list(on(None)))


@pytest.fixture(scope="module")
def here() -> Plan:
    """Give the plan that processes here find."""
    return allocate(full_instance(0), ASKED)


@contextmanager
def two_workers(servers: Servers) -> Iterator[Cluster]:
    with reached(servers.address) as cluster:
        assert cluster is not None
        assert cluster.processes == 2
        yield cluster


def costs(answers: Sequence[Solution]) -> list[float | None]:
    return [answer.objective for answer in answers]


def on(
    cluster: Cluster | None,
    models: Sequence[Model] = MODELS,
    *,
    limit_s: float = LIMIT_S,
    processes: int = 1,
    cancel: threading.Event | None = None,
) -> Generator[Solution]:
    options = SolveOptions(time_limit_s=limit_s, relative_gap=0.0, small=True)
    return Workers(get_backend("ortools"), processes, cancel, cluster).answers((m, options) for m in models)


def tasks(cluster: Cluster) -> int:
    """Give how many tasks the scheduler knows."""
    known: int = cluster.client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    return known


def comparable(plan: Plan) -> tuple[object, ...]:
    return plan.deployments, plan.routing, plan.bound_usd, plan.objective_usd


def test_a_cluster_gives_the_plan_that_processes_here_give(servers: Servers, here: Plan) -> None:
    there = allocate(full_instance(0), replace(ASKED, cluster=servers.address))
    assert comparable(there) == comparable(here)
    assert there.method == f"{here.method}, on a cluster"


def test_every_block_is_solved_by_the_workers(
    servers: Servers, expected: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solvers.ortools.OrtoolsBackend.solve", None)  # here, not there
    with two_workers(servers) as cluster:
        assert costs(list(on(cluster))) == expected
        assert (cluster.lost, cluster.again) == ("", 0)


def test_a_question_solved_whole_says_that_no_cluster_was_needed(servers: Servers) -> None:
    plan = allocate(full_instance(0), Options(relative_gap=0.01, cluster=servers.address))
    assert plan.method.startswith("direct: ")
    assert plan.method.endswith("; the cluster was not needed")


def test_cancelling_ends_at_once_and_takes_back_what_waits(servers: Servers) -> None:
    cancel = threading.Event()
    with two_workers(servers) as cluster:
        answers = on(cluster, [planning(8, seed) for seed in range(12)], cancel=cancel)
        threading.Timer(0.5, cancel.set).start()
        assert list(answers) == []
        waiting = until(0, lambda: tasks(cluster))
    assert waiting == 0


def test_what_was_asked_ahead_is_taken_back_when_nobody_wants_it(servers: Servers) -> None:
    with two_workers(servers) as cluster:
        answers = on(cluster)
        next(answers)
        assert tasks(cluster) > 2
        answers.close()
        assert until(0, lambda: tasks(cluster)) == 0


def test_an_answer_that_comes_as_it_is_taken_back_is_no_news(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tornado.application")
    with two_workers(servers):
        for error in (CancelledError("taken back"), ValueError("news")):
            log.error("in a callback", exc_info=error)
    log.error("later", exc_info=CancelledError("of others"))
    assert [str(r.exc_info[1]) for r in caplog.records if r.name == log.name and r.exc_info] == ["news", "of others"]


def test_workers_of_another_wheel_that_came_later_are_not_believed(
    servers: Servers, expected: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_workers(servers) as cluster:
        monkeypatch.setattr(clusters, "wheel", lambda: "allocate of tomorrow")
        assert costs(list(on(cluster, MODELS[:3]))) == expected[:3]
        assert cluster.again == 3
        assert "3 blocks that it failed to solve" in cluster.words()


def test_what_a_killed_worker_was_asked_another_answers_and_at_last_we(
    tmp_path: Path, expected: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "PATIENCE_S", 2.0)
    with started(tmp_path) as doomed, two_workers(doomed) as cluster:
        one, other = doomed.workers
        place = next(at for at, process in cluster.client.run(os.getpid).items() if process == one.pid)
        one.send_signal(signal.SIGSTOP)  # so that it holds what it is asked
        held = list[int]()

        def kill() -> None:
            held.append(until(2, lambda: min(2, len(cluster.client.processing()[place]))))
            one.kill()

        threading.Timer(0.1, kill).start()
        assert costs(list(on(cluster, limit_s=30.0))) == expected
        assert held == [2]
        assert (cluster.lost, cluster.again, len(cluster.client.nthreads())) == ("", 0, 1)
        other.kill()
        assert costs(list(on(cluster))) == expected
        assert cluster.lost == "it did not answer in time"


def test_a_scheduler_that_freezes_is_gone_on_without(
    servers: Servers, expected: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "PATIENCE_S", 1.0)
    monkeypatch.setattr(clusters, "CONNECT_S", 1.0)
    try:
        with two_workers(servers) as cluster:
            answers = on(cluster)
            found = [next(answers)]
            servers.scheduler.send_signal(signal.SIGSTOP)
            assert costs(found + list(answers)) == expected
            assert costs(list(on(cluster, MODELS[:1]))) == expected[:1]
            assert cluster.lost == "it did not answer in time"
    finally:
        servers.scheduler.send_signal(signal.SIGCONT)


def test_a_scheduler_killed_amid_a_solve_is_told_by_the_plan(tmp_path: Path, here: Plan) -> None:
    with started(tmp_path) as doomed:
        asked = replace(ASKED, cluster=doomed.address)
        there = allocate(full_instance(0), asked, on_progress=lambda _: doomed.scheduler.kill())
    assert comparable(there) == comparable(here)
    lost = "on a cluster, which was lost (the connection to the scheduler broke), so that the rest was solved here"
    assert there.method == f"{here.method}, {lost}"


def test_what_a_killed_process_was_asked_is_solved_here(expected: list[float | None]) -> None:
    from joblib.externals.loky import get_reusable_executor

    answers = on(None, processes=2)
    found = [next(answers)]
    pool = get_reusable_executor(max_workers=2, timeout=workers.IDLE_S, initializer=signal.signal, initargs=workers.DEAF)
    assert len(pool._processes) == 2
    for process in list(pool._processes):
        os.kill(process, signal.SIGKILL)
    assert costs(found + list(answers)) == expected


def test_another_wheel_is_refused_by_name(tmp_path: Path) -> None:
    """Scheduler and worker see a package that differs by a comment."""
    for package in ("optimizer", "solvers"):
        shutil.copytree(Path(optimizer.__file__).parents[1] / package, tmp_path / package)
    with (tmp_path / "solvers" / "model.py").open("a") as changed:
        changed.write("# another wheel\n")
    with (
        started(tmp_path, workers=1, path=str(tmp_path)) as servers,
        pytest.raises(InvalidInputError, match="another version") as caught,
    ):
        allocate(full_instance(0), replace(ASKED, cluster=servers.address))
    assert [p.pointer.partition("://")[0] for p in caught.value.problems] == ["scheduler", "tcp"]


@pytest.mark.parametrize("answering", [False, True])
def test_where_no_scheduler_answers_is_told_soon(answering: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answering:
            silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"no Dask scheduler answers at {address} within 1 s"):
            allocate(full_instance(0), replace(ASKED, cluster=address))


def test_a_scheduler_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 2.0)
    with started(tmp_path, workers=0) as servers, pytest.raises(UnavailableError, match="has no workers"):
        allocate(full_instance(0), replace(ASKED, cluster=servers.address))


@pytest.mark.parametrize("address", ["", "nonsense", "http://127.0.0.1:8786", "tcp://127.0.0.1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="expected an address such as"):
        Options(cluster=address)


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'allocate\[cluster\]'"):
        allocate(full_instance(0), replace(ASKED, cluster="tcp://127.0.0.1:8786"))


def until(wanted: int, found: Callable[[], int], seconds: float = 10.0) -> int:
    """Give what is found once it is what is wanted, or at last."""
    end = time.monotonic() + seconds
    while (now := found()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return now
