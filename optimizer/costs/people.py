"""Engineers who keep a platform or a variant alive, and their management: ``C_human = c5 L W + c6 M``.

Switched on by what is in use (an accelerator family, a provider, a variant), so that variety has its price. Time of people whom
a plan does not change is a reported constant. Source: the form is the published one of the project's articles; rates are the
user's own, the examples are illustrative.
"""

from __future__ import annotations

import numpy.typing as npt

from optimizer.costs.horizon import FloatArray, as_floats, hourly_usd

__all__ = ["people_usd", "people_usd_per_hour"]


def people_usd(
    usd_per_person_hour: npt.ArrayLike,
    people: npt.ArrayLike,
    hours: npt.ArrayLike,
    usd_per_managed: npt.ArrayLike = 0.0,
    managed: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give the cost of some work, ``C_human = c5 L W + c6 M``, USD.

    Parameters
    ----------
    usd_per_person_hour : c5, rate, USD per person and hour
    people : L, people at work
    hours : W, working time of each; in months if the rate is per month
    usd_per_managed : c6, price of management, USD a unit
    managed : M, units of management: teams, months, or 1 with the whole amount as c6

    Two engineers for 40 h at 75 USD, 500 USD of management:

    >>> float(people_usd(75, 2, 40, 500, 1))
    6500.0
    """
    work = as_floats(usd_per_person_hour) * as_floats(people) * as_floats(hours)
    return work + as_floats(usd_per_managed) * as_floats(managed)


def people_usd_per_hour(
    usd_per_person_hour: npt.ArrayLike,
    people: npt.ArrayLike,
    hours_per_month: npt.ArrayLike,
    management_usd_per_month: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Give the standing cost of people, ``(rate people hours_per_month + management) / 730``, USD per hour of the plan.

    Half an engineer (0.5 x 160 h a month at 80 USD) and 900 USD of management are 7,300 USD a month:

    >>> float(people_usd_per_hour(80, 0.5, 160, 900))
    10.0
    """
    return hourly_usd(people_usd(usd_per_person_hour, people, hours_per_month, management_usd_per_month, 1.0))
