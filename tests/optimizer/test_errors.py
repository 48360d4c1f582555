"""The error tree: exit codes as the contract has them, messages that hold every fact."""

from __future__ import annotations

import pytest

from optimizer import errors
from optimizer.errors import AllocationError, InvalidInputError, Problem

CODES = {
    "AllocationError": 1,
    "UnavailableError": 9,
    "UsageError": 2,
    "InfeasibleError": 3,
    "NoPlanError": 4,
    "BackendFailedError": 5,
    "BusyError": 8,
    "InvalidInputError": 6,
    "CheckFailedError": 7,
    "VerificationError": 1,
    "InterruptedByUserError": 130,
}


def test_every_error_has_the_exit_code_of_the_contract():
    found = {n: getattr(errors, n).exit_code for n in errors.__all__ if n != "Problem"}
    assert found == CODES


@pytest.mark.parametrize("name", sorted(set(CODES) - {"AllocationError"}))
def test_every_error_has_the_one_parent(name):
    assert getattr(errors, name).__bases__ == (AllocationError,)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_tree_in_the_docstring_is_the_tree(name):
    assert f"{name} ({CODES[name]})" in errors.__doc__


def test_a_problem_is_one_line_of_place_found_expected_and_hint():
    assert str(Problem("f", "/a", "1", "2", "do so")) == "/a: found 1, expected 2; do so"
    assert str(Problem("f", "", "no such file", "")) == "no such file"


def test_problems_are_told_file_by_file_in_the_order_they_were_found():
    problems = [
        Problem("b", "/1", "x", ""),
        Problem("a", "/2", "y", ""),
        Problem("b", "/3", "z", "w"),
        Problem(None, "", "v", ""),
    ]
    assert str(InvalidInputError("it cannot be", problems)).splitlines() == [
        "it cannot be",
        "b: 2 problems",
        "  /1: x",
        "  /3: found z, expected w",
        "a: 1 problem",
        "  /2: y",
        "  v",
    ]


def test_the_facts_need_no_parsing():
    error = InvalidInputError("m", (p for p in [Problem("f", "/a", "1", "2")]))
    assert error.problems[0].pointer == "/a"
    assert error.message == "m"
    assert str(AllocationError("plain")) == "plain"
