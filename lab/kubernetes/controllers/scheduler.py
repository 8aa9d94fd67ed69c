"""The scheduler: gives each waiting pod a node that is ready, tolerated, selected and large enough."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..admission import UNSCHEDULABLE
from ..pod_defaults import requests_of
from ..selectors import match_expressions
from ..storage import DELETED, Event
from ..subresources import bind
from ..values import get_path, quantity, timestamp
from .base import NODES, PODS, Controller, Key, condition, is_over, key_of

Json = dict[str, Any]
NAME = "default-scheduler"
_ALL: Key = ("", "")


def tolerates(tolerations: list[Json], taint: Json) -> Json | None:
    """The toleration that covers a taint, or None."""
    for item in tolerations:
        if item.get("effect") and item["effect"] != taint.get("effect"):
            continue
        if item.get("key") and item["key"] != taint["key"]:
            continue
        if item.get("operator", "Equal") == "Exists" or item.get("value", "") == taint.get("value", ""):
            return item
    return None


@dataclass
class _Room:
    """A node and what is left on it."""

    node: Json
    free: dict[str, Decimal]
    pods: int = 0
    owners: Counter[str] = field(default_factory=Counter)

    def take(self, pod: Json) -> None:
        for name, amount in requests_of(pod["spec"]).items():
            self.free[name] = self.free.get(name, Decimal(0)) - amount
        self.free["pods"] = self.free.get("pods", Decimal(0)) - 1
        self.pods += 1
        self.owners[_owner(pod)] += 1


def _owner(pod: Json) -> str:
    references = pod["metadata"].get("ownerReferences") or []
    return str(references[0]["uid"]) if references else ""


class Scheduler(Controller):
    """One key: every pass looks at all waiting pods, oldest first."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == PODS.key:
            return self._pod_keys(event)
        if event.resource == NODES.key and event.kind != DELETED:
            before = event.previous or {}
            paths = (("spec",), ("metadata", "labels"), ("status", "allocatable"))
            changed = any(get_path(before, *path) != get_path(event.object, *path) for path in paths)
            return [_ALL] if changed or event.previous is None else []
        return []

    def _pod_keys(self, event: Event) -> list[Key]:
        pod, before = event.object, event.previous
        if event.kind == DELETED or (is_over(pod) and before is not None and not is_over(before)):
            return [_ALL]
        is_new = before is None or before["spec"] != pod["spec"]
        return [_ALL] if is_new and not pod["spec"].get("nodeName") else []

    def reconcile(self, key: Key) -> float | None:
        pods = self.context.store.list(PODS.key)
        waiting = [pod for pod in pods if _waits(pod)]
        if not waiting:
            return None
        rooms = self._rooms(pods)
        for pod in sorted(
            waiting, key=lambda pod: (-pod["spec"].get("priority", 0), int(pod["metadata"]["resourceVersion"]))
        ):
            self._place(pod, rooms)
        return None

    def _rooms(self, pods: list[Json]) -> dict[str, _Room]:
        rooms = {}
        for node in self.context.store.list(NODES.key):
            amounts = node.get("status", {}).get("allocatable") or {}
            free = {name: quantity(amount) for name, amount in amounts.items()}
            rooms[node["metadata"]["name"]] = _Room(node, free)
        for pod in pods:
            room = rooms.get(pod["spec"].get("nodeName", ""))
            if room is not None and not is_over(pod):
                room.take(pod)
        return rooms

    def _place(self, pod: Json, rooms: dict[str, _Room]) -> None:
        reasons: Counter[str] = Counter()
        fitting = []
        for room in rooms.values():
            reason = _misfit(pod, room)
            if reason is None:
                fitting.append(room)
            else:
                reasons[reason] += 1
        if not fitting:
            self._refuse(pod, len(rooms), reasons)
            return
        best = min(fitting, key=lambda room: (room.owners[_owner(pod)], room.pods, room.node["metadata"]["name"]))
        name = best.node["metadata"]["name"]
        namespace, pod_name = key_of(pod)
        bind(self.context.store, namespace, pod_name, {"target": {"name": name}})
        self.context.record(pod, "Scheduled", f"Successfully assigned {namespace}/{pod_name} to {name}", source=NAME)
        best.take(pod)

    def _refuse(self, pod: Json, total: int, reasons: Counter[str]) -> None:
        if total:
            parts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            message = f"0/{total} nodes are available: {parts}."
        else:
            message = "no nodes available to schedule pods"
        present = condition(pod, "PodScheduled")
        if present is not None and (present["status"], present.get("message")) == ("False", message):
            return
        self.context.modify(PODS, pod, lambda copy: _unscheduled(copy, message), "status", manager="kube-scheduler")
        self.context.record(pod, "FailedScheduling", message, kind="Warning", source=NAME)


def _waits(pod: Json) -> bool:
    spec = pod["spec"]
    is_ours = spec.get("schedulerName", NAME) == NAME and not spec.get("schedulingGates")
    return is_ours and not spec.get("nodeName") and not pod["metadata"].get("deletionTimestamp") and not is_over(pod)


def _misfit(pod: Json, room: _Room) -> str | None:
    """Why a pod cannot go to a node, in the scheduler's words; None where it can."""
    spec, node = pod["spec"], room.node
    for taint in node.get("spec", {}).get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and tolerates(spec.get("tolerations") or [], taint) is None:
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if node.get("spec", {}).get("unschedulable") and tolerates(spec.get("tolerations") or [], cordon) is None:
        return "node(s) were unschedulable"
    labels = node["metadata"].get("labels") or {}
    if not (spec.get("nodeSelector") or {}).items() <= labels.items() or not _affine(spec, node, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    needs = {**requests_of(spec), "pods": Decimal(1)}
    for name, amount in needs.items():
        if amount > room.free.get(name, Decimal(0)):
            return "Too many pods" if name == "pods" else f"Insufficient {name}"
    return None


def _affine(spec: Json, node: Json, labels: Json) -> bool:
    required = get_path(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        match_expressions(term.get("matchExpressions") or [], labels)
        and match_expressions(term.get("matchFields") or [], fields)
        for term in required.get("nodeSelectorTerms") or []
    )


def _unscheduled(pod: Json, message: str) -> None:
    conditions = pod["status"].setdefault("conditions", [])
    present = [item for item in conditions if item["type"] == "PodScheduled"]
    since = present[0]["lastTransitionTime"] if present and present[0]["status"] == "False" else timestamp()
    conditions[:] = [item for item in conditions if item["type"] != "PodScheduled"]
    conditions.append(
        {
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": None, "lastTransitionTime": since,
        }
    )  # fmt: skip
