"""Where results go: files whole or not at all, devices never replaced, readers that leave, signals that stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from optimizer.errors import UsageError
from optimizer.output import refuse_unwritable, write_atomically

ROOT = Path(__file__).resolve().parents[3]
REAL = "import sys; from optimizer.cli import main; main(sys.argv[1:])"


def real(*arguments, **options):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-c", REAL, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, text=True, timeout=60, check=False, stderr=subprocess.PIPE, **options)


# -- files ------------------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old " * 1000)
    write_atomically(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_no_stray(tmp_path, monkeypatch):
    path = tmp_path / "plan.json"
    path.write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(("name", "told"), [("missing/plan.json", "there is no folder"), (".", "it is a folder")])
def test_a_place_that_cannot_be_written_is_refused_with_why(tmp_path, name, told):
    with pytest.raises(UsageError, match=told):
        refuse_unwritable(tmp_path / name)


@pytest.mark.parametrize("name", [None, "new.json", "old.json"])
def test_a_place_that_can_be_written_is_given_back_untouched(tmp_path, name):
    (tmp_path / "old.json").write_text("old")
    path = None if name is None else tmp_path / name
    assert refuse_unwritable(path) == path
    assert [p.name for p in tmp_path.iterdir()] == ["old.json"]


def test_a_file_is_as_open_as_the_users_mask_has_it(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "plan.json", "x")
        assert os.umask(0o027) == 0o027, "the mask was changed"
    finally:
        os.umask(before)
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_atomically(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_pipe_is_written_to_and_never_replaced(tmp_path):
    """What happens to a pipe here would happen to /dev/null for the superuser."""
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()), daemon=True)
    reader.start()
    write_atomically(path, "whole")
    reader.join(timeout=10)
    assert read == ["whole"]
    assert path.is_fifo()


# -- stdout -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["schema", "instance"], ["--help"], ["validate"]])
def test_a_reader_that_leaves_is_no_error(question, command):
    read, write = os.pipe()
    os.close(read)
    ran = real(*command, *([question] if command == ["validate"] else []), stdout=write)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("command", ["validate", "solve"])
def test_a_full_disk_behind_stdout_is_told(question, command):
    with open("/dev/full", "w") as full:
        ran = real(command, question, stdout=full)
    assert ran.returncode == 2
    assert ran.stderr == "allocate: stdout cannot be written: No space left on device\n"


def test_a_closed_stdout_is_no_error(question):
    code = f"import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', {REAL!r}, *sys.argv[1:]])"
    ran = subprocess.run(
        [sys.executable, "-c", code, "validate", question], cwd=ROOT, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_terminal_without_the_letters_gets_its_table(question):
    ran = real("solve", question, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert ran.returncode == 0
    assert "Cost $2.00" in ran.stdout


# -- signals ----------------------------------------------------------------------------------------------------------------


def stopped(fake, number, *arguments, times=1):
    """Start a solve on a fake backend, send a signal once it solves (and once more once it does not stop); give the end."""
    command = [sys.executable, "-m", "tests.optimizer.cli.fakes", fake, "solve", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == "solving\n"
        process.send_signal(number)
        if times == 2:
            assert process.stderr.readline() == "not stopping\n"
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    return process.returncode, out, err


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_with_a_plan_in_hand_gives_the_plan(question, tmp_path, number, code):
    """Two of small for 2 USD/h are found, 1 USD/h is proved: a gap of half."""
    ended, out, err = stopped("Slow", number, question, "--format", "json")
    assert (ended, err) == (0, "")
    plan = json.loads(out)
    assert (plan["status"], plan["stopped_by"], plan["usd_per_hour"]) == ("feasible", "interrupt", 2.0)
    assert plan["relative_gap"] == pytest.approx(0.5, abs=1e-5)
    assert plan["verification"]["passed"] is True


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_without_a_plan_has_its_own_exit_code(question, tmp_path, number, code):
    ended, out, err = stopped("SlowAndEmpty", number, question, "-o", tmp_path / "plan.json")
    assert (ended, out) == (code, "")
    assert err == "allocate: interrupted before any plan was found\n"
    assert [p.name for p in tmp_path.iterdir()] == ["instance.json"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_second_signal_ends_a_backend_that_does_not_listen(question, number, code):
    ended, out, err = stopped("Deaf", number, question, times=2)
    assert (ended, out, err) == (code, "", "allocate: interrupted at once\n")


def test_a_signal_while_reading_ends_at_once(tmp_path):
    """A pipe that nobody writes to is read for ever."""
    os.mkfifo(tmp_path / "i.json")
    code = f"import sys; print('started', flush=True); exec({REAL!r})"
    command = [sys.executable, "-c", code, "validate", str(tmp_path / "i.json")]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "started\n"
        with open(tmp_path / "i.json", "w"):  # opened: it reads now
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted")
