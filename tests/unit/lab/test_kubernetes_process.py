"""The emulator as a process: configuration, state that outlives it, and a prompt end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lab.kubernetes_server import (
    DEPLOYMENTS,
    HOST,
    MERGE,
    PODS,
    REPLICA_SETS,
    ROOT,
    NodeClient,
    Server,
    deployment,
    running,
    until,
)

Json = dict[str, Any]
EVERYTHING = ("/api/v1/namespaces", "/api/v1/nodes", PODS, DEPLOYMENTS, REPLICA_SETS, "/api/v1/events")


def snapshot(server: Server) -> dict[str, Any]:
    return {path: server.get(path)["items"] for path in EVERYTHING}


def test_state_outlives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        node = NodeClient(server)
        node.register()
        server.send("POST", DEPLOYMENTS, deployment(replicas=3))
        available = "the pods are up"
        node.run_until(lambda: server.get(f"{DEPLOYMENTS}/web")["status"].get("availableReplicas") == 3, available)
        until(lambda: (before := snapshot(server)) == snapshot(server) and before, "nothing moves any more")
        before = snapshot(server)
        version = int(server.get(PODS)["metadata"]["resourceVersion"])
        server.stop(signal.SIGKILL)
        server.start()
        assert snapshot(server) == before
        changed = server.send("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 1}}, MERGE)
        assert int(changed["metadata"]["resourceVersion"]) > version
        node.run_until(lambda: len(server.get(PODS)["items"]) == 1, "the controllers go on")


def test_work_in_progress_goes_on_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.send("POST", DEPLOYMENTS, deployment(replicas=20))
        server.stop(signal.SIGKILL)
        server.start()
        until(lambda: len(server.get(PODS)["items"]) == 20, "all pods are created")
        until(lambda: server.get(f"{DEPLOYMENTS}/web")["status"].get("replicas") == 20, "and counted")
        assert len(server.get(REPLICA_SETS)["items"]) == 1


def test_dependents_whose_owner_went_while_nobody_looked_are_collected(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        maps = "/api/v1/namespaces/default/configmaps"
        owner = server.send("POST", maps, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        server.send("POST", maps, {"metadata": {"name": "child", "ownerReferences": [reference]}})
        server.send("DELETE", f"{maps}/owner")
        server.stop(signal.SIGKILL)
        server.start()
        until(lambda: server.call("GET", f"{maps}/child").status == 404, "the child is gone")


def test_watches_from_before_a_restart_are_told_to_list_again(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        version = server.get(PODS)["metadata"]["resourceVersion"]
        server.send("POST", "/api/v1/namespaces", {"metadata": {"name": "more"}})
        server.stop()
        server.start()
        (event,) = server.watch(f"{PODS}?watch=1&resourceVersion={version}", 1)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_a_watch_ends_with_the_server(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        version = server.get(PODS)["metadata"]["resourceVersion"]
        with server.open("GET", f"{PODS}?watch=1&resourceVersion={version}") as response:
            output = server.stop()
            assert response.read() == b""
    assert "did not heed the signal" not in output
    lines = output.strip().splitlines()
    assert len(lines) == 2, output
    assert "stopped" in lines[1]


def _run(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.kubernetes", "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"port": None}, "int()"),
        ({"state_directory": ...}, "'state_directory'"),
        ({"host": "0.0.0.0"}, "not a loopback address"),
        ({"node_grace_seconds": 0}, "node_grace_seconds must be more than 0"),
        ({"tokens": {"t": {}}}, "'user'"),
        ({"tls_key": "key.pem"}, "tls_certificate"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_reason(tmp_path: Path, change: Json, words: str) -> None:
    good = {"host": HOST, "port": 1, "state_directory": str(tmp_path / "s"), "tokens": {}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({key: value for key, value in {**good, **change}.items() if value is not ...}))
    result = _run(config)
    assert result.returncode == 2
    assert str(config) in result.stdout
    assert words in result.stdout


def test_state_belongs_to_one_process(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        other = tmp_path / "other.json"
        other.write_text(json.dumps({**json.loads((tmp_path / "kubernetes.json").read_text()), "port": 1}))
        result = _run(other)
        assert result.returncode == 1
        assert f"Failed to open state in {tmp_path / 'state'}" in result.stdout
        assert server.get(PODS)["kind"] == "PodList"


def test_a_taken_address_is_reported(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        other = tmp_path / "other.json"
        config = json.loads((tmp_path / "kubernetes.json").read_text())
        other.write_text(json.dumps({**config, "state_directory": str(tmp_path / "other")}))
        result = _run(other)
        assert result.returncode == 1
        assert "Failed to serve the Kubernetes API" in result.stdout
        assert server.get(PODS)["kind"] == "PodList"


def test_a_client_that_leaves_its_watch_disturbs_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for _ in range(5):
            with server.open("GET", f"{PODS}?watch=1") as response:
                assert response.status == 200
        server.send("POST", DEPLOYMENTS, deployment(replicas=2))
        until(lambda: len(server.get(PODS)["items"]) == 2, "the controllers work on")
        output = server.stop()
    assert len(output.strip().splitlines()) == 2, output
