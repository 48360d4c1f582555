"""helpline.json: a helpline by telephone that must not fall silent, beside notes that may wait for better times.

Prices are those of offers_small.csv; demands and what is insured are examples, each with its reason. README.md tells the story.
"""

from __future__ import annotations

from building.demands import AS_OF, EXAMPLE, rate_class, stated_rate, workload
from building.policies import LANGUAGE, READ_OFF_CURVES
from building.recommendation import PERIODS
from building.tables import CatalogRow
from building.tutor import CLOUDS, OFFERS, WRITER


def _asked(day: float, night: float, why: str) -> CatalogRow:
    return stated_rate({"day": day, "night": night}, "requests/s", why)


def question() -> CatalogRow:
    """Give the whole document of helpline.json."""
    score = ("ROUGE-1", "CNN/DailyMail", 0.998)
    advice, notes = _asked(15, 10, "turns of calls; nights are not much quieter"), _asked(30, 5, "notes of calls that are over")
    pace = ("p95", {"ttft": 1000, "tpot": 60})
    advise = workload(
        ("advise", WRITER, "helpline"), CLOUDS, [rate_class("turn", advice, 1024, 256)], pace, score,
        EXAMPLE + "everybody is answered if a machine fails, four of five if a provider's region does",
    )  # fmt: skip
    insured = {"redundancy": [{"event": "replicas"}, {"event": "region", "served_fraction": 0.8}]}
    write = workload(
        ("write-notes", WRITER, "office"), CLOUDS, [rate_class("call", notes, 1024, 256)], ("p95", {"ttft": 5000, "tpot": 100}),
        score, "nothing is insured: who waits is told so",
    )  # fmt: skip
    return {
        "schema_version": 1,
        "name": "helpline",
        "description": "A helpline insured against the loss of a machine or a region; numbers explained in README.md",
        "as_of": AS_OF,
        "periods": PERIODS,
        "catalogs": LANGUAGE | {"offers": OFFERS},
        "policy": READ_OFF_CURVES,
        "workloads": [advise | insured, write],
    }
