"""Tonight's question: the instance with the prices, quotas and demand that the feeds and the forecast brought."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Offer, Option, Price, Quality
from optimizer.errors import InvalidInputError, Problem
from optimizer.instance import Instance, Limit, Rate, ServingWorkload
from optimizer.instance.demand import SMALLEST_RATE
from optimizer.nightly.feeds import Fed
from optimizer.nightly.forecast import DAY, Forecast, local_hours

__all__ = ["period_of_hours", "tonights"]

LIMIT_FIELDS = ("max_accelerators", "max_instances", "max_usd_per_month")


def tonights(instance: Instance, day: str, fed: Fed, forecast: Forecast | None) -> tuple[Instance, list[str]]:
    """Put news into an instance; give the new question and what a reader should be told of it.

    Raises
    ------
    InvalidInputError : a quota names no limit, the periods are no day, or what comes out is no valid instance
    """
    told: list[str] = []
    offers = tuple(_repriced(offer, fed, told) for offer in instance.catalogs.offers)
    known = {_key(o, p.option.value) for o in instance.catalogs.offers for p in o.prices}
    if new := sorted("/".join(filter(None, key)) for key in fed.prices.keys() - known):
        told.append(f"{len(new)} prices of offers that the instance does not know are left out, such as {new[0]}")
    changes = {
        "as_of": day,
        "catalogs": instance.catalogs.model_copy(update={"offers": offers}),
        "limits": _limits(instance, fed),
    }
    if forecast is not None:
        changes["workloads"] = _demands(instance, forecast, told)
    return instance.replace(**changes), told


def _key(offer: Offer, option: str) -> tuple[str, ...]:
    return (offer.provider, offer.region, offer.zone or "", offer.instance_type, option)


def _repriced(offer: Offer, fed: Fed, told: list[str]) -> Offer:
    """Give the offer at the fed prices; what a provider's feed leaves out is gone. What is owned keeps its cost."""
    if offer.provider not in fed.priced:
        return offer
    prices: list[Price] = []
    for price in offer.prices:
        news = fed.prices.get(_key(offer, price.option.value))
        if price.option is Option.OWNED:
            prices.append(price)
            if news is not None:
                told.append(f"{offer.label} is owned: the price in its feed is left out")
        elif news is None:
            told.append(f"{offer.label} {price.option} is gone from its feed")
        else:
            usd, as_of, feed = news
            named = {"usd_per_hour": usd, "as_of": as_of[:10], "quality": Quality.MEASURED, "source": f"feed {feed}"}
            prices.append(price.model_copy(update=named))
    return offer.model_copy(update={"prices": tuple(prices)})


def _limits(instance: Instance, fed: Fed) -> tuple[Limit, ...]:
    if strange := sorted(fed.quotas.keys() - {x.name for x in instance.limits}):
        problems = [Problem(None, f"/limits/{name}", "a quota for it", "a limit of the instance") for name in strange]
        raise InvalidInputError("quotas for limits that are not there", problems)
    found = []
    for limit in instance.limits:
        if limit.name in fed.quotas:
            field = next(f for f in LIMIT_FIELDS if getattr(limit, f) is not None)
            limit = limit.model_copy(update={field: fed.quotas[limit.name]})
        found.append(limit)
    return tuple(found)


def period_of_hours(instance: Instance) -> npt.NDArray[np.int64]:
    """Give the period that each hour of the local day belongs to; shape (24,).

    Periods follow one another from midnight. One period that is always is each hour's.

    Raises
    ------
    InvalidInputError : the periods neither make a day nor are a single one
    """
    hours = [p.hours for p in instance.periods]
    if len(hours) == 1:
        return np.zeros(DAY, dtype=np.int64)
    if sum(hours) != DAY or any(h != int(h) for h in hours):
        found = " + ".join(f"{p.name} {p.hours:g} h" for p in instance.periods)
        raise InvalidInputError(
            "a forecast needs periods that make a day",
            [Problem(None, "/periods", found, "whole hours that sum to 24, or one period")],
        )
    return np.repeat(np.arange(len(hours)), [int(h) for h in hours])


def _demands(instance: Instance, forecast: Forecast, told: list[str]) -> tuple[object, ...]:
    """Give the workloads at the forecast's upper quantile: each period carries its busiest hour."""
    place = {series: i for i, series in enumerate(forecast.series)}
    _, label = local_hours(forecast.hours[0], len(forecast.hours), instance.time_zone)
    period = period_of_hours(instance)[label % DAY]
    names, found, unknown = [p.name for p in instance.periods], [], []
    for workload in instance.workloads:
        if isinstance(workload, ServingWorkload):
            classes = []
            for c in workload.classes:
                if (at := place.get((workload.name, c.name))) is None:
                    unknown.append(f"{workload.name}/{c.name}")
                    classes.append(c)
                else:
                    rate = _rate(c.rate, names, period, forecast.upper[at], forecast.quantile)
                    classes.append(c.model_copy(update={"rate": rate}))
            workload = workload.model_copy(update={"classes": tuple(classes)})
        found.append(workload)
    if unknown:
        told.append(f"no demand is known of {', '.join(unknown)}; the instance's own rates serve")
    return tuple(found)


def _rate(
    rate: Rate, names: Sequence[str], period: npt.NDArray[np.int64], upper: npt.NDArray[np.float64], quantile: float
) -> Rate:
    busiest = {name: float(upper[period == t].max()) for t, name in enumerate(names) if (period == t).any()}
    value = {name: x if x >= SMALLEST_RATE else 0.0 for name, x in ({n: rate.at(n) for n in names} | busiest).items()}
    named = {
        "value": value,
        "statistic": f"p{100 * quantile:g} forecast",
        "quality": Quality.MODELLED,
        "source": "nightly forecast",
    }
    return rate.model_copy(update=named)
