"""Hourly demand from a Prometheus server's ``query_range``, in pages, with time-outs and retries; half an answer is no answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from optimizer.nightly.config import DemandFeed
from optimizer.nightly.feeds import BadFeedError, Row

__all__ = ["query_hours"]

STEP_S = 3600
POINTS_PER_PAGE = 5_000
"""Prometheus refuses more than 11,000 points a series."""
PAUSE_S = 0.5
MOST_BYTES = 256 * 2**20


def query_hours(feed: DemandFeed, first: datetime, last: datetime) -> list[Row]:
    """Give the rate of every whole hour in [first, last) for every series, NaN included; each hour bears its start.

    Raises
    ------
    BadFeedError : the server cannot be reached in time, answers an error, or only a part
    """
    import httpx

    start = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    rows: list[Row] = []
    with httpx.Client(timeout=feed.timeout_s) as client:
        while start < last:
            end = min(start + timedelta(seconds=STEP_S * (POINTS_PER_PAGE - 1)), last)
            asked = {"query": str(feed.query), "start": start.timestamp(), "end": end.timestamp(), "step": STEP_S}
            rows += _rows(_answered(client, feed, asked))
            start = end + timedelta(seconds=STEP_S)
            start = start.replace(minute=0, second=0, microsecond=0)
    return rows


def _answered(client: Any, feed: DemandFeed, asked: dict[str, Any]) -> Any:
    import httpx

    why = ""
    for attempt in range(feed.retries + 1):
        if attempt:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        try:
            answer = client.get(f"{str(feed.url).rstrip('/')}/api/v1/query_range", params=asked)
            if len(answer.content) > MOST_BYTES:
                raise BadFeedError(f"an answer of more than {MOST_BYTES} bytes")
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            continue
        if not isinstance(body, dict) or body.get("status") != "success":
            why = f"HTTP {answer.status_code}: {body.get('error', 'no word why') if isinstance(body, dict) else 'no object'}"
            if answer.status_code == 400:  # a wrong query stays wrong
                break
            continue
        if body.get("warnings"):
            why = f"a part only: {body['warnings'][0]}"
            continue
        return body
    raise BadFeedError(f"Prometheus gave no whole answer ({why})")


def _rows(body: Any) -> list[Row]:
    try:
        if body["data"]["resultType"] != "matrix":
            raise BadFeedError(f"the query gives a {body['data']['resultType']}, expected a matrix")
        rows = []
        for series in body["data"]["result"]:
            names = {"workload": series["metric"]["workload"], "request_class": series["metric"]["request_class"]}
            for at, value in series["values"]:
                hour = datetime.fromtimestamp(float(at), UTC) - timedelta(seconds=STEP_S)
                rows.append({"hour": hour.isoformat(), **names, "rate_per_s": str(value)})
        return rows
    except (KeyError, TypeError, ValueError) as error:
        raise BadFeedError(f"an answer without {error}: series need labels workload and request_class") from None
