"""The node agent as a process, against the lab's Kubernetes API and registry."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoordinationV1Api

from lab.node.cluster import call
from lab.registry.images import build_image
from lab.registry.layout import Layout
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


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node, its registry and its API server, for all tests of this file; each test has pods of its own."""
    directory = tmp_path_factory.mktemp("lab")
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


@pytest.fixture(scope="module")
def agent(node: Node) -> Iterator[Node]:
    with running_module("lab.node", node.config, node.directory) as process:
        wait_until(lambda: "is ready" in node.agent_log(), "the node to be ready")
        yield node
        process.terminate()
        assert process.wait(10) == 0


def http_probe(path: str, **options: Any) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT}, "periodSeconds": 1, **options}


def test_registers_itself_and_renews_its_lease(agent: Node) -> None:
    node = call(agent.cluster.core.read_node, NODE)
    assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == "us-east-1"
    assert node["status"]["allocatable"] == agent.config["capacity"]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    assert {"type": "InternalIP", "address": "127.79.5.1"} in node["status"]["addresses"]
    api = CoordinationV1Api(agent.cluster.client)

    def renewed() -> str:
        return str(call(api.read_namespaced_lease, NODE, "kube-node-lease")["spec"]["renewTime"])

    first = renewed()
    wait_until(lambda: renewed() > first, "the lease to be renewed")


def test_pod_runs_its_image_and_reports_it(agent: Node) -> None:
    agent.start_pod("plain", readinessProbe=http_probe("/ready"), ports=[{"containerPort": PORT}])
    address = agent.wait_ready("plain")
    assert address.startswith("127.79.5.")
    pod, status = agent.pod("plain"), agent.container("plain")
    assert pod["status"]["phase"] == "Running"
    assert status["imageID"] == f"{agent.registry}/web@{agent.digests['web']}"
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert "startedAt" in status["state"]["running"]
    assert agent.condition("plain", "ContainersReady") == "True"
    assert agent.condition("plain", "PodScheduled") == "True"
    found = agent.ask("plain")
    assert Path(found["executable"]).parent == Path(sys.executable).parent
    assert (Path(found["cwd"]) / "main.py").is_file()
    assert agent.log("plain") == "begins\n"


def test_two_pods_have_two_addresses(agent: Node) -> None:
    for name in ("one", "two"):
        agent.start_pod(name)
    assert agent.wait_ready("one") != agent.wait_ready("two")


def test_environment_comes_from_everywhere_a_pod_may_take_it(agent: Node) -> None:
    core = agent.cluster.core
    core.create_namespaced_secret(
        NAMESPACE, {"metadata": {"name": "keys"}, "stringData": {"password": "p$w", "B": "2"}}
    )
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "settings"}, "data": {"REGION": "east"}})
    env = [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
        {"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "REGION"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "x", "optional": True}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
        {"name": "JOINED", "value": "$(PASSWORD)@$(PLACE) $$(PLACE) $(UNKNOWN)"},
    ]
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}, "prefix": "K_"}]
    agent.start_pod("environment", env=env, envFrom=sources, args=["--place", "$(PLACE)"])
    address = agent.wait_ready("environment")
    wait_until(lambda: listens(address, PORT), "the container to listen")
    found = agent.ask("environment")
    expected = {
        "PASSWORD": "p$w",
        "PLACE": "east",
        "NAME": "environment",
        "SPACE": NAMESPACE,
        "NODE": NODE,
        "TIER": "",
        "JOINED": "p$w@east $(PLACE) $(UNKNOWN)",
        "REGION": "east",
        "K_B": "2",
        "POD_IP": address,
        "FROM_IMAGE": "yes",
        "HOSTNAME": "environment",
    }
    assert {key: found["env"].get(key) for key in expected} == expected
    assert "NONE" not in found["env"]
    assert found["argv"] == ["main.py", "--place", "east"]
    assert "VIRTUAL_ENV" not in found["env"], "the agent's own environment is not the container's"


def test_missing_secret_is_named_and_the_pod_runs_once_it_is_there(agent: Node) -> None:
    env = [{"name": "LATE", "valueFrom": {"secretKeyRef": {"name": "late", "key": "value"}}}]
    agent.start_pod("late", env=env)
    assert "late" in agent.wait_reason("late", "CreateContainerConfigError")
    agent.cluster.core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "late"}, "stringData": {"x": "1"}})
    wait_until(lambda: "couldn't find key value" in agent.waiting("late").get("message", ""), "the missing key")
    agent.cluster.core.patch_namespaced_secret("late", NAMESPACE, {"stringData": {"value": "1"}})
    agent.wait_ready("late")


@pytest.mark.parametrize(
    ("name", "image", "reason", "message"),
    [
        ("no-tag", "{registry}/web:none", "ImagePullBackOff", "404"),
        ("no-digest", "{registry}/web@sha256:" + "0" * 64, "ImagePullBackOff", "404"),
        ("no-registry", "127.79.4.9:1/web:1", "ImagePullBackOff", "Failed to get"),
        ("no-name", "web", "InvalidImageName", "registry/name"),
    ],
)
def test_image_that_cannot_be_had(agent: Node, name: str, image: str, reason: str, message: str) -> None:
    agent.start_pod(name, image=image.format(registry=agent.registry))
    assert message in agent.wait_reason(name, reason)
    assert agent.pod(name)["status"]["phase"] == "Pending"
    agent.delete(name)
    agent.wait_gone(name)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_altered_byte_of_an_image_is_found_and_healed_by_the_right_one(agent: Node, tmp_path: Path, part: str) -> None:
    (tmp_path / "main.py").write_text(APPLICATION + f"\n# {part}\n")
    repository = f"altered-{part}"
    digest = build_image(tmp_path, repository, "1", agent.store, ["python3", "main.py"], env={}, labels={})
    layout = Layout.find(agent.store, repository)
    manifest = json.loads(layout.blob_path(digest).read_bytes())
    target = {"manifest": digest, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}
    path = layout.blob_path(target[part])
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    agent.start_pod(repository, image=f"{agent.registry}/{repository}@{digest}")
    message = agent.wait_reason(repository, "ImagePullBackOff")
    assert target[part] in message
    path.write_bytes(good)
    agent.wait_ready(repository)


def test_crashing_container_is_started_again_after_a_while(agent: Node) -> None:
    agent.start_pod("crash", command=["python3", "-c", "raise SystemExit(3)"])
    agent.wait_reason("crash", "CrashLoopBackOff")
    wait_until(lambda: agent.container("crash")["restartCount"] >= 2, "restarts")
    last = agent.container("crash")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert agent.condition("crash") == "False"


def test_command_that_does_not_exist(agent: Node) -> None:
    agent.start_pod("no-command", command=["/no/such/thing"])
    agent.wait_reason("no-command", "CrashLoopBackOff")
    last = agent.container("no-command")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (128, "StartError")
    assert "/no/such/thing" in last["message"]


def test_readiness_follows_its_probe(agent: Node) -> None:
    agent.start_pod("readiness", readinessProbe=http_probe("/ready", failureThreshold=1))
    address = agent.wait_ready("readiness")
    agent.set_answer(address, "/ready", 503)
    wait_until(lambda: agent.condition("readiness") == "False", "not ready")
    assert agent.container("readiness")["restartCount"] == 0
    agent.set_answer(address, "/ready", 200)
    agent.wait_ready("readiness")


def test_liveness_failure_restarts_the_container(agent: Node) -> None:
    agent.start_pod("liveness", livenessProbe=http_probe("/health", failureThreshold=2), readinessProbe=http_probe("/"))
    address = agent.wait_ready("liveness")
    first = agent.ask("liveness")["pid"]
    agent.set_answer(address, "/health", 500)
    wait_until(lambda: agent.container("liveness")["restartCount"] == 1, "a restart")
    agent.wait_ready("liveness")
    assert agent.ask("liveness")["pid"] != first
    assert agent.log("liveness").count("begins") == 2


def test_startup_probe_holds_back_the_others(agent: Node) -> None:
    checks = {
        "startupProbe": {"exec": {"command": ["test", "-e", "started"]}, "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": http_probe("/none", failureThreshold=1),
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "ports": [{"name": "http", "containerPort": PORT}],
    }
    agent.start_pod("startup", **checks)
    wait_until(lambda: "running" in agent.container("startup").get("state", {}), "running")
    wait_until(lambda: listens(agent.pod("startup")["status"]["podIP"], PORT), "the container to listen")
    directory = Path(agent.ask("startup")["cwd"])
    assert (agent.container("startup")["started"], agent.condition("startup")) == (False, "False")
    (directory / "started").touch()
    agent.wait_ready("startup")
    assert agent.container("startup")["started"] is True


def test_deletion_asks_first(agent: Node) -> None:
    agent.start_pod("polite", env=[{"name": "STOP_SECONDS", "value": "0.2"}])
    address = agent.wait_ready("polite")
    wait_until(lambda: listens(address, PORT), "the container to listen")
    directory = Path(agent.ask("polite")["cwd"])
    agent.delete("polite")
    agent.wait_gone("polite")
    assert agent.log("polite").splitlines() == ["begins", "asked to stop", "stopped"]
    assert not listens(address, PORT)
    wait_until(lambda: not directory.exists(), "its files to be gone")


def test_deletion_forces_after_the_grace(agent: Node) -> None:
    agent.start_pod("stubborn", env=[{"name": "STOP_SECONDS", "value": "3600"}])
    address = agent.wait_ready("stubborn")
    wait_until(lambda: listens(address, PORT), "the container to listen")
    agent.delete("stubborn", grace_period_seconds=1)
    agent.wait_gone("stubborn")
    assert agent.log("stubborn").splitlines() == ["begins", "asked to stop"]
    assert not listens(address, PORT)


def test_forced_deletion_ends_the_process_too(agent: Node) -> None:
    agent.start_pod("forced", env=[{"name": "STOP_SECONDS", "value": "3600"}])
    address = agent.wait_ready("forced")
    wait_until(lambda: listens(address, PORT), "the container to listen")
    agent.delete("forced", grace_period_seconds=0)
    wait_until(lambda: not listens(address, PORT), "the process to end")


def test_pre_stop_hook_runs_before_the_signal(agent: Node) -> None:
    hook = {"preStop": {"exec": {"command": ["python3", "-c", "open('hook.log', 'w'); import time; time.sleep(0.2)"]}}}
    agent.start_pod("hook", lifecycle=hook, readinessProbe=http_probe("/"))
    agent.wait_ready("hook")
    file = Path(agent.ask("hook")["cwd"]) / "hook.log"
    agent.delete("hook")
    wait_until(file.exists, "the hook's trace")
    agent.wait_gone("hook")


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (4, "Failed")])
def test_pod_that_is_not_restarted_ends_in_a_phase(agent: Node, code: int, phase: str) -> None:
    name = f"once-{code}"
    agent.start_pod(name, command=["python3", "-c", f"raise SystemExit({code})"], pod={"restartPolicy": "Never"})
    wait_until(lambda: agent.pod(name)["status"].get("phase") == phase, phase)
    assert agent.container(name)["state"]["terminated"]["exitCode"] == code


def test_init_container_comes_first(agent: Node) -> None:
    image = f"{agent.registry}/web:1"
    first = {"name": "first", "image": image, "command": ["python3", "-c", "print('prepared')"]}
    agent.start_pod("init", pod={"initContainers": [first]})
    agent.wait_ready("init")
    status = agent.pod("init")["status"]["initContainerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == 0
    log = agent.directory / "node" / "pods" / f"{NAMESPACE}_init" / "first.log"
    assert log.read_text() == "prepared\n"


def test_what_a_process_cannot_offer_is_refused_with_a_reason(agent: Node) -> None:
    volumes = {"volumes": [{"name": "data", "emptyDir": {}}]}
    agent.start_pod("volume", volumeMounts=[{"name": "data", "mountPath": "/data"}], pod=volumes)
    assert "/data" in agent.wait_reason("volume", "CreateContainerConfigError")


def test_pods_live_on_without_the_api_server_and_their_news_arrive_when_it_is_back(agent: Node) -> None:
    agent.start_pod("island", readinessProbe=http_probe("/ready", failureThreshold=1))
    address = agent.wait_ready("island")
    agent.cluster.stop()
    try:
        agent.set_answer(address, "/ready", 503)
        assert listens(address, PORT)
    finally:
        agent.cluster.start()
    wait_until(lambda: agent.condition("island") == "False", "the news")
    agent.delete("island")
    agent.wait_gone("island")


class TestOfItsOwn:
    """Tests that end the agent, with a directory, a node and pods of their own."""

    @pytest.fixture
    def other(self, node: Node, tmp_path: Path) -> Node:
        config = {**node.config, "directory": str(tmp_path / "node"), "pod_network": "127.79.6.0/24"}
        config["node_name"] = "node-2"
        return Node(node.cluster, tmp_path, node.registry, node.store, config, node.digests)

    def start_pod(self, node: Node, name: str) -> int:
        """The process of a ready pod that has a child of its own."""
        command = [
            "python3",
            "-c",
            f"import subprocess; subprocess.Popen(['sleep', '3599.{os.getpid()}'])\n{APPLICATION}",
        ]
        node.start_pod(name, command=command, readinessProbe=http_probe("/"), pod={"nodeName": "node-2"})
        node.wait_ready(name)
        return int(node.ask(name)["pid"])

    def test_killed_agent_takes_its_pods_along_and_its_successor_starts_them_again(self, other: Node) -> None:
        with running_module("lab.node", other.config, other.directory) as process:
            pid = self.start_pod(other, "orphan")
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the container to die with its agent")
        address = other.pod("orphan")["status"]["podIP"]
        with running_module("lab.node", other.config, other.directory):
            wait_until(lambda: other.container("orphan")["restartCount"] == 1, "the restart to be counted")
            assert other.wait_ready("orphan") == address
            assert other.container("orphan")["lastState"]["terminated"]["exitCode"] == 137
            assert "that an earlier agent left" in other.agent_log(), "the container's own child is found"
            other.delete("orphan")
            other.wait_gone("orphan")

    def test_stopped_agent_stops_its_pods_and_says_so(self, other: Node) -> None:
        with running_module("lab.node", other.config, other.directory) as process:
            pid = self.start_pod(other, "stopped")
            process.terminate()
            assert process.wait(10) == 0
            assert not Path(f"/proc/{pid}").exists()
            assert other.condition("stopped") == "False"
            conditions = call(other.cluster.core.read_node, "node-2")["status"]["conditions"]
            assert {c["type"]: c["status"] for c in conditions}["Ready"] == "False"
            assert other.log("stopped").endswith("stopped\n")
        other.delete("stopped", grace_period_seconds=0)

    def test_pod_deleted_while_no_agent_ran_is_let_go(self, other: Node) -> None:
        with running_module("lab.node", other.config, other.directory):
            self.start_pod(other, "forgotten")
        other.delete("forgotten")
        assert other.pod("forgotten")["metadata"]["deletionTimestamp"]
        with running_module("lab.node", other.config, other.directory):
            other.wait_gone("forgotten")

    def test_second_agent_of_a_directory_is_refused(self, other: Node) -> None:
        with running_module("lab.node", other.config, other.directory) as first:
            wait_until(lambda: "is ready" in other.agent_log(), "the first agent")
            with running_module("lab.node", other.config, other.directory) as second:
                assert second.wait(20) == 1
            assert first.poll() is None

    def test_no_secret_reaches_a_log(self, other: Node) -> None:
        secret = {"metadata": {"name": "hidden"}, "stringData": {"value": "correct-horse"}}
        other.cluster.core.create_namespaced_secret(NAMESPACE, secret)
        env = [{"name": "HIDDEN", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "value"}}}]
        with running_module("lab.node", other.config, other.directory):
            other.start_pod("hidden", env=env, command=["/none"], pod={"nodeName": "node-2"})
            other.wait_reason("hidden", "CrashLoopBackOff")
            other.delete("hidden")
            other.wait_gone("hidden")
        assert "correct-horse" not in other.agent_log()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"python": "/no/python"}, "/no/python"),
        ({"pod_network": "127.79.5.0/33"}, "netmask"),
        ({"pod_address_start": 300}, "pod_address_start"),
        ({"kubeconfig": "/nowhere"}, "/nowhere"),
        ({"capacity": None}, "Failed to read"),
    ],
)
def test_bad_configuration_is_named(node: Node, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    config = {**node.config, "directory": str(tmp_path / "node"), **change}
    with running_module("lab.node", config, tmp_path) as process:
        assert process.wait(20) == 2
    assert named in (tmp_path / "node.log").read_text()
