"""Publishing: the plan's file and the pointer to it, metrics, a push, a webhook and a summary.

A reader of ``latest.json`` sees the old publication or the new one, never a part: it names the plan's file, its SHA-256 and until
when it holds. The plan's file is complete before the pointer moves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from optimizer.errors import AllocationError, InvalidInputError, UnavailableError
from optimizer.nightly.config import NightlyConfig
from optimizer.nightly.store import now_text
from optimizer.output import write_atomically
from optimizer.plan import Plan, load_plan
from optimizer.report.changes import Difference

__all__ = ["Outcome", "announce", "in_force", "publish", "sweep"]

POINTER = "latest.json"
SUMMARY = "latest.md"
log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """How a run ended, for metrics and messages."""

    day: str
    exit_code: int
    message: str
    plan: Plan | None = None
    change: Difference | None = None
    flags: list[str] = field(default_factory=list)
    last_success: float | None = None  # seconds since 1970


def sweep(folder: Path) -> int:
    """Remove what killed runs left half-written in a folder; give how many files that were."""
    strays = [p for p in folder.glob(".*.json.*") if p.is_file()] + [p for p in folder.glob(".*.md.*") if p.is_file()]
    strays += [p for p in folder.glob(".*.prom.*") if p.is_file()]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)


def publish(config: NightlyConfig, day: str, body: str, now: datetime, summary: str) -> Path:
    """Write a plan and move the pointer to it; the same plan may be published again.

    Raises
    ------
    UnavailableError : the folder cannot be written; the last publication stays
    """
    folder, digest = config.plans_folder, hashlib.sha256(body.encode()).hexdigest()
    path = folder / f"plan-{day}-{digest[:12]}.json"
    until = now + timedelta(hours=config.publish.valid_hours)
    pointer = {"plan": path.name, "sha256": digest, "day": day, "published_at": now_text(now), "valid_until": now_text(until)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, body)
        write_atomically(folder / SUMMARY, summary)
        write_atomically(folder / POINTER, json.dumps(pointer, indent=1) + "\n")
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # the names too must outlive a power cut
        finally:
            os.close(handle)
    except (OSError, AllocationError) as error:
        raise UnavailableError(f"the plan cannot be published in {folder}: {error}") from None
    return path


def in_force(config: NightlyConfig) -> tuple[Plan | None, str]:
    """Give the published plan if it is whole, and a word on it where it is not."""
    folder = config.plans_folder
    if not (folder / POINTER).exists():
        return None, ""
    try:
        pointer = json.loads((folder / POINTER).read_text(encoding="utf-8"))
        path = folder / Path(str(pointer["plan"])).name
        if hashlib.sha256(path.read_bytes()).hexdigest() != pointer["sha256"]:
            return None, f"{path.name} is not what was published"
        return load_plan(path), ""
    except (OSError, ValueError, KeyError, TypeError, InvalidInputError) as error:
        return None, f"the plan in force cannot be read: {str(error).splitlines()[0]}"


def announce(config: NightlyConfig, outcome: Outcome) -> list[str]:
    """Tell the world how a run ended: metrics file, Pushgateway, webhook. What fails is told back, never raised."""
    failed = []
    for tell in (_write_metrics, _push_metrics, _call_webhook):
        try:
            tell(config, outcome)
        except Exception as error:  # telling must never undo what is told
            failed.append(
                f"{tell.__name__.strip('_')}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
            log.warning("cannot announce: %s", failed[-1])
    return failed


def _registry(outcome: Outcome) -> Any:
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, words: str, value: float) -> None:
        Gauge(f"allocate_nightly_{name}", words, registry=registry).set(value)

    gauge("exit_code", "Exit code of the last run", outcome.exit_code)
    gauge("success", "1 when the last run ended with a plan in force that is today's", float(outcome.exit_code == 0))
    gauge("last_run_timestamp_seconds", "When the last run ended", datetime.now(UTC).timestamp())
    gauge("flags", "Inputs refused or held in the last run", len(outcome.flags))
    if outcome.last_success is not None:
        gauge("last_success_timestamp_seconds", "When the last plan was published", outcome.last_success)
    if (change := outcome.change) is not None:
        gauge("changed_fraction", "Share of replicas that change", change.changed_fraction)
        gauge("changes", "Pools and offers that change", len(change.changes))
    if (plan := outcome.plan) is not None:
        age = datetime.fromisoformat(plan.instance.as_of) - datetime.fromisoformat(plan.oldest_price)
        gauge("catalog_age_days", "Age of the oldest price in use", age.days)
        if plan.relative_gap is not None:
            gauge("relative_gap", "Proved distance of the plan in force from the optimum", plan.relative_gap)
        heads = Gauge("allocate_nightly_usd_per_hour", "Cost of the plan in force by head", ["head"], registry=registry)
        for head, cost in plan.costs.items():
            heads.labels(head).set(cost.usd_per_hour)
        by = ["workload", "accelerator", "precision", "period"]
        replicas = Gauge("allocate_nightly_desired_replicas", "Replicas that the plan in force wants", by, registry=registry)
        for d in plan.deployments:
            replicas.labels("+".join(d.workloads), d.accelerator, d.precision, d.period).inc(d.replicas)
        for run in plan.training:
            for period in run.periods:
                replicas.labels(run.job, run.accelerator, run.precision, period).inc(run.gangs_at_once)
    return registry


def _write_metrics(config: NightlyConfig, outcome: Outcome) -> None:
    from prometheus_client import generate_latest

    if config.publish.metrics_textfile is not None:
        path = config.plans_folder / config.publish.metrics_textfile
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, generate_latest(_registry(outcome)).decode())


def _push_metrics(config: NightlyConfig, outcome: Outcome) -> None:
    from prometheus_client import push_to_gateway

    if url := os.environ.get("ALLOCATE_NIGHTLY_PUSHGATEWAY") or config.publish.pushgateway_url:
        push_to_gateway(url, job="allocate_nightly", registry=_registry(outcome), timeout=config.publish.timeout_s)


def _call_webhook(config: NightlyConfig, outcome: Outcome) -> None:
    """Post a change or a failure; a quiet night says nothing."""
    url = os.environ.get("ALLOCATE_NIGHTLY_WEBHOOK") or config.publish.webhook_url
    quiet = outcome.exit_code == 0 and outcome.change is not None and not outcome.change.changes
    if not url or quiet:
        return
    import httpx

    told: dict[str, Any] = {
        "day": outcome.day,
        "exit_code": outcome.exit_code,
        "message": outcome.message,
        "flags": outcome.flags,
    }
    if outcome.plan is not None:
        told["usd_per_hour"] = outcome.plan.usd_per_hour
    if outcome.change is not None:
        told["changed_fraction"] = outcome.change.changed_fraction
    try:
        httpx.post(url, json=told, timeout=config.publish.timeout_s).raise_for_status()
    except httpx.HTTPError as error:
        raise ConnectionError(type(error).__name__) from None  # its own words hold the URL, which may hold a secret
