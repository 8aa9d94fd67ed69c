"""StatefulSets: pods with fixed names, one after the other."""

from __future__ import annotations

from typing import Any

from ..storage import DELETED, Event
from .base import PODS, STATEFUL_SETS, Controller, Key, controller_of, is_over, is_true, key_of
from .replicaset import available_in, pod_from_template
from .revisions import template_hash

Json = dict[str, Any]
HASH_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


class StatefulSetController(Controller):
    """Ordered and parallel pod management and rolling updates by partition; volume claims are not made."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == STATEFUL_SETS.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.resource != PODS.key:
            return []
        owner = controller_of(event.object)
        is_ours = owner is not None and owner["kind"] == "StatefulSet"
        return [(event.object["metadata"]["namespace"], owner["name"])] if owner and is_ours else []

    def reconcile(self, key: Key) -> float | None:
        stateful = self.context.get(STATEFUL_SETS, key)
        if stateful is None:
            return None
        if not stateful["metadata"].get("deletionTimestamp"):
            self._manage(stateful)
        return self._report(stateful)

    def _pods(self, stateful: Json) -> dict[int, Json]:
        found = {}
        for pod in self.context.owned(stateful, PODS):
            tail = pod["metadata"]["name"].rpartition("-")[2]
            if tail.isdigit():
                found[int(tail)] = pod
        return found

    def _manage(self, stateful: Json) -> None:
        """One step: restart failed pods, fill up from the lowest ordinal, shrink from the highest, then update."""
        spec, pods = stateful["spec"], self._pods(stateful)
        in_order = spec["podManagementPolicy"] == "OrderedReady"
        first = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(first, first + spec["replicas"])
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is None:
                self._create(stateful, ordinal)
            elif is_over(pod) and not pod["metadata"].get("deletionTimestamp"):
                self.context.delete(PODS, pod)
            if in_order and (pod is None or not is_true(pod, "Ready") or pod["metadata"].get("deletionTimestamp")):
                return
        surplus = sorted((ordinal for ordinal in pods if ordinal not in wanted), reverse=True)
        for ordinal in surplus:
            if not pods[ordinal]["metadata"].get("deletionTimestamp"):
                self.context.delete(PODS, pods[ordinal])
            if in_order:
                return
        if not surplus:
            self._update(stateful, pods, wanted)

    def _update(self, stateful: Json, pods: dict[int, Json], wanted: range) -> None:
        strategy = stateful["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        partition = strategy["rollingUpdate"]["partition"]
        tag = _revision(stateful)
        for ordinal in sorted((number for number in wanted if number >= partition), reverse=True):
            pod = pods.get(ordinal)
            if pod is None or pod["metadata"].get("deletionTimestamp"):
                return
            if pod["metadata"].get("labels", {}).get(HASH_LABEL) != tag:
                self.context.delete(PODS, pod)
                return
            if not is_true(pod, "Ready"):
                return

    def _create(self, stateful: Json, ordinal: int) -> None:
        namespace, name = key_of(stateful)
        pod = pod_from_template(stateful, stateful["spec"]["template"], {"name": f"{name}-{ordinal}"})
        labels = pod["metadata"].setdefault("labels", {})
        labels.update({HASH_LABEL: _revision(stateful), NAME_LABEL: f"{name}-{ordinal}", INDEX_LABEL: str(ordinal)})
        pod["spec"]["hostname"] = f"{name}-{ordinal}"
        if stateful["spec"].get("serviceName"):
            pod["spec"]["subdomain"] = stateful["spec"]["serviceName"]
        self.context.create(PODS, namespace, pod)
        self.context.record(
            stateful, "SuccessfulCreate", f"create Pod {name}-{ordinal} in StatefulSet {name} successful"
        )

    def _report(self, stateful: Json) -> float | None:
        pods = list(self._pods(stateful).values())
        tag = _revision(stateful)
        updated = [pod for pod in pods if pod["metadata"].get("labels", {}).get(HASH_LABEL) == tag]
        waits = [available_in(pod, stateful["spec"].get("minReadySeconds", 0)) for pod in pods]
        is_done = len(updated) == len(pods)
        before = stateful.get("status", {})
        current = tag if is_done else before.get("currentRevision", tag)
        counts = {
            "readyReplicas": sum(is_true(pod, "Ready") for pod in pods),
            "currentReplicas": len(updated) if is_done else len(pods) - len(updated),
            "updatedReplicas": len(updated),
        }
        status: Json = {
            "observedGeneration": stateful["metadata"]["generation"],
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "availableReplicas": sum(wait == 0 for wait in waits),
            "currentRevision": current,
            "updateRevision": tag,
            "collisionCount": 0,
        }
        self.context.set_status(STATEFUL_SETS, stateful, status)
        later = [wait for wait in waits if wait]
        return min(later) if later else None


def _revision(stateful: Json) -> str:
    return f"{stateful['metadata']['name']}-{template_hash(stateful['spec']['template'], 0)}"
