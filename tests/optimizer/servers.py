"""A Dask scheduler and its workers on loopback, processes of their own, started and stopped here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optimizer


@dataclass
class Servers:
    """A scheduler and workers on loopback; the folder keeps what they say."""

    folder: Path
    path: str
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": self.path, "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--no-dashboard", *arguments]
        with (self.folder / f"{role}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)

    def start_worker(self) -> None:
        place = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder)]
        self.workers.append(self.start("worker", self.address, *place))

    def wait(self) -> None:
        """Wait until the scheduler and all workers are there."""
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            if self.workers:
                client.wait_for_workers(len(self.workers), timeout=60)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def __post_init__(self) -> None:  # noqa: D105
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port: int = s.getsockname()[1]
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))


@contextmanager
def started(folder: Path, workers: int = 2, path: str = "") -> Iterator[Servers]:
    """Start a scheduler and workers, all of which import the project from ``path``."""
    servers = Servers(folder, path or str(Path(optimizer.__file__).parents[1]))
    try:
        for _ in range(workers):
            servers.start_worker()
        servers.wait()
        yield servers
    finally:
        for process in (servers.scheduler, *servers.workers):
            process.kill()
            process.wait()
