"""k8s_manifests against two of the lab's Kubernetes APIs, as a module and as an action: the way there and back."""

from __future__ import annotations

import copy
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.lab.kubernetes_server import JSON_PATCH, MERGE
from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.manifests_support import OTHERS, SERVICE, SPACE, Json, Region, region, tree

KEYS = {
    "changed", "outcome", "directory", "counts", "files", "objects", "left_out", "problems", "unverified",
    "warnings_found", "waits", "observed", "evidence", "diff",
}  # fmt: skip
DEPLOYMENT = "/apis/apps/v1/{}/deployments/api"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def east(tmp_path: Path) -> t.Iterator[Region]:
    with region(tmp_path / "east") as one:
        one.space()
        one.fill(OTHERS)
        one.fill(SERVICE)
        yield one


@pytest.fixture
def west(tmp_path: Path) -> t.Iterator[Region]:
    with region(tmp_path / "west") as one:
        yield one


def do(both: BothWays, where: Region, state: str, directory: Path, check: bool = False, **options: t.Any) -> Json:
    given = {"kubernetes": where.connection, "state": state, "directory": str(directory), "wait": False, **options}
    if state == "exported":
        given.setdefault("namespaces", [SPACE])
    result = both("k8s_manifests", given, check)
    assert set(result) >= KEYS, result
    return result


def test_there_and_back(both: BothWays, east: Region, west: Region, tmp_path: Path) -> None:
    """What the other region has after applying exports to the same bytes; a second apply has nothing to do."""
    first, second = tmp_path / "first", tmp_path / "second"
    exported = do(both, east, "exported", first)
    assert (exported.get("failed"), exported["outcome"]) == (None, "passed"), exported
    assert exported["counts"] == {
        "Namespace": 1, "ServiceAccount": 1, "Role.rbac.authorization.k8s.io": 1, "CronJob.batch": 1,
        "RoleBinding.rbac.authorization.k8s.io": 1, "NetworkPolicy.networking.k8s.io": 1, "ConfigMap": 1,
        "PersistentVolumeClaim": 1, "PodDisruptionBudget.policy": 1, "Service": 3, "Deployment.apps": 1,
        "HorizontalPodAutoscaler.autoscaling": 1, "Ingress.networking.k8s.io": 1, "StatefulSet.apps": 0,
        "DaemonSet.apps": 0, "LimitRange": 0, "ResourceQuota": 0,
    }  # fmt: skip
    west.space()
    west.fill({"/api/v1/{}/secrets": OTHERS["/api/v1/{}/secrets"]})
    applied = do(both, west, "applied", first)
    assert (applied.get("failed"), applied["changed"]) == (None, True), applied
    assert {one["action"] for one in applied["objects"] if one["kind"] != "Namespace"} == {"created"}
    again = do(both, west, "exported", second)
    assert again["outcome"] == "passed"
    assert tree(first) == tree(second)
    before = west.everything()
    repeated = do(both, west, "applied", first)
    assert (repeated["changed"], {one["action"] for one in repeated["objects"]}) == (False, {"unchanged"})
    assert west.everything() == before


def test_an_export_holds_what_somebody_asked_for(both: BothWays, east: Region, tmp_path: Path) -> None:
    target = tmp_path / "export"
    result = do(both, east, "exported", target)
    files = tree(target)
    assert (target.stat().st_mode & 0o777, (target / "export.json").stat().st_mode & 0o777) == (0o700, 0o600)
    text = b"".join(files.values())
    for word in (b"uid:", b"resourceVersion", b"managedFields", b"creationTimestamp", b"status:", b"bind-completed",
                 b"10.96.", b"plain", b"ca.crt", b"generation:", b"deployment.kubernetes.io"):  # fmt: skip
        assert word not in text, word
    outside = yaml.safe_load(files[f"{SPACE}/Service/outside.yaml"])
    assert [port.get("nodePort") for port in outside["spec"]["ports"]] == [None, 30081]
    assert yaml.safe_load(files[f"{SPACE}/Service/headless.yaml"])["spec"]["clusterIP"] == "None"
    settings = yaml.safe_load(files[f"{SPACE}/ConfigMap/settings.yaml"])
    assert settings["data"] == SERVICE["/api/v1/{}/configmaps"][0]["data"]
    assert settings["metadata"]["annotations"] == {"note": "kept"}
    assert "_cluster/Namespace/shop.yaml" in files
    reasons = {one["reason"]: one["objects"] for one in result["left_out"]}
    assert reasons == {
        "made by the cluster in every namespace": ["ServiceAccount shop/default", "ConfigMap shop/kube-root-ca.crt"],
        "a release record of Helm": ["ConfigMap shop/sh.helm.release.v1.shop.v3"],
        "owned by another object, which makes it anew (Widget)": ["ConfigMap shop/owned"],
    }


def test_the_same_state_gives_the_same_bytes(both: BothWays, east: Region, tmp_path: Path) -> None:
    """Also after writes that leave nothing: a restart, a label that came and went, status."""
    target = tmp_path / "export"
    do(both, east, "exported", target)
    before = tree(target)
    path = DEPLOYMENT.format(f"namespaces/{SPACE}")
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T10:00:00Z"}
    east.server.send("PATCH", path, {"spec": {"template": {"metadata": {"annotations": stamp}}}}, MERGE)
    for label in ("x", None):
        east.server.send("PATCH", path, {"metadata": {"labels": {"passing": label}}}, MERGE)
    again = do(both, east, "exported", target)
    assert (again["changed"], again["files"], tree(target)) == (False, {}, before)


def test_check_mode_of_an_export_writes_nothing(both: BothWays, east: Region, tmp_path: Path) -> None:
    target = tmp_path / "export"
    predicted = do(both, east, "exported", target, check=True)
    assert (predicted["changed"], target.exists()) == (True, False)
    done = do(both, east, "exported", target)
    assert (predicted["files"], predicted["diff"]) == (done["files"], done["diff"])
    assert do(both, east, "exported", target, check=True)["changed"] is False


def test_small_pages_hold_the_same(both: BothWays, east: Region, tmp_path: Path) -> None:
    for number in range(25):
        body = {"kind": "ConfigMap", "metadata": {"name": f"many-{number}"}, "data": {"n": str(number)}}
        east.server.send("POST", f"/api/v1/namespaces/{SPACE}/configmaps", body)
    do(both, east, "exported", tmp_path / "one")
    result = do(both, east, "exported", tmp_path / "two", page=3)
    assert result["counts"]["ConfigMap"] == 26
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_selector_takes_what_it_selects(both: BothWays, east: Region, tmp_path: Path) -> None:
    result = do(both, east, "exported", tmp_path / "export", namespaces=[], selector="app=api")
    assert {kind: count for kind, count in result["counts"].items() if count} == {"Deployment.apps": 1, "Namespace": 1}


def test_a_dry_run_changes_nothing(both: BothWays, east: Region, west: Region, tmp_path: Path) -> None:
    target = tmp_path / "export"
    do(both, east, "exported", target)
    west.space()
    west.fill({"/api/v1/{}/secrets": OTHERS["/api/v1/{}/secrets"]})
    before = west.everything()
    validated = do(both, west, "validated", target)
    assert (validated.get("failed"), validated["outcome"], validated["changed"]) == (None, "passed", False), validated
    predicted = do(both, west, "applied", target, check=True)
    assert (predicted["changed"], predicted["observed"]) == (True, False)
    assert west.everything() == before
    done = do(both, west, "applied", target)
    assert [one["action"] for one in predicted["objects"]] == [one["action"] for one in done["objects"]]
    assert predicted["diff"].keys() == done["diff"].keys()
    assert predicted["diff"]["after"].keys() == done["diff"]["after"].keys()


def test_a_namespace_that_is_to_be_made_first(both: BothWays, east: Region, west: Region, tmp_path: Path) -> None:
    """The API cannot tell of what is in it; applying makes it first."""
    target = tmp_path / "export"
    do(both, east, "exported", target)
    validated = do(both, west, "validated", target, required=False, check_references=False)
    assert validated["outcome"] == "unverified"
    told = {one["kind"]: one["reasons"] for one in validated["objects"]}
    assert told["Namespace"] == []
    assert "namespace shop is to be made first" in told["Deployment.apps"][0]
    assert do(both, west, "validated", target)["failed"]
    predicted = do(both, west, "applied", target, check=True, check_references=False)
    assert (predicted.get("failed"), predicted["changed"]) == (None, True)
    done = do(both, west, "applied", target, check_references=False)
    assert (done.get("failed"), done["outcome"]) == (None, "passed"), done
    assert done["objects"][0]["kind"] == "Namespace"


def test_overrides(both: BothWays, east: Region, west: Region, tmp_path: Path) -> None:
    target = tmp_path / "export"
    do(both, east, "exported", target)
    west.space()
    west.fill({"/api/v1/{}/secrets": OTHERS["/api/v1/{}/secrets"]})
    image = "registry.west/api@sha256:" + "e" * 64
    overrides = [
        {
            "kind": "Deployment",
            "name": "api",
            "replicas": 5,
            "images": {"api": image},
            "environment": {"REGION": "west"},
        },
        {"kind": "Ingress", "patch": [{"op": "replace", "path": "/spec/rules/0/host", "value": "west.test"}]},
    ]
    done = do(both, west, "applied", target, overrides=overrides)
    assert done.get("failed") is None, done
    spec = west.get(DEPLOYMENT)["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert (spec["replicas"], container["image"]) == (5, image)
    assert {one["name"]: one["value"] for one in container["env"]} == {"REGION": "west", "PORT": "8000"}
    ingress = west.get("/apis/networking.k8s.io/v1/{}/ingresses/shop")
    assert ingress["spec"]["rules"][0]["host"] == "west.test"
    assert do(both, west, "applied", target, overrides=overrides)["changed"] is False
    before = copy.deepcopy(tree(target))
    assert before == tree(target)


def test_replicas_of_what_is_there_are_kept(both: BothWays, east: Region, tmp_path: Path) -> None:
    """A scaler owns them: neither a conflict nor a fight over them, unless somebody says so."""
    target = tmp_path / "export"
    do(both, east, "exported", target)
    path = DEPLOYMENT.format(f"namespaces/{SPACE}")
    east.server.send("PATCH", f"{path}/scale?fieldManager=hpa", {"spec": {"replicas": 7}}, MERGE)
    kept = do(both, east, "applied", target)
    assert (kept.get("failed"), kept["changed"]) == (None, False), kept
    assert kept["warnings_found"] == ["Deployment.apps shop/api: it keeps 7 replicas; its manifest has 2"]
    refused = do(both, east, "applied", target, existing_replicas="applied")
    assert refused["failed"]
    assert 'conflict with "hpa"' in refused["msg"]
    taken = do(both, east, "applied", target, existing_replicas="applied", force_conflicts=True)
    assert (taken["changed"], east.get(DEPLOYMENT)["spec"]["replicas"]) == (True, 2)


def test_another_manager_is_named_and_nothing_is_changed(both: BothWays, east: Region, tmp_path: Path) -> None:
    target = tmp_path / "export"
    do(both, east, "exported", target)
    path = DEPLOYMENT.format(f"namespaces/{SPACE}")
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "other:1"}]
    east.server.send("PATCH", f"{path}?fieldManager=pipeline", patch, JSON_PATCH)
    east.server.send("DELETE", f"/api/v1/namespaces/{SPACE}/services/api")
    before = east.everything()
    refused = do(both, east, "applied", target)
    assert refused["failed"]
    assert 'conflict with "pipeline"' in refused["msg"]
    assert ".image" in refused["msg"]
    assert "force_conflicts" in refused["msg"]
    assert refused["msg"].endswith("Nothing was changed.")
    assert east.everything() == before
    forced = do(both, east, "applied", target, force_conflicts=True)
    assert {one["name"] for one in forced["objects"] if one["action"] != "unchanged"} == {"api"}
    assert forced["diff"]["before"]["Deployment.apps shop/api"] == {
        ".spec.template.spec.containers[api].image": "other:1"
    }
