"""k8s_manifests waits for what it applied, with a node that is played; what cannot roll out is named."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.cluster_support import NAMESPACE, Cluster, running_cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.reset()
    return shared


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def do(both: BothWays, cluster: Cluster, state: str, directory: Path, **options: t.Any) -> dict[str, t.Any]:
    given = {
        "kubernetes": cluster.connection,
        "state": state,
        "directory": str(directory),
        "wait_timeout": 120,
        **options,
    }
    if state == "exported":
        given["namespaces"] = [NAMESPACE]
    return both("k8s_manifests", given)


def test_a_deleted_deployment_comes_back(both: BothWays, cluster: Cluster, tmp_path: Path) -> None:
    """The plan's test 2 in small: delete, apply the backup, wait for the rollout."""
    target, log = tmp_path / "backup", tmp_path / "log"
    cluster.create("api", replicas=2)
    do(both, cluster, "exported", target)
    cluster.server.send("DELETE", cluster.path("api"), {"propagationPolicy": "Background"})
    result = do(both, cluster, "applied", target, log=str(log))
    assert (result.get("failed"), result["outcome"], result["observed"]) == (None, "passed", True), result
    assert cluster.get("api")["status"]["readyReplicas"] == 2
    assert [wait["name"] for wait in result["waits"]] == ["pods_ready"]
    assert result["evidence"]["workloads"][f"Deployment {NAMESPACE}/api"]["ready"] == 2
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == [
        "2 manifests asked of the API in a dry run",
        "1 of 2 manifests applied",
        "2 of 2 manifests applied",
        "waiting for 1 workloads",
        "1 workloads are ready",
    ]
    again = do(both, cluster, "applied", target)
    assert (again["changed"], again["observed"]) == (False, True)


def test_a_rollout_that_cannot_succeed_is_named(both: BothWays, cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    cluster.create("api")
    do(both, cluster, "exported", target)
    image = "registry.test/missing-image@sha256:" + "d" * 64
    overrides = [{"kind": "Deployment", "images": {"api": image}}]
    result = do(both, cluster, "applied", target, overrides=overrides, force_conflicts=True)
    assert (result["failed"], result["changed"], result["observed"]) == (True, True, False)
    assert "manifest unknown" in result["msg"]
    assert len(result["waits"]) == 1


def test_a_daemon_set_is_not_awaited_and_that_is_said(both: BothWays, cluster: Cluster, tmp_path: Path) -> None:
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    one = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(one))
    result = do(both, cluster, "applied", tmp_path)
    assert result["unverified"] == [f"DaemonSet.apps {NAMESPACE}/agent: its rollout was not awaited"]
    assert (result.get("failed"), result["outcome"]) == (None, "unverified")
