"""Changed copies of an instance and ``--set``: judged like what a file holds."""

from __future__ import annotations

import pytest

from optimizer.errors import UsageError
from optimizer.instance import Policy
from optimizer.read import load_instance
from tests.optimizer.files import refusals, refused_document, small, written
from tests.optimizer.tiny import instance, two_types, workload


def test_replace_gives_a_changed_copy_and_leaves_the_original():
    before = instance(**two_types(10))
    after = before.replace(name="after", policy={"utilization_cap": 0.5}, workloads=[w.model_dump() for w in before.workloads])
    assert (before.name, after.name, after.policy) == ("tiny", "after", Policy(utilization_cap=0.5))
    assert after.catalogs == before.catalogs
    assert after.hash != before.hash
    assert before.replace() == before


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"policy": {"utilization_cap": 92.5}}, ["/policy/utilization_cap"]),
        ({"policy": Policy().model_copy(update={"utilization_cap": 92.5})}, ["/policy/utilization_cap"]),
        ({"policy": Policy().model_copy(update={"utilization_cap": float("nan")})}, ["/policy/utilization_cap"]),
        ({"workloads": ()}, ["/workloads"]),
        ({"objective": "profit"}, ["/objective"]),
        ({"nmae": "x"}, ["/nmae"]),
        ({"as_of": "2026-02-30"}, ["/as_of"]),
        ({"name": object()}, ["/name"]),
        ({"name": "\ud800"}, ["/name"]),
        ({"as_of": 5, "schema_version": "1"}, ["/as_of", "/schema_version"]),
        ({"workloads": [workload("w", 1, model="other")]}, ["/workloads/0/model"]),
    ],
)
def test_replace_judges_a_change_as_a_file_would_be(changes, pointers):
    assert [p.pointer for p in refusals(lambda: instance(**two_types(10)).replace(**changes))] == pointers


@pytest.mark.parametrize(
    ("change", "read_back", "value"),
    [
        ("policy.utilization_cap=0.5", lambda i: i.policy.utilization_cap, 0.5),
        ("/policy/utilization_cap=0.5", lambda i: i.policy.utilization_cap, 0.5),
        ("workloads.0.latency.0.at_most_ms=800", lambda i: i.workloads[0].latency[0].at_most_ms, 800.0),
        ("workloads.w.classes.q.rate.value=7", lambda i: i.workloads[0].classes[0].rate.value, 7.0),
        ("/workloads/w/note=a=b, c", lambda i: i.workloads[0].note, "a=b, c"),
        ("catalogs.accelerators.large.memory_gib=96", lambda i: i.accelerators["large"].memory_gib, 96.0),
        ('workloads.w.regions_allowed=["r"]', lambda i: i.workloads[0].regions_allowed, ("r",)),
        ("workloads.w.team=search", lambda i: i.workloads[0].team, "search"),
        ('workloads.w.team="search"', lambda i: i.workloads[0].team, "search"),
        ("workloads.w.team=null", lambda i: i.workloads[0].team, None),
        ("description=", lambda i: i.description, ""),
        ("policy.run_to_run_spread_factor.value=2", lambda i: i.policy.run_to_run_spread_factor.value, 2.0),
    ],
)
def test_set_changes_one_place_by_index_name_or_pointer(tmp_path, change, read_back, value):
    assert read_back(load_instance(written(tmp_path, small()), set_values=[change])) == value


def test_set_finds_names_with_dots_and_slashes_by_pointer(tmp_path):
    path = written(tmp_path, small(workloads=[workload("chat-3.1/a~b", 1)]))
    with pytest.raises(UsageError, match="no member 'chat-3'"):
        load_instance(path, set_values=["workloads.chat-3.1/a~b.note=x"])


def test_a_pointer_escapes_slashes(tmp_path):
    path = written(tmp_path, small(workloads=[workload("chat-3.1/a", 1)]))
    assert load_instance(path, set_values=["/workloads/chat-3.1~1a/note=x"]).workloads[0].note == "x"


def test_later_sets_see_earlier_ones(tmp_path):
    sets = ["workloads.w.name=v", "workloads.v.note=seen"]
    assert load_instance(written(tmp_path, small()), set_values=sets).workloads[0].note == "seen"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("policy.utilization_cap", "expected PATH=VALUE"),
        ("=5", "expected PATH=VALUE"),
        ("", "expected PATH=VALUE"),
        ("workloads.v.note=x", "no member 'v'"),
        ("workloads.7.note=x", "no member '7'"),
        ("workloads.-1.note=x", "no member '-1'"),
        ("workloads.².note=x", "no member '²'"),
        ("workloads." + "9" * 5000 + ".note=x", "no member"),
        ("name.first=x", "nothing below"),
        ("name.first.second=x", "nothing below"),
        ("policy.utilization_cap=NaN", "not a number"),
        ("policy.utilization_cap=1e999", "binary64 cannot hold"),
        ("policy=" + "[" * 100_000, "nesting deeper"),
        ('policy={"a": 1, "a": 2}', "twice"),
        ("description=\udcff", "not UTF-8"),
    ],
)
def test_a_set_that_cannot_be_made_is_a_usage_error(tmp_path, change, told):
    with pytest.raises(UsageError, match=told):
        load_instance(written(tmp_path, small()), set_values=[change])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ("polcy.utilization_cap=0.5", "/polcy"),
        ("policy.utilization_cap=92.5", "/policy/utilization_cap"),
        ("policy.utilization_cap=half", "/policy/utilization_cap"),
        ("policy.utilization_cap=true", "/policy/utilization_cap"),
        ("workloads.w.model=n", "/workloads/0/model"),
        ("/=1", "/"),
    ],
)
def test_what_was_set_is_judged_like_what_was_written(tmp_path, change, pointer):
    assert [p.pointer for p in refused_document(tmp_path, small(), set_values=[change])] == [pointer]
