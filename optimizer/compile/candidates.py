"""Candidates: every workload on every configuration, kept or rejected with a reason and the number that decided.

What a replica can do comes from ``optimizer.performance``; this module adds accuracy and what can be rented, and lays the
kept ones out as arrays. Loads are in replicas at the utilization cap: ``load[k, b]`` replicas of candidate k carry class b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Option, Quality
from optimizer.compile.offers import OfferTable, fits, offer_table
from optimizer.compile.places import transfer_costs
from optimizer.errors import InfeasibleError, Problem
from optimizer.instance import AccuracyFloor, Aggregation, Instance, Limit, Match, ServingWorkload, TrainingWorkload
from optimizer.performance import Configuration, OptionTable, Performance
from optimizer.performance.modelled import weights_gib

__all__ = ["CandidateTable", "Rejected", "accuracy_judged", "allowed_offers", "candidate_table", "concerns", "kept_accuracy"]


SMALLEST_LOAD = 1e-9
"""Replicas; a smaller load is taken for this one, since backends drop smaller coefficients in silence."""


REPLICA_FIELDS = ("workload", "team", "model", "precision", "compression")
"""What a match may ask that tells replicas of one instance apart."""
MATCH_FIELDS = ("accelerator", "family", "kind", *REPLICA_FIELDS)
"""What a match may ask of a candidate."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A workload on a configuration that cannot be, why, and the text with the number that decided."""

    workload: str
    configuration: Configuration
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class CandidateTable:
    """The kept candidates as arrays, in canonical order (workload name, then accelerator, size, variant, engine).

    Shapes: ``workload``, ``option_row``, ``accelerator``, ``size`` (accelerators per replica), ``accuracy`` are (n_candidates,);
    ``load`` is (n_candidates, n_classes) at the class's peak over the periods, zero where a workload has no such class or the
    class no demand; ``demand`` is (n_workloads, n_classes) per second at the peak, ``shape`` (n_workloads, n_classes, n_periods)
    the share of the peak in each period; ``hours_share`` is (n_periods,), each period's share of the month; ``allowed`` is
    (n_workloads, n_offers); ``transfer`` is (n_workloads, n_classes, n_regions): what sending the answers to all
    of a class's peak costs from a region, USD per hour, infinite where the class may not be served.
    """

    instance: Instance
    performance: Performance
    offers: OfferTable
    workloads: tuple[ServingWorkload, ...]
    options: tuple[OptionTable, ...]
    workload: npt.NDArray[np.int64]
    option_row: npt.NDArray[np.int64]
    accelerator: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    accuracy: npt.NDArray[np.float64]
    load: npt.NDArray[np.float64]
    demand: npt.NDArray[np.float64]
    shape: npt.NDArray[np.float64]
    hours_share: npt.NDArray[np.float64]
    allowed: npt.NDArray[np.bool_]
    transfer: npt.NDArray[np.float64]
    unpriced: tuple[str, ...]
    rejected: tuple[Rejected, ...]

    def __len__(self) -> int:
        """Give the number of kept candidates."""
        return len(self.workload)

    @cached_property
    def batch(self) -> npt.NDArray[np.bool_]:
        """Say which workloads are volumes, whose shares sum to one over all periods; shape (n_workloads,)."""
        return np.array([w.name in self.instance.batches for w in self.workloads], dtype=bool)

    @cached_property
    def facts(self) -> dict[str, npt.NDArray[np.str_]]:
        """Give what a match may ask of a candidate, by field; shape (n_candidates,) each, "" where there is nothing."""
        instance, workloads = self.instance, self.workloads
        cards = [instance.accelerators[name] for name in self.offers.accelerators]
        made = [self.configuration(k) for k in range(len(self))]
        by_card = {
            "accelerator": [c.name for c in cards],
            "family": [c.family for c in cards],
            "kind": [c.kind.value for c in cards],
        }
        by_workload = {"workload": [w.name for w in workloads], "team": [w.team or "" for w in workloads]}
        found = {field: np.array(names, dtype=np.str_)[self.accelerator] for field, names in by_card.items()}
        found |= {field: np.array(names, dtype=np.str_)[self.workload] for field, names in by_workload.items()}
        for field in ("model", "precision", "compression"):
            found[field] = np.array([getattr(c, field) for c in made], dtype=np.str_)
        return found

    @cached_property
    def limited(self) -> npt.NDArray[np.bool_]:
        """Say which candidates fit the part of each limit's match that speaks of replicas; shape (n_limits, n_candidates)."""
        fits = [self.matching(limit.match, REPLICA_FIELDS) for limit in self.instance.limits]
        return np.array(fits, dtype=bool).reshape(len(fits), len(self))

    def matching(self, match: Match, fields: Sequence[str] = MATCH_FIELDS) -> npt.NDArray[np.bool_]:
        """Say which candidates fit a match, as far as it speaks of them; shape (n_candidates,)."""
        fit = np.ones(len(self), dtype=bool)
        for field in fields:
            if (wanted := getattr(match, field)) is not None:
                fit &= np.isin(self.facts[field], wanted)
        return fit

    def configuration(self, k: int) -> Configuration:
        """Give the configuration of candidate ``k``."""
        options = self.options[self.workload[k]]
        configuration: Configuration = options.forms[options.form[self.option_row[k]]]
        return configuration

    def quality(self, k: int) -> Quality:
        """Give the quality of candidate ``k``'s rates."""
        quality: Quality = tuple(Quality)[self.options[self.workload[k]].rank[self.option_row[k]]]
        return quality


def kept_accuracy(instance: Instance, configuration: Configuration, floor: AccuracyFloor) -> float | None:
    """Give the share of the baseline a variant keeps on the floor's metric, at most 1; None where no row says."""
    variant = instance.models[configuration.model].variant(configuration.precision, configuration.compression)
    if variant is None:
        return None
    if variant.is_baseline:
        return 1.0
    wanted = (floor.metric, floor.evaluation)
    kept = [a.kept_fraction for a in variant.accuracy if (a.metric, a.evaluation) == wanted]
    return min(kept, default=None)


def candidate_table(instance: Instance) -> CandidateTable:
    """Work out every candidate of an instance.

    Raises
    ------
    InfeasibleError : a workload has no candidate left; every one is named with its reason.
    """
    offers, performance = offer_table(instance), Performance(instance)
    workloads = instance.demands
    transfer, unpriced = transfer_costs(instance, workloads, offers.regions)
    allowed = np.array([allowed_offers(w, offers, instance) for w in workloads], dtype=bool).reshape(len(workloads), len(offers))
    busy = np.array([sum(any(c.rate.at(p.name) > 0 for p in instance.periods) for c in w.classes) for w in workloads])
    allowed &= (np.isinf(transfer).sum(axis=1) < np.maximum(busy, 1)[:, None])[:, offers.region]
    tables, rejected, rows = [], [], []
    for number, workload in enumerate(workloads):
        table = performance.options(workload)
        tables.append(table)
        rejected += [Rejected(workload.name, c, str(r.code), r.message) for c, r in table.rejected]
        kept, refused = _judged(instance, workload, table, offers, allowed[number])
        rejected += refused
        rows += [(number, row, accuracy) for row, accuracy in kept]
    _refuse_hopeless(workloads, rows, rejected)
    found = _laid_out(instance, performance, offers, workloads, tuple(tables), rows, allowed, transfer, unpriced, tuple(rejected))
    _refuse_homeless(found)
    return found


def allowed_offers(workload: ServingWorkload | TrainingWorkload, offers: OfferTable, instance: Instance) -> npt.NDArray[np.bool_]:
    """Say which offers a workload may use: its regions, spot only where it accepts some (a gang: all), no limit of zero."""
    regions = workload.regions_allowed
    zero = [
        0 in (x.max_accelerators, x.max_instances) and concerns(x, workload) and not _tells_variants(x) for x in instance.limits
    ]
    barred = offers.limited[np.flatnonzero(zero)].any(axis=0)
    spot = np.array([price.option is Option.SPOT for price in offers.prices], dtype=bool)
    here = np.array([regions is None or offer.region in regions for offer in offers.offers], dtype=bool)
    accepts = workload.max_spot_fraction > 0 if isinstance(workload, ServingWorkload) else workload.max_spot_fraction >= 1
    return here & ~barred & (~spot | accepts)


def _tells_variants(limit: Limit) -> bool:
    return any(getattr(limit.match, field) is not None for field in ("model", "precision", "compression"))


def concerns(limit: Limit, workload: ServingWorkload | TrainingWorkload) -> bool:
    """Say whether a limit counts a workload, by the part of its match that speaks of workloads and teams."""
    return fits(limit.match.workload, workload.name) and fits(limit.match.team, workload.team)


def _judged(
    instance: Instance, workload: ServingWorkload, table: OptionTable, offers: OfferTable, allowed: npt.NDArray[np.bool_]
) -> tuple[list[tuple[int, float]], list[Rejected]]:
    """Split what performance lets through by accuracy and by what can be rented: (row, accuracy) pairs and refusals."""
    kept: list[tuple[int, float]] = []
    refused: list[Rejected] = []
    rentable = {
        name: set(offers.size[allowed & (offers.accelerator == i)].tolist()) for i, name in enumerate(offers.accelerators)
    }
    for row, configuration in enumerate(table.configurations):
        accuracy, why = accuracy_judged(instance, workload.accuracy, configuration)
        name = instance.accelerators[configuration.accelerator].name
        sizes = rentable.get(name, set())
        if why is None and instance.storage:
            why = _weights_judged(instance, configuration)
        if why is None and not any(size % configuration.accelerators_per_replica == 0 for size in sizes):
            why = _no_offer(workload, offers, name, configuration.accelerators_per_replica, sizes)
        if why is None:
            kept.append((row, accuracy))
        else:
            refused.append(Rejected(workload.name, configuration, *why))
    return kept, refused


def accuracy_judged(
    instance: Instance, floor: AccuracyFloor | None, configuration: Configuration
) -> tuple[float, tuple[str, str] | None]:
    """Give the accuracy a variant keeps under a floor, and why it cannot serve where it cannot."""
    if floor is None:
        return 1.0, None
    accuracy = kept_accuracy(instance, configuration, floor)
    if accuracy is None:
        return 0.0, ("accuracy_unknown", f"no row of {floor.metric} on {floor.evaluation} for this variant")
    wanted = floor.floor_fraction_of_baseline
    if floor.aggregation is Aggregation.PER_REQUEST and Fraction(repr(accuracy)) < Fraction(repr(wanted)):
        return accuracy, (
            "accuracy_below_floor",
            f"keeps {accuracy:.4f} of the baseline's {floor.metric}, the floor is {wanted:.4f}",
        )
    return accuracy, None


def _weights_judged(instance: Instance, configuration: Configuration) -> tuple[str, str] | None:
    """Say why a variant cannot be kept at a price: its size is not known."""
    model = instance.models[configuration.model]
    gib = weights_gib(model, model.variant(configuration.precision, configuration.compression), configuration.precision)
    return None if gib > 0 else ("weights_unknown", "storage is priced, but neither its weights_gib nor its parameters are known")


def _no_offer(workload: ServingWorkload, offers: OfferTable, name: str, size: int, sizes: set[int]) -> tuple[str, str]:
    if sizes:
        return "no_offer", f"no allowed instance of {name} holds whole groups of {size}; there are {sorted(sizes)}"
    if name in offers.accelerators:
        return "no_offer", f"{name} is offered, but nowhere this workload may use (regions, options, limits of zero)"
    left_out = [f"{label}: {reason}" for accelerator, label, reason in offers.left_out if accelerator == name]
    return "no_offer", f"no priced offer of {name}" + (f" ({left_out[0]})" if left_out else "")


def _refuse_hopeless(
    workloads: Sequence[ServingWorkload], rows: Sequence[tuple[int, int, float]], rejected: Sequence[Rejected]
) -> None:
    """Raise when a workload has nothing left to run on, candidate by candidate."""
    served = {number for number, _, _ in rows}
    problems = []
    for number, workload in enumerate(workloads):
        if number not in served:
            mine = [r for r in rejected if r.workload == workload.name]
            place = f"/workloads/{workload.name}"
            problems += [Problem(None, place, f"{r.configuration.label}: {r.code}: {r.reason}", "") for r in mine]
            if not mine:
                problems.append(Problem(None, place, f"no variant of {workload.model!r} with any figure", "a profile or a model"))
    if problems:
        names = [w.name for n, w in enumerate(workloads) if n not in served]
        raise InfeasibleError(f"no plan: every candidate of {', '.join(map(repr, names))} is rejected", problems)


def _refuse_homeless(table: CandidateTable) -> None:
    """Raise when a class may not be served in any region where its workload has a candidate to rent for."""
    offers, problems = table.offers, []
    for number, workload in enumerate(table.workloads):
        cards = np.unique(table.accelerator[table.workload == number])
        regions = np.unique(offers.region[table.allowed[number] & np.isin(offers.accelerator, cards)])
        for b in np.flatnonzero(~np.isfinite(table.transfer[number][:, regions]).any(axis=1)):
            found = "none of its regions has an offer that it may use" + "".join(f"; {x}" for x in table.unpriced[:3])
            problems.append(Problem(None, f"/workloads/{workload.name}/classes/{workload.classes[b].name}", found, ""))
    if problems:
        raise InfeasibleError("no plan: some requests may not be served anywhere", problems)


def _laid_out(
    instance: Instance,
    performance: Performance,
    offers: OfferTable,
    workloads: tuple[ServingWorkload, ...],
    options: tuple[OptionTable, ...],
    rows: list[tuple[int, int, float]],
    allowed: npt.NDArray[np.bool_],
    transfer: npt.NDArray[np.float64],
    unpriced: tuple[str, ...],
    rejected: tuple[Rejected, ...],
) -> CandidateTable:
    def order(entry: tuple[int, int, float]) -> tuple[object, ...]:
        c = options[entry[0]].configurations[entry[1]]
        return entry[0], c.accelerator, c.accelerators_per_replica, c.precision, c.compression, c.label

    rows = sorted(rows, key=order)
    classes = max((len(w.classes) for w in workloads), default=1)
    rates = np.zeros((len(workloads), classes, len(instance.periods)))
    for number, workload in enumerate(workloads):
        rates[number, : len(workload.classes)] = [[c.rate.at(p.name) for p in instance.periods] for c in workload.classes]
    demand = rates.max(axis=2)
    owner = np.array([number for number, _, _ in rows], dtype=np.int64)
    row = np.array([row for _, row, _ in rows], dtype=np.int64)
    load = np.zeros((len(rows), classes))
    for number, table in enumerate(options):
        mine, width = np.flatnonzero(owner == number), len(workloads[number].classes)
        load[mine, :width] = demand[number, :width] / (table.rate_per_s[row[mine]] * instance.policy.utilization_cap)
    load = np.where(load > 0, np.maximum(load, SMALLEST_LOAD), 0.0)
    names = {name: i for i, name in enumerate(offers.accelerators)}
    configurations = [options[number].configurations[r] for number, r, _ in rows]
    return CandidateTable(
        instance=instance,
        performance=performance,
        offers=offers,
        workloads=workloads,
        options=options,
        workload=owner,
        option_row=row,
        accelerator=np.array([names[instance.accelerators[c.accelerator].name] for c in configurations], dtype=np.int64),
        size=np.array([c.accelerators_per_replica for c in configurations], dtype=np.int64),
        accuracy=np.array([accuracy for _, _, accuracy in rows]),
        load=load,
        demand=demand,
        shape=rates / np.where(demand > 0, demand, 1.0)[:, :, None],
        hours_share=np.array([p.month_share for p in instance.periods]),
        allowed=allowed,
        transfer=transfer,
        unpriced=unpriced,
        rejected=rejected,
    )
