"""nlp.json: eight language workloads of one company, their targets, and the limits they share.

Demand is a trace's rate times a stated factor; the factor, the targets, the floors and the limits are assumptions, each with its
reason. README.md tells the story of each workload.
"""

from __future__ import annotations

from building.demands import AS_OF, CODE, CONVERSATION, EU, US, Traffic, rate_class, workload
from building.policies import LANGUAGE, READ_OFF_CURVES
from building.tables import CatalogRow, RawRow

PROMPT_CLASSES = [("short-prompt", 1, 1024), ("long-prompt", 1025, 2048), ("document", 2049, 1 << 30)]
DOCUMENT_TOKENS = 4096
ANSWER_TOKENS = 1024


def _generating(traffic: Traffic) -> list[CatalogRow]:
    """Give the workloads of models that write: two chats, an assistant, reasoning, summaries."""
    prompts = [
        (name, traffic.share_of_prompts(CONVERSATION, low, high), min(high, DOCUMENT_TOKENS))
        for name, low, high in PROMPT_CLASSES
    ]
    why = "a service eight times as busy as the traced one"
    chat = [
        rate_class(name, traffic.requests(CONVERSATION, 8, why, share=share), tokens, ANSWER_TOKENS)
        for name, share, tokens in prompts
    ]
    assistant = traffic.output_tokens(CONVERSATION, 150, "the assistant sits in a product used all day")
    older = traffic.output_tokens(CONVERSATION, 40, "customers who have not moved to a newer model")
    problems = traffic.requests(CODE, 0.2, "one request in five of the coding service is sent on to the reasoning model")
    articles = traffic.requests(CONVERSATION, 30, "an article for every thirtieth of a page view", unit="queries/s")
    return [
        *(
            workload(
                (f"chat-70b-{prompt['name']}", "Llama-3.1-70B-Instruct", "chat"), [*US, *EU], [prompt],
                ("p95", {"ttft": 3000, "tpot": 80}), ("recovery", "MMLU", 0.99),
                "prompts at the upper end of their bucket, answers at the shortest measured length (1024; the trace has 211)",
            )
            for prompt in chat
        ),
        workload(
            ("assistant-8b", "Llama-3.1-8B-Instruct", "assistant"), US, [rate_class("request", assistant)],
            ("p99", {"ttft": 2000, "tpot": 100}), ("ROUGE-1", "CNN/DailyMail", 0.99),
            "the bounds, lengths and unit of MLPerf v5.1 Server",
        ),
        workload(
            ("chat-llama2-70b", "Llama-2-70B-chat", "chat"), [*US, *EU], [rate_class("request", older)],
            ("p99", {"ttft": 2000, "tpot": 200}), ("ROUGE-1", "OpenOrca", 0.999),
            "the bounds, lengths and unit of MLPerf Server; rates held under the stricter Interactive bounds count too",
        ),
        workload(
            ("reasoning-r1", "DeepSeek-R1", "research"), [*US, *EU], [rate_class("problem", problems, 1024, 8192)],
            ("p95", {"ttft": 5000, "tpot": 60}), ("exact_match", "MLPerf", 0.99),
            "a short problem and a long chain of thought: the measured shape 1024 / 8192",
        ),
        workload(
            ("summarise-news", "GPT-J-6B", "media"), [*US, *EU], [rate_class("article", articles)],
            ("p99", {"e2e": 20000}), ("ROUGE-1", "CNN/DailyMail", 0.999),
            "the bound, lengths and unit of MLPerf v4.1 Server", max_spot_fraction=0.3,
        ),
    ]  # fmt: skip


def _reading(traffic: Traffic) -> list[CatalogRow]:
    """Give the workloads of models that read once: answers at two levels of accuracy, a classifier."""
    search = traffic.requests(CONVERSATION, 5000, "one answer box for each of many searches", unit="queries/s")
    contracts = traffic.requests(
        CONVERSATION, 2500, "half as many questions, on contracts that may not leave the EU", unit="queries/s"
    )
    tickets = traffic.requests(
        CONVERSATION, 20000, "twenty sentence pairs are checked in each of a thousand times as many messages"
    )
    as_measured = "the bound, lengths and unit of MLPerf Server"
    return [
        workload(
            ("search-answers", "BERT-Large-SQuAD", "search"), [*US, *EU], [rate_class("query", search)],
            ("p99", {"e2e": 130}), ("F1", "SQuAD v1.1", 0.99), as_measured,
        ),
        workload(
            ("contract-answers", "BERT-Large-SQuAD", "search"), EU, [rate_class("query", contracts)],
            ("p99", {"e2e": 130}), ("F1", "SQuAD v1.1", 0.999), as_measured,
        ),
        workload(
            ("classify-tickets", "BERT-base-uncased", "support"), [*US, *EU], [rate_class("sentence-pair", tickets, 128, 1)],
            ("p95", {"e2e": 100}), ("accuracy", "MNLI", 0.97),
            "base speed modelled, speed-ups as cited, TPUs assumed; half may be spot, since a label can wait",
            max_spot_fraction=0.5, allowed_quality=["measured", "interpolated", "derived", "modelled", "assumed"],
        ),
    ]  # fmt: skip


def workloads(traffic: Traffic) -> list[CatalogRow]:
    """Give the eight workloads."""
    return _generating(traffic) + _reading(traffic)


EXAMPLE = "an example, as no source states stock or quotas: "
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
        {"name": name, "match": match, "max_accelerators": most, "quality": "assumed", "reason": EXAMPLE + why}
        for name, match, most, why in LIMITS
    ]


def question(traces: list[RawRow], sizes: list[RawRow]) -> CatalogRow:
    """Give the whole document of nlp.json."""
    return {
        "schema_version": 1,
        "name": "nlp",
        "description": "Eight language workloads of one company on rented GPUs and TPUs; numbers explained in README.md",
        "as_of": AS_OF,
        "catalogs": LANGUAGE,
        "policy": READ_OFF_CURVES,
        "workloads": workloads(Traffic(traces, sizes)),
        "limits": limits(),
    }
