"""Whatever bytes a file holds, reading it gives an instance or an error with an exit code, never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from optimizer.errors import AllocationError
from optimizer.instance import Instance
from optimizer.plan import load_plan
from optimizer.read import load_instance
from tests.optimizer.files import small, written
from tests.optimizer.test_tables import LARGE, PRICED, SMALL, beside, table

GENTLE = settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RARE = [
    "\x00",
    "\ud800",
    "\ud83d",
    "",
    "²",
    "١",
    "a" * 200,
    "../x",
    "/etc/passwd",
    "a\nb",
    "-1",
    "1e999",
    "NaN",
    "name",
    "w",
    "m",
    "small",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(RARE)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.sampled_from(RARE), inner, max_size=4),
)
LIMIT = {"name": "l", "match": {"provider": ["p"], "workload": "w"}, "max_accelerators": 4}
FULL = small(limits=[LIMIT], people=[], periods=[{"name": "always", "hours": 730, "per_month": 1}])


def outcome(read):
    """Give what reading gives; only an instance or an AllocationError that can be told may come of it."""
    try:
        return read()
    except AllocationError as error:
        found = error
    assert 2 <= found.exit_code <= 9
    assert str(found).encode("utf-8", "backslashreplace")
    return found


def places(value, path=()):
    yield path
    for key, member in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(member, (*path, key))


PLACES = [path for path in places(FULL) if path]


def replaced(document, path, value):
    fresh = json.loads(json.dumps(document))
    here = fresh
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return fresh


@seed(1)
@GENTLE
@given(values)
def test_any_json_is_an_instance_or_refused(tmp_path, value):
    outcome(lambda: load_instance(written(tmp_path, json.dumps(value))))


@seed(2)
@GENTLE
@given(st.sampled_from(PLACES), values)
def test_any_value_in_any_place_is_fine_or_refused(tmp_path, path, value):
    found = outcome(lambda: load_instance(written(tmp_path, json.dumps(replaced(FULL, path, value)))))
    assert isinstance(found, Instance) or found.exit_code == 6


@seed(3)
@GENTLE
@given(st.sampled_from([p for p in PLACES if isinstance(p[-1], str)]), st.text(max_size=6) | st.sampled_from(RARE), values)
def test_any_extra_field_is_refused(tmp_path, path, name, value):
    where = (*path[:-1], "extra " + name)
    open_ended = "peak_tflops" in path
    found = outcome(lambda: load_instance(written(tmp_path, json.dumps(replaced(FULL, where, value)))))
    assert isinstance(found, AllocationError) or open_ended


@seed(4)
@GENTLE
@given(st.lists(st.tuples(st.integers(0, len(json.dumps(FULL)) - 1), st.binary(max_size=3)), min_size=1, max_size=3))
def test_any_bytes_changed_are_fine_or_refused(tmp_path, cuts):
    raw = json.dumps(FULL).encode()
    for at, fresh in cuts:
        raw = raw[:at] + fresh + raw[at + 1 :]
    outcome(lambda: load_instance(written(tmp_path, raw)))


@seed(5)
@GENTLE
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.binary(max_size=3) | st.sampled_from([b'"', b",", b"\n", b"\r", b"."])), max_size=3
    )
)
def test_any_bytes_of_a_table_changed_are_fine_or_refused(tmp_path, cuts):
    raw = table(PRICED, SMALL, LARGE).encode()
    for at, fresh in cuts:
        raw = raw[:at] + fresh + raw[at + 1 :]
    outcome(lambda: load_instance(beside(tmp_path, raw)))


@seed(6)
@GENTLE
@given(
    st.text(max_size=30)
    | st.builds("{}={}".format, st.sampled_from(["/".join(map(str, ("", *p))) for p in PLACES]), st.text(max_size=6))
)
def test_any_set_is_made_or_refused(tmp_path, change):
    outcome(lambda: load_instance(written(tmp_path, FULL), set_values=[change]))


@seed(7)
@GENTLE
@given(values)
def test_any_json_is_a_plan_or_refused(tmp_path, value):
    outcome(lambda: load_plan(written(tmp_path, json.dumps(value))))


@seed(8)
@GENTLE
@given(st.sampled_from(sorted(Instance.model_fields)), values)
def test_any_change_is_made_or_refused(name, value):
    found = outcome(lambda: Instance.model_validate_json(json.dumps(FULL)).replace(**{name: value}))
    assert isinstance(found, Instance | AllocationError)


def test_the_document_that_is_mutated_is_valid(tmp_path):
    assert load_instance(written(tmp_path, FULL)).limits[0].name == "l"


@pytest.mark.parametrize("path", PLACES, ids=lambda p: "/".join(map(str, p)))
def test_a_list_a_number_or_nothing_in_any_place_is_fine_or_refused(tmp_path, path):
    for value in ([], {}, [[]], [{}], {"": []}, 5, None, "x"):
        outcome(lambda value=value: load_instance(written(tmp_path, replaced(FULL, path, value))))
