"""Put latency promises through a simulation that shares no formula with them, and write the tables of docs/latency.md.

Run ``python tests/benchmarks/latency.py -o docs/latency.md``; ``--requests`` and ``--only`` (a table's number) shorten it. Only
the tables made are replaced. The first one solves the shipped questions; most others need no solver.
"""

from __future__ import annotations

import argparse
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from optimizer import Instance, Options, allocate, load_instance
from optimizer.catalog import Quantity
from optimizer.errors import CheckFailedError
from optimizer.instance import Balancer, LatencyTarget, Rate, RequestClass, ServingWorkload
from optimizer.performance import Configuration, Performance, ReplicaEstimate
from optimizer.simulate import Arrivals, Bursty, Poisson, simulate_plan
from optimizer.simulate.pools import Load, Pool
from optimizer.simulate.run import Loss, estimate, put_through
from optimizer.simulate.servers import BatchServer, serve_batches, serve_singly
from optimizer.simulate.streams import Stream
from tests.benchmarks.staffing import BATCH_SERVERS, BURST_SERVERS, SERVERS, Rows, batches, bursty, counted, staffed

INSTANCES = Path(__file__).resolve().parents[2] / "instances"
LIMITS_S = {"nlp": 60.0, "cv": 25.0, "recommendation": 10.0, "dialogue": 60.0, "science": 30.0}
LIMITS_S |= {"tutor": 30.0, "claims": 30.0, "helpline": 30.0, "company": 60.0}
SAMPLES = [
    ("chat-70b-short-prompt", "fp8 on 1 x H200-SXM (trtllm)", 16),
    ("chat-70b-long-prompt", "fp8 on 2 x H100-SXM (vllm tp2)", 8),
    ("chat-70b-document", "fp8 on 2 x B200 (trtllm tp2)", 4),
    ("reasoning-r1", "fp8 on 8 x H200-SXM (trtllm 1.1.0rc2.post2 tp8 ep8)", 2),
]
"""Pools of the language question: workload, configuration, replicas."""


@cache
def instance(name: str) -> Instance:
    """Read a shipped question."""
    return load_instance(INSTANCES / f"{name}.json")


@cache
def performance() -> Performance:
    """Give what replicas can do in the language question."""
    return Performance(instance("nlp"))


def answer(workload: ServingWorkload, label: str) -> ReplicaEstimate:
    """Give the estimate of a configuration by its label."""
    table = performance().options(workload)
    (place,) = [k for k, c in enumerate(table.configurations) if c.label == label]
    return table.estimate(place)


def named(name: str) -> ServingWorkload:
    """Give a workload of the language question."""
    return next(w for w in instance("nlp").demands if w.name == name)


def pool(workload: ServingWorkload, configuration: Configuration, replicas: int, per_s: float) -> Pool:
    """Give a pool with all requests of a workload's one class."""
    (curve,) = performance().curves(workload, configuration) or ()
    return Pool("", "always", replicas, 1.0, (Load(workload.name, workload.classes[0].name, per_s, curve, workload.latency),))


def worst(
    found: Pool, requests: int, arrivals: Arrivals | None = None, balancer: str = "least_work", loss: Loss | None = None
) -> str:
    """Give the figure that is nearest to its target or furthest over it, its factor included, as words."""
    return told(*ratios(found, requests, arrivals, balancer, loss))


def ratios(
    found: Pool, requests: int, arrivals: Arrivals | None = None, balancer: str = "least_work", loss: Loss | None = None
) -> tuple[float, str]:
    """Give the largest upper end of an interval over its target, and which figure it is; infinite where nothing keeps up."""
    spread = instance("nlp").policy.run_to_run_spread_factor.value
    try:
        run = put_through(found, requests, arrivals or Poisson(), balancer, np.random.SeedSequence(1), loss)
    except CheckFailedError:
        return np.inf, ""
    (load,) = found.loads
    figures = [
        (estimate(run, 0, load, t.quantity, t.percentile).high_ms * spread / t.at_most_ms, t.quantity) for t in load.targets
    ]
    ratio, quantity = max(figures)
    return ratio, quantity.value


def told(ratio: float, quantity: str) -> str:
    """Say a ratio in words."""
    return "cannot keep up" if np.isinf(ratio) else f"{ratio:.2f} ({quantity}){' MISS' if ratio > 1 else ''}"


def largest(found: Pool, requests: int, steps: int = 5) -> float:
    """Give the largest share of the pool's load, up to twice it, at which every target holds."""
    low, high = 0.0, 2.0
    for _ in range(steps):
        share = (low + high) / 2
        low, high = (share, high) if ratios(found.at(share), requests)[0] <= 1 else (low, share)
    return low


def shipped(requests: int) -> Rows:
    """Put every shipped plan through its requests.

    Every pool that rests on a curve, at its busiest period. *Nearest*: the largest upper end of a 95 % interval over its
    target. *Not simulated*: the share of busy accelerators in pools that rest on held rates (which contain their queue) or on
    rates carried over from them, or that have no target.
    """
    rows: Rows = []
    for name, limit_s in LIMITS_S.items():
        plan = allocate(instance(name), Options(time_limit_s=limit_s))
        begun = time.process_time()
        found = simulate_plan(instance(name), plan, requests=requests)
        closest = max((f.high_ms or np.inf) / f.target_ms for p in found.pools for f in p.figures) if found.pools else 0.0
        figures = sum(len(p.figures) for p in found.pools)
        share, seconds = f"{found.held_share:.1%}", f"{time.process_time() - begun:.0f}"
        told = f"{figures - len(found.misses)} of {figures}"
        rows.append([name, f"{plan.usd_per_hour:,.2f}", f"{len(found.pools)}", told, f"{closest:.2f}", share, seconds])
    return rows


def pooling(requests: int) -> Rows:
    """Say what replicas behind one balancer carry.

    Pools are planned replica by replica: 80 % of the rate at which one replica with Poisson arrivals of its own meets its
    percentile. Behind `least_work` several replicas share their luck; the columns say how many times the planned load (up to 2)
    a pool of so many carries with every p95, times the factor for spread between runs, within its target. What is above 1 is
    room that the flat cap leaves.
    """
    rows: Rows = []
    for name, label, _ in SAMPLES:
        workload = named(name)
        found = answer(workload, label)
        planned = 0.8 * float(found.rate_per_s[0])
        shares = [largest(pool(workload, found.configuration, n, planned * n), requests) for n in (1, 2, 4, 16)]
        rows.append([name, label, f"{planned:.3f}", *(f"{share:.2f}" for share in shares)])
    return rows


def means(requests: int) -> Rows:
    """Load the same pools as means would have it.

    The same pools loaded to the rate at which the *mean* meets the target (spread factor included), and to the rate of the
    largest measured concurrency whose central times meet it, with neither queue nor spread, less 5 %: what a reader of tables
    would do. The percentile is still asked for; above 1 it misses.
    """
    rows: Rows = []
    for name, label, replicas in SAMPLES:
        workload = named(name)
        on_means = workload.model_copy(
            update={"latency": tuple(t.model_copy(update={"statistic": "mean"}) for t in workload.latency)}
        )
        planned, mean = answer(workload, label), answer(on_means, label)
        central = _central_rate(workload, planned.configuration)
        row = [name, f"{replicas} x {label}"]
        for per_s in (0.8 * float(planned.rate_per_s[0]), float(mean.rate_per_s[0]), 0.95 * central):
            found = pool(workload, planned.configuration, replicas, per_s * replicas)
            row += [f"{per_s:.3f}", worst(found, requests)]
        rows.append(row)
    return rows


def _central_rate(workload: ServingWorkload, configuration: Configuration) -> float:
    """Give a replica's rate at the largest measured concurrency whose central times meet the targets: no queue, no spread."""
    (curve,) = performance().curves(workload, configuration) or ()
    times = {Quantity.TTFT: curve.ttft_ms, Quantity.TPOT: curve.tpot_ms}
    within = np.all([times[t.quantity] <= t.at_most_ms for t in workload.latency], axis=0)
    life_s = (curve.ttft_ms + (curve.output_tokens - 1) * curve.tpot_ms) / 1e3
    return float((curve.concurrency / life_s)[within].max())


def bursts(requests: int) -> Rows:
    """Change arrivals and balancers, and lose a replica.

    Upper end of the interval over the target, of the figure nearest to it; pools of table 3, loaded as planned. Bursts take
    turns at so many times the rate and as much below it, for stretches of exponential length. A lost replica never comes back.
    """
    rows: Rows = []
    ways: list[tuple[str, Arrivals]] = [
        ("Poisson", Poisson()),
        *((f"bursts of {peak:g} for {s:g} s", Bursty(peak, s)) for peak, s in ((1.25, 30), (1.25, 300), (1.5, 30))),
    ]
    for name, label, replicas in SAMPLES[::3]:
        workload = named(name)
        found = answer(workload, label)
        mine = pool(workload, found.configuration, replicas, 0.8 * replicas * float(found.rate_per_s[0]))
        rows += [[name, how, *(worst(mine, requests, way, b.value) for b in Balancer)] for how, way in ways]
        lost = worst(mine, requests, loss=Loss(1, 10.0)) if replicas > 1 else "-"
        rows.append([name, "Poisson, one replica lost", "", lost, "", "", ""])
    return rows


def held(requests: int) -> Rows:
    """Put derived rates beside held ones.

    MLPerf Server and Interactive rows, whose lengths the rows do not state, beside the best engine's curve at the nearest
    measured lengths under the same p99 bounds. *Derived* is what plans use, spread factor included, before the utilization cap;
    *simulated* is the load of one replica at which the p99 holds, the factor included too. Engines, versions and lengths
    differ: read the ratios as one more band, not as an error.
    """
    systems = [
        ("Llama-3.1-8B-Instruct", "H200-SXM", "fp8", 1000, 100, (500.0, 30.0), 53475.21 / 8),
        ("Llama-3.1-8B-Instruct", "H200-SXM", "fp8", 1000, 100, (2000.0, 100.0), 57970.37 / 8),
        ("DeepSeek-R1", "B200", "fp4", 1024, 8192, (2000.0, 80.0), 14630.74 / 8),
        ("DeepSeek-R1", "B200", "fp4", 1024, 1024, (2000.0, 80.0), 14630.74 / 8),
    ]
    rows: Rows = []
    for model, card, precision, tokens_in, tokens_out, bounds, held_rate in systems:
        asked = RequestClass(name="q", input_tokens=tokens_in, output_tokens=tokens_out, rate=Rate(value=1.0))
        pairs = zip((Quantity.TTFT, Quantity.TPOT), bounds, strict=True)
        targets = tuple(LatencyTarget(quantity=q, statistic="p99", at_most_ms=ms) for q, ms in pairs)
        workload = ServingWorkload(name="x", model=model, classes=(asked,), latency=targets)
        table = performance().options(workload)
        mine = [
            (float(table.rate_per_s[k, 0]) * tokens_out / c.accelerators_per_replica, c)
            for k, c in enumerate(table.configurations)
            if (c.accelerator, c.precision, c.compression) == (card, precision, "none") and c.engine is not None
        ]
        if not mine:
            rows.append(
                [model, f"{precision} on {card}", f"{tokens_in}/{tokens_out}", f"{held_rate:,.0f}", "out of reach", "", "", ""]
            )
            continue
        rate, best = max(mine, key=lambda pair: pair[0])
        found = pool(workload, best, 1, rate * best.accelerators_per_replica / tokens_out)
        share = largest(found, requests)
        label = f"{best.accelerators_per_replica} x {card} ({best.engine})"
        rows.append(
            [model, f"{precision} on {label}", f"{tokens_in}/{tokens_out}", f"{held_rate:,.0f}", f"{rate:,.0f}",
             f"{rate / held_rate:.2f}", f"{share * rate:,.0f}", f"{share * rate / held_rate:.2f}"]
        )  # fmt: skip
    return rows


def engines(requests: int) -> Rows:
    """Put the engines beside other simulations.

    The reference is single runs of 400,000 requests elsewhere; the tests compare with exact theory (M/M/1, M/M/c, M/D/1,
    processor sharing).
    """
    rng, rows = np.random.default_rng(1), max(requests // 10_000, 20)
    when = np.cumsum(rng.exponential(1 / (16 * 0.85), size=(rows, 13_000)), axis=1)
    service, found = rng.exponential(size=when.shape), []
    stream = Stream(when, np.zeros(when.shape, dtype=np.int64))
    known = {"central": "1.57", "least_work": "1.59", "power_of_two": "4.39", "round_robin": "16.2", "random": "27.0"}
    for name, value in known.items():
        waits = (serve_singly(stream, service, 16, name, rng) - when - service)[:, 3000:]
        found.append([f"16 servers at 85 %, {name}: p99 wait", f"{np.quantile(waits, 0.99):.2f}", value])
    for servers, load, value in ((1, 0.5, 71), (1, 0.8, 104), (1, 0.95, 215), (4, 0.5, 69), (4, 0.8, 77), (4, 0.95, 105)):
        when = np.cumsum(rng.exponential(0.052 / (load * servers * 16), size=(rows, 13_000)), axis=1)
        stream = Stream(when, np.zeros(when.shape, dtype=np.int64))
        times = (serve_batches(stream, BatchServer(0.02, 0.002, 16), servers, "central", rng) - when)[:, 3000:]
        found.append(
            [
                f"{servers} batch servers (20 + 2 k ms, 16) at {load:.0%}: p99 time, ms",
                f"{1e3 * np.quantile(times, 0.99):.0f}",
                f"{value}",
            ]
        )
    return [list(row) for row in found]


def insured(requests: int) -> Rows:
    """Put what is left of the language question's plan after each insured loss through its requests.

    Its short chat is insured: after the loss of any region of any provider 80 % of it is still served within targets. Pools that
    rest on held rates are not simulated. *Nearest*: the largest upper end of a 95 % interval over its target.
    """
    question = instance("nlp")
    documents = [w.model_dump(mode="json") for w in question.workloads]
    for document in documents:
        if document["name"] == "chat-70b-short-prompt":
            document["redundancy"] = [{"event": "region", "served_fraction": 0.8}]
    question = question.replace(workloads=documents)
    plan = allocate(question, Options(time_limit_s=LIMITS_S["nlp"], relative_gap=1e-3))
    found = simulate_plan(question, plan, requests=requests, losses=True)
    rows = []
    for event in dict.fromkeys(p.event for p in found.pools):
        figures = [f for p in found.pools if p.event == event for f in p.figures]
        mine = [p for p in found.pools if p.event == event and p.pool.startswith("chat-70b-short-prompt")]
        nearest = max((f.high_ms or np.inf) / f.target_ms for f in figures)
        served = sum(p.requests_per_s for p in mine)
        held = f"{sum(f.holds for f in figures)} of {len(figures)}"
        rows.append([event or f"none: {plan.usd_per_hour:,.2f} USD/h", f"{served:.2f}", f"{len(mine)}", held, f"{nearest:.2f}"])
    return rows


OVER = "p95 over target"
TABLES: list[tuple[str, Callable[[int], Rows], list[str]]] = [
    (
        "The shipped plans",
        shipped,
        ["plan", "USD/h", "pools simulated", "figures that hold", "nearest to its target", "not simulated", "CPU s"],
    ),
    (
        "Pooling against a flat cap",
        pooling,
        ["workload", "replica", "planned, requests/s each", "1", "2", "4", "16 replicas"],
    ),
    (
        "Sized on means",
        means,
        ["workload", "pool", "as planned, requests/s", OVER, "on the mean", OVER, "on central values", OVER],
    ),
    ("Bursts, balancers and a lost replica", bursts, ["workload", "arrivals", *(b.value for b in Balancer)]),
    (
        "Derived rates beside rates that held a p99",
        held,
        ["model", "system", "tokens in/out", "held, tokens/s per accelerator", "derived", "ratio", "simulated", "ratio"],
    ),
    ("The engines against independent simulations", engines, ["what", "here", "reference"]),
    (
        "Staffing against simulation",
        staffed,
        ["service", "variability", "percentile", *(f"{c} server{'s' * (c > 1)}, %" for c in SERVERS)],
    ),
    ("Servers pooled, alone, and sized on means", counted, ["variability", "p99", "pooled", "alone", "80 %", "on the mean"]),
    ("Insured losses", insured, ["loss", "of the chat served, requests/s", "its pools", "figures that hold", "nearest"]),
    (
        "Servers of batches against simulation",
        batches,
        ["balancer", "ms, at most", "statistic", *(f"{c} server{'s' * (c > 1)}, %" for c in BATCH_SERVERS)],
    ),
    (
        "Staffing for bursts against simulation",
        bursty,
        ["service", "of arrivals", "statistic", *(f"{c} server{'s' * (c > 1)}, %" for c in BURST_SERVERS)],
    ),
]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Make the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=1_000_000, help="requests counted in each pool of table 1, a tenth in the others"
    )
    parser.add_argument("--only", type=int, action="append", help="number of a table; may be given again")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    parts: dict[int, str] = {}
    for number, (title, make, head) in enumerate(TABLES, 1):
        if arguments.only and number not in arguments.only:
            continue
        share = {shipped: 1, staffed: 1, batches: 5, bursty: 5}.get(make, 10)
        requests = max(arguments.requests // share, 20_000)
        words = textwrap.fill(" ".join((make.__doc__ or "").split("\n\n", 1)[1].split()), 130)
        parts[number] = f"## {number}. {title}\n\n{words}\n\n{markdown(head, make(requests))}\n"
        print(parts[number], flush=True)
    if arguments.output is not None:
        arguments.output.write_text(replaced(arguments.output.read_text(encoding="utf-8"), parts), encoding="utf-8")


def replaced(text: str, parts: dict[int, str]) -> str:
    """Put sections in place of those of the same number; the others stay."""
    opening, *sections = re.split(r"\n(?=## \d+\. )", text)
    found = {int(section.split(".")[0][3:]): section.rstrip("\n") + "\n" for section in sections} | parts
    return "\n".join([opening.rstrip("\n") + "\n", *(found[number] for number in sorted(found))])


if __name__ == "__main__":
    main()
