"""Write docs/fidelity.md: how far estimates lie from measurements they were not shown. ``python tests/benchmarks/fidelity.py``.

Every fold takes closed-loop points out of the shipped catalogs, fits everything anew (constants, corrections, bands) to what is
left, and estimates the points taken out through the same function as ``allocate estimate``. Nothing is random; five minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from optimizer.catalog import LoadKind, Profile  # noqa: E402
from optimizer.catalog.efficiencies import Efficiencies  # noqa: E402
from optimizer.instance import Catalogs  # noqa: E402
from optimizer.performance.combined import estimate_points  # noqa: E402
from optimizer.performance.fit import fit  # noqa: E402
from optimizer.performance.lookup import Lookup  # noqa: E402
from optimizer.performance.measured import measured_points  # noqa: E402
from optimizer.performance.points import rate_of  # noqa: E402
from optimizer.performance.roofline import Roofline  # noqa: E402
from optimizer.read import load_catalogs  # noqa: E402

QUANTITIES = {"rate": "output tokens/s", "tpot": "TPOT", "ttft": "TTFT"}
INTERIOR_FOLDS = 3
AIMS = {
    "interior": (0.05, 0.15),
    "variant": (0.20, 0.50),
    "accelerator": (0.20, 0.50),
    "network": (0.20, 0.50),
    "family": (0.20, 0.50),
}
TITLES = {
    "interior": "one interior concurrency of each known curve",
    "variant": "all points of one (model, precision)",
    "accelerator": "all closed-loop points of one accelerator",
    "network": "all points of one model, at every precision",
    "family": "all closed-loop points of one accelerator family",
}


@dataclass(frozen=True)
class Fold:
    """Profiles left out together, by place in the catalog."""

    case: str
    name: str
    left_out: frozenset[int]


def main() -> None:
    """Run every fold and write the page."""
    catalogs = load_catalogs()
    tables = []
    for fold in folds(catalogs):
        tables.append(judged(catalogs, fold))
        print(f"{fold.case} {fold.name}: {len(tables[-1])} points", file=sys.stderr)
    path = ROOT / "docs" / "fidelity.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(page(pd.concat(tables, ignore_index=True), fit(catalogs)), encoding="utf-8")


def folds(catalogs: Catalogs) -> Iterator[Fold]:
    """Yield the folds of every case in a fixed order."""
    lookup = Lookup(catalogs)
    timed = [place for place, p in enumerate(catalogs.profiles) if _is_timed(p)]
    for turn in range(INTERIOR_FOLDS):
        yield Fold("interior", f"turn {turn + 1}", frozenset(_interior(catalogs.profiles, timed, turn)))

    def network(profile: Profile) -> str:
        model = lookup.models[profile.model]
        return f"{model.layers}-{model.hidden}-{model.heads}-{model.experts}"

    cases: dict[str, Callable[[Profile], str]] = {
        "variant": lambda p: f"{network(p)} {p.precision}",
        "accelerator": lambda p: p.accelerator,
        "network": network,
        "family": lambda p: lookup.accelerators[p.accelerator].family,
    }
    for case, key in cases.items():
        names: dict[str, list[int]] = {}
        for place in timed:
            names.setdefault(key(catalogs.profiles[place]), []).append(place)
        for name, places in sorted(names.items()):
            if any(len(catalogs.profiles[place].latency) == 2 for place in places):
                yield Fold(case, name, frozenset(_twins(catalogs, case, places, key, name)))


def _twins(catalogs: Catalogs, case: str, places: list[int], key: Callable[[Profile], str], name: str) -> list[int]:
    """Add rates without times: gone with a model, kept of an accelerator (an unmeasured accelerator may have such rates)."""
    if case in ("accelerator", "family"):
        return places
    return [place for place, p in enumerate(catalogs.profiles) if p.unit == "tokens/s" and key(p) == name]


def _is_timed(profile: Profile) -> bool:
    return profile.load.kind == LoadKind.CONCURRENCY and bool(profile.latency)


def _interior(profiles: Sequence[Profile], timed: Sequence[int], turn: int) -> list[int]:
    """Take every third interior point of each curve with three loads or more, never two neighbours."""
    curves: dict[tuple[object, ...], list[int]] = {}
    for place in timed:
        p = profiles[place]
        key = (p.model, p.precision, p.accelerator, p.accelerators_per_replica, p.engine, p.engine_version, p.layout)
        curves.setdefault((*key, p.input_tokens, p.output_tokens), []).append(place)
    found = []
    for places in curves.values():
        order = sorted(places, key=lambda place: profiles[place].load.value)
        found += [place for rank, place in enumerate(order[1:-1]) if rank % INTERIOR_FOLDS == turn]
    return found


def judged(catalogs: Catalogs, fold: Fold) -> pd.DataFrame:
    """Fit without a fold and compare its estimates with what was measured, one row a left-out point with both times."""
    kept = tuple(p for place, p in enumerate(catalogs.profiles) if place not in fold.left_out)
    out = tuple(catalogs.profiles[place] for place in sorted(fold.left_out))
    rest = catalogs.model_copy(update={"profiles": kept, "efficiencies": ()})
    rest = rest.model_copy(update={"efficiencies": (fit(rest),)})
    truth = measured_points(out)
    truth = truth.take(np.isfinite(truth.tpot_ms))
    points, found = truth.points, estimate_points(rest, truth.points)
    rate = rate_of(points.concurrency, points.output_tokens, truth.ttft_ms, truth.tpot_ms)
    return pd.DataFrame(
        {
            "case": fold.case,
            "fold": fold.name,
            "model": [Lookup(catalogs).models[name].name for name in points.model],
            "accelerator": points.accelerator,
            "precision": points.precision,
            "engine": points.engine,
            "transfer": Roofline(rest).transfer_of(points),
            "quality": [str(q) for q in found.quality],
            "rate": found.output_tokens_per_s / rate - 1.0,
            "tpot": found.tpot_ms / truth.tpot_ms - 1.0,
            "ttft": found.ttft_ms / truth.ttft_ms - 1.0,
            "is_inside": (found.low <= rate) & (rate <= found.high),
            "width": (found.high - found.low) / (2.0 * found.output_tokens_per_s),
        }
    )


def page(table: pd.DataFrame, fitted: Efficiencies) -> str:
    """Write the page from the table of all left-out points."""
    parts = [HEAD.format(points=len(fitted.anchors.position)), summary(table), COVERAGE, coverage(table)]
    parts += ["## By kind of transfer\n", TRANSFER, by(table[table.case != "interior"], ["transfer"])]
    for case in AIMS:
        part = table[table.case == case]
        columns = ["accelerator", "engine"] if case in ("interior", "accelerator", "family") else ["model", "precision", "engine"]
        parts += [f"## {case.capitalize()}: {TITLES[case]}\n", by(part, columns)]
    parts += [
        BANDS,
        *(f"| {b.transfer} | {b.engine or 'any other'} | {b.low:.2f} | {b.high:.2f} | {b.points} |" for b in fitted.bands),
    ]
    rates = sorted(fitted.accelerator_rates.items(), key=lambda item: item[1])
    parts += [RATES, *(f"| {name} | {np.exp(rate):.2f} |" for name, rate in rates), worst(table), TAIL]
    return "\n".join(parts) + "\n"


def summary(table: pd.DataFrame) -> str:
    """Errors of each case and quantity beside the aims."""
    lines = ["| left out | quantity | points | median error | 90th percentile | aim | met |", "|---|---|--:|--:|--:|---|---|"]
    for case, aim in AIMS.items():
        part = table[table.case == case]
        for quantity, title in QUANTITIES.items():
            error = part[quantity].abs().dropna()
            middle, high = error.median(), error.quantile(0.9)
            is_met = "yes" if middle <= aim[0] and high <= aim[1] else "**no**"
            lines.append(
                f"| {TITLES[case]} | {title} | {len(error)} | {middle:.1%} | {high:.1%} "
                f"| {aim[0]:.0%} / {aim[1]:.0%} | {is_met} |"
            )
    return "\n".join(lines) + "\n"


def coverage(table: pd.DataFrame) -> str:
    """Share of points inside the band, beside its width."""
    lines = ["| left out | points | inside the 90 % band | median half-width | aim met |", "|---|--:|--:|--:|---|"]
    groups = [*((TITLES[case], table[table.case == case]) for case in AIMS), ("all of these", table)]
    for title, part in groups:
        part = part[part.rate.notna()]
        share, width = part.is_inside.mean(), part.width.median()
        is_met = "yes" if 0.85 <= share <= 0.95 and width <= 0.35 else "**no**"
        lines.append(f"| {title} | {len(part)} | {share:.1%} | {width:.1%} | {is_met} |")
    return "\n".join(lines) + "\n"


def by(part: pd.DataFrame, columns: list[str]) -> str:
    """Errors, bias and coverage of the groups of some columns."""
    head = [
        *columns,
        "points",
        "rate: median",
        "90th",
        "bias",
        "TPOT: median",
        "90th",
        "TTFT: median",
        "90th",
        "inside",
        "half-width",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(columns) + "--:|" * (len(head) - len(columns))]
    for key, group in part.groupby(columns, sort=True):
        cells = [str(name) for name in key]
        cells += [
            str(len(group)),
            f"{group.rate.abs().median():.1%}",
            f"{group.rate.abs().quantile(0.9):.1%}",
            f"{group.rate.median():+.1%}",
        ]
        for quantity in ("tpot", "ttft"):
            cells += [f"{group[quantity].abs().median():.1%}", f"{group[quantity].abs().quantile(0.9):.1%}"]
        cells += [f"{group.is_inside.mean():.0%}", f"{group.width.median():.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def worst(table: pd.DataFrame) -> str:
    """List the groups that fail: ten points or more of one model, accelerator, precision and engine."""
    left = table[table.case.isin(["variant", "accelerator"])]
    keys = ["case", "model", "precision", "accelerator", "engine"]
    rows = left.groupby(keys).agg(points=("rate", "size"), error=("rate", lambda x: x.abs().median()), bias=("rate", "median"))
    rows = rows[rows.points >= 10].sort_values("error", ascending=False).head(8).reset_index()
    lines = [
        FAILS,
        "| left out | model | precision | accelerator | engine | points | median error | bias |",
        "|---|---|---|---|---|--:|--:|--:|",
    ]
    for row in rows.itertuples():
        cells = [
            row.case,
            row.model,
            row.precision,
            row.accelerator,
            row.engine,
            row.points,
            f"{row.error:.1%}",
            f"{row.bias:+.1%}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


HEAD = """# Fidelity: how far estimates are from measurements

Written by `python tests/benchmarks/fidelity.py`; do not edit. Every figure is of points that the fit was not shown: for each fold
the constants, the corrections and the bands are fitted anew to what is left ({points} closed-loop points in all), and the points
taken out go through the function behind `allocate estimate`. Errors are |predicted / measured - 1|; bias is signed; rates are
output tokens/s of the whole deployment. Checkpoints of one network (DeepSeek-R1 and V3 have the same runs) are left out together.

## Errors and aims
"""
COVERAGE = """## The band: coverage beside width

`low` and `high` are meant to hold 90 % of measured rates (aim: 85 to 95 %, median half-width no more than 35 % of the rate). They
come from the training part of each fold alone.
"""
TRANSFER = """What the nearest measured point shares with the one asked for. `shape`: its layout; `layout`: network, precision,
accelerator and engine; `sibling`: network, precision and engine, on another accelerator of the family; `precision`: network and
engine on the family, at another precision; `family`: network and engine, on another family; `engine`: the network, under another
engine; `network`: nothing of the network; `stranger`: nothing of the accelerator's family.
"""
BANDS = """## Bands in the shipped catalog

Multiples of the predicted rate. `load` lies between two measured points of one curve; `full load` has no stated concurrency.

| transfer | engine | low | high | points |
|---|---|--:|--:|--:|"""
RATES = """
## Accelerators by their rates

Rate over the rate expected from the figures, beside accelerators with closed-loop points (1.00), from rates held in MLPerf or
reached in a vendor's benchmark. Used only for a family without closed-loop points; a vendor's mean, drawn to 1, for its other
accelerators; the lowest where nothing is known, and for every TPU (no language figure exists for any: quality `assumed`).

| accelerator | rate over expected |
|---|--:|"""
FAILS = """
## What fails, and why

The groups of ten points or more with the largest errors:
"""
TAIL = """Known reasons:

- TTFT carries the scheduler: engines and versions differ by up to 3x on one configuration, some runs on B200 under sglang wait
  seven seconds at every load, and where memory is about full a small change of load moves TTFT tenfold. Its aims are missed for
  points that were carried; inside a curve its median is near the aim and its tail is not.
- Single-concurrency sweeps (Llama-3.1-8B and Qwen3-235B on H200, vllm 0.12 and sglang 0.5.6) contradict one another and the
  physics: with 112 requests of 1,000 + 100 tokens in flight, 11 ms a token is what reading the prompts takes at the card's peak.
- Engine versions matter as much as engines and nobody can know one that was never measured.
- Families without closed-loop points (AMD, TPU, Gaudi, Ada, Ampere) cannot be judged here: leaving out Hopper or Blackwell is the
  nearest thing to it, and both are of one vendor.
- The spread of likenesses was set once in round numbers. A random search over all of them on half of the folds lowered the error
  there and raised it on the other half, so none was kept.
"""

if __name__ == "__main__":
    main()
