"""Catalogs beside the instance: tables and lists, each problem told by file, line and column."""

from __future__ import annotations

import json

import pytest

from optimizer.read import load_instance
from tests.optimizer.files import refusals, small, table, written
from tests.optimizer.tiny import accelerator

OFFER = ("provider", "region", "instance_type", "accelerator", "accelerators_per_instance")
PRICED = (*OFFER, *(f"prices.0.{f}" for f in ("option", "usd_per_hour", "as_of", "source")))
SMALL = ("p", "r", "smallx1", "small", 1, "on_demand", 1.0, "2026-11-01", "made up")
LARGE = ("p", "r", "largex1", "large", 1, "on_demand", 3.0, "2026-11-01", "made up")


def beside(folder, offers, name="offers.csv"):
    """Write the small instance with its offers in a file of this text; give the instance's path."""
    written(folder, offers, name)
    content = small()
    content["catalogs"]["offers"] = name
    return written(folder, content)


def rows_of(text):
    """Give the cells of the second line of a table without quotes."""
    return text.splitlines()[1].split(",")


def told(folder, offers, name="offers.csv"):
    """Give (file name, place, found) of all problems."""
    problems = refusals(lambda: load_instance(beside(folder, offers, name)))
    return [(p.file.rpartition("/")[2], p.pointer, p.found) for p in problems]


def test_a_table_is_read_as_the_records_it_holds(tmp_path):
    inline = load_instance(written(tmp_path, small(), "inline.json"))
    assert load_instance(beside(tmp_path, table(PRICED, SMALL, LARGE))).catalogs == inline.catalogs


def test_a_list_in_a_file_is_read_as_if_it_stood_inline(tmp_path):
    inline = load_instance(written(tmp_path, small(), "inline.json"))
    offers = json.dumps(small()["catalogs"]["offers"])
    assert load_instance(beside(tmp_path, offers, "offers.json")).hash == inline.hash


def test_tables_add_up(tmp_path):
    written(tmp_path, table(PRICED, SMALL), "a.csv")
    written(tmp_path, table(PRICED, LARGE), "b.csv")
    content = small()
    content["catalogs"]["offers"] = ["a.csv", "b.csv"]
    assert load_instance(written(tmp_path, content)).hash == load_instance(written(tmp_path, small())).hash


def test_a_problem_in_the_second_of_two_tables_names_its_line_there(tmp_path):
    written(tmp_path, table(PRICED, SMALL), "a.csv")
    written(tmp_path, table(PRICED, LARGE, (*LARGE[:2], "other", "lrge", *LARGE[4:])), "b.csv")
    content = small()
    content["catalogs"]["offers"] = ["a.csv", "b.csv"]
    (problem,) = refusals(lambda: load_instance(written(tmp_path, content)))
    assert (problem.file, problem.pointer) == (str(tmp_path / "b.csv"), "line 3, column accelerator")
    assert problem.hint == "did you mean 'large'?"


@pytest.mark.parametrize(
    "cell",
    ["-1", "0", "NaN", "nan", " nan ", "inf", "1e999", "1e-400", "1_000", "١٢٣", "5 USD", "1,5", "0x10", "--5", "1" * 50],
)
def test_a_cell_that_is_no_price_is_told_by_file_line_and_column(tmp_path, cell):
    rows = table(PRICED, SMALL, (*LARGE[:6], cell, *LARGE[7:]))
    ((file, place, found),) = told(tmp_path, rows)
    assert (file, place) == ("offers.csv", "line 3, column prices.0.usd_per_hour")
    assert found.strip("'").strip() in (cell.strip(), "0.0", "-1.0")


@pytest.mark.parametrize(("cell", "price"), [("5.", 5.0), (".5", 0.5), ("+5", 5.0), ("5e-1", 0.5), ("05", 5.0)])
def test_a_cell_that_is_a_price_is_read(tmp_path, cell, price):
    rows = table(PRICED, (*SMALL[:6], cell, *SMALL[7:]), LARGE)
    assert load_instance(beside(tmp_path, rows)).catalogs.offers[0].prices[0].usd_per_hour == price


@pytest.mark.parametrize("cell", ["1.5", "true", "one", "1e0", "0", "9" * 30])
def test_a_cell_that_is_no_count_is_told(tmp_path, cell):
    rows = table(PRICED, (*SMALL[:4], cell, *SMALL[5:]))
    assert [(f, p) for f, p, _ in told(tmp_path, rows)] == [("offers.csv", "line 2, column accelerators_per_instance")]


def test_every_row_with_the_wrong_number_of_cells_is_told(tmp_path):
    rows = table(PRICED, SMALL, LARGE[:-1], (*LARGE, "more"))
    assert told(tmp_path, rows) == [("offers.csv", "line 3", "8 cells"), ("offers.csv", "line 4", "10 cells")]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ((*PRICED[:-1], "prices.0.sauce"), "unknown columns ['prices.0.sauce']"),
        ((*PRICED[:-1], "prices.²"), "unknown columns ['prices.²']"),
        ((*PRICED[:-1], "prices.x.source"), "unknown columns ['prices.x.source']"),
        ((*PRICED[:-1], ""), "unknown columns ['']"),
        ((*PRICED[:-1], "region"), "columns ['region'] twice"),
        ((*PRICED[:-1], "prices"), "columns ['prices'] and columns below them"),
    ],
)
def test_a_header_that_fits_no_record_is_told(tmp_path, header, found):
    assert told(tmp_path, table(header, SMALL)) == [("offers.csv", "line 1", found)]


def test_an_unknown_column_is_told_with_the_nearest(tmp_path):
    (problem,) = refusals(lambda: load_instance(beside(tmp_path, table(("privider", *PRICED[1:]), SMALL))))
    assert problem.hint == "did you mean 'provider'?"


def test_an_empty_table_is_no_table(tmp_path):
    assert told(tmp_path, "") == [("offers.csv", "", "nothing")]


def test_a_table_may_have_no_rows_and_blank_lines(tmp_path):
    rows = table(PRICED, SMALL, LARGE)
    assert len(load_instance(beside(tmp_path, rows.replace("\n", "\n\n"))).catalogs.offers) == 2
    assert load_instance(beside(tmp_path, table(PRICED) + "\n\n")).catalogs.offers == ()


def test_lines_may_end_as_on_windows_and_a_mark_may_lead(tmp_path):
    rows = b"\xef\xbb\xbf" + table(PRICED, SMALL, LARGE).replace("\n", "\r\n").encode()
    assert load_instance(beside(tmp_path, rows)).hash == load_instance(written(tmp_path, small())).hash


def test_quoted_cells_hold_commas_quotes_and_lines(tmp_path):
    sources = ('a, "quoted" source', "two\nlines")
    rows = table(PRICED, *((*row[:-1], source) for row, source in zip((SMALL, LARGE), sources, strict=True)))
    found = load_instance(beside(tmp_path, rows)).catalogs.offers
    assert tuple(o.prices[0].source for o in found) == sources


def test_a_line_is_counted_in_the_file_where_cells_span_lines(tmp_path):
    rows = table(PRICED, (*SMALL[:-1], "two\nlines"), (*LARGE[:6], "x", *LARGE[7:]))
    assert told(tmp_path, rows)[0][1] == "line 4, column prices.0.usd_per_hour"


@pytest.mark.parametrize("text", ['a,"b', 'a,"b"c', 'a,"' + "x" * 200_000 + '"'])
def test_what_is_not_csv_is_told_by_line(tmp_path, text):
    ((file, place, _),) = told(tmp_path, ",".join(PRICED) + "\n" + text)
    assert file == "offers.csv"
    assert place.startswith("line 2")


def test_a_table_that_is_not_utf8_is_told(tmp_path):
    assert "not UTF-8" in told(tmp_path, table(PRICED, SMALL).encode("utf-16"))[0][2]


def test_a_blank_cell_is_an_absent_field(tmp_path):
    rows = table((*PRICED, "vcpus", "zone"), (*SMALL, "", ""), (*LARGE, "8", "z1"))
    first, second = load_instance(beside(tmp_path, rows)).catalogs.offers
    assert (first.vcpus, first.zone) == (None, None)
    assert (second.vcpus, second.zone) == (8.0, "z1")


SPOT = (*PRICED, *(name.replace("0", "1") for name in PRICED[5:]))


def test_an_offer_may_have_only_the_second_of_two_prices(tmp_path):
    """Columns prices.0 are on demand and prices.1 spot; small is sold on spot only."""
    rows = table(SPOT, (*SMALL[:5], "", "", "", "", "spot", 0.5, "2026-11-01", "made up"), (*LARGE, "", "", "", ""))
    first, second = load_instance(beside(tmp_path, rows)).catalogs.offers
    assert [(p.option, p.usd_per_hour) for p in first.prices] == [("spot", 0.5)]
    assert [(p.option, p.usd_per_hour) for p in second.prices] == [("on_demand", 3.0)]


def test_a_list_has_the_order_of_the_numbers_and_not_of_the_columns(tmp_path):
    """The columns of prices.1 stand before those of prices.0, and a tenth before a second."""
    turned = (*OFFER, *SPOT[9:13], *SPOT[5:9])
    rows = table(turned, (*SMALL[:5], "spot", 0.5, "2026-11-01", "made up", *SMALL[5:]))
    (found,) = load_instance(beside(tmp_path, rows)).catalogs.offers
    assert [p.option for p in found.prices] == ["on_demand", "spot"]
    rows = table(tuple(name.replace("prices.1", "prices.10").replace("prices.0", "prices.2") for name in turned), rows_of(rows))
    assert [p.option for p in load_instance(beside(tmp_path, rows)).catalogs.offers[0].prices] == ["on_demand", "spot"]


def test_a_problem_behind_blank_columns_is_told_by_the_column_of_the_file(tmp_path):
    rows = table(SPOT, (*SMALL[:5], "", "", "", "", "spot", "cheap", "2026-11-01", "made up"))
    assert told(tmp_path, rows)[0][1] == "line 2, column prices.1.usd_per_hour"


def test_names_in_a_cell_are_parted_by_bars(tmp_path):
    columns = ("name", "vendor", "kind", "family", "memory_gib", "precisions", "aliases", "peak_tflops.fp16", "source")
    written(tmp_path, table(columns, ("small", "v", "gpu", "f", 80, "fp16|fp8", "s|s-2", 312.5, "s")), "a.csv")
    content = small()
    content["catalogs"]["accelerators"] = ["a.csv", accelerator("large")]
    found = load_instance(written(tmp_path, content)).accelerators["s-2"]
    assert (found.precisions, found.aliases, found.peak_tflops) == (("fp16", "fp8"), ("s", "s-2"), {"fp16": 312.5})


@pytest.mark.parametrize(("cell", "fits"), [("true", True), ("false", True), ("True", False), ("1", False), ("yes", False)])
def test_a_truth_in_a_cell_is_true_or_false(tmp_path, cell, fits):
    columns = ("name", "source", "variants.0.precision", "variants.0.is_baseline", "variants.0.weights_gib")
    written(tmp_path, table(columns, ("m", "s", "fp16", cell, 1)), "models.csv")
    content = small()
    content["catalogs"]["models"] = "models.csv"
    path = written(tmp_path, content)
    if fits:
        assert load_instance(path).models["m"].variants[0].is_baseline is (cell == "true")
    else:
        assert refusals(lambda: load_instance(path))[0].pointer == "line 2, column variants.0.is_baseline"


# -- where files may lie ----------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path):
    """Give a folder with a table that is fine but lies outside the instance's folder."""
    for folder in ("inside", "outside"):
        (tmp_path / folder).mkdir()
    written(tmp_path / "outside", table(PRICED, SMALL, LARGE), "offers.csv")
    return tmp_path


@pytest.mark.parametrize(
    "way", ["../outside/offers.csv", "sub/../../outside/offers.csv", "{}/outside/offers.csv", "link.csv", "linked/offers.csv"]
)
def test_a_catalog_outside_the_folder_is_not_read(outside, way):
    (outside / "inside" / "link.csv").symlink_to(outside / "outside" / "offers.csv")
    (outside / "inside" / "linked").symlink_to(outside / "outside")
    content = small()
    content["catalogs"]["offers"] = way.format(outside)
    (problem,) = refusals(lambda: load_instance(written(outside / "inside", content)))
    assert problem.found == "a path that leaves the instance's folder"


def test_a_link_inside_the_folder_is_followed(outside):
    written(outside / "inside", table(PRICED, SMALL, LARGE), "real.csv")
    (outside / "inside" / "offers.csv").symlink_to("real.csv")
    content = small()
    content["catalogs"]["offers"] = "offers.csv"
    assert len(load_instance(written(outside / "inside", content)).catalogs.offers) == 2


@pytest.mark.parametrize(
    "name", ["a\0.csv", "\ud800.csv", "x" * 5000 + ".csv", "loop.csv", ".", "", "no.csv", "http://example.org/a.csv"]
)
def test_a_catalog_file_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    content = small()
    content["catalogs"]["offers"] = [name]
    text = json.dumps(content).replace("\\ud800", "\ufffd")
    assert len(refusals(lambda: load_instance(written(tmp_path, text)))) == 1


def test_a_catalog_file_holds_a_list(tmp_path):
    assert told(tmp_path, "{}", "offers.json") == [("offers.json", "", "a dict")]


def test_a_key_twice_in_a_catalog_file_is_refused(tmp_path):
    offers = json.dumps(small()["catalogs"]["offers"]).replace('"usd_per_hour"', '"usd_per_hour": 0.1, "usd_per_hour"')
    assert "twice" in told(tmp_path, offers, "offers.json")[0][2]


def test_a_problem_in_a_list_is_told_by_its_pointer_there(tmp_path):
    offers = small()["catalogs"]["offers"]
    offers[1]["prices"][0]["usd_per_hour"] = "3"
    assert told(tmp_path, json.dumps(offers), "offers.json") == [("offers.json", "/1/prices/0/usd_per_hour", "'3'")]
