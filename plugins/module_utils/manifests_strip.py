# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of an object is the server's or the cluster's own, and so is no part of its manifest.

Taken away is what one cluster's servers and controllers wrote and another cluster's will write anew. Defaults stay:
they are what the object has, and a later version of the API may have others. docs/application-recovery.md lists the
rules.

PRIVATE to the collection.
"""

from __future__ import annotations

import copy
import json
import re
import typing as t

from .kubernetes_api import Json
from .manifests_model import Identity

_METADATA = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "generateName",
    # A finalizer is set anew by the controller that acts on it; without that controller the object could never go.
    "finalizers",
    "ownerReferences",
)
_ANNOTATIONS = re.compile(
    r"kubectl\.kubernetes\.io/(last-applied-configuration|restartedAt)"
    r"|deployment\.kubernetes\.io/revision"
    r"|deprecated\.daemonset\.template\.generation"
    r"|autoscaling\.alpha\.kubernetes\.io/(conditions|current-metrics)"
    r"|pv\.kubernetes\.io/.*"
    r"|volume\.kubernetes\.io/(selected-node|storage-provisioner|storage-resizer)"
    r"|volume\.beta\.kubernetes\.io/storage-provisioner"
    r"|control-plane\.alpha\.kubernetes\.io/leader"
    r"|cni\.projectcalico\.org/.*"
    r"|kubernetes\.io/config\..*"
)
_LABELS = ("pod-template-hash", "controller-revision-hash", "pod-template-generation")
_TOKEN = re.compile(r"-token-[a-z0-9]{5}$")


def strip(raw: Json) -> Json:
    """Return the manifest of an object as the API shows it."""
    obj: Json = copy.deepcopy(raw)
    owned = _owned(obj["metadata"].get("managedFields"))
    obj.pop("status", None)
    _metadata(obj)
    rule = _RULES.get(str(Identity.of(obj).kind))
    if rule is not None:
        rule(obj, owned)
    template = _template(obj)
    if template is not None:
        _pod_template(template)
    return obj


def _metadata(owner: Json) -> None:
    metadata = owner.get("metadata")
    if not isinstance(metadata, dict):
        return
    for key in _METADATA:
        metadata.pop(key, None)
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if not _ANNOTATIONS.fullmatch(k)}
    if annotations:
        metadata["annotations"] = annotations
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key not in _LABELS}
    if labels:
        metadata["labels"] = labels


def _template(obj: Json) -> Json | None:
    spec = obj.get("spec") if isinstance(obj.get("spec"), dict) else {}
    if obj["kind"] == "CronJob":
        job = (spec or {}).get("jobTemplate") or {}
        _metadata(job)
        spec = job.get("spec") or {}
    template = (spec or {}).get("template")
    return template if isinstance(template, dict) and isinstance(template.get("spec"), dict) else None


def _pod_template(template: Json) -> None:
    _metadata(template)
    spec = template["spec"]
    if spec.get("serviceAccount") == spec.get("serviceAccountName"):
        spec.pop("serviceAccount", None)  # the old name of the same field


def _service(obj: Json, owned: str | None) -> None:
    """Addresses and ports are the cluster's, save those that somebody asked for, and that there shall be none."""
    spec = obj.get("spec") or {}
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if owned is not None and "f:healthCheckNodePort" not in owned:
        spec.pop("healthCheckNodePort", None)
    for port in spec.get("ports") or []:
        if not _asked_for(port, owned):
            port.pop("nodePort", None)


def _asked_for(port: Json, owned: str | None) -> bool:
    """Whether some manager set a port's nodePort; the API allocates one on behalf of none.

    Where the object says nothing of its managers the port stays: to lose an agreed one is worse than to meet it taken.
    """
    if owned is None:
        return True
    key = json.dumps({"port": port.get("port"), "protocol": port.get("protocol", "TCP")}, separators=(",", ":"))
    return any('"f:nodePort"' in part for part in _entries(owned, f"k:{key}"))


def _entries(owned: str, key: str) -> list[str]:
    """The parts of the managers' fields that stand below an item of a list."""
    found = []
    for tree in json.loads(owned):
        ports = (tree.get("f:spec") or {}).get("f:ports") or {}
        if key in ports:
            found.append(json.dumps(ports[key]))
    return found


def _claim(obj: Json, _owned_fields: str | None) -> None:
    (obj.get("spec") or {}).pop("volumeName", None)


def _namespace(obj: Json, _owned_fields: str | None) -> None:
    (obj.get("spec") or {}).pop("finalizers", None)
    if not obj.get("spec"):
        obj.pop("spec", None)
    labels = obj["metadata"].get("labels") or {}
    labels.pop("kubernetes.io/metadata.name", None)
    if not labels:
        obj["metadata"].pop("labels", None)


def _service_account(obj: Json, _owned_fields: str | None) -> None:
    kept = [one for one in obj.pop("secrets", None) or [] if not _TOKEN.search(one.get("name", ""))]
    if kept:
        obj["secrets"] = kept


def _job(obj: Json, _owned_fields: str | None) -> None:
    """A job selects its pods by its own uid, unless told otherwise."""
    spec = obj.get("spec") or {}
    if spec.get("manualSelector"):
        return
    spec.pop("selector", None)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    for key in ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"):
        labels.pop(key, None)


def _pod(obj: Json, owned: str | None) -> None:
    """The node that a pod runs on, and the token that admission mounts, are of this cluster."""
    spec = obj.get("spec") or {}
    if owned is None or '"f:nodeName"' not in owned:
        spec.pop("nodeName", None)
    tokens = {one["name"] for one in spec.get("volumes") or [] if one["name"].startswith("kube-api-access-")}
    holders = [spec, *(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    for holder in holders:
        for key in ("volumes", "volumeMounts"):
            if key in holder:
                holder[key] = [one for one in holder[key] if one["name"] not in tokens]
                if not holder[key]:
                    del holder[key]


_RULES: dict[str, t.Callable[[Json, str | None], None]] = {
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "Namespace": _namespace,
    "ServiceAccount": _service_account,
    "Job.batch": _job,
    "Pod": _pod,
}


def _owned(entries: t.Any) -> str | None:
    """What all managers own, as JSON text of their trees; None where the object does not say."""
    if not entries:
        return None
    return json.dumps([one.get("fieldsV1") or {} for one in entries])
