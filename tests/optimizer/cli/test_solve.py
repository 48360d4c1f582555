"""``allocate solve``: what is on stdout, what is in the file, and every exit code it has."""

from __future__ import annotations

import csv
import io
import json
import shlex

import pytest

from tests.optimizer.files import changed, small, written
from tests.optimizer.tiny import model, offer, profile, variant, workload


def test_a_plan_is_shown_with_its_bill_proof_and_next_command(allocate, question, backend):
    """10 queries/s: two small of 5 queries/s for 1 USD/h each, or one large of 12 for 3 USD/h."""
    ran = allocate("solve", question, "--backend", backend, "--gap", "1e-6")
    assert ran.code == 0
    assert "proved optimal" in ran.out
    assert "Cost $2.00 / hour ($1,460 / month at 730 h)" in ran.out
    assert "Verified" in ran.out
    assert f"Next: allocate solve {question} -o plan.json && allocate verify {question} plan.json" in ran.out
    assert ran.err == ""


def test_json_is_all_there_is_on_stdout(allocate, question):
    ran = allocate("solve", question, "--format", "json")
    plan = json.loads(ran.out)
    assert (plan["usd_per_hour"], plan["status"], plan["stopped_by"]) == (2.0, "optimal", None)
    assert plan["verification"]["passed"] is True
    assert ran.err == ""


def test_csv_is_one_row_a_deployment(allocate, question):
    rows = list(csv.DictReader(io.StringIO(allocate("solve", question, "--format", "csv").out)))
    assert [(r["accelerator"], r["replicas"], r["workloads"], r["offer"]) for r in rows] == [("small", "2", "w", "p/r/smallx1")]


def test_markdown_has_tables_that_hold(allocate, tmp_path):
    limits = [{"name": "l", "match": {}, "max_instances": 9, "reason": "a | bar\nand a line"}]
    out = allocate("solve", written(tmp_path, small(limits=limits)), "--format", "markdown").out
    (row,) = [line for line in out.splitlines() if line.startswith("| l ")]
    assert row.replace("\\|", "").count("|") == 5
    assert "a \\| bar and a line" in row


def test_the_file_holds_the_plan_and_stdout_the_table(allocate, question, tmp_path):
    ran = allocate("solve", question, "-o", tmp_path / "plan.json")
    assert json.loads((tmp_path / "plan.json").read_text())["usd_per_hour"] == 2.0
    assert ran.out.startswith("Plan for tiny")
    assert f"Next: allocate verify {question} {tmp_path / 'plan.json'}" in ran.out


@pytest.mark.parametrize(
    ("name", "opening"), [("plan.csv", "pool,"), ("plan.md", "Plan for tiny"), ("plan.txt", "{"), ("plan", "{")]
)
def test_the_file_has_the_form_of_its_name(allocate, question, tmp_path, name, opening):
    ran = allocate("solve", question, "-o", tmp_path / name, "--quiet")
    assert (tmp_path / name).read_text().startswith(opening)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_the_next_command_can_be_pasted(allocate, tmp_path):
    path = written(tmp_path, small(), "my question.json")
    out = allocate("solve", path, "--set", "workloads.w.note=a b").out
    words = shlex.split(out.splitlines()[-1].removeprefix("Next: "))
    first, second = words[: words.index("&&")], words[words.index("&&") + 1 :]
    assert first == ["allocate", "solve", str(path), "--set", "workloads.w.note=a b", "-o", "plan.json"]
    assert second == ["allocate", "verify", str(path), "--set", "workloads.w.note=a b", "plan.json"]


def test_set_changes_the_question(allocate, question):
    """20 queries/s: four small for 4 USD/h."""
    ran = allocate("solve", question, "--set", "workloads.w.classes.q.rate.value=20", "--format", "json")
    assert json.loads(ran.out)["usd_per_hour"] == 4.0


def test_the_order_of_the_file_changes_the_hash_and_not_the_cost(allocate, tmp_path):
    parts = small(workloads=[workload("a", 10), workload("b", 13)], limits=[{"name": "l", "match": {}, "max_accelerators": 4}])
    turned = {key: value[::-1] if isinstance(value, list) else value for key, value in parts.items()}
    turned["catalogs"] = {key: value[::-1] for key, value in parts["catalogs"].items()}
    plans = [json.loads(allocate("solve", written(tmp_path, p), "--gap", "0", "--format", "json").out) for p in (parts, turned)]
    assert plans[0]["usd_per_hour"] == plans[1]["usd_per_hour"]
    assert plans[0]["instance"]["hash"] != plans[1]["instance"]["hash"]


def test_a_plan_in_force_never_changes_the_optimum(allocate, question, tmp_path):
    allocate("solve", question, "-o", tmp_path / "old.json", "--set", "workloads.w.classes.q.rate.value=50")
    ran = allocate("solve", question, "--plan-in-force", tmp_path / "old.json", "--format", "json")
    assert json.loads(ran.out)["usd_per_hour"] == 2.0


def test_two_runs_give_the_same_bytes_but_for_the_seconds(allocate, question, backend):
    def plan():
        found = json.loads(allocate("solve", question, "--backend", backend, "--format", "json").out)
        return json.dumps({**found, "solve_seconds": 0})

    assert plan() == plan()


def test_the_environment_sets_what_no_flag_does(allocate, question, monkeypatch):
    monkeypatch.setenv("ALLOCATE_SOLVE_FORMAT", "json")
    assert allocate("solve", question).out.startswith("{")
    assert allocate("solve", question, "--format", "table").out.startswith("Plan")


# -- refused before solving -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_solving(monkeypatch):
    def never(*arguments, **named):
        raise AssertionError("solved what should have been refused first")

    monkeypatch.setattr("optimizer.pipeline.allocate", never)


@pytest.mark.parametrize(
    "options",
    [
        ["--time-limit", "nan"],
        ["--time-limit", "-1"],
        ["--time-limit", "inf"],
        ["--time-limit", "1e9"],
        ["--time-limit", "soon"],
        ["--gap", "-0.1"],
        ["--gap", "nan"],
        ["--gap", "1"],
        ["--threads", "0"],
        ["--threads", "5000"],
        ["--seed", "-1"],
        ["--seed", "4294967296"],
        ["--method", "magic"],
        ["--format", "xml"],
        ["--max-bytes", "0"],
        ["--nope"],
        ["--set", "policy.utilization_cap"],
        ["--set", "workloads.v.note=x"],
        ["--rejected", "v"],
        ["-o", "{}/missing/plan.json"],
        ["-o", "{}"],
        ["extra"],
    ],
)
def test_what_cannot_be_done_as_written_is_a_usage_error(allocate, question, tmp_path, no_solving, options):
    ran = allocate("solve", question, *(o.replace("{}", str(tmp_path)) for o in options))
    assert ran.code == 2
    assert ran.err
    assert ran.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["instance.json"], "a stray file"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "line 1, column 2"),
        ("schema_version: 1", "not JSON"),
        (b"\xff", "not UTF-8"),
        ('{"name": "a", "name": "b"}', "the key 'name' twice"),
        ({**small(), "wrokloads": []}, "did you mean 'workloads'"),
        (changed(small(), "/policy/utilization_cap", 92.5), "/policy/utilization_cap: found 92.5"),
        (changed(small(), "/policy/utilization_cap", 92.5), "did you mean 0.925?"),
        (changed(small(), "/catalogs/offers/0/prices/0/usd_per_hour", -1), "/catalogs/offers/0/prices/0/usd_per_hour: found -1"),
        (json.dumps(small()).replace('"usd_per_hour": 1.0', '"usd_per_hour": NaN'), "NaN"),
        (changed(small(), "/catalogs/offers/0/accelerator", "smal"), "did you mean 'small'?"),
        (small(objective="profit"), "no workload earns anything"),
        (small(schema_version=2), "newer version of allocate"),
    ],
)
@pytest.mark.parametrize("command", ["solve", "validate", "compile"])
def test_bad_input_is_exit_6_told_with_file_and_place(allocate, tmp_path, no_solving, command, content, told):
    path = written(tmp_path, content)
    ran = allocate(command, path)
    assert ran.code == 6
    assert told in ran.err
    assert ran.err.startswith(f"allocate: {path} cannot be")
    assert ran.out == ""


@pytest.mark.parametrize("command", [["solve"], ["validate"], ["compile"], ["verify"]])
def test_a_missing_instance_is_exit_6(allocate, tmp_path, question, command):
    ran = allocate(*command, tmp_path / "none.json", *([question] if command == ["verify"] else []))
    assert (ran.code, ran.out) == (6, "")
    assert "no such file, expected a file; that folder has instance.json" in ran.err


def test_the_largest_size_may_come_from_the_environment(allocate, question, monkeypatch):
    monkeypatch.setenv("ALLOCATE_MAX_BYTES", "100")
    for command in ("solve", "validate", "compile"):
        assert allocate(command, question).code == 6
    assert allocate("validate", question, "--max-bytes", 10**6).code == 0


@pytest.mark.parametrize("content", ["{}", "[]", "plan", '{"schema_version": 2}'])
def test_a_plan_in_force_that_is_none_is_exit_6(allocate, question, tmp_path, no_solving, content):
    ran = allocate("solve", question, "--plan-in-force", written(tmp_path, content, "plan.json"))
    assert ran.code == 6
    assert "plan.json" in ran.err


# -- no plan ----------------------------------------------------------------------------------------------------------------


def test_a_metric_without_an_accuracy_row_is_exit_3_with_every_candidate(allocate, tmp_path):
    forms = model("m", variant("fp16", 1.0), variant("int8", 0.999))
    floor = {"metric": "bleu", "evaluation": "squad", "floor_fraction_of_baseline": 0.9}
    path = written(tmp_path, small(models=[forms], workloads=[workload("w", 10, accuracy=floor)]))
    ran = allocate("solve", path)
    assert (ran.code, ran.out) == (3, "")
    for accelerator in ("small", "large"):
        for precision in ("fp16", "int8"):
            assert any(accelerator in line and precision in line for line in ran.err.splitlines()), (accelerator, precision)
    assert "no row of bleu on squad" in ran.err


def test_a_workload_whose_every_candidate_is_rejected_is_exit_3_with_reasons(allocate, tmp_path):
    hurry = [{"quantity": "e2e", "statistic": "p99", "at_most_ms": 1.0}]
    path = written(tmp_path, small(workloads=[workload("calm", 1), workload("hasty", 1, latency=hurry)]))
    ran = allocate("solve", path)
    assert (ran.code, ran.out) == (3, "")
    assert "every candidate of 'hasty' is rejected" in ran.err
    assert "/workloads/hasty" in ran.err
    assert "small" in ran.err
    assert "large" in ran.err
    assert "calm" not in ran.err


def test_limits_that_leave_no_room_are_exit_3(allocate, tmp_path, backend):
    limits = [{"name": "one", "match": {"accelerator": ["small", "large"]}, "max_accelerators": 1}]
    path = written(tmp_path, small(limits=limits, workloads=[workload("w", 13)]))
    ran = allocate("solve", path, "--backend", backend)
    assert (ran.code, ran.out) == (3, "")
    assert "no plan" in ran.err


def test_no_time_gives_a_plan_with_its_gap_or_exit_4(allocate, question, backend):
    ran = allocate("solve", question, "--time-limit", "0", "--backend", backend, "--format", "json")
    assert ran.code in (0, 4)
    if ran.code == 4:
        assert ran.out == ""
        assert "--time-limit" in ran.err
    else:
        plan = json.loads(ran.out)
        assert (plan["status"] == "feasible") == (plan["stopped_by"] == "time")


def test_a_limit_without_a_plan_is_exit_4(allocate, question, use_backend):
    use_backend("Empty")
    ran = allocate("solve", question)
    assert (ran.code, ran.out) == (4, "")
    assert "raise --time-limit" in ran.err


def test_a_stale_price_is_left_out_with_a_warning_or_refused(allocate, tmp_path):
    """Small, priced 1,000 days ago, is left out: one large for 3 USD/h."""
    content = changed(small(), "/catalogs/offers/0/prices/0/as_of", "2024-02-26")
    path = written(tmp_path, content)
    plan = json.loads(allocate("solve", path, "--format", "json").out)
    assert plan["usd_per_hour"] == 3.0
    assert any("p/r/smallx1" in w and "1000 days old" in w for w in plan["warnings"])
    assert "1000 days old" in allocate("solve", path).out
    ran = allocate("solve", path, "--strict-prices")
    assert (ran.code, ran.out) == (7, "")
    assert "p/r/smallx1" in ran.err
    assert allocate("solve", path, "--strict-prices", "--set", "policy.max_price_age_days=1001").code == 0


def test_an_offer_without_a_price_is_left_out_with_a_warning(allocate, tmp_path):
    offers = [offer("small", 1, 1.0), offer("large", 1, 3.0), offer("large", 8, prices=[])]
    path = written(tmp_path, small(offers=offers))
    assert "no price is known" in allocate("solve", path).out
    assert allocate("solve", path, "--strict-prices").code == 7


def test_what_was_rejected_is_told_beside_the_plan(allocate, tmp_path):
    floor = {"metric": "f1", "evaluation": "squad", "floor_fraction_of_baseline": 0.99}
    path = written(
        tmp_path,
        small(models=[model("m", variant("fp16", 1.0), variant("int8", 0.9))], workloads=[workload("w", 10, accuracy=floor)]),
    )
    table = allocate("solve", path, "--rejected", "w")
    assert table.code == 0
    assert "Rejected for w" in table.out
    assert "int8" in table.out
    for_programs = allocate("solve", path, "--rejected", "w", "--format", "json")
    assert json.loads(for_programs.out)["status"] == "optimal"
    assert "Rejected for w" in for_programs.err


@pytest.mark.parametrize(("rate", "held", "code"), [(1e-6, 5.0, 0), (1e6, 5.0, 0), (1e12, 1e-3, 6)])
def test_extreme_demand_is_planned_or_refused_and_no_bug(allocate, tmp_path, backend, rate, held, code):
    path = written(tmp_path, small(profiles=[profile("m", "small", held)], workloads=[workload("w", rate)]))
    ran = allocate("solve", path, "--backend", backend)
    assert ran.code == code
    assert ("demand beyond counting" in ran.err) == (code == 6)


# -- backends that fail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gurobi", "cbc:scip", "", "ORTOOLS", "ortools:nope"])
def test_an_unknown_backend_is_exit_5_and_those_known_are_told(allocate, question, name):
    ran = allocate("solve", question, "--backend", name)
    assert (ran.code, ran.out) == (5, "")
    assert "backend" in ran.err


@pytest.mark.parametrize(
    ("fake", "told"),
    [("Dying", "died by signal 9"), ("Hung", "did not answer and was killed"), ("Unproved", "no backend works here")],
)
def test_a_backend_that_fails_is_exit_5_and_told(allocate, question, use_backend, fake, told):
    use_backend(fake)
    ran = allocate("solve", question)
    assert (ran.code, ran.out) == (5, "")
    assert told in ran.err


def test_a_backend_that_cannot_be_imported_is_exit_5(allocate, question, monkeypatch):
    monkeypatch.setitem(__import__("solvers.registry").registry.BUILT_IN, "cbc", "no_such_package:Backend")
    ran = allocate("solve", question, "--backend", "cbc")
    assert (ran.code, ran.out) == (5, "")
    assert "no_such_package" in ran.err


def test_a_cluster_is_asked_for_by_address(allocate, question, monkeypatch):
    monkeypatch.setattr("optimizer.solve.cluster.CONNECT_S", 1.0)
    assert allocate("solve", question, "--cluster", "nonsense").code == 2
    nobody = allocate("solve", question, "--cluster", "tcp://127.0.0.1:1")
    assert nobody.code == 9
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in nobody.err


def test_what_a_solve_learned_is_kept_and_started_from(allocate, question, tmp_path):
    kept = tmp_path / "learned.json"
    ran = allocate("solve", question, "--keep", str(kept))
    assert (ran.code, kept.exists()) == (0, False)
    assert "nothing to keep" in ran.err
    again = [
        allocate("solve", question, "--method", "decompose", *words) for words in (("--keep", str(kept)), ("--warm", str(kept)))
    ]
    assert [ran.code for ran in again] == [0, 0]
    assert " plans and " not in again[0].out
    assert "from 1 of 1 plans and 0 of 0 prices" in again[1].out.replace("\n", " ")
    kept.write_text(kept.read_text().replace("1", "2"))
    refused = allocate("solve", question, "--warm", str(kept))
    assert refused.code == 6
    assert "leave out --warm" in refused.err
