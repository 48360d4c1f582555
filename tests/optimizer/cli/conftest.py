"""The command line as a user meets it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import pytest

from optimizer.cli import main
from tests.optimizer.files import small, written


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def private_temporary_folder(tmp_path_factory, monkeypatch):
    """Keep bug reports and solver folders of a test out of the machine's own."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def allocate(capsys):
    """Run the command line in this process; a traceback nobody asked for fails the test."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert "--debug" in arguments or "Traceback" not in printed.err
        return Ran(stop.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def question(tmp_path):
    """Give the file of the small instance, whose optimum is 2 USD/h: two of small."""
    return written(tmp_path, small())


@pytest.fixture
def use_backend(monkeypatch):
    """Give a function that puts a fake of ``fakes.py`` in the place of both backends."""

    def use(fake):
        for name in ("ortools", "cbc"):
            monkeypatch.setitem(__import__("solvers.registry").registry.BUILT_IN, name, f"tests.optimizer.cli.fakes:{fake}")

    return use
