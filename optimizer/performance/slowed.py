"""Replicas that are slower than the one that was measured, because they share what they run on.

A system all of whose times stretch by 1/s carries s times the rate, and each percentile of its times stretches alike. So the
targets are asked for times s, the rates that meet them count times s, and the times reached are divided by s. Memory taken from
the cache takes rate in proportion, which is more than it costs: the rate of a batch grows ever slower with the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from optimizer.catalog import Accelerator, Model, Quality, worst
from optimizer.instance import FractionPattern, SharedPool
from optimizer.performance.figures import Answer, Question, Rejection, RejectionCode
from optimizer.performance.modelled import weights_gib
from optimizer.performance.profiles import Configuration
from optimizer.performance.steps import USABLE_MEMORY_FRACTION

__all__ = ["UNCHANGED", "Slowdown", "sliced", "slowdown_of"]


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What sharing costs a replica: the ``speed`` and ``memory_share`` it keeps, the ``memory_gib`` that adapters take of them.

    ``pattern`` names the slots that its accelerator is cut into, if it is.
    """

    speed: float = 1.0
    memory_gib: float = 0.0
    quality: Quality = Quality.MEASURED
    because: str = ""
    memory_share: float = 1.0
    pattern: str | None = None
    slots: int = 1

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
        takes_memory = self.memory_gib > 0 or self.memory_share < 1
        room = self._room(answer.configuration, model, accelerator) if takes_memory else 1.0
        if isinstance(room, Rejection):
            return room
        return replace(
            answer,
            configuration=self.of_configuration(answer.configuration),
            rate_per_s=answer.rate_per_s * (self.speed * room),
            latency_ms=answer.latency_ms / self.speed,
            quality=worst([answer.quality, self.quality]),
            basis=f"{self.because}: {answer.basis}",
            queue=None if answer.queue is None else answer.queue.slower(self.speed),
        )

    def of_configuration(self, configuration: Configuration) -> Configuration:
        """Give the configuration in a slot, where there are slots."""
        return replace(configuration, pattern=self.pattern, slots=self.slots)

    def _room(self, configuration: Configuration, model: Model, accelerator: Accelerator) -> float | Rejection:
        """Give the share of the memory beside the weights that is left, or why none is."""
        weights = weights_gib(model, model.variant(*configuration.variant), configuration.precision)
        if weights != weights:
            return Rejection(RejectionCode.MEMORY, f"{self.because}: the size of its weights is not known")
        usable = USABLE_MEMORY_FRACTION * accelerator.memory_gib * configuration.accelerators_per_replica
        free = usable * self.memory_share - weights
        if free <= self.memory_gib:
            message = f"{self.because}: adapters need {self.memory_gib:g} GiB, the weights leave {max(free, 0.0):.1f}"
            return Rejection(RejectionCode.MEMORY, message, self.memory_gib, max(free, 0.0))
        caches = model.architecture != "encoder" or self.memory_gib > 0
        return (free - self.memory_gib) / (usable - weights) if caches else 1.0


UNCHANGED = Slowdown()


def slowdown_of(pool: SharedPool) -> Slowdown:
    """Give what sharing a pool costs its replicas; nothing where its members run the same network."""
    if pool.is_exact:
        return UNCHANGED
    taken = sum(pool.adapter_memory_gib.values())
    because = f"shared with adapters of {taken:g} GiB at {pool.rate_factor:g} of the rate"
    return Slowdown(pool.rate_factor, taken, pool.quality, because)


def sliced(pattern: FractionPattern, whole: Slowdown) -> Slowdown:
    """Give what a slot of a cut accelerator costs a replica beside what sharing its pool does."""
    speed = pattern.rate_share * pattern.interference_factor
    because = f"{pattern.name}, {speed:g} of the rate" + (f"; {whole.because}" if whole.because else "")
    return replace(
        whole,
        speed=whole.speed * speed,
        quality=worst([whole.quality, pattern.quality]),
        because=because,
        memory_share=pattern.memory_share,
        pattern=pattern.name,
        slots=pattern.slots,
    )
