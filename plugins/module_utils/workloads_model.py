# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads: what is asked of one, and what the API shows of one.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote

from .kubernetes_api import Json

_PLURAL = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


@dataclass(frozen=True)
class Key:
    """Which workload."""

    namespace: str
    kind: str
    name: str

    @property
    def collection(self) -> str:
        """API path of all workloads of its kind in its namespace."""
        return f"/apis/apps/v1/namespaces/{quote(self.namespace, safe='')}/{_PLURAL[self.kind]}"

    @property
    def path(self) -> str:
        """API path of the workload."""
        return f"{self.collection}/{quote(self.name, safe='')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Wanted:
    """What is asked of one workload; what is None or empty is not asked."""

    key: Key
    replicas: int | None = None
    minimum_ready: int | None = None
    images: t.Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    configmaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observed:
    """One workload as the API shows it."""

    raw: Json

    @property
    def _spec(self) -> Json:
        return t.cast("Json", self.raw["spec"])

    @property
    def _status(self) -> Json:
        return self.raw.get("status") or {}

    @property
    def resource_version(self) -> str:
        """The version that a conditional change names."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def replicas(self) -> int:
        """How many pods are asked for."""
        return int(self._spec.get("replicas", 1))

    @property
    def seen(self) -> bool:
        """True once the controller has acted on the present specification."""
        return int(self._status.get("observedGeneration", 0)) >= int(self.raw["metadata"].get("generation", 0))

    @property
    def ready(self) -> int:
        """Pods that are ready, old ones too."""
        return int(self._status.get("readyReplicas", 0))

    @property
    def current(self) -> int:
        """Pods that exist and are not being deleted."""
        return int(self._status.get("replicas", 0))

    @property
    def outdated(self) -> int:
        """Pods of an older template that are still there."""
        strategy = self._spec.get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return 0
        kept = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        return max(0, self.current - int(self._status.get("updatedReplicas", 0)) - kept)

    @property
    def paused(self) -> bool:
        """True when the controller rolls out nothing."""
        return bool(self._spec.get("paused"))

    @property
    def template(self) -> Json:
        """The pods' template."""
        return t.cast("Json", self._spec["template"])

    @property
    def images(self) -> dict[str, str]:
        """Image of every container, init containers too."""
        return {container["name"]: container.get("image", "") for container in containers(self.template["spec"])}

    @property
    def restarted_at(self) -> str | None:
        """When somebody last asked for a restart, RFC 3339."""
        return ((self.template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT)

    @property
    def complaints(self) -> list[str]:
        """What the controller itself complains about: pods that it may not create, a rollout without progress."""
        bad = {("ReplicaFailure", "True"), ("Progressing", "False")}
        return [
            f"{condition.get('reason')}: {condition.get('message')}"
            for condition in self._status.get("conditions") or []
            if (condition.get("type"), condition.get("status")) in bad
        ]

    def selects(self, pod: Json) -> bool:
        """True when the workload's selector matches a pod."""
        labels = pod["metadata"].get("labels") or {}
        selector = self._spec.get("selector") or {}
        exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
        return exact and all(_expression(labels, one) for one in selector.get("matchExpressions") or [])

    def made(self, pod: Json) -> bool:
        """True when a pod is of the present template, as far as its images and annotations tell."""
        wanted = (self.template.get("metadata") or {}).get("annotations") or {}
        has = pod["metadata"].get("annotations") or {}
        images = {container["name"]: container.get("image") for container in containers(pod["spec"])}
        same = all(images.get(name) == image for name, image in self.images.items())
        return same and all(has.get(key) == value for key, value in wanted.items())


def containers(pod_spec: Json) -> list[Json]:
    """Return all containers of a pod's specification, init containers too."""
    return [*(pod_spec.get("containers") or []), *(pod_spec.get("initContainers") or [])]


def _expression(labels: t.Mapping[str, str], one: Json) -> bool:
    key, operator, values = one["key"], one["operator"], one.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")
