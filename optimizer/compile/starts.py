"""Starts and stops: what it costs that a pool has more or fewer replicas on an offer than in the period before.

A column counts the starts (or stops) of one pool on one offer into one period; the month comes round: the first period follows
the last. There are columns only where something is priced, and none with a single period.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.compile.candidates import REPLICA_FIELDS, CandidateTable
from optimizer.compile.offers import matching_offers, offer_facts
from optimizer.costs.starts import changes_usd_per_hour, start_usd
from optimizer.instance import StartPrice

__all__ = ["StartPrices", "Steps", "start_steps", "started_usd_per_hour"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StartPrices:
    """What the instance charges for starts and stops, laid out over candidates and offers; empty with a single period.

    ``candidate`` has shape (n_prices, n_candidates) and ``offer`` (n_prices, n_offers): the two parts of a match. ``warm``, of
    the latter shape, is what the warm-up of one accelerator costs on an offer, USD.
    """

    entries: tuple[StartPrice, ...]
    candidate: npt.NDArray[np.bool_]
    offer: npt.NDArray[np.bool_]
    warm: FloatArray
    usd_per_start: FloatArray
    usd_per_stop: FloatArray

    @classmethod
    def of(cls, table: CandidateTable) -> StartPrices:
        """Lay out the prices of an instance; those that charge nothing are left out."""
        offers, entries = table.offers, [s for s in table.instance.starts if len(table.instance.periods) > 1]
        entries = [s for s in entries if s.usd_per_start + s.usd_per_stop + s.warm_up_hours > 0]
        facts = offer_facts(list(zip(offers.offers, offers.prices, strict=True)), table.instance)
        rent = np.where(offers.committed, 0.0, offers.heads["compute"]) / np.maximum(offers.size, 1)
        candidate = [table.matching(s.when, REPLICA_FIELDS) for s in entries]
        offer = [matching_offers(s.when, facts, len(offers)) for s in entries]
        sold = np.array(offer, dtype=bool).reshape(len(entries), len(offers))
        return cls(
            entries=tuple(entries),
            candidate=np.array(candidate, dtype=bool).reshape(len(entries), len(table)),
            offer=sold,
            warm=np.array([s.warm_up_hours for s in entries])[:, None] * rent * sold,
            usd_per_start=np.array([s.usd_per_start for s in entries], dtype=np.float64),
            usd_per_stop=np.array([s.usd_per_stop for s in entries], dtype=np.float64),
        )

    def __len__(self) -> int:
        """Give the number of prices."""
        return len(self.entries)

    @cached_property
    def no_dearer(self) -> npt.NDArray[np.bool_]:
        """Say where starts and stops on one offer cost no more than on another, [one, other]; shape (n_offers, n_offers)."""
        found = np.ones((self.offer.shape[1],) * 2, dtype=bool)
        for charged, warm in zip(self.offer, self.warm, strict=True):
            found &= (~charged[:, None] | charged[None, :]) & (warm[:, None] <= warm[None, :])
        return found

    def of_pairs(self, table: CandidateTable, candidate: IntArray, offer: IntArray) -> tuple[FloatArray, FloatArray]:
        """Give what a start and a stop of each (candidate, offer) cost, USD; shape (n_pairs,) each."""
        charged = self.candidate[:, candidate] & self.offer[:, offer]
        warm = np.where(charged, self.warm[:, offer] * table.size[candidate], 0.0).sum(axis=0)
        return np.asarray(start_usd(self.usd_per_start @ charged) + warm), np.asarray(self.usd_per_stop @ charged)


@dataclass(frozen=True, eq=False)
class Steps:
    """Columns that count how many more (``sign`` 1) or fewer (-1) replicas ``now`` has than ``held`` and column ``before``.

    ``before`` is -1 where there is none to compare with. Shapes (n_columns,); ``usd_per_hour`` is the price of one.
    """

    now: IntArray
    before: IntArray
    held: IntArray
    sign: IntArray
    usd_per_hour: FloatArray

    @classmethod
    def none(cls) -> Steps:
        """Give no columns."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty, empty.astype(np.float64))

    def __len__(self) -> int:
        """Give the number of columns."""
        return len(self.now)

    def of_replicas(self, replicas: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the least values of the columns that replica counts allow."""
        before = np.where(self.before >= 0, replicas[self.before], 0) + self.held
        return np.asarray(np.maximum(self.sign * (replicas[self.now] - before), 0))

    def upper(self, replicas: FloatArray) -> FloatArray:
        """Give bounds of the columns from those of the replicas."""
        before = np.where(self.before >= 0, replicas[self.before], 0.0) + self.held
        return np.where(self.sign > 0, np.maximum(replicas[self.now] - self.held, 0.0), before)


def start_steps(
    table: CandidateTable, prices: StartPrices, pool: IntArray, candidate: IntArray, offer: IntArray, period: IntArray
) -> Steps:
    """Lay out the columns for replica columns given by pool, candidate, offer and period; every pair has every period."""
    if not len(prices):
        return Steps.none()
    cyclic = np.lexsort((period, offer, pool)).reshape(-1, len(table.hours_share))
    usd = prices.of_pairs(table, candidate[cyclic[:, 0]], offer[cyclic[:, 0]])
    often = np.array([p.per_month for p in table.instance.periods])
    parts = []
    for sign, each in zip((1, -1), usd, strict=True):
        pairs = cyclic[each > 0]
        price = changes_usd_per_hour(1.0, each[each > 0][:, None], often).reshape(-1)
        parts.append((pairs.reshape(-1), np.roll(pairs, 1, axis=1).reshape(-1), np.full(pairs.size, sign), price))
    now, before, signs, price = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Steps(now, before, np.zeros_like(now), signs, price)


def started_usd_per_hour(
    table: CandidateTable, prices: StartPrices, candidate: int, offer: IntArray, replicas: IntArray
) -> FloatArray:
    """Give what starts and stops of a candidate cost that follows demand by ``replicas`` a period, on each offer."""
    start, stop = prices.of_pairs(table, np.full(len(offer), candidate), offer)
    often = np.array([p.per_month for p in table.instance.periods])
    change = replicas - np.roll(replicas, 1)
    up, down = (changes_usd_per_hour(np.maximum(sign * change, 0), 1.0, often).sum() for sign in (1, -1))
    return np.asarray(start * up + stop * down)
