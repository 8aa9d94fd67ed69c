"""A lab in a cluster of the user's own: what it refuses, and that it leaves the cluster as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import kube, shutdown
from lab.catalogue import REGIONS, SERVICES
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import Lab
from lab.node.cluster import call
from lab.own_clusters import check, clean, current_context, node_name
from lab.startup import create, refuse_other_clusters, start_lab
from tests.unit.lab.node_support import Kubernetes, wait_until

HOST = "127.79.7.1"
REGION, OTHER = REGIONS
SERVICE, ANOTHER = SERVICES


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    made = Kubernetes(tmp_path_factory.mktemp("cluster"), HOST)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def lab(cluster: Kubernetes, tmp_path: Path) -> Iterator[Lab]:
    """A lab of that cluster with nothing running; its emulator's place is the cluster's."""
    kubeconfig = str(cluster.kubeconfig)
    made = create(tmp_path / "lab", {REGION: kubeconfig}, {REGION: current_context(kubeconfig)})
    yield made
    shutdown.stop_lab(made)


def add_node(cluster: Kubernetes, name: str, **spec: Any) -> None:
    """A node that is ready."""
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]
    body = {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}
    cluster.core.create_node(body)


def deploy(cluster: Kubernetes, name: str, namespace: str, labels: dict[str, str], node: str) -> None:
    """A deployment, its replica set and a pod that runs on ``node``, whose agent is gone."""
    app = {"app": name}
    container = {"name": "web", "image": "127.0.0.1:1/web"}
    template = {"metadata": {"labels": app}, "spec": {"nodeName": node, "containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": app}, "template": template}
    cluster.apps.create_namespaced_deployment(namespace, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    wait_until(lambda: pods(cluster, namespace, name), "the pod")


def pods(cluster: Kubernetes, namespace: str, name: str) -> list[dict[str, Any]]:
    selected = call(cluster.core.list_namespaced_pod, namespace, label_selector=f"app={name}")["items"]
    return list(selected)


class TestCheck:
    def test_a_cluster_with_no_node_that_takes_pods_is_fit(self, cluster: Kubernetes) -> None:
        add_node(cluster, "cordoned", unschedulable=True)
        add_node(cluster, "control", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
        add_node(cluster, node_name(REGION))
        try:
            check({REGION: str(cluster.kubeconfig)}, {REGION: "lab"})
        finally:
            for name in ("cordoned", "control", node_name(REGION)):
                cluster.core.delete_node(name)

    def test_a_node_that_would_take_the_pods_is_named_with_the_remedy(self, cluster: Kubernetes) -> None:
        add_node(cluster, "worker")
        try:
            with pytest.raises(LabError, match=f"{REGION}: worker would.* cordon worker"):
                check({REGION: str(cluster.kubeconfig)}, {REGION: "lab"})
        finally:
            cluster.core.delete_node("worker")

    def test_two_regions_have_two_clusters(self, cluster: Kubernetes) -> None:
        same = dict.fromkeys(REGIONS, str(cluster.kubeconfig))
        with pytest.raises(LabError, match=f"of {OTHER}: it is that of {REGION}"):
            check(same, dict.fromkeys(REGIONS, "lab"))

    def test_a_cluster_that_does_not_answer_or_refuses_is_named(self, cluster: Kubernetes, tmp_path: Path) -> None:
        text = cluster.kubeconfig.read_text()
        for number, (wrong, cause) in enumerate(
            [(text.replace(str(cluster.port), "1"), "refused"), (text.replace("drill", "stranger"), "Unauthorized")]
        ):
            path = tmp_path / f"kubeconfig-{number}"
            path.write_text(wrong)
            with pytest.raises(LabError, match=f"(?s)cluster of {REGION}.*kubeconfig-{number}.*{cause}"):
                check({REGION: str(path)}, {REGION: "lab"})

    @pytest.mark.parametrize("text", ["{}", "current-context: ''", "[", "text"])
    def test_a_kubeconfig_without_a_current_context_is_named(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(text)
        with pytest.raises(LabError, match=str(path)):
            current_context(str(path))

    def test_nothing_is_started_for_a_cluster_that_is_not_fit(self, cluster: Kubernetes, tmp_path: Path) -> None:
        with pytest.raises(LabError, match="Give each one its own"):
            start_lab(tmp_path / "new", dict.fromkeys(REGIONS, str(cluster.kubeconfig)))
        assert Lab.load(tmp_path / "new") is None


class TestClean:
    def test_what_the_lab_put_there_goes_and_all_else_stays(self, cluster: Kubernetes, lab: Lab) -> None:
        kube.fill(lab, Keys.load(lab), REGION)
        for name in (node_name(REGION), "other"):
            add_node(cluster, name, unschedulable=True)
        ours = {"app": SERVICE.name, "app.kubernetes.io/managed-by": "terragon.disaster_recovery"}
        deploy(cluster, SERVICE.name, SERVICE.name, ours, node_name(REGION))
        deploy(cluster, "users", SERVICE.name, {"app": "users"}, "other")
        assert clean(lab, REGION) == ""
        assert pods(cluster, SERVICE.name, SERVICE.name) == []
        left = call(cluster.apps.list_namespaced_deployment, SERVICE.name)["items"]
        assert [one["metadata"]["name"] for one in left] == ["users"]
        assert len(pods(cluster, SERVICE.name, "users")) == 1
        assert call(cluster.core.list_namespaced_secret, SERVICE.name)["items"] == []
        assert [node["metadata"]["name"] for node in call(cluster.core.list_node)["items"]] == ["other"]
        assert clean(lab, REGION) == ""

    def test_a_cluster_that_is_away_is_no_reason_to_keep_the_lab(
        self, cluster: Kubernetes, lab: Lab, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cluster.stop()
        try:
            shutdown.stop_lab(lab)
        finally:
            cluster.start()
        said = capsys.readouterr().err
        assert f"cluster of {REGION}" in said and node_name(REGION) in said
        assert Lab.load(lab.directory) is None

    def test_a_namespace_that_is_being_deleted_is_waited_for(self, cluster: Kubernetes, lab: Lab) -> None:
        kube.fill(lab, Keys.load(lab), REGION)
        add_node(cluster, node_name(REGION), unschedulable=True)
        deploy(cluster, ANOTHER.name, ANOTHER.name, {"app": ANOTHER.name}, node_name(REGION))
        cluster.core.delete_namespace(ANOTHER.name)
        kube.fill(lab, Keys.load(lab), REGION)
        names = [one["metadata"]["name"] for one in call(cluster.core.list_namespaced_secret, ANOTHER.name)["items"]]
        assert sorted(names) == sorted(ANOTHER.secrets)


def test_a_lab_that_is_up_does_not_move_to_another_cluster(lab: Lab, tmp_path: Path) -> None:
    replace(lab, complete=True, faults={"region": list(REGIONS)}).save()
    given = tmp_path / "kubeconfig"
    given.write_text("{}")
    with pytest.raises(LabError, match="Stop it first"):
        refuse_other_clusters(lab, {OTHER: str(given)})
