"""The public names: lazy, sorted, importable twice, and cheap until they are used."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer

ROOT = Path(optimizer.__file__).resolve().parents[1]


def python(code, *args):
    """Run code in a fresh process at the root of the checkout; give what it printed as JSON on its last line."""
    run = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_the_public_names_are_these():
    assert set(optimizer.__all__) >= {
        "Instance",
        "Plan",
        "allocate",
        "load_instance",
        "load_plan",
        "verify_plan",
        "AllocationError",
    }
    assert optimizer.__all__ == sorted(optimizer.__all__)
    assert dir(optimizer) == optimizer.__all__


def test_no_public_name_is_a_submodule():
    assert not set(optimizer.__all__) & {m.name for m in pkgutil.iter_modules(optimizer.__path__)}


def test_every_public_name_is_the_same_object_when_imported_again():
    code = """
import json, optimizer, importlib, types
first = {n: getattr(optimizer, n) for n in optimizer.__all__}
second = {n: getattr(optimizer, n) for n in optimizer.__all__}
namespace = {}
exec("from optimizer import *", namespace)
bad = [n for n in first if not first[n] is second[n] is namespace[n] or isinstance(first[n], types.ModuleType)]
print(json.dumps([len(first), bad]))
"""
    assert python(code) == [len(optimizer.__all__), []]


@pytest.mark.parametrize("name", optimizer.__all__)
def test_a_public_name_says_what_it_is(name):
    assert getattr(optimizer, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = optimizer.optimise


HEAVY = ["numpy", "pandas", "pydantic", "ortools", "pulp", "rich", "solvers", "click"]


def test_importing_the_package_imports_nothing_heavy():
    assert python(f"import json, sys, optimizer; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))") == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_imports_nothing_heavy_but_click(argument):
    code = f"""
import json, sys
from optimizer.cli import main
try:
    main([{argument!r}])
except SystemExit as stop:
    ours = sorted(m for m in sys.modules if m.startswith("optimizer"))
    print(json.dumps([stop.code, [m for m in {HEAVY} if m in sys.modules], ours]))
"""
    code, heavy, ours = python(code)
    assert (code, heavy) == (0, ["click"])
    assert ours == ["optimizer", "optimizer.cli", "optimizer.cli.main", "optimizer.errors"]


def test_reading_imports_neither_solvers_nor_pandas():
    code = f"import json, sys, optimizer; optimizer.load_instance; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert python(code) == ["pydantic"]
