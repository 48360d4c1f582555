"""Demand of the hours to come, by series and quantile, and how good such forecasts were on the days before.

Seasonal: the median of the same hour of the week (of the day, where history is short) times the level of the last week, with
conformal bands: quantiles of the ratio of what came to what was forecast, from a rolling origin over the days before (split
conformal prediction, Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005). Hours are UTC moments labelled
by the local clock, so that days of 23 and 25 hours come out right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

__all__ = ["Forecast", "History", "forecast", "history_of", "local_hours"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Model = Callable[[FloatArray, IntArray, IntArray, int], FloatArray]
WEEK, DAY = 168, 24
SHORT_DAYS, SHORTEST_HOURS = 14, 48
NO_HISTORY_MARGIN = 1.5
"""Times the largest rate seen, where fewer than two days are known; assumed."""
SMALLEST = 1e-6
"""Per second; below it a rate counts as none, as in the instance."""


@dataclass(frozen=True, eq=False)
class History:
    """Hourly rates: ``rate`` has shape (n_series, n_hours), per second, NaN where unknown; hours are UTC and complete."""

    series: tuple[tuple[str, str], ...]
    first_hour: datetime
    rate: FloatArray


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is expected: ``median`` and ``upper`` have shape (n_series, n_hours), per second; ``hours`` are UTC.

    ``coverage`` is the share of back-tested hours at or below their band and ``pinball`` their mean pinball loss over the mean
    rate, NaN where history is too short to tell; ``notes`` say what was short, by series.
    """

    series: tuple[tuple[str, str], ...]
    hours: tuple[datetime, ...]
    median: FloatArray
    upper: FloatArray
    quantile: float
    coverage: FloatArray
    pinball: FloatArray
    notes: tuple[str, ...]


def history_of(rows: Sequence[tuple[str, str, str, float]], last_hour: datetime, days: int) -> History:
    """Lay rows (workload, class, ISO hour, rate) out as an array of the ``days`` before ``last_hour``."""
    first = last_hour - timedelta(days=days)
    series = tuple(sorted({(w, c) for w, c, _, _ in rows}))
    place = {name: i for i, name in enumerate(series)}
    rate = np.full((len(series), days * DAY), np.nan)
    for workload, name, hour, value in rows:
        at = round((datetime.fromisoformat(hour) - first) / timedelta(hours=1))
        if 0 <= at < rate.shape[1]:
            rate[place[workload, name], at] = value
    return History(series, first, rate)


def local_hours(first: datetime, count: int, zone: str) -> tuple[list[datetime], IntArray]:
    """Give ``count`` UTC hours from ``first`` and the hour of the local week (Monday 0:00 is 0) that each bears."""
    hours = [first.astimezone(UTC) + timedelta(hours=n) for n in range(count)]
    local = [hour.astimezone(ZoneInfo(zone)) for hour in hours]
    return hours, np.array([t.weekday() * DAY + t.hour for t in local], dtype=np.int64)


def forecast(
    history: History,
    first: datetime,
    horizon_hours: int,
    *,
    zone: str,
    quantile: float,
    method: str = "seasonal",
    backtest_days: int = 7,
) -> Forecast:
    """Forecast every series for ``horizon_hours`` from ``first``, with the ``quantile`` of each hour.

    Parameters
    ----------
    history : hourly rates up to the last complete hour
    first : the first hour wanted, UTC; hours between the history's end and it are bridged
    zone : IANA name of the zone whose days and weeks repeat
    method : ``seasonal``, or ``holt_winters`` (needs the extra ``forecast``)
    backtest_days : how many days the rolling origin goes back
    """
    known = history.rate.shape[1]
    _, label = local_hours(history.first_hour, known, zone)
    lead = round((first - history.first_hour) / timedelta(hours=1)) - known
    hours, wanted = local_hours(first, horizon_hours, zone)
    model: Model = _holt_winters if method == "holt_winters" else _seasonal
    median = model(history.rate, label, wanted, lead)
    ratio, expected, came = _rolled(model, history.rate, label, backtest_days)
    n_series = len(history.series)
    factor, coverage, pinball = np.ones(n_series), np.full(n_series, np.nan), np.full(n_series, np.nan)
    notes = []
    for s, (workload, name) in enumerate(history.series):
        seen = history.rate[s][np.isfinite(history.rate[s])]
        mine = ratio[s][np.isfinite(ratio[s])]
        if len(seen) < SHORTEST_HOURS or len(mine) < DAY:
            median[s] = np.nanmax(seen) if len(seen) else 0.0
            factor[s] = NO_HISTORY_MARGIN
            notes.append(
                f"{workload}/{name}: {len(seen)} hours of history; {NO_HISTORY_MARGIN:g} times the most seen is planned for"
            )
            continue
        if len(seen) < SHORT_DAYS * DAY:
            notes.append(
                f"{workload}/{name}: {len(seen)} hours of history, less than {SHORT_DAYS} days; weekdays are not told apart"
            )
        factor[s] = _conformal(mine, quantile)
        coverage[s], pinball[s] = _scored(expected[s], came[s], quantile)
    upper = np.maximum(median * factor[:, None], median)
    return Forecast(history.series, tuple(hours), _cleared(median), _cleared(upper), quantile, coverage, pinball, tuple(notes))


def _cleared(rate: FloatArray) -> FloatArray:
    return np.where(rate < SMALLEST, 0.0, rate)


def _conformal(ratio: FloatArray, quantile: float) -> float:
    """Give the finite-sample quantile of the ratios: the ceil((n + 1) q)-th smallest, the largest where that is beyond n."""
    ordered = np.sort(ratio)
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * quantile)), len(ordered)) - 1])


def _seasonal(rate: FloatArray, label: IntArray, wanted: IntArray, lead: int) -> FloatArray:
    """Give the median of the same hour of the week, or of the day where that is unknown, at the level of the last week."""
    profile = _by_label(rate, label, WEEK)
    daily = _by_label(rate, label % DAY, DAY)
    profile = np.where(np.isfinite(profile), profile, np.tile(daily, WEEK // DAY))
    if np.isfinite(rate).sum(axis=1).min(initial=rate.shape[1]) < SHORT_DAYS * DAY:
        short = np.isfinite(rate).sum(axis=1) < SHORT_DAYS * DAY
        profile[short] = np.tile(daily, WEEK // DAY)[short]
    recent = slice(max(rate.shape[1] - WEEK, 0), None)
    seasonal = profile[:, label[recent]]
    with np.errstate(invalid="ignore", divide="ignore"):
        both = np.isfinite(rate[:, recent]) & np.isfinite(seasonal)
        level = np.where(both, rate[:, recent], 0).sum(axis=1) / np.where(both, seasonal, 0).sum(axis=1)
    level = np.where(np.isfinite(level), level, 1.0)
    return np.asarray(np.nan_to_num(profile[:, wanted]) * level[:, None])


def _by_label(rate: FloatArray, label: IntArray, count: int) -> FloatArray:
    """Give the median of each label's hours; shape (n_series, count), NaN where there are none."""
    order = np.argsort(label, kind="stable")
    first = np.searchsorted(label[order], np.arange(count + 1))
    place = first[:-1, None] + np.arange(int(np.diff(first).max(initial=1)))
    there = place < first[1:, None]
    hours = np.where(there, rate[:, order[np.minimum(place, len(order) - 1)]], np.nan)
    found = np.full(hours.shape[:2], np.nan)
    known = np.isfinite(hours).any(axis=2)
    found[known] = np.nanmedian(hours[known], axis=1)
    return found


def _holt_winters(rate: FloatArray, label: IntArray, wanted: IntArray, lead: int) -> FloatArray:
    """Give additive Holt-Winters by the day, by the week from three weeks on; gaps are filled by the seasonal median."""
    from optimizer.errors import UsageError

    try:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
    except ImportError:
        raise UsageError("Holt-Winters needs an extra: pip install 'allocate[forecast]'") from None
    import warnings

    filled = np.where(np.isfinite(rate), rate, _seasonal(rate, label, label, 0))
    period = WEEK if rate.shape[1] >= 3 * WEEK else DAY
    if rate.shape[1] < 2 * period:
        return _seasonal(rate, label, wanted, lead)
    steps, found = lead + len(wanted), []
    for series in filled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of every series that did not quite converge
            fit = ExponentialSmoothing(series, trend=None, seasonal="add", seasonal_periods=period).fit()
        found.append(np.maximum(np.asarray(fit.forecast(steps))[lead:], 0.0))
    return np.array(found)


def _rolled(model: Model, rate: FloatArray, label: IntArray, days: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Forecast each of the last ``days`` days from what was known before it; give ratios, forecasts and what came."""
    known = rate.shape[1]
    expected, came = np.full((2, rate.shape[0], days * DAY), np.nan)
    for day, cut in enumerate(range(known - days * DAY, known, DAY)):
        if cut >= SHORTEST_HOURS:
            there = slice(day * DAY, (day + 1) * DAY)
            expected[:, there] = model(rate[:, :cut], label[:cut], label[cut : cut + DAY], 0)
            came[:, there] = rate[:, cut : cut + DAY]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = came / expected
    return np.where(np.isfinite(ratio), ratio, np.nan), expected, came


def _scored(expected: FloatArray, came: FloatArray, quantile: float) -> tuple[float, float]:
    """Score each back-tested day with the band of the days before it: the share covered, and pinball loss over the mean."""
    covered, loss, level = [], [], []
    for day in range(1, len(expected) // DAY):
        before, there = slice(0, day * DAY), slice(day * DAY, (day + 1) * DAY)
        usable = np.isfinite(came[before]) & (expected[before] > 0)
        now = np.isfinite(came[there]) & np.isfinite(expected[there])
        if usable.sum() < DAY or not now.any():
            continue
        factor = max(_conformal(came[before][usable] / expected[before][usable], quantile), 1.0)
        upper, real = expected[there][now] * factor, came[there][now]
        covered.append(real <= upper)
        loss.append(np.where(real > upper, quantile * (real - upper), (1 - quantile) * (upper - real)))
        level.append(real)
    if not covered:
        return np.nan, np.nan
    mean = float(np.concatenate(level).mean())
    return float(np.concatenate(covered).mean()), float(np.concatenate(loss).mean() / max(mean, SMALLEST))
