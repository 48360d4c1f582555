"""nlp.json: eight language workloads of one company, their targets, and the limits they share.

Demand is a trace's rate times a stated factor; the factor, the targets, the floors and the limits are assumptions, each with its
reason. README.md tells the story of each workload.
"""

from __future__ import annotations

from building.tables import CatalogRow, RawRow

AS_OF = "2026-11-22"
CATALOGS = {
    "accelerators": "catalogs/accelerators.csv",
    "offers": "catalogs/offers.csv",
    "models": "catalogs/models.json",
    "profiles": ["catalogs/profiles_llm.csv", "catalogs/profiles_mlperf_language.csv"],
}
US = [
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "eastus", "eastus2", "southcentralus", "westus2", "westus3",
    "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west4", "US",
]  # fmt: skip
EU = [
    "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3", "eu-south-1", "francecentral", "germanywestcentral", "italynorth",
    "northeurope", "polandcentral", "spaincentral", "swedencentral", "westeurope", "europe-north1", "europe-west1",
    "europe-west3", "europe-west4", "europe-west8", "europe-west9", "eu-north1", "eu-west1", "FR", "NL", "SE", "DK", "CZ", "RO",
]  # fmt: skip
CONVERSATION, CODE = "azure_llm_2023_conv", "azure_llm_2023_code"
PROMPT_CLASSES = [("short-prompt", 1, 1024), ("long-prompt", 1025, 2048), ("document", 2049, 1 << 30)]
DOCUMENT_TOKENS = 4096
ANSWER_TOKENS = 1024


class Traffic:
    """Demands from the traces: peak rates, answer lengths and shares of prompt lengths, times a factor."""

    def __init__(self, traces: list[RawRow], sizes: list[RawRow]) -> None:
        """Index the trace summaries and keep the length buckets."""
        self._traces = {row["trace"]: row for row in traces}
        self._sizes = sizes

    def requests(self, trace: str, scale: float, why: str, unit: str = "requests/s", share: float = 1.0) -> CatalogRow:
        """Give the peak minute's requests per second, scaled."""
        raw = self._traces[trace]
        return self._rate(float(raw["peak_minute_requests_per_s"]) * scale * share, unit, scale, raw, why)

    def output_tokens(self, trace: str, scale: float, why: str) -> CatalogRow:
        """Give the peak minute's output tokens per second, scaled."""
        raw = self._traces[trace]
        tokens = float(raw["peak_minute_requests_per_s"]) * float(raw["mean_output_tokens"])
        return self._rate(
            tokens * scale, "tokens/s", scale, raw, f"requests times {raw['mean_output_tokens']} output tokens; {why}"
        )

    def share_of_prompts(self, trace: str, low: int, high: int) -> float:
        """Give the share of a trace's requests whose input bucket starts within low ... high."""
        mine = [row for row in self._sizes if row["trace"] == trace]
        inside = sum(int(row["requests"]) for row in mine if low <= int(row["input_tokens_bucket"].split("-")[0]) <= high)
        return inside / sum(int(row["requests"]) for row in mine)

    @staticmethod
    def _rate(value: float, unit: str, scale: float, raw: RawRow, why: str) -> CatalogRow:
        return {
            "value": float(f"{value:.4g}"),
            "unit": unit,
            "statistic": "peak_minute",
            "scale": scale,
            "quality": "assumed",
            "source": f"{raw['source'].replace(' @', '@')}, its peak minute times {scale:g}: {why}",
        }


def _latency(statistic: str, **at_most_ms: float) -> list[CatalogRow]:
    return [{"quantity": quantity, "statistic": statistic, "at_most_ms": bound} for quantity, bound in at_most_ms.items()]


def _floor(metric: str, evaluation: str, fraction: float) -> CatalogRow:
    return {"metric": metric, "evaluation": evaluation, "floor_fraction_of_baseline": fraction}


def _one_class(name: str, rate: CatalogRow, **tokens: int) -> list[CatalogRow]:
    return [{"name": name, **tokens, "rate": rate}]


def _chat(traffic: Traffic) -> CatalogRow:
    why = "a service eight times as busy as the traced one"
    classes = []
    for name, low, high in PROMPT_CLASSES:
        rate = traffic.requests(CONVERSATION, 8, why, share=traffic.share_of_prompts(CONVERSATION, low, high))
        tokens = min(high, DOCUMENT_TOKENS)
        classes += _one_class(name, rate, input_tokens=tokens, output_tokens=ANSWER_TOKENS)
    return {
        "name": "chat-70b",
        "model": "Llama-3.1-70B-Instruct",
        "team": "chat",
        "regions_allowed": [*US, *EU],
        "classes": classes,
        "latency": _latency("p95", ttft=3000, tpot=80),
        "accuracy": _floor("recovery", "MMLU", 0.99),
        "note": "prompts at the upper end of their bucket, answers at the shortest measured length (1024; the trace has 211)",
    }


def _assistant(traffic: Traffic) -> CatalogRow:
    return {
        "name": "assistant-8b",
        "model": "Llama-3.1-8B-Instruct",
        "team": "assistant",
        "regions_allowed": US,
        "classes": _one_class(
            "request", traffic.output_tokens(CONVERSATION, 150, "the assistant sits in a product used all day")
        ),
        "latency": _latency("p99", ttft=2000, tpot=100),
        "accuracy": _floor("ROUGE-1", "CNN/DailyMail", 0.99),
        "note": "the bounds, lengths and unit of MLPerf v5.1 Server",
    }


def _older_chat(traffic: Traffic) -> CatalogRow:
    return {
        "name": "chat-llama2-70b",
        "model": "Llama-2-70B-chat",
        "team": "chat",
        "regions_allowed": [*US, *EU],
        "classes": _one_class(
            "request", traffic.output_tokens(CONVERSATION, 40, "customers who have not moved to a newer model")
        ),
        "latency": _latency("p99", ttft=2000, tpot=200),
        "accuracy": _floor("ROUGE-1", "OpenOrca", 0.999),
        "note": "the bounds, lengths and unit of MLPerf Server; rates held under the stricter Interactive bounds count too",
    }


def _reasoning(traffic: Traffic) -> CatalogRow:
    rate = traffic.requests(CODE, 0.2, "one request in five of the coding service is sent on to the reasoning model")
    return {
        "name": "reasoning-r1",
        "model": "DeepSeek-R1",
        "team": "research",
        "regions_allowed": [*US, *EU],
        "classes": _one_class("problem", rate, input_tokens=1024, output_tokens=8192),
        "latency": _latency("p95", ttft=5000, tpot=60),
        "accuracy": _floor("exact_match", "MLPerf", 0.99),
        "note": "a short problem and a long chain of thought: the measured shape 1024 / 8192",
    }


def _answers(traffic: Traffic, name: str, fraction: float, regions: list[str], scale: float, why: str) -> CatalogRow:
    return {
        "name": name,
        "model": "BERT-Large-SQuAD",
        "team": "search",
        "regions_allowed": regions,
        "classes": _one_class("query", traffic.requests(CONVERSATION, scale, why, unit="queries/s")),
        "latency": _latency("p99", e2e=130),
        "accuracy": _floor("F1", "SQuAD v1.1", fraction),
        "note": "the bound, lengths and unit of MLPerf Server",
    }


def _classifier(traffic: Traffic) -> CatalogRow:
    return {
        "name": "classify-tickets",
        "model": "BERT-base-uncased",
        "team": "support",
        "regions_allowed": [*US, *EU],
        "classes": _one_class(
            "sentence-pair",
            traffic.requests(CONVERSATION, 4000, "every message and document is labelled"),
            input_tokens=128,
            output_tokens=1,
        ),
        "latency": _latency("p95", e2e=100),
        "accuracy": _floor("accuracy", "MNLI", 0.97),
        "max_spot_fraction": 0.5,
        "allowed_quality": ["measured", "interpolated", "derived", "modelled", "assumed"],
        "note": "base speed modelled, speed-ups as cited, TPUs assumed; half may be spot, since a label can wait",
    }


def _summaries(traffic: Traffic) -> CatalogRow:
    return {
        "name": "summarise-news",
        "model": "GPT-J-6B",
        "team": "media",
        "regions_allowed": [*US, *EU],
        "classes": _one_class(
            "article", traffic.requests(CONVERSATION, 30, "an article for every thirtieth of a page view", unit="queries/s")
        ),
        "latency": _latency("p99", e2e=20000),
        "accuracy": _floor("ROUGE-1", "CNN/DailyMail", 0.999),
        "max_spot_fraction": 0.3,
        "note": "the bound, lengths and unit of MLPerf v4.1 Server",
    }


def workloads(traffic: Traffic) -> list[CatalogRow]:
    """Give the eight workloads."""
    found = [
        _chat(traffic),
        _assistant(traffic),
        _older_chat(traffic),
        _reasoning(traffic),
        _answers(traffic, "search-answers", 0.99, [*US, *EU], 5000, "one answer box for each of many searches"),
        _answers(traffic, "contract-answers", 0.999, EU, 2500, "half as many questions, on contracts that may not leave the EU"),
        _classifier(traffic),
        _summaries(traffic),
    ]
    return [{"name": workload["name"], "kind": "serving", **workload} for workload in found]


QUOTA = "providers publish no stock and quotas are personal: "
LIMITS: list[tuple[str, dict[str, object], int, str]] = [
    ("nebius B200", {"provider": "nebius", "accelerator": "B200"}, 16, "two instances of the newest type at a small provider"),
    ("nebius H200", {"provider": "nebius", "accelerator": "H200-SXM"}, 32, "four instances at a small provider"),
    ("nebius H100", {"provider": "nebius", "accelerator": "H100-SXM"}, 16, "two instances at a small provider"),
    ("nebius L40S", {"provider": "nebius", "accelerator": "L40S"}, 8, "a small fleet of an inference card"),
    ("nebius spot", {"provider": "nebius", "option": "spot"}, 8, "one instance of what others leave"),
    ("lambda GH200", {"provider": "lambda", "accelerator": "GH200-96GB"}, 16, "sold one by one, rarely in stock"),
    ("lambda B200", {"provider": "lambda", "accelerator": "B200"}, 16, "two instances' worth"),
    ("lambda others", {"provider": "lambda", "family": ["nvidia-ampere", "nvidia-volta"]}, 32, "older stock"),
    ("runpod", {"provider": "runpod"}, 16, "a marketplace: what many small hosts have"),
    (
        "aws H100 and H200",
        {"provider": "aws", "accelerator": ["H100-SXM", "H200-SXM"], "option": "on_demand"},
        64,
        "eight instances",
    ),
    ("aws B200", {"provider": "aws", "accelerator": "B200", "option": "on_demand"}, 32, "four instances"),
    (
        "aws G instances",
        {"provider": "aws", "accelerator": ["T4", "A10G", "L4", "L40S"], "option": "on_demand"},
        64,
        "a raised quota",
    ),
    (
        "aws RTX PRO",
        {"provider": "aws", "accelerator": "RTX-PRO-6000-Server", "option": "on_demand"},
        32,
        "four instances of a new type",
    ),
    ("aws spot", {"provider": "aws", "option": "spot"}, 16, "two instances, as new accounts start low"),
    ("azure GB200", {"provider": "azure", "accelerator": "GB200"}, 16, "four instances"),
    ("gcp RTX PRO", {"provider": "gcp", "accelerator": "RTX-PRO-6000-Server"}, 32, "four instances of a new type"),
    ("gcp spot", {"provider": "gcp", "option": "spot"}, 16, "two instances"),
    ("gcp TPU", {"provider": "gcp", "kind": "tpu"}, 32, "a starting quota in chips"),
]


def limits() -> list[CatalogRow]:
    """Give the supply limits; each is an example, as no source states quotas or stock."""
    return [
        {"name": name, "match": match, "max_accelerators": most, "quality": "assumed", "reason": QUOTA + why}
        for name, match, most, why in LIMITS
    ]


def question(traces: list[RawRow], sizes: list[RawRow]) -> CatalogRow:
    """Give the whole document of nlp.json."""
    return {
        "schema_version": 1,
        "name": "nlp",
        "description": "Eight language workloads of one company on rented GPUs and TPUs; numbers explained in README.md",
        "as_of": AS_OF,
        "catalogs": CATALOGS,
        "policy": {
            "max_price_age_days": 730,
            "utilization_cap": 0.8,
            "run_to_run_spread_factor": {
                "value": 1.5,
                "quality": "assumed",
                "reason": "published points are central values of single runs; repeated runs scatter by tens of percent",
            },
        },
        "workloads": workloads(Traffic(traces, sizes)),
        "limits": limits(),
    }
