"""claims.json: an insurer that reads claims in a small room of its own and rents what the room cannot carry.

Tariff and carbon are cited, sizes of slots are the vendor's; demands, machines, caps, licences, what is kept and the budget are
examples, each with its reason. README.md tells the story of each workload and why amounts stand near break-even.
"""

from __future__ import annotations

from building.company import figure
from building.cv import ANY_QUALITY
from building.demands import AS_OF, EXAMPLE, rate_class, stated_rate, workload
from building.policies import LANGUAGE, READ_OFF_CURVES
from building.tables import CatalogRow
from building.tutor import CLOUDS, OFFERS

ROOM = "oakland"
PERIODS = [{"name": "office", "hours": 10, "per_month": 365 / 12}, {"name": "night", "hours": 14, "per_month": 365 / 12}]
WRITER, READER = "Llama-3.1-8B-Instruct", "BERT-base-uncased"
DISTILLED = ["minilm-l12", "minilm-l6"]
PRUNED = ["pruned-65%", "pruned-74%", "pruned-81%"]


def _asked(by_day: float, night_share: float, why: str) -> CatalogRow:
    rates = {"office": by_day, "night": round(by_day * night_share, 4)}
    return stated_rate(rates, "requests/s", f"{why}; by night {night_share:.0%} of it")


def workloads() -> list[CatalogRow]:
    """Give what is read and written; claims with health data stay in the house."""
    letter, summary = _asked(0.6, 0.1, "letters to patients"), _asked(24.5, 0.09, "summaries of open claims")
    sort = _asked(16_000, 1.0, "every sentence of every letter; what the post brought is read through the night")
    pair = _asked(800, 0.1, "each claim beside the ones before it")
    score, house = ("ROUGE-1", "CNN/DailyMail", 0.998), "health data do not leave the house"
    return [
        workload(
            ("write-letters", WRITER, "care"), [ROOM], [rate_class("letter", letter, 1024, 256)],
            ("p95", {"ttft": 5000, "tpot": 150}), score, house, allowed_quality=ANY_QUALITY,
        ),
        workload(
            ("write-summaries", WRITER, "claims"), [*CLOUDS, ROOM], [rate_class("claim", summary, 1024, 256)],
            ("p95", {"ttft": 2000, "tpot": 80}), score, "without names, so that clouds may do it",
        ),
        workload(
            ("sort-sentences", READER, "care"), [ROOM], [rate_class("sentence", sort, 128, 1)], ("p95", {"e2e": 300}),
            ("accuracy", "MNLI", 0.97), f"{house}; base speed modelled, speed-ups as cited", allowed_quality=ANY_QUALITY,
        ),
        workload(
            ("find-fraud", READER, "claims"), [ROOM], [rate_class("pair", pair, 128, 1)], ("p95", {"e2e": 300}),
            ("accuracy", "MNLI", 0.995), f"{house}; base speed modelled", allowed_quality=ANY_QUALITY,
        ),
    ]  # fmt: skip


def fractions() -> list[CatalogRow]:
    """Give the slots that the room's cards may be cut into."""
    return [
        {
            "name": "3g.40gb", "accelerator": "A100-SXM-80GB", "slots": 2, "memory_share": 0.5, "rate_share": 0.4285,
            "interference_factor": 0.95, "quality": "assumed",
            "source": "NVIDIA MIG user guide: half of the memory, 3 of 7 compute slices; 5 % lost to a busy neighbour, assumed",
        }
    ]  # fmt: skip


def sites() -> list[CatalogRow]:
    """Give the room: tariff and carbon are cited, what stands there is an example."""
    eia = "EIA Electric Power Annual, average commercial revenue per kWh in California, data for 2023"
    bought = {"depreciation_months": 48, "maintenance_fraction_per_year": 0.05, "quality": "assumed"}
    return [
        {
            "name": ROOM, "provider": "own", "region": ROOM, "usd_per_kwh": figure(0.2391, eia, "measured"),
            "pue": figure(1.4, EXAMPLE + "a store room with an air conditioner"),
            "gco2_per_kwh": figure(350.861, "EPA, by way of cloud-carbon-coefficients: us-west-1", "measured"),
            "max_gco2_per_hour": figure(470, EXAMPLE + "what the insurer promised its owners for this house"),
            "hosts": [
                {
                    "instance_type": "two A100 (paid)", "accelerator": "A100-SXM-80GB", "accelerators_per_host": 2,
                    "available": 1, "paid": True, "maintenance_usd_per_year": 1500, "quality": "assumed",
                    "source": EXAMPLE + "bought three years ago",
                },
                {
                    "instance_type": "two L40S", "accelerator": "L40S", "accelerators_per_host": 2, "available": 4,
                    "purchase_usd": 26_000, **bought, "source": EXAMPLE + "a quotation of the kind that resellers give",
                },
                {
                    "instance_type": "two H100", "accelerator": "H100-PCIe", "accelerators_per_host": 2, "available": 2,
                    "purchase_usd": 46_700, **bought, "source": EXAMPLE + "the same",
                },
            ],
        }
    ]  # fmt: skip


def data() -> list[CatalogRow]:
    """Give what must be kept while the distilled reader decides."""
    return [
        {
            "name": "record of the distilled reader", "when": {"model": READER, "compression": DISTILLED}, "kept_gib": 60_000,
            "kept_in": "aws/us-east-1", "quality": "assumed",
            "source": EXAMPLE + "pictures of all it read, kept for the auditors for two years, enciphered",
        }
    ]  # fmt: skip


def storage() -> list[CatalogRow]:
    """Give what keeping costs."""
    price = "0.023 USD a GB and month (list price of AWS S3, told by third parties)"
    return [{"usd_per_gib_month": 0.0247, "quality": "assumed", "source": price}]


def licences() -> list[CatalogRow]:
    """Give the licences that are paid once, however much runs."""
    why = "a supplier prunes the reader on the insurer's texts and answers for it, by the month"
    return [
        {
            "name": "pruned reader", "when": {"model": READER, "compression": PRUNED}, "kind": "flat",
            "usd_per_month": 700, "quality": "assumed", "source": EXAMPLE + why,
        },
        {
            "name": "cluster at nebius", "when": {"provider": "nebius"}, "kind": "flat", "usd_per_month": 900,
            "quality": "assumed", "source": EXAMPLE + "a managed cluster with support, by the month",
        },
    ]  # fmt: skip


def limits() -> list[CatalogRow]:
    """Give the budget for machines."""
    return [
        {
            "name": "machines", "match": {"option": "owned"}, "max_usd_per_month": 1400, "quality": "assumed",
            "reason": EXAMPLE + "what the board set aside for machines and their electricity",
        }
    ]  # fmt: skip


def question() -> CatalogRow:
    """Give the whole document of claims.json."""
    return {
        "schema_version": 1,
        "name": "claims",
        "description": "An insurer reads claims in a room of its own and rents the rest; numbers explained in README.md",
        "as_of": AS_OF,
        "time_zone": "America/Los_Angeles",
        "periods": PERIODS,
        "catalogs": LANGUAGE | {"offers": OFFERS},
        "policy": READ_OFF_CURVES,
        "workloads": workloads(),
        "fractions": fractions(),
        "sites": sites(),
        "limits": limits(),
        "licences": licences(),
        "data": data(),
        "storage": storage(),
    }
