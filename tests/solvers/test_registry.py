"""Names and imports: lazy, in any order, each name what it says."""

import importlib.metadata
import pkgutil

import pytest

import solvers
from solvers import BackendUnavailableError, available_backends, get_backend, registry
from tests.solvers.small import run_python


def test_public_names_are_sorted_and_stay_what_they_are():
    """Each is fetched twice, in a fresh process, since a submodule of that name would replace it."""
    code = """
import solvers, types
for name in solvers.__all__:
    first, second = getattr(solvers, name), getattr(solvers, name)
    assert first is second and not isinstance(first, types.ModuleType), name
assert list(solvers.__all__) == sorted(solvers.__all__) == dir(solvers)
print("fine")
"""
    assert run_python(code).stdout == "fine\n"


def test_no_public_name_is_a_submodules_name():
    assert not {m.name for m in pkgutil.iter_modules(solvers.__path__)} & set(solvers.__all__)


def test_all_names_have_a_home():
    assert sorted(solvers._PLACE) == solvers.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        _ = solvers.Modell  # type: ignore[attr-defined]


def test_importing_and_listing_imports_no_solver():
    code = """
import sys, solvers
assert "numpy" not in sys.modules
solvers.Model, solvers.SolveOptions, solvers.backend_names(), solvers.get_backend("cbc"), solvers.get_backend("ortools:scip")
print(sorted(x for x in sys.modules if x.split(".")[0] in ("pulp", "ortools", "pandas", "scipy")))
"""
    assert run_python(code).stdout == "[]\n"


@pytest.mark.parametrize("order", ["cbc ortools", "ortools cbc"])
def test_both_backends_load_in_either_order(order):
    code = f"""
from solvers import get_backend
for name in "{order}".split() * 2:
    get_backend(name).prove()
import pulp, ortools
print("fine")
"""
    done = run_python(code)
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.parametrize("order", ["pulp, ortools.math_opt.core.python.solver", "ortools.math_opt.core.python.solver, pulp"])
def test_both_libraries_load_in_either_order(order):
    done = run_python(
        f"import {order}; from solvers import get_backend; get_backend('cbc').prove(); get_backend('ortools').prove()"
    )
    assert done.returncode == 0, done.stderr


def test_all_built_in_backends_prove_themselves():
    found = {a.name: a for a in available_backends()}
    assert set(registry.BUILT_IN) <= set(found)
    for name in registry.BUILT_IN:
        assert found[name].is_available, found[name].problem
        assert found[name].version


def test_auto_is_the_first_that_proves_itself(monkeypatch):
    assert get_backend().name == "ortools"
    monkeypatch.setitem(registry.BUILT_IN, "ortools", "nowhere:Nothing")
    assert get_backend("auto").name == "cbc"
    monkeypatch.setitem(registry.BUILT_IN, "cbc", "nowhere:Nothing")
    with pytest.raises(BackendUnavailableError, match=r"no backend works here: .*'ortools' does not load.*'cbc' does not load"):
        get_backend("auto")


def test_auto_proves_itself_once_in_a_process(monkeypatch):
    get_backend("auto")
    monkeypatch.setattr("solvers.ortools.OrtoolsBackend.prove", None)
    assert get_backend("auto").name == "ortools"


def test_built_in_names_are_not_looked_for_among_entry_points(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", None)
    assert [get_backend(name).name for name in ("auto", "cbc", "ortools:scip")] == ["ortools", "cbc", "ortools:scip"]


def test_a_backend_that_fails_is_listed_with_its_reason(monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "ortools", "solvers.ortools:Missing")
    (broken, *_) = available_backends()
    assert (broken.name, broken.is_available) == ("ortools", False)
    assert "does not load" in broken.problem


@pytest.mark.parametrize("name", ["glpk", "cbc:x", "ortools:glpk", ""])
def test_an_unknown_backend_is_unavailable(name):
    with pytest.raises(BackendUnavailableError):
        get_backend(name)


def test_entry_points_add_backends_and_cannot_replace_built_in_ones(monkeypatch):
    points = [
        importlib.metadata.EntryPoint("mine", "solvers.cbc:CbcBackend", "allocate.backends"),
        importlib.metadata.EntryPoint("cbc", "nowhere:Evil", "allocate.backends"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    assert registry.backend_names() == ("ortools", "cbc", "mine")
    assert get_backend("mine").name == "cbc"
    get_backend("cbc").prove()
