"""The other commands: new, validate, verify, compile, estimate, schema, backends, and what is no command."""

from __future__ import annotations

import json

import pytest

from optimizer.cli.main import COMMANDS, SHORT, command
from optimizer.errors import CheckFailedError
from tests.optimizer.files import changed, small, written

# -- usage ------------------------------------------------------------------------------------------------------------------


def test_every_command_has_a_line_of_help_and_a_page_of_it(allocate):
    assert set(COMMANDS) == set(SHORT)
    overview = allocate("--help").out
    for name in COMMANDS:
        assert name in overview
        page = allocate(name, "--help")
        assert page.code == 0
        assert page.out.startswith(f"Usage: allocate {name}")
    assert allocate("-h").out == overview


def test_every_option_says_what_it_does():
    for name in COMMANDS:
        for option in command.get_command(None, name).params:
            if option.param_type_name == "option":
                assert option.help or option.opts == ["--format"], (name, option.opts)


def test_no_command_at_all_is_usage_with_help(allocate):
    ran = allocate()
    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


@pytest.mark.parametrize(("typed", "meant"), [("slove", "solve"), ("verfy", "verify"), ("backend", "backends")])
def test_an_unknown_command_is_usage_with_the_nearest(allocate, typed, meant):
    ran = allocate(typed)
    assert (ran.code, ran.out) == (2, "")
    assert f"did you mean {meant!r}" in ran.err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_unknown_flag_is_usage(allocate, name):
    ran = allocate(name, "--no-such-flag")
    assert (ran.code, ran.out) == (2, "")
    assert "--no-such-flag" in ran.err


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"backends"}))
def test_a_missing_argument_is_usage(allocate, name):
    assert allocate(name).code == 2


def test_the_version_is_told(allocate):
    ran = allocate("--version")
    assert ran.code == 0
    assert ran.out.startswith("allocate")


# -- new --------------------------------------------------------------------------------------------------------------------


def test_new_makes_a_folder_whose_instance_is_valid(allocate, tmp_path):
    folder = tmp_path / "some where" / "plans"
    ran = allocate("new", folder)
    assert ran.code == 0
    assert f"allocate solve '{folder}/nlp.json'" in ran.out
    assert sorted(p.name for p in folder.iterdir()) == ["catalogs", "nlp.json"]
    assert allocate("validate", folder / "nlp.json").code == 0


def test_new_fills_an_empty_folder(allocate, tmp_path):
    assert allocate("new", tmp_path).code == 0


@pytest.mark.parametrize("kind", ["full folder", "file", "under a file"])
def test_new_touches_nothing_that_is_there(allocate, tmp_path, kind):
    there = written(tmp_path, "mine", "notes.txt")
    target = {"full folder": tmp_path, "file": there, "under a file": there / "sub"}[kind]
    ran = allocate("new", target)
    assert (ran.code, ran.out) == (2, "")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert there.read_text() == "mine"


# -- validate ---------------------------------------------------------------------------------------------------------------


def test_validate_counts_what_it_read(allocate, question):
    ran = allocate("validate", question)
    assert (ran.code, ran.err) == (0, "")
    assert "is a valid instance: 2 accelerators, 2 offers, 1 models, 2 profiles, 1 workloads, 0 limits" in ran.out
    told = json.loads(allocate("validate", question, "--format", "json").out)
    assert (told["valid"], told["name"], told["workloads"]) == (True, "tiny", 1)


def test_validate_tells_all_problems_one_a_line(allocate, tmp_path):
    content = changed(changed(small(), "/policy/utilization_cap", 92.5), "/catalogs/offers/0/accelerator", "smal")
    ran = allocate("validate", written(tmp_path, content))
    assert (ran.code, ran.out) == (6, "")
    lines = ran.err.splitlines()
    assert lines[1].endswith("instance.json: 2 problems")
    assert [line.split(":")[0] for line in lines[2:]] == ["  /policy/utilization_cap", "  /catalogs/offers/0/accelerator"]


def test_validate_judges_what_was_set(allocate, question):
    assert allocate("validate", question, "--set", "policy.utilization_cap=0.5").code == 0
    assert allocate("validate", question, "--set", "policy.utilization_cap=50").code == 6


# -- verify -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(allocate, question, tmp_path):
    """Give the file of the plan of the question, as a document that can be changed."""
    path = tmp_path / "plan.json"
    assert allocate("solve", question, "-o", path, "--quiet").code == 0
    return path


def test_a_plan_is_verified(allocate, question, plan):
    ran = allocate("verify", question, plan)
    assert (ran.code, ran.err) == (0, "")
    assert "is verified" in ran.out
    told = json.loads(allocate("verify", question, plan, "--format", "json").out)
    assert told["passed"] is True
    assert told["rules"]


@pytest.mark.parametrize(("place", "value"), [("/usd_per_hour", 1.0), ("/deployments/0/replicas", 1), ("/routing/0/share", 0.5)])
def test_a_plan_that_was_touched_is_exit_7_with_the_failures(allocate, question, plan, place, value):
    touched = written(plan.parent, changed(json.loads(plan.read_text()), place, value), "touched.json")
    ran = allocate("verify", question, touched)
    assert (ran.code, ran.out) == (7, "")
    assert "does not pass" in ran.err
    told = allocate("verify", question, touched, "--format", "json")
    assert told.code == 7
    assert json.loads(told.out)["failures"]


def test_a_plan_of_another_question_is_exit_7(allocate, question, plan):
    ran = allocate("verify", question, plan, "--set", "workloads.w.classes.q.rate.value=11")
    assert ran.code == 7


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"usd_per_hour"', '"usd_per_hour": 0.1, "usd_per_hour"', "twice"),
        ('"schema_version": 1', '"schema_version": 2', "newer version of allocate"),
        ('"status"', '"state"', "/status: found nothing"),
        ('"solve_seconds": ', '"solve_seconds": NaN, "x": ', "NaN"),
        ("{", "[", "not JSON"),
    ],
)
def test_what_is_no_plan_is_exit_6(allocate, question, plan, old, new, told):
    ran = allocate("verify", question, written(plan.parent, plan.read_text().replace(old, new, 1), "other.json"))
    assert (ran.code, ran.out) == (6, "")
    assert told in ran.err


# -- compile ----------------------------------------------------------------------------------------------------------------


def test_compile_counts_candidates_and_the_model(allocate, question):
    ran = allocate("compile", question)
    assert (ran.code, ran.err) == (0, "")
    assert "Model:" in ran.out
    told = json.loads(allocate("compile", question, "--format", "json").out)
    assert told["model"]["columns"] > 0
    assert told["candidates"]


@pytest.mark.parametrize(("name", "opening"), [("m.mps", "NAME"), ("m.lp", "\\"), ("M.LP", "\\")])
def test_compile_writes_the_model_by_its_suffix(allocate, question, tmp_path, name, opening):
    ran = allocate("compile", question, "-o", tmp_path / name)
    assert ran.code == 0
    assert f"Written to {tmp_path / name}" in ran.out
    text = (tmp_path / name).read_text()
    assert opening in text[:200]
    assert "ENDATA" in text or text.rstrip().lower().endswith("end")


@pytest.mark.parametrize("name", ["m.txt", "m", "missing/m.lp"])
def test_compile_refuses_a_place_or_suffix_it_cannot_write(allocate, question, tmp_path, name):
    ran = allocate("compile", question, "-o", tmp_path / name)
    assert (ran.code, ran.out) == (2, "")
    assert [p.name for p in tmp_path.iterdir()] == ["instance.json"]


# -- estimate, schema, backends ---------------------------------------------------------------------------------------------


def test_estimate_needs_a_place_for_its_answer(allocate, tmp_path):
    points = written(tmp_path, "model,accelerator\n", "points.csv")
    assert allocate("estimate", points).code == 2
    assert allocate("estimate", points, "-o", tmp_path / "missing" / "out.csv").code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["points.csv"]


POINTS = "model,accelerator,precision,tensor_parallel,attention_dp,expert_parallel,accelerator_count,backend,backend_version"
POINTS += ",input_tokens,output_tokens,concurrency\n"


def test_estimate_adds_columns_and_says_where_they_are(allocate, tmp_path):
    points = written(tmp_path, POINTS + "Llama-3.1-70B-Instruct,H100,fp8,4,,,4,vllm,,1024,1024,8\n", "points.csv")
    ran = allocate("estimate", points, "-o", tmp_path / "out.csv")
    assert (ran.code, ran.out) == (0, f"Written to {tmp_path / 'out.csv'}\n")
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header.startswith(POINTS.strip() + ",predicted_ttft_ms")
    assert row.startswith("Llama-3.1-70B-Instruct,H100,fp8,4,,,4,vllm,,1024,1024,8,")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("", "the column model"),
        (POINTS + "m,H100\n", "line 2"),
        (POINTS + "m,H100,fp8,x,,,4,v,,1,1,8\n", "'x'"),
    ],
)
def test_estimate_refuses_what_are_no_points(allocate, tmp_path, content, told):
    points = tmp_path / "points.csv"
    if content is not None:
        points.write_text(content)
    ran = allocate("estimate", points, "-o", tmp_path / "out.csv")
    assert (ran.code, ran.out) == (6, "")
    assert told in ran.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(("kind", "field"), [("instance", "workloads"), ("plan", "deployments")])
def test_a_schema_is_printed_or_written(allocate, tmp_path, kind, field):
    printed = allocate("schema", kind)
    assert (printed.code, printed.err) == (0, "")
    schema = json.loads(printed.out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert field in schema["required"]
    assert schema["additionalProperties"] is False
    assert allocate("schema", kind, "-o", tmp_path / "s.json").out == ""
    assert (tmp_path / "s.json").read_text() == printed.out


def test_a_schema_of_something_else_is_usage(allocate):
    assert allocate("schema", "catalog").code == 2


def test_backends_are_listed_with_whether_they_work(allocate, monkeypatch):
    monkeypatch.setitem(__import__("solvers.registry").registry.BUILT_IN, "cbc", "tests.optimizer.cli.fakes:Unproved")
    ran = allocate("backends")
    assert (ran.code, ran.err) == (0, "")
    assert "ortools    available:" in ran.out
    assert "cbc        not available: found 3 where -7 is right" in ran.out
    told = {b["name"]: b for b in json.loads(allocate("backends", "--format", "json").out)}
    assert (told["ortools"]["available"], told["cbc"]["available"]) == (True, False)


# -- bugs -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bug(monkeypatch):
    def boom(*arguments, **named):
        raise RuntimeError("a mistake\nof ours")

    monkeypatch.setattr("optimizer.pipeline.allocate", boom)


def test_a_bug_is_exit_1_with_one_line_and_a_report(allocate, question, bug, private_temporary_folder):
    ran = allocate("solve", question)
    assert (ran.code, ran.out) == (1, "")
    (report,) = private_temporary_folder.glob("allocate-bug-*.txt")
    assert ran.err == f"allocate: this is a bug: RuntimeError: a mistake (report: {report})\n"
    text = report.read_text()
    assert f"allocate solve {question}" in text
    assert "Traceback" in text
    assert "of ours" in text


def test_a_bug_whose_report_cannot_be_written_is_still_exit_1(allocate, question, bug, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    ran = allocate("solve", question)
    assert ran.code == 1
    assert "run again with --debug" in ran.err


@pytest.mark.parametrize("arguments", [["--debug", "solve", "{}"], ["solve", "{}", "--debug"]])
def test_debug_shows_the_traceback(allocate, question, bug, arguments):
    ran = allocate(*(a.replace("{}", str(question)) for a in arguments))
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert "RuntimeError: a mistake" in ran.err


def test_debug_shows_where_an_error_was_raised(allocate, tmp_path):
    ran = allocate("--debug", "validate", tmp_path / "none.json")
    assert ran.code == 6
    assert "Traceback" in ran.err


def test_a_bug_in_a_backend_is_a_bug(allocate, question, use_backend):
    use_backend("Broken")
    assert allocate("solve", question).code == 1


def test_a_plan_that_fails_its_own_verification_is_a_bug(allocate, question, monkeypatch, private_temporary_folder):
    from optimizer.plan import Verification

    refused = Verification(passed=False, rules=("cost",), failures=("cost: 2 is not 3",))
    monkeypatch.setattr("optimizer.verify.verify_plan", lambda *_: refused)
    ran = allocate("solve", question)
    assert (ran.code, ran.out) == (1, "")
    assert "this is a bug: VerificationError" in ran.err
    (report,) = private_temporary_folder.glob("allocate-bug-*.txt")
    assert "cost: 2 is not 3" in report.read_text()


def test_an_error_with_a_code_of_its_own_keeps_it(allocate, question, monkeypatch):
    def refuse(*arguments, **named):
        raise CheckFailedError("the gate is shut")

    monkeypatch.setattr("optimizer.pipeline.allocate", refuse)
    ran = allocate("solve", question)
    assert (ran.code, ran.err) == (7, "allocate: the gate is shut\n")


def test_what_a_message_quotes_cannot_move_the_cursor(allocate, tmp_path):
    ran = allocate("validate", tmp_path / "none\x1b[2J.json")
    assert ran.code == 6
    assert "\x1b" not in ran.err
    assert "\\x1b[2J" in ran.err
