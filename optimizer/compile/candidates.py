"""Candidates: every workload on every configuration, kept or rejected with a reason and the number that decided.

What a replica can do comes from ``optimizer.performance``; this module adds accuracy and what can be rented, and lays the
kept ones out as arrays. Loads are in replicas at the utilization cap: ``load[k, b]`` replicas of candidate k carry class b.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.catalog import Option, Quality
from optimizer.compile.judging import Judge, Verdict, accuracy_judged, kept_accuracy
from optimizer.compile.offers import OfferTable, fits, offer_table
from optimizer.compile.places import transfer_costs
from optimizer.compile.queues import curve_for
from optimizer.errors import InfeasibleError, Problem
from optimizer.instance import Instance, Limit, Match, ServingWorkload, TrainingWorkload
from optimizer.performance import Configuration, OptionTable, Performance
from optimizer.performance.figures import Queue
from optimizer.performance.staffing import Curve

__all__ = [
    "CandidateTable",
    "Rejected",
    "Unjudged",
    "accuracy_judged",
    "allowed_offers",
    "candidate_table",
    "concerns",
    "is_power_of_two",
    "kept_accuracy",
    "rentable_pairs",
    "tightened",
    "unjudged",
]


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

    A candidate belongs to one of the ``owners``: the workloads, then the shared pools, each with the classes of its members.

    Shapes: ``workload`` (the owner), ``option_row`` (row of its options), ``form`` (place in ``forms``), ``accelerator``,
    ``size`` (accelerators per replica, binary fractions where some are cut), ``accuracy`` (its members' least) and ``rank`` (its
    quality's) are (n_candidates,);
    ``kept`` is (n_candidates, n_classes), the accuracy for the class's own workload;
    ``load`` is (n_candidates, n_classes) at the class's peak over the periods, zero where an owner has no such class or the
    class no demand; ``demand`` is (n_owners, n_classes) per second at the peak, ``shape`` (n_owners, n_classes, n_periods)
    the share of the peak in each period; ``class_workload`` and ``class_number`` (n_owners, n_classes) say whose class it is and
    which of that workload's; ``hours_share`` is (n_periods,), each period's share of the month; ``allowed`` is
    (n_owners, n_offers); ``transfer`` is (n_owners, n_classes, n_regions): what sending the answers to all of a class's peak
    costs from a region, USD per hour, infinite where the class may not be served. Where only portions of a question are looked
    at, ``among`` holds the pairs that may be rented, ``candidate · n_offers + offer``, ascending, and ``judged`` counts what all
    candidates came to.
    """

    instance: Instance
    performance: Performance
    offers: OfferTable
    workloads: tuple[ServingWorkload, ...]
    owners: tuple[ServingWorkload, ...]
    options: tuple[OptionTable, ...]
    workload: npt.NDArray[np.int64]
    forms: tuple[Configuration, ...]
    option_row: npt.NDArray[np.int32]
    form: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int8]
    accelerator: npt.NDArray[np.int64]
    size: npt.NDArray[Any]
    accuracy: npt.NDArray[np.float64]
    kept: npt.NDArray[np.float64]
    load: npt.NDArray[np.float64]
    demand: npt.NDArray[np.float64]
    shape: npt.NDArray[np.float64]
    class_workload: npt.NDArray[np.int64]
    class_number: npt.NDArray[np.int64]
    hours_share: npt.NDArray[np.float64]
    allowed: npt.NDArray[np.bool_]
    transfer: npt.NDArray[np.float64]
    unpriced: tuple[str, ...]
    refused: Counter[str]
    reasons: Callable[[], tuple[Rejected, ...]]
    among: npt.NDArray[np.int64] | None = None
    judged: Counter[str] | None = None

    def __len__(self) -> int:
        """Give the number of kept candidates."""
        return len(self.workload)

    @cached_property
    def batch(self) -> npt.NDArray[np.bool_]:
        """Say which workloads are volumes, whose shares sum to one over all periods; shape (n_workloads,)."""
        return np.array([w.name in self.instance.batches for w in self.workloads], dtype=bool)

    @cached_property
    def queues(self) -> dict[int, Queue]:
        """Give the queue of each candidate whose load is bounded by one."""
        if not any(table.queues for table in self.options):
            return {}
        rows = (self.options[int(w)].queues for w in self.workload)
        at = zip(rows, self.option_row.tolist(), strict=True)
        return {k: queues[row] for k, (queues, row) in enumerate(at) if row in queues}

    @cached_property
    def curves(self) -> dict[int, Curve]:
        """Give the load that replicas carry, of each candidate whose queue asks for less than the utilization cap would."""
        cap, found = self.instance.policy.utilization_cap, {}
        for k, queue in self.queues.items():
            erlangs = float((self.load[k] @ self.shape[self.workload[k]]).max()) * cap
            curve = curve_for(queue, cap, erlangs, f"/workloads/{self.owners[self.workload[k]].name}")
            if curve is not None:
                found[k] = curve
        return found

    @cached_property
    def rejected(self) -> tuple[Rejected, ...]:
        """Word why each workload cannot run on what it cannot run on; ``refused`` counts them by code."""
        return self.reasons()

    @cached_property
    def facts(self) -> dict[str, tuple[npt.NDArray[np.str_], npt.NDArray[np.int64 | np.int32]]]:
        """Give what a match may ask of a candidate, by field: names, "" where there is nothing, and which is whose."""
        instance = self.instance
        cards = [instance.accelerators[name] for name in self.offers.accelerators]
        columns: dict[str, tuple[list[str], npt.NDArray[np.int64 | np.int32]]] = {
            "accelerator": ([c.name for c in cards], self.accelerator),
            "family": ([c.family for c in cards], self.accelerator),
            "kind": ([c.kind.value for c in cards], self.accelerator),
            "team": ([w.team or "" for w in self.owners], self.workload),
            **{f: ([getattr(c, f) for c in self.forms], self.form) for f in ("model", "precision", "compression")},
        }
        return {field: (np.array(names, dtype=np.str_), which) for field, (names, which) in columns.items()}

    @cached_property
    def limited(self) -> npt.NDArray[np.bool_]:
        """Say which candidates fit the part of each limit's match that speaks of replicas; shape (n_limits, n_candidates)."""
        limits = self.instance.all_limits
        if not any(limit.match.speaks_of_replicas for limit in limits):
            return np.broadcast_to(np.True_, (len(limits), len(self)))
        fits = [self.matching(limit.match, REPLICA_FIELDS) for limit in limits]
        return np.array(fits, dtype=bool).reshape(len(fits), len(self))

    def matching(self, match: Match, fields: Sequence[str] = MATCH_FIELDS) -> npt.NDArray[np.bool_]:
        """Say which candidates fit a match, as far as it speaks of them; shape (n_candidates,)."""
        fit = np.ones(len(self), dtype=bool)
        for field in fields:
            if (wanted := getattr(match, field)) is None:
                continue
            if field == "workload":  # a shared pool is counted whole as soon as one of its members is
                named = [n for n, w in enumerate(self.workloads) if fits(wanted, w.name)]
                fit &= np.asarray(self.is_member[:, named].any(axis=1))[self.workload]
            else:
                names, which = self.facts[field]
                fit &= np.isin(names, wanted)[which]
        return fit

    @cached_property
    def is_member(self) -> npt.NDArray[np.bool_]:
        """Say which workloads each owner's pools may serve; shape (n_owners, n_workloads)."""
        place = {w.name: number for number, w in enumerate(self.workloads)}
        found = np.zeros((len(self.owners), len(self.workloads)), dtype=bool)
        for number, owner in enumerate(self.owners):
            found[number, [place[name] for name in self.instance.members[owner.name]]] = True
        return found

    def configuration(self, k: int) -> Configuration:
        """Give the configuration of candidate ``k``."""
        return self.forms[int(self.form[k])]

    def quality(self, k: int) -> Quality:
        """Give the quality of candidate ``k``'s rates."""
        return tuple(Quality)[int(self.rank[k])]


@dataclass(frozen=True, eq=False)
class Unjudged:
    """What a table says of its owners before any configuration is looked at; ``rates`` is (n_owners, n_classes, n_periods)."""

    instance: Instance
    performance: Performance
    offers: OfferTable
    owners: tuple[ServingWorkload, ...]
    rates: npt.NDArray[np.float64]
    allowed: npt.NDArray[np.bool_]
    transfer: npt.NDArray[np.float64]
    unpriced: tuple[str, ...]

    @cached_property
    def demand(self) -> npt.NDArray[np.float64]:
        """Give every class's peak, per second; shape (n_owners, n_classes)."""
        return np.asarray(self.rates.max(axis=2))

    def table(self, options: tuple[OptionTable, ...], **columns: Any) -> CandidateTable:
        """Give the table of the candidates that ``columns`` describe."""
        class_workload, class_number, _ = _whose(self.instance, self.rates.shape[1])
        return CandidateTable(
            instance=self.instance,
            performance=self.performance,
            offers=self.offers,
            workloads=self.instance.demands,
            owners=self.owners,
            options=options,
            demand=self.demand,
            shape=self.rates / np.where(self.demand > 0, self.demand, 1.0)[:, :, None],
            class_workload=class_workload,
            class_number=class_number,
            hours_share=np.array([p.month_share for p in self.instance.periods]),
            allowed=self.allowed,
            transfer=self.transfer,
            unpriced=self.unpriced,
            **columns,
        )


def unjudged(instance: Instance, known: Performance | None = None) -> Unjudged:
    """Work out what is asked and what may be rented; ``known`` is what replicas can do in another part of the question."""
    offers, owners = offer_table(instance), instance.owners
    transfer, unpriced = transfer_costs(instance, owners, offers.regions)
    allowed = np.array([allowed_offers(w, offers, instance) for w in owners], dtype=bool).reshape(len(owners), len(offers))
    rates = _rates(instance, owners)
    busy = (rates > 0).any(axis=2).sum(axis=1)
    allowed &= (np.isinf(transfer).sum(axis=1) < np.maximum(busy, 1)[:, None])[:, offers.region]
    performance = Performance(instance) if known is None else known.for_part(instance)
    return Unjudged(instance, performance, offers, owners, rates, allowed, transfer, unpriced)


def candidate_table(instance: Instance, known: Performance | None = None) -> CandidateTable:
    """Work out every candidate of an instance; ``known`` is the ``performance`` of another part's table, which is shared.

    Raises
    ------
    InfeasibleError : a workload has no candidate left; every one is named with its reason.
    """
    base = unjudged(instance, known)
    owners, judge = base.owners, Judge(instance, base.offers)
    options = tuple(base.performance.options_of(owners))
    floor = {w.name: w.accuracy for w in instance.demands}
    floors = [[floor[name] for name in instance.members[owner.name]] for owner in owners]
    verdicts = [judge.verdict(*judged) for judged in zip(options, floors, base.allowed, strict=True)]

    def reasons() -> tuple[Rejected, ...]:
        whose = zip(owners, options, floors, base.allowed, strict=True)
        return tuple(Rejected(w.name, *why) for w, t, asked, mine in whose for why in judge.refusals(t, asked, mine))

    _refuse_hopeless(instance, [len(v.rows) > 0 for v in verdicts], reasons)
    refused: Counter[str] = sum((v.refused for v in verdicts), Counter())
    found = base.table(options, **_laid_out(base, judge.forms, options, verdicts), refused=refused, reasons=reasons)
    _refuse_homeless(found)
    return found


def tightened(table: CandidateTable, shares: Mapping[str, float]) -> CandidateTable:
    """Give the table with some candidates' replicas loaded to a share of what they might be; by ``owner: configuration``."""
    names = [f"{table.owners[w].name}: {table.configuration(k).label}" for k, w in enumerate(table.workload)]
    share = np.array([shares.get(name, 1.0) for name in names])
    return replace(table, load=table.load / share[:, None])


def allowed_offers(workload: ServingWorkload | TrainingWorkload, offers: OfferTable, instance: Instance) -> npt.NDArray[np.bool_]:
    """Say which offers a workload may use: its regions, spot if it accepts some (a gang: all), no limit it cannot meet."""
    regions = workload.regions_allowed
    zero = [
        0 in (x.max_accelerators, x.max_instances) and concerns(x, workload, instance) and not _tells_variants(x)
        for x in instance.all_limits
    ]
    barred = offers.limited[np.flatnonzero(zero)].any(axis=0)
    for cap in offers.caps:
        if concerns(cap.limit, workload, instance):
            barred = barred | offers.unknown(cap)
    barred = barred if regions is None else barred | ~np.isin(offers.facts["region"], regions)
    accepts = workload.max_spot_fraction > 0 if isinstance(workload, ServingWorkload) else workload.max_spot_fraction >= 1
    return np.asarray(~barred if accepts else ~barred & (offers.facts["option"] != Option.SPOT.value))


def _tells_variants(limit: Limit) -> bool:
    return any(getattr(limit.match, field) is not None for field in ("model", "precision", "compression"))


def concerns(limit: Limit, owner: ServingWorkload | TrainingWorkload, instance: Instance) -> bool:
    """Say whether a limit counts an owner's pools, by the part of its match that speaks of workloads and teams."""
    named = any(fits(limit.match.workload, name) for name in instance.members.get(owner.name, (owner.name,)))
    return named and fits(limit.match.team, owner.team)


def _refuse_hopeless(instance: Instance, runs: Sequence[bool], reasons: Callable[[], tuple[Rejected, ...]]) -> None:
    """Raise when a workload has nothing left to run on, alone or shared, candidate by candidate."""
    able = {
        name for owner, runs_it in zip(instance.owners, runs, strict=True) if runs_it for name in instance.members[owner.name]
    }
    hopeless, problems = [w for w in instance.demands if w.name not in able], []
    for workload in hopeless:
        mine = [r for r in reasons() if r.workload == workload.name]
        place = f"/workloads/{workload.name}"
        problems += [Problem(None, place, f"{r.configuration.label}: {r.code}: {r.reason}", "") for r in mine]
        if not mine:
            problems.append(Problem(None, place, f"no variant of {workload.model!r} with any figure", "a profile or a model"))
    if problems:
        raise InfeasibleError(f"no plan: every candidate of {', '.join(repr(w.name) for w in hopeless)} is rejected", problems)


def _refuse_homeless(table: CandidateTable) -> None:
    """Raise when a class may not be served in any region where some candidate of its workload fits an offer that it may use."""
    what = np.stack([table.workload, table.accelerator, table.size])
    alike = np.concatenate([[False], (what[:, 1:] == what[:, :-1]).all(axis=0)]) if len(table) else np.zeros(0, dtype=bool)
    candidate, offer = rentable_pairs(table, np.flatnonzero(~alike))  # only what differs in where it may run
    regions = max(len(table.offers.regions), 1)
    owner, region = np.divmod(np.unique(table.workload[candidate] * regions + table.offers.region[offer]), regions)
    homed, problems = np.zeros((len(table.workloads), table.load.shape[1]), dtype=bool), []
    width = np.array([len(w.classes) for w in table.owners])
    able = np.isfinite(table.transfer[owner, :, region]) & (np.arange(table.load.shape[1]) < width[owner][:, None])
    at, place = np.nonzero(able)
    homed[table.class_workload[owner[at], place], table.class_number[owner[at], place]] = True
    for number, workload in enumerate(table.workloads):
        for b in np.flatnonzero(~homed[number, : len(workload.classes)]):
            found = "none of its regions has an offer that it may use" + "".join(f"; {x}" for x in table.unpriced[:3])
            problems.append(Problem(None, f"/workloads/{workload.name}/classes/{workload.classes[b].name}", found, ""))
    if problems:
        raise InfeasibleError("no plan: some requests may not be served anywhere", problems)


def rentable_pairs(table: CandidateTable, kept: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give every (candidate, offer) that may be rented: same accelerator, allowed, the instance holds whole replicas."""
    offers = table.offers
    start = np.searchsorted(offers.accelerator, table.accelerator[kept], side="left")
    count = np.searchsorted(offers.accelerator, table.accelerator[kept], side="right") - start
    candidate = np.repeat(kept, count)
    offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    offer = np.repeat(start, count) + offset
    fits = table.allowed[table.workload[candidate], offer] & (offers.size[offer] % table.size[candidate] == 0)
    if table.among is not None:
        fits &= np.isin(candidate * len(offers) + offer, table.among, assume_unique=True)
    candidate, offer = candidate[fits], offer[fits]
    chained = _in_chain(table.size[candidate], offers.size[offer], offer)
    return candidate[chained], offer[chained]


def _in_chain(replica: npt.NDArray[Any], instance: npt.NDArray[np.int64], offer: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which replica sizes may share instances by counting alone; shape (n_pairs,).

    Counting accelerators is exact only when the sizes on an offer divide one another. Where they do not, sizes that are neither
    a power of two nor the whole instance give way there.
    """
    keep = np.ones(len(offer), dtype=bool)
    alike = is_power_of_two(replica)
    for o in np.unique(offer[~alike]):
        sizes = np.unique(replica[offer == o])
        if (sizes[1:] % sizes[:-1] != 0).any():
            keep &= (offer != o) | alike | (replica == instance)
    return keep


def is_power_of_two(size: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which sizes are powers of two, halves and quarters included."""
    return np.asarray(np.frexp(size)[0] == 0.5)


def _rates(instance: Instance, workloads: Sequence[ServingWorkload]) -> npt.NDArray[np.float64]:
    """Give the rate of every class in every period, per second; shape (n_workloads, n_classes, n_periods)."""
    rates = np.zeros((len(workloads), max((len(w.classes) for w in workloads), default=1), len(instance.periods)))
    for number, workload in enumerate(workloads):
        rates[number, : len(workload.classes)] = [[c.rate.at(p.name) for p in instance.periods] for c in workload.classes]
    return rates


def _laid_out(
    base: Unjudged, forms: Sequence[Configuration], options: Sequence[OptionTable], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """Lay the kept candidates out as arrays, workload by workload."""
    instance, cap, classes = base.instance, base.instance.policy.utilization_cap, base.rates.shape[1]
    counts, nothing = [len(v.rows) for v in verdicts], np.zeros(0, dtype=np.int64)
    owner, load = np.repeat(np.arange(len(counts)), counts), np.zeros((sum(counts), classes))
    starts = np.cumsum([0, *counts])
    for number, (table, verdict) in enumerate(zip(options, verdicts, strict=True)):
        rate = table.rate_per_s[verdict.rows]
        width = rate.shape[1]
        mine = base.demand[number, :width] / (rate * cap)
        load[starts[number] : starts[number + 1], :width] = np.where(mine > 0, np.maximum(mine, SMALLEST_LOAD), 0.0)
    form = np.concatenate([nothing, *(v.place for v in verdicts)], dtype=np.int32, casting="same_kind")
    _, _, member = _whose(instance, classes)
    accuracy = np.concatenate([np.zeros(0), *(v.accuracy.min(axis=1) for v in verdicts)])
    kept = np.broadcast_to(accuracy[:, None], load.shape)
    if len(base.owners) > len(instance.demands):  # some are shared, by workloads whose floors may be of different metrics
        kept = np.concatenate([np.zeros((0, classes)), *(v.accuracy[:, member[n]] for n, v in enumerate(verdicts))])
    names = {name: i for i, name in enumerate(base.offers.accelerators)}
    taken = [float(c.accelerators) for c in forms]
    cards = np.array([names.get(instance.accelerators[c.accelerator].name, -1) for c in forms], dtype=np.int64)
    return {
        "forms": tuple(forms),
        "workload": owner,
        "option_row": np.concatenate([nothing, *(v.rows for v in verdicts)], dtype=np.int32, casting="same_kind"),
        "form": form,
        "rank": np.concatenate([nothing, *(t.rank[v.rows] for t, v in zip(options, verdicts, strict=True))]).astype(np.int8),
        "accelerator": cards[form],
        "size": np.array(taken, dtype=np.float64 if any(c.slots > 1 for c in forms) else np.int64)[form],
        "accuracy": accuracy,
        "kept": kept,
        "load": load,
    }


def _whose(instance: Instance, classes: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Give each owner's classes' workload, number in that workload, and place among the members; shape (n_owners, n_classes)."""
    at = {w.name: n for n, w in enumerate(instance.demands)}
    found = np.zeros((3, len(instance.owners), classes), dtype=np.int64)
    for number, owner in enumerate(instance.owners):
        members = [at[name] for name in instance.members[owner.name]]
        entries = [(n, b, place) for place, n in enumerate(members) for b in range(len(instance.demands[n].classes))]
        found[:, number, : len(entries)] = np.array(entries, dtype=np.int64).T
    return tuple(found)
