"""Plots, drawn by altair, which comes with the extra `notebook`."""

from __future__ import annotations

import io
from typing import Any

from optimizer.errors import UsageError

__all__ = ["draw_replay"]

WAYS = {"nightly, few changes": "", "first plan for ever": "first_", "every night anew": "scratch_"}


def draw_replay(days_csv: str) -> Any:
    """Draw replayed days, one row a day: cost, share of replicas changed and demand covered by way of planning; an altair chart.

    Raises
    ------
    UsageError : the extra ``notebook`` is missing
    """
    import pandas as pd

    try:
        import altair as alt
    except ImportError:
        raise UsageError("plots need an extra: pip install 'allocate[notebook]'") from None
    wide = pd.read_csv(io.StringIO(days_csv), parse_dates=["day"])
    figures = {"usd_per_hour": "USD per hour", "changed_fraction": "replicas changed", "coverage": "demand covered"}
    rows = [
        {"day": day, "way": way, "figure": shown, "value": value}
        for figure, shown in figures.items()
        for way, prefix in WAYS.items()
        if f"{prefix}{figure}" in wide
        for day, value in zip(wide["day"], wide[f"{prefix}{figure}"], strict=True)
    ]
    line = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(x=alt.X("day:T", title=None), color=alt.Color("way:N", title=None))
    )
    charts = [
        line.encode(y=alt.Y("value:Q", title=shown, scale=alt.Scale(zero=shown == "replicas changed")))
        .transform_filter(alt.datum.figure == shown)
        .properties(width=640, height=160)
        for shown in figures.values()
    ]
    return alt.vconcat(*charts)
