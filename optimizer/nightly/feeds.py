"""Prices, quotas and demand from files that others write: refused by rule, the last good copy held and flagged.

A feed is CSV (a header, fixed columns) or a JSON list of objects. Its manifest, JSON beside it, says ``rows``, ``sha256`` and
``as_of``; without one the file's own change time is its date. A wrong feed as a whole is replaced by its last good copy while
that is young enough; a wrong figure in a right feed by the last good figure.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from optimizer.documents import strict_json, text_of
from optimizer.errors import InvalidInputError, UnavailableError
from optimizer.nightly.config import DemandFeed, NightlyConfig, PriceFeed, QuotaFeed
from optimizer.nightly.store import Store, now_text

__all__ = ["DEMAND_COLUMNS", "PRICE_COLUMNS", "QUOTA_COLUMNS", "BadFeedError", "Fed", "fetch", "moment"]

PRICE_COLUMNS = ("provider", "region", "zone", "instance_type", "option", "usd_per_hour", "as_of")
QUOTA_COLUMNS = ("limit", "amount")
DEMAND_COLUMNS = ("hour", "workload", "request_class", "rate_per_s")
MOST_FIELD = 10_000
LONGEST_FLAGS = 200

Row = dict[str, str]
Key = tuple[str, ...]


class BadFeedError(Exception):
    """A feed cannot be believed; the message says by which rule."""


@dataclass
class Fed:
    """What the feeds brought: prices by (provider, region, zone, instance type, option), quotas by limit, and every flag."""

    prices: dict[Key, tuple[float, str, str]] = field(default_factory=dict)  # USD/h, as_of, feed
    priced: set[str] = field(default_factory=set)
    quotas: dict[str, float] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)


def moment(text: str) -> datetime:
    """Read an ISO 8601 moment that names its zone; raises ValueError otherwise."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} names no zone")
    return found.astimezone(UTC)


def fetch(config: NightlyConfig, store: Store, now: datetime) -> Fed:
    """Take in every feed of a configuration; good copies are kept in the store.

    Raises
    ------
    UnavailableError : a feed is bad and no good copy of it is young enough
    """
    fed = Fed()
    for prices in config.feeds.prices:
        judge = partial(_judged_prices, feed=prices, store=store, fed=fed)
        rows = _taken(config, prices, PRICE_COLUMNS, store, now, fed, judge)
        for row in rows:
            fed.prices[_price_key(row)] = (float(row["usd_per_hour"]), row["as_of"], prices.name)
        fed.priced.add(prices.provider)
    for quotas in config.feeds.quotas:
        rows = _taken(config, quotas, QUOTA_COLUMNS, store, now, fed, _judged_quotas)
        fed.quotas |= {row["limit"]: float(row["amount"]) for row in rows}
    if (demand := config.feeds.demand) is not None:
        _take_demand(config, demand, store, now, fed)
    return fed


def _taken(
    config: NightlyConfig,
    feed: PriceFeed | QuotaFeed,
    columns: Sequence[str],
    store: Store,
    now: datetime,
    fed: Fed,
    judge: Callable[[list[Row]], list[Row]],
) -> list[Row]:
    """Give the rows of a feed, or those of its last good copy with a flag."""
    try:
        text, as_of = _trusted(config, feed.path, feed.manifest, now)
        _refuse_stale(as_of, feed.max_age_hours, now)
        rows = judge(_rows(text, columns))
        body = json.dumps(rows, sort_keys=True)
        held = store.last_feed(feed.name)
        if held is None or held["body"] != body or held["as_of"] != now_text(as_of):
            store.save_feed(feed.name, now_text(as_of), body)
    except BadFeedError as why:
        held = store.last_feed(feed.name)
        if held is None:
            raise UnavailableError(f"feed {feed.name!r} cannot be used ({why}), and no good copy of it is held") from None
        age_hours = (now - moment(held["as_of"])) / timedelta(hours=1)
        if age_hours > feed.max_age_hours:
            told = f"its last good copy is {age_hours:.0f} h old, at most {feed.max_age_hours:g} h may be used"
            raise UnavailableError(f"feed {feed.name!r} cannot be used ({why}); {told}") from None
        fed.flags.append(f"feed {feed.name!r} refused ({why}); its last good copy of {held['as_of']} is held")
        body = held["body"]
    fed.copies[feed.name] = hashlib.sha256(body.encode()).hexdigest()
    found: list[Row] = json.loads(body)
    return found


def _trusted(config: NightlyConfig, path: str, manifest: str | None, now: datetime) -> tuple[str, datetime]:
    """Read a feed's text and its date, held against the manifest where there is one."""
    place = config.at(path)
    try:
        text = text_of(place)
        if manifest is None:
            return text, datetime.fromtimestamp(place.stat().st_mtime, UTC)
        said = strict_json(text_of(config.at(manifest)))
    except (InvalidInputError, OSError, ValueError) as error:
        raise BadFeedError(str(error).splitlines()[-1].strip()) from None
    if not isinstance(said, dict) or not {"rows", "sha256", "as_of"} <= said.keys():
        raise BadFeedError("the manifest does not say rows, sha256 and as_of")
    rows = _count(text)
    if rows != said["rows"]:
        raise BadFeedError(f"{rows} rows, the manifest says {said['rows']}: truncated?")
    if hashlib.sha256(text.encode()).hexdigest() != said["sha256"]:
        raise BadFeedError("its SHA-256 is not the manifest's: changed or damaged on the way")
    try:
        as_of = moment(str(said["as_of"]))
    except ValueError as error:
        raise BadFeedError(f"the manifest's as_of: {error}") from None
    if as_of > now + timedelta(hours=1):
        raise BadFeedError(f"dated {said['as_of']}, after now")
    return text, as_of


def _refuse_stale(as_of: datetime, max_age_hours: float, now: datetime) -> None:
    age_hours = (now - as_of) / timedelta(hours=1)
    if age_hours > max_age_hours:
        raise BadFeedError(f"{age_hours:.0f} h old, at most {max_age_hours:g} h may be used")


def _count(text: str) -> int:
    if text.lstrip().startswith("["):
        found = json.loads(text) if text.rstrip().endswith("]") else []
        return len(found)
    return max(sum(1 for line in text.splitlines() if line.strip()) - 1, 0)


def _rows(text: str, columns: Sequence[str]) -> list[Row]:
    """Read rows that have exactly these columns, each filled but the zone."""
    try:
        if text.lstrip().startswith("["):
            rows = [{str(k): str(v) for k, v in row.items()} for row in json.loads(text)]
        else:
            table = list(csv.reader(io.StringIO(text), strict=True))
            head, *body = [line for line in table if line]
            if any(len(line) != len(head) for line in body):
                raise BadFeedError(f"a row without exactly {len(head)} fields")
            rows = [dict(zip(head, line, strict=True)) for line in body]
    except (csv.Error, ValueError, AttributeError) as error:
        raise BadFeedError(f"not a table: {error}") from None
    if not rows:
        raise BadFeedError("empty")
    for number, row in enumerate(rows, start=1):
        if missing := [c for c in columns if c not in row or (not row[c] and c != "zone")]:
            raise BadFeedError(f"row {number} lacks {', '.join(missing)}")
        if any(len(value) > MOST_FIELD for value in row.values()):
            raise BadFeedError(f"row {number} has a field longer than {MOST_FIELD} characters")
    return [{c: row[c] for c in columns} for row in rows]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _price_key(row: Mapping[str, str]) -> Key:
    return tuple(row[c] for c in PRICE_COLUMNS[:5])


def _judged_prices(rows: list[Row], feed: PriceFeed, store: Store, fed: Fed) -> list[Row]:
    """Hold the last good price where the new one is absurd: not finite, not above zero, or moved beyond the feed's factor."""
    held = store.last_feed(feed.name)
    before = {_price_key(row): row for row in json.loads(held["body"])} if held else {}
    kept: dict[Key, Row] = {}
    absurd = 0
    for row in rows:
        key, price = _price_key(row), _number(row["usd_per_hour"])
        if row["provider"] != feed.provider:
            raise BadFeedError(f"a row of provider {row['provider']!r} in the feed of {feed.provider!r}")
        if key in kept:
            raise BadFeedError(f"{'/'.join(filter(None, key))} twice")
        old = _number(before[key]["usd_per_hour"]) if key in before else None
        if why := _absurd(price, old, feed.max_factor):
            absurd += 1
            fed.flags.append(
                f"price of {'/'.join(filter(None, key))} refused: {why}" + ("; the last good one is held" if old else "")
            )
            if old is None:
                continue
            row = before[key]
        kept[key] = row
    if absurd * 2 > len(rows):
        raise BadFeedError(f"{absurd} of {len(rows)} prices are absurd")
    return list(kept.values())


def _absurd(price: float, old: float | None, factor: float) -> str | None:
    if not math.isfinite(price) or price <= 0:
        return f"{price:g} USD/h is no price"
    if old is not None and not old / factor <= price <= old * factor:
        return f"from {old:g} to {price:g} USD/h, more than a factor {factor:g} in a night"
    return None


def _judged_quotas(rows: list[Row]) -> list[Row]:
    for row in rows:
        amount = _number(row["amount"])
        if not math.isfinite(amount) or amount < 0:
            raise BadFeedError(f"quota {row['limit']!r} is {row['amount']!r}")
    if len({row["limit"] for row in rows}) < len(rows):
        raise BadFeedError("a limit twice")
    return rows


def _take_demand(config: NightlyConfig, feed: DemandFeed, store: Store, now: datetime, fed: Fed) -> None:
    """Add the latest hours of demand to the store; without news the history held serves while it is young enough."""
    try:
        rows = _demand_rows(config, feed, store, now)
        good, bad = _judged_demand(rows, now)
        if not good:
            raise BadFeedError(f"no usable row among {len(rows)}")
        _refuse_stale(max(moment(row[2]) for row in good) + timedelta(hours=1), feed.max_age_hours, now)
        fed.flags += [f"demand of {row} refused; the forecast goes without it" for row in bad[:LONGEST_FLAGS]]
        store.save_demand(good)
    except BadFeedError as why:
        known = store.demand(now_text(now - timedelta(hours=feed.max_age_hours)))
        if not known:
            raise UnavailableError(f"demand feed {feed.name!r} cannot be used ({why}), and the demand held is too old") from None
        fed.flags.append(f"demand feed {feed.name!r} refused ({why}); the demand held up to {max(r[2] for r in known)} serves")


def _demand_rows(config: NightlyConfig, feed: DemandFeed, store: Store, now: datetime) -> list[Row]:
    if feed.kind == "prometheus":
        from optimizer.nightly.prometheus import query_hours

        first = now - timedelta(days=config.forecast.history_days)
        held = store.demand(now_text(first))
        if held:
            first = max(first, moment(max(row[2] for row in held)) - timedelta(hours=24))
        return query_hours(feed, first, now)
    if feed.kind == "parquet":
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(config.at(str(feed.path)), columns=list(DEMAND_COLUMNS)).to_pylist()
            return [{k: _text(v) for k, v in row.items()} for row in table]
        except Exception as error:  # Arrow raises its own many kinds
            raise BadFeedError(f"not a table of demand: {str(error).splitlines()[0]}") from None
    text, _ = _trusted(config, str(feed.path), feed.manifest, now)
    return _rows(text, DEMAND_COLUMNS)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _judged_demand(rows: list[Row], now: datetime) -> tuple[list[tuple[str, str, str, float]], list[str]]:
    """Split rows into usable hours and what is wrong with the others: no number, negative, no hour, not over yet."""
    good, bad = [], []
    for row in rows:
        rate = _number(row["rate_per_s"])
        try:
            hour = moment(row["hour"])
        except ValueError:
            hour = None
        name = f"{row['workload']}/{row['request_class']} at {row['hour']}"
        if hour is None or not math.isfinite(rate) or rate < 0:
            bad.append(f"{name} ({row['rate_per_s']}/s)")
        elif hour + timedelta(hours=1) <= now:
            good.append((row["workload"], row["request_class"], now_text(hour.replace(minute=0, second=0, microsecond=0)), rate))
    return good, bad
