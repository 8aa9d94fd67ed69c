"""A lease guard as its two processes, beside a real PostgreSQL, with a witness behind proxies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease, LeaseView

from tests.unit.servers import (
    PostgresServer,
    S3Server,
    eventually,
    kill,
)
from tests.unit.tcp_proxy import TcpProxy

ROOT = Path(__file__).resolve().parents[3]
GUARD = "ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard"
SCHEMA = ROOT / "roles/lease_guard/files/schema.sql"
TTL, ALLOWANCE, RENEW, MARGIN = 5.0, 1.0, 0.5, 2.0
PASSWORDS = {"dr_guard": "the-guards-password", "dr_operator": "the-operators-password", "app": "the-apps-password"}


def prepare_database(server: PostgresServer) -> None:
    """Apply the shipped schema, set passwords, and make a table that an application writes to."""
    server.sql(SCHEMA.read_text(), "CREATE ROLE app LOGIN", "CREATE TABLE writes (id bigserial, at timestamptz)")
    server.sql("GRANT INSERT, SELECT ON writes TO app", "GRANT USAGE ON SEQUENCE writes_id_seq TO app")
    for user, password in PASSWORDS.items():
        server.sql(f"ALTER ROLE {user} PASSWORD '{password}'")
    know_passwords(server)


def know_passwords(server: PostgresServer) -> None:
    for user, password in PASSWORDS.items():
        server.add_password(user, password)


class Witness:
    """The stores of one lease, each behind a proxy that can break it."""

    def __init__(self, server: S3Server, count: int = 1) -> None:
        self.proxies = [TcpProxy(server.endpoint_url) for _ in range(count)]
        self.stores = [
            {
                **server.store("guard-leases", name=f"witness-{number}", prefix=f"{number}/", timeout=2.0),
                "endpoint_url": proxy.endpoint_url,
            }
            for number, proxy in enumerate(self.proxies)
        ]
        self.key = f"{uuid.uuid4().hex}.json"

    def option(self) -> dict[str, Any]:
        """The `lease` option."""
        return {
            "key": self.key,
            "ttl_seconds": TTL,
            "clock_allowance_seconds": ALLOWANCE,
            "stores": self.stores,
        }

    def lease(self) -> Lease:
        return Lease.from_options(self.option())

    def read(self) -> LeaseView:
        return self.lease().read()

    def claim(self, holder: str) -> LeaseView:
        """Take the lease for a region, over whoever renews meanwhile."""
        lease = self.lease()

        def attempt() -> LeaseView | None:
            with contextlib.suppress(Exception):
                return lease.claim(lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test")
            return None

        return eventually(attempt, "the claim")

    def set(self, mode: str) -> None:
        for proxy in self.proxies:
            proxy.set(mode)

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()


@dataclass
class Guard:
    """One guard: `start`, `status`, and the ids of its two processes."""

    server: PostgresServer
    region: str
    lease: dict[str, Any]
    bootstrap: bool = False
    process: subprocess.Popen[bytes] | None = None
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.server.directory / "guard"
        self.directory.mkdir(exist_ok=True)
        self.config = self.directory / "config.json"
        self.hba = self.server.data / "pg_hba.conf"
        self.log = self.directory / "log"
        self.write_config()

    def write_config(self, **changes: Any) -> None:
        content = {
            "region": self.region,
            "lease": self.lease,
            "renew_seconds": RENEW,
            "fence_margin_seconds": MARGIN,
            "postgres": self.server.options("dr_guard"),
            "data_directory": str(self.server.data),
            "hba_file": str(self.hba),
            "start_argv": self.server.start_argv,
            "state_directory": str(self.directory / "state"),
            "bootstrap": self.bootstrap,
        }
        self.config.write_text(json.dumps({**content, **changes}))
        self.config.chmod(0o644)

    def start(self) -> Guard:
        """Start both processes, as ourselves: root or the server's own user."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"), stdout=log, stderr=log, env=self.environment(), cwd="/"
            )
        return self

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", GUARD, name, "--config", str(self.config)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one of the other commands."""
        return subprocess.run(
            self.command(name), capture_output=True, text=True, env=self.environment(), check=False, cwd="/"
        )

    def status(self) -> dict[str, Any]:
        """What the running guard wrote last."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.directory / "state" / "status.json").read_text()))
        return {}

    def becomes(self, state: str) -> dict[str, Any]:
        """Wait for a state of a guard whose processes are this one's."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("state") == state and self.alive(status) else None

        try:
            return dict(eventually(look, f"state {state} of {self.region}"))
        except AssertionError as error:
            raise AssertionError(f"{error}; status {self.status()}\n{self.log.read_text()}") from None

    def alive(self, status: dict[str, Any]) -> bool:
        return self.process is not None and status.get("watchdog_pid") == self.process.pid

    def renewer_pid(self) -> int:
        return int(self.status()["renewer_pid"])

    def closed(self) -> bool:
        return self.hba.read_text().startswith("# FENCED")

    def fenced(self) -> None:
        """Wait until the server is stopped and closed."""
        try:
            eventually(lambda: self.closed() and self.server.pid() is None, f"the fence of {self.region}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None

    def end(self) -> None:
        """Kill both processes at once; nobody fences."""
        pids = {self.status().get("renewer_pid")} if self.process and self.alive(self.status()) else set()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            pids |= {int(pid) for pid in children}
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: a renewer that outlives its watchdog fences
            for pid in pids - {None}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), number)
        if self.process is not None and self.process.poll() is None:
            kill(self.process)


class Writer:
    """An application that commits all the time and remembers what was acknowledged, and when."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.acknowledged: list[tuple[int, float]] = []
        self._clock: Callable[[], float]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, clock: Callable[[], float]) -> Writer:
        self._clock = clock
        self._thread.start()
        eventually(lambda: self.acknowledged, "a first write")
        return self

    def stop(self) -> list[tuple[int, float]]:
        self._stop.set()
        self._thread.join()
        return self.acknowledged

    def _run(self) -> None:
        connection: Any = None
        while not self._stop.is_set():
            try:
                connection = connection or self.server.connect("app")
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO writes (at) VALUES (clock_timestamp()) RETURNING id")
                    self.acknowledged.append((cursor.fetchone()[0], self._clock()))
            except psycopg2.Error:
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
                self._stop.wait(0.01)
