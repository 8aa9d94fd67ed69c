"""PodDisruptionBudgets: how many pods may be evicted now."""

from __future__ import annotations

from typing import Any

from ..resources import CATALOGUE
from ..selectors import match_labels
from ..storage import DELETED, Event
from ..values import portion, timestamp
from .base import (
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Controller,
    Key,
    condition,
    controller_of,
    is_active,
    is_true,
    key_of,
)

Json = dict[str, Any]
BUDGETS = CATALOGUE.get("policy", "poddisruptionbudgets")


class DisruptionController(Controller):
    """Counts healthy pods against each budget."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == BUDGETS.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.resource != PODS.key:
            return []
        labels = event.object["metadata"].get("labels")
        budgets = self.context.store.list(BUDGETS.key, event.object["metadata"]["namespace"])
        return [key_of(item) for item in budgets if match_labels(item["spec"].get("selector"), labels)]

    def reconcile(self, key: Key) -> float | None:
        budget = self.context.get(BUDGETS, key)
        if budget is None:
            return None
        selector = budget["spec"].get("selector")
        pods = [
            pod
            for pod in self.context.store.list(PODS.key, key[0])
            if is_active(pod) and match_labels(selector, pod["metadata"].get("labels"))
        ]
        healthy = sum(is_true(pod, "Ready") for pod in pods)
        expected = self._expected(pods) if _counts_owners(budget) else len(pods)
        desired = _desired(budget, expected)
        allowed = max(0, healthy - desired) if expected else 0
        status: Json = {
            "observedGeneration": budget["metadata"]["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
        }
        status["conditions"] = [_allowed_condition(budget, allowed)]
        self.context.set_status(BUDGETS, budget, status)
        return None

    def _expected(self, pods: list[Json]) -> int:
        """The pods that the pods' controllers want, each controller once."""
        sizes: dict[str, int] = {}
        for pod in pods:
            owner = controller_of(pod)
            resource = {"ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}.get(owner["kind"]) if owner else None
            found = (
                self.context.get(resource, (pod["metadata"]["namespace"], owner["name"]))
                if resource and owner
                else None
            )
            uid = found["metadata"]["uid"] if found else pod["metadata"]["uid"]
            sizes[uid] = found["spec"].get("replicas", 1) if found else 1
        return sum(sizes.values())


def _counts_owners(budget: Json) -> bool:
    spec = budget["spec"]
    return "maxUnavailable" in spec or str(spec.get("minAvailable", "")).endswith("%")


def _desired(budget: Json, expected: int) -> int:
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        return max(0, expected - portion(spec["maxUnavailable"], expected, round_up=True))
    return portion(spec.get("minAvailable", 1), expected, round_up=True)


def _allowed_condition(budget: Json, allowed: int) -> Json:
    status, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    present = condition(budget, "DisruptionAllowed")
    since = present["lastTransitionTime"] if present and present["status"] == status else timestamp()
    return {
        "type": "DisruptionAllowed", "status": status, "observedGeneration": budget["metadata"]["generation"],
        "lastTransitionTime": since, "reason": reason, "message": "",
    }  # fmt: skip
