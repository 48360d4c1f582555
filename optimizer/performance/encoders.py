"""Encoders nobody measured: a held rate of another encoder, carried over by the arithmetic of a query.

An encoder reads a query once, so its work is close to proportional to the parameters of its layers (embeddings cost nothing).
Where a rate was held on the same accelerator and format, by another encoder, it is scaled; on other accelerators the peak rate is
used at the lowest share of peak that any accelerator reached while it held its bound.

The bound goes along: when service takes 1/s of the time at s times the rate, the whole queue runs s times faster, so the bound
shrinks by s. Where the rate falls (s < 1) the bound stays as it was held: from T4 to H200, types 25 times apart in rate held the
same 130 ms at like shares of peak, with smaller batches. Queries are taken to be as long as the measured ones, which
``MEASURED_TOKENS`` bounds from below. Rates per second in the class's unit, one accelerator a replica. Source of the arithmetic:
Kaplan et al. (2020), Scaling Laws for Neural Language Models, section 2.1 (2 FLOP for each parameter and token).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.catalog import Accelerator, AcceleratorKind, Layout, LoadKind, Model, Profile, Quality
from optimizer.instance import Rate
from optimizer.performance.figures import Answer, Kind, Question, Rejection, RejectionCode, ReplicaEstimate
from optimizer.performance.held import Held, accepted
from optimizer.performance.modelled import not_supported, weights_gib
from optimizer.performance.profiles import Configuration
from optimizer.performance.steps import USABLE_MEMORY_FRACTION

__all__ = ["encoder_answers", "layer_parameters"]

LOW_END = 0.7
"""Share of a scaled rate that is believed: of 223 BERT-Large submissions (MLPerf v2.1 to v4.1, Server) all but 1 % reach 0.70 of
the median rate per accelerator of their type and format."""
MEASURED_TOKENS = 128
"""Tokens that a measured query has at least, on the average (BERT-Large on SQuAD: cut at 384, most are shorter); a class with
longer queries gets so much less, one with shorter queries gets no more."""
UNITS = frozenset({"queries/s", "requests/s"})
SIXTEEN_BIT = frozenset({"bf16", "fp16"})
"""Formats whose arithmetic has one peak on every accelerator listed: a rate in one speaks for the other."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A held rate of an encoder, and the same per accelerator times its layer parameters: queries x parameters per second."""

    held: Held
    model: Model
    work_per_s: float


def layer_parameters(model: Model) -> float | None:
    """Give the parameters of the layers without embeddings, 4 h² for attention and 2 h f for the rest; None where unknown.

    >>> layer_parameters(Model(name="BERT-base", layers=12, hidden=768, intermediate=3072, source=""))
    84934656.0
    """
    if model.layers is None or model.hidden is None:
        return None
    wide = model.intermediate or 4 * model.hidden
    return float(model.layers * (4 * model.hidden**2 + 2 * model.hidden * wide))


def encoder_answers(
    question: Question,
    model: Model,
    forms: Iterable[str],
    accelerators: Sequence[Accelerator],
    encoders: Iterable[tuple[Model, Sequence[Profile]]],
    catalog: Mapping[str, Accelerator],
) -> dict[Configuration, Answer]:
    """Answer for an uncompressed encoder in some formats on one accelerator of each type.

    Parameters
    ----------
    accelerators : those to answer for
    encoders : every encoder of the catalogs with its profiles, the model itself included
    catalog : all accelerators by name, those that were measured among them
    """
    ours, sources = layer_parameters(model), _sources(question, encoders)
    answers: dict[Configuration, Answer] = {}
    for accelerator in accelerators:
        for precision in dict.fromkeys(forms):
            found = Configuration(model.name, precision, "none", accelerator.name, 1, None, None, Layout())
            why = not_supported(accelerator, precision) or _too_large(model, accelerator, precision)
            if why is None and (ours is None or not sources):
                why = Rejection(RejectionCode.NO_FIGURE, "no encoder's rate was held at these percentiles of these times")
            answers[found] = why or _scaled(question, found, ours or 1.0, accelerator, sources, catalog)
    return answers


def _too_large(model: Model, accelerator: Accelerator, precision: str) -> Rejection | None:
    needed, usable = weights_gib(model, model.variant(precision), precision), USABLE_MEMORY_FRACTION * accelerator.memory_gib
    if not needed > usable:
        return None
    return Rejection(RejectionCode.MEMORY, f"needs {needed:.1f} GiB of weights, {usable:.1f} usable", needed, usable)


def _sources(question: Question, encoders: Iterable[tuple[Model, Sequence[Profile]]]) -> dict[tuple[str, str], _Source]:
    """Give one source for each accelerator and format: rows of one accelerator if there are any; the lower median of its rows."""
    if any(c.rate.unit not in UNITS for c in question.classes):
        return {}
    found: dict[tuple[str, str], list[_Source]] = defaultdict(list)
    asked: dict[tuple[int | None, int | None, str], Question] = {}
    for model, profiles in encoders:
        parameters = layer_parameters(model)
        if parameters is None:
            continue
        for profile in profiles:
            if profile.load.kind is not LoadKind.HELD_RATE or profile.compression != "none" or profile.unit not in UNITS:
                continue
            own = profile.input_tokens, profile.output_tokens, profile.unit
            held = accepted(asked.get(own) or asked.setdefault(own, _any_bound(question, *own)), profile)
            if isinstance(held, Held):
                key = held.configuration.accelerator, _arithmetic(held.configuration.precision)
                found[key].append(_Source(held, model, held.per_accelerator * parameters))
    return {key: _lower_median(rows) for key, rows in found.items()}


def _any_bound(question: Question, input_tokens: int | None, output_tokens: int | None, unit: str) -> Question:
    """Ask for the same percentiles of the same times in a profile's own lengths and unit, whatever the bound."""
    targets = tuple(t.model_copy(update={"at_most_ms": 1e15}) for t in question.targets)
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    like = question.classes[0].model_copy(update=lengths | {"rate": Rate(value=0.0, unit=unit)})
    return replace(question, classes=(like,), targets=targets)


def _lower_median(rows: Sequence[_Source]) -> _Source:
    alone = [row for row in rows if row.held.configuration.accelerators_per_replica == 1]
    ordered = sorted(alone or rows, key=lambda row: row.work_per_s)
    return ordered[(len(ordered) - 1) // 2]


def _arithmetic(precision: str) -> str:
    return "16-bit" if precision in SIXTEEN_BIT else precision


def _peak_tflops(accelerator: Accelerator, precision: str) -> float | None:
    names = sorted(SIXTEEN_BIT) if precision in SIXTEEN_BIT else [precision]
    return next((accelerator.peak_tflops[name] for name in names if name in accelerator.peak_tflops), None)


def _scaled(
    question: Question,
    configuration: Configuration,
    parameters: float,
    accelerator: Accelerator,
    sources: Mapping[tuple[str, str], _Source],
    catalog: Mapping[str, Accelerator],
) -> Answer:
    """Scale the rate held on this accelerator, or the accelerator's peak at the lowest share of peak seen on others."""
    arithmetic = _arithmetic(configuration.precision)
    if (source := sources.get((accelerator.name, arithmetic))) is not None:
        rate = LOW_END * source.work_per_s / parameters
        basis = f"{LOW_END:g} of {source.held.per_accelerator:.5g} held for {source.model.name}, scaled by layer parameters"
        return _estimate(question, configuration, rate, source, Quality.MODELLED, basis)
    peak = _peak_tflops(accelerator, configuration.precision)
    shares = [
        (source.work_per_s / other, name)
        for (name, format_), source in sources.items()
        if format_ == arithmetic and (other := _peak_tflops(catalog[name], configuration.precision)) is not None
    ]
    if peak is None or not shares:
        message = (
            f"no peak rate in {configuration.precision} for {accelerator.name}, or no encoder's share of peak in that format"
        )
        return Rejection(RejectionCode.NO_FIGURE, message)
    lowest, seen = min(shares)
    quality = Quality.MODELLED if accelerator.kind is AcceleratorKind.GPU else Quality.ASSUMED  # TPUs and others share no peak
    basis = f"peak {peak:g} TFLOP/s at the lowest share of peak seen ({seen}), by layer parameters"
    return _estimate(question, configuration, lowest * peak / parameters, sources[seen, arithmetic], quality, basis)


def _estimate(
    question: Question, configuration: Configuration, rate: float, source: _Source, quality: Quality, basis: str
) -> Answer:
    """Give the estimate when the bounds that go along with the rate are within the targets."""
    longer = np.array([max((c.input_tokens or 0) / MEASURED_TOKENS, 1.0) for c in question.classes])
    rates = rate / longer
    slower = np.minimum(source.held.per_accelerator / rates, 1.0)
    bounds = np.outer(slower, source.held.bounds_ms).reshape(len(rates), len(question.targets))
    for column, target in enumerate(question.targets):
        if (worst_ms := float(bounds[:, column].max())) > target.at_most_ms:
            asked = f"{target.statistic} {target.quantity} at most {target.at_most_ms:g} ms"
            return Rejection(
                RejectionCode.LATENCY, f"{basis}: holds {worst_ms:.4g} ms; asked: {asked}", worst_ms, target.at_most_ms
            )
    return ReplicaEstimate(
        configuration=configuration,
        rate_per_s=rates,
        latency_ms=bounds,
        quality=quality,
        kind=Kind.MODELLED,
        basis=basis,
        source=source.held.profile.source,
    )
