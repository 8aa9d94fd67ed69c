"""A cluster for the tests: the lab's Kubernetes API as a process, and a node that is played by a thread.

The node talks to the API as a kubelet does: it registers, reports what its pods' containers do, and confirms the end
of pods. What a container does hangs on its image.
"""

from __future__ import annotations

import contextlib
import threading
import typing as t
from pathlib import Path

import yaml

from tests.unit.lab.kubernetes_server import TOKEN, Server, until

NAMESPACE = "shop"
GOOD = "registry.test/api@sha256:" + "a" * 64
BETTER = "registry.test/api@sha256:" + "b" * 64
MERGE = "application/merge-patch+json"

#: Part of an image's name -> why its containers do not run.
TROUBLES = {
    "missing-image": ("ImagePullBackOff", "Back-off pulling image: rpc error: code = NotFound: manifest unknown"),
    "slow-registry": ("ImagePullBackOff", "Back-off pulling image: i/o timeout"),
    "bad-config": ("CreateContainerConfigError", 'secret "api-keys" not found'),
    "crashing": ("CrashLoopBackOff", "back-off 40s restarting failed container"),
}


class PlayedNode(threading.Thread):
    """One node with room for a few pods. Pods become ready as soon as they are seen."""

    def __init__(self, server: Server, name: str = "node-1", cpu: str = "4", pods: str = "20") -> None:
        super().__init__(daemon=True, name=name)
        self.server, self.node = server, name
        self.over = threading.Event()
        #: cleared, pods that are being deleted stay
        self.confirms_ends = threading.Event()
        self.confirms_ends.set()
        #: cleared, new pods stay Pending
        self.runs_pods = threading.Event()
        self.runs_pods.set()
        labels = {"kubernetes.io/hostname": name}
        server.send(
            "POST", "/api/v1/nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}
        )
        room = {"cpu": cpu, "memory": "8Gi", "pods": pods, "ephemeral-storage": "50Gi"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {"allocatable": room, "capacity": room, "conditions": [ready]}
        server.send("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, MERGE)

    def run(self) -> None:
        while not self.over.wait(0.02):
            for pod in self.server.get(f"/api/v1/pods?fieldSelector=spec.nodeName={self.node}")["items"]:
                self._report(pod)

    def _report(self, pod: dict[str, t.Any]) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        if pod["metadata"].get("deletionTimestamp"):
            if self.confirms_ends.is_set():
                self.server.call("DELETE", path, {"gracePeriodSeconds": 0})
        elif self.runs_pods.is_set() and not (pod.get("status") or {}).get("containerStatuses"):
            self.server.call("PATCH", f"{path}/status", {"status": _status(pod)}, MERGE)

    def stop(self) -> None:
        self.over.set()
        self.join()


def _status(pod: dict[str, t.Any]) -> dict[str, t.Any]:
    told = [_container(one) for one in pod["spec"]["containers"]]
    ready = "True" if all(one["ready"] for one in told) else "False"
    now = "2026-11-23T10:00:00Z"
    conditions = [
        {"type": kind, "status": value, "lastTransitionTime": now}
        for kind, value in (
            ("PodScheduled", "True"),
            ("Initialized", "True"),
            ("ContainersReady", ready),
            ("Ready", ready),
        )
    ]
    return {
        "phase": "Running" if ready == "True" else "Pending",
        "conditions": conditions,
        "containerStatuses": told,
        "startTime": now,
    }


def _container(container: dict[str, t.Any]) -> dict[str, t.Any]:
    image = container["image"]
    base = {"name": container["name"], "image": image, "restartCount": 0}
    for part, (reason, message) in TROUBLES.items():
        if part in image:
            state: dict[str, t.Any] = {"state": {"waiting": {"reason": reason, "message": message}}}
            if reason == "CrashLoopBackOff":
                state["lastState"] = {"terminated": {"exitCode": 3, "message": "no database"}}
            return {**base, **state, "imageID": "", "ready": False}
    pinned = image if "@" in image else f"{image.rpartition(':')[0]}@sha256:{'c' * 64}"
    running = {"running": {"startedAt": "2026-11-23T10:00:00Z"}}
    return {**base, "state": running, "imageID": f"docker-pullable://{pinned}", "ready": True}


class Cluster:
    """The API, its node, and short ways to put things into it and look at them."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(server.url, TOKEN)))
        self.node = PlayedNode(server)
        self.node.start()

    @property
    def connection(self) -> dict[str, t.Any]:
        return {"kubeconfig": str(self.kubeconfig), "timeout": 10}

    def reset(self) -> None:
        """A namespace that is empty but for its defaults; the node does as it is told again."""
        self.node.confirms_ends.set()
        self.node.runs_pods.set()
        for kind in ("deployments", "statefulsets"):
            self.server.call("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}?propagationPolicy=Background")
        for kind in ("secrets", "configmaps"):
            self.server.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/{kind}")
        until(lambda: not self.server.get("/api/v1/pods")["items"], "the pods have ended")
        self.server.call(
            "POST", "/api/v1/namespaces", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}
        )

    def path(self, name: str, kind: str = "deployments") -> str:
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}/{name}"

    def create(self, name: str, replicas: int = 1, image: str = GOOD, **spec: t.Any) -> None:
        kind = spec.pop("kind", "Deployment")
        container: dict[str, t.Any] = {"name": "api", "image": image}
        if "cpu" in spec:
            container["resources"] = {"requests": {"cpu": spec.pop("cpu")}}
        labels = {"app": name}
        body = {
            "kind": kind,
            "apiVersion": "apps/v1",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                **spec,
            },
        }
        self.server.send("POST", self.path("", f"{kind.lower()}s").rstrip("/"), body)

    def secret(self, name: str, kind: str = "Secret") -> None:
        body = {"kind": kind, "apiVersion": "v1", "metadata": {"name": name}}
        self.server.send("POST", f"/api/v1/namespaces/{NAMESPACE}/{kind.lower()}s", body)

    def get(self, name: str, kind: str = "deployments") -> dict[str, t.Any]:
        return self.server.get(self.path(name, kind))

    def version(self, name: str) -> int:
        """Generation: counts the changes of what is asked of a workload."""
        return int(self.get(name)["metadata"]["generation"])

    def pods(self, name: str) -> list[dict[str, t.Any]]:
        return list(self.server.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{name}")["items"])


def kubeconfig(url: str, token: str) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": url}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
    }


@contextlib.contextmanager
def running_cluster(directory: Path) -> t.Iterator[Cluster]:
    server = Server(directory)
    server.start()
    try:
        cluster = Cluster(server, directory)
        try:
            yield cluster
        finally:
            cluster.node.stop()
    finally:
        server.stop()
