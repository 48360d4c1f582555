"""How large questions may be: writes docs/performance.md, each section from one run on this machine.

Run from the project's folder: ``python -m tests.benchmarks.scale [SECTION ...]``; sections are ``whole sliced stages growth``
and ``warm spread day shipped aims``. Sections not asked for stay as they were. Solves run one after another in this process, wall
seconds; a machine that others load shows in the first line of a section, and then only the ratios mean something.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from joblib.externals.loky import get_reusable_executor

from optimizer.compile import candidate_table, compile_table
from optimizer.decode import decode
from optimizer.errors import NoPlanError
from optimizer.instance import Instance
from optimizer.interop import melange_document
from optimizer.pipeline import Options, allocate
from optimizer.plan import Plan
from optimizer.read import load_instance
from optimizer.solve import Learned, solve_compiled
from optimizer.solve.search import Search
from optimizer.solve.workers import Question, Workers
from optimizer.synthetic import synthetic_document
from optimizer.verify import verify_plan
from solvers import Model, Solution
from tests.benchmarks.compile import against_others, held_mib
from tests.optimizer.servers import started

PAGE = Path("docs/performance.md")
SHIPPED = ("nlp", "cv", "recommendation", "dialogue", "science", "company", "tutor", "claims", "helpline")
HEAD = """# Performance: how large questions may be

Written by `python -m tests.benchmarks.scale`; do not edit. Instances are those of `allocate generate --shared-supply`: 13
types of accelerator in 3 regions, on demand and spot, 10 request classes, half of the wanted supply. Gaps are those of the
plans: exact cost against the safe bound. Every plan below passed verification. What no section shows, or one that is
missing, is not shown to be met. Section (c) is of the whole model, not of shards. What was aimed at and is not
reached: a first plan of 1,000 in a tenth of the default time limit (docs/scale.md, which tells how much machines differ, too);
on the slower of them, 200 within 0.2 % in 20 s, 1,000 in 120 s in every run, and ten times the workloads in 12 times the time;
a warm start in 15 % of a cold one (e), in most cases; and selection 50 times as fast as CBC (b), which is so only where CBC
struggles with the slices: elsewhere it takes some tenths of a second, and estimates, plan and verification keep ours above a
twentieth.
"""


def question(workloads: int, seed: int = 7, periods: int = 1) -> Instance:
    """Give a synthetic instance with shared supply."""
    document = synthetic_document(workloads, seed, shared_supply=True, periods=periods)
    return Instance.model_validate_json(json.dumps(document))


def solved(instance: Instance, **options: Any) -> tuple[Plan | None, float]:
    """Give the plan, or None where a limit came first, and the wall seconds of everything after the file is read."""
    started = time.perf_counter()
    try:
        plan = allocate(instance, Options(**options))
    except NoPlanError:
        plan = None
    return plan, time.perf_counter() - started


def told(plan: Plan | None) -> str:
    """Give cost and gap in a cell."""
    if plan is None:
        return "no plan"
    gap = "no bound" if plan.relative_gap is None else f"{plan.relative_gap:.2%}"
    return f"{plan.usd_per_hour:,.2f}, {gap}"


def whole() -> Iterator[str]:
    """(a) Compare price and branch with the whole model handed to a solver, at equal time."""  # noqa: D401
    solvers = "cbc", "ortools", "ortools:scip"
    yield "USD/h and gap after the time stated for the solver; each in a process of its own.\n"
    yield "| workloads | s | CBC, whole | HiGHS, whole | SCIP, whole | price and branch |\n|--:|--:|--:|--:|--:|--:|"
    for workloads, seconds in ((20, 30), (100, 60), (1000, 120)):
        asked = [(backend, "direct") for backend in solvers] + [("ortools", "decompose")]
        cells = [fresh(one_of_whole, workloads, seconds, *way) for way in asked]
        yield f"| {workloads:,} | {seconds} | " + " | ".join(cells) + " |"


def fresh(one: Callable[..., str], *arguments: object) -> str:
    """Give what one of the functions of ``FRESH`` says in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", one.__name__, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()[-1]


def one_of_whole(workloads: str, seconds: str, backend: str, method: str) -> str:
    """Ask one question in one way."""
    wishes = {"time_limit_s": float(seconds), "relative_gap": 0.002, "backend": backend, "method": method}
    return told(solved(question(int(workloads)), **wishes)[0])


def selection(seed: int) -> dict[str, Any]:
    """Draw a GPU-selection configuration: 10 x 10 buckets, 4 types, 8 slices; dearer types are better at long requests."""
    rng = np.random.default_rng(seed)
    length, prices = np.add.outer(np.arange(10), np.arange(10)), [0.7, 1.01, 3.67, 7.5]
    speed = [40 * p * np.exp(-length * (0.32 - 0.03 * n)) * rng.uniform(0.9, 1.1, (10, 10)) for n, p in enumerate(prices)]
    gpus = {f"g{n}": {"cost": p, "tputs": s.round(3).tolist()} for n, (p, s) in enumerate(zip(prices, speed, strict=True))}
    shares = rng.dirichlet(np.ones(100)).round(6).reshape(10, 10).tolist()
    return {"gpu_info": gpus, "workload_distribution": shares, "total_request_rate": 64.0, "slice_factor": 8}


def sliced_cost(config: dict[str, Any], limit_s: float) -> tuple[float | None, float]:
    """Solve the published formulation in PuLP with CBC: every slice of a bucket goes to one type; USD/h and wall seconds."""
    import pulp

    gpus, slices, started = config["gpu_info"], config["slice_factor"], time.perf_counter()
    rates = [share * config["total_request_rate"] / slices for row in config["workload_distribution"] for share in row]
    loads = {
        name: [rate / tput for rate, tput in zip(rates, np.ravel(gpu["tputs"]).tolist(), strict=True)]
        for name, gpu in gpus.items()
    }
    places = [(bucket, piece) for bucket in range(len(rates)) for piece in range(slices)]
    problem = pulp.LpProblem("slices", pulp.LpMinimize)
    sent = {(at, name): pulp.LpVariable(f"x_{at[0]}_{at[1]}_{name}", cat="Binary") for at in places for name in gpus}
    count = {name: pulp.LpVariable(f"n_{name}", lowBound=0, cat="Integer") for name in gpus}
    problem += pulp.lpSum(gpu["cost"] * count[name] for name, gpu in gpus.items())
    for at in places:
        problem += pulp.lpSum(sent[at, name] for name in gpus) == 1
    for name in gpus:
        problem += pulp.lpSum(loads[name][at[0]] * sent[at, name] for at in places) <= count[name]
    problem.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=limit_s))
    found = pulp.value(problem.objective) if problem.sol_status in (1, 2) else None
    return found, time.perf_counter() - started


def sliced() -> Iterator[str]:
    """(b) Compare divisible routing with the published sliced GPU selection in PuLP and CBC."""
    seeds = range(5)
    yield f"10 x 10 buckets, 4 types, 8 slices, {len(seeds)} seeds a rate; CBC as published but for a limit of 120 s. Wall"
    yield "seconds in a process that has loaded both, ours with verification: medians, and from least to most. Solving is the"
    yield "solver alone.\n"
    yield "| requests/s | sliced, s | ours, s | of it solving, s | times as fast | 50 times in | cheaper in | dearer in |"
    yield "|--:" * 8 + "|"
    solved(imported(selection(99)), relative_gap=1e-4)
    sliced_cost(selection(99), 1.0)
    ratios = list[float]()
    for rate in (4.0, 16.0, 64.0, 256.0):
        rows = [selected(selection(seed) | {"total_request_rate": rate}) for seed in seeds]
        theirs, mine, solving, saved = (list(column) for column in zip(*rows, strict=True))
        ratios += (faster := [a / b for a, b in zip(theirs, mine, strict=True)])
        cells = [f"{rate:g}", spanned(theirs), spanned(mine), spanned(solving), spanned(faster, 0)]
        counts = [sum(x >= 50 for x in faster), sum(x > 1e-6 for x in saved), sum(x < -1e-6 for x in saved)]
        yield "| " + " | ".join([*cells, *map(str, counts)]) + " |"
    reached = sum(x >= 50 for x in ratios)
    yield f"\nOf {len(ratios)} questions {reached} are planned 50 times as fast; the median is {np.median(ratios):.1f} times."


def imported(config: dict[str, Any]) -> Instance:
    """Give the instance that a GPU-selection configuration becomes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(json.dumps(config))
        return Instance.model_validate_json(json.dumps(melange_document(path)))


def selected(config: dict[str, Any]) -> tuple[float, float, float, float]:
    """Give the wall seconds of the sliced selection, of ours, of our solver, and the USD/h that ours saves."""
    plan, mine = solved(imported(config), relative_gap=1e-4)
    assert plan is not None
    cost, theirs = sliced_cost(config, 120.0)
    return theirs, mine, plan.solve_seconds, np.inf if cost is None else cost - plan.usd_per_hour


def spanned(values: list[float], digits: int = 2) -> str:
    """Give the median, and the least and the most."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def stages() -> Iterator[str]:
    """(c) Time everything but the solver: reading, candidates, model, plan, verification."""
    yield "Processor seconds, and the most memory that the process ever held, solver and all.\n"
    yield "| workloads | file MB | read | candidates | model | plan | verify | columns | GiB |\n" + "|--:" * 9 + "|"
    for workloads in (100, 1000):
        yield fresh(one_of_stages, workloads)
    yield "\nCandidates to a solver's model, against what a user would pick instead:"
    yield from against_others()


def one_of_stages(workloads: str) -> str:
    """Go through all stages once."""
    marks, clock = [], time.process_time
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "instance.json")
        path.write_text(json.dumps(synthetic_document(int(workloads), 7)))
        size, marks = path.stat().st_size / 1e6, [clock()]
        instance = load_instance(path)
    marks.append(clock())
    table = candidate_table(instance)
    marks.append(clock())
    compiled = compile_table(table)
    marks.append(clock())
    solution, _ = solve_compiled(compiled, Options(time_limit_s=600.0, relative_gap=0.3))
    before = clock()
    plan = decode(compiled, solution, method="", requested_gap=0.3, seed=0)
    after = clock()
    passed = verify_plan(instance, plan).passed
    assert passed
    last = [b - a for a, b in pairwise(marks)] + [after - before, clock() - after]
    cells = " | ".join(f"{s:.1f}" for s in last)
    return f"| {workloads} | {size:.0f} | {cells} | {compiled.model.n_columns:,} | {held_mib('VmHWM') / 2**10:.1f} |"


def growth() -> Iterator[str]:
    """(d) Time growing questions to a gap of 1 %."""
    yield "Wall seconds from the instance to the verified plan, and the most memory of the main process and of all processes"
    yield "together, looked at twice a second, what they share counted once. The solver stops after 800 s.\n"
    yield "| workloads | s | USD/h, gap | times the one before | GiB, main | GiB, all |\n|--:|--:|--:|--:|--:|--:|"
    before = None
    for workloads in (100, 1000, 10_000):
        seconds, cells = fresh(one_of_growth, workloads).split(" | ", 1)
        ratio = "" if before is None else f"{float(seconds) / before:.1f}"
        before = float(seconds)
        yield f"| {workloads:,} | {seconds} | {cells.replace('RATIO', ratio)} |"


def one_of_growth(workloads: str) -> str:
    """Solve one size."""
    samples, is_over = [0.0], threading.Event()

    def sample() -> None:
        while not is_over.wait(0.5):
            samples.append(together_mib())

    watcher = threading.Thread(target=sample)
    watcher.start()
    plan, seconds = solved(question(int(workloads)), time_limit_s=800.0, relative_gap=0.01)
    is_over.set()
    watcher.join()
    return f"{seconds:.0f} | {told(plan)} | RATIO | {held_mib('VmHWM') / 2**10:.1f} | {max(samples) / 2**10:.1f}"


def together_mib() -> float:
    """Give what this process and its descendants hold together, MiB; what several share counts once."""
    parents, family, total = dict[int, int](), {os.getpid()}, 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    for process in family:
        with suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found.group(1)) if found else 0
    return total / 2**10


WARM = (200, 7, 0.01), (200, 8, 0.01), (200, 8, 0.002), (200, 9, 0.002), (1000, 7, 0.01), (1000, 7, 0.002)
"""Workloads, seed, gap asked."""


def warm() -> Iterator[str]:
    """(e) Start from what an earlier solve learned and from nothing, 1 % of the workloads having changed."""
    yield "One workload of a hundred with a tenth more demand; wall seconds to the verified plan, and what backends take.\n"
    names = ("workloads", "seed", "gap asked", *("s", "backends s", "USD/h, gap") * 2, "of cold", "known")
    yield f"| {' | '.join(names)} |\n" + "|--:" * len(names) + "|"
    for workloads, seed, gap in WARM:
        document, kept = synthetic_document(workloads, seed, shared_supply=True), list[Learned]()
        before = Instance.model_validate_json(json.dumps(document))
        for workload in document["workloads"][seed::100]:
            for entry in workload["classes"]:
                entry["rate"]["value"] *= 1.1
        after = Instance.model_validate_json(json.dumps(document))
        options = Options(relative_gap=gap, time_limit_s=120.0)
        allocate(before, options, on_learned=kept.append)
        (cold, cold_s), (found, warm_s) = (timed(after, options, learned) for learned in (None, kept[-1]))
        known = found.method.rpartition("from ")[2]
        times = [f"{s:.1f} | {plan.solve_seconds:.1f} | {told(plan)}" for plan, s in ((cold, cold_s), (found, warm_s))]
        yield f"| {workloads:,} | {seed} | {gap:.1%} | {' | '.join(times)} | {warm_s / cold_s:.0%} | {known} |"


def timed(instance: Instance, options: Options, learned: Learned | None) -> tuple[Plan, float]:
    """Give the plan and the wall seconds that it took, processes started for it included."""
    get_reusable_executor().shutdown(wait=True)
    started = time.perf_counter()
    plan = allocate(instance, options, learned=learned)
    return plan, time.perf_counter() - started


@dataclass
class Seen:
    """What travels between those who ask for blocks and those who solve them, and the masters in between."""

    asked_bytes: list[int] = field(default_factory=list)
    answer_bytes: list[int] = field(default_factory=list)
    built_s: list[float] = field(default_factory=list)
    solved_s: list[float] = field(default_factory=list)
    masters: list[tuple[int, int, int, float]] = field(default_factory=list)

    def solved(self, instance: Instance, **options: Any) -> tuple[Plan | None, float]:
        """Solve in this process alone and note; the seconds are those of ``solved``."""
        answers, solve = Workers.answers, Search.solve

        def asking(questions: Iterable[Question]) -> Iterator[Question]:
            coming, clock = iter(questions), time.process_time
            while True:
                started = clock()
                if (question := next(coming, None)) is None:
                    return
                self.asked_bytes.append(len(pickle.dumps(question, 5)))
                self.built_s.append(clock() - started)
                yield question

        def noted(workers: Workers, questions: Iterable[Question]) -> Generator[Solution]:
            started = time.process_time()
            for answer in answers(workers, asking(questions)):
                self.solved_s.append(time.process_time() - started - self.built_s[-1])
                self.answer_bytes.append(len(pickle.dumps(answer, 5)))
                yield answer
                started = time.process_time()

        def mixed(search: Search, model: Model, gap: float, **wishes: Any) -> Solution:
            found = solve(search, model, gap, **wishes)
            if wishes.get("duals"):
                self.masters.append((model.n_rows, model.n_columns, model.n_nonzeros, found.solve_seconds))
            return found

        with patch.object(Workers, "answers", noted), patch.object(Search, "solve", mixed):
            return solved(instance, **options)

    def told(self) -> Iterator[str]:
        """Give a table of what was noted."""
        yield "\n| of a block | median | largest | of all |\n|---|--:|--:|--:|"
        kinds = {"bytes of the question": self.asked_bytes, "bytes of the answer": self.answer_bytes}
        for name, found in kinds.items():
            yield f"| {name} | {np.median(found):,.0f} | {max(found):,} | {sum(found):,} |"
        for name, spent in (("building and packing it", self.built_s), ("solving it", self.solved_s)):
            yield f"| processor seconds {name} | {np.median(spent):.4f} | {max(spent):.3f} | {sum(spent):.1f} |"
        rows, columns, nonzeros, _ = max(self.masters, key=lambda master: master[2])
        longest = max(seconds for *_, seconds in self.masters)
        yield f"\nLargest master: {rows:,} rows, {columns:,} columns, {nonzeros:,} non-zeros; the slowest took {longest:.2f} s."


def spread(workloads: int = 100, gap: float = 0.005) -> Iterator[str]:
    """(f) Solve blocks in one process, in two, and on a Dask cluster with two workers on this machine."""
    yield f"{workloads} workloads to a gap of {gap:.1%}; wall seconds from instance to verified plan, with the start of processes"
    yield "and the connection, but not of the cluster. Processor seconds are those of the main process.\n"
    yield "| blocks solved in | s | times as fast | processor s | USD/h, gap | backend calls |\n|---|--:|--:|--:|--:|--:|"
    instance, seen, slowest = question(workloads), Seen(), 0.0
    asked: dict[str, Any] = {"relative_gap": gap, "time_limit_s": 300.0, "method": "decompose"}
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as servers:
        for name, processes, address in (("1 process", 1, None), ("2 processes", 2, None), ("Dask", 1, servers.address)):
            solve, before = (seen.solved if name == "1 process" else solved), time.process_time()
            with patch("optimizer.solve.search.processes_for", lambda _, n=processes: n):
                plan, seconds = solve(instance, cluster=address, **asked)
            slowest, used = slowest or seconds, time.process_time() - before
            calls = "" if plan is None else re.findall(r"(\d+) backend calls", plan.method)[0]
            yield f"| {name} | {seconds:.0f} | {slowest / seconds:.2f} | {used:.0f} | {told(plan)} | {calls} |"
    yield from seen.told()


def day() -> Iterator[str]:
    """(g) Plan 200 workloads through 24 periods."""
    instance = question(200, periods=24)
    plan, seconds = solved(instance, relative_gap=0.01, time_limit_s=300.0)
    yield f"{told(plan)} (USD/h, gap) after {seconds:.0f} s in all; the solver's limit was 300 s, the gap asked 1 %."


def shipped() -> Iterator[str]:
    """(h) Ask both backends the shipped questions."""
    yield "Gap 0.5 % asked, 110 s. The intervals [bound, cost] of both backends hold the best plan, so they must overlap.\n"
    yield "| question | backend | USD/h | of it chosen | bound | gap | wall s | stopped by | overlap |"
    yield "|---|---|--:|--:|--:|--:|--:|---|---|"
    for name in SHIPPED:
        instance, ends = load_instance(f"instances/{name}.json"), list[tuple[float, float]]()
        for backend in ("ortools", "cbc"):
            plan, seconds = solved(instance, backend=backend, relative_gap=0.005, time_limit_s=110)
            if plan is None:
                yield f"| {name} | {backend} | no plan | | | | {seconds:.0f} | time | |"
                continue
            bound = "null" if plan.bound_usd is None else f"{plan.bound_usd:,.4f}"
            gap = "null" if plan.relative_gap is None else f"{plan.relative_gap:.2%}"
            ends.append((-np.inf if plan.bound_usd is None else plan.bound_usd, plan.objective_usd))
            overlap = "" if len(ends) < 2 else "yes" if max(b for b, _ in ends) <= min(c for _, c in ends) else "NO"
            cells = f"{plan.usd_per_hour:,.4f} | {plan.objective_usd:,.4f} | {bound} | {gap} | {seconds:.0f}"
            yield f"| {name} | {backend} | {cells} | {plan.stopped_by or 'proof'} | {overlap} |"


def aims() -> Iterator[str]:
    """(i) Ask for a gap of 0.2 % of 20 workloads, several seeds, of 200 and of 1,000."""
    yield "Wall seconds from the instance to the verified plan; limits: 30 s for 20 workloads, 120 s for 200, 240 s beyond.\n"
    yield "| workloads | seed | s | USD/h, gap | backend calls |\n|--:|--:|--:|--:|--:|"
    for workloads, seeds, limit in ((20, range(1, 21), 30.0), (200, (7, 8, 9), 120.0), (1000, (7,), 240.0)):
        for seed in seeds:
            plan, seconds = solved(question(workloads, seed), time_limit_s=limit, relative_gap=0.002)
            calls = "" if plan is None else re.findall(r"(\d+) backend calls", plan.method)[0]
            yield f"| {workloads} | {seed} | {seconds:.0f} | {told(plan)} | {calls} |"


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    f.__name__: f for f in (whole, sliced, stages, growth, warm, spread, day, shipped, aims)
}

FRESH = (one_of_whole, one_of_stages, one_of_growth)
"""What runs in a process of its own."""


def run_here() -> str:
    """Say on what and when a section was made."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    chip = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = os.getloadavg()[0]
    shared = f", which others loaded ({load:.0f} processes wanted to run)" if load > (os.cpu_count() or 1) + 1 else ""
    return f"Commit {commit}, {os.cpu_count()} cores of {chip.group(1) if chip else 'an unnamed chip'}{shared}.\n"


def main() -> None:
    """Make the sections asked for and write the page."""
    for one in FRESH:
        if sys.argv[1:2] == [one.__name__]:
            sys.stdout.write(one(*sys.argv[2:]) + "\n")
            return
    asked = sys.argv[1:] or list(SECTIONS)
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    for name in asked:
        title = (SECTIONS[name].__doc__ or name).rstrip(".")
        kept[title] = "\n".join([title, "", run_here(), *SECTIONS[name]()]) + "\n"
        PAGE.write_text("\n## ".join([HEAD, *(part.rstrip() + "\n" for _, part in sorted(kept.items()))]), encoding="utf-8")


if __name__ == "__main__":
    main()
