"""What the small shipped questions show: heads and rows without which another plan is best, by more than any gap."""

from __future__ import annotations

import pytest

from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.benchmarks.heads import CASES, Case, outcome, question, shipped

OPTIONS = Options(backend="ortools", relative_gap=0.001, time_limit_s=60)
CHANGES = [  # those that take a second or a few; docs/heads.md has all
    ("tutor", "objective profit: cost", "counts or places"),
    ("tutor", "storage and fetching of weights", "accelerator"),
    ("tutor", "purchase lots", "accelerator"),
    ("claims", "fractions of an accelerator", "accelerator"),
    ("claims", "storage (a record kept)", "compression"),
    ("claims", "flat licence (a cluster's)", "accelerator"),
    ("claims", "carbon: no cap", "accelerator"),
    ("helpline", "insured losses: none", "accelerator"),
]


def case(name: str, family: str) -> Case:
    (found,) = [case for case in CASES if (case.instance, case.family) == (name, family)]
    return found


def plan(name: str) -> Plan:
    return shipped(name, None, OPTIONS)[0]


@pytest.mark.parametrize("name", ["tutor", "claims", "helpline"])
def test_the_plan_is_verified_within_a_thousandth(name: str) -> None:
    found = plan(name)
    assert found.verification is not None
    assert found.verification.passed
    assert found.relative_gap is not None
    assert found.relative_gap <= 0.001


@pytest.mark.parametrize("name", ["tutor", "claims", "helpline"])
def test_both_backends_say_the_same(name: str) -> None:
    """Neither bound is above the other's cost."""
    one, other = plan(name), allocate(question(name), Options(backend="cbc", relative_gap=0.001, time_limit_s=60))
    assert other.verification is not None
    assert other.verification.passed
    assert one.bound_usd is not None
    assert other.bound_usd is not None
    assert one.bound_usd <= other.objective_usd
    assert other.bound_usd <= one.objective_usd


@pytest.mark.parametrize(("name", "family", "changes"), CHANGES)
def test_without_a_family_another_plan_is_best(name: str, family: str, changes: str) -> None:
    """The new plan is cheaper than the shipped one could be in the changed question, and is another plan."""
    found = outcome(case(name, family), OPTIONS)
    assert changes in found.what
    if found.gain_usd is None:
        assert abs(found.shipped.objective_usd - found.changed.objective_usd) > found.doubt_usd
    else:
        assert found.gain_usd > found.doubt_usd


def test_tutors_share_a_pool_and_the_free_one_is_not_served_whole() -> None:
    found = plan("tutor")
    assert {d.workloads for d in found.deployments if len(d.workloads) == 6}
    assert {(u.workload, u.period) for u in found.unserved} == {("tutor-free", "school"), ("tutor-free", "homework")}
    assert all(r.option != "reserved" or r.offer.startswith("nebius/") for r in found.rentals)


def test_claims_cut_an_accelerator_by_night_and_stay_in_the_house() -> None:
    found = plan("claims")
    cut = {(d.workloads, d.period) for d in found.deployments if d.slots > 1}
    assert {(("write-letters",), "night"), (("find-fraud",), "night")} <= cut
    assert {d.region for d in found.deployments if d.workloads != ("write-summaries",)} == {"oakland"}
