"""tutor.json: a small firm that tutors pupils in six subjects and everybody else for advertisements, for the most profit.

Prices of machines and what adapters cost in speed are cited; demands, revenue, rules of price, starts and blocks are examples,
each with its reason. README.md tells the story of each workload and why amounts stand near break-even.
"""

from __future__ import annotations

from building import offers as all_offers
from building.cv import ANY_QUALITY
from building.demands import AS_OF, EXAMPLE, rate_class, stated_rate, workload
from building.policies import LANGUAGE, READ_OFF_CURVES
from building.tables import CatalogRow

OFFERS = "offers_small.csv"
SHARE_OF_PEAK = {"school": 0.4, "homework": 1.0, "night": 0.1}
HOURS = {"school": 7, "homework": 4, "night": 13}
PERIODS = [{"name": name, "hours": hours, "per_month": 365 / 12} for name, hours in HOURS.items()]
CLOUDS = ["us-east-1", "us-central1", "US"]
CARDS = {"L40S", "A100-PCIe-80GB", "GH200-96GB", "H200-SXM"}
BLOCKS_OF, BLOCK_SHARE = "gpu_1x_gh200", 0.38
BLOCK_RULE = "an example rule, no price of the provider: 62 % off its on-demand price, three years ahead, four machines at a time"
WRITER = "Llama-3.1-8B-Instruct"
SUBJECTS = {"spanish": 3, "maths": 4, "physics": 2, "history": 1.5, "chemistry": 2, "latin": 1}
ADAPTER_GIB = round(32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18432) * 2 / 2**30, 3)
"""LoRA of rank 16 on all seven matrices of each of Llama 3.1 8B's 32 layers, 16 bit."""
KEPT_WITH_ADAPTERS = round(7.61 / 11.45, 3)
"""Requests/s with four adapters over those without, Llama 2 7B on one A100 (vllm-project/vllm#11267)."""


def offers(rows: list[CatalogRow]) -> list[CatalogRow]:
    """Give the cheapest machine with one or two cards of each kind in each region, and one that is sold in blocks of four."""
    mine = [r for r in rows if r["region"] in CLOUDS and r["accelerator"] in CARDS and r.get("prices.0.option") == "on_demand"]
    small = [r for r in mine if int(str(r["accelerators_per_instance"])) <= 2]
    cheapest: dict[tuple[object, ...], CatalogRow] = {}
    for row in sorted(small, key=lambda r: (float(str(r["prices.0.usd_per_hour"])), str(r["instance_type"]))):
        cheapest.setdefault(tuple(row[f] for f in ("provider", "region", "accelerator", "accelerators_per_instance")), row)
    return [_in_blocks(row) for row in rows if row in cheapest.values()]


def header() -> list[str]:
    """Give the columns of the table of offers."""
    return [*all_offers.header(2), "prices.1.lot"]


def _in_blocks(row: CatalogRow) -> CatalogRow:
    if row["instance_type"] != BLOCKS_OF:
        return row
    usd = round(float(str(row["prices.0.usd_per_hour"])) * BLOCK_SHARE, 4)
    block = {"option": "reserved", "usd_per_hour": usd, "as_of": AS_OF, "quality": "assumed", "source": BLOCK_RULE, "lot": 4}
    return row | {f"prices.1.{k}": v for k, v in block.items()}


def _asked(peak: float, why: str) -> CatalogRow:
    return stated_rate({name: round(peak * share, 4) for name, share in SHARE_OF_PEAK.items()}, "requests/s", why)


def _tutor(subject: str, peak: float, why: str, **more: object) -> CatalogRow:
    return workload(
        (f"tutor-{subject}", WRITER, "tutors"), CLOUDS, [rate_class("question", _asked(peak, why), 1024, 256)],
        ("p95", {"ttft": 1500, "tpot": 80}), ("ROUGE-1", "CNN/DailyMail", 0.998),
        "a page of homework and what was said before, an answer of a few paragraphs",
    ) | more  # fmt: skip


def workloads() -> list[CatalogRow]:
    """Give the tutors of those who pay, and the one of those who do not."""
    school = "questions when homework is done, fewer in school and few by night"
    free: CatalogRow = {
        "revenue": {
            "impressions_per_request": 0.02, "usd_per_thousand_impressions": 1.5,
            "source": EXAMPLE + "an advertisement with every 50th answer",
        },
        "shedding": {
            "max_unserved_fraction": 0.7, "usd_per_request": 0.000005,
            "source": EXAMPLE + "pupils who are told to come back later, and some who do not",
        },
    }  # fmt: skip
    pays: CatalogRow = {"revenue": {"subscribers": 1500, "usd_per_subscriber_month": 5, "source": EXAMPLE + "families who pay"}}
    return [
        *(_tutor(subject, peak, school, **pays, allowed_quality=ANY_QUALITY) for subject, peak in SUBJECTS.items()),
        _tutor("free", 100, "everybody else", **free),
    ]  # fmt: skip


def shared_pools() -> list[CatalogRow]:
    """Give the pool in which the subjects' adapters stand beside each other."""
    slower = f"{KEPT_WITH_ADAPTERS:.0%} of the rate, as Llama 2 7B on one A100 with four adapters (vllm-project/vllm#11267)"
    source = f"LoRA of rank 16, {ADAPTER_GIB} GiB each; {slower}; assumed to carry over"
    names = [f"tutor-{subject}" for subject in SUBJECTS]
    return [
        {
            "name": "subjects together", "workloads": names, "adapter_memory_gib": dict.fromkeys(names, ADAPTER_GIB),
            "rate_factor": KEPT_WITH_ADAPTERS, "quality": "assumed", "source": source,
        }
    ]  # fmt: skip


def price_rules() -> list[CatalogRow]:
    """Give the firm's own prices: a term at one provider, a discount at another, a fee at a third."""
    return [
        {
            "name": "a year ahead at nebius", "match": {"provider": "nebius", "option": "on_demand"}, "makes": "reserved",
            "percent": -35, "quality": "assumed", "source": EXAMPLE + "35 % off for a year, paid in all hours",
        },
        {
            "name": "schools at aws", "match": {"provider": "aws", "option": "on_demand"}, "percent": -20, "quality": "assumed",
            "source": EXAMPLE + "a programme for firms that work for schools",
        },
        {
            "name": "support at runpod", "match": {"provider": "runpod"}, "fee_usd_per_hour": 0.15, "quality": "assumed",
            "source": EXAMPLE + "a contract for answers by telephone, by the machine",
        },
    ]  # fmt: skip


def storage() -> list[CatalogRow]:
    """Give what a form of a model costs to keep in a region, and to fetch there each night."""
    price = "object storage at 0.023 USD a GB and month, and 0.09 USD a GB sent (list prices of AWS S3, told by third parties)"
    everywhere = {"usd_per_gib_month": 0.0247, "usd_per_gib_fetched": 0.0966, "quality": "assumed", "source": price}
    return [everywhere]


def starts() -> list[CatalogRow]:
    """Give what a start costs beside the rent of the time until a replica answers."""
    why = "twenty minutes for machine, weights and a trial run, and now and then somebody who looks why it failed"
    return [
        {
            "name": "starts", "when": {"model": WRITER}, "warm_up_hours": 0.3333, "usd_per_start": 0.4, "quality": "assumed",
            "source": EXAMPLE + why,
        }
    ]  # fmt: skip


def licences() -> list[CatalogRow]:
    """Give the licence that is paid by the card."""
    return [
        {
            "name": "support of blocks", "kind": "unit", "when": {"provider": "lambda", "option": "reserved"},
            "usd_per_accelerator_month": 200, "quality": "assumed",
            "source": EXAMPLE + "blocks are sold bare: somebody else's support of their software, by the card",
        }
    ]  # fmt: skip


def question() -> CatalogRow:
    """Give the whole document of tutor.json."""
    change = {
        "usd_per_replica_start": 30, "usd_per_replica_stop": 10, "horizon_hours": 730, "max_changed_accelerators": 3,
        "minimum_saving_usd_per_month": 470, "quality": "assumed",
        "reason": EXAMPLE + "half an hour of an engineer for what is moved, a month until the next plan, two evenings of work",
    }  # fmt: skip
    return {
        "schema_version": 1,
        "name": "tutor",
        "description": "Tutors for those who pay and those who do not, for the most profit; numbers explained in README.md",
        "as_of": AS_OF,
        "time_zone": "America/Los_Angeles",
        "objective": "profit",
        "periods": PERIODS,
        "catalogs": LANGUAGE | {"offers": OFFERS},
        "policy": READ_OFF_CURVES | {"weight_versions_per_month": 30.4167, "change": change},
        "workloads": workloads(),
        "shared_pools": shared_pools(),
        "licences": licences(),
        "starts": starts(),
        "storage": storage(),
        "price_rules": price_rules(),
    }
