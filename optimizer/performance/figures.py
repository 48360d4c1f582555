"""What performance answers with: the rate one replica may carry with its evidence, or the reason why there is none.

Rates are per second in each class's own unit, before any utilization cap; times ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Quality
from optimizer.instance import Balancer, BatchWorkload, LatencyTarget, Policy, RequestClass, ServingWorkload, TrainingWorkload
from optimizer.performance.profiles import Configuration

__all__ = [
    "POOLING",
    "Answer",
    "Kind",
    "OptionTable",
    "Question",
    "Queue",
    "Rejection",
    "RejectionCode",
    "ReplicaEstimate",
    "table_of",
]

FloatArray = npt.NDArray[np.float64]

POOLING = (Balancer.CENTRAL, Balancer.LEAST_WORK)
"""Balancers behind which replicas are as one queue; behind the others each is reckoned to have requests of its own."""


class RejectionCode(StrEnum):
    """Why a configuration cannot serve a workload, as far as performance knows."""

    PRECISION = "precision"
    MEMORY = "memory"
    LAYOUT = "layout"
    PREVIEW = "preview"
    SHAPE = "shape"
    UNIT = "unit"
    NO_FIGURE = "no_figure"
    ARRIVALS = "arrivals"
    LATENCY = "latency"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why not, with the number that decided and the limit it was held against, where there are two numbers."""

    code: RejectionCode
    message: str
    number: float | None = None
    limit: float | None = None


class Kind(StrEnum):
    """What a rate is, which decides what may be built on it (staffing, simulation).

    ``held``: a percentile was held at this rate, its queue included. ``derived``: a chain on a measured curve.
    ``modelled``: a chain on the roofline, or a held rate carried over to another model or accelerator.
    ``throughput``: measured with no latency watched, for workloads that have no latency target.
    ``service``: a server of one request or one batch at a time with a known service time, which keeps it busy at the rate; what
    several may carry before a target is missed is a matter of their number (``queue``, ``staffing``).
    """

    HELD = "held"
    DERIVED = "derived"
    SERVICE = "service"
    MODELLED = "modelled"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class Queue:
    """What the servers of a pool must keep: of each target, the wait, s, that at most a share of requests may exceed.

    ``residual_s`` is the unit of time of their queue, the mean rest of a service that is going on, at the safe side (of batches,
    what their arrivals add); ``waits`` are (s, share), one a target, the share None where the mean is bounded. ``is_pooled``:
    whoever is free first serves the next. ``is_bursty``: requests come in bursts, in which everyone is reckoned to wait.
    """

    residual_s: float
    waits: tuple[tuple[float, float | None], ...]
    is_pooled: bool
    is_bursty: bool = False

    def slower(self, speed: float) -> Queue:
        """Give the queue of servers at a share of the speed, for whom all times are as much longer."""
        waits = tuple((wait_s / speed, tail) for wait_s, tail in self.waits)
        return replace(self, residual_s=self.residual_s / speed, waits=waits)


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaEstimate:
    """What one replica of a configuration does for a workload.

    Attributes
    ----------
    rate_per_s : shape (n_classes,), the largest rate of each class alone at which every target holds, in the class's unit; of a
        server (kind ``service``) the rate that keeps it busy
    latency_ms : shape (n_classes, n_targets), the value of each target's statistic at that rate, or the bound that was held
    basis : one line: which curve, shape, rule
    source : where the figures are from
    queue : what bounds the load of several servers, of kind ``service`` under targets
    """

    configuration: Configuration
    rate_per_s: FloatArray
    latency_ms: FloatArray
    quality: Quality
    kind: Kind
    basis: str
    source: str
    queue: Queue | None = None


Answer = ReplicaEstimate | Rejection


@dataclass(frozen=True, eq=False)
class OptionTable:
    """All configurations of a workload's model: the kept ones as columns, the others with their reason, made when asked for.

    Attributes
    ----------
    forms : the configurations that this table and others of the model choose from
    form : shape (n_configurations,), the place among ``forms`` of each kept one
    rates : gives ``rate_per_s``, shape (n_configurations, n_classes), which may be made of fewer numbers when it is asked for
    rank : shape (n_configurations,), the rank of each one's quality
    refused : how many were rejected, by code
    queues : the queue of each row that has one
    is_of_sheet : estimates are worked out when asked for, cheaper for many workloads together (``Performance.estimates``)
    """

    forms: tuple[Configuration, ...]
    form: npt.NDArray[np.int64]
    rates: Callable[[], FloatArray]
    rank: npt.NDArray[np.int64]
    refused: Mapping[RejectionCode, int]
    estimate: Callable[[int], ReplicaEstimate]
    reasons: Callable[[], tuple[tuple[Configuration, Rejection], ...]]
    queues: Mapping[int, Queue] = field(default_factory=dict)
    is_of_sheet: bool = False

    @property
    def rate_per_s(self) -> FloatArray:
        """Give the largest rate of each class on each kept configuration, shape (n_configurations, n_classes)."""
        return self.rates()

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Give the kept configurations."""
        return tuple(self.forms[f] for f in self.form.tolist())

    @cached_property
    def estimates(self) -> tuple[ReplicaEstimate, ...]:
        """Give every kept configuration's estimate with its evidence."""
        return tuple(self.estimate(row) for row in range(len(self.form)))

    @cached_property
    def rejected(self) -> tuple[tuple[Configuration, Rejection], ...]:
        """Give every other configuration with its reason."""
        return self.reasons()


@dataclass(frozen=True, slots=True)
class Question:
    """What a workload asks of a replica: its classes and targets, what it allows, and the policy's figures."""

    model: str
    classes: tuple[RequestClass, ...]
    targets: tuple[LatencyTarget, ...]
    allowed_quality: tuple[Quality, ...]
    spread_factor: float
    include_preview: bool
    balancer: Balancer = Balancer.LEAST_WORK
    arrival_variation: float = 1.0

    @classmethod
    def of(cls, workload: ServingWorkload | BatchWorkload | TrainingWorkload, model: str, policy: Policy) -> Question:
        """Read the question off a workload.

        Raises
        ------
        NotImplementedError : the workload's kind is built by a later part.
        """
        if not isinstance(workload, ServingWorkload):
            raise NotImplementedError(f"performance of a {workload.kind} workload is not built yet")
        factor = policy.run_to_run_spread_factor.value
        preview, asked = policy.include_preview, (workload.classes, workload.latency, workload.allowed_quality)
        return cls(model, *asked, factor, preview, policy.balancer, workload.arrival_variation)

    @property
    def has_lengths(self) -> bool:
        """Tell whether every class says how long its requests are."""
        return all(c.input_tokens is not None and c.output_tokens is not None for c in self.classes)

    @property
    def is_mixed(self) -> bool:
        """Say whether classes share replicas under targets, so that none is answered without the others."""
        return len(self.classes) > 1 and bool(self.targets)

    @property
    def is_bursty(self) -> bool:
        """Say whether requests come in bursts, under targets that these could miss."""
        return self.arrival_variation > 1 and bool(self.targets)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Give the lengths of the classes; call it only where ``has_lengths``."""
        return tuple((c.input_tokens or 1, c.output_tokens or 1) for c in self.classes)

    @property
    def units_per_request(self) -> FloatArray:
        """Give how many of a class's unit one request counts: its output tokens for ``tokens/s``, else 1; shape (n_classes,)."""
        return np.array([float(c.output_tokens or 1) if c.rate.unit == "tokens/s" else 1.0 for c in self.classes])

    def held_array(self, values: Sequence[float]) -> FloatArray:
        """Give per-target values for every class, shape (n_classes, n_targets)."""
        return np.tile(np.array(values, dtype=np.float64).reshape(1, -1), (len(self.classes), 1))


def judged(answer: Answer, question: Question) -> Answer:
    """Refuse an estimate whose quality the workload does not allow, or that speaks for other arrivals than the workload's."""
    if isinstance(answer, Rejection):
        return answer
    if question.is_bursty and answer.kind is not Kind.SERVICE:
        variation = question.arrival_variation
        message = f"{answer.kind} ({answer.basis}) for Poisson arrivals; the workload's have a variability of {variation:g}"
        return Rejection(RejectionCode.ARRIVALS, message, variation, 1.0)
    if answer.quality in question.allowed_quality:
        return answer
    allowed = ", ".join(question.allowed_quality)
    return Rejection(RejectionCode.QUALITY, f"{answer.quality} ({answer.basis}); the workload allows {allowed}")


def table_of(answers: Iterable[tuple[Configuration, Answer]], question: Question) -> OptionTable:
    """Lay answers out as columns, in the order given."""
    kept: list[ReplicaEstimate] = []
    rejected: list[tuple[Configuration, Rejection]] = []
    for configuration, answer in answers:
        verdict = judged(answer, question)
        if isinstance(verdict, Rejection):
            rejected.append((configuration, verdict))
        else:
            kept.append(verdict)
    rate_per_s = np.array([e.rate_per_s for e in kept], dtype=np.float64).reshape(len(kept), len(question.classes))
    return OptionTable(
        forms=tuple(e.configuration for e in kept),
        form=np.arange(len(kept)),
        rates=lambda: rate_per_s,
        rank=np.array([e.quality.rank for e in kept], dtype=np.int64),
        refused=Counter(why.code for _, why in rejected),
        estimate=kept.__getitem__,
        reasons=lambda: tuple(rejected),
        queues={row: e.queue for row, e in enumerate(kept) if e.queue is not None},
    )


def joined(tables: Sequence[OptionTable]) -> OptionTable:
    """Put tables of one question below one another."""
    forms = np.cumsum([0, *(len(t.forms) for t in tables)])
    rows = np.cumsum([0, *(len(t.form) for t in tables)])

    def estimate(row: int) -> ReplicaEstimate:
        at = int(np.searchsorted(rows, row, side="right")) - 1
        return tables[at].estimate(row - int(rows[at]))

    return OptionTable(
        forms=tuple(form for t in tables for form in t.forms),
        form=np.concatenate([t.form + first for t, first in zip(tables, forms, strict=False)]),
        rates=lambda: np.concatenate([t.rate_per_s for t in tables]),
        rank=np.concatenate([t.rank for t in tables]),
        refused=sum((Counter(t.refused) for t in tables), Counter()),
        estimate=estimate,
        reasons=lambda: tuple(entry for t in tables for entry in t.rejected),
        queues={int(first) + row: queue for t, first in zip(tables, rows, strict=False) for row, queue in t.queues.items()},
    )


def transferred(answer: Answer, configuration: Configuration, factor: float, quality: Quality, because: str) -> Answer:
    """Give an answer for another variant on the same accelerators: rates times a factor, times as they were."""
    if isinstance(answer, Rejection):
        return Rejection(answer.code, f"{because}: {answer.message}", answer.number, answer.limit)
    return ReplicaEstimate(
        configuration=configuration,
        rate_per_s=answer.rate_per_s * factor,
        latency_ms=answer.latency_ms,
        quality=quality,
        kind=Kind.SERVICE if answer.kind is Kind.SERVICE else Kind.MODELLED,
        basis=f"{because}: {answer.basis}",
        source=answer.source,
        queue=answer.queue,
    )
