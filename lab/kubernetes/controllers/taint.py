"""NoExecute taints: pods that do not tolerate one are deleted, at once or when their toleration ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..storage import DELETED, Event
from ..values import now, parse_time
from .base import NODES, PODS, Controller, Key, is_active, key_of
from .scheduler import tolerates

Json = dict[str, Any]


class TaintEviction(Controller):
    """Keys are nodes."""

    def keys(self, event: Event) -> list[Key]:
        if event.kind == DELETED:
            return []
        if event.resource == NODES.key:
            before = (event.previous or {}).get("spec", {}).get("taints")
            return [key_of(event.object)] if event.object["spec"].get("taints") != before else []
        if event.resource == PODS.key:
            node = event.object["spec"].get("nodeName")
            is_new = event.previous is None or event.previous["spec"] != event.object["spec"]
            return [("", node)] if node and is_new else []
        return []

    def reconcile(self, key: Key) -> float | None:
        node = self.context.get(NODES, key)
        taints = [taint for taint in (node or {}).get("spec", {}).get("taints") or [] if taint["effect"] == "NoExecute"]
        if not taints:
            return None
        waits = []
        for pod in self.context.store.list(PODS.key):
            if pod["spec"].get("nodeName") != key[1] or not is_active(pod):
                continue
            left = _time_left(pod, taints)
            if left is not None and left <= 0:
                self.context.record(pod, "TaintManagerEviction", f"Marking for deletion Pod {'/'.join(key_of(pod))}")
                self.context.delete(PODS, pod)
            elif left is not None:
                waits.append(left)
        return min(waits) if waits else None


def _time_left(pod: Json, taints: list[Json]) -> float | None:
    """Seconds that the pod may stay; None where it tolerates every taint without end."""
    shortest: float | None = None
    for taint in taints:
        toleration = tolerates(pod["spec"].get("tolerations") or [], taint)
        if toleration is None:
            return 0.0
        if "tolerationSeconds" in toleration:
            since = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now()
            left = (since + timedelta(seconds=toleration["tolerationSeconds"]) - now()).total_seconds()
            shortest = left if shortest is None else min(shortest, left)
    return shortest
