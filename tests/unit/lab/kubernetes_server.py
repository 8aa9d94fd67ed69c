"""Start the lab's Kubernetes API as its own process and talk to it, for the tests of this directory."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
HOST = "127.77.1.3"
TOKEN = "token-of-the-tests"
DEADLINE_SECONDS = 15.0


@dataclass
class Answer:
    """One HTTP answer; ``body`` is parsed JSON, or text."""

    status: int
    content_type: str
    warnings: list[str]
    body: Any


@dataclass
class Server:
    """A running API server and a small client for it."""

    directory: Path
    grace_seconds: float = 3600.0
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the process and return once it is ready. TimeoutError with its output where it does not get there."""
        self.port = self.port or _free_port()
        config = self.directory / "kubernetes.json"
        config.write_text(json.dumps(self._config()), "utf-8")
        command = [sys.executable, "-m", "lab.kubernetes", "--config", str(config)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ends = time.monotonic() + DEADLINE_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > ends:
                raise TimeoutError(f"the Kubernetes API did not start: {self.stop()}")
            time.sleep(0.02)

    def _config(self) -> Json:
        return {
            "host": HOST,
            "port": self.port,
            "state_directory": str(self.directory / "state"),
            "tokens": {TOKEN: {"user": "admin", "groups": ["system:masters"]}},
            "node_grace_seconds": self.grace_seconds,
        }

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.call("GET", "/readyz").status == 200
        return False

    def stop(self, number: int = signal.SIGTERM) -> str:
        """End the process; its output. Kills it where it does not heed the signal in time."""
        if self.process is None:
            return ""
        self.process.send_signal(number)
        try:
            output, _ = self.process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            output += "\n(did not heed the signal)"
        self.process = None
        return output

    def open(
        self, method: str, path: str, body: Any = None, content_type: str | None = None, token: str = TOKEN
    ) -> Any:
        """Send a request; the open HTTP response, errors included."""
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type or "application/json"} if data else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=DEADLINE_SECONDS)
        except urllib.error.HTTPError as refusal:
            return refusal

    def call(
        self, method: str, path: str, body: Any = None, content_type: str | None = None, token: str = TOKEN
    ) -> Answer:
        """Send a request and read its answer."""
        with self.open(method, path, body, content_type, token) as response:
            raw = response.read().decode()
            kind = response.headers.get("Content-Type", "")
            parsed = json.loads(raw) if "json" in kind else raw
            return Answer(response.status, kind, response.headers.get_all("Warning") or [], parsed)

    def watch(self, path: str, count: int) -> list[Json]:
        """The first ``count`` events of a watch."""
        with self.open("GET", path) as response:
            assert response.status == 200, response.read()
            return [json.loads(response.readline()) for _ in range(count)]

    def get(self, path: str) -> Json:
        """The object at a path; AssertionError where there is none."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        body: Json = answer.body
        return body

    def send(self, method: str, path: str, body: Any = None, content_type: str | None = None) -> Json:
        """Send a write that must succeed; the answer's body."""
        answer = self.call(method, path, body, content_type)
        assert 200 <= answer.status < 300, answer.body
        result: Json = answer.body
        return result


def until(check: Callable[[], Any], what: str) -> Any:
    """Wait until ``check`` gives something true, and return it. AssertionError after the deadline."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while not (found := check()):
        assert time.monotonic() < ends, f"still not so: {what}"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(directory: Path, grace_seconds: float = 3600.0) -> Iterator[Server]:
    """A server with its state in ``directory`` for the length of a block."""
    server = Server(directory, grace_seconds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
REPLICA_SETS = "/apis/apps/v1/namespaces/default/replicasets"
PODS = "/api/v1/namespaces/default/pods"


def deployment(name: str = "web", replicas: int = 2, image: str = "web:1", **spec: Any) -> Json:
    """A deployment with one container, named like itself."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


@dataclass
class NodeClient:
    """Does through the API what a node's agent does: registers, starts the pods it is given, confirms their end."""

    server: Server
    name: str = "node-1"

    def register(self, cpu: str = "8", labels: Json | None = None) -> None:
        amounts = {"cpu": cpu, "memory": "16Gi", "pods": "110"}
        metadata = {"name": self.name, "labels": labels or {}}
        body = {"metadata": metadata, "status": {"capacity": amounts, "conditions": [_ready_condition()]}}
        self.server.send("POST", "/api/v1/nodes", body)

    def heartbeat(self, moment: str) -> None:
        """Report the node ready as of ``moment`` (RFC 3339)."""
        status = {"status": {"conditions": [{**_ready_condition(), "lastHeartbeatTime": moment}]}}
        self.server.send("PATCH", f"/api/v1/nodes/{self.name}/status", status, STRATEGIC)

    def pods(self) -> list[Json]:
        found: list[Json] = self.server.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}")["items"]
        return found

    def step(self, *, start: bool = True, stop: bool = True) -> None:
        """Start what waits and end what is to end."""
        for pod in self.pods():
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            if pod["metadata"].get("deletionTimestamp"):
                if stop:
                    self.server.call("DELETE", path, {"gracePeriodSeconds": 0})
            elif start and pod["status"]["phase"] == "Pending":
                status = {"phase": "Running", "podIP": "127.77.9.9", "conditions": [_ready_condition()]}
                self.server.call("PATCH", f"{path}/status", {"status": status}, STRATEGIC)

    def run_until(self, check: Callable[[], Any], what: str) -> Any:
        """Work until ``check`` gives something true."""

        def stepped() -> Any:
            self.step()
            return check()

        return until(stepped, what)


def _ready_condition() -> Json:
    return {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
