"""Clusters for the tests of k8s_manifests: objects of every kind, and a door that an API may be seen through."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import threading
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.unit.lab.kubernetes_server import TOKEN, Server
from tests.unit.plugins.cluster_support import GOOD, kubeconfig

SPACE = "shop"
Json = dict[str, t.Any]

_LABELS = {"app": "api"}
_POD = {
    "serviceAccountName": "runner",
    "containers": [
        {
            "name": "api",
            "image": GOOD,
            "ports": [{"containerPort": 8000}],
            "env": [{"name": "REGION", "value": "us-east-1"}, {"name": "PORT", "value": "8000"}],
            "envFrom": [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "settings"}}],
        }
    ],
}
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": _POD}
_BACKEND = {"service": {"name": "api", "port": {"number": 80}}}
_RULE = {"host": "shop.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _BACKEND}]}}

#: collection below the namespace -> objects; YAML's traps are among the values
SERVICE: dict[str, list[Json]] = {
    "/api/v1/{}/serviceaccounts": [{"kind": "ServiceAccount", "metadata": {"name": "runner"}}],
    "/apis/rbac.authorization.k8s.io/v1/{}/roles": [
        {
            "kind": "Role",
            "metadata": {"name": "shop:reader"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
        }
    ],
    "/apis/rbac.authorization.k8s.io/v1/{}/rolebindings": [
        {
            "kind": "RoleBinding",
            "metadata": {"name": "shop:reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "runner", "namespace": SPACE}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shop:reader"},
        }
    ],
    "/api/v1/{}/configmaps": [
        {
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "annotations": {"note": "kept"}},
            "data": {
                "number": "1e3", "time": "2026-11-23", "answer": "y", "octal": "0644", "clock": "12:30", "empty": "",
                "nothing": "null", "lines": "one\ntwo\n", "trailing": "a \nb", "unicode": "größe ☃ \U0001f980",
                "odd": "tab\there \x85 nel", "colon": "a: b # c", "dash": "- x", "at": "@x", "spaces": "  x  ",
            },
        }
    ],
    "/apis/networking.k8s.io/v1/{}/networkpolicies": [
        {"kind": "NetworkPolicy", "metadata": {"name": "closed"}, "spec": {"podSelector": {"matchLabels": _LABELS}}}
    ],
    "/api/v1/{}/persistentvolumeclaims": [
        {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "cache", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    ],
    "/apis/policy/v1/{}/poddisruptionbudgets": [
        {
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "api"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": _LABELS}},
        }
    ],
    "/api/v1/{}/services": [
        {"kind": "Service", "metadata": {"name": "api"}, "spec": {"selector": _LABELS, "ports": [{"port": 80}]}},
        {
            "kind": "Service",
            "metadata": {"name": "headless"},
            "spec": {"clusterIP": "None", "selector": _LABELS, "ports": [{"port": 80}]},
        },
        {
            "kind": "Service",
            "metadata": {"name": "outside"},
            "spec": {
                "type": "NodePort",
                "selector": _LABELS,
                "ports": [{"name": "auto", "port": 80}, {"name": "agreed", "port": 81, "nodePort": 30081}],
            },
        },
    ],
    "/apis/apps/v1/{}/deployments": [
        {
            "kind": "Deployment",
            "metadata": {"name": "api", "labels": _LABELS},
            "spec": {"replicas": 2, "selector": {"matchLabels": _LABELS}, "template": _TEMPLATE},
        }
    ],
    "/apis/batch/v1/{}/cronjobs": [
        {
            "kind": "CronJob",
            "metadata": {"name": "nightly"},
            "spec": {
                "schedule": "0 3 * * *",
                "jobTemplate": {
                    "spec": {
                        "template": {
                            "spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": GOOD}]}
                        }
                    }
                },
            },
        }
    ],
    "/apis/autoscaling/v2/{}/horizontalpodautoscalers": [
        {
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "api"},
            "spec": {
                "maxReplicas": 5,
                "minReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
            },
        }
    ],
    "/apis/networking.k8s.io/v1/{}/ingresses": [
        {"kind": "Ingress", "metadata": {"name": "shop"}, "spec": {"rules": [_RULE]}}
    ],
}  # fmt: skip

#: left out: secrets, releases of Helm, what the cluster makes, what something else owns
OTHERS: dict[str, list[Json]] = {
    "/api/v1/{}/secrets": [{"kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"KEY": "plain"}}],
    "/api/v1/{}/configmaps": [
        {"kind": "ConfigMap", "metadata": {"name": "sh.helm.release.v1.shop.v3", "labels": {"owner": "helm"}}},
        {
            "kind": "ConfigMap",
            "metadata": {
                "name": "owned",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Widget", "name": "w", "uid": "u-1"}],
            },
        },
    ],
}


class Region:
    """One cluster's API, and short ways to it."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory

    @property
    def connection(self) -> Json:
        return self.connected(self.server.url)

    def connected(self, url: str, timeout: float = 10) -> Json:
        path = self.directory / f"kubeconfig-{urlsplit(url).port}"
        path.write_text(yaml.safe_dump(kubeconfig(url, TOKEN)))
        return {"kubeconfig": str(path), "timeout": timeout}

    def space(self, name: str = SPACE) -> None:
        body = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": {"team": "shop"}}}
        self.server.send("POST", "/api/v1/namespaces", body)

    def fill(self, objects: dict[str, list[Json]], name: str = SPACE) -> None:
        for path, items in objects.items():
            for item in items:
                self.server.send("POST", path.format(f"namespaces/{name}"), item)

    def get(self, path: str, name: str = SPACE) -> Json:
        return self.server.get(path.format(f"namespaces/{name}"))

    def everything(self) -> Json:
        """Every object with its version: equal before and after, nothing was written."""
        found = {}
        for collection in [*SERVICE, "/api/v1/{}/secrets"]:
            for item in self.server.get(collection.replace("/{}", ""))["items"]:
                metadata = item["metadata"]
                found[f"{collection} {metadata['namespace']}/{metadata['name']}"] = metadata["resourceVersion"]
        for item in self.server.get("/api/v1/namespaces")["items"]:
            found[item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
        return found


@contextlib.contextmanager
def region(directory: Path) -> t.Iterator[Region]:
    """A cluster with an empty state."""
    directory.mkdir(exist_ok=True)
    server = Server(directory)
    server.start()
    try:
        yield Region(server, directory)
    finally:
        server.stop()


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file()
    }


#: sees method, path with query, and how many requests there were; gives an answer of its own, None to pass it on, or
#: raises ConnectionError to hang up
Judge = t.Callable[[str, str, int], tuple[int, Json] | None]


class Door(http.server.ThreadingHTTPServer):
    """Stands before an API: passes requests on, save those that it answers itself."""

    daemon_threads = True

    def __init__(self, behind: str, judge: Judge) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind)
        self.judge = judge
        self.count = 0
        self.asked: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_arguments: t.Any) -> None:
        """Hanging up is part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.count += 1
            self.server.asked.append(f"{self.command} {self.path}")
            own = self.server.judge(self.command, self.path, self.server.count)
        status, data = own if own else self._pass_on(body)
        sent = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def _pass_on(self, body: bytes) -> tuple[int, t.Any]:
        to = http.client.HTTPConnection(self.server.behind.netloc, timeout=10)
        passed = ("authorization", "content-type", "accept")
        kept = {name: value for name, value in self.headers.items() if name.lower() in passed}
        to.request(self.command, self.path, body or None, kept)
        answer = to.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            to.close()

    do_GET = do_PATCH = do_POST = _answer

    def log_message(self, *_arguments: t.Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def door(behind: str, judge: Judge) -> t.Iterator[Door]:
    server = Door(behind, judge)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusal(status: int, reason: str, message: str) -> tuple[int, Json]:
    return status, {"kind": "Status", "code": status, "reason": reason, "message": message}
