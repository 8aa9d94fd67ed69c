"""What the node agent makes of a pod: its image, its environment, its status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import CoordinationV1Api

from lab.node.cluster import call
from lab.registry.images import build_image
from lab.registry.layout import Layout
from tests.unit.lab.node_lab import APPLICATION, NAMESPACE, NODE, PORT, Node, agent_of, http_probe, node_in
from tests.unit.lab.node_support import listens, wait_until


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_in(tmp_path_factory.mktemp("lab")) as node, agent_of(node) as running:
        yield running


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
