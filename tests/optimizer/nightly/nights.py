"""A nightly job in a folder of its own: two accelerators, one workload, three weeks of demand; a night solves in milliseconds."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from optimizer.nightly.config import load_config
from optimizer.nightly.job import run_night
from tests.optimizer.tiny import document, two_types

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
SMALL, LARGE = ("p", "r", "", "smallx1", "on_demand"), ("p", "r", "", "largex1", "on_demand")


def demand_rows(until: datetime = NOW, days: int = 21, level: float = 8.0) -> list[dict[str, Any]]:
    """Give hourly rates: 8 by day (6 to 22 h), 4 by night, a fifth less on weekends; the same every week."""
    rows = []
    for back in range(days * 24, 0, -1):
        hour = until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=back)
        rate = level * (1.0 if 6 <= hour.hour < 22 else 0.5) * (0.8 if hour.weekday() >= 5 else 1.0)
        rows.append({"hour": hour.isoformat(), "workload": "w", "request_class": "q", "rate_per_s": rate})
    return rows


def text_of(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@dataclass
class Job:
    """The folder, and what may be changed between nights."""

    folder: Path

    def feed(self, name: str, content: list[dict[str, Any]] | str, as_of: datetime = NOW, **manifest: Any) -> None:
        """Write a feed and its manifest; ``manifest`` replaces what it says."""
        text = content if isinstance(content, str) else text_of(content)
        (self.folder / f"{name}.csv").write_text(text)
        count = max(len([line for line in text.splitlines() if line.strip()]) - 1, 0)
        said = {"rows": count, "sha256": hashlib.sha256(text.encode()).hexdigest(), "as_of": as_of.isoformat()}
        (self.folder / f"{name}.manifest.json").write_text(json.dumps(said | manifest))

    def prices(self, small: object = 1.0, large: object = 3.0, as_of: datetime = NOW, **manifest: Any) -> None:
        columns = ("provider", "region", "zone", "instance_type", "option")
        priced = [(key, usd) for key, usd in ((SMALL, small), (LARGE, large)) if usd is not None]
        rows = [dict(zip(columns, key, strict=True)) | {"usd_per_hour": usd, "as_of": "2026-11-22"} for key, usd in priced]
        self.feed("prices", rows, as_of, **manifest)

    def configure(self, **changes: Any) -> None:
        files = {name: {"path": f"{name}.csv", "manifest": f"{name}.manifest.json"} for name in ("prices", "quotas", "demand")}
        feeds: dict[str, Any] = {
            "prices": [{"name": "p", "provider": "p", "max_age_hours": 48} | files["prices"]],
            "quotas": [{"name": "quotas"} | files["quotas"]],
            "demand": {"kind": "csv"} | files["demand"],
        }
        base = {"instance": "instance.json", "feeds": feeds, "solve": {"backend": "ortools", "gap": 1e-6}, "guards": {}}
        (self.folder / "nightly.yaml").write_text(json.dumps(base | changes))

    def run(self, now: datetime = NOW, **options: Any) -> Any:
        """Run a night in this process; give the outcome, its lines in ``said``."""
        self.said: list[str] = []
        return run_night(load_config(self.folder / "nightly.yaml"), now=now, tell=self.said.append, **options)

    def command(self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start ``allocate nightly run`` as a process of its own."""
        words = [
            sys.executable,
            "-m",
            "tests.optimizer.nightly.program",
            "nightly",
            "run",
            "--config",
            "nightly.yaml",
            *arguments,
        ]
        found = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            **(environment or {}),
        }
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, cwd=self.folder, env=found, **pipes | options)

    @property
    def pointer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "plans/latest.json").read_text())
        return found

    @property
    def plan(self) -> dict[str, Any]:
        """Give the plan in force, held against its pointer."""
        body = (self.folder / "plans" / self.pointer["plan"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == self.pointer["sha256"]
        found: dict[str, Any] = json.loads(body)
        return found

    @property
    def metrics(self) -> dict[str, float]:
        lines = (self.folder / "plans/allocate.prom").read_text().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def strays(self) -> list[str]:
        """Name what a killed run may leave behind."""
        return [str(p.relative_to(self.folder)) for p in self.folder.rglob(".*") if p.is_file()]


def job_in(folder: Path, **config: Any) -> Job:
    """Lay a job out: the prices, demand and quota of the first night."""
    folder.mkdir(parents=True, exist_ok=True)
    limit = {"name": "small quota", "match": {"accelerator": "small"}, "max_accelerators": 100}
    (folder / "instance.json").write_text(json.dumps(document(**two_types(10, limits=[limit]))))
    job = Job(folder)
    job.prices()
    job.feed("quotas", [{"limit": "small quota", "amount": 50}])
    job.feed("demand", demand_rows())
    job.configure(**config)
    return job
