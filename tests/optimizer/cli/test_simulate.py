"""``allocate simulate``: exit codes and what is told."""

from __future__ import annotations

import json
from functools import partial

import pytest

import optimizer.pipeline
from tests.optimizer.files import written
from tests.optimizer.simulate.small import question


@pytest.fixture
def files(allocate, tmp_path):
    """Give an instance and its plan."""
    instance = written(tmp_path, question())
    assert allocate("solve", instance, "-o", tmp_path / "plan.json", "--quiet").code == 0
    return instance, tmp_path / "plan.json"


def test_a_plan_that_holds_is_exit_0_in_words_and_as_json(allocate, files):
    ran = allocate("simulate", *files, "--requests", 5000)
    assert ran.code == 0
    assert "Every target of every simulated pool holds" in ran.out
    assert "Not simulated" in ran.out
    ran = allocate("simulate", *files, "--requests", 5000, "--format", "json", "--balancer", "central", "--all-periods")
    assert ran.code == 0
    assert json.loads(ran.out)["balancer"] == "central"


def test_a_miss_is_exit_7_with_pool_figure_target_and_what_would_mend_it(allocate, files):
    plan = json.loads(files[1].read_text())
    plan["deployments"][0]["replicas"] = 4
    files[1].write_text(json.dumps(plan))
    ran = allocate("simulate", *files, "--requests", 5000)
    assert ran.code == 7
    assert "MISSES" in ran.out
    assert "chat: fp16 on 1 x card" in ran.err
    assert "target 300 ms" in ran.err
    assert "replicas instead of 4 would hold it" in ran.err


def test_bad_input_is_refused_each_with_its_code(allocate, files, tmp_path):
    instance, plan = files
    other = written(tmp_path, question(78.0), "other.json")
    (tmp_path / "trace.csv").write_text("time_s\n2\n1\n")
    assert allocate("simulate", other, plan).code == 6
    assert allocate("simulate", instance, plan, "--arrivals", tmp_path / "trace.csv").code == 6
    assert allocate("simulate", instance, plan, "--arrivals", "bursty:9:9").code == 2
    assert allocate("simulate", instance, plan, "--balancer", "none").code == 2
    assert allocate("simulate", instance, plan, "--lose", "nothing@3").code == 2
    assert allocate("simulate", instance, tmp_path / "missing.json").code == 6


def test_solve_simulates_what_it_found(allocate, tmp_path, monkeypatch):
    found = partial(optimizer.pipeline.allocate_simulated, requests=2000)
    monkeypatch.setattr(optimizer.pipeline, "allocate_simulated", found)
    ran = allocate("solve", written(tmp_path, question()), "--simulate")
    assert ran.code == 0
    assert "simulated with 2,000 requests a pool" in ran.out
