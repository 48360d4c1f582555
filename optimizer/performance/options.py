"""Every configuration of a workload's model, with what one replica carries or the reason why it cannot.

Sources of figures, best first: rates measured whole (``held``), times of one request or batch (``service``), curves and their
chains (``serving``), other encoders (``encoders``), the roofline (``serving``, ``modelled``). A configuration that was measured
is never modelled anew without its engine. A compressed variant without figures of its own takes those of the uncompressed form:
as they are (a network with fewer or zero weights can always be run as the full one), or times a speed-up where a source for one
is cited.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count

from optimizer.catalog import Accelerator, Layout, Model, Profile, Variant, worst
from optimizer.instance import BatchWorkload, Instance, ServingWorkload, TrainingWorkload
from optimizer.performance.data import ClassCurve, ServiceTime, class_curves
from optimizer.performance.encoders import encoder_answers
from optimizer.performance.figures import (
    Answer,
    Kind,
    OptionTable,
    Question,
    Rejection,
    RejectionCode,
    ReplicaEstimate,
    joined,
    judged,
    table_of,
    transferred,
)
from optimizer.performance.held import KINDS, held_answers
from optimizer.performance.lengths import Length, classes_of, lengths_at
from optimizer.performance.modelled import configurations_of, not_supported
from optimizer.performance.profiles import Configuration, Curve, Shape, configuration_of, curves_by_configuration
from optimizer.performance.roofline import Roofline
from optimizer.performance.service import service_answers, service_times
from optimizer.performance.serving import alike, measured_answers, modelled_answers, roofline_source, sources_of
from optimizer.performance.sheets import Sheet, sheet_of
from optimizer.performance.slowed import UNCHANGED, Slowdown, sliced, slowdown_of
from optimizer.performance.variants import base_of, carriage, forms_of, place_of

__all__ = ["Performance"]

Answers = dict[Configuration, Answer]
AnyWorkload = ServingWorkload | BatchWorkload | TrainingWorkload
NO_LENGTHS = Rejection(
    RejectionCode.NO_FIGURE, "requests keep a benchmark's own lengths and no rate was held here; the roofline needs lengths"
)
OTHER_LENGTHS = Rejection(
    RejectionCode.SHAPE, "measured at lengths of its own; the workload keeps a benchmark's, which it does not say"
)
PREVIEW = Rejection(RejectionCode.PREVIEW, "measured on a preview system; policy.include_preview is off")


class Performance:
    """What replicas can do, for one instance. Cheap to build: curves are made for a model when it is first asked for."""

    def __init__(self, instance: Instance, roofline: Roofline | None = None) -> None:
        """Index the profiles by model, under catalog names."""
        self._rests_on = instance.catalogs, instance.policy, instance.fractions
        self._policy, self._models, self._accelerators = instance.policy, instance.models, instance.accelerators
        self._encoders = tuple(m for m in instance.catalogs.models if m.architecture == "encoder")
        self._catalog = {a.name: a for a in instance.catalogs.accelerators}
        self._roofline = Roofline(instance.catalogs) if roofline is None else roofline
        self._profiles: dict[str, list[Profile]] = defaultdict(list)
        for profile in instance.catalogs.profiles:
            self._profiles[self._models[profile.model].name].append(profile)
        self._slowed = {pool.name: slowdown_of(pool) for pool in instance.shared_pools}
        self._patterns = {pattern.name: pattern for pattern in sorted(instance.fractions, key=lambda p: p.name)}
        self._named: dict[str, tuple[Profile, ...]] = {}
        self._curves: dict[str, Mapping[Configuration, tuple[Curve, ...]]] = {}
        self._sheets: dict[tuple[str, bool], Sheet | None] = {}

    def for_part(self, instance: Instance) -> Performance:
        """Give what replicas can do for another instance; with the same catalogs and policy, what was worked out is shared."""
        catalogs, policy, fractions = self._rests_on
        if instance.catalogs is not catalogs or (instance.policy, instance.fractions) != (policy, fractions):
            return Performance(instance)
        found = copy(self)
        found._slowed = {pool.name: slowdown_of(pool) for pool in instance.shared_pools}
        return found

    def options(self, workload: AnyWorkload) -> OptionTable:
        """Give every configuration of the workload's model, kept or rejected, in a fixed order."""
        return self.options_of([workload])[0]

    def options_of(self, workloads: Sequence[AnyWorkload]) -> list[OptionTable]:
        """Give the options of each of some workloads; those of one model are worked out together."""
        asked = [(*self._question(w), self._slowed.get(w.name, UNCHANGED)) for w in workloads]
        found, by_sheet = dict[int, OptionTable](), defaultdict[int, list[int]](list)
        sheets = [self._sheet(*each) for each in asked]
        for number, (each, sheet) in enumerate(zip(asked, sheets, strict=True)):
            if sheet is None:
                found[number] = self._whole(*each)
            else:
                by_sheet[id(sheet)].append(number)
        for mine in by_sheet.values():
            if (sheet := sheets[mine[0]]) is not None:
                reasons = [partial(self._refused, *asked[number]) for number in mine]
                found.update(zip(mine, sheet.tables([asked[number][0] for number in mine], reasons), strict=True))
        return [self._with_cut(found[number], *each) for number, each in enumerate(asked)]

    def _refused(self, question: Question, model: Model, slowed: Slowdown) -> tuple[tuple[Configuration, Rejection], ...]:
        return self._whole(question, model, slowed).rejected

    def _with_cut(self, whole: OptionTable, question: Question, model: Model, slowed: Slowdown) -> OptionTable:
        """Add the replicas of one accelerator in the slots of each pattern."""
        cut = [self._cut(question, model, sliced(pattern, slowed)) for pattern in self._patterns.values()]
        return joined([whole, *cut]) if cut else whole

    def _cut(self, question: Question, model: Model, slot: Slowdown) -> OptionTable:
        """Give the replicas of one accelerator in the slots of a pattern."""
        accelerator = self._accelerators[self._patterns[slot.pattern or ""].accelerator]
        answers = self._answers(slot.of_question(question), model, (accelerator,), 1).items()
        alone = [(c, a) for c, a in answers if c.accelerators_per_replica == 1]
        return table_of(((slot.of_configuration(c), slot.of_answer(a, model, accelerator)) for c, a in alone), question)

    def _whole(self, question: Question, model: Model, slowed: Slowdown) -> OptionTable:
        """Give the replicas of whole accelerators, each answered alone."""
        found = self._answers(slowed.of_question(question), model, tuple(self._catalog.values())).items()
        return table_of(((c, slowed.of_answer(a, model, self._catalog[c.accelerator])) for c, a in found), question)

    def estimates(self, asked: Sequence[tuple[AnyWorkload, Configuration]]) -> list[ReplicaEstimate | Rejection]:
        """Give the estimate or rejection of one configuration for each workload; those of one model are worked out together."""
        found, by_sheet = dict[int, ReplicaEstimate](), defaultdict[int, list[tuple[int, Sheet, Question]]](list)
        for number, (workload, configuration) in enumerate(asked):
            question, model = self._question(workload)
            slowed = self._slowdown(workload, configuration)
            sheet = None if slowed is None else self._sheet(question, model, slowed)
            if sheet is not None:
                by_sheet[id(sheet)].append((number, sheet, question))
        for mine in by_sheet.values():
            answers = mine[0][1].estimates([(q, replace(asked[number][1], pattern=None, slots=1)) for number, _, q in mine])
            found.update((n, answer) for (n, _, _), answer in zip(mine, answers, strict=True) if answer is not None)
        return [found[n] if n in found else self._alone(*one) for n, one in enumerate(asked)]

    def estimate(self, workload: AnyWorkload, configuration: Configuration) -> ReplicaEstimate | Rejection:
        """Give one configuration's estimate or rejection, by the same path as ``options``."""
        return self.estimates([(workload, configuration)])[0]

    def _alone(self, workload: AnyWorkload, configuration: Configuration) -> ReplicaEstimate | Rejection:
        """Give one configuration's estimate or rejection where no sheet gives an estimate."""
        question, model = self._question(workload)
        slowed = self._slowdown(workload, configuration)
        if slowed is None:
            return Rejection(RejectionCode.NO_FIGURE, f"no pattern {configuration.pattern!r} of so many slots")
        configuration = replace(configuration, pattern=None, slots=1)
        accelerator = self._accelerators.get(configuration.accelerator)
        if accelerator is None:
            return Rejection(RejectionCode.NO_FIGURE, f"no accelerator {configuration.accelerator!r} in the catalog")
        asked, size = slowed.of_question(question), configuration.accelerators_per_replica
        answer = self._answers(asked, model, (accelerator,), size).get(configuration)
        if answer is None:
            return Rejection(RejectionCode.NO_FIGURE, f"{configuration.label} is not among the configurations of {model.name}")
        return judged(slowed.of_answer(answer, model, accelerator), question)

    def _sheet(self, question: Question, model: Model, slowed: Slowdown) -> Sheet | None:
        """Give the sheet that answers for all workloads of a model, where nothing in an answer hangs on all classes together.

        Encoders, rates held at stated lengths, slowed replicas and bursts are answered one by one.
        """
        key = model.name, question.include_preview
        if model.architecture == "encoder" or not question.has_lengths or slowed.because or question.is_bursty:
            return None
        if key not in self._sheets:
            held = [p for p in self._profiles_of(model.name) if p.load.kind in KINDS]
            served = any(p.load.kind.is_of_servers for p in self._profiles_of(model.name))
            alone = served or any(p.input_tokens and p.output_tokens for p in held)
            self._sheets[key] = None if alone else self._new_sheet(question, model, held)
        return self._sheets[key]

    def _new_sheet(self, question: Question, model: Model, held: Sequence[Profile]) -> Sheet:
        curves = self._curves_of(model.name)
        usable = {c: f for c, f in curves.items() if c.availability != "preview" or question.include_preview}
        measured = {place_of(c) for c in usable}
        kept, refused = configurations_of(model, forms_of(model), tuple(self._catalog.values()))
        unmeasured = [c for c in kept if place_of(c) not in measured]
        settled: Answers = {c: PREVIEW for c in curves if c not in usable}
        settled |= {c: why for c, why in refused.items() if place_of(c) not in measured} | held_answers(question, held)

        rows_alike, measured_by, numbers = alike(usable), list(usable.values()), count()

        def work_out(asked: Question, shapes: Sequence[Shape]) -> list[Length]:
            mine = replace(asked, classes=classes_of(shapes))
            return lengths_at(mine, numbers, usable, rows_alike, unmeasured, model, self._catalog, self._roofline)

        def source(row: int) -> str:
            return sources_of(measured_by[row]) if row < len(measured_by) else roofline_source(model)

        return sheet_of(model, [*usable, *unmeasured], settled, source, self._catalog, work_out)

    def curves(self, workload: ServingWorkload, configuration: Configuration) -> tuple[ClassCurve, ...] | None:
        """Give the curves behind a derived or modelled estimate, one a class; None where it rests on none.

        A compressed form without points of its own has its base form's times, over its speed-up; a slowed replica's are longer.
        """
        question, model = self._question(workload)
        measured = self._curves_of(model.name)
        if model.architecture == "encoder" or not (question.has_lengths and question.targets):
            return None
        slowed, variant = self._slowdown(workload, configuration) or UNCHANGED, model.variant(*configuration.variant)
        factor, configuration = slowed.speed, replace(configuration, pattern=None, slots=1)
        while configuration not in measured and variant is not None and variant.compression != "none":
            factor *= 1.0 if variant.speedup is None else variant.speedup.factor
            configuration = configuration.of_variant(*base_of(variant))
            variant = model.variant(*configuration.variant)
        if configuration.engine is not None and configuration not in measured:
            return None
        mine = measured.get(configuration, ())
        found = class_curves(question, model, configuration, mine, self._catalog, self._roofline)
        return tuple(replace(c, ttft_ms=c.ttft_ms / factor, tpot_ms=c.tpot_ms / factor) for c in found)

    def services(self, workload: ServingWorkload, configuration: Configuration) -> tuple[ServiceTime, ...] | None:
        """Give the service times behind an estimate of kind ``service``, one a class; None where there are none."""
        question, model = self._question(workload)
        slowed, variant = self._slowdown(workload, configuration) or UNCHANGED, model.variant(*configuration.variant)
        form, whole = configuration.variant, replace(configuration, pattern=None, slots=1)
        rows = [p for p in self._profiles_of(model.name) if p.load.kind.is_of_servers]
        mine = [p for p in rows if configuration_of(p) == whole]
        if not mine and variant is not None and form != (base := base_of(variant)):
            mine = [p for p in rows if configuration_of(p) == whole.of_variant(*base)]
        found = service_times(question, mine)
        return None if found is None else tuple(s.slower(slowed.speed) for s in found)

    def _slowdown(self, workload: AnyWorkload, configuration: Configuration) -> Slowdown | None:
        """Give what sharing costs a replica of a configuration; None where there is no such pattern."""
        whole = self._slowed.get(workload.name, UNCHANGED)
        if configuration.pattern is None:
            return whole if configuration.slots == 1 else None
        pattern = self._patterns.get(configuration.pattern)
        if pattern is None or pattern.slots != configuration.slots or configuration.accelerators_per_replica != 1:
            return None
        same = self._accelerators[pattern.accelerator] is self._accelerators.get(configuration.accelerator)
        return sliced(pattern, whole) if same else None

    def _question(self, workload: AnyWorkload) -> tuple[Question, Model]:
        model = self._models[workload.model]
        return Question.of(workload, model.name, self._policy), model

    def _answers(
        self, question: Question, model: Model, accelerators: tuple[Accelerator, ...], size: int | None = None
    ) -> Answers:
        """Answer for every configuration of a model on some accelerators; at least for replicas of ``size`` where it is given.

        No answer hangs on one for another size, but for rates held by whole systems, which are always gone through.
        """
        names = {a.name for a in accelerators}
        profiles = [p for p in self._profiles_of(model.name) if p.accelerator in names]
        held = held_answers(question, profiles)
        kept = {c: a for c, a in held.items() if isinstance(a, ReplicaEstimate) and not question.is_bursty}
        answers = held | service_answers(question, profiles) | kept
        if model.architecture == "encoder":
            answers = self._encoded(question, model, accelerators, answers) | answers
        elif question.has_lengths:
            answers = self._served(question, model, accelerators, size) | answers
        else:
            forms = [(accelerator, precision) for accelerator in accelerators for precision in forms_of(model)]
            bare = {_bare(model, a, p): not_supported(a, p) or NO_LENGTHS for a, p in forms}
            measured: Answers = {c: OTHER_LENGTHS for c in self._curves_of(model.name) if c.accelerator in names}
            answers = measured | _elsewhere(bare, answers) | answers
        _add_compressed(model, answers, self._catalog)
        listed = {(v.precision, v.compression) for v in model.variants}
        for unlisted in [c for c in answers if c.engine is None and c.variant not in listed]:
            del answers[unlisted]
        return answers

    def _served(self, question: Question, model: Model, accelerators: tuple[Accelerator, ...], size: int | None) -> Answers:
        """Answer for requests of known lengths: measured configurations first, then those nobody measured."""
        names = {a.name for a in accelerators}
        curves = {c: f for c, f in self._curves_of(model.name).items() if c.accelerator in names and _is_of_size(c, size)}
        usable = {c: f for c, f in curves.items() if c.availability != "preview" or question.include_preview}
        answers: Answers = measured_answers(question, usable, self._roofline)
        answers |= {c: PREVIEW for c in curves if c not in usable}
        measured = {place_of(c) for c in usable}
        kept, refused = configurations_of(model, forms_of(model), accelerators)
        unmeasured = [c for c in kept if place_of(c) not in measured and _is_of_size(c, size)]
        answers |= modelled_answers(question, model, unmeasured, self._catalog, self._roofline)
        return answers | {c: why for c, why in refused.items() if place_of(c) not in measured}

    def _encoded(self, question: Question, model: Model, accelerators: tuple[Accelerator, ...], held: Answers) -> Answers:
        """Answer for an encoder on formats and accelerators on which its own rate was not held."""
        encoders = [(m, self._profiles_of(m.name)) for m in self._encoders]
        return _elsewhere(encoder_answers(question, model, forms_of(model), accelerators, encoders, self._catalog), held)

    def _profiles_of(self, model: str) -> tuple[Profile, ...]:
        """Give the profiles of a model, with the catalog's own names for it and for the accelerators."""
        if model not in self._named:
            self._named[model] = tuple(self._renamed(profile, model) for profile in self._profiles.get(model, ()))
        return self._named[model]

    def _renamed(self, profile: Profile, model: str) -> Profile:
        accelerator = self._accelerators[profile.accelerator].name
        if (profile.model, profile.accelerator) == (model, accelerator):
            return profile
        return profile.model_copy(update={"model": model, "accelerator": accelerator})

    def _curves_of(self, model: str) -> Mapping[Configuration, tuple[Curve, ...]]:
        if model not in self._curves:
            self._curves[model] = curves_by_configuration(self._profiles_of(model))
        return self._curves[model]


def _elsewhere(answers: Mapping[Configuration, Answer], held: Answers) -> Answers:
    """Keep the answers for formats and accelerators on which no rate was held as asked."""
    measured = {(*c.variant, c.accelerator) for c, answer in held.items() if isinstance(answer, ReplicaEstimate)}
    return {c: answer for c, answer in answers.items() if (*c.variant, c.accelerator) not in measured}


def _bare(model: Model, accelerator: Accelerator, precision: str) -> Configuration:
    return Configuration(model.name, precision, "none", accelerator.name, 1, None, None, Layout())


def _is_of_size(configuration: Configuration, size: int | None) -> bool:
    return size is None or configuration.accelerators_per_replica == size


def _add_compressed(model: Model, answers: Answers, catalog: Mapping[str, Accelerator]) -> None:
    """Add answers for compressed variants that have no estimate of their own in a place where their base form has an answer."""
    by_variant: dict[tuple[str, str], list[tuple[Configuration, Answer]]] = defaultdict(list)
    for configuration, answer in answers.items():
        by_variant[configuration.variant].append((configuration, answer))
    for variant in sorted(model.variants, key=lambda v: base_of(v)[1] != "none"):
        if variant.compression == "none":
            continue
        mine = by_variant[variant.precision, variant.compression]
        own = {place_of(c)[2:] for c, answer in mine if isinstance(answer, ReplicaEstimate)}
        for base, answer in by_variant[base_of(variant)]:
            if own and place_of(base)[2:] in own:
                continue
            configuration = base.of_variant(variant.precision, variant.compression)
            if configuration not in answers:
                carried = _carried(variant, configuration, answer, catalog[base.accelerator])
                answers[configuration] = carried
                mine.append((configuration, carried))


def _carried(variant: Variant, configuration: Configuration, answer: Answer, accelerator: Accelerator) -> Answer:
    """Give a compressed variant the figures of its base form."""
    found = carriage(variant, accelerator)
    if isinstance(found, Rejection):
        return found
    factor, quality, because = found
    if factor != 1.0 and isinstance(answer, ReplicaEstimate) and answer.kind is Kind.SERVICE:
        message = f"{because}: what speeds rates up says nothing of the time of one request"
        return Rejection(RejectionCode.NO_FIGURE, message, factor, 1.0)
    whole = worst([quality, answer.quality]) if isinstance(answer, ReplicaEstimate) else quality
    return transferred(answer, configuration, factor, whole, because)
