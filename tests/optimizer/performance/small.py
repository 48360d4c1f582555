"""Small catalogs for the roofline's tests: one dense network and a few cards, sizes that can be worked out on paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from optimizer.catalog import Accelerator, AcceleratorKind, Latency, Layout, Load, LoadKind, Model, Profile, Quantity
from optimizer.instance import Catalogs
from optimizer.performance.lookup import Lookup
from optimizer.performance.points import Points
from optimizer.performance.roofline import PLAIN_MULTIPLES, model_times_s

MODEL = Model(
    name="dense-10b",
    parameters_b=10.0,
    layers=10,
    hidden=1000,
    heads=10,
    kv_heads=10,
    head_dim=100,
    kv_cache_bytes_per_token_bf16=40000.0,
    source="",
)


def card(
    name: str, *, speed: float = 1.0, family: str = "known", vendor: str = "acme", kind: AcceleratorKind = AcceleratorKind.GPU
) -> Accelerator:
    """100 GiB, 1 TB/s and 100 TFLOP/s in 16 bit, times ``speed``."""
    return Accelerator(
        name=name,
        vendor=vendor,
        kind=kind,
        family=family,
        memory_gib=100.0,
        memory_bandwidth_gb_s=1000.0 * speed,
        peak_tflops={"bf16": 100.0 * speed},
        precisions=("bf16",),
        interconnect_gb_s=100.0,
        source="",
    )


CARDS = (
    card("one"),
    card("fast", speed=2.0),
    card("rival", family="rival", vendor="rival"),
    card("tensor", family="tpu", kind=AcceleratorKind.TPU),
)


def points(
    loads: Sequence[float],
    *,
    accelerator: str = "one",
    engine: str | None = "e",
    tokens: tuple[int, int] = (100, 10),
    model: str = MODEL.name,
) -> Points:
    """One card each, 16 bit, no parallelism."""
    n = len(loads)
    ones = np.ones(n)
    return Points(
        model=[model] * n,
        compression=["none"] * n,
        accelerator=[accelerator] * n,
        precision=["bf16"] * n,
        tensor=ones,
        pipeline=ones,
        attention_data=ones,
        expert=ones,
        accelerators=ones,
        engine=[engine] * n,
        engine_version=["1"] * n,
        input_tokens=ones * tokens[0],
        output_tokens=ones * tokens[1],
        concurrency=np.array(loads, dtype=float),
    )


def catalogs(profiles: Iterable[Profile] = ()) -> Catalogs:
    return Catalogs(accelerators=CARDS, offers=(), models=(MODEL,), profiles=tuple(profiles))


def profile(
    load: float,
    ttft_ms: float,
    tpot_ms: float,
    *,
    accelerator: str = "one",
    engine: str = "e",
    tokens: tuple[int, int] = (100, 10),
) -> Profile:
    """One closed-loop point of the small network."""
    return Profile(
        model=MODEL.name,
        precision="bf16",
        accelerator=accelerator,
        accelerators_per_replica=1,
        engine=engine,
        engine_version="1",
        layout=Layout(attention_data=1, expert=1),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        unit="tokens/s",
        load=Load(kind=LoadKind.CONCURRENCY, value=float(load), accelerators_measured=1),
        latency=(
            Latency(quantity=Quantity.TTFT, statistic="central", ms=ttft_ms),
            Latency(quantity=Quantity.TPOT, statistic="central", ms=tpot_ms),
        ),
        source="",
    )


def measured_like_the_model(
    slower: float, *, accelerator: str = "one", engine: str = "e", tokens: tuple[int, int] = (100, 10)
) -> list[Profile]:
    """Points that the plain model predicts exactly, all times multiplied by ``slower``."""
    wanted = points([1.0, 4.0, 16.0, 64.0], accelerator=accelerator, engine=engine, tokens=tokens)
    lookup = Lookup(catalogs())
    times = model_times_s(lookup.work(wanted, lookup.configurations(wanted)), wanted.output_tokens, PLAIN_MULTIPLES)
    return [
        profile(load, 1e3 * slower * float(a), 1e3 * slower * float(b), accelerator=accelerator, engine=engine, tokens=tokens)
        for load, a, b in zip(wanted.concurrency.tolist(), *times, strict=True)
    ]
