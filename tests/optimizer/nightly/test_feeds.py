"""Feeds that lie, each in one way: refused by rule, the last good copy held and flagged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from optimizer.errors import UnavailableError
from optimizer.nightly.config import load_config
from optimizer.nightly.feeds import fetch
from optimizer.nightly.store import Store
from tests.optimizer.nightly.nights import NOW, SMALL, demand_rows

NEXT = NOW + timedelta(days=1)


@pytest.fixture
def taken(job):
    """Take the feeds in, as a night would."""
    store = Store("sqlite://")

    def take(now=NOW):
        return fetch(load_config(job.folder / "nightly.yaml"), store, now)

    return take


def test_good_feeds_raise_no_flag(taken):
    fed = taken()
    assert fed.prices[SMALL] == (1.0, "2026-11-22", "p")
    assert fed.quotas == {"small quota": 50.0}
    assert fed.flags == []


def spoiled(text):
    return text[: len(text) * 2 // 3]


BAD_PRICES = {
    "truncated": (lambda j: j.feed("prices", spoiled((j.folder / "prices.csv").read_text()), NEXT, rows=2), "rows"),
    "changed on the way": (lambda j: j.feed("prices", (j.folder / "prices.csv").read_text(), NEXT, sha256="0" * 64), "SHA-256"),
    "empty": (lambda j: j.feed("prices", "", NEXT, rows=2), "0 rows"),
    "no rows": (lambda j: j.feed("prices", "provider,region,zone,instance_type,option,usd_per_hour,as_of\n", NEXT), "empty"),
    "last year's": (lambda j: j.prices(as_of=NEXT - timedelta(days=365)), "h old"),
    "of tomorrow": (lambda j: j.prices(as_of=NEXT + timedelta(days=1)), "after now"),
    "missing": (lambda j: (j.folder / "prices.csv").unlink(), "no such file"),
    "without manifest": (lambda j: (j.folder / "prices.manifest.json").unlink(), "no such file"),
    "all zero": (lambda j: j.prices(0, 0, as_of=NEXT), "absurd"),
    "all negative": (lambda j: j.prices(-1, -2, as_of=NEXT), "absurd"),
    "all gone wild": (lambda j: j.prices(6, 18, as_of=NEXT), "absurd"),
    "words": (lambda j: j.prices("cheap", "dear", as_of=NEXT), "absurd"),
    "short of a column": (lambda j: j.feed("prices", "provider,region\np,r\n", NEXT), "lacks"),
    "not UTF-8": (lambda j: (j.folder / "prices.csv").write_bytes(b"\xff\xfe\x00"), "UTF-8"),
}


@pytest.mark.parametrize("how", BAD_PRICES)
def test_a_bad_feed_keeps_its_last_good_copy_and_says_so(job, taken, how):
    spoil, why = BAD_PRICES[how]
    taken()
    spoil(job)
    job.feed("demand", demand_rows(NEXT), NEXT)
    fed = taken(NEXT)
    assert fed.prices[SMALL][0] == 1.0
    assert any("feed 'p' refused" in flag and why in flag for flag in fed.flags), fed.flags


@pytest.mark.parametrize("how", ["truncated", "missing", "all zero"])
def test_a_bad_feed_without_a_good_copy_is_unavailable(job, taken, how):
    BAD_PRICES[how][0](job)
    with pytest.raises(UnavailableError, match="no good copy"):
        taken(NEXT)


def test_a_good_copy_may_not_grow_too_old(job, taken):
    taken()
    BAD_PRICES["missing"][0](job)
    job.feed("demand", demand_rows(NOW + timedelta(hours=49)), NOW + timedelta(hours=49))
    with pytest.raises(UnavailableError, match="49 h old, at most 48 h"):
        taken(NOW + timedelta(hours=49))


@pytest.mark.parametrize("price", [5.01, 0.19, 0, -1, "nan", "inf", "x"])
def test_an_absurd_price_is_held_at_the_last_good_one(job, taken, price):
    taken()
    job.prices(small=price, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    fed = taken(NEXT)
    assert fed.prices[SMALL][0] == 1.0
    assert any("price of p/r/smallx1/on_demand refused" in flag for flag in fed.flags)


@pytest.mark.parametrize("price", [5.0, 0.2, 1.5])
def test_a_price_may_move_by_the_factor(job, taken, price):
    taken()
    job.prices(small=price, as_of=NEXT)
    job.feed("demand", demand_rows(NEXT), NEXT)
    assert taken(NEXT).prices[SMALL][0] == price


def test_an_absurd_price_without_a_good_one_is_missing_never_zero(job, taken):
    job.prices(small=0)
    fed = taken()
    assert SMALL not in fed.prices
    assert any("0 USD/h is no price" in flag for flag in fed.flags)


def test_wrong_rates_are_left_out_and_told(job, taken):
    rows = demand_rows()
    rows[-1]["rate_per_s"], rows[-2]["rate_per_s"], rows[-3]["hour"] = "NaN", -1, "yesterday"
    job.feed("demand", rows)
    assert len([flag for flag in taken().flags if flag.startswith("demand of w/q")]) == 3


def test_stale_demand_serves_while_the_history_is_young_enough(job, taken):
    taken()
    later = NOW + timedelta(hours=29)
    job.feed("demand", demand_rows()[:100], later)
    fed = taken(later)
    assert any("demand feed 'demand' refused" in flag for flag in fed.flags)
    job.feed("prices", (job.folder / "prices.csv").read_text(), later + timedelta(days=1))
    with pytest.raises(UnavailableError, match="demand held is too old"):
        taken(later + timedelta(days=1))


def test_demand_comes_from_parquet_too(job, taken):
    import pandas as pd

    pd.DataFrame(demand_rows()).to_parquet(job.folder / "demand.parquet")
    job.configure(feeds={"demand": {"kind": "parquet", "path": "demand.parquet"}})
    assert taken().flags == []
    (job.folder / "demand.parquet").write_bytes(b"PAR1 and no more")
    assert any("not a table of demand" in flag for flag in taken().flags)
