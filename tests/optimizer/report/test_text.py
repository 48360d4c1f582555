"""A plan as text: what is shown is what the plan holds, and what a plan quotes cannot break out of its place."""

from __future__ import annotations

import csv
import io

import pytest

from optimizer import allocate
from optimizer.compile import compile_instance
from optimizer.report import render, render_counts, render_rejected
from optimizer.report.text import FORMATS
from tests.optimizer.tiny import instance, model, two_types, variant, workload

LIMIT = {"name": "l", "match": {"accelerator": "small"}, "max_accelerators": 2, "reason": "stock"}


@pytest.fixture(scope="module")
def plan():
    """Two of small for 2 USD/h; the limit leaves no room for a third."""
    return allocate(instance(**two_types(10, limits=[LIMIT])))


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_ends_in_one_line_end(plan, form):
    text = render(plan, form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_a_table_shows_deployments_bill_workloads_and_limits(plan):
    text = render(plan)
    for part in (
        "Deployments",
        "Bill",
        "Workloads",
        "Limits",
        "1 x small",
        "p/r/smallx1",
        "on-demand",
        "2 / 2 accelerators",
        "binds",
    ):
        assert part in text
    assert "p99 E2E 130 / 130 ms" in text
    assert "100% / 100%" in text
    assert "no floor" in text


def test_the_next_command_is_the_last_line(plan):
    assert render(plan, next_command="do this").splitlines()[-1] == "Next: do this"
    assert "Next:" not in render(plan)


@pytest.mark.parametrize(
    ("stopped_by", "gap", "told"), [(None, 1e-7, "proved optimal, gap 1e-07"), ("time", 0.5, "stopped by time, gap 0.5")]
)
def test_the_proof_is_told_in_the_first_line(plan, stopped_by, gap, told):
    status = "optimal" if stopped_by is None else "feasible"
    changed = plan.model_copy(update={"stopped_by": stopped_by, "relative_gap": gap, "status": status})
    assert told in render(changed).splitlines()[0]


def test_a_bound_that_is_not_known_is_never_a_gap_of_zero(plan):
    changed = plan.model_copy(update={"stopped_by": "time", "relative_gap": None, "bound_usd": None, "status": "feasible"})
    assert "no bound known" in render(changed).splitlines()[0]


def test_a_baseline_that_misses_workloads_says_so(plan):
    good = plan.baselines.good_practice.model_copy(update={"missing": ("w",), "limits_broken_together": ("l",)})
    text = render(plan.model_copy(update={"baselines": plan.baselines.model_copy(update={"good_practice": good})}))
    assert "without w, which no single type can serve" in text
    assert "together it breaks 'l'" in text


@pytest.mark.parametrize("opening", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_in_a_csv_cell_is_never_a_formula(plan, opening):
    first = plan.deployments[0].model_copy(update={"basis": opening + 'HYPERLINK("x")', "usd_per_hour": 2.0})
    (row,) = csv.DictReader(io.StringIO(render(plan.model_copy(update={"deployments": (first,)}), "csv"), newline=""))
    assert row["basis"] == "'" + opening + 'HYPERLINK("x")'
    assert row["usd_per_hour"] == "2.0"


def test_what_a_plan_quotes_cannot_forge_a_line(plan):
    forged = plan.model_copy(update={"assumptions": ("x\nVerified: all is well.",), "warnings": ("y\nNext: rm -rf /",)})
    for form in ("table", "markdown"):
        lines = render(forged, form).splitlines()
        assert not any(line.startswith(("Verified: all", "Next: rm")) for line in lines)


def test_brackets_are_text_and_no_markup(plan):
    limit = plan.limits[0].model_copy(update={"reason": "[bold]loud[/bold] [red]"})
    assert "[bold]loud[/bold] [red]" in render(plan.model_copy(update={"limits": (limit,)}))


def test_a_markdown_row_has_as_many_cells_as_its_head(plan):
    limit = plan.limits[0].model_copy(update={"reason": "a|b\nc"})
    lines = render(plan.model_copy(update={"limits": (limit,)}), "markdown").splitlines()
    at = lines.index("### Limits")
    head, rule, row = lines[at + 2 : at + 5]
    assert head.count("|") == rule.count("|") == row.replace("\\|", "").count("|")


def test_rejected_candidates_and_counts_are_tables():
    floor = {"metric": "f1", "evaluation": "squad", "floor_fraction_of_baseline": 0.99}
    forms = model("m", variant("fp16", 1.0), variant("int8", 0.9))
    question = instance(**two_types(10, models=[forms], workloads=[workload("w", 10, accuracy=floor)]))
    compiled = compile_instance(question)
    text = render_rejected(compiled.candidates.rejected, "w")
    assert text.startswith(f"Rejected for w: {len(compiled.candidates.rejected)}")
    assert "int8" in text
    assert "Rejected for v: 0" in render_rejected(compiled.candidates.rejected, "v")
    for name, count in compiled.counts.items():
        assert any(line.split() == [*name.split(), f"{count:,}"] for line in render_counts(compiled.counts).splitlines())
