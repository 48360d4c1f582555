"""The JSON Schema, and the catalogs that are shipped."""

from __future__ import annotations

import json

import pytest

from optimizer import read
from optimizer.instance import Match
from optimizer.read import instance_schema, load_catalogs, load_instance
from tests.optimizer.files import changed, refusals, small, written


def unknown_to(schema, shape, value, where=""):
    """Yield places of a document that a JSON Schema has no place for or misses, by its properties and required fields alone."""
    while "$ref" in shape:
        shape = schema["$defs"][shape["$ref"].rpartition("/")[2]]
    for choice in ("anyOf", "oneOf"):
        if choice in shape:
            found = [list(unknown_to(schema, option, value, where)) for option in shape[choice]]
            yield from min(found, key=len)
            return
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "null": type(None),
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if "type" in shape and not isinstance(value, kinds[shape["type"]]):
        yield f"{where}: {shape['type']}"
    elif isinstance(value, dict) and "properties" in shape:
        assert shape["additionalProperties"] is False
        yield from (f"{where}/{name}: required" for name in shape.get("required", ()) if name not in value)
        for name, member in value.items():
            if name in shape["properties"]:
                yield from unknown_to(schema, shape["properties"][name], member, f"{where}/{name}")
            else:
                yield f"{where}/{name}: unknown"
    elif isinstance(value, list) and "items" in shape:
        for number, member in enumerate(value):
            yield from unknown_to(schema, shape["items"], member, f"{where}/{number}")


def test_the_schema_has_a_place_for_all_of_the_shipped_instance():
    shipped = json.loads((read.shipped_folder() / "nlp.json").read_text())
    assert list(unknown_to(instance_schema(), instance_schema(), shipped)) == []
    assert list(unknown_to(instance_schema(), instance_schema(), small())) == []


@pytest.mark.parametrize(
    "pointer", ["/zzz", "/policy/zzz", "/workloads/0/zzz", "/workloads/0/classes/0/rate/zzz", "/catalogs/offers/0/zzz"]
)
def test_the_schema_has_no_place_for_what_reading_refuses(pointer):
    assert list(unknown_to(instance_schema(), instance_schema(), changed(small(), pointer, 1))) != []


def test_every_field_of_a_match_is_in_the_schema():
    assert set(instance_schema()["$defs"]["Match"]["properties"]) == set(Match.model_fields)


def test_the_shipped_catalogs_are_those_of_the_shipped_instance():
    catalogs = load_catalogs()
    assert catalogs.offers == load_instance(read.shipped_folder() / "nlp.json").catalogs.offers


def test_a_folder_without_catalogs_is_refused_by_name(tmp_path):
    problems = refusals(lambda: load_catalogs(tmp_path))
    assert {"/catalogs/accelerators", "/catalogs/offers", "/catalogs/models"} <= {p.pointer for p in problems}


def test_catalogs_of_a_folder_are_judged(tmp_path):
    written(tmp_path, json.dumps([{"name": "m", "source": "s", "speed": 1}]), "models.json")
    written(tmp_path, "name,vendor\nx,y\n", "accelerators.csv")
    written(tmp_path, "provider,accelerator\np,z\n", "offers.csv")
    problems = refusals(lambda: load_catalogs(tmp_path))
    places = {(p.file.rpartition("/")[2], p.pointer) for p in problems}
    assert {
        ("models.json", "/0/speed"),
        ("accelerators.csv", "line 2, column kind"),
        ("offers.csv", "line 2, column accelerator"),
    } <= places
