"""Laws of every head: never negative, monotone in every price and amount, linear in money, elementwise on arrays.

``LAWS`` says of each public function what each argument is: money ("$"), another amount that costs more ("+"), something that
costs less the more there is of it ("-"), a share that costs more ("%").
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.costs import compute, data, horizon, licence, maintenance, people, power, risk, setup, storage, transfer
from optimizer.costs.horizon import FloatArray
from optimizer.instance import HOURS_PER_MONTH
from optimizer.plan import HEADS

Head = Callable[..., FloatArray]
QUICK = settings(max_examples=25, deadline=None, database=None, derandomize=True)
NOT_HEADS = {
    "as_floats",
    "FloatArray",
    "HOURS_PER_MONTH",
    "MONTHS_PER_YEAR",
    "power_rates_usd_per_hour",
    "ruled_price_usd_per_hour",
}
"""Constants, types, and what has a test of its own."""


def owned(residual_share: Any, purchase: Any, years: Any, kept_up: Any) -> FloatArray:
    """Own an instance whose residual is a share of its price, so that any draw makes sense."""
    return compute.owned_usd_per_hour(purchase, np.multiply(purchase, residual_share), years, kept_up)


def powered(accelerators: Any, idle: Any, more: Any, utilization: Any, pue: Any, tariff: Any) -> FloatArray:
    """Power accelerators whose active watts are given as what they add to idle."""
    return power.power_usd_per_hour(accelerators, idle, np.add(idle, more), utilization, pue, tariff)


def ruled(price: Any, discount: Any, rise: Any, fee: Any) -> FloatArray:
    """Apply a discount (as a share of 99 %), a rise and a fee."""
    return compute.ruled_price_usd_per_hour(price, [np.multiply(discount, -99.0), rise], [fee])


LAWS: dict[str, tuple[Head, str]] = {
    "rent_usd_per_hour": (compute.rent_usd_per_hour, "$+"),
    "ruled": (ruled, "$d+$"),
    "reserved_usd_per_hour": (compute.reserved_usd_per_hour, "$-$"),
    "owned_usd_per_hour": (owned, "d$-+"),
    "compute_usd": (compute.compute_usd, "$++$+"),
    "power_usd_per_hour": (powered, "+++%+$"),
    "draw_w": (lambda idle, more, u: power.draw_w(idle, np.add(idle, more), u), "++%"),
    "energy_kwh_per_hour": (power.energy_kwh_per_hour, "+++"),
    "energy_usd": (power.energy_usd, "+$"),
    "emissions_gco2_per_hour": (power.emissions_gco2_per_hour, "++"),
    "storage_usd": (storage.storage_usd, "+$+"),
    "storage_usd_per_hour": (storage.storage_usd_per_hour, "+$"),
    "transfer_usd": (transfer.transfer_usd, "+$"),
    "egress_usd_per_hour": (transfer.egress_usd_per_hour, "++$"),
    "download_usd_per_hour": (transfer.download_usd_per_hour, "+$+"),
    "data_usd": (data.data_usd, "$+$+"),
    "people_usd": (people.people_usd, "$++$+"),
    "people_usd_per_hour": (people.people_usd_per_hour, "$++$"),
    "licence_usd_per_hour": (licence.licence_usd_per_hour, "$+$+$+"),
    "setup_usd": (setup.setup_usd, "+$+$+$%"),
    "maintenance_usd_per_hour": (maintenance.maintenance_usd_per_hour, "$%$"),
    "interruption_usd_per_hour": (risk.interruption_usd_per_hour, "++$"),
    "penalty_usd_per_hour": (risk.penalty_usd_per_hour, "+$"),
    "hourly_usd": (horizon.hourly_usd, "$"),
    "amortised_usd_per_hour": (horizon.amortised_usd_per_hour, "$-"),
}
AMOUNT = st.integers(0, 10**6).map(lambda n: n / 64)
SHARE = st.integers(0, 64).map(lambda n: n / 64)
SOME = {"$": AMOUNT, "+": AMOUNT, "%": SHARE, "d": SHARE, "-": st.integers(1, 10**4).map(lambda n: n / 64)}
every_head = pytest.mark.parametrize("name", LAWS)


def arguments(kinds: str) -> st.SearchStrategy[list[float]]:
    return st.tuples(*(SOME[kind] for kind in kinds)).map(list)


@every_head
def test_no_head_is_ever_negative(name: str) -> None:
    head, kinds = LAWS[name]

    @QUICK
    @given(arguments(kinds))
    def law(given_: list[float]) -> None:
        assert head(*given_) >= 0

    law()


@every_head
def test_more_of_anything_never_costs_less_and_a_longer_horizon_or_a_deeper_discount_never_more(name: str) -> None:
    head, kinds = LAWS[name]

    @QUICK
    @given(arguments(kinds), arguments(kinds))
    def law(one: list[float], other: list[float]) -> None:
        for place, kind in enumerate(kinds):
            low, high = sorted((one[place], other[place]))
            before, after = (head(*one[:place], value, *one[place + 1 :]) for value in (low, high))
            if kind in "-d":
                before, after = after, before
            assert after >= before * (1 - 1e-12)

    law()


@every_head
def test_every_price_and_amount_matters(name: str) -> None:
    """All at 1 (shares at a half), then one argument raised: the cost changes."""
    head, kinds = LAWS[name]
    base = [0.5 if kind in "%d" else 1.0 for kind in kinds]
    assert all(head(*base[:i], base[i] * 1.5, *base[i + 1 :]) != head(*base) for i in range(len(base)))


@pytest.mark.parametrize("name", [name for name, (_, kinds) in LAWS.items() if "$" in kinds])
def test_scaling_every_amount_of_money_scales_the_head(name: str) -> None:
    head, kinds = LAWS[name]

    @QUICK
    @given(arguments(kinds), st.sampled_from([0.25, 4.0]), st.integers(1, 1000))
    def law(one: list[float], exact: float, factor: int) -> None:
        assert head(*scaled(one, kinds, exact)) == exact * head(*one)
        assert head(*scaled(one, kinds, factor)) == pytest.approx(factor * head(*one), rel=1e-12)

    law()


def scaled(values: list[float], kinds: str, factor: float) -> list[float]:
    return [value * factor if kind == "$" else value for value, kind in zip(values, kinds, strict=True)]


@every_head
def test_arrays_are_combined_element_by_element(name: str) -> None:
    head, kinds = LAWS[name]
    columns = [np.array([0.25, 0.5, 0.75]) + (0 if kind in "%d" else place) for place, kind in enumerate(kinds)]
    assert head(*columns).tolist() == [float(head(*row)) for row in np.transpose(columns)]


@every_head
def test_a_missing_figure_stays_missing(name: str) -> None:
    """NaN in, NaN out, and never zero; a price rule without its percentage is refused (below)."""
    head, kinds = LAWS[name]
    for place, kind in enumerate(kinds):
        if kind in ("$" if name == "ruled" else "$+"):
            assert np.isnan(head(*(np.nan if place == i else 0.5 for i in range(len(kinds)))))


@QUICK
@given(*(AMOUNT, AMOUNT, AMOUNT, SHARE, AMOUNT, AMOUNT))
def test_power_is_linear_in_what_is_on_and_what_is_busy(
    n: float, idle: float, more: float, u: float, pue: float, tariff: float
) -> None:
    on, busy = power.power_rates_usd_per_hour(idle, idle + more, pue, tariff)
    assert n * on + n * u * busy == pytest.approx(powered(n, idle, more, u, pue, tariff), rel=1e-9)


def test_percentages_come_before_fees_whatever_their_order() -> None:
    """100 less 10 % less 10 % is 81, not 80; a fee of 9 on top is not discounted: 90."""
    assert compute.ruled_price_usd_per_hour(100, [-10, -10], [4, 5]) == 90
    assert compute.ruled_price_usd_per_hour(100) == 100


@pytest.mark.parametrize("percent", [-100, -100.5, np.nan])
def test_a_rule_that_leaves_nothing_to_pay_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="leave something to pay"):
        compute.ruled_price_usd_per_hour([1.0, 2.0], [[-20, percent]])


@pytest.mark.parametrize("months", [0, -1, np.nan, [12, 0]])
def test_a_horizon_that_is_not_positive_is_refused(months: float) -> None:
    with pytest.raises(ValueError, match="more than 0 months"):
        horizon.amortised_usd_per_hour(1000, months)


def test_amortised_amounts_add_up_to_what_was_spent() -> None:
    for usd, months in product([1.0, 999.99, 1e6], [1, 7, 36]):
        assert horizon.amortised_usd_per_hour(usd, months) * months * 730 == pytest.approx(usd, rel=1e-12)


def test_a_month_is_the_instances_month() -> None:
    assert horizon.HOURS_PER_MONTH == HOURS_PER_MONTH


def test_every_head_of_a_plan_has_a_module_and_every_function_its_laws() -> None:
    modules = [importlib.import_module(f"optimizer.costs.{head}") for head in (*HEADS, "horizon")]
    assert {name for module in modules for name in module.__all__} - NOT_HEADS == set(LAWS) - {"ruled"}
