"""Logs: lines as the solvers print them, and what is read from them."""

import pytest

from solvers.logs import Reading, last_improving_solution, read_cbc, read_highs, read_scip

HIGHS = """
        Nodes      |    B&B Tree     |            Objective Bounds              |  Dynamic Constraints |       Work
Src  Proc. InQueue |  Leaves   Expl. | BestBound       BestSol              Gap |   Cuts   InLp Confl. | LpIters     Time

         0       0         0   0.00%   0               inf                  inf        0      0      0         0     0.0s
 J       0       0         0   0.00%   -inf            4695.143741        Large        0      0      0         0     0.0s
 R       0       0         0   0.00%   287.8236608     324.5            11.30%        0      0      0      1021     0.3s
"""
HEAD = (
    " time | node  | left  |LP iter|LP it/n|mem/heur|mdpt |vars |cons |rows |cuts |sepa|confs|strbr|  dualbound   | primalbound "
)
LINE = "r 0.1s|     1 |     0 |  2734 |     - |rounding|   0 |1896 |1962 |1962 |   0 |  0 |   0 |   0 | 5.330343e+01 |"
SCIP = [HEAD + "|  gap   | compl. ", LINE + "      --      |    Inf | unknown", LINE + " 6.649263e+01 |  24.74%| unknown"]


def test_highs_tells_incumbent_and_bound():
    assert read_highs(HIGHS) == Reading(324.5, 287.8236608, 0.5e-7)
    assert read_highs(HIGHS).safe_bound == pytest.approx(287.82366075, abs=1e-12)
    assert read_highs("\n".join(HIGHS.splitlines()[:6])) == Reading(4695.143741, None, 0.0)
    assert read_highs("\n".join(HIGHS.splitlines()[:5])) == Reading(None, 0.0, 0.5)
    assert read_highs("nothing") == Reading()


def test_scip_tells_incumbent_and_bound():
    assert read_scip(SCIP) == Reading(66.49263, 53.30343, pytest.approx(0.5e-5))
    assert read_scip(SCIP[:2]) == Reading(None, 53.30343, pytest.approx(0.5e-5))
    assert read_scip(SCIP[:1]) == Reading()


def test_cbc_tells_incumbent_and_bound():
    relaxed = "Continuous objective value is 52.782 - 0.02 seconds\n"
    found = (
        relaxed + "Cbc0012I Integer solution of 54.9056 found by feasibility pump after 0 iterations and 0 nodes (0.10 seconds)\n"
    )
    nodes = found + "Cbc0010I After 100 nodes, 1 on tree, 1e+50 best solution, best possible 54.076008 (0.30 seconds)\n"
    assert read_cbc(relaxed) == Reading(None, 52.782, 0.0005)
    assert read_cbc(found) == Reading(54.9056, 52.782, 0.0005)
    assert read_cbc(nodes) == Reading(None, 54.076008, 0.5e-6)
    assert read_cbc("") == Reading()


def test_progress_has_the_house_gap():
    progress = Reading(200.0, 190.0).scaled(0.5).progress(3.0)
    assert (progress.seconds, progress.incumbent, progress.bound, progress.gap) == (3.0, 100.0, 95.0, 0.05)
    assert Reading(None, 1.0).progress(0.0).gap is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Objective 9\n# Columns 2\n4\n0.5\nObjective 7\n# Columns 2\n3\n1e-1\n", [3, 0.1]),
        ("Objective 9\n# Columns 2\n4\n0.5\nObjective 7\n# Columns 2\n3\n", [4, 0.5]),
        ("Objective 9\n# Columns 2\n4\n0.5\nObjective 7\n# Columns 2\n3\n1", [4, 0.5]),
        ("Objective 9\n# Columns 2\n4\n", None),
        ("", None),
    ],
)
def test_the_last_complete_improving_solution_counts(tmp_path, text, wanted):
    (tmp_path / "improving").write_text(text)
    found = last_improving_solution(tmp_path / "improving", 2)
    assert (None if found is None else found.tolist()) == wanted


def test_a_missing_file_of_solutions_is_none(tmp_path):
    assert last_improving_solution(tmp_path / "improving", 2) is None
