"""A replay of few days: the world does what it says, the three ways are told."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.nightly.config import load_config
from optimizer.nightly.replay import replay, summary_of, to_csv
from optimizer.nightly.world import MIN_HISTORY_DAYS, World
from optimizer.read import load_instance
from optimizer.report.drawing import draw_replay


def test_days_are_replayed_and_told(job):
    said = []
    days = replay(load_config(job.folder / "nightly.yaml"), days=6, seed=3, tell=said.append)
    assert [d.day for d in days] == [f"2026-11-{n}" for n in range(22, 28)]
    assert len(said) == 6
    assert sum("prices move" in d.events for d in days) >= 5
    assert sum("is damaged" in d.events for d in days) == 3
    assert sum("is gone" in d.events for d in days) == 1
    assert days[0].changed_fraction == 0.0
    assert all(0 < d.first_coverage <= 1 and 0 < d.coverage <= 1 for d in days)
    assert "| (a) the first plan for ever |" in summary_of(days)
    assert to_csv(days).count("\n") == 7
    assert len(draw_replay(to_csv(days)).to_dict()["vconcat"]) == 3
    assert not (job.folder / "plans").exists()
    assert replay(load_config(job.folder / "nightly.yaml"), days=6, seed=3) == days


def test_the_world_moves_prices_by_a_tenth_and_more(job):
    world = World(load_instance(job.folder / "instance.json"), 30, np.random.default_rng(0))
    moved = np.abs(world.factor[1:] / world.factor[:-1] - 1)
    assert (moved.max(axis=1) >= 0.10 - 1e-9).sum() >= 5
    assert len(world.damaged) == 3
    assert world.rate.shape == (1, (30 + MIN_HISTORY_DAYS) * 24)


def test_a_plan_covers_all_where_demand_is_as_planned_and_less_where_it_is_not(job):
    outcome = job.run()
    instance = load_instance(job.folder / "instance.json")
    world = World(instance, 2, np.random.default_rng(0))
    world.rate[:] = 10.0
    assert world.coverage(outcome.plan, instance, 0) == 1.0
    world.rate[:] = 20.0
    room = 10.0 / outcome.plan.workloads[0].utilization
    assert world.coverage(outcome.plan, instance, 0) == pytest.approx(min(room / 20.0, 1.0))
