"""The published GPU-selection format: known optima, and everything that can be wrong told at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.optimize as so

from optimizer.pipeline import Options, allocate
from optimizer.read import load_instance

EXAMPLE = {
    "gpu_info": {
        "A10G": {"cost": 1.01, "tputs": [[2, 1], [5, 2]]},
        "A100-80GB": {"cost": 3.67, "tputs": [[20, 20], [40, 20]]},
    },
    "workload_distribution": [[0.2, 0.1], [0.5, 0.2]],
    "total_request_rate": 30.0,
    "slice_factor": 1,
}


@pytest.fixture
def cost(tmp_path, backend):
    """Import a configuration and solve it."""

    def solved(config):
        from optimizer.cli import main

        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(SystemExit) as stop:
            main(["import", "melange", str(tmp_path / "config.json"), "-o", str(tmp_path / "instance.json")])
        assert stop.value.code == 0
        return allocate(load_instance(tmp_path / "instance.json"), Options(backend=backend, relative_gap=1e-6)).usd_per_hour

    return solved


def test_the_published_example_costs_what_divisible_routing_costs(cost):
    """Loads: A10G 3 + 3 + 3 + 3, A100 0.3 + 0.15 + 0.375 + 0.3 = 1.125. One A100 and 0.125 of one moved, of the third bucket.

    There 8 A10G do what one A100 does, so that is 1.0 of an A10G: 3.67 + 1.01. Whole buckets need 6.70, finer slices 5.69.
    """
    assert cost(EXAMPLE) == pytest.approx(4.68)


def test_a_throughput_of_zero_keeps_a_bucket_away(cost):
    """The A10G serves only the second bucket, 20 of it for one A100: 0.125 of an A100 takes 2.5 A10G: 3.67 + 3 x 1.01 = 6.70."""
    gpus = {**EXAMPLE["gpu_info"], "A10G": {"cost": 1.01, "tputs": [[0, 1], [0, 0]]}}
    assert cost({**EXAMPLE, "gpu_info": gpus}) == pytest.approx(6.70)


def test_ten_by_ten_buckets_agree_with_a_model_written_down_directly(cost):
    """Σ_g cost[g] n[g], Σ_g f[b, g] = 1, Σ_b rate[b] / tput[g, b] f[b, g] ≤ n[g]."""
    rng = np.random.default_rng(3)
    shares, tputs = rng.dirichlet(np.ones(100)).round(6), np.exp(rng.uniform(0, 4, (3, 100))).round(3)
    prices, load = np.array([1.0, 2.2, 5.1]), 40.0 * shares / tputs
    rows = np.hstack([np.zeros((100, 3)), np.tile(np.eye(100), 3)])
    used = np.hstack([-np.eye(3), *(np.outer(np.eye(3)[g], load[g]) for g in range(3))])
    rules = [so.LinearConstraint(rows, 1, 1), so.LinearConstraint(used, -np.inf, 0)]
    best = so.milp(np.r_[prices, np.zeros(300)], constraints=rules, integrality=np.r_[np.ones(3), np.zeros(300)])
    gpus = {f"g{g}": {"cost": float(prices[g]), "tputs": tputs[g].reshape(10, 10).tolist()} for g in range(3)}
    config = {"gpu_info": gpus, "workload_distribution": shares.reshape(10, 10).tolist(), "total_request_rate": 40.0}
    assert cost(config) == pytest.approx(best.fun, rel=1e-6)


def test_all_that_is_wrong_is_told_at_once(tmp_path, capsys):
    from optimizer.cli import main

    gpus = {
        "A10G": {"cost": 0, "tputs": [[2, 1], [5]]},
        "-x": {"cost": True, "tputs": [[1, 2]], "more": 1},
        "T4": 3,
        "L4": {"cost": 1.0, "tputs": [[1, "2"], [-1, 2]]},
    }
    wrong = {"gpu_info": gpus, "workload_distribution": [[0.2, 0.1], [0.5, 0.4]], "total_rate": 30.0, "slice_factor": 0}
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(SystemExit) as stop:
        main(["import", "melange", str(tmp_path / "config.json"), "-o", str(tmp_path / "instance.json")])
    told = capsys.readouterr().err
    assert stop.value.code == 6
    assert not (tmp_path / "instance.json").exists()
    places = ["/total_rate:", "/total_request_rate:", "/slice_factor:", "shares that sum to 1.2", "/gpu_info/A10G/cost:"]
    places += [
        "/gpu_info/A10G/tputs:",
        "the name '-x'",
        "/gpu_info/-x/cost:",
        "/gpu_info/-x/more:",
        "1 x 2 buckets",
        "/gpu_info/T4:",
    ]
    for place in [*places, "/gpu_info/L4/tputs/0/1:", "/gpu_info/L4/tputs/1/0:"]:
        assert place in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gpu_info": {}}, "an object with a GPU or more"),
        ({"workload_distribution": [[1e-9, 0.0], [1.0, 0.0]]}, "0, or one of at least 1e-6 requests/s"),
        ({"workload_distribution": [[1.0] * 99]}, "at most 80 x 80"),
        ({"gpu_info": {"g": {"cost": 1.0, "tputs": [[0, 1], [1, 1]]}}}, "requests that no GPU serves"),
    ],
)
def test_what_no_instance_can_hold_is_refused(allocate, tmp_path, change, said):
    (tmp_path / "config.json").write_text(json.dumps({**EXAMPLE, **change}))
    ran = allocate("import", "melange", tmp_path / "config.json", "-o", tmp_path / "instance.json")
    assert ran.code == 6
    assert said in ran.err
