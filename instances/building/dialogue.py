"""dialogue.json: three dialogues under interactive targets through the 24 hours of a day, on demand, on spot or reserved.

Targets are those of MLPerf Interactive, or of measured curves. Demands follow a stated curve over the day; reserved prices follow
a rule of our own, since no source of ours has any. README.md tells the story of each workload.
"""

from __future__ import annotations

import math

from building.demands import AS_OF, CONVERSATION, EXAMPLE, Traffic, limit, rate_class, workload
from building.nlp import PROMPT_CLASSES
from building.policies import LANGUAGE, READ_OFF_CURVES
from building.tables import CatalogRow, RawRow

OFFERS = "offers_dialogue.csv"
REGIONS = {
    "aws": ["us-east-1"], "azure": ["eastus", "eastus2"], "gcp": ["us-central1", "us-east4", "us-east5"], "lambda": ["us-east-1"],
    "nebius": ["us-central1", "eu-north1"],
}  # fmt: skip
CHAT_HERE = ["eu-north1"]
HERE = sorted({region for regions in REGIONS.values() for region in regions} - set(CHAT_HERE))
SMALL = {"T4", "V100-SXM2-16GB", "V100-SXM2-32GB", "A10", "A10G", "RTX-A6000", "Gaudi", "Inferentia2", "Trainium1"}
RESERVED_SHARE = 0.6
RULE = "an example rule, no price of the provider: 40 % off its on-demand price for a term of one year, paid in all hours"
QUIETEST, BUSIEST = 0.3, 16
HOURS = [f"h{hour:02d}" for hour in range(24)]
ANSWER_TOKENS = 1024


def offers(rows: list[CatalogRow]) -> list[CatalogRow]:
    """Give the offers of the regions here with a reserved price, by the example rule, beside each on-demand price."""
    mine = [r for r in rows if r["region"] in REGIONS.get(str(r["provider"]), []) and r["accelerator"] not in SMALL]
    return [_with_reserved(row) for row in mine]


def _with_reserved(row: CatalogRow) -> CatalogRow:
    if row.get("prices.0.option") != "on_demand":
        return row
    usd = float(str(row["prices.0.usd_per_hour"]))
    slot = 2 if "prices.1.option" in row else 1
    reserved = {"option": "reserved", "usd_per_hour": round(usd * RESERVED_SHARE, 4), "as_of": row["prices.0.as_of"]}
    return row | {f"prices.{slot}.{k}": v for k, v in (reserved | {"quality": "assumed", "source": RULE}).items()}


def curve() -> dict[str, float]:
    """Give each hour's share of the busiest hour: a cosine from 30 % at four in the morning to 1 at four in the afternoon."""
    middle, swing = (1 + QUIETEST) / 2, (1 - QUIETEST) / 2
    return {h: round(middle + swing * math.cos(2 * math.pi * (n - BUSIEST) / 24), 4) for n, h in enumerate(HOURS)}


def _through_the_day(rate: CatalogRow) -> CatalogRow:
    """Spread a rate of the busiest hour over the day."""
    peak = float(str(rate["value"]))
    source = f"{rate['source']}; over the day a cosine, {QUIETEST:.0%} at {BUSIEST - 12}:00, 100 % at {BUSIEST}:00, an example"
    return rate | {"value": {hour: float(f"{peak * share:.4g}") for hour, share in curve().items()}, "source": source}


def workloads(traffic: Traffic) -> list[CatalogRow]:
    """Give the workloads: two dialogues and a chat by the length of its prompts."""
    why = "a helper in every window of an office suite"
    helper = _through_the_day(traffic.output_tokens(CONVERSATION, 3000, why))
    older = _through_the_day(traffic.output_tokens(CONVERSATION, 1200, "a voice service, which speaks as it writes"))
    prompts = [(name, traffic.share_of_prompts(CONVERSATION, low, high), min(high, 4096)) for name, low, high in PROMPT_CLASSES]
    chat = [
        rate_class(
            name,
            _through_the_day(traffic.requests(CONVERSATION, 180, "a chat 180 times as busy as the traced one", share=share)),
            tokens,
            ANSWER_TOKENS,
        )
        for name, share, tokens in prompts
    ]
    return [
        workload(
            ("helper-8b", "Llama-3.1-8B-Instruct", "office"), HERE, [rate_class("request", helper)],
            ("p99", {"ttft": 500, "tpot": 30}), ("ROUGE-1", "CNN/DailyMail", 0.99),
            "the bounds, lengths and unit of MLPerf v5.1 Interactive", max_spot_fraction=0.25,
        ),
        workload(
            ("voice-llama2-70b", "Llama-2-70B-chat", "voice"), HERE, [rate_class("request", older)],
            ("p99", {"ttft": 450, "tpot": 40}), ("ROUGE-1", "OpenOrca", 0.999),
            "the bounds, lengths and unit of MLPerf Interactive",
        ),
        *(
            workload(
                (f"chat-70b-{prompt['name']}", "Llama-3.1-70B-Instruct", "chat"), CHAT_HERE, [prompt],
                ("p95", {"ttft": 3000, "tpot": 50}), ("recovery", "MMLU", 0.99),
                "prompts at their bucket's upper end, the shortest measured answers; data stay in the EU", max_spot_fraction=0.25,
            )
            for prompt in chat
        ),
    ]  # fmt: skip


def interruptions() -> list[CatalogRow]:
    """Give how often spot instances are taken away: no source of ours has rates."""
    lost = "dialogues cut short and twenty minutes until weights are loaded elsewhere"
    return [
        {
            "name": "spot", "when": {"option": "spot"}, "per_hour": round(1 / 12, 4), "usd_each": 40, "quality": "assumed",
            "source": f"{EXAMPLE}once in 12 hours; {lost}",
        }
    ]  # fmt: skip


def limits() -> list[CatalogRow]:
    """Give the quotas; each is an example, as no source states quotas or stock."""
    return [
        limit("nebius", {"provider": "nebius", "region": "us-central1"}, 128, "sixteen instances at a small provider"),
        limit("lambda", {"provider": "lambda"}, 128, "sixteen instances at a small provider"),
        limit("spot", {"option": "spot"}, 128, "sixteen instances in all"),
    ]


def question(traces: list[RawRow], sizes: list[RawRow]) -> CatalogRow:
    """Give the whole document of dialogue.json."""
    return {
        "schema_version": 1,
        "name": "dialogue",
        "description": "Three dialogues through 24 hours on demand, on spot or reserved; numbers explained in README.md",
        "as_of": AS_OF,
        "periods": [{"name": hour, "hours": 1, "per_month": 30.4166667} for hour in HOURS],
        "catalogs": LANGUAGE | {"offers": OFFERS},
        "policy": READ_OFF_CURVES,
        "workloads": workloads(Traffic(traces, sizes)),
        "limits": limits(),
        "interruptions": interruptions(),
    }
