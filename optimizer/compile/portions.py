"""Portions: those candidates of some owners that a good plan may need, told so that they can travel and be put together.

A large question is looked at in parts, a few workloads at a time and with all of its limits; of each part only a portion comes
back. The portions together are a question of their own, whose plans are plans of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import CandidateTable, Unjudged, rentable_pairs, unjudged
from optimizer.compile.compiled import Compiled
from optimizer.compile.names import mixed, names_of
from optimizer.instance import Instance
from optimizer.performance import Configuration, OptionTable, Performance, ReplicaEstimate
from optimizer.performance.figures import Queue

__all__ = ["Portion", "joined_table", "named_portion", "portion_names", "portion_of"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Portion:
    """Candidates of some owners, in the order of the table that they were taken from, and the offers that each may be rented as.

    ``number`` (n_candidates,) is each one's row there, ``owner`` and ``form`` its place among ``owners`` and ``forms``; ``table``
    holds further columns of a candidate table by name, and ``rate_per_s``; ``pair`` is ``number · n_offers + offer``, ascending.
    ``judged`` counts what the owners' candidates came to: kept, dominated; ``refused`` counts them by code.
    """

    owners: tuple[str, ...]
    forms: tuple[Configuration, ...]
    number: IntArray
    owner: IntArray
    form: IntArray
    table: Mapping[str, npt.NDArray[np.generic]]
    queues: Mapping[int, Queue]
    pair: IntArray
    judged: Counter[str]
    refused: Counter[str]

    @property
    def classes(self) -> int:
        """Give the most classes that an owner has."""
        return int(self.table["load"].shape[1])

    def joined(self, more: Portion) -> Portion:
        """Add candidates and offers taken from the same table."""
        number = np.concatenate([self.number, more.number])
        _, first = np.unique(number, return_index=True)
        forms, form = _listed([(self.forms, self.form), (more.forms, more.form)])
        table = {name: np.concatenate([column, more.table[name]])[first] for name, column in self.table.items()}
        owner = np.concatenate([self.owner, more.owner])[first]
        queues, pair = {**self.queues, **more.queues}, np.union1d(self.pair, more.pair)
        return Portion(self.owners, forms, number[first], owner, form[first], table, queues, pair, self.judged, self.refused)


def portion_of(compiled: Compiled, replicas: IntArray, besides: IntArray) -> Portion:
    """Take from a compiled question what the replica columns ``replicas`` are, and candidates that are only compared with."""
    table, columns = compiled.candidates, compiled.columns
    candidate = columns.pool_candidate[columns.replica_pool[replicas]]
    pair = np.unique(candidate * len(table.offers) + columns.replica_offer[replicas])
    return _taken(table, np.union1d(candidate, besides), pair, int((compiled.dominated_by >= 0).sum()))


def named_portion(table: CandidateTable, names: IntArray, dominated: int) -> Portion:
    """Take from a table the candidates and pairs of these names; ``dominated`` is how many of its candidates were found to be."""
    own = _candidate_names([o.name for o in table.owners], table.workload, table.forms, table.form)
    number = np.flatnonzero(np.isin(own, names))
    candidate, offer = rentable_pairs(table, number)
    labels = names_of(map(table.offers.label, range(len(table.offers))))
    wanted = np.isin(mixed("pair", own[candidate], labels[offer]), names)
    return _taken(table, number, np.sort((candidate * len(table.offers) + offer)[wanted]), dominated)


def portion_names(portion: Portion, offers: Sequence[str]) -> IntArray:
    """Name a portion's candidates and pairs by what they are, so that another table's can be told to be the same."""
    own = _candidate_names(portion.owners, portion.owner, portion.forms, portion.form)
    number, offer = np.divmod(portion.pair, len(offers))
    return np.append(own, mixed("pair", own[np.searchsorted(portion.number, number)], names_of(offers)[offer]))


def _candidate_names(
    owners: Sequence[str], owner: IntArray, forms: Sequence[Configuration], form: npt.NDArray[np.int64 | np.int32]
) -> IntArray:
    return mixed("candidate", names_of(owners)[owner], names_of(map(repr, forms))[form])


def _taken(table: CandidateTable, number: IntArray, pair: IntArray, dominated: int) -> Portion:
    """Take candidates, and pairs of them."""
    places, form = np.unique(table.form[number], return_inverse=True)
    owner = table.workload[number]
    row = table.option_row[number]
    rate = np.zeros((len(number), table.load.shape[1]))
    for w in np.unique(owner):
        mine = owner == w
        rates = table.options[w].rate_per_s
        rate[mine, : rates.shape[1]] = rates[row[mine]]
    names = ("rank", "accelerator", "size", "accuracy", "kept", "load")
    return Portion(
        owners=tuple(o.name for o in table.owners),
        forms=tuple(table.forms[f] for f in places.tolist()),
        number=number,
        owner=owner,
        form=form.reshape(-1),
        table={name: getattr(table, name)[number] for name in names} | {"rate_per_s": rate},
        queues={k: table.queues[k] for k in number.tolist() if k in table.queues} if table.queues else {},
        pair=pair,
        judged=Counter(kept=len(table), dominated=dominated),
        refused=table.refused,
    )


def joined_table(instance: Instance, portions: Sequence[Portion], known: Performance | None = None) -> CandidateTable:
    """Put portions together to a candidate table of the whole, in its canonical order; nothing outside them is in it.

    ``known`` is what replicas can do in a part of the question, where that was worked out before.
    """
    base = unjudged(instance, known)
    place, n_offers = {o.name: n for n, o in enumerate(base.owners)}, len(base.offers)
    forms, form = _listed([(p.forms, p.form) for p in portions])
    owner = np.concatenate([np.array([place[name] for name in p.owners], dtype=np.int64)[p.owner] for p in portions])
    order = np.argsort(owner, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    first = np.cumsum([0, *(len(p.number) for p in portions)])
    pairs, queues = list[IntArray](), dict[int, Queue]()
    for begin, p in zip(first, portions, strict=False):
        number, offer = np.divmod(p.pair, n_offers)
        pairs.append(rank[begin + np.searchsorted(p.number, number)] * n_offers + offer)
        queues |= {int(rank[begin + np.searchsorted(p.number, k)]): queue for k, queue in p.queues.items()}
    classes = base.rates.shape[1]
    columns = {name: np.concatenate([_widened(p.table[name], classes) for p in portions])[order] for name in portions[0].table}
    owner, form = owner[order], form[order]
    start = np.searchsorted(owner, np.arange(len(base.owners) + 1))
    rate = columns.pop("rate_per_s")
    options = tuple(
        _options(
            base, w, forms, form[a:b], rate[a:b], columns["rank"][a:b], {k - a: queues[k] for k in range(a, b) if k in queues}
        )
        for w, (a, b) in enumerate(zip(start[:-1].tolist(), start[1:].tolist(), strict=True))
    )
    judged: Counter[str] = sum((p.judged for p in portions), Counter())
    return base.table(
        options,
        forms=forms,
        workload=owner,
        option_row=np.arange(len(owner)) - start[owner],
        form=form,
        refused=sum((p.refused for p in portions), Counter()),
        reasons=tuple,
        among=np.sort(np.concatenate(pairs)),
        judged=judged,
        **columns,
    )


def _listed(lists: Sequence[tuple[tuple[Configuration, ...], IntArray]]) -> tuple[tuple[Configuration, ...], IntArray]:
    """Give the forms of several lists, each once, and the place among them of all that the lists choose."""
    place = dict[Configuration, int]()
    chosen = [np.array([place.setdefault(f, len(place)) for f in forms], dtype=np.int64)[form] for forms, form in lists]
    return tuple(place), np.concatenate(chosen)


def _widened(column: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.generic]:
    return column if column.ndim == 1 else np.pad(column, ((0, 0), (0, classes - column.shape[1])))


def _options(
    base: Unjudged,
    owner: int,
    forms: tuple[Configuration, ...],
    form: IntArray,
    rate: FloatArray,
    rank: IntArray,
    queues: Mapping[int, Queue],
) -> OptionTable:
    """Give the options of an owner that are left; evidence is looked up anew where it is asked for."""
    rates = rate[:, : len(base.owners[owner].classes)]
    return OptionTable(
        forms=forms,
        form=form,
        rates=lambda: rates,
        rank=rank,
        refused={},
        estimate=partial(_estimate, base, owner, forms, form),
        reasons=tuple,
        queues=queues,
        is_of_sheet=True,
    )


def _estimate(base: Unjudged, owner: int, forms: tuple[Configuration, ...], form: IntArray, row: int) -> ReplicaEstimate:
    found = base.performance.estimate(base.owners[owner], forms[int(form[row])])
    assert isinstance(found, ReplicaEstimate)
    return found
