"""One night: stages in order, each journalled before the next begins, so that a run that dies is taken up where it stood.

started → fed → solved → verified → guarded → published. A stage's result is in the store before the stage counts as reached; a
run taken up again uses it instead of working it out anew. The plan in force changes at one moment only, when the pointer moves.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from optimizer.errors import AllocationError, CheckFailedError, InfeasibleError, Problem, UnavailableError, UsageError
from optimizer.instance import Instance
from optimizer.nightly.config import NightlyConfig
from optimizer.nightly.feeds import fetch
from optimizer.nightly.forecast import Forecast, forecast, history_of
from optimizer.nightly.guards import GUARDS, refusals
from optimizer.nightly.lock import held
from optimizer.nightly.publish import Outcome, announce, in_force, publish, sweep
from optimizer.nightly.question import tonights
from optimizer.nightly.store import STAGES, Run, Store, now_text
from optimizer.pipeline import Cancel, Options, allocate, allocate_simulated, verified
from optimizer.plan import Plan
from optimizer.read import load_instance
from optimizer.report.changes import Difference, difference, reasons_of
from optimizer.solve import Learned

__all__ = ["Night", "run_night"]

log = logging.getLogger(__name__)
FAULT = "ALLOCATE_FAULT"
"""``after:STAGE`` in the environment kills the process there: how tests prove that a run survives."""


@dataclass
class Night:
    """One run: what it is told, and what it has found so far."""

    config: NightlyConfig
    store: Store
    day: str
    now: datetime
    tell: Callable[[str], None]
    overrides: Mapping[str, str] = field(default_factory=dict)
    cancel: Cancel | None = None
    flags: list[str] = field(default_factory=list)


def run_night(
    config: NightlyConfig,
    *,
    day: str | None = None,
    now: datetime | None = None,
    overrides: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = log.info,
    cancel: Cancel | None = None,
) -> Outcome:
    """Run one night and give how it ended; every ending is journalled, measured and announced.

    Parameters
    ----------
    day : the day planned for, ISO 8601; that of the instance's zone now if None
    now : the moment that ages are counted from; the clock's if None
    overrides : guards that may not refuse tonight, with the reason that is recorded
    tell : called with one line a stage

    Raises
    ------
    AllocationError : what stopped the run, with its exit code; the last plan stays in force
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    if unknown := set(overrides or {}) - set(GUARDS):
        raise UsageError(f"no guard {', '.join(sorted(unknown))}; known are {', '.join(GUARDS)}")
    with held(config.state_folder / "lock"):
        outcome = Outcome(day=day or "", exit_code=1, message="")
        try:
            base = load_instance(config.at(config.instance))
            if config.change is not None:
                base = base.replace(policy=base.policy.model_copy(update={"change": config.change}))
            outcome.day = day or now.astimezone(ZoneInfo(base.time_zone)).date().isoformat()
            with Store(config.store_url) as store, store.alone():
                _run(Night(config, store, outcome.day, now, tell, dict(overrides or {}), cancel), base, outcome)
            outcome.exit_code = 0
            return outcome
        except AllocationError as error:
            outcome.exit_code, outcome.message = error.exit_code, str(error)
            raise
        except KeyboardInterrupt:
            outcome.exit_code, outcome.message = 130, "interrupted"
            raise
        except BaseException as error:
            outcome.message = f"{type(error).__name__}: {error}"
            raise
        finally:
            if outcome.exit_code != 0 and outcome.plan is None:
                outcome.plan, _ = in_force(config)
            outcome.last_success = _last_success(config)
            for failed in announce(config, outcome):
                tell(f"cannot announce: {failed}")


def _last_success(config: NightlyConfig) -> float | None:
    try:
        pointer = json.loads((config.plans_folder / "latest.json").read_text(encoding="utf-8"))
        return datetime.fromisoformat(pointer["published_at"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _run(night: Night, base: Instance, outcome: Outcome) -> None:
    config, store = night.config, night.store
    if swept := sweep(config.plans_folder):
        night.flags.append(f"{swept} half-written files of a killed run removed")
    settings = hashlib.sha256(f"{config.hash} {base.hash} {_versions()}".encode()).hexdigest()
    run = store.begin_run(night.day, settings, json.dumps(night.overrides, sort_keys=True))
    number = int(run["id"])
    taken_up = STAGES.index(run["stage"]) > 0
    night.tell(f"started: run {number} for {night.day}" + (f", taken up after {run['stage']}" if taken_up else ""))
    _fault("started")
    try:
        _stages(night, base, run, outcome)
        store.end_run(number, 0, outcome.message)
    except AllocationError as error:
        outcome.flags = night.flags
        _end_quietly(store, number, error.exit_code, str(error))
        raise
    if forgotten := store.forget(config.keep_days):
        night.tell(f"forgot {forgotten} runs older than {config.keep_days} days")


def _end_quietly(store: Store, number: int, exit_code: int, message: str) -> None:
    try:
        store.end_run(number, exit_code, message)
    except UnavailableError as error:
        log.warning("the end of run %d is not recorded: %s", number, error)


def _stages(night: Night, base: Instance, run: Run, outcome: Outcome) -> None:
    config, store, number = night.config, night.store, int(run["id"])
    previous, why = in_force(config)
    if why:
        previous = _from_store(store)
        night.flags.append(why + ("; the store's copy of it is used" if previous else "; planned as on the first night"))
    reached = STAGES.index(run["stage"])

    if reached < STAGES.index("fed"):
        question, key = _feed(night, base, number, previous)
    else:
        question, key = Instance.model_validate_json(run["question"]), str(run["key"])
        previous = _in_force_then(store, number)
    _fault("fed")
    done = store.last_published()
    if done is not None and done["key"] == key and previous is not None and reached < STAGES.index("solved"):
        outcome.plan, outcome.message, outcome.flags = previous, f"nothing new since run {done['id']}", night.flags
        outcome.change = difference(previous, previous)
        store.reach(number, "published", {"same_as": done["id"]}, plan_hash=done["plan_hash"])
        night.tell(f"published: {outcome.message}; the plan in force stays")
        return

    body = store.plan(str(run["plan_hash"])) if reached >= STAGES.index("solved") else None
    if body is None:
        body = _solve(night, question, number, previous)
    _fault("solved")
    plan = Plan.model_validate_json(body)
    verified(plan, question, previous)
    store.reach(number, "verified", {"rules": len(plan.verification.rules)})
    night.tell(f"verified: {len(plan.verification.rules)} rules hold")
    _fault("verified")

    change = None if previous is None else difference(previous, plan, _reasons(store, question))
    outcome.change, outcome.flags = change, night.flags
    _guard(night, number, plan, change)
    _fault("guarded")

    path = publish(config, night.day, body, night.now, _summary(night, plan, change))
    _fault("written")
    store.reach(number, "published", {"file": path.name, "changed_fraction": 0.0 if change is None else change.changed_fraction})
    outcome.plan, outcome.message = plan, f"{path.name}: {plan.usd_per_hour:,.2f} USD/h"
    changed = "the first plan" if change is None else f"{change.changed_fraction:.1%} of replicas change"
    night.tell(f"published: {outcome.message}, {changed}")
    _fault("published")


def _feed(night: Night, base: Instance, number: int, previous: Plan | None) -> tuple[Instance, str]:
    """Take in feeds and forecast, and journal tonight's question under its key."""
    fed = fetch(night.config, night.store, night.now)
    ahead = _forecast(night, base, number)
    question, told = tonights(base, night.day, fed, ahead)
    night.flags += fed.flags + told
    chosen = "" if previous is None else night.store.save_plan(previous.to_json(), previous.instance.hash)
    policy = night.config.solve.model_dump_json()
    key = hashlib.sha256(f"{question.hash} {policy} {_versions()}".encode()).hexdigest()
    detail = {"flags": night.flags, "feeds": fed.copies, "plan_in_force": chosen, "notes": list(ahead.notes) if ahead else []}
    night.store.reach(number, "fed", detail, question=question.model_dump_json(), key=key)
    prices, flags = len(fed.prices), len(night.flags)
    series = 0 if ahead is None else len(ahead.series)
    night.tell(f"fed: {prices} prices, {len(fed.quotas)} quotas, {series} series of demand, {flags} flags")
    for flag in night.flags:
        night.tell(f"flag: {flag}")
    return question, key


def _forecast(night: Night, base: Instance, number: int) -> Forecast | None:
    """Forecast the day from midnight of the instance's zone, and keep how good such forecasts were; None without demand."""
    config = night.config
    if config.feeds.demand is None:
        return None
    policy = config.forecast
    last = night.now.replace(minute=0, second=0, microsecond=0)
    rows = night.store.demand(now_text(last - timedelta(days=policy.history_days)))
    history = history_of(rows, last, policy.history_days)
    midnight = datetime.fromisoformat(night.day).replace(tzinfo=ZoneInfo(base.time_zone)).astimezone(UTC)
    found = forecast(
        history,
        max(midnight, last),
        policy.horizon_hours,
        zone=base.time_zone,
        quantile=policy.quantile,
        method=policy.method,
        backtest_days=policy.backtest_days,
    )
    scores = [
        {
            "workload": workload,
            "request_class": name,
            "coverage": None if found.coverage[s] != found.coverage[s] else float(found.coverage[s]),
            "pinball": None if found.pinball[s] != found.pinball[s] else float(found.pinball[s]),
            "note": "; ".join(n for n in found.notes if n.startswith(f"{workload}/{name}:")),
        }
        for s, (workload, name) in enumerate(found.series)
    ]
    night.store.save_scores(number, scores)
    return found


def _solve(night: Night, question: Instance, number: int, previous: Plan | None) -> str:
    policy = night.config.solve
    options = Options(
        backend=policy.backend,
        time_limit_s=policy.time_limit_s,
        relative_gap=policy.gap,
        method=policy.method,
        threads=policy.threads,
        seed=policy.seed,
    )
    requests, kept = policy.simulate_requests, list[Learned]()
    find = allocate if requests is None else partial(allocate_simulated, requests=requests)
    try:
        plan = find(
            question, options, plan_in_force=previous, cancel=night.cancel, learned=_learned(night), on_learned=kept.append
        )
    except InfeasibleError as error:
        raise CheckFailedError(f"infeasible; the last plan stays: {error.message}", error.problems) from None
    if night.cancel is not None and night.cancel.is_set():
        raise KeyboardInterrupt
    if kept:
        night.store.save_learned(number, kept[-1].to_json())
    body = plan.to_json()
    plan_hash = night.store.save_plan(body, question.hash)
    detail = {"usd_per_hour": plan.usd_per_hour, "relative_gap": plan.relative_gap, "status": plan.status}
    night.store.reach(number, "solved", detail, plan_hash=plan_hash)
    gap = "no bound" if plan.relative_gap is None else f"gap {plan.relative_gap:.2%}"
    night.tell(f"solved: {plan.usd_per_hour:,.2f} USD/h, {plan.status}, {gap}")
    return body


def _learned(night: Night) -> Learned | None:
    """Give what the last published solve learned; where that is damaged, the night starts from nothing and says so."""
    body = night.store.learned()
    try:
        return None if body is None else Learned.from_json(body)
    except ValueError as error:
        night.flags.append(f"the store's columns and prices of the last solve are left out: {error}")
        night.tell(f"flag: {night.flags[-1]}")
        return None


def _guard(night: Night, number: int, plan: Plan, change: Difference | None) -> None:
    refused = refusals(plan, change, night.config.guards)
    passed = {name: f"{why}; overridden: {night.overrides[name]}" for name, why in refused.items() if name in night.overrides}
    left = {name: why for name, why in refused.items() if name not in night.overrides}
    if left:
        problems = [Problem(None, name, why, "", f"--override {name}=REASON to let it pass") for name, why in left.items()]
        raise CheckFailedError("a guard rail refused the plan; the last plan stays", problems)
    night.flags += passed.values()
    night.store.reach(number, "guarded", {"overridden": passed})
    night.tell("guarded: no guard refuses" if not passed else f"guarded: {'; '.join(passed.values())}")


def _in_force_then(store: Store, number: int) -> Plan | None:
    """Give the plan that was in force when a run took in its feeds: what it changes is told against that one."""
    fed = next(entry["detail"] for entry in store.journal(number) if entry["stage"] == "fed")
    body = store.plan(fed["plan_in_force"]) if fed["plan_in_force"] else None
    return None if body is None else Plan.model_validate_json(body)


def _from_store(store: Store) -> Plan | None:
    run = store.last_published()
    body = None if run is None else store.plan(str(run["plan_hash"]))
    return None if body is None else Plan.model_validate_json(body)


def _reasons(store: Store, question: Instance) -> dict[str, tuple[str, ...]]:
    run = store.last_published()
    if run is None or not run["question"]:
        return {}
    return reasons_of(Instance.model_validate_json(run["question"]), question)


def _summary(night: Night, plan: Plan, change: Difference | None) -> str:
    gap = "unknown" if plan.relative_gap is None else f"{plan.relative_gap:.2%}"
    lines = [f"# {plan.instance.name}, {night.day}", "", f"{plan.usd_per_hour:,.2f} USD/h, {plan.status}, gap {gap}.", ""]
    lines += ["## Changes", "", "The first plan." if change is None else change.to_markdown(), ""]
    if night.flags:
        lines += ["## Flags", "", *(f"- {flag}" for flag in night.flags), ""]
    return "\n".join(lines)


def _versions() -> str:
    found = []
    for name in ("allocate", "ortools", "pulp"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} of a checkout")
    return ", ".join(found)


def _fault(stage: str) -> None:
    if os.environ.get(FAULT) == f"after:{stage}":
        os.kill(os.getpid(), signal.SIGKILL)
