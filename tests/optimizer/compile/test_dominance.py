"""What dominance leaves out, small enough to see why; that it moves no optimum is for ``test_oracle`` and ``test_full``."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.compile import compile_instance
from tests.optimizer.tiny import FLOOR, accelerator, instance, model, offer, profile, variant, workload

FAST_FORM = model("m", variant("fp16", 1.0), variant("int8", 0.99))
FORMS = {
    "accelerators": [accelerator("a")],
    "offers": [offer("a")],
    "models": [FAST_FORM],
    "profiles": [profile("m", "a", 5.0), profile("m", "a", 8.0, precision="int8")],
}


@pytest.mark.parametrize(("aggregation", "kept"), [("per_request", 1), ("traffic_weighted", 2)])
def test_accuracy_above_the_floor_counts_only_where_it_is_averaged(aggregation, kept):
    compiled = compile_instance(
        instance(**FORMS, workloads=[workload("w", 10.0, accuracy={**FLOOR, "aggregation": aggregation})])
    )
    assert (compiled.dominated_by < 0).sum() == kept


def test_of_equally_fast_forms_the_more_accurate_stays():
    profiles = [profile("m", "a", 5.0), profile("m", "a", 5.0, precision="int8")]
    compiled = compile_instance(instance(**{**FORMS, "profiles": profiles}, workloads=[workload("w", 10.0, accuracy=FLOOR)]))
    (k,) = np.flatnonzero(compiled.dominated_by < 0)
    assert compiled.candidates.configuration(k).precision == "fp16"


def shared(**changes):
    """Replicas of one and of two accelerators on instances of one, two and four at 1 USD per accelerator-hour."""
    parts = {
        "accelerators": [accelerator("a")],
        "offers": [offer("a", 1, 1.0), offer("a", 2, 2.0), offer("a", 4, 4.0)],
        "profiles": [profile("m", "a", 5.0), profile("m", "a", 12.0, size=2)],
        "workloads": [workload("w", 10.0)],
    }
    return compile_instance(instance(**{**parts, **changes})).columns


def test_replicas_leave_shared_instances_for_their_own_size():
    columns = shared()
    assert len(columns.instance_offer) == 0
    assert sorted(columns.table.offers.size[columns.replica_offer]) == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"offers": [offer("a", 1, 1.1), offer("a", 2, 2.0), offer("a", 4, 4.0)]},
        {"limits": [{"name": "few", "match": {"accelerator": "a"}, "max_instances": 3}]},
        {"limits": [{"name": "few", "match": {"instance_type": "ax1"}, "max_accelerators": 3}]},
    ],
    ids=["dearer", "instances are counted", "counted only there"],
)
def test_replicas_stay_where_leaving_might_cost(changes):
    assert len(shared(**changes).instance_offer) > 0
