"""What is paid for an instance-hour, on paper: rules in order, terms, and reserved prices made of on-demand ones."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from optimizer.errors import InvalidInputError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.verify import verify_plan
from tests.optimizer.tiny import instance, offer, two_types, workload


def solve(backend: str, **parts: Any) -> Plan:
    return allocate(instance(**two_types(10.0) | parts), Options(backend=backend, relative_gap=1e-6))


def rule(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def test_percentages_come_first_in_order_and_then_fees(backend: str) -> None:
    """Large: 3 less 20 %, plus 5 % of the 2.4 left, plus 0.03 of support: 2.55; 2 small cost 2 x 1.25 = 2.5, until they pay."""
    rules = [
        rule("support", match={"accelerator": "large"}, fee_usd_per_hour=0.03),
        rule("volume", match={"accelerator": "large"}, percent=-20.0),
        rule("tax", match={"accelerator": "large", "provider": "p"}, percent=5.0),
        rule("dear", match={"instance_type": "smallx1"}, percent=25.0),
    ]
    assert solve(backend, price_rules=rules).usd_per_hour == pytest.approx(2.5)
    plan = solve(backend, price_rules=[*rules, rule("desk", match={"accelerator": "small"}, fee_usd_per_hour=0.05)])
    assert (plan.usd_per_hour, plan.replicas) == (pytest.approx(2.55), {"large": 1})
    rental = plan.rentals[0]
    assert (rental.list_usd_per_instance_hour, rental.price_rules) == (3.0, ("support", "volume", "tax"))
    assert rental.price_quality == "assumed"
    assert any("rules support, tax, volume" in text for text in plan.assumptions)
    assert plan.baselines.good_practice.usd_per_hour == pytest.approx(2.55)


def test_a_rule_makes_reserved_prices_where_there_are_none(backend: str) -> None:
    """40 % off on demand, and 0.05 of a fee that every price of small pays: 2 x 0.65 instead of 2 x 1.05."""
    rules = [
        rule("year", match={"accelerator": "small"}, percent=-40.0, makes="reserved"),
        rule("desk", match={"accelerator": "small"}, fee_usd_per_hour=0.05),
    ]
    limits = [{"name": "budget", "match": {"model": "m", "option": "reserved"}, "max_usd_per_month": 1e4}]
    plan = solve(backend, price_rules=rules, limits=limits)
    assert plan.usd_per_hour == pytest.approx(1.3)
    assert plan.limits[0].used == pytest.approx(1.3 * 730)
    (rental,) = plan.rentals
    assert (rental.option, rental.list_usd_per_instance_hour, rental.price_rules) == ("reserved", 1.0, ("year", "desk"))


def test_a_stated_reserved_price_is_not_made_anew(backend: str) -> None:
    small = offer("small", 1, 1.0)
    small["prices"].append({"option": "reserved", "usd_per_hour": 0.9, "as_of": "2026-11-01", "source": "made up"})
    rules = [rule("year", percent=-40.0, makes="reserved", match={"accelerator": "small"})]
    assert solve(backend, offers=[small, offer("large", 1, 3.0)], price_rules=rules).usd_per_hour == pytest.approx(1.8)


def test_a_term_paid_upfront_is_spread_over_its_months(backend: str) -> None:
    """4,380 $ upfront over 12 months are 0.5 $/h beside 0.25: 2 x 0.75; all upfront, an hour may cost nothing more."""
    for hourly, cost in ((0.25, 1.5), (0.0, 1.0)):
        small = offer("small", 1, 1.0)
        term = {"option": "reserved", "upfront_usd": 4380.0, "term_months": 12.0, "usd_per_hour": hourly}
        small["prices"].append({**term, "as_of": "2026-11-01", "source": "made up"})
        plan = solve(backend, offers=[small, offer("large", 1, 3.0)])
        assert plan.usd_per_hour == pytest.approx(cost)
        assert plan.rentals[0].list_usd_per_instance_hour == hourly


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"price_rules": [rule("x", percent=-100.0)]}, "greater than -100"),
        ({"price_rules": [rule("x", match={"team": "t"})]}, "prices are of offers"),
        ({"price_rules": [rule("x", match={"option": "spot"}, makes="reserved")]}, "made of an on-demand one"),
        ({"price_rules": [rule("x", match={"accelerator": "none"})]}, "known accelerator|does not hold"),
        ({"offers": [offer("small", prices=[{"option": "spot", "upfront_usd": 1.0, "usd_per_hour": 0.0}])]}, "upfront"),
        ({"offers": [offer("small", prices=[{"option": "spot", "usd_per_hour": 0.0}])]}, "greater than or equal to 1e-06"),
    ],
)
def test_rules_and_terms_without_meaning_are_refused(parts: dict[str, Any], message: str) -> None:
    for price in (p for o in parts.get("offers", []) for p in o["prices"]):
        price |= {"as_of": "2026-11-01", "source": "made up"}
    with pytest.raises((InvalidInputError, ValidationError), match=message):
        instance(**two_types(10.0) | parts)


def lots_of(lot: int, usd_per_hour: float, **more: Any) -> dict[str, Any]:
    """Small on demand at 1 $/h, or reserved in lots at a price of its own; demand of 25/s is 5 of them."""
    small = offer("small", 1, 1.0)
    small["prices"].append(reserved | {"usd_per_hour": usd_per_hour, "lot": lot})
    return {"offers": [small, offer("large", 1, 30.0)], "workloads": [workload("w", 25.0)], **more}


reserved = {"option": "reserved", "as_of": "2026-11-01", "source": "made up"}


@pytest.mark.parametrize(
    ("lot", "usd_per_hour", "instances", "cost"), [(1, 0.5, 5, 2.5), (4, 0.5, 4, 3.0), (4, 0.2, 8, 1.6), (6, 0.5, 6, 3.0)]
)
def test_a_commitment_is_bought_in_whole_lots(backend: str, lot: int, usd_per_hour: float, instances: int, cost: float) -> None:
    """5 needed. In fours: 4 x 0.5 + 1 on demand, or 8 x 0.2 = 1.6 < 4 x 0.2 + 1. In sixes: 6 x 0.5 = 3 < 5."""
    plan = solve(backend, **lots_of(lot, usd_per_hour))
    assert plan.usd_per_hour == pytest.approx(cost)
    assert [r.instances for r in plan.rentals if r.option == "reserved"] == [instances]


def test_a_limit_below_a_lot_shuts_it_out(backend: str) -> None:
    limits = [{"name": "few", "match": {"option": "reserved"}, "max_instances": 5}]
    assert solve(backend, **lots_of(6, 0.5, limits=limits)).usd_per_hour == pytest.approx(5.0)


def test_verify_counts_lots() -> None:
    question = instance(**two_types(10.0) | lots_of(4, 0.2))
    plan = allocate(question, Options(relative_gap=1e-6))
    (rental,) = plan.rentals
    fewer = plan.model_copy(update={"rentals": (rental.model_copy(update={"instances": 5, "usd_per_hour": 1.0}),)})
    assert any("8 instances are needed" in failure for failure in verify_plan(question, fewer).failures)


def test_only_commitments_are_bought_in_lots() -> None:
    spot = reserved | {"option": "spot", "usd_per_hour": 1.0, "lot": 2}
    with pytest.raises(ValidationError, match="bought in lots"):
        instance(**two_types(10.0) | {"offers": [offer("small", prices=[spot])]})
