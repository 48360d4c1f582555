"""The synthetic world of a replay: the demand and the prices of every day, drawn once from a seed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from optimizer.catalog import Option
from optimizer.instance import Instance, ServingWorkload
from optimizer.nightly.feeds import DEMAND_COLUMNS, PRICE_COLUMNS
from optimizer.nightly.forecast import DAY
from optimizer.nightly.question import period_of_hours
from optimizer.plan import Plan, load_plan

__all__ = ["World"]

MOVING_DAYS, BAD_FEED_DAYS = 6, 3
SMALLEST_MOVE, LARGEST_MOVE = 0.10, 0.25
WEEKDAY = (1.0, 1.02, 1.03, 1.02, 0.98, 0.80, 0.75)
TREND_PER_DAY, NOISE = 0.003, 0.05
RESAMPLED = 2000
"""Requests whose classes are drawn to resample a day's shares; fewer scatter more."""
MIN_HISTORY_DAYS = 21


class World:
    """What happens: demand and prices of every day, drawn once."""

    def __init__(self, base: Instance, days: int, dice: np.random.Generator) -> None:
        """Draw everything that will happen."""
        self.base, self.days = base, days
        self.zone = ZoneInfo(base.time_zone)
        self.start = datetime.fromisoformat(base.as_of).replace(tzinfo=self.zone)
        self.providers = sorted({o.provider for o in base.catalogs.offers if any(p.option is not Option.OWNED for p in o.prices)})
        self._draw_demand(dice)
        self._draw_prices(dice)

    def now(self, number: int) -> datetime:
        """Give the moment that the night of a day runs: four hours before it begins."""
        return (self.start + timedelta(days=number) - timedelta(hours=4)).astimezone(UTC)

    def day(self, number: int) -> str:
        """Name a day."""
        return (self.start + timedelta(days=number)).date().isoformat()

    def _draw_demand(self, dice: np.random.Generator) -> None:
        """Draw ``rate``, shape (series, hours), per second, from the history's first hour to the last day's end."""
        base, period = self.base, period_of_hours(self.base)
        names = [p.name for p in base.periods]
        serving = [w for w in base.workloads if isinstance(w, ServingWorkload)]
        self.series = [(w.name, c.name) for w in serving for c in w.classes]
        self.first_hour = (self.start - timedelta(days=MIN_HISTORY_DAYS)).astimezone(UTC)
        count = (self.days + MIN_HISTORY_DAYS) * DAY
        local = [(self.first_hour + timedelta(hours=h)).astimezone(self.zone) for h in range(count)]
        weekday = np.array([WEEKDAY[t.weekday()] for t in local])
        trend = (1 + TREND_PER_DAY) ** ((np.arange(count) - MIN_HISTORY_DAYS * DAY) / DAY)
        day = np.arange(count) // DAY
        rows = []
        for w in serving:
            rate = np.array([[c.rate.at(names[period[t.hour]]) for t in local] for c in w.classes])
            noise = dice.lognormal(-(NOISE**2) / 2, NOISE, count)
            peak = np.array([max(c.rate.at(n) for n in names) for c in w.classes])
            share = peak / max(peak.sum(), 1e-12)
            drawn = dice.multinomial(RESAMPLED, share / max(share.sum(), 1e-12), size=int(day.max()) + 1) / RESAMPLED
            factor = np.divide(drawn, share, out=np.ones_like(drawn), where=share > 0)[day].T
            rows.append(rate * factor * weekday * trend * noise / max(WEEKDAY))
        self.rate = np.concatenate(rows)

    def _draw_prices(self, dice: np.random.Generator) -> None:
        """Draw each offer's factor by day, and the days on which a feed is damaged and an offer gone."""
        later = dice.permutation(np.arange(1, self.days))
        self.moving = set(later[:MOVING_DAYS].tolist())
        self.damaged = {int(n): self.providers[int(dice.integers(len(self.providers)))] for n in later[-BAD_FEED_DAYS:]}
        options = [(o, p) for o in self.base.catalogs.offers for p in o.prices if p.option is not Option.OWNED]
        self.options = options
        factor = np.ones((self.days, len(options)))
        for number in range(1, self.days):
            factor[number] = factor[number - 1]
            if number in self.moving:
                size = dice.uniform(SMALLEST_MOVE, LARGEST_MOVE, len(options))
                factor[number] *= np.where(dice.random(len(options)) < 0.5, 1 + size, 1 - size)
        self.factor = factor
        self.gone_day = int(later[MOVING_DAYS % len(later)]) if len(later) else -1
        self.gone: tuple[str, str] | None = None

    def events(self, number: int) -> list[str]:
        """Name what happens on a day beside demand."""
        told = ["prices move"] if number in self.moving else []
        if number in self.damaged:
            told.append(f"the feed of {self.damaged[number]} is damaged")
        if number == self.gone_day and self.gone is not None:
            told.append(f"{self.gone[0]} {self.gone[1]} is gone")
        return told

    def write(self, folder: Path, number: int) -> None:
        """Write the feeds of the night before a day."""
        now = self.now(number)
        if number == self.gone_day:
            self.gone = self._rented(folder)
        today = self.day(number)
        for provider in self.providers:
            rows = [
                [
                    o.provider,
                    o.region,
                    o.zone or "",
                    o.instance_type,
                    p.option.value,
                    repr(p.usd_per_hour * float(f)),
                    today,
                ]
                for (o, p), f in zip(self.options, self.factor[number], strict=True)
                if o.provider == provider and not (number == self.gone_day and (o.label, p.option.value) == self.gone)
            ]
            _write_feed(folder, provider, PRICE_COLUMNS, rows, now)
            if self.damaged.get(number) == provider:
                path = folder / f"{provider}.csv"
                path.write_text(path.read_text()[: path.stat().st_size // 2])
        past = round((now - self.first_hour) / timedelta(hours=1))
        hours = [(self.first_hour + timedelta(hours=h)).isoformat() for h in range(past)]
        begin = 0 if number == 0 else max(past - 2 * DAY, 0)
        demand = [
            [hours[h], w, c, repr(float(self.rate[s, h]))] for s, (w, c) in enumerate(self.series) for h in range(begin, past)
        ]
        _write_feed(folder, "demand", DEMAND_COLUMNS, demand, now)

    @staticmethod
    def _rented(folder: Path) -> tuple[str, str] | None:
        """Give the offer that the plan in force rents most of, which is the one to go."""
        pointer = json.loads((folder / "plans" / "latest.json").read_text())
        plan = load_plan(folder / "plans" / pointer["plan"])
        rented = sorted((r for r in plan.rentals if r.option != "owned"), key=lambda r: (-r.usd_per_hour, r.offer, r.option))
        return (rented[0].offer, rented[0].option) if rented else None

    def coverage(self, plan: Plan, question: Instance, number: int) -> float:
        """Give the share of a day's demand that a plan's pools may carry at the utilization cap, by hour and workload.

        A plan is loaded as planned when the rates are those planned for; above, what exceeds the cap is not covered.
        """
        begin = number * DAY + MIN_HISTORY_DAYS * DAY
        period, names = period_of_hours(self.base), [p.name for p in self.base.periods]
        planned = {(w.name, c.name): c.rate for w in question.workloads if isinstance(w, ServingWorkload) for c in w.classes}
        room = {w.name: w.utilization_cap / max(w.utilization, 1e-9) for w in plan.workloads}
        carried = asked = 0.0
        for name in sorted({w for w, _ in self.series}):
            mine = [s for s, (w, _) in enumerate(self.series) if w == name]
            for hour in range(DAY):
                came = float(self.rate[mine, begin + hour].sum())
                due = sum(planned[self.series[s]].at(names[period[hour]]) for s in mine)
                share = min(1.0, due * max(room.get(name, 0.0), 1.0) / came) if came > 0 else 1.0
                carried, asked = carried + share / 24, asked + 1 / 24
        return carried / max(asked, 1e-9)


def _write_feed(folder: Path, name: str, columns: tuple[str, ...], rows: list[list[str]], now: datetime) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([list(columns), *rows])
    text = out.getvalue()
    (folder / f"{name}.csv").write_text(text)
    said = {"rows": len(rows), "sha256": hashlib.sha256(text.encode()).hexdigest(), "as_of": now.isoformat()}
    (folder / f"{name}.manifest.json").write_text(json.dumps(said))
