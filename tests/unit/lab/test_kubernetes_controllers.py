"""What the emulator's controllers do: rollouts, scheduling, silent nodes, endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lab.kubernetes_server import (
    DEPLOYMENTS,
    MERGE,
    PODS,
    REPLICA_SETS,
    STRATEGIC,
    NodeClient,
    Server,
    deployment,
    running,
    until,
)

Json = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as running_server:
        yield running_server


@pytest.fixture
def node(server: Server) -> NodeClient:
    client = NodeClient(server)
    client.register()
    return client


def images(server: Server) -> list[str]:
    """The images of the pods that are not terminating."""
    pods = [pod for pod in server.get(PODS)["items"] if not pod["metadata"].get("deletionTimestamp")]
    return sorted(pod["spec"]["containers"][0]["image"] for pod in pods)


def is_settled(server: Server, name: str = "web") -> bool:
    """Whether the rollout is over, as ``kubectl rollout status`` would say."""
    found = server.get(f"{DEPLOYMENTS}/{name}")
    status, replicas = found["status"], found["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [replicas] * 3


def condition(obj: Json, kind: str) -> Json:
    found = [item for item in obj["status"].get("conditions", []) if item["type"] == kind]
    return found[0] if found else {}


def set_image(server: Server, image: str, name: str = "web") -> None:
    containers = [{"name": name, "image": image}]
    server.send(
        "PATCH", f"{DEPLOYMENTS}/{name}", {"spec": {"template": {"spec": {"containers": containers}}}}, STRATEGIC
    )


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "most", "least"),
    [(1, 0, 4, 5, 4), (0, 1, 4, 4, 3), ("50%", "50%", 4, 6, 2), ("25%", "25%", 4, 5, 3), ("10%", "0%", 3, 4, 3)],
)
def test_a_rolling_update_stays_within_its_bounds(
    server: Server, node: NodeClient, surge: Any, unavailable: Any, replicas: int, most: int, least: int
) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    body = deployment(replicas=replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    server.send("POST", DEPLOYMENTS, body)
    node.run_until(lambda: is_settled(server), "the first revision is up")
    set_image(server, "web:2")
    sizes: list[int] = []
    ready: list[int] = []

    def look() -> bool:
        pods = [pod for pod in server.get(PODS)["items"] if not pod["metadata"].get("deletionTimestamp")]
        sizes.append(len(pods))
        ready.append(sum(condition(pod, "Ready").get("status") == "True" for pod in pods))
        return is_settled(server)

    node.run_until(look, "the second revision is up")
    assert images(server) == ["web:2"] * replicas
    assert max(sizes) <= most
    assert min(ready) >= least


def test_recreate_never_runs_two_revisions(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment(strategy={"type": "Recreate"}))
    node.run_until(lambda: is_settled(server), "the first revision is up")
    set_image(server, "web:2")
    until(lambda: all(pod["metadata"].get("deletionTimestamp") for pod in server.get(PODS)["items"]), "all terminate")
    assert images(server) == []
    node.step(stop=False)
    assert images(server) == []
    node.run_until(lambda: is_settled(server), "the second revision is up")
    assert images(server) == ["web:2", "web:2"]


def test_a_template_put_back_is_a_rollback(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment())
    node.run_until(lambda: is_settled(server), "the first revision is up")
    set_image(server, "web:2")
    node.run_until(lambda: is_settled(server), "the second revision is up")
    set_image(server, "web:1")
    node.run_until(lambda: is_settled(server), "the first revision is back")
    sets = {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item for item in server.get(REPLICA_SETS)["items"]
    }
    assert {image: item["spec"]["replicas"] for image, item in sets.items()} == {"web:1": 2, "web:2": 0}
    assert sets["web:1"]["metadata"]["annotations"][REVISION] == "3"
    assert sets["web:1"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert server.get(f"{DEPLOYMENTS}/web")["metadata"]["annotations"][REVISION] == "3"


def test_history_is_kept_to_its_limit(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=1))
    for number in range(1, 5):
        set_image(server, f"web:{number}")
        node.run_until(lambda: is_settled(server), f"revision {number} is up")
    until(lambda: len(server.get(REPLICA_SETS)["items"]) == 2, "the new ReplicaSet and one old")


def test_a_bad_image_times_out_and_leaves_the_old_revision_serving(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment(replicas=4, progressDeadlineSeconds=1))
    node.run_until(lambda: is_settled(server), "the first revision is up")
    set_image(server, "web:broken")
    late = until(
        lambda: (
            condition(server.get(f"{DEPLOYMENTS}/web"), "Progressing").get("status") == "False"
            and server.get(f"{DEPLOYMENTS}/web")
        ),
        "the rollout is late",
    )
    assert condition(late, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert late["status"]["availableReplicas"] == 3
    assert images(server).count("web:1") == 3
    set_image(server, "web:1")
    node.run_until(lambda: is_settled(server), "the first revision is back")
    assert condition(server.get(f"{DEPLOYMENTS}/web"), "Progressing")["reason"] == "NewReplicaSetAvailable"


def test_a_paused_deployment_scales_but_does_not_roll(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment())
    node.run_until(lambda: is_settled(server), "the first revision is up")
    server.send("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"paused": True}}, MERGE)
    set_image(server, "web:2")
    server.send("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}}, MERGE)
    node.run_until(lambda: images(server) == ["web:1"] * 3, "three of the first revision")
    assert condition(server.get(f"{DEPLOYMENTS}/web"), "Progressing")["reason"] == "DeploymentPaused"
    server.send("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"paused": False}}, MERGE)
    node.run_until(lambda: is_settled(server), "the second revision is up")
    assert images(server) == ["web:2"] * 3


def test_scaling_amid_a_rollout_is_spread_over_both_revisions(server: Server, node: NodeClient) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
    server.send("POST", DEPLOYMENTS, deployment(replicas=4, strategy=rolling))
    node.run_until(lambda: is_settled(server), "the first revision is up")
    set_image(server, "web:2")
    until(lambda: images(server) == ["web:1"] * 4 + ["web:2"] * 2, "the surge of the second revision")
    server.send("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 10}}, MERGE)
    until(lambda: images(server) == ["web:1"] * 8 + ["web:2"] * 4, "both have grown by their share")
    node.run_until(lambda: is_settled(server), "the second revision is up")
    assert images(server) == ["web:2"] * 10


def test_pods_are_not_available_before_they_were_ready_long_enough(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment(replicas=1, minReadySeconds=300))
    until(node.pods, "the pod is placed")
    (pod,) = node.pods()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2999-01-01T00:00:00Z"}
    path = f"{PODS}/{pod['metadata']['name']}/status"
    server.send("PATCH", path, {"status": {"phase": "Running", "conditions": [ready]}}, STRATEGIC)
    found = until(
        lambda: (body := server.get(f"{DEPLOYMENTS}/web"))["status"].get("readyReplicas") and body, "the pod is ready"
    )
    assert "availableReplicas" not in found["status"]
    assert found["status"]["unavailableReplicas"] == 1


def test_a_lost_pod_is_replaced_and_stray_ones_are_adopted(server: Server, node: NodeClient) -> None:
    server.send("POST", DEPLOYMENTS, deployment(replicas=2))
    node.run_until(lambda: is_settled(server), "the deployment is up")
    victim = server.get(PODS)["items"][0]
    server.send("DELETE", f"{PODS}/{victim['metadata']['name']}", {"gracePeriodSeconds": 0})
    node.run_until(lambda: is_settled(server), "the deployment is up again")
    stray = {
        "metadata": {"name": "stray", "labels": victim["metadata"]["labels"]},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    server.send("POST", PODS, stray)
    until(lambda: len(images(server)) == 2, "one too many is given up")


class TestScheduler:
    """Which node a pod gets, and what is said where it gets none."""

    @staticmethod
    def place(server: Server, **spec: Any) -> Json:
        """A pod, once the scheduler has decided on it."""
        body = {"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
        name = server.send("POST", PODS, body)["metadata"]["name"]
        found: Json = until(
            lambda: condition(pod := server.get(f"{PODS}/{name}"), "PodScheduled") and pod, "the scheduler decided"
        )
        return found

    @staticmethod
    def asking(cpu: str) -> list[Json]:
        return [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]

    def test_without_nodes_pods_wait_until_there_is_one(self, server: Server) -> None:
        pod = self.place(server)
        assert condition(pod, "PodScheduled")["reason"] == "Unschedulable"
        NodeClient(server).register()
        path = f"{PODS}/{pod['metadata']['name']}"
        until(lambda: server.get(path)["spec"].get("nodeName") == "node-1", "the pod is placed")
        assert condition(server.get(path), "PodScheduled")["status"] == "True"
        events = server.get(
            f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{pod['metadata']['name']}"
        )
        assert [item["reason"] for item in sorted(events["items"], key=lambda item: item["reason"])] == [
            "FailedScheduling",
            "Scheduled",
        ]

    def test_requests_fill_a_node(self, server: Server) -> None:
        NodeClient(server).register(cpu="2")
        assert self.place(server, containers=self.asking("1500m"))["spec"]["nodeName"] == "node-1"
        refused = self.place(server, containers=self.asking("600m"))
        assert condition(refused, "PodScheduled")["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        NodeClient(server, "node-2").register(cpu="1")
        until(lambda: len(NodeClient(server, "node-2").pods()) == 1, "the second node takes it")

    def test_selectors_and_affinity_choose_the_node(self, server: Server) -> None:
        NodeClient(server, "node-1").register(labels={"disk": "slow"})
        NodeClient(server, "node-2").register(labels={"disk": "fast"})
        assert self.place(server, nodeSelector={"disk": "fast"})["spec"]["nodeName"] == "node-2"
        term = {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["fast"]}]}
        rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        assert self.place(server, affinity={"nodeAffinity": rule})["spec"]["nodeName"] == "node-1"
        refused = self.place(server, nodeSelector={"disk": "none"})
        assert "didn't match Pod's node affinity/selector" in condition(refused, "PodScheduled")["message"]

    def test_a_cordoned_or_tainted_node_takes_only_what_tolerates_it(self, server: Server, node: NodeClient) -> None:
        path = f"/api/v1/nodes/{node.name}"
        server.send("PATCH", path, {"spec": {"unschedulable": True}}, MERGE)
        taints = until(lambda: server.get(path)["spec"].get("taints"), "the cordon is a taint")
        assert taints[0]["key"] == "node.kubernetes.io/unschedulable"
        refused = self.place(server)
        assert "untolerated taint {node.kubernetes.io/unschedulable: }" in condition(refused, "PodScheduled")["message"]
        toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
        assert self.place(server, tolerations=[toleration])["spec"]["nodeName"] == node.name
        server.send("PATCH", path, {"spec": {"unschedulable": None}}, MERGE)
        until(lambda: len(node.pods()) == 2, "the waiting pod is placed once the cordon is off")

    def test_pods_of_one_owner_are_spread(self, server: Server) -> None:
        for name in ("node-1", "node-2"):
            NodeClient(server, name).register()
        until(
            lambda: not any(item["spec"].get("taints") for item in server.get("/api/v1/nodes")["items"]), "both ready"
        )
        server.send("POST", DEPLOYMENTS, deployment(replicas=4))
        until(lambda: [len(NodeClient(server, name).pods()) for name in ("node-1", "node-2")] == [2, 2], "two each")


class TestNodes:
    """Nodes that go silent, come back, or are removed."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        with running(tmp_path, grace_seconds=1.0) as running_server:
            yield running_server

    def test_a_silent_node_is_not_ready_and_neither_are_its_pods(self, server: Server, node: NodeClient) -> None:
        server.send("POST", DEPLOYMENTS, deployment(replicas=1))
        node.run_until(lambda: node.pods() and node.pods()[0]["status"]["phase"] == "Running", "the pod runs")
        path = f"/api/v1/nodes/{node.name}"
        silent = until(
            lambda: condition(found := server.get(path), "Ready").get("status") == "Unknown" and found, "it is given up"
        )
        assert condition(silent, "Ready")["reason"] == "NodeStatusUnknown"
        until(lambda: len(server.get(path)["spec"].get("taints", [])) == 2, "it is tainted")
        effects = {(taint["key"], taint["effect"]) for taint in server.get(path)["spec"]["taints"]}
        key = "node.kubernetes.io/unreachable"
        assert effects == {(key, "NoSchedule"), (key, "NoExecute")}
        until(lambda: condition(node.pods()[0], "Ready").get("status") == "False", "its pod is not ready")
        until(lambda: server.get(f"{DEPLOYMENTS}/web")["status"].get("unavailableReplicas") == 1, "and not available")
        node.heartbeat("2026-02-02T00:00:00Z")
        until(lambda: not server.get(path)["spec"].get("taints"), "it is back")

    def test_pods_that_tolerate_silence_only_for_a_while_terminate(self, server: Server, node: NodeClient) -> None:
        toleration = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        short = {**spec, "tolerations": [{**toleration, "tolerationSeconds": 0}]}
        server.send("POST", PODS, {"metadata": {"name": "short"}, "spec": short})
        server.send("POST", PODS, {"metadata": {"name": "usual"}, "spec": spec})
        node.run_until(lambda: len(node.pods()) == 2, "both are placed")
        until(lambda: server.get(f"{PODS}/short")["metadata"].get("deletionTimestamp"), "the short one terminates")
        assert not server.get(f"{PODS}/usual")["metadata"].get("deletionTimestamp")

    def test_a_lease_alone_keeps_a_node_alive(self, server: Server, node: NodeClient) -> None:
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        server.send("POST", leases, {"metadata": {"name": node.name}, "spec": {"holderIdentity": node.name}})
        NodeClient(server, "silent").register()
        renewals = count()

        def others_are_given_up() -> bool:
            stamp = {"spec": {"renewTime": f"2026-02-02T00:00:00.{next(renewals):06}Z"}}
            server.send("PATCH", f"{leases}/{node.name}", stamp, MERGE)
            return condition(server.get("/api/v1/nodes/silent"), "Ready")["status"] == "Unknown"

        until(others_are_given_up, "a node without a lease is given up")
        assert condition(server.get(f"/api/v1/nodes/{node.name}"), "Ready")["status"] == "True"

    def test_pods_of_a_removed_node_are_collected(self, server: Server, node: NodeClient) -> None:
        server.send("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        node.run_until(node.pods, "the pod is placed")
        server.send("DELETE", f"/api/v1/nodes/{node.name}")
        until(lambda: server.call("GET", f"{PODS}/p").status == 404, "the pod is gone")


def test_endpoint_slices_follow_the_ready_pods(server: Server, node: NodeClient) -> None:
    services = "/api/v1/namespaces/default/services"
    slices = (
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb"
    )
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    service = server.send("POST", services, {"metadata": {"name": "web"}, "spec": spec})
    assert service["spec"]["clusterIP"].startswith("10.96.")
    server.send("POST", DEPLOYMENTS, deployment(replicas=2))

    def ready() -> list[bool]:
        items = server.get(slices)["items"]
        return [entry["conditions"]["ready"] for entry in items[0].get("endpoints", [])] if items else []

    node.run_until(lambda: ready() == [True, True], "both pods are endpoints")
    found = server.get(slices)["items"][0]
    assert found["ports"] == [{"name": "", "protocol": "TCP", "port": 8000}]
    server.send("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 1}}, MERGE)
    until(lambda: sorted(ready()) == [False, True], "the terminating one gets no more work")
    server.send("DELETE", f"{services}/web")
    until(lambda: not server.get(slices)["items"], "the slice goes with its service")


def test_stateful_sets_grow_and_roll_one_by_one(server: Server, node: NodeClient) -> None:
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    body = deployment(name="db", replicas=3, image="db:1")
    server.send("POST", path, {**body, "kind": "StatefulSet", "spec": {**body["spec"], "serviceName": "db"}})
    until(lambda: server.get(PODS)["items"], "the first pod")
    assert [pod["metadata"]["name"] for pod in server.get(PODS)["items"]] == ["db-0"]
    node.run_until(lambda: server.get(f"{path}/db")["status"].get("readyReplicas") == 3, "all are up")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:2"}]}}}}
    server.send("PATCH", f"{path}/db", patch, STRATEGIC)
    leaving = until(
        lambda: [p["metadata"]["name"] for p in server.get(PODS)["items"] if p["metadata"].get("deletionTimestamp")],
        "one pod is replaced",
    )
    assert leaving == ["db-2"]
    node.run_until(lambda: images(server) == ["db:2"] * 3, "all are replaced")
    server.send("PATCH", f"{path}/db/scale", {"spec": {"replicas": 1}}, MERGE)
    node.run_until(lambda: [pod["metadata"]["name"] for pod in server.get(PODS)["items"]] == ["db-0"], "one is left")
