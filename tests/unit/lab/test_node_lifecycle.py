"""Containers begin, fail, are probed and end as Kubernetes says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.lab.node_lab import NAMESPACE, PORT, Node, agent_of, http_probe, node_in
from tests.unit.lab.node_support import listens, wait_until


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_in(tmp_path_factory.mktemp("lab")) as node, agent_of(node) as running:
        yield running


def test_crashing_container_is_started_again_after_a_while(agent: Node) -> None:
    agent.start_pod("crash", command=["python3", "-c", "raise SystemExit(3)"])
    agent.wait_reason("crash", "CrashLoopBackOff")
    wait_until(lambda: agent.container("crash")["restartCount"] >= 2, "restarts")
    last = agent.container("crash")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    wait_until(lambda: agent.condition("crash") == "False", "not ready while it waits to be started again")


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
