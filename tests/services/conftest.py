"""Real servers on loopback from Debian's packages, started and stopped here; a missing one is an error, never a skip."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def wait_for(url: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def needed(program: str) -> str:
    found = shutil.which(program)
    assert found, f"{program} is missing; .ci/run installs it"
    return found


class Postgres:
    """A server that can be stopped and started again; it runs as its own user where we are root, since it refuses root."""

    def __init__(self, folder: Path) -> None:
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self.folder, self.port = folder, free_port()
        self.prefix = [needed("runuser"), "-u", "postgres", "--"] if os.geteuid() == 0 else []
        folder.mkdir(mode=0o700)
        if self.prefix:
            shutil.chown(folder, "postgres")
        self._call("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "allocate", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run([*self.prefix, str(self.bin / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://allocate@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[Postgres]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pg") as short:  # a socket's path must be short, its folders open to the server
        os.chmod(short, 0o755)
        server = Postgres(Path(short) / "server")
        yield server
        server.stop()


@pytest.fixture
def database(postgres) -> str:
    """Give the URL of an empty database of its own."""
    import psycopg

    name = f"night_{time.monotonic_ns()}"
    with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.url.replace("/postgres", f"/{name}")


@pytest.fixture(scope="session")
def pushgateway() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen(
        [needed("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ) as server:
        wait_for(f"http://127.0.0.1:{port}/-/ready")
        yield f"127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)


class Prometheus:
    """A server over a history that is written before it starts; it can be paused and stopped."""

    def __init__(self, folder: Path, lines: str) -> None:
        self.port, self.folder = free_port(), folder
        (folder / "history.txt").write_text(lines)
        (folder / "prometheus.yml").write_text("global: {}\n")
        tool = [needed("promtool"), "tsdb", "create-blocks-from", "openmetrics"]
        subprocess.run([*tool, str(folder / "history.txt"), str(folder / "data")], check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self) -> None:
        flags = [f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}"]
        flags += [f"--web.listen-address=127.0.0.1:{self.port}", "--storage.tsdb.retention.time=20y", "--log.level=error"]
        self.process = subprocess.Popen([needed("prometheus"), *flags], stderr=subprocess.DEVNULL)
        wait_for(f"{self.url}/-/ready")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory) -> Iterator[Prometheus]:
    """Hold ten days of hourly rates before the tests' now; the gauge of an hour is read at its end."""
    from datetime import datetime, timedelta

    from tests.optimizer.nightly.nights import demand_rows

    lines = ["# TYPE requests_per_second gauge"]
    for row in demand_rows(days=10):
        end = datetime.fromisoformat(row["hour"]) + timedelta(hours=1)
        labels = f'workload="{row["workload"]}",request_class="{row["request_class"]}"'
        lines.append(f"requests_per_second{{{labels}}} {row['rate_per_s']} {end.timestamp():.0f}")
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), "\n".join([*lines, "# EOF", ""]))
    yield server
    server.stop()


@pytest.fixture
def job(tmp_path, monkeypatch):
    from tests.optimizer.nightly.nights import job_in

    for name in ("ALLOCATE_NIGHTLY_STORE", "ALLOCATE_NIGHTLY_PUSHGATEWAY", "ALLOCATE_NIGHTLY_WEBHOOK", "ALLOCATE_FAULT"):
        monkeypatch.delenv(name, raising=False)
    return job_in(tmp_path / "job")
