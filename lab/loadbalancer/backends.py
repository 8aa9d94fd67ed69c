"""Which pods take connections, kept up to date by a watch, handed out in turn."""

from __future__ import annotations

import threading
from typing import Any

from kubernetes import client

from lab.node.informer import Informer

Document = dict[str, Any]


class Backends:
    """The addresses of the ready pods that a selector chooses.

    When the API server cannot be reached, the last known ones stay: a control plane that is down stops no traffic.
    """

    def __init__(self, api_client: client.ApiClient, namespace: str, selector: str) -> None:
        self._addresses: dict[str, str] = {}
        self._lock = threading.Lock()
        self._turn = 0
        self._informer = Informer(
            f"pods {selector} in {namespace}",
            client.CoreV1Api(api_client).list_namespaced_pod,
            self._applied,
            self._deleted,
            namespace=namespace,
            label_selector=selector,
        )

    def start(self) -> None:
        """Begin to watch."""
        self._informer.start()

    def wait_synced(self, seconds: float) -> bool:
        """Whether the pods are known, waiting at most ``seconds`` for it."""
        return self._informer.synced.wait(seconds)

    def in_turn(self) -> list[str]:
        """Every address, each call beginning one further on."""
        with self._lock:
            addresses = list(self._addresses.values())
            self._turn += 1
        start = self._turn % len(addresses) if addresses else 0
        return addresses[start:] + addresses[:start]

    def _applied(self, pod: Document) -> None:
        uid, address = pod["metadata"]["uid"], _address_when_ready(pod)
        with self._lock:
            if address:
                self._addresses[uid] = address
            else:
                self._addresses.pop(uid, None)

    def _deleted(self, pod: Document) -> None:
        with self._lock:
            self._addresses.pop(pod["metadata"]["uid"], None)


def _address_when_ready(pod: Document) -> str | None:
    status = pod.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    if pod["metadata"].get("deletionTimestamp") or conditions.get("Ready") != "True":
        return None
    return status.get("podIP")
