"""MPS and LP text: golden, read back the same by CBC, HiGHS and OR-Tools' readers, names that cannot collide."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize._highspy._core as highs
from ortools.linear_solver.python import model_builder

from solvers import Model, SolveOptions, get_backend, to_lp, to_mps
from solvers.cbc import _pulp_binary
from tests.solvers.small import INF, brute_force, model, planning, random_model


def every_construct() -> Model:
    """Equation, both one-sided rows, range, row without sides or entries; free, fixed, negative and half-open columns; offset."""
    return model(
        [1.5, -2, 0, 1e-7, 0.1],
        [
            (4, [1, 1, 0, 0, 0], 4),
            (-3, [0, 1, 0, 2, 0], INF),
            (-INF, [1, 0, 1, 0, 1], 7.25),
            (-1.5, [0, 0, -1, 1, 0], 2.5),
            (-INF, [1, 1, 1, 1, 1], INF),
            (-1, [0, 0, 0, 0, 0], INF),
        ],
        lower=[0, -2, -INF, -INF, 3],
        upper=[9, 5, INF, -0.5, 3],
        integer=[True, True, False, False, False],
        objective_offset=12.25,
        column_labels=("n[a b]", "n[c-d]", "share\nof x", "y", "z"),
        row_labels=lambda: ["demand", "floor", "supply", "range", "free", "empty"],
    )


def test_mps_text_is_golden():
    """Written by hand."""
    text = to_mps(model([1, 0], [(2, [1, 1], INF), (1, [3, 0], 5)], upper=[4, INF], integer=[True, False], objective_offset=0.5))
    wanted = """NAME model FREE
ROWS
 N obj
 G r0
 G r1_ge
 L r1_le
COLUMNS
 M0 'MARKER' 'INTORG'
 c0 obj 1.0
 c0 r0 1.0
 c0 r1_ge 3.0
 c0 r1_le 3.0
 M1 'MARKER' 'INTEND'
 c1 r0 1.0
 c_offset obj 0.5
RHS
 RHS r0 2.0
 RHS r1_ge 1.0
 RHS r1_le 5.0
BOUNDS
 LO BND c0 0.0
 UP BND c0 4.0
 FX BND c_offset 1.0
ENDATA
"""
    assert text == wanted


def test_lp_text_is_golden():
    text = to_lp(every_construct())
    wanted = r"""\ c0 = n[a b]
\ c1 = n[c-d]
\ c2 = share of x
\ c3 = y
\ c4 = z
\ r0 = demand
\ r1 = floor
\ r2 = supply
\ r3 = range
\ r4 = free
\ r5 = empty
Minimize
 obj: + 1.5 c0 - 2.0 c1 + 1e-07 c3 + 0.1 c4 + 12.25 c_offset
Subject To
 r0: + 1.0 c0 + 1.0 c1 = 4.0
 r1: + 1.0 c1 + 2.0 c3 >= -3.0
 r2: + 1.0 c0 + 1.0 c2 + 1.0 c4 <= 7.25
 r3_ge: - 1.0 c2 + 1.0 c3 >= -1.5
 r3_le: - 1.0 c2 + 1.0 c3 <= 2.5
 r5: 0 c0 >= -1.0
Bounds
 0.0 <= c0 <= 9.0
 -2.0 <= c1 <= 5.0
 c2 free
 -inf <= c3 <= -0.5
 c4 = 3.0
 c_offset = 1.0
Generals
 c0
 c1
End
"""
    assert text == wanted


def with_cbc(path) -> float:
    done = subprocess.run([_pulp_binary(), path, "-ratio", "0", "-solve", "-quit"], capture_output=True, text=True, check=True)
    assert "with 0 errors" in done.stdout or path.suffix == ".lp", done.stdout
    (line,) = (x for x in done.stdout.splitlines() if x.startswith(("Objective value:", "Optimal objective")))
    return float(line.replace("Optimal objective", "Objective value:").split()[2])


def with_highs(path) -> float:
    solver = highs._Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    assert solver.readModel(str(path)) == highs.HighsStatus.kOk
    solver.run()
    return solver.getObjectiveValue()


def with_scip(path) -> float:
    reader = model_builder.Model()
    read = reader.import_from_mps_file if path.suffix == ".mps" else reader.import_from_lp_file
    assert read(str(path))
    solver = model_builder.Solver("scip")
    solver.solve(reader)
    return solver.objective_value


DOORS = [(to_mps, with_cbc), (to_mps, with_highs), (to_mps, with_scip), (to_lp, with_cbc), (to_lp, with_highs)]


@pytest.mark.parametrize(("write", "read"), DOORS)  # OR-Tools' LP reader speaks another dialect
def test_every_reader_finds_the_same_objective(read, write, tmp_path):
    m = every_construct()
    path = tmp_path / ("m.mps" if write is to_mps else "m.lp")
    path.write_text(write(m))
    assert read(path) == pytest.approx(get_backend("ortools").solve(m, SolveOptions(relative_gap=0.0)).objective, rel=1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_random_models_read_back_the_same(seed, tmp_path):
    m = random_model(seed)
    if brute_force(m) is None:  # the same without lower sides; 0 may still be outside an upper one
        m = replace(m, row_lower=np.full(m.n_rows, -INF), row_upper=np.maximum(m.row_upper, 0))
    for write, name in ((to_mps, "m.mps"), (to_lp, "m.lp")):
        (tmp_path / name).write_text(write(m))
        assert with_highs(tmp_path / name) == pytest.approx(brute_force(m), abs=1e-5)


def test_numbers_read_back_as_the_same_binary_number(tmp_path):
    rng = np.random.default_rng(5)
    m = model(rng.normal(size=6), [(1.1, rng.normal(size=6), INF)], upper=rng.uniform(1, 2, 6), integer=False)
    (tmp_path / "m.mps").write_text(to_mps(m))
    solver = highs._Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(str(tmp_path / "m.mps"))
    lp = solver.getLp()
    assert list(lp.col_cost_) == m.objective.tolist()
    assert list(lp.a_matrix_.value_) == m.value.tolist()
    assert list(lp.col_upper_) == m.upper.tolist()


def test_labels_that_would_collide_do_not():
    """PuLP turns A-100 and A+100 into one name; here names are indices and labels are comments."""
    m = model([1, 2], [(1, [1, 1], INF), (1, [1, 0], INF)], column_labels=("A-100", "A+100"), row_labels=("cap A", "cap-A"))
    text = to_mps(m)
    assert "* c0 = A-100\n* c1 = A+100\n* r0 = cap A\n* r1 = cap-A\n" in text
    assert " c1 r0 1.0" in text


def test_labels_cannot_leave_their_comment_nor_a_name_its_line():
    m = model([1], [(1, [1], INF)], column_labels=("x\nENDATA\r\n\x00é",), name="a b\nROWS")
    text = to_mps(m)
    assert text.startswith("NAME a_b_ROWS FREE\n* c0 = x ENDATA é\n")
    assert [line for line in text.splitlines() if line in ("ROWS", "ENDATA")] == ["ROWS", "ENDATA"]


def test_labels_can_be_left_out_and_are_not_read_then():
    def labels():
        raise AssertionError("read")

    assert "*" not in to_mps(model([1], [], column_labels=labels), labels=False)


def test_the_same_model_gives_the_same_text():
    assert to_mps(planning(1)) == to_mps(planning(1))
    assert to_lp(planning(1)) == to_lp(planning(1))


def test_long_rows_are_wrapped():
    assert max(map(len, to_lp(planning(2)).splitlines())) < 255
