"""Starts the real servers that the workload tests talk to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from kubernetes.client import AppsV1Api, CoreV1Api

from lab.node.cluster import ClusterError, call, connect

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 30.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer of ``condition``; AssertionError naming ``what`` when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"still waiting for: {what}")


def free_port(host: str) -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def request(method: str, url: str, document: Any = None) -> tuple[int, dict[str, Any]]:
    """One HTTP exchange: the status and the JSON body."""
    data = None if document is None else json.dumps(document).encode()
    message = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(message, timeout=10) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


@contextmanager
def running(
    command: list[str],
    log: Path,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone when the block ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd, env={**os.environ, **(env or {})}, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(stop)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


@contextmanager
def running_module(module: str, config: dict[str, Any], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m MODULE --config FILE`` with ``config`` in the file, and its log beside it."""
    name = module.rpartition(".")[2]
    file = directory / f"{name}.json"
    file.write_text(json.dumps(config))
    with running([sys.executable, "-m", module, "--config", str(file)], directory / f"{name}.log") as process:
        yield process


def postgres_programs() -> Path | None:
    """The directory of PostgreSQL's server programs, the newest installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parents[1].name))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """A PostgreSQL server in a directory of its own, run as an unprivileged user."""

    def __init__(self, programs: Path, directory: Path, host: str) -> None:
        self.programs, self.host, self.port = programs, host, free_port(host)
        self.data = directory / "data"
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_user:
            shutil.chown(directory, "postgres")
        password = directory / "password"
        password.write_text("drill")
        password.chmod(0o644)
        self._run("initdb", "-D", self.data, "-U", "app", "-A", "scram-sha-256", "-N", f"--pwfile={password}")
        settings = f"listen_addresses='{host}'\nport={self.port}\nunix_socket_directories=''\nfsync=off\n"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(settings)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which libpq finds it."""
        address = {"PGHOST": self.host, "PGPORT": str(self.port)}
        return {**address, "PGDATABASE": "postgres", "PGUSER": "app", "PGPASSWORD": "drill"}

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.data.parent / "server.log")

    def stop(self, mode: str = "immediate") -> None:
        """Stop at once."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def pid(self) -> int:
        """The postmaster."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def sql(self, *statements: str) -> None:
        """Run statements on a connection of their own."""
        env = self.environment
        connection = psycopg2.connect(
            host=self.host, port=self.port, dbname="postgres", user="app", password=env["PGPASSWORD"]
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_user, str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


class Kubernetes:
    """An API server of the lab's emulator, on an address that stays the same over restarts."""

    def __init__(self, directory: Path, host: str) -> None:
        self.directory = directory
        self.host, self.port = host, free_port(host)
        self.url = f"http://{host}:{self.port}"
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self.url)))
        self.client = connect(self.kubeconfig, None)
        self.core = CoreV1Api(self.client)
        self.apps = AppsV1Api(self.client)
        self._exit = ExitStack()

    def start(self) -> None:
        """Start and wait until it answers."""
        tokens = {"drill": {"user": "admin", "groups": ["system:masters"]}}
        state = self.directory / "state"
        config = {"host": self.host, "port": self.port, "state_directory": str(state), "tokens": tokens}
        self._exit.enter_context(running_module("lab.kubernetes", config, self.directory))
        wait_until(lambda: listens(self.host, self.port), "the API server to listen")

    def stop(self) -> None:
        """Stop; the state stays."""
        self._exit.close()

    def namespace(self, name: str) -> None:
        """Create a namespace."""
        self.core.create_namespace({"metadata": {"name": name}})

    def pod(self, namespace: str, name: str) -> dict[str, Any]:
        """A pod as it is now, or an empty document."""
        try:
            return call(self.core.read_namespaced_pod, name, namespace)
        except ClusterError as error:
            if error.status != 404:
                raise
            return {}


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": url}}],
        "users": [{"name": "lab", "user": {"token": "drill"}}],
    }
