"""The load balancer in front of real sockets, with pods in a Kubernetes API."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.node.cluster import STRATEGIC
from tests.unit.lab.node_support import Kubernetes, free_port, listens, request, running_module, wait_until

HOST = "127.79.3.1"
FRONT = "127.79.3.2"
BACKENDS = ("127.79.3.11", "127.79.3.12", "127.79.3.13")
NAMESPACE = "shop"


class Backend(socketserver.ThreadingTCPServer):
    """An HTTP server that says its own address, and echoes the body."""

    daemon_threads = True
    allow_reuse_address = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = self.rfile.read(length)
            answer = json.dumps({"backend": self.server.server_address[0], "size": len(body)}).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


@contextmanager
def backend(host: str, port: int) -> Iterator[None]:
    with Backend((host, port), Backend.Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    server = Kubernetes(tmp_path_factory.mktemp("kubernetes"), HOST)
    server.start()
    server.namespace(NAMESPACE)
    server.core.create_node({"metadata": {"name": "node-1"}})
    yield server
    server.stop()


class Balancer:
    def __init__(self, cluster: Kubernetes, app: str, port: int, target_port: int) -> None:
        self.cluster, self.app, self.target_port = cluster, app, target_port
        self.url = f"http://{FRONT}:{port}/"

    def add_pod(self, name: str, address: str, ready: bool = True) -> None:
        spec = {"nodeName": "node-1", "containers": [{"name": "web", "image": "registry.test/web"}]}
        metadata = {"name": f"{self.app}-{name}", "labels": {"app": self.app}}
        self.cluster.core.create_namespaced_pod(NAMESPACE, {"metadata": metadata, "spec": spec})
        self.set_status(name, {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]})
        self.set_ready(name, ready)

    def set_ready(self, name: str, ready: bool) -> None:
        self.set_status(name, {"conditions": [{"type": "Ready", "status": str(ready)}]})

    def set_status(self, name: str, status: dict[str, Any]) -> None:
        self.cluster.core.patch_namespaced_pod_status(
            f"{self.app}-{name}", NAMESPACE, {"status": status}, _content_type=STRATEGIC
        )

    def delete_pod(self, name: str, grace: int = 30) -> None:
        self.cluster.core.delete_namespaced_pod(f"{self.app}-{name}", NAMESPACE, grace_period_seconds=grace)

    def answers(self, count: int = 6) -> list[str]:
        """Who answered ``count`` requests; the status where nobody did."""
        found = []
        for _ in range(count):
            status, body = request("GET", self.url)
            found.append(body["backend"] if status == 200 else str(status))
        return found

    def wait_for(self, *expected: str) -> None:
        wait_until(lambda: set(self.answers()) == set(expected), f"answers from {expected}")


@pytest.fixture
def balancer(cluster: Kubernetes, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Balancer]:
    app = request.node.name.replace("_", "-")[:40].rstrip("-")
    port, target_port = free_port(FRONT), free_port(BACKENDS[0])
    entry = {"host": FRONT, "namespace": NAMESPACE, "target_port": target_port}
    other = free_port(FRONT)
    listeners = [{**entry, "port": port, "selector": f"app={app}"}, {**entry, "port": other, "selector": "app=none"}]
    config = {"kubeconfig": str(cluster.kubeconfig), "listeners": listeners}
    with running_module("lab.loadbalancer", config, tmp_path) as process:
        wait_until(lambda: listens(FRONT, port) and listens(FRONT, other), "the balancer to listen")
        yield Balancer(cluster, app, port, target_port)
        process.terminate()
        assert process.wait(10) == 0


def test_every_ready_pod_has_its_turn(balancer: Balancer) -> None:
    with backend(BACKENDS[0], balancer.target_port), backend(BACKENDS[1], balancer.target_port):
        balancer.add_pod("a", BACKENDS[0])
        balancer.add_pod("b", BACKENDS[1])
        balancer.add_pod("c", BACKENDS[2], ready=False)
        balancer.wait_for(*BACKENDS[:2])
        answers = balancer.answers(10)
        assert sorted(answers) == [BACKENDS[0]] * 5 + [BACKENDS[1]] * 5


def test_no_pod_answers_503_with_a_reason(balancer: Balancer) -> None:
    status, body = request("GET", balancer.url)
    assert (status, body["reason"]) == (503, "no_backend")
    assert balancer.app in body["error"]


def test_pod_that_refuses_connections_is_passed_over(balancer: Balancer) -> None:
    with backend(BACKENDS[1], balancer.target_port):
        balancer.add_pod("dead", BACKENDS[0])
        balancer.add_pod("alive", BACKENDS[1])
        wait_until(lambda: BACKENDS[1] in balancer.answers(1), "the living pod")
        assert set(balancer.answers(10)) == {BACKENDS[1]}


def test_only_dead_pods_answer_503(balancer: Balancer) -> None:
    balancer.add_pod("dead", BACKENDS[0])
    balancer.wait_for("503")


def test_pods_come_and_go(balancer: Balancer) -> None:
    with backend(BACKENDS[0], balancer.target_port), backend(BACKENDS[1], balancer.target_port):
        balancer.add_pod("a", BACKENDS[0])
        balancer.add_pod("b", BACKENDS[1], ready=False)
        balancer.wait_for(BACKENDS[0])
        balancer.set_ready("b", True)
        balancer.wait_for(*BACKENDS[:2])
        balancer.set_ready("a", False)
        balancer.wait_for(BACKENDS[1])
        balancer.delete_pod("b")
        balancer.wait_for("503")


def test_large_bodies_and_half_closed_connections_pass(balancer: Balancer) -> None:
    with backend(BACKENDS[0], balancer.target_port):
        balancer.add_pod("a", BACKENDS[0])
        balancer.wait_for(BACKENDS[0])
        data = b"x" * 3_000_000
        with urllib.request.urlopen(urllib.request.Request(balancer.url, data), timeout=20) as response:
            assert json.loads(response.read())["size"] == len(data)
        host, port = balancer.url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert BACKENDS[0].encode() in answer


def test_traffic_goes_on_without_the_api_server_and_follows_it_when_it_is_back(
    balancer: Balancer, cluster: Kubernetes
) -> None:
    with backend(BACKENDS[0], balancer.target_port), backend(BACKENDS[1], balancer.target_port):
        balancer.add_pod("a", BACKENDS[0])
        balancer.wait_for(BACKENDS[0])
        cluster.stop()
        try:
            assert set(balancer.answers()) == {BACKENDS[0]}
        finally:
            cluster.start()
        balancer.add_pod("b", BACKENDS[1])
        balancer.delete_pod("a", grace=0)
        balancer.wait_for(BACKENDS[1])


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"listeners": []}, "kubeconfig"),
        ({"kubeconfig": "/nowhere", "listeners": []}, "/nowhere"),
        ({"kubeconfig": "/nowhere", "listeners": [{"host": "127.0.0.1"}]}, "port"),
    ],
)
def test_bad_configuration_is_named(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    with running_module("lab.loadbalancer", config, tmp_path) as process:
        assert process.wait(20) == 2
    assert named in (tmp_path / "loadbalancer.log").read_text()
