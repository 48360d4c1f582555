"""What one prompt and one decode step ask of the hardware: bytes, operations, messages, and the requests that memory holds.

Everything here is counting, with no fitted number: ideal times are s, as if every byte moved at the vendor's bandwidth and
every operation ran at the dense peak. What real engines reach of that is in ``roofline.py``. Sparse or pruned forms are counted
at full size: they speed nothing up unless a source says so. Sources: Williams, Waterman and Patterson (2009), Roofline; Pope et
al. (2022), Efficiently Scaling Transformer Inference, for the counts per layer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from optimizer.catalog import Accelerator, Model

__all__ = ["Hardware", "Network", "Work", "hardware", "network", "weight_bytes", "work"]

Array = NDArray[np.float64]

GIB = 1024.0**3
USABLE_MEMORY_FRACTION = 0.9
"""Share of memory an engine takes for weights and cache: the default of vLLM's ``gpu_memory_utilization`` (docs, 2024)."""
BLOCK_SCALE_BITS = {"fp4": 0.5, "int4": 0.25, "int4-awq": 0.25, "w4a8-awq": 0.25}
"""Bits of scale for each weight: NVFP4 keeps 8 bits for 16 weights; AWQ keeps 16 bits and a zero point for 64 to 128."""
WEIGHT_BITS = {
    "fp32": 32,
    "bf16": 16,
    "fp16": 16,
    "fp8": 8,
    "int8": 8,
    "w8a8": 8,
    "fp4": 4,
    "int4": 4,
    "int4-awq": 4,
    "w4a8-awq": 4,
}
ARITHMETIC = {"bf16": "bf16", "fp16": "bf16", "fp32": "bf16", "fp8": "fp8", "int8": "int8", "w8a8": "int8", "fp4": "fp4"}
"""The format in which products run; weight-only forms (int4, awq) compute in 16 bit, w4a8 in 8 bit."""
SLOWER_ARITHMETIC = {
    "fp4": ("fp4", "bf16", "fp16"),
    "fp8": ("fp8", "bf16", "fp16"),
    "int8": ("int8", "bf16", "fp16"),
    "bf16": ("bf16", "fp16"),
}
"""Where the peak of a format is missing, the card runs the next: MXFP4 weights on Hopper are multiplied in 16 bit."""
CACHE_BITS = 16.0
UNKNOWN_CACHE_BYTES = 70272.0
"""Cache of a token where the catalog leaves it blank (windows, hybrids, sparse attention): half the plain formula, at most
that of DeepSeek's latent attention (model_specs, 16 bit); assumed."""
FINE_GRAINED_EXPERTS = 64
"""From this many experts on, an expert is taken as a third as wide as the model where no figure is given: between 0.29 (DeepSeek)
and 0.50 (MiniMax-M2.5) of the catalog's mixtures; assumed."""


@dataclass(frozen=True)
class Hardware:
    """One accelerator at one precision: bandwidth B/s, peak FLOP/s, memory B, link B/s; NaN where the catalog has no figure."""

    bandwidth: float
    peak: float
    memory: float
    link: float


@dataclass(frozen=True)
class Network:
    """One model: parameters that every token reads, parameters in experts, and its sizes; NaN where the catalog has no figure."""

    dense_parameters: float
    expert_parameters: float
    routed_fraction: float
    layers: float
    hidden: float
    attention_width: float
    cache_bytes_per_token: float
    cache_shards: float


@dataclass(frozen=True)
class Work:
    """Ideal times of points, s, arrays of shape (n_points,), and the counts that queueing needs.

    ``decode_*`` is one step of all requests in flight, ``prefill_*`` one prompt; ``in_flight`` what memory lets run at once
    on the whole replica, ``group`` the accelerators that work on one request, ``lanes`` the groups side by side (attention data
    parallel).
    """

    decode_weights_s: Array
    decode_cache_s: Array
    decode_flop_s: Array
    decode_link_s: Array
    prefill_flop_s: Array
    prefill_attention_s: Array
    prefill_weights_s: Array
    prefill_link_s: Array
    layers: Array
    group: Array
    lanes: Array
    in_flight: Array
    waiting: Array
    fits: NDArray[np.bool_]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Work:
        """Give the work of some of the points."""
        return Work(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def weight_bytes(precision: str) -> float:
    """Bytes of one weight with its share of scales; NaN for an unknown format.

    >>> weight_bytes("fp4"), weight_bytes("bf16")
    (0.5625, 2.0)
    """
    return (WEIGHT_BITS.get(precision, np.nan) + BLOCK_SCALE_BITS.get(precision, 0.0)) / 8.0


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def hardware(accelerator: Accelerator, precision: str) -> Hardware:
    """Look up one accelerator at one precision."""
    arithmetic = "fp8" if precision.startswith("w4a8") else ARITHMETIC.get(precision, "bf16")
    peaks = (accelerator.peak_tflops.get(name) for name in SLOWER_ARITHMETIC[arithmetic])
    return Hardware(
        bandwidth=_number(accelerator.memory_bandwidth_gb_s) * 1e9,
        peak=_number(next((peak for peak in peaks if peak), None)) * 1e12,
        memory=accelerator.memory_gib * GIB,
        link=_number(accelerator.interconnect_gb_s) * 1e9,
    )


def network(model: Model) -> Network:
    """Count one model. With E experts of which k are read, total = dense + experts and active = dense + experts * k / E."""
    heads, layers = _number(model.heads), _number(model.layers)
    kv_heads = heads if model.kv_heads is None else float(model.kv_heads)
    head_dim = _number(model.hidden) / heads if model.head_dim is None else float(model.head_dim)
    total, active, routed = _parameters(model)
    experts = max(0.0, (total - active) / (1.0 - routed)) if routed < 1.0 else 0.0
    per_token = 2.0 * layers * kv_heads * head_dim * CACHE_BITS / 8.0
    known = _number(model.kv_cache_bytes_per_token_bf16)
    is_latent = known < 0.5 * per_token  # MLA keeps one latent vector, the same on every card of a group
    return Network(
        dense_parameters=total - experts,
        expert_parameters=experts,
        routed_fraction=routed,
        layers=layers,
        hidden=_number(model.hidden),
        attention_width=heads * head_dim,
        cache_bytes_per_token=known if np.isfinite(known) else min(0.5 * per_token, UNKNOWN_CACHE_BYTES),
        cache_shards=1.0 if is_latent else kv_heads,
    )


def _parameters(model: Model) -> tuple[float, float, float]:
    """Parameters in all, parameters that one token reads, and the share of the experts it reads; sizes stand in for blanks."""
    total, active = _number(model.parameters_b) * 1e9, _number(model.active_parameters_b) * 1e9
    if not (model.experts and model.experts_per_token):
        return total, total if np.isnan(active) or model.experts is None else active, 1.0
    routed = model.experts_per_token / model.experts
    layers, hidden, is_fine = _number(model.layers), _number(model.hidden), model.experts >= FINE_GRAINED_EXPERTS
    width = hidden / 3.0 if is_fine or model.intermediate is None else float(model.intermediate)
    experts = 3.0 * layers * model.experts * hidden * width  # three matrices each
    if np.isnan(active):
        active = experts * routed + 4.0 * layers * hidden**2 + 3.0 * layers * hidden * width  # attention, one shared expert
    return active + experts * (1.0 - routed) if np.isnan(total) else total, active, routed


@dataclass(frozen=True)
class Columns:
    """Numbers of points that counting needs, each an array of shape (n_points,)."""

    weight_bytes: Array
    tensor: Array
    pipeline: Array
    lanes: Array
    accelerators: Array
    input_tokens: Array
    output_tokens: Array
    concurrency: Array


def work(device: dict[str, Array], net: dict[str, Array], run: Columns) -> Work:
    """Count the work of points from columns of ``Hardware`` and ``Network`` fields and of their own."""
    group = run.tensor * run.pipeline
    dense = net["dense_parameters"] * run.weight_bytes / group
    experts = net["expert_parameters"] * run.weight_bytes / run.accelerators
    shards = np.minimum(run.tensor, net["cache_shards"]) * run.pipeline
    cache_per_token = net["cache_bytes_per_token"] / shards
    context = run.input_tokens + run.output_tokens / 2.0
    usable = device["memory"] * USABLE_MEMORY_FRACTION
    room = usable - dense - experts
    slots = (
        np.floor(room / (cache_per_token * context)) * run.lanes
    )  # cache is taken as it is written: half the output on average
    in_flight = np.maximum(np.minimum(run.concurrency, np.maximum(slots, run.lanes)), 1.0)
    in_lane = np.maximum(in_flight / run.lanes, 1.0)
    touched = -np.expm1(in_flight * np.log1p(-np.minimum(net["routed_fraction"], 1.0 - 1e-12)))
    active = net["dense_parameters"] + net["expert_parameters"] * net["routed_fraction"]
    pair_flop = 4.0 * net["layers"] * net["attention_width"]  # scores and values, one multiply and one add each
    message = 2.0 * 2.0 * net["layers"] * net["hidden"] * (1.0 - 1.0 / run.tensor)  # two 16-bit all-reduces a layer
    return Work(
        decode_weights_s=(dense + experts * touched) / device["bandwidth"],
        decode_cache_s=in_lane * context * cache_per_token / device["bandwidth"],
        decode_flop_s=in_flight * 2.0 * active / (run.accelerators * device["peak"]),
        decode_link_s=in_lane * message / device["link"],
        prefill_flop_s=run.input_tokens * 2.0 * active / (group * device["peak"]),
        prefill_attention_s=pair_flop * run.input_tokens**2 / 2.0 / (group * device["peak"]),
        prefill_weights_s=(dense + experts) / device["bandwidth"],
        prefill_link_s=run.input_tokens * message / device["link"],
        layers=net["layers"],
        group=group,
        lanes=run.lanes,
        in_flight=in_flight,
        waiting=np.maximum(run.concurrency - in_flight, 0.0),
        fits=device["memory"] > dense + experts,
    )
