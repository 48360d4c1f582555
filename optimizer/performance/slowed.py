"""Replicas that are slower than the one that was measured, because they share what they run on.

A system all of whose times stretch by 1/s carries s times the rate, and each percentile of its times stretches alike. So the
targets are asked for times s, the rates that meet them count times s, and the times reached are divided by s. Memory taken from
the cache takes rate in proportion, which is more than it costs: the rate of a batch grows ever slower with the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from optimizer.catalog import Accelerator, Model, Quality, worst
from optimizer.instance import SharedPool
from optimizer.performance.figures import Answer, Question, Rejection, RejectionCode
from optimizer.performance.modelled import weights_gib
from optimizer.performance.profiles import Configuration
from optimizer.performance.steps import USABLE_MEMORY_FRACTION

__all__ = ["UNCHANGED", "Slowdown", "slowdown_of"]


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What sharing costs a replica: the ``speed`` it keeps, the ``memory_gib`` that others take of it, and how good that is."""

    speed: float = 1.0
    memory_gib: float = 0.0
    quality: Quality = Quality.MEASURED
    because: str = ""

    def of_question(self, question: Question) -> Question:
        """Ask for the targets as an undisturbed replica must meet them."""
        if self.speed == 1.0:
            return question
        targets = [t.model_copy(update={"at_most_ms": t.at_most_ms * self.speed}) for t in question.targets]
        return replace(question, targets=tuple(targets))

    def of_answer(self, answer: Answer, model: Model, accelerator: Accelerator) -> Answer:
        """Turn what an undisturbed replica does into what this one does."""
        if not self.because:
            return answer
        if isinstance(answer, Rejection):
            return replace(answer, message=f"{self.because}: {answer.message}")
        room = self._room(answer.configuration, model, accelerator) if self.memory_gib else 1.0
        if isinstance(room, Rejection):
            return room
        return replace(
            answer,
            rate_per_s=answer.rate_per_s * (self.speed * room),
            latency_ms=answer.latency_ms / self.speed,
            quality=worst([answer.quality, self.quality]),
            basis=f"{self.because}: {answer.basis}",
        )

    def _room(self, configuration: Configuration, model: Model, accelerator: Accelerator) -> float | Rejection:
        """Give the share of the memory beside the weights that is left, or why none is."""
        weights = weights_gib(model, model.variant(*configuration.variant), configuration.precision)
        if weights != weights:
            return Rejection(RejectionCode.MEMORY, f"{self.because}: the size of its weights is not known")
        free = USABLE_MEMORY_FRACTION * accelerator.memory_gib * configuration.accelerators_per_replica - weights
        if free <= self.memory_gib:
            message = f"{self.because}: adapters need {self.memory_gib:g} GiB, the weights leave {max(free, 0.0):.1f}"
            return Rejection(RejectionCode.MEMORY, message, self.memory_gib, max(free, 0.0))
        return 1.0 - self.memory_gib / free


UNCHANGED = Slowdown()


def slowdown_of(pool: SharedPool) -> Slowdown:
    """Give what sharing a pool costs its replicas; nothing where its members run the same network."""
    if pool.is_exact:
        return UNCHANGED
    taken = sum(pool.adapter_memory_gib.values())
    because = f"shared with adapters of {taken:g} GiB at {pool.rate_factor:g} of the rate"
    return Slowdown(pool.rate_factor, taken, pool.quality, because)
