"""Rent of whole instances, and what reserved and owned ones come to an hour.

An instance is paid for whole, whatever share of it is used; prices are USD per instance-hour. Reserved and owned instances are
paid for in every hour of their term, used or not. Which prices are known, and how old they are, is settled before.
Sources: rules and terms are the user's own (none is invented here); straight-line depreciation as in IAS 16, paragraph 62.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from optimizer.costs.horizon import HOURS_PER_MONTH, MONTHS_PER_YEAR, FloatArray, amortised_usd_per_hour, as_floats

__all__ = ["compute_usd", "owned_usd_per_hour", "rent_usd_per_hour", "reserved_usd_per_hour", "ruled_price_usd_per_hour"]


def rent_usd_per_hour(usd_per_instance_hour: npt.ArrayLike, instances: npt.ArrayLike) -> FloatArray:
    """Give the rent of some instances, USD per hour, elementwise.

    >>> rent_usd_per_hour([4.6, 1.9], [2, 3]).tolist()
    [9.2, 5.699999999999999]
    """
    return as_floats(usd_per_instance_hour) * as_floats(instances)


def ruled_price_usd_per_hour(
    list_usd_per_hour: npt.ArrayLike, percents: Iterable[npt.ArrayLike] = (), fees_usd_per_hour: Iterable[npt.ArrayLike] = ()
) -> FloatArray:
    """Give a list price after price rules: percentages first, each on what the one before left, then fixed fees.

    Parameters
    ----------
    list_usd_per_hour : list price, USD per instance-hour; NaN where it is missing, and then so is the result
    percents : one change a rule, in order, %; -20 takes a fifth off, 5 adds a twentieth; > -100
    fees_usd_per_hour : one fixed fee a rule, USD per instance-hour; no percentage touches them

    Raises
    ------
    ValueError : a percentage would leave nothing to pay, or less

    10 USD/h less 20 %, plus 5 % on the 8 that are left, plus 0.25 USD/h of support:

    >>> round(float(ruled_price_usd_per_hour(10, [-20, 5], [0.25])), 9)
    8.65
    """
    price = as_floats(list_usd_per_hour)
    for percent in percents:
        if not np.all(as_floats(percent) > -100):
            raise ValueError(f"a price rule must leave something to pay: {percent!r} % is not above -100 %")
        price = price * (100 + as_floats(percent)) / 100
    for fee in fees_usd_per_hour:
        price = price + as_floats(fee)
    return price


def reserved_usd_per_hour(upfront_usd: npt.ArrayLike, term_months: npt.ArrayLike, usd_per_hour: npt.ArrayLike) -> FloatArray:
    """Give the price of a reserved instance, ``upfront / (730 term_months) + usd_per_hour``, USD per hour of its term.

    26,280 USD upfront over 36 months is 1 USD/h, beside 0.5 USD/h as it runs:

    >>> float(reserved_usd_per_hour(26280, 36, 0.5))
    1.5
    """
    return amortised_usd_per_hour(upfront_usd, term_months) + as_floats(usd_per_hour)


def owned_usd_per_hour(
    purchase_usd: npt.ArrayLike,
    residual_usd: npt.ArrayLike,
    depreciation_years: npt.ArrayLike,
    maintenance_fraction_per_year: npt.ArrayLike,
) -> FloatArray:
    """Give what an owned instance costs, ``(purchase - residual) / (8760 years) + purchase fraction / 8760``, USD per hour.

    Parameters
    ----------
    purchase_usd : price of one instance with everything it needs to run, USD
    residual_usd : what it will fetch at the end, USD, at most the purchase price
    depreciation_years : years until then, > 0
    maintenance_fraction_per_year : spares and service contract, share of the purchase price a year

    219,000 USD less 43,800 over 4 years is 5 USD/h; 4 % a year of 219,000 is 1 USD/h:

    >>> float(owned_usd_per_hour(219000, 43800, 4, 0.04))
    6.0
    """
    loss = as_floats(purchase_usd) - as_floats(residual_usd)
    kept_up_usd_per_year = as_floats(purchase_usd) * as_floats(maintenance_fraction_per_year)
    years_as_months = as_floats(depreciation_years) * MONTHS_PER_YEAR
    return amortised_usd_per_hour(loss, years_as_months) + kept_up_usd_per_year / (MONTHS_PER_YEAR * HOURS_PER_MONTH)


def compute_usd(
    usd_per_accelerator_hour: npt.ArrayLike,
    accelerators: npt.ArrayLike,
    hours: npt.ArrayLike,
    usd_per_unit: npt.ArrayLike = 0.0,
    units: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give the cost of a stretch of computing, ``C_compute = c3 R T + c4 C``, USD.

    ``c3`` is the price of an accelerator-hour, ``R`` accelerators, ``T`` hours; ``c4`` and ``C`` price and amount of what is
    bought with them by the unit. Any unit of time will do as long as price and time share it.

    100 accelerators for 100 h at 10 USD, and 100 units of something at 5 USD:

    >>> float(compute_usd(10, 100, 100, 5, 100))
    100500.0
    """
    rent = as_floats(usd_per_accelerator_hour) * as_floats(accelerators) * as_floats(hours)
    return rent + as_floats(usd_per_unit) * as_floats(units)
