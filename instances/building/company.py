"""company.json: one company's whole fleet by day and by night: chat, search, pictures, ranking, a batch and training.

The workloads are those of the other questions at a share of their demand, under limits, a budget, people and platform costs that
they share, beside two sites of the company's own. README.md tells what is cited and what is an example.
"""

from __future__ import annotations

from building import cv, nlp, recommendation, science
from building.demands import AS_OF, EU, EXAMPLE, US, Traffic, limit
from building.policies import EFFICIENCIES, PRICED_MAKING, READ_OFF_CURVES, catalogs
from building.tables import CatalogRow, RawRow

MEASURED = ["llm", *(f"mlperf_{domain}" for domain in ("language", "vision", "recommendation", "speech")), "timm"]
CATALOGS = catalogs(["", "_vision", "_timm", "_recommendation", "_speech"], MEASURED) | EFFICIENCIES
CURVE = {"night": 0.4, "day": 1.0}
PERIODS = [{"name": "night", "hours": 10, "per_month": 365 / 12}, {"name": "day", "hours": 14, "per_month": 365 / 12}]
REGIONS = ["us-east-1", "us-west-2", "us-central1", "eastus", "eu-north1", "eu-west-1", "europe-west4"]
"""Where the company has accounts; each further region would cost it more people than it saves."""
SHARES = {
    "chat-70b-short-prompt": 1.0, "assistant-8b": 0.5, "summarise-news": 0.5, "search-answers": 1.0, "contract-answers": 0.5,
    "classify-tickets": 0.5, "generate-images": 0.3, "rank-front": 0.5, "rank-ads-eu": 1.0,
}  # fmt: skip
VIRGINIA, FINLAND = "ashburn", "hamina"
JOBS = {"transcribe": "night", "tune-whisper": None, "pretrain-reports": None}
USD_PER_EUR = 1.08


def _through_the_day(rate: CatalogRow, share: float) -> CatalogRow:
    """Give a share of another question's demand, spread over the day."""
    stated = rate["value"]
    peak = max(stated.values()) if isinstance(stated, dict) else float(str(stated))
    source = f"{rate['source']}; here {share:.0%} of it, over the day {', '.join(f'{n} {s:.0%}' for n, s in CURVE.items())}"
    return rate | {"value": {name: float(f"{peak * share * part:.4g}") for name, part in CURVE.items()}, "source": source}


def serving(traffic: Traffic) -> list[CatalogRow]:
    """Give the workloads that answer requests."""
    known = {str(w["name"]): w for w in (*nlp.workloads(traffic), *cv.workloads(), *recommendation.workloads())}
    found = []
    for name, share in SHARES.items():
        work = known[name]
        classes = [c | {"rate": _through_the_day(c["rate"], share)} for c in work["classes"]]
        found.append(work | {"classes": classes, "regions_allowed": _with_sites(work["regions_allowed"])})
    return found


def _with_sites(regions: list[str]) -> list[str]:
    """Keep to the company's regions, and open its own sites to whoever may use regions there."""
    here = [region for region in REGIONS if region in regions]
    return [*here, *([VIRGINIA] if set(regions) & set(US) else []), *([FINLAND] if set(regions) & set(EU) else [])]


def batches_and_training() -> list[CatalogRow]:
    """Give the volumes and the training jobs; they may run on the company's own machines as well."""
    known = {str(w["name"]): w for w in science.question()["workloads"]}
    found = []
    for name, start in JOBS.items():
        work = known[name] | {"regions_allowed": [*REGIONS, VIRGINIA, FINLAND]}
        found.append(work | ({"start": start} if start else {}))
    return found


def figure(value: float, source: str, quality: str = "assumed") -> CatalogRow:
    """Give a number of a site with where it is from."""
    return {"value": value, "quality": quality, "source": source}


def _hosts(*kinds: tuple[str, int, int, float | None]) -> list[CatalogRow]:
    """Give hosts of (accelerator, accelerators, how many, purchase price); those without a price are paid already."""
    found = []
    for accelerator, each, count, usd in kinds:
        bought = {"purchase_usd": usd, "depreciation_months": 48, "maintenance_fraction_per_year": 0.05}
        paid = {"paid": True, "maintenance_usd_per_year": 6000 if each == 8 else 2500}
        why = "a quotation of the kind that resellers give, written off over four years" if usd else "bought three years ago"
        name = f"{each}x {accelerator}" + ("" if usd else " (paid)")
        found.append(
            {
                "instance_type": name, "accelerator": accelerator, "accelerators_per_host": each, "available": count,
                **(bought if usd else paid), "quality": "assumed", "source": EXAMPLE + why,
            }
        )  # fmt: skip
    return found


def sites() -> list[CatalogRow]:
    """Give the two sites: what their electricity costs and emits is cited, what stands there is an example."""
    eia = "EIA Electric Power Annual, average industrial revenue per kWh in Virginia, data for 2023"
    eurostat = (
        f"Eurostat, electricity prices for non-household consumers in Finland, first half of 2024, at {USD_PER_EUR} USD per EUR"
    )
    return [
        {
            "name": VIRGINIA, "provider": "own", "region": VIRGINIA, "usd_per_kwh": figure(0.0892, eia, "measured"),
            "pue": figure(1.4, EXAMPLE + "a room that was built for other machines"),
            "gco2_per_kwh": figure(415.755, "EPA, by way of cloud-carbon-coefficients: us-east-1", "measured"),
            "max_power_kw": figure(5, EXAMPLE + "what the room's cooling carries"),
            "hosts": _hosts(("A100-SXM-80GB", 8, 3, None), ("L40S", 4, 4, 48_000), ("H100-SXM", 8, 2, 260_000)),
        },
        {
            "name": FINLAND, "provider": "own", "region": FINLAND,
            "usd_per_kwh": figure(round(0.0939 * USD_PER_EUR, 4), eurostat, "derived"),
            "pue": figure(1.15, EXAMPLE + "outside air for most of the year"),
            "gco2_per_kwh": figure(39.32, "GoogleCloudPlatform/region-carbon-info: europe-north1, 2024", "measured"),
            "max_power_kw": figure(5, EXAMPLE + "the rented share of a hall"),
            "hosts": _hosts(("L40S", 4, 6, 48_000), ("H100-SXM", 8, 2, 260_000)),
        },
    ]  # fmt: skip


def _own_routes() -> list[CatalogRow]:
    why = "lines that are paid by the month, spread over what they carry"
    return [{"provider": "own", "to": "internet", "usd_per_gib": 0.01, "quality": "assumed", "source": EXAMPLE + why}]


def limits() -> list[CatalogRow]:
    """Give the quotas that all share, each an example, and the budget."""
    budgets = [
        ({}, "budget", 400_000, "what the board agreed to for all of it"),
        ({"option": "owned"}, "machines of our own", 24_000, "what may be bound in machines, as depreciation and upkeep"),
    ]
    money = [
        {"name": name, "match": match, "max_usd_per_month": most, "quality": "assumed", "reason": EXAMPLE + why}
        for match, name, most, why in budgets
    ]
    carbon = {
        "name": "carbon of our own rooms", "match": {"provider": "own"}, "max_gco2_per_hour": 7000, "quality": "assumed",
        "reason": EXAMPLE + "a promise made in the yearly report",
    }  # fmt: skip
    return [
        limit("nebius", {"provider": "nebius", "option": "on_demand"}, 48, "six instances at a small provider"),
        limit("lambda GH200", {"provider": "lambda", "accelerator": "GH200-96GB"}, 12, "sold one by one, rarely in stock"),
        limit("lambda others", {"provider": "lambda", "accelerator": ["H100-SXM", "H100-PCIe", "B200"]}, 16, "two instances"),
        limit("runpod", {"provider": "runpod"}, 16, "a marketplace: what many small hosts have"),
        limit("spot", {"option": "spot"}, 48, "six instances in all"),
        limit("aws H100 and H200", {"provider": "aws", "accelerator": ["H100-SXM", "H200-SXM"]}, 32, "four instances"),
        limit("RTX PRO", {"accelerator": "RTX-PRO-6000-Server"}, 24, "three instances of a new type"),
        limit("gcp TPU", {"provider": "gcp", "kind": "tpu"}, 128, "a quota in chips, raised once"),
        *money,
        carbon,
    ]


def question(traces: list[RawRow], sizes: list[RawRow]) -> CatalogRow:
    """Give the whole document of company.json."""
    return {
        "schema_version": 1,
        "name": "company",
        "description": "One company's services, batches and training, rented and owned; numbers explained in README.md",
        "as_of": AS_OF,
        "time_zone": "America/New_York",
        "periods": PERIODS,
        "catalogs": CATALOGS,
        "policy": READ_OFF_CURVES | PRICED_MAKING,
        "workloads": [*serving(Traffic(traces, sizes)), *batches_and_training()],
        "sites": sites(),
        "limits": limits(),
        "people": [*cv.people()],
        "licences": cv.licences(),
        "data": recommendation.data(),
        "interruptions": cv.interruptions(),
        "routes": [*cv.routes(), *_own_routes()],
    }
