# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests: which object one is of, which file holds it, and in what order objects are made.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass

from .errors import Refused, failed
from .kubernetes_api import Json

#: The directory of objects that are in no namespace; no namespace can have this name.
CLUSTER = "_cluster"

#: What makes a service, by default. Secrets are another backup's, which encrypts them.
DEFAULT_KINDS = (
    "Namespace",
    "ServiceAccount",
    "Role.rbac.authorization.k8s.io",
    "RoleBinding.rbac.authorization.k8s.io",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy.networking.k8s.io",
    "ConfigMap",
    "PersistentVolumeClaim",
    "PodDisruptionBudget.policy",
    "Service",
    "StatefulSet.apps",
    "DaemonSet.apps",
    "Deployment.apps",
    "CronJob.batch",
    "HorizontalPodAutoscaler.autoscaling",
    "Ingress.networking.k8s.io",
)

_FIRST = (
    "Namespace",
    "CustomResourceDefinition.apiextensions.k8s.io",
    "PriorityClass.scheduling.k8s.io",
    "StorageClass.storage.k8s.io",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy.networking.k8s.io",
    "ServiceAccount",
    "ClusterRole.rbac.authorization.k8s.io",
    "Role.rbac.authorization.k8s.io",
    "ClusterRoleBinding.rbac.authorization.k8s.io",
    "RoleBinding.rbac.authorization.k8s.io",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget.policy",
    "Service",
)
_LAST = (
    "StatefulSet.apps",
    "DaemonSet.apps",
    "Deployment.apps",
    "Job.batch",
    "CronJob.batch",
    "HorizontalPodAutoscaler.autoscaling",
    "Ingress.networking.k8s.io",
)
_NAME_BYTES = 255
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind and its API group, which is empty for the core's."""

    name: str
    group: str = ""

    @classmethod
    def parse(cls, text: str) -> Kind:
        """Read `Service` or `Deployment.apps`. Raises Refused for what is no kind."""
        if not _KIND.fullmatch(text):
            remedy = "Name it as Kind.group, for example Deployment.apps, or Service for the core group."
            raise Refused(failed("read", f"kind {text!r}", "it is no kind", remedy))
        name, _dot, group = text.partition(".")
        return cls(name, group)

    def __str__(self) -> str:
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def rank(self) -> int:
        """When objects of this kind are made; those of custom kinds before the workloads, which may need them."""
        text = str(self)
        if text in _FIRST:
            return _FIRST.index(text)
        return len(_FIRST) + 1 + _LAST.index(text) if text in _LAST else len(_FIRST)


SECRET = Kind("Secret")
NAMESPACE = Kind("Namespace")


@dataclass(frozen=True, order=True)
class Identity:
    """Which object; `namespace` is empty where it is in none."""

    kind: Kind
    namespace: str
    name: str

    @classmethod
    def of(cls, raw: Json) -> Identity:
        """Return the identity that an object itself states."""
        metadata = raw["metadata"]
        group = str(raw["apiVersion"]).rpartition("/")[0]
        return cls(Kind(raw["kind"], group), metadata.get("namespace") or "", metadata["name"])

    @property
    def path(self) -> str:
        """The file of the object, relative to the directory: <namespace>/<kind>.<group>/<name>.yaml."""
        return f"{self.namespace or CLUSTER}/{self.kind}/{_file_name(self.name)}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass
class Manifest:
    """One object as a file says it shall be."""

    identity: Identity
    raw: Json
    #: relative to the directory
    path: str

    @property
    def api_version(self) -> str:
        """Group and version, as in the file."""
        return str(self.raw["apiVersion"])


def in_order(manifests: t.Iterable[Manifest]) -> list[Manifest]:
    """Return manifests in the order in which they are made."""
    return sorted(manifests, key=lambda one: (one.identity.kind.rank, one.identity))


def _file_name(name: str) -> str:
    """A name may be so long that it leaves no room for the suffix: then its end is a digest."""
    suffix = ".yaml"
    if len(name.encode()) + len(suffix) <= _NAME_BYTES:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: _NAME_BYTES - len(suffix) - len(digest) - 1]}-{digest}{suffix}"
