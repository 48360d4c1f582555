"""Instances that are wrong: every problem told at once, each with its place, what was found and what to do."""

from __future__ import annotations

import json

import pytest

from optimizer import read
from optimizer.instance import Instance
from optimizer.read import load_instance
from tests.optimizer.files import changed, refusals, refused_document, small, written
from tests.optimizer.tiny import accelerator, instance, model, offer, two_types, workload

PRICE = "/catalogs/offers/0/prices/0/usd_per_hour"
CAP = "/policy/utilization_cap"


def refused(folder, pointer, value):
    """Give the one problem of a document with one place changed."""
    problems = refused_document(folder, changed(small(), pointer, value))
    assert [p.pointer for p in problems] == [pointer], problems
    return problems[0]


# -- numbers ----------------------------------------------------------------------------------------------------------------


def test_a_percentage_where_a_fraction_belongs_is_refused_with_the_fraction_meant(tmp_path):
    problem = refused(tmp_path, CAP, 92.5)
    assert problem.found == "92.5"
    assert "did you mean 0.925?" in problem.hint


def test_a_fraction_just_above_one_is_no_percentage(tmp_path):
    assert refused(tmp_path, CAP, 1.5).hint == ""


def test_an_accuracy_floor_in_percent_is_refused_with_the_fraction_meant(tmp_path):
    floor = {"metric": "f1", "evaluation": "squad", "floor_fraction_of_baseline": 99.9}
    (problem,) = refused_document(tmp_path, small(workloads=[workload("w", 1, accuracy=floor)]))
    assert problem.pointer == "/workloads/0/accuracy/floor_fraction_of_baseline"
    assert "did you mean 0.999?" in problem.hint


@pytest.mark.parametrize("price", [-1.0, 0.0, 0, -0.0, 1e-7, 1e10])
def test_a_price_outside_what_a_price_can_be_is_refused(tmp_path, price):
    assert refused(tmp_path, PRICE, price).found == repr(price)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1e-400", "9" * 4300])
def test_a_price_that_is_no_finite_number_is_refused(tmp_path, text):
    content = json.dumps(changed(small(), PRICE, "here")).replace('"here"', text)
    (problem,) = refused_document(tmp_path, content)
    assert text[:30] in problem.found


@pytest.mark.parametrize("value", [True, False, "5", " 5", "1_000", "١٢٣", None, [1.0], {"usd": 1.0}])
def test_what_looks_like_a_number_is_not_taken_for_one(tmp_path, value):
    assert refused(tmp_path, PRICE, value).expected == "a valid number"


@pytest.mark.parametrize("rate", [1e-300, 9e-7, 1.1e12, -1.0, {"always": 1e-300}])
def test_a_rate_that_nobody_has_is_refused(tmp_path, rate):
    content = changed(small(), "/workloads/0/classes/0/rate/value", rate)
    (problem,) = refused_document(tmp_path, content)
    assert problem.pointer.startswith("/workloads/0/classes/0/rate")


@pytest.mark.parametrize("rate", [0, -0.0, {"always": 0.0}])
def test_a_question_without_any_demand_is_refused(tmp_path, rate):
    (problem,) = refused_document(tmp_path, changed(small(), "/workloads/0/classes/0/rate/value", rate))
    assert (problem.pointer, problem.found) == ("/workloads", "no demand: every rate is 0")


def test_a_workload_without_demand_beside_others_is_read(tmp_path):
    path = written(tmp_path, small(workloads=[workload("v", 0.0), workload("w", {"a": 0.0, "b": 1e-6})]))
    assert len(load_instance(path).workloads) == 2


@pytest.mark.parametrize("value", [True, "1", 1.5, 0, -1])
def test_what_is_no_count_is_not_taken_for_one(tmp_path, value):
    refused(tmp_path, "/catalogs/offers/0/accelerators_per_instance", value)


@pytest.mark.parametrize("value", [1, 0, "false", None])
def test_what_is_no_truth_is_not_taken_for_one(tmp_path, value):
    assert refused(tmp_path, "/policy/include_preview", value).expected == "a valid boolean"


# -- names, fields and references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pointer", "near"),
    [
        ("/policy/utilisation_cap", "utilization_cap"),
        ("/workload", "workloads"),
        ("/workloads/0/max_spot_fracton", "max_spot_fraction"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_one(tmp_path, pointer, near):
    problem = refused(tmp_path, pointer, 0.5)
    assert problem.found == "a field this schema does not have"
    assert repr(near) in problem.hint


def test_an_unknown_field_like_no_other_has_no_hint(tmp_path):
    assert refused(tmp_path, "/zzzzzz", 1).hint == ""


def test_a_missing_field_is_told_by_its_place(tmp_path):
    content = small()
    del content["catalogs"]["offers"][0]["region"]
    (problem,) = refused_document(tmp_path, content)
    assert (problem.pointer, problem.found) == ("/catalogs/offers/0/region", "nothing")


@pytest.mark.parametrize(
    ("pointer", "word", "near"),
    [
        ("/catalogs/offers/0/accelerator", "smal", "small"),
        ("/catalogs/profiles/0/accelerator", "Small", "small"),
        ("/catalogs/profiles/0/model", "mm", "m"),
        ("/workloads/0/model", "M", "m"),
    ],
)
def test_a_name_that_points_nowhere_is_refused_with_the_nearest(tmp_path, pointer, word, near):
    problem = refused(tmp_path, pointer, word)
    assert problem.found == repr(word)
    assert repr(near) in problem.hint


def test_an_alias_is_as_good_as_a_name(tmp_path):
    types = [accelerator("small", aliases=["tiny"]), accelerator("large")]
    offers = [offer("tiny", 1, 1.0, instance_type="t"), offer("large", 1, 3.0)]
    found = load_instance(written(tmp_path, small(accelerators=types, offers=offers)))
    assert found.accelerators["tiny"].name == "small"


@pytest.mark.parametrize("field", ["provider", "region", "zone", "instance_type", "accelerator", "family", "kind", "option"])
def test_a_limit_on_what_no_offer_has_is_refused(tmp_path, field):
    limits = [{"name": "l", "match": {field: ["elsewhere"]}, "max_accelerators": 1}]
    (problem,) = refused_document(tmp_path, small(limits=limits))
    assert problem.pointer == f"/limits/0/match/{field}"


@pytest.mark.parametrize("field", ["team", "workload"])
def test_a_limit_on_nobody_is_refused(tmp_path, field):
    limits = [{"name": "l", "match": {field: "elsewhere"}, "max_accelerators": 1}]
    assert refused_document(tmp_path, small(limits=limits))[0].pointer == f"/limits/0/match/{field}"


def test_a_limit_that_limits_nothing_is_refused(tmp_path):
    assert refused_document(tmp_path, small(limits=[{"name": "l", "match": {}}]))[0].found == "a limit that limits nothing"


def test_a_region_without_offers_is_refused(tmp_path):
    (problem,) = refused_document(tmp_path, small(workloads=[workload("w", 1, regions_allowed=["r", "R"])]))
    assert (problem.pointer, problem.hint) == ("/workloads/0/regions_allowed/1", "did you mean 'r'?")


@pytest.mark.parametrize("day", ["2026-02-30", "2026-11-31", "2025-02-29"])
def test_a_day_that_no_calendar_has_is_refused(tmp_path, day):
    assert refused(tmp_path, "/as_of", day).expected == "a day of the calendar"
    assert refused(tmp_path, "/catalogs/offers/0/prices/0/as_of", day).expected == "a day of the calendar"


@pytest.mark.parametrize("day", ["22.11.2026", "20261122", "2026-11-22T00:00:00", "2026-1-1", "٢٠٢٦-11-22"])
def test_a_day_is_written_in_one_way(tmp_path, day):
    assert {p.pointer for p in refused_document(tmp_path, changed(small(), "/as_of", day))} == {"/as_of"}


@pytest.mark.parametrize("name", ["w\n", "", " w", "\u0421hat", "a|b", "<b>", "w\x1b[31m", "=1+1", "w" * 121, "Ｗ", "w\u202e"])
def test_a_name_that_could_deceive_is_refused(tmp_path, name):
    """The C of "Сhat" is Cyrillic, one W is full-width."""
    problem = refused(tmp_path, "/workloads/0/name", name)
    assert problem.found.isascii() or problem.found.isprintable()


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "a\x00b", "a\u202eb", "\x9b31m", "a\rb"])
def test_text_that_moves_the_cursor_is_refused(tmp_path, text):
    assert refused(tmp_path, "/description", text).found.isprintable()


def test_text_may_have_lines_and_letters_of_any_script(tmp_path):
    content = changed(small(), "/description", "größer\n\tλ 模型 😀")
    assert load_instance(written(tmp_path, content)).description == "größer\n\tλ 模型 😀"


def test_a_field_name_with_a_newline_cannot_forge_a_line(tmp_path):
    problem = refused_document(tmp_path, changed(small(), "/x\nall is well", 1))[0]
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"workloads": [workload("w", 1), workload("w", 2)]}, "/workloads/1"),
        ({"accelerators": [accelerator("small"), accelerator("large"), accelerator("small")]}, "/catalogs/accelerators/2"),
        ({"accelerators": [accelerator("small", aliases=["large"]), accelerator("large")]}, "/catalogs/accelerators/1"),
        (
            {"accelerators": [accelerator("small"), accelerator("large", aliases=["s", "s"])]},
            "/catalogs/accelerators/1/aliases/1",
        ),
        ({"models": [model("m"), model("m")]}, "/catalogs/models/1"),
        (
            {"models": [model("m", {"precision": "fp16"}, {"precision": "fp16", "compression": "none"})]},
            "/catalogs/models/0/variants/1",
        ),
        ({"offers": [offer("small", 1, 1.0), offer("large", 1, 3.0), offer("small", 1, 2.0)]}, "/catalogs/offers/2"),
        ({"limits": [{"name": "l", "match": {}, "max_instances": n} for n in (1, 2)]}, "/limits/1"),
    ],
)
def test_the_second_of_two_of_a_name_is_refused(tmp_path, parts, pointer):
    (problem,) = refused_document(tmp_path, small(**parts))
    assert problem.pointer == pointer
    assert problem.found.endswith(" again")


def test_two_prices_of_one_option_are_refused(tmp_path):
    content = small()
    content["catalogs"]["offers"][1]["prices"] *= 2
    (problem,) = refused_document(tmp_path, content)
    assert (problem.pointer, problem.expected) == ("/catalogs/offers/1/prices/1", "one price an option")


def test_two_classes_of_one_name_are_refused(tmp_path):
    content = small()
    content["workloads"][0]["classes"] *= 2
    assert [p.pointer for p in refused_document(tmp_path, content)] == ["/workloads/0/classes/1"]


def test_rates_are_given_for_each_period_and_no_other(tmp_path):
    problem = refused(tmp_path, "/workloads/0/classes/0/rate/value", {"day": 1.0, "always": 2.0})
    assert problem.expected == "one rate for each of always"
    load_instance(written(tmp_path, changed(small(), "/workloads/0/classes/0/rate/value", {"always": 2.0})))


# -- all at once ------------------------------------------------------------------------------------------------------------


def test_mistakes_of_every_kind_are_told_in_one_run(tmp_path):
    content = small(objective="profit", workloads=[workload("w", 1), workload("w", -1, model="n")])
    changed(content, PRICE, "5")
    changed(content, CAP, 92.5)
    changed(content, "/polcy", {})
    changed(content, "/catalogs/profiles/1/accelerator", "lrge")
    content["catalogs"]["offers"][1]["prices"][0]["as_of"] = "2026-02-30"
    assert {p.pointer for p in refused_document(tmp_path, content)} == {
        PRICE,
        CAP,
        "/polcy",
        "/objective",
        "/workloads/1",
        "/workloads/1/model",
        "/workloads/1/classes/0/rate/value",
        "/catalogs/profiles/1/accelerator",
        "/catalogs/offers/1/prices/0/as_of",
    }


def test_each_problem_is_told_once(tmp_path):
    problems = refused_document(tmp_path, changed(small(), "/as_of", "yesterday"))
    assert len({(p.pointer, p.found) for p in problems}) == len(problems)


@pytest.mark.parametrize("version", [2, 99])
def test_a_newer_schema_is_refused_alone_with_what_to_do(tmp_path, version):
    content = small(schema_version=version, something_new={"from": "the future"})
    (problem,) = refused_document(tmp_path, content)
    assert problem.pointer == "/schema_version"
    assert "newer version of allocate" in problem.hint


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_what_is_no_schema_version_is_refused(tmp_path, version):
    refused(tmp_path, "/schema_version", version)


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        (
            {"workloads": [workload("w", 1, classes=[{"name": "q", "prefix_cached_fraction": 0.5, "rate": {"value": 1.0}}])]},
            "/workloads/0/classes/0/prefix_cached_fraction",
        ),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name_and_never_ignored(tmp_path, parts, pointer):
    content = small(**parts)
    (problem,) = refused_document(tmp_path, content)
    assert problem.pointer == pointer
    assert "not yet supported" in problem.found
    assert [p.pointer for p in refusals(lambda: Instance.model_validate_json(json.dumps(content)))] == [pointer]


def test_the_loss_of_every_region_is_refused_with_its_place(tmp_path):
    content = small(workloads=[workload("w", 1, redundancy=[{"event": "replicas"}, {"event": "region"}])])
    (problem,) = refused_document(tmp_path, content)
    assert problem.pointer == "/workloads/0/redundancy/1/event"
    assert problem.found == "the loss of every region it may use: p/r"


def test_an_instance_needs_a_workload_and_a_workload_a_class(tmp_path):
    assert refused(tmp_path, "/workloads", []).pointer == "/workloads"
    assert refused(tmp_path, "/workloads/0/classes", []).pointer == "/workloads/0/classes"


def test_an_unread_catalog_does_not_drown_the_rest_in_echoes(tmp_path):
    """Every offer and profile names an accelerator of the missing file; only the file and the other mistake are told."""
    content = changed(small(), "/policy/utilization_cap", 7.0)
    content["catalogs"]["accelerators"] = "missing.csv"
    problems = refused_document(tmp_path, content)
    assert [(p.file, p.pointer) for p in problems] == [
        (str(tmp_path / "missing.csv"), ""),
        (str(tmp_path / "instance.json"), "/policy/utilization_cap"),
    ]


# -- the whole --------------------------------------------------------------------------------------------------------------


def test_ten_thousand_workloads_are_read_and_judged_once(tmp_path, monkeypatch):
    calls = {"references": 0, "instance": 0}
    judge = read.reference_problems

    def counted(*args, **named):
        calls["references"] += 1
        return judge(*args, **named)

    def never(*args):
        calls["instance"] += 1
        return []

    monkeypatch.setattr(read, "reference_problems", counted)
    monkeypatch.setattr("optimizer.instance.whole.reference_problems", never)
    content = small(workloads=[workload(f"w{n}", n % 90 + 1) for n in range(10_000)])
    assert len(load_instance(written(tmp_path, content)).workloads) == 10_000
    assert calls == {"references": 1, "instance": 0}


def test_ten_thousand_wrong_words_are_told_with_one_search_a_word(tmp_path, monkeypatch):
    searched = []
    monkeypatch.setattr("difflib.get_close_matches", lambda word, *rest, **named: searched.append(word) or [])
    content = small(workloads=[workload(f"w{n}", 1, model="no-such-model") for n in range(10_000)])
    assert len(refused_document(tmp_path, content)) == 10_000
    assert len(searched) == 1


def test_the_hash_is_stable_and_blind_to_how_the_file_is_written(tmp_path):
    first = load_instance(written(tmp_path, json.dumps(small(), indent=4)))
    second = load_instance(written(tmp_path, json.dumps(dict(reversed(small().items()))), "second.json"))
    explicit = load_instance(written(tmp_path, small(time_zone="UTC", objective="cost", limits=[]), "third.json"))
    assert first.hash == second.hash == explicit.hash == instance(**two_types(10)).hash
    assert len(first.hash) == 64


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        (PRICE, 1.0000000000000002),
        ("/name", "other"),
        (CAP, 0.99),
        ("/workloads/0/note", "x"),
        ("/catalogs/profiles/0/load/value", 5.5),
    ],
)
def test_the_hash_moves_with_every_part_of_the_question(tmp_path, pointer, value):
    before = load_instance(written(tmp_path, small())).hash
    assert load_instance(written(tmp_path, changed(small(), pointer, value))).hash != before


def test_the_order_of_workloads_is_part_of_the_hash(tmp_path):
    two = [workload("a", 1), workload("b", 2)]
    hashes = {load_instance(written(tmp_path, small(workloads=order))).hash for order in (two, two[::-1])}
    assert len(hashes) == 2
