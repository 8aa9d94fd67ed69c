"""Nodes: taints that follow their conditions, and what becomes of a node that has gone silent."""

from __future__ import annotations

import asyncio
from typing import Any

from ..admission import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from ..storage import DELETED, Event
from ..values import timestamp
from .base import LEASES, NODES, PODS, Controller, Key, condition, is_over, is_true, key_of

Json = dict[str, Any]
LEASE_NAMESPACE = "kube-node-lease"
TTL_ANNOTATION = "node.alpha.kubernetes.io/ttl"
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_MANAGED = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE_TAINTS.values()})


class NodeController(Controller):
    """A node lives while its Lease or its status is renewed; the time is taken here, so its clock does not matter."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._heard: dict[str, float] = {}

    def keys(self, event: Event) -> list[Key]:
        if event.resource == LEASES.key and event.kind != DELETED:
            namespace, name = key_of(event.object)
            if namespace != LEASE_NAMESPACE:
                return []
            self._hear(name)
            # A renewal only matters to a node that was given up; the running timer finds out about the others.
            node = self.context.get(NODES, ("", name))
            return [("", name)] if node is not None and _is_given_up(node) else []
        if event.resource != NODES.key:
            return []
        name = event.object["metadata"]["name"]
        if event.kind == DELETED:
            self._heard.pop(name, None)
            return []
        if _heartbeats(event.object) != _heartbeats(event.previous or {}) or name not in self._heard:
            self._hear(name)
        return [("", name)]

    def _hear(self, name: str) -> None:
        self._heard[name] = asyncio.get_running_loop().time()

    def reconcile(self, key: Key) -> float | None:
        node = self.context.get(NODES, key)
        if node is None:
            return None
        heard = self._heard.get(key[1], 0.0)
        left = heard + self.context.node_grace_seconds - asyncio.get_running_loop().time()
        if left <= 0 and (condition(node, "Ready") or {}).get("status") != "Unknown":
            node = self._give_up(node)
        node = self._furnish(node)
        if not is_true(node, "Ready"):
            self._mark_pods(node)
        return left if left > 0 else None

    def _give_up(self, node: Json) -> Json:
        """Nobody has heard of the node: what it last said of itself is now unknown."""

        def forget(copy: Json) -> None:
            present = {item["type"]: item for item in copy["status"].get("conditions", [])}
            for kind in _REPORTED:
                item = present.get(kind, {"type": kind, "lastHeartbeatTime": copy["metadata"]["creationTimestamp"]})
                known = kind in present
                reason = "NodeStatusUnknown" if known else "NodeStatusNeverUpdated"
                message = "Kubelet stopped posting node status." if known else "Kubelet never posted node status."
                present[kind] = {
                    **item,
                    "status": "Unknown",
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": timestamp(),
                }
            copy["status"]["conditions"] = list(present.values())

        node = self.context.modify(NODES, node, forget, "status")
        self.context.record(node, "NodeNotReady", f"Node {node['metadata']['name']} status is now: NodeNotReady")
        return node

    def _furnish(self, node: Json) -> Json:
        taints = _wanted_taints(node)
        annotations = node["metadata"].get("annotations") or {}
        if taints == (node["spec"].get("taints") or []) and TTL_ANNOTATION in annotations:
            return node

        def update(copy: Json) -> None:
            copy["metadata"].setdefault("annotations", {}).setdefault(TTL_ANNOTATION, "0")
            copy["spec"].pop("taints", None)
            if taints:
                copy["spec"]["taints"] = taints

        return self.context.modify(NODES, node, update)

    def _mark_pods(self, node: Json) -> None:
        """Pods of a node that is not ready are not ready either, so that nothing sends them work."""
        name = node["metadata"]["name"]
        pods = [pod for pod in self.context.store.list(PODS.key) if pod["spec"].get("nodeName") == name]
        for pod in pods:
            if is_true(pod, "Ready") and not is_over(pod):
                self.context.modify(PODS, pod, _not_ready, "status")
                self.context.record(pod, "NodeNotReady", "Node is not ready", kind="Warning", source="node-controller")


def _heartbeats(node: Json) -> list[Any]:
    conditions = node.get("status", {}).get("conditions") or []
    return [(item["type"], item["status"], item.get("lastHeartbeatTime")) for item in conditions]


def _is_given_up(node: Json) -> bool:
    return (condition(node, "Ready") or {}).get("status") == "Unknown"


def _not_ready(pod: Json) -> None:
    for item in pod["status"]["conditions"]:
        if item["type"] == "Ready":
            item.update(status="False", lastTransitionTime=timestamp())


def _wanted_taints(node: Json) -> list[Json]:
    """The taints others set, and those that the node's conditions and its cordon ask for."""
    present = node["spec"].get("taints") or []
    wanted: list[Json] = []
    if node["spec"].get("unschedulable"):
        wanted.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    ready = (condition(node, "Ready") or {"status": "False"})["status"]
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted.append({"key": key, "effect": "NoSchedule"})
        if condition(node, "Ready") is not None:
            wanted.append({"key": key, "effect": "NoExecute"})
    for kind, key in _PRESSURE_TAINTS.items():
        if is_true(node, kind):
            wanted.append({"key": key, "effect": "NoSchedule"})
    for taint in wanted:
        same = next(
            (item for item in present if (item["key"], item["effect"]) == (taint["key"], taint["effect"])), None
        )
        taint.setdefault("timeAdded", (same or {}).get("timeAdded") or timestamp())
    return [taint for taint in present if taint["key"] not in _MANAGED] + wanted
