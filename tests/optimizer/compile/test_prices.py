"""What is paid for an instance-hour, on paper: rules in order, terms, and reserved prices made of on-demand ones."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from optimizer.errors import InvalidInputError
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from tests.optimizer.tiny import instance, offer, two_types


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
    plan = solve(backend, price_rules=rules)
    assert plan.usd_per_hour == pytest.approx(1.3)
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
