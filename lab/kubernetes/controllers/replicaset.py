"""ReplicaSets: as many pods as asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..errors import ApiError
from ..selectors import match_labels
from ..storage import DELETED, Event
from ..values import clone, now, parse_time, timestamp
from .base import (
    PODS,
    REPLICA_SETS,
    Controller,
    Key,
    condition,
    controller_of,
    is_active,
    is_over,
    is_true,
    key_of,
    owner_reference,
)

Json = dict[str, Any]


def available_in(pod: Json, min_ready_seconds: int) -> float | None:
    """Seconds until a pod counts as available: 0 where it does, None where it is not ready."""
    if not is_true(pod, "Ready"):
        return None
    if not min_ready_seconds:
        return 0.0
    since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
    if not since:
        return None
    return max(0.0, (parse_time(since) + timedelta(seconds=min_ready_seconds) - now()).total_seconds())


def pod_from_template(owner: Json, template: Json, name: Json) -> Json:
    """A pod of a template; ``name`` is its ``name`` or ``generateName``."""
    metadata = template.get("metadata") or {}
    kept = {key: clone(metadata[key]) for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {"metadata": {**name, **kept, "ownerReferences": [owner_reference(owner)]}, "spec": clone(template["spec"])}


class ReplicaSetController(Controller):
    """Creates and deletes pods, and counts them."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == REPLICA_SETS.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.resource != PODS.key:
            return []
        namespace = event.object["metadata"]["namespace"]
        owners = [controller_of(pod) for pod in (event.object, event.previous) if pod is not None]
        named = {(namespace, owner["name"]) for owner in owners if owner and owner["kind"] == "ReplicaSet"}
        if named or owners[0] is not None or event.kind == DELETED:
            return list(named)
        labels = event.object["metadata"].get("labels")
        sets = self.context.store.list(REPLICA_SETS.key, namespace)
        return [key_of(item) for item in sets if match_labels(item["spec"]["selector"], labels)]

    def reconcile(self, key: Key) -> float | None:
        replica_set = self.context.get(REPLICA_SETS, key)
        if replica_set is None:
            return None
        problem: ApiError | None = None
        if not replica_set["metadata"].get("deletionTimestamp"):
            self._claim(replica_set)
            try:
                self._manage(replica_set)
            except ApiError as refused:
                problem = refused
        again = self._report(replica_set, problem)
        if problem is not None:
            raise problem
        return again

    def _claim(self, replica_set: Json) -> None:
        """Adopt matching pods that nobody controls; let go of owned ones that no longer match."""
        selector = replica_set["spec"]["selector"]
        for pod in self.context.store.list(PODS.key, replica_set["metadata"]["namespace"]):
            owner = controller_of(pod)
            matches = match_labels(selector, pod["metadata"].get("labels"))
            if owner is None and matches and is_active(pod):
                self.context.modify(PODS, pod, lambda copy: _adopt(copy, replica_set))
            elif owner is not None and owner["uid"] == replica_set["metadata"]["uid"] and not matches:
                self.context.modify(PODS, pod, lambda copy: _release(copy, replica_set))

    def _manage(self, replica_set: Json) -> None:
        active = [pod for pod in self.context.owned(replica_set, PODS) if is_active(pod)]
        surplus = len(active) - replica_set["spec"].get("replicas", 1)
        namespace, name = key_of(replica_set)
        for _ in range(-surplus):
            pod = pod_from_template(replica_set, replica_set["spec"]["template"], {"generateName": f"{name}-"})
            created = self.context.create(PODS, namespace, pod)
            self.context.record(replica_set, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        if surplus > 0:
            for pod in sorted(active, key=_deletion_rank)[:surplus]:
                self.context.delete(PODS, pod)
                self.context.record(replica_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _report(self, replica_set: Json, problem: ApiError | None) -> float | None:
        pods = self.context.owned(replica_set, PODS)
        active = [pod for pod in pods if is_active(pod)]
        wanted_labels = (replica_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
        waits = [available_in(pod, replica_set["spec"].get("minReadySeconds", 0)) for pod in active]
        labelled = sum(wanted_labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active)
        counts = {
            "fullyLabeledReplicas": labelled,
            "readyReplicas": sum(is_true(pod, "Ready") for pod in active),
            "availableReplicas": sum(wait == 0 for wait in waits),
        }
        status: Json = {
            "replicas": len(active),
            **{name: count for name, count in counts.items() if count},
            "terminatingReplicas": sum(not is_active(pod) and not is_over(pod) for pod in pods),
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        conditions = _failure(replica_set, problem)
        if conditions:
            status["conditions"] = conditions
        self.context.set_status(REPLICA_SETS, replica_set, status)
        later = [wait for wait in waits if wait]
        return min(later) if later else None


def _failure(replica_set: Json, problem: ApiError | None) -> list[Json]:
    if problem is None:
        return []
    found = condition(replica_set, "ReplicaFailure")
    if found is not None and found["message"] == problem.message:
        return [found]
    return [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": timestamp(),
            "reason": "FailedCreate",
            "message": problem.message,
        }
    ]


def _adopt(pod: Json, owner: Json) -> None:
    pod["metadata"].setdefault("ownerReferences", []).append(owner_reference(owner))


def _release(pod: Json, owner: Json) -> None:
    uid = owner["metadata"]["uid"]
    pod["metadata"]["ownerReferences"] = [item for item in pod["metadata"]["ownerReferences"] if item["uid"] != uid]


def _deletion_rank(pod: Json) -> tuple[Any, ...]:
    """Which pod to give up first: unassigned, pending, not ready, cheap, restarted, young."""
    annotations = pod["metadata"].get("annotations") or {}
    cost = annotations.get("controller.kubernetes.io/pod-deletion-cost", "0")
    restarts = sum(item.get("restartCount", 0) for item in pod["status"].get("containerStatuses", []))
    born = parse_time(pod["metadata"]["creationTimestamp"]).timestamp()
    return (
        bool(pod["spec"].get("nodeName")),
        {"Pending": 0, "Unknown": 1}.get(pod["status"].get("phase", ""), 2),
        is_true(pod, "Ready"),
        int(cost) if cost.lstrip("-").isdigit() else 0,
        -restarts,
        -born,
    )
