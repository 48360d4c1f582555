"""Files that are no document: each refused with its file, its place and what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from optimizer.documents import MAX_DEPTH, read_document, strict_json, text_of
from optimizer.read import load_instance
from tests.optimizer.files import refusals, small, written


def only(problems):
    assert len(problems) == 1, problems
    return problems[0]


def test_a_missing_file_is_told_with_what_lies_beside_it(tmp_path):
    written(tmp_path, small(), "other.json")
    problem = only(refusals(lambda: load_instance(tmp_path / "mine.json")))
    assert problem.file == str(tmp_path / "mine.json")
    assert problem.found == "no such file"
    assert "other.json" in problem.hint


def test_a_missing_folder_is_a_missing_file(tmp_path):
    assert only(refusals(lambda: load_instance(tmp_path / "no" / "mine.json"))).hint == "check the path"


def test_a_folder_is_no_file(tmp_path):
    assert "directory" in only(refusals(lambda: load_instance(tmp_path))).found


@pytest.mark.parametrize("name", ["a\0b.json", "a\ud800.json"])
def test_a_name_no_file_can_have_is_refused(tmp_path, name):
    assert only(refusals(lambda: load_instance(tmp_path / name))).found == "a name that no file can have"


@pytest.mark.parametrize(
    ("text", "found", "place"),
    [
        ("", "Expecting value", "line 1, column 1"),
        ('{"a": 1,}', "property name", "line 1, column"),
        ('{\n"a" 1}', "':' delimiter", "line 2, column 5"),
        ('{"a": 1} {}', "Extra data", "line 1, column 10"),
        ("schema_version: 1", "Expecting value", "line 1, column 1"),
    ],
)
def test_what_is_not_json_is_told_by_line_and_column(tmp_path, text, found, place):
    problem = only(refusals(lambda: load_instance(written(tmp_path, text))))
    assert problem.found.startswith("not JSON: ")
    assert found in problem.found
    assert problem.pointer.startswith(place)


@pytest.mark.parametrize("raw", [b'{"name": "\xff"}', json.dumps(small()).encode("utf-16"), "é".encode("latin-1")])
def test_what_is_not_utf8_is_told_so(tmp_path, raw):
    problem = only(refusals(lambda: load_instance(written(tmp_path, raw))))
    assert "not UTF-8" in problem.found
    assert problem.hint == "save the file as UTF-8"


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(small()).encode())
    assert load_instance(path).name == "tiny"


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null"])
def test_a_document_is_an_object(tmp_path, text):
    assert only(refusals(lambda: read_document(written(tmp_path, text)))).expected == "an object"


def test_a_key_twice_is_refused_and_not_the_last_taken(tmp_path):
    text = json.dumps(small()).replace('"name": "tiny"', '"name": "tiny", "name": "other"')
    assert "the key 'name' twice" in only(refusals(lambda: load_instance(written(tmp_path, text)))).found


def test_a_key_twice_among_many_is_found_by_counting_once():
    """Counting each of n names by a pass over all n would take minutes here: 200,000 names, the last one twice."""
    text = "{" + ",".join(f'"k{n}":0' for n in range(200_000)) + ',"k199999":1}'
    with pytest.raises(ValueError, match="the key 'k199999' twice"):
        strict_json(text)


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e-400", "-0.0001e-330", "1." + "0" * 60, "1" + "0" * 18, "9" * 4300, "9" * 5000]
)
def test_a_number_that_overflows_vanishes_or_never_ends_is_refused(number):
    with pytest.raises(ValueError, match=r"binary64 cannot hold|too long"):
        strict_json(f'{{"price": {number}}}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(ValueError, match="not a number an instance may hold"):
        strict_json(f"[{number}]")


@pytest.mark.parametrize(
    ("text", "value"), [("0.0", 0.0), ("0e-999", 0.0), ("-0.0", 0.0), ("5e-324", 5e-324), ("1" * 18, int("1" * 18))]
)
def test_a_number_that_binary64_holds_is_read(text, value):
    assert strict_json(text) == value


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 300 + "]" * 300, '{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2)])
def test_deep_nesting_is_refused(text):
    with pytest.raises(ValueError, match=f"nesting deeper than {MAX_DEPTH} levels"):
        strict_json(text)


def test_nesting_up_to_the_limit_is_read():
    assert strict_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_read(tmp_path):
    content = json.dumps(small(description="half"))
    half = only(refusals(lambda: load_instance(written(tmp_path, content.replace("half", "\\ud83d")))))
    assert "half a surrogate pair" in half.found
    assert load_instance(written(tmp_path, content.replace("half", "\\ud83d\\ude00"))).description == "😀"


def test_a_file_that_is_too_large_is_refused_with_the_way_to_read_it(tmp_path):
    path = written(tmp_path, small())
    size = path.stat().st_size
    assert load_instance(path, max_bytes=size).name == "tiny"
    problem = only(refusals(lambda: load_instance(path, max_bytes=size - 1)))
    assert problem.found == f"{size} bytes"
    assert "ALLOCATE_MAX_BYTES" in problem.hint


def test_a_device_without_end_is_refused():
    problem = only(refusals(lambda: text_of(Path("/dev/zero"), max_bytes=1000)))
    assert problem.found == "more than 1000 bytes"


def test_a_pipe_is_read(tmp_path):
    import threading

    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(json.dumps(small()),), daemon=True)
    writer.start()
    assert load_instance(path).name == "tiny"
    writer.join(timeout=10)


TOML = """
schema_version = 1
name = "tiny"
as_of = 2026-11-22
[[workloads]]
name = "w"
kind = "serving"
model = "m"
classes = [{name = "q", rate = {value = 10.0}}]
[catalogs]
accelerators = [{name = "a", vendor = "v", kind = "gpu", family = "f", memory_gib = 80, precisions = ["fp16"], source = "s"}]
models = [{name = "m", source = "s"}]
[[catalogs.offers]]
provider = "p"
region = "r"
instance_type = "t"
accelerator = "a"
accelerators_per_instance = 1
prices = [{option = "on_demand", usd_per_hour = 1.0, as_of = 2026-11-01, source = "s"}]
"""


def test_an_instance_in_toml_is_read_with_its_days(tmp_path):
    instance = load_instance(written(tmp_path, TOML, "instance.toml"))
    assert instance.as_of == "2026-11-22"
    assert instance.catalogs.offers[0].prices[0].usd_per_hour == 1.0


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("usd_per_hour = 1.0", "usd_per_hour = nan", "nan"),
        ("usd_per_hour = 1.0", "usd_per_hour = -inf", "-inf"),
        ("usd_per_hour = 1.0", "usd_per_hour = 1e999", "1e999"),
        ("usd_per_hour = 1.0", "usd_per_hour = 1e-400", "1e-400"),
        ("usd_per_hour = 1.0", "usd_per_hour = 0x" + "f" * 8000, "too long"),
        ('name = "tiny"', 'name = "tiny"\nname = "other"', "overwrite"),
        ('name = "tiny"', "name = ", "Invalid value"),
        ('name = "tiny"', "name = " + "[" * 5000 + "]" * 5000, "nesting deeper"),
    ],
)
def test_toml_is_as_strict_as_json(tmp_path, old, new, found):
    path = written(tmp_path, TOML.replace(old, new), "instance.toml")
    assert found in only(refusals(lambda: load_instance(path))).found


def test_a_day_in_toml_with_an_hour_is_no_day(tmp_path):
    path = written(tmp_path, TOML.replace("as_of = 2026-11-22", "as_of = 2026-11-22T10:00:00Z"), "instance.toml")
    assert {p.pointer for p in refusals(lambda: load_instance(path))} == {"/as_of"}
