"""Forecasts against series whose answer is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from optimizer.nightly.forecast import forecast, history_of, local_hours
from tests.optimizer.nightly.nights import NOW, demand_rows


def rows_of(rates, until):
    hours = [until - timedelta(hours=len(rates) - n) for n in range(len(rates))]
    return [("w", "q", hour.isoformat(), float(rate)) for hour, rate in zip(hours, rates, strict=True)]


def plain(rows):
    return [(r["workload"], r["request_class"], r["hour"], r["rate_per_s"]) for r in rows]


@pytest.mark.parametrize("method", ["seasonal", "holt_winters"])
def test_what_repeats_every_week_is_forecast_exactly(method):
    history = history_of(plain(demand_rows(days=28)), NOW, 28)
    midnight = NOW.replace(hour=0) + timedelta(days=1)
    found = forecast(history, midnight, 168, zone="UTC", quantile=0.9, method=method)
    wanted = [r["rate_per_s"] for r in demand_rows(midnight + timedelta(days=7), 7)]
    assert found.median[0] == pytest.approx(wanted, rel=2e-2)
    assert found.notes == ()


def test_the_band_covers_what_it_says():
    """A daily wave with lognormal noise: the 90 % band of 40 series must hold 85 to 95 % of the day that comes."""
    dice, covered = np.random.default_rng(5), []
    wave = 10 + 5 * np.sin(np.arange(29 * 24) * 2 * np.pi / 24)
    for _ in range(40):
        rates = wave * dice.lognormal(0, 0.15, len(wave))
        history = history_of(rows_of(rates[: 28 * 24], NOW), NOW, 28)
        found = forecast(history, NOW, 24, zone="UTC", quantile=0.9)
        covered.append(rates[28 * 24 :] <= found.upper[0])
        assert 0.7 <= found.coverage[0] <= 1.0
        assert 0 < found.pinball[0] < 0.1
    assert 0.85 <= np.mean(covered) <= 0.95


def test_a_growing_series_is_forecast_at_its_last_level():
    rates = np.repeat(np.linspace(10, 20, 4), 168)
    found = forecast(history_of(rows_of(rates, NOW), NOW, 28), NOW, 24, zone="UTC", quantile=0.5)
    assert found.median[0] == pytest.approx(20.0)


def test_short_history_is_said_and_handled():
    found = forecast(history_of(rows_of([1, 2, 3], NOW), NOW, 28), NOW, 24, zone="UTC", quantile=0.9)
    assert found.upper[0] == pytest.approx(4.5)
    assert "3 hours of history" in found.notes[0]
    week = forecast(history_of(plain(demand_rows(days=7)), NOW, 28), NOW, 24, zone="UTC", quantile=0.9)
    assert "less than 14 days" in week.notes[0]


def test_gaps_and_zeros_are_no_numbers_of_trouble():
    rates = np.array([r["rate_per_s"] for r in demand_rows(days=28)])
    rows = [row for n, row in enumerate(rows_of(rates, NOW)) if n % 11]
    full, holed = (forecast(history_of(r, NOW, 28), NOW, 24, zone="UTC", quantile=0.9) for r in (rows_of(rates, NOW), rows))
    assert holed.median[0] == pytest.approx(full.median[0], rel=0.05)
    nothing = forecast(history_of(rows_of(rates * 0, NOW), NOW, 28), NOW, 24, zone="UTC", quantile=0.9)
    assert (nothing.upper == 0).all()


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_local_day_has_as_many_hours_as_it_has(day, hours):
    """Berlin: midnight to midnight; the hour of the local clock goes on counting from the UTC moments."""
    from zoneinfo import ZoneInfo

    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    _, label = local_hours(start, hours, "Europe/Berlin")
    assert len(set(label // 24)) == 1
    assert sorted(set(label % 24)) == ([0, 1, *range(3, 24)] if hours == 23 else list(range(24)))
