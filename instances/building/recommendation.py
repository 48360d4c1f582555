"""recommendation.json: a shop that ranks goods by day and by night, at two levels of accuracy, on models of two generations.

Targets are those under which the rates were measured. Demands, interruption rates, what data and forms cost, and limits are
examples, each with its reason. README.md tells the story of each workload.
"""

from __future__ import annotations

from building.demands import AS_OF, EU, EXAMPLE, US, limit, rate_class, stated_rate, workload
from building.policies import PRICED_MAKING, catalogs
from building.tables import CatalogRow

CATALOGS = catalogs(["_recommendation"], ["mlperf_recommendation"])
PERIODS = [{"name": "day", "hours": 14, "per_month": 365 / 12}, {"name": "night", "hours": 10, "per_month": 365 / 12}]
NIGHT_SHARE = 0.3


def _ranked(by_day: int, why: str) -> list[CatalogRow]:
    """Give users ranked per second by day; at night three in ten of them are awake."""
    rates = {"day": by_day, "night": round(by_day * NIGHT_SHARE)}
    return [rate_class("user", stated_rate(rates, "queries/s", f"{why}; by night {NIGHT_SHARE:.0%} of it"))]


def workloads() -> list[CatalogRow]:
    """Give the five workloads."""
    as_measured = "the bound and unit of MLPerf Server: a query is one user and some hundred goods"
    second, first = "DLRM-v2-DCNv2", "DLRM-Criteo"
    click = "Criteo multihot"
    return [
        workload(
            ("rank-front", second, "shop"), [*US, *EU], _ranked(160_000, "the front page, built anew at each visit"),
            ("p99", {"e2e": 60}), ("AUC", click, 0.99), as_measured, max_spot_fraction=0.3,
        ),
        workload(
            ("rank-mail", second, "shop"), [*US, *EU], _ranked(40_000, "letters to customers, filled when they are opened"),
            ("p99", {"e2e": 60}), ("AUC", click, 0.99), as_measured, max_spot_fraction=0.7,
        ),
        workload(
            ("rank-ads", second, "ads"), [*US, *EU], _ranked(250_000, "paid places, where a thousandth of the AUC is money"),
            ("p99", {"e2e": 60}), ("AUC", click, 0.999), as_measured, max_spot_fraction=0.2,
        ),
        workload(
            ("rank-ads-eu", second, "ads"), EU, _ranked(30_000, "paid places for users whose data stay in the EU"),
            ("p99", {"e2e": 60}), ("AUC", click, 0.9985), "as rank-ads; the floor holds on average over the users",
            floor_over="traffic_weighted", max_spot_fraction=0.2,
        ),
        workload(
            ("rank-partners", first, "partners"), [*US, *EU],
            _ranked(900_000, "partners who still send the features of the first model"),
            ("p99", {"e2e": 30}), ("AUC", "Criteo Terabyte", 0.999), as_measured, max_spot_fraction=0.5,
        ),
    ]  # fmt: skip


def data() -> list[CatalogRow]:
    """Give the data that a form or a model needs, bought once."""
    return [
        {
            "name": "labels for the second form", "when": {"model": "DLRM-v2-DCNv2", "compression": "int8-interaction"},
            "items": 100_000, "usd_per_item": 0.10, "labelling_hours": 100, "usd_per_labelling_hour": 20, "horizon_months": 12,
            "quality": "assumed",
            "source": EXAMPLE + "judged pairs of goods, to see whom the lost AUC hurts; 20 USD/h of labelling",
        },
    ]  # fmt: skip


def people() -> list[CatalogRow]:
    """Give the engineers each provider needs."""
    part = "a quarter of an engineer for accounts, images, network, feature stores and bills of one more provider"
    return [
        {
            "name": f"{p} operations", "when": {"provider": p}, "people": 0.25, "usd_per_person_hour": 80,
            "quality": "assumed", "source": EXAMPLE + part,
        }
        for p in ("aws", "azure", "gcp", "lambda", "nebius")
    ]  # fmt: skip


def interruptions() -> list[CatalogRow]:
    """Give how often spot instances are taken away: no source of ours has rates."""
    lost = "tables of embeddings are loaded again for twenty minutes, and a part of the users sees unranked goods meanwhile"
    hours = {"aws": 24, "gcp": 12, "nebius": 12}
    return [
        {
            "name": f"{provider} spot", "when": {"provider": provider, "option": "spot"}, "per_hour": round(1 / every, 4),
            "usd_each": 25, "quality": "assumed", "source": f"{EXAMPLE}once in {every} hours; {lost}",
        }
        for provider, every in hours.items()
    ]  # fmt: skip


def limits() -> list[CatalogRow]:
    """Give the quotas; each is an example, as no source states quotas or stock."""
    return [
        limit("lambda GH200", {"provider": "lambda", "accelerator": "GH200-96GB"}, 6, "sold one by one, rarely in stock"),
        limit("lambda others", {"provider": "lambda", "accelerator": ["H100-SXM", "H100-PCIe"]}, 8, "one instance"),
        limit("nebius", {"provider": "nebius", "option": "on_demand"}, 8, "one instance at a small provider"),
        limit("nebius spot", {"provider": "nebius", "option": "spot"}, 8, "one instance of what others leave"),
        limit("aws spot", {"provider": "aws", "option": "spot"}, 8, "one instance, as new accounts start low"),
        limit("gcp spot", {"provider": "gcp", "option": "spot"}, 8, "one instance"),
    ]


def question() -> CatalogRow:
    """Give the whole document of recommendation.json."""
    return {
        "schema_version": 1,
        "name": "recommendation",
        "description": "A shop ranks goods by day and night at two levels of accuracy; numbers explained in README.md",
        "as_of": AS_OF,
        "periods": PERIODS,
        "catalogs": CATALOGS,
        "policy": PRICED_MAKING,
        "workloads": workloads(),
        "limits": limits(),
        "people": people(),
        "data": data(),
        "interruptions": interruptions(),
    }
