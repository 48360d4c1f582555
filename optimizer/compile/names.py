"""Names of columns that outlive a change of the question: numbers made of what a column is, not of where it stands.

A name is 56 bits of a hash, few enough for any JSON reader. Two columns of a million share one with a probability of 1e-5, so
that whoever follows names must check where they lead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from optimizer.compile.columns import Columns
from optimizer.compile.in_force import candidate_key

__all__ = ["column_names", "mixed", "names_of"]

IntArray = npt.NDArray[np.int64]
UNUSED_BITS = np.uint64(8)
FACTOR, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


def names_of(texts: Iterable[str]) -> IntArray:
    """Give the name of each text; shape (n_texts,)."""
    raw = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return (np.frombuffer(raw, "<u8") >> UNUSED_BITS).astype(np.int64)


def mixed(kind: str, *parts: IntArray) -> IntArray:
    """Give the name of each thing of a kind made of named or numbered parts; shape that of a part."""
    found = np.broadcast_to(names_of([kind]).astype(np.uint64), parts[0].shape)
    for part in parts:
        found = (found ^ part.astype(np.uint64)) * FACTOR
        found = found ^ (found >> SHIFT)
    return (found >> UNUSED_BITS).astype(np.int64)


def column_names(columns: Columns) -> IntArray:
    """Name every column of a compiled question; shape (n_columns,), in the order of ``Columns``."""
    table, losses = columns.table, columns.losses
    n_offers, periods = len(table.offers), names_of(p.name for p in table.instance.periods)
    offer, region = names_of(map(table.offers.label, range(n_offers))), names_of(table.offers.regions)
    candidates, at = np.unique(columns.pool_candidate, return_inverse=True)
    pool = mixed("pool", names_of(repr(candidate_key(table, k)) for k in candidates.tolist())[at], region[columns.pool_region])
    classes = _class_names(columns)
    workload, number = columns.routing_workload, columns.routing_number
    n = mixed("n", pool[columns.replica_pool], offer[columns.replica_offer], periods[columns.replica_period])
    r = mixed("r", offer[columns.commit_offer])
    f = mixed("f", pool[columns.routing_pool], classes[workload, number], periods[columns.routing_period])
    demand, period = np.divmod(columns.shed.demand, columns.n_periods)
    at_pool, at_period = np.divmod(columns.queues.cell, columns.n_periods)
    queue = mixed("cell", pool[at_pool], periods[at_period])
    event = mixed("event", _event_names(columns, pool)[losses.event], pool[losses.pool], periods[losses.period])
    runs = columns.training.runs
    parts = [
        n,
        mixed("i", offer[columns.instance_offer], periods[columns.instance_period]),
        r,
        names_of(f"y {s.head}: {s.name}" for s in (columns.switches.switches[j] for j in columns.switch)),
        names_of(f"x {columns.training.label(j)} {run.form.compression}" for j, run in enumerate(runs)),
        f,
        mixed("s", n[columns.starts.now], columns.starts.sign),
        mixed("m", n[columns.moves.now], columns.moves.sign),
        mixed("u", classes.reshape(-1)[demand], periods[period]),
        names_of(["changed"] * (columns.first_lot - columns.first_changed)),
        mixed("l", r[columns.lot_commit]),
        *(mixed(letter, queue, columns.queues.first) for letter in "de"),
        event[losses.victim],
        *(mixed(letter, event[losses.pieces.cell], losses.pieces.first) for letter in "de"),
        mixed("g", event[losses.route_cell], f[losses.route]),
    ]
    return np.concatenate(parts)


def _class_names(columns: Columns) -> IntArray:
    """Name every class of every workload; shape (n_workloads, n_classes), 0 beyond the last class."""
    table = columns.table
    found = np.zeros((len(table.workloads), table.load.shape[1]), dtype=np.int64)
    for w, workload in enumerate(table.workloads):
        found[w, : len(workload.classes)] = names_of(f"{workload.name}/{c.name}" for c in workload.classes)
    return found


def _event_names(columns: Columns, pool: IntArray) -> IntArray:
    """Name every event; one that is of a pool is told by the pool's name, not its number."""
    events = columns.losses.events
    lost = names_of(f"{e.kind} {e.replicas} {e.lost if e.pool < 0 else ''}" for e in events)
    of = np.array([e.pool for e in events], dtype=np.int64)
    return np.where(of >= 0, mixed("of pool", lost, pool[of]), lost) if len(of) else lost
