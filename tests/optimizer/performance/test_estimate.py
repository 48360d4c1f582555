"""Estimates take the best that is known of a point, and the table keeps its rows, order and blanks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from optimizer.catalog import Quality
from optimizer.errors import InvalidInputError
from optimizer.instance import Catalogs
from optimizer.performance.estimate import ADDED_COLUMNS, REQUIRED_COLUMNS, estimate_points, estimated_csv
from optimizer.performance.roofline import Roofline
from tests.optimizer.performance.small import MODEL, catalogs, points, profile

CURVE = (profile(1, 100.0, 30.0), profile(4, 150.0, 40.0), profile(16, 400.0, 90.0))


def test_a_measured_point_is_its_measurement() -> None:
    """Four requests of 10 tokens: 40 tokens in 150 + 9 * 40 ms."""
    found = estimate_points(catalogs(CURVE), points([4.0]))
    assert (found.ttft_ms[0], found.tpot_ms[0]) == (pytest.approx(150.0), pytest.approx(40.0))
    assert found.output_tokens_per_s[0] == pytest.approx(40 / 0.51)
    assert found.quality[0] == Quality.MEASURED


def test_a_point_measured_twice_is_the_geometric_mean() -> None:
    found = estimate_points(catalogs([*CURVE, profile(4, 150.0, 90.0)]), points([4.0]))
    assert found.tpot_ms[0] == pytest.approx(60.0)


def test_between_two_points_the_model_is_bent_through_both() -> None:
    """At load 8, half way from 4 to 16: the geometric mean of measured over model, times the model there."""
    known = catalogs(CURVE)
    found, model = estimate_points(known, points([8.0])), Roofline(known).uncorrected_ms(points([4.0, 8.0, 16.0]))
    for times, measured, shape in ((found.ttft_ms, (150.0, 400.0), model[0]), (found.tpot_ms, (40.0, 90.0), model[1])):
        bent = shape[1] * np.sqrt(measured[0] / shape[0] * measured[1] / shape[2])
        assert times[0] == pytest.approx(bent)
        assert measured[0] < times[0] < measured[1]
    assert found.quality[0] == Quality.INTERPOLATED


def test_outside_the_curve_or_off_it_the_roofline_speaks() -> None:
    known = catalogs(CURVE)
    for wanted in (
        points([32.0]),
        points([0.5]),
        points([8.0], engine="f"),
        points([8.0], tokens=(100, 11)),
        points([8.0], accelerator="fast"),
    ):
        found, modelled = estimate_points(known, wanted), Roofline(known).predict(wanted)
        assert found.quality[0] == Quality.MODELLED
        assert found.ttft_ms == pytest.approx(modelled.ttft_ms)


def test_curves_of_two_engine_versions_are_never_joined() -> None:
    """Loads 1 and 16 under version 1, load 4 under version 2: half way on version 1 knows nothing of version 2."""
    other = CURVE[1].model_copy(update={"engine_version": "2"})
    found = estimate_points(catalogs([CURVE[0], other, CURVE[2]]), points([4.0]))
    assert found.quality[0] == Quality.INTERPOLATED
    assert found.tpot_ms[0] != pytest.approx(40.0, rel=0.01)


def test_bands_hold_the_rate_and_blanks_have_none() -> None:
    found = estimate_points(catalogs(CURVE), points([1.0, 2.0, 64.0, np.nan]))
    assert (found.low < found.output_tokens_per_s).all()
    assert (found.output_tokens_per_s < found.high).all()
    assert np.isnan(found.ttft_ms[3])


def row(**cells: object) -> dict[str, object]:
    usual: dict[str, object] = dict.fromkeys(REQUIRED_COLUMNS, 1)
    usual |= {"model": MODEL.name, "accelerator": "one", "precision": "bf16", "backend": "e", "backend_version": "1"}
    return {"note": "kept, as it is", **usual, "input_tokens": 100, "output_tokens": 10, "concurrency": 4, **cells}


def write(path: Path, rows: list[dict[str, object]], drop: str = "") -> Path:
    names = [name for name in rows[0] if name != drop]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def estimate_csv(path_in: Path, path_out: Path, known: Catalogs) -> tuple[str, ...]:
    text, warnings = estimated_csv(path_in, known)
    path_out.write_text(text)
    return warnings


def test_a_table_keeps_rows_order_and_other_columns(tmp_path: Path) -> None:
    rows = [row(concurrency=16), row(model="unknown"), row(concurrency=""), row(concurrency=1)]
    warnings = estimate_csv(write(tmp_path / "in.csv", rows), tmp_path / "out.csv", catalogs(CURVE))
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["note", *REQUIRED_COLUMNS, *ADDED_COLUMNS]
    assert [r["concurrency"] for r in found] == ["16", "4", "", "1"]
    assert [r["quality"] for r in found] == ["measured", "", "modelled", "measured"]
    assert [r["predicted_ttft_ms"] for r in found] == ["400", "", "", "100"]
    assert found[1]["predicted_output_tokens_per_s"] == found[1]["low"] == ""
    assert float(found[2]["low"]) < float(found[2]["predicted_output_tokens_per_s"])
    assert warnings == ("1 rows left blank: unknown model 'unknown'; known are 'dense-10b'",)


def test_a_checkpoint_under_another_name_is_taken_for_its_network_and_told(tmp_path: Path) -> None:
    rows = [row(model="someone/Dense-10B-Instruct-FP8")]
    warnings = estimate_csv(write(tmp_path / "in.csv", rows), tmp_path / "out.csv", catalogs(CURVE))
    assert warnings == ("1 rows: model 'someone/Dense-10B-Instruct-FP8' taken as 'dense-10b'",)
    assert ",measured" in (tmp_path / "out.csv").read_text()


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(",".join(REQUIRED_COLUMNS) + "\n")
    assert estimate_csv(tmp_path / "in.csv", tmp_path / "out.csv", catalogs(CURVE)) == ()
    assert (tmp_path / "out.csv").read_text() == ",".join((*REQUIRED_COLUMNS, *ADDED_COLUMNS)) + "\n"


def test_every_bad_number_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    bad = [row(concurrency="many"), row(), row(input_tokens="", output_tokens="nan"), row(tensor_parallel=-1)]
    with pytest.raises(InvalidInputError) as caught:
        estimate_csv(write(tmp_path / "in.csv", bad), tmp_path / "out.csv", catalogs(CURVE))
    assert sorted(p.pointer for p in caught.value.problems) == [
        "line 2, column concurrency",
        "line 4, column input_tokens",
        "line 4, column output_tokens",
        "line 5, column tensor_parallel",
    ]
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the column concurrency"):
        estimate_csv(write(tmp_path / "in.csv", [row()], drop="concurrency"), tmp_path / "out.csv", catalogs(CURVE))


def test_a_row_of_another_length_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", [row()])
    path.write_text(path.read_text() + "one,two\n")
    with pytest.raises(InvalidInputError, match="2 cells"):
        estimate_csv(path, tmp_path / "out.csv", catalogs(CURVE))
