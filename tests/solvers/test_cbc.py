"""CBC: its endings, its deaths, its watchdog, its folders."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from solvers import BackendCrashedError, BackendUnavailableError, Limit, SolveOptions, Termination, cbc, process
from solvers.cbc import CbcBackend
from tests.solvers.small import INF, brute_force, fresh, model, planning, random_model, two_rows_lp, values

FAKE_VERSION = 'if [ "$2" = "-quit" ] || [ "$1" = "-quit" ]; then echo "Version: 9.9"; exit 0; fi\n'


@pytest.fixture
def fake(tmp_path):
    """Give a function making a binary from a shell script; it knows its version."""

    def make(script: str) -> CbcBackend:
        path = tmp_path / "cbc"
        path.write_text("#!/bin/sh\n" + FAKE_VERSION + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return CbcBackend(path=str(path))

    return make


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Let temporary folders be made in one with a space in its name, and give it."""
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


def test_it_says_which_cbc_it_is():
    assert CbcBackend().version() == "CBC 2.10.3"


def test_a_temporary_folder_with_a_space_works_and_stays_empty(temporary):
    assert CbcBackend().solve(two_rows_lp()).objective == pytest.approx(7.55625)
    assert list(temporary.iterdir()) == []


def test_a_point_that_preprocessing_would_call_optimal_is_beaten():
    """With CBC's preprocessing this costs 11 and is called optimal: 4x + 2z in 7 to 9 has (2, 0), costing 2."""
    assert brute_force(random_model(158)) == 2.0
    assert CbcBackend().solve(random_model(158), SolveOptions(relative_gap=0.0)).objective == 2.0


def test_a_proof_is_bounded_by_the_cutoff_not_by_the_objective():
    solution = CbcBackend().solve(model([3, 5], [(7, [2, 3], INF)]), SolveOptions(relative_gap=0.0))
    assert solution.objective == 11.0
    assert 11.0 - 1e-5 < solution.dual_bound < 11.0
    assert "cutoff" in solution.bound_source
    assert solution.relative_gap > 0


def test_a_printed_bound_is_rounded_down():
    log = "Lower bound:                    213.137\n"
    bound, source = cbc._printed_bound(log, 2.0)
    assert 213.1364 / 2 < bound < 213.1365 / 2
    assert "rounded down" in source
    assert cbc._printed_bound("no such line", 1.0) == (None, "")


def test_options_reach_the_command_line_as_numbers_only():
    words = cbc._arguments(SolveOptions(relative_gap=0.01, threads=2, seed=5), 3.0)
    assert words[-8:] == ["-sec", "3.0", "-threads", "2", "-randomSeed", "5", "-randomCbcSeed", "5"]
    assert "-sec" not in cbc._arguments(SolveOptions(), None)


def test_a_missing_binary_is_unavailable():
    with pytest.raises(BackendUnavailableError, match="nowhere"):
        CbcBackend(path="/nowhere/cbc").solve(two_rows_lp())
    with pytest.raises(BackendUnavailableError, match="backend 'cbc'"):
        CbcBackend(path="/nowhere/cbc").prove()


def test_a_binary_that_dies_is_told_with_its_last_words(fake):
    with pytest.raises(BackendCrashedError, match="code -9") as caught:
        fake("echo last words; kill -9 $$").solve(two_rows_lp())
    assert "last words" in caught.value.output


def test_a_binary_that_says_nothing_is_a_crash(fake):
    with pytest.raises(BackendCrashedError, match="code 0 and left no solution"):
        fake("exit 0").solve(two_rows_lp())


def test_a_binary_that_speaks_another_language_is_a_crash(fake):
    script = "printf '\\002\\0\\0\\0\\002\\0\\0\\0' > values; head -c 72 /dev/zero >> values; echo 'Resultat - optimal'"
    with pytest.raises(BackendCrashedError, match="without saying how"):
        fake(script).solve(two_rows_lp())


def test_a_binary_that_lies_does_not_prove_itself(fake):
    values = "printf '\\001\\0\\0\\0\\002\\0\\0\\0' > values; head -c 56 /dev/zero >> values"
    script = f"{values}; echo; echo 'Result - Optimal solution found'"
    with pytest.raises(BackendUnavailableError, match="where -7 is right"):
        fake(script).prove()


def test_a_binary_that_hangs_is_killed_at_the_limit_with_its_children(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(cbc, "GRACE_S", 0.2)
    monkeypatch.setattr(process, "GENTLE_S", 0.2)
    hanging = fake(f"trap '' INT TERM; sleep 60 & echo $! > {tmp_path}/child; sleep 60; sleep 60")
    started = time.monotonic()
    solution = hanging.solve(model([1], [(1, [1], INF)]), SolveOptions(time_limit_s=0.3, start=values(2)))
    assert time.monotonic() - started < 5
    assert (solution.termination, solution.limit) == (Termination.FEASIBLE, Limit.TIME)
    assert solution.objective == 2.0  # the start is what is known
    assert gone(int((tmp_path / "child").read_text()))


def test_an_old_kernel_only_makes_the_end_of_a_child_known_later(fake, monkeypatch):
    """Without ``pidfd_open`` a child is looked at now and then; one that ends, hangs or fails is treated the same."""

    def refuse(pid):
        raise OSError("not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    assert CbcBackend().solve(model([1], [(1.5, [1], INF)])).objective == 2.0
    monkeypatch.setattr(cbc, "GRACE_S", 0.2)
    monkeypatch.setattr(process, "GENTLE_S", 0.2)
    hanging = fake("sleep 60").solve(model([1], [(1, [1], INF)]), SolveOptions(time_limit_s=0.3))
    assert hanging.limit is Limit.TIME
    with pytest.raises(BackendCrashedError, match="code 3"):
        fake("exit 3").solve(model([1], [(1, [1], INF)]))


def test_a_binary_that_hangs_heeds_cancel(fake, monkeypatch):
    monkeypatch.setattr(process, "GENTLE_S", 0.2)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    solution = fake("trap '' INT; echo 'Continuous objective value is 54.25 - 0.02 seconds'; sleep 60").solve(
        two_rows_lp(), cancel=cancel
    )
    assert (solution.termination, solution.limit) == (Termination.NO_SOLUTION_FOUND, Limit.INTERRUPT)


def test_an_interrupt_from_the_keyboard_passes_through_and_leaves_nothing(temporary):
    """The child has a session of its own, so that Ctrl-C reaches only us."""
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        CbcBackend().solve(planning(16), SolveOptions(relative_gap=0.0))
    assert list(temporary.iterdir()) == []


SOLVE_FOREVER = """
import sys
from solvers import SolveOptions, get_backend
from tests.solvers.small import planning
print("started", flush=True)
get_backend(sys.argv[1]).solve(planning(16), SolveOptions(relative_gap=0.0))
"""


@pytest.mark.parametrize("name", ["cbc", "ortools"])
def test_a_killed_parent_leaves_no_orphan_and_its_folder_is_swept(name, temporary):
    parent = subprocess.Popen(
        [sys.executable, "-c", SOLVE_FOREVER, name], stdout=subprocess.PIPE, env=fresh(TMPDIR=str(temporary))
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    child = wait_for(lambda: solver_children(parent.pid))[0]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: gone(child))
    (left,) = temporary.iterdir()
    os.utime(left, (0, 0))  # old enough
    CbcBackend().solve(two_rows_lp())
    assert list(temporary.iterdir()) == []


def solver_children(pid: int) -> list[int]:
    """Children that have become something else than a copy of their parent."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        found = [int(x) for x in file.read().split()]
    return [x for x in found if b"SOLVE_FOREVER" not in command(x) and (b"cbc" in command(x) or b"rpc_pb2" in command(x))]


def command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(what, seconds: float = 10.0):
    """Poll until true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def test_sweeping_spares_what_is_young_locked_or_not_ours(temporary):
    old, young, other = (temporary / name for name in ("milp-solver-old", "milp-solver-young", "somebody-else"))
    for folder in (old, young, other):
        folder.mkdir()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    with process.private_folder() as own:  # which sweeps
        os.utime(own, (0, 0))
        assert process.sweep(temporary) == 0
        assert sorted(x.name for x in temporary.iterdir()) == sorted([own.name, "milp-solver-young", "somebody-else"])


@pytest.mark.parametrize(("seed", "ending"), [(25, Termination.INFEASIBLE), (47, Termination.INFEASIBLE)])
def test_infeasible_found_before_the_search_is_an_answer(seed, ending):
    """CBC stops at "tightenPrimalBounds" here and dies if asked for its text file of the solution."""
    assert CbcBackend().solve(random_model(seed)).termination is ending
