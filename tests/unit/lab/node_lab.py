"""A node with its registry and its API server, and pods for it to run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.registry.images import build_image
from tests.unit.lab.node_support import Kubernetes, free_port, listens, request, running_module, wait_until

HOST = "127.79.4.1"
NAMESPACE = "shop"
NODE = "node-1"
PORT = 8000
# A container whose health a test can change from outside, and which tells what it found in its environment.
APPLICATION = """
import http.server, json, os, signal, sys, time

answers = {"/health": 200, "/ready": 200}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(answers.get(self.path, 200), {"env": dict(os.environ), "argv": sys.argv, "pid": os.getpid(),
                                                  "cwd": os.getcwd(), "executable": sys.executable})
    def do_POST(self):
        answers[self.path] = int(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {})
    def answer(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

def stop(*_):
    print("asked to stop", flush=True)
    time.sleep(float(os.environ.get("STOP_SECONDS", "0")))
    print("stopped", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
server = http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8000), Handler)
print("begins", flush=True)
server.serve_forever()
"""


@dataclass
class Node:
    cluster: Kubernetes
    directory: Path
    registry: str
    store: Path
    config: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)

    def start_pod(self, name: str, **container: Any) -> None:
        """A pod of one container on this node; options of the pod itself come as ``pod={...}``."""
        pod = container.pop("pod", {})
        env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, *container.pop("env", [])]
        web = {"name": "web", "image": f"{self.registry}/web:1", "env": env, **container}
        spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 5, "containers": [web], **pod}
        self.cluster.core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def pod(self, name: str) -> dict[str, Any]:
        return self.cluster.pod(NAMESPACE, name)

    def container(self, name: str) -> dict[str, Any]:
        statuses = (self.pod(name).get("status") or {}).get("containerStatuses") or [{}]
        return statuses[0]

    def waiting(self, name: str) -> dict[str, Any]:
        return self.container(name).get("state", {}).get("waiting") or {}

    def condition(self, name: str, kind: str = "Ready") -> str:
        conditions = (self.pod(name).get("status") or {}).get("conditions") or []
        return next((c["status"] for c in conditions if c["type"] == kind), "")

    def wait_ready(self, name: str) -> str:
        """The pod's address once it is ready."""
        wait_until(lambda: self.condition(name) == "True", f"pod {name} to be ready")
        return str(self.pod(name)["status"]["podIP"])

    def wait_reason(self, name: str, reason: str) -> str:
        """The message once the container waits for ``reason``."""
        found = wait_until(lambda: (w := self.waiting(name)).get("reason") == reason and w, f"{name} {reason}")
        return str(found["message"])

    def ask(self, name: str, path: str = "/") -> dict[str, Any]:
        return request("GET", f"http://{self.pod(name)['status']['podIP']}:{PORT}{path}")[1]

    def set_answer(self, address: str, path: str, status: int) -> None:
        request("POST", f"http://{address}:{PORT}{path}", status)

    def log(self, name: str) -> str:
        return (self.directory / "node" / "pods" / f"{NAMESPACE}_{name}" / "web.log").read_text()

    def agent_log(self) -> str:
        return (self.directory / "node.log").read_text()

    def delete(self, name: str, **options: Any) -> None:
        self.cluster.core.delete_namespaced_pod(name, NAMESPACE, **options)

    def wait_gone(self, name: str) -> None:
        wait_until(lambda: not self.pod(name), f"pod {name} to be gone")


@contextmanager
def node_in(directory: Path) -> Iterator[Node]:
    """A node that does not run yet, with its registry and its API server; each test has pods of its own on it."""
    cluster = Kubernetes(directory, HOST)
    port = free_port(HOST)
    config = {
        "node_name": NODE,
        "kubeconfig": str(cluster.kubeconfig),
        "pod_network": "127.79.5.0/24",
        "pod_address_start": 100,
        "directory": str(directory / "node"),
        "python": sys.executable,
        "capacity": {"cpu": "8", "memory": "16Gi", "pods": "50"},
        "labels": {"topology.kubernetes.io/region": "us-east-1"},
        "backoff_initial_seconds": 0.5,
        "backoff_maximum_seconds": 1,
    }
    made = Node(cluster, directory, f"{HOST}:{port}", directory / "store", config)
    source = directory / "source"
    source.mkdir()
    (source / "main.py").write_text(APPLICATION)
    made.digests["web"] = build_image(
        source, "web", "1", made.store, ["python3", "main.py"], env={"FROM_IMAGE": "yes"}, labels={}
    )
    cluster.start()
    cluster.namespace(NAMESPACE)
    with running_module("lab.registry", {"host": HOST, "port": port, "store": str(made.store)}, directory):
        wait_until(lambda: listens(HOST, port), "the registry to listen")
        yield made
    cluster.stop()


@contextmanager
def agent_of(node: Node) -> Iterator[Node]:
    """The node while its agent runs; the agent must end well when it is told to."""
    with running_module("lab.node", node.config, node.directory) as process:
        wait_until(lambda: "is ready" in node.agent_log(), "the node to be ready")
        yield node
        process.terminate()
        assert process.wait(10) == 0


def http_probe(path: str, **options: Any) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT}, "periodSeconds": 1, **options}
