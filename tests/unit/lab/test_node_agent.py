"""The agent's own beginning and end, and those of its pods with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.node.cluster import call
from tests.unit.lab.node_lab import APPLICATION, NAMESPACE, Node, http_probe, node_in
from tests.unit.lab.node_support import running_module, wait_until


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_in(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture
def other(node: Node, tmp_path: Path) -> Node:
    config = {**node.config, "directory": str(tmp_path / "node"), "pod_network": "127.79.6.0/24"}
    config["node_name"] = "node-2"
    return Node(node.cluster, tmp_path, node.registry, node.store, config, node.digests)


def start_parent(node: Node, name: str) -> int:
    """The process of a ready pod that has a child of its own."""
    command = [
        "python3",
        "-c",
        f"import subprocess; subprocess.Popen(['sleep', '3599.{os.getpid()}'])\n{APPLICATION}",
    ]
    node.start_pod(name, command=command, readinessProbe=http_probe("/"), pod={"nodeName": "node-2"})
    node.wait_ready(name)
    return int(node.ask(name)["pid"])


def test_killed_agent_takes_its_pods_along_and_its_successor_starts_them_again(other: Node) -> None:
    with running_module("lab.node", other.config, other.directory) as process:
        pid = start_parent(other, "orphan")
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


def test_stopped_agent_stops_its_pods_and_says_so(other: Node) -> None:
    with running_module("lab.node", other.config, other.directory) as process:
        pid = start_parent(other, "stopped")
        process.terminate()
        assert process.wait(10) == 0
        assert not Path(f"/proc/{pid}").exists()
        assert other.condition("stopped") == "False"
        conditions = call(other.cluster.core.read_node, "node-2")["status"]["conditions"]
        assert {c["type"]: c["status"] for c in conditions}["Ready"] == "False"
        assert other.log("stopped").endswith("stopped\n")
    other.delete("stopped", grace_period_seconds=0)


def test_pod_deleted_while_no_agent_ran_is_let_go(other: Node) -> None:
    with running_module("lab.node", other.config, other.directory):
        start_parent(other, "forgotten")
    other.delete("forgotten")
    assert other.pod("forgotten")["metadata"]["deletionTimestamp"]
    with running_module("lab.node", other.config, other.directory):
        other.wait_gone("forgotten")


def test_pod_of_another_namespace_is_left_alone_until_it_is_deleted(other: Node) -> None:
    config = {**other.config, "namespaces": ["elsewhere"]}
    other.start_pod("daemon", pod={"nodeName": "node-2"})
    with running_module("lab.node", config, other.directory):
        wait_until(lambda: "daemon is not for this node" in other.agent_log(), "the agent to see the pod")
        assert other.container("daemon") == {}
        other.delete("daemon")
        other.wait_gone("daemon")


def test_second_agent_of_a_directory_is_refused(other: Node) -> None:
    with running_module("lab.node", other.config, other.directory) as first:
        wait_until(lambda: "is ready" in other.agent_log(), "the first agent")
        with running_module("lab.node", other.config, other.directory) as second:
            assert second.wait(20) == 1
        assert first.poll() is None


def test_no_secret_reaches_a_log(other: Node) -> None:
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
