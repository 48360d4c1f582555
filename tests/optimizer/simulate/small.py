"""A question whose one pool rests on a curve."""

from __future__ import annotations

from typing import Any

from tests.optimizer import tiny


def point(in_flight: int, ttft_ms: float, tpot_ms: float, tokens: int = 100) -> dict[str, Any]:
    """One closed-loop point of ``card`` at ``tokens``/11 tokens."""
    times = [("ttft", ttft_ms), ("tpot", tpot_ms)]
    return tiny.profile(
        "m",
        "card",
        1.0,
        input_tokens=tokens,
        output_tokens=11,
        unit="requests/s",
        load={"kind": "concurrency", "value": in_flight, "accelerators_measured": 1},
        latency=[{"quantity": quantity, "statistic": "central", "ms": ms} for quantity, ms in times],
    )


def curve(tokens: int = 100, slower: float = 1.0) -> list[dict[str, Any]]:
    """100 ms to the first token and 10 ms to each further one when alone, twice that at 8 and four times that at 16 in flight."""
    return [point(n, 100.0 * f * slower, 10.0 * f, tokens) for n, f in ((1, 1.0), (4, 1.4), (8, 2.0), (16, 4.0))]


def request_class(name: str, per_s: float, tokens: int = 100) -> dict[str, Any]:
    rate = {"value": per_s, "unit": "requests/s"}
    return {"name": name, "input_tokens": tokens, "output_tokens": 11, "rate": rate}


def targets(ttft_ms: float = 300.0, tpot_ms: float = 60.0) -> list[dict[str, Any]]:
    return [
        {"quantity": "ttft", "statistic": "p95", "at_most_ms": ttft_ms},
        {"quantity": "tpot", "statistic": "p95", "at_most_ms": tpot_ms},
    ]


def question(per_s: float = 77.0, **changes: Any) -> dict[str, Any]:
    """Give a chat on a card with a measured curve, and a workload that rests on a held rate.

    A replica never does more than 20 requests a second, with 8 to 16 in flight: 4 replicas only just keep up.
    """
    forms = [{"precision": "fp16", "weights_gib": 1.0}]
    network = {"name": "m", "architecture": "decoder", "source": "made up", "variants": forms}
    parts: dict[str, Any] = {
        "accelerators": [tiny.accelerator("card"), tiny.accelerator("other")],
        "offers": [tiny.offer("card"), tiny.offer("other")],
        "models": [network, tiny.model("k")],
        "profiles": [*curve(), tiny.profile("k", "other", 100.0)],
        "workloads": [
            tiny.workload("chat", 1.0, classes=[request_class("q", per_s)], latency=targets()),
            tiny.workload("held", 100.0, model="k"),
        ],
        "utilization_cap": 0.8,
    }
    return tiny.document(**{**parts, **changes})
