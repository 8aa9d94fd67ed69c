# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects of a cluster are no part of a service's manifests, and why.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .kubernetes_api import Json
from .manifests_model import Identity

_HELM = re.compile(r"sh\.helm\.release\.v\d+\.")
_PUBLISHED = ("kube-root-ca.crt", "openshift-service-ca.crt")
_LEADER = "control-plane.alpha.kubernetes.io/leader"
#: A plaintext value under such a name is most likely a secret that belongs into a Secret.
_SECRET_NAME = re.compile(r"PASSW(OR)?D|PASSPHRASE|TOKEN|SECRET|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_SHOWN = 20


@dataclass
class LeftOut:
    """What was left out for one reason."""

    reason: str
    count: int = 0
    #: the first of them
    objects: list[str] = field(default_factory=list)

    def add(self, identity: Identity) -> None:
        """Count one more."""
        self.count += 1
        if len(self.objects) < _SHOWN:
            self.objects.append(str(identity))

    def as_dict(self) -> dict[str, t.Any]:
        """Return {reason, count, objects}."""
        return {"reason": self.reason, "count": self.count, "objects": self.objects}


def reason_to_leave_out(raw: Json) -> str:
    """Return why an object is no manifest of its own, or an empty text where it is one."""
    identity = Identity.of(raw)
    metadata = raw["metadata"]
    kind, name = str(identity.kind), identity.name
    owners = metadata.get("ownerReferences") or []
    if owners:
        return f"owned by another object, which makes it anew ({owners[0]['kind']})"
    if metadata.get("deletionTimestamp"):
        return "being deleted"
    if kind == "ConfigMap":
        return _config_map(name, metadata)
    if kind == "ServiceAccount" and name == "default" and _is_pristine(raw):
        return "made by the cluster in every namespace"
    if kind == "Service" and (identity.namespace, name) == ("default", "kubernetes"):
        return "made by the cluster itself"
    return ""


def _config_map(name: str, metadata: Json) -> str:
    if name in _PUBLISHED:
        return "made by the cluster in every namespace"
    if _HELM.match(name) or (metadata.get("labels") or {}).get("owner") == "helm":
        return "a release record of Helm"
    if _LEADER in (metadata.get("annotations") or {}):
        return "an election of a leader"
    return ""


def _is_pristine(account: Json) -> bool:
    """Whether nobody has put anything of a service into a namespace's default account."""
    metadata = account["metadata"]
    return not any(
        [account.get("imagePullSecrets"), metadata.get("labels"), metadata.get("annotations")]
    ) and account.get("automountServiceAccountToken") in (None, True)


def plain_secrets(raw: Json) -> list[str]:
    """Return where an object seems to hold a secret in clear: names of variables and keys, never a value."""
    identity = Identity.of(raw)
    if str(identity.kind) == "ConfigMap":
        names = [name for name, value in (raw.get("data") or {}).items() if value and _SECRET_NAME.search(name)]
        return [f"{identity}: key {name}" for name in sorted(names) if "." not in name]
    return [
        f"{identity}: variable {variable['name']} of container {container.get('name')}"
        for container in _containers(raw.get("spec"))
        for variable in container.get("env") or []
        if variable.get("value") and _SECRET_NAME.search(variable["name"])
    ]


def _containers(spec: t.Any) -> list[Json]:
    """Return the containers of a pod's specification that stands anywhere in an object's."""
    if not isinstance(spec, dict):
        return []
    here = [
        one
        for kind in ("containers", "initContainers")
        for one in (spec[kind] if isinstance(spec.get(kind), list) else [])
        if isinstance(one, dict)
    ]
    return here + [one for value in spec.values() for one in _containers(value)]
