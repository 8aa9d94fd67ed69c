"""What the server adds when an object is created: identities, service accounts, tolerations, addresses."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from typing import Any

from .errors import ApiError, Cause, forbidden, invalid
from .resources import CATALOGUE, Resource
from .storage import Store
from .values import random_suffix, timestamp

Json = dict[str, Any]
SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
NODE_PORTS = range(30000, 32768)
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
WITH_GENERATION = frozenset(
    {
        "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "NetworkPolicy", "Ingress",
        "PodDisruptionBudget", "EndpointSlice", "ReplicationController",
    }
)  # fmt: skip


def identify(resource: Resource, obj: Json, namespace: str) -> None:
    """Give a new object its name (where it is to be generated), identity and birth, in place."""
    metadata = obj["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + random_suffix()
    if resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()
    if resource.kind in WITH_GENERATION:
        metadata["generation"] = 1


def admit(store: Store, resource: Resource, obj: Json) -> None:
    """Add what admission adds on creation, in place. ApiError 404 without the namespace, 403 when it is going."""
    if resource.namespaced:
        _check_namespace(store, resource, obj)
    change = _ADMIT.get(resource.kind)
    if change is not None:
        change(store, obj)


def _check_namespace(store: Store, resource: Resource, obj: Json) -> None:
    name = obj["metadata"]["namespace"]
    namespace = store.get("/namespaces", "", name)
    if namespace is None:
        message = f'namespaces "{name}" not found'
        raise ApiError(404, "NotFound", message, {"name": name, "kind": "namespaces"})
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
        raise forbidden(resource, obj["metadata"]["name"], why, [{**cause, "field": "metadata.namespace"}])


def _pod(store: Store, obj: Json) -> None:
    spec = obj["spec"]
    account = spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = account
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    if store.get("/serviceaccounts", namespace, account) is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise forbidden(CATALOGUE.get("", "pods"), name, why)
    if spec.get("automountServiceAccountToken", True):
        _mount_token(spec)
    tolerations = spec.setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        if not any(item.get("key") == key or not item.get("key") for item in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _mount_token(spec: Json) -> None:
    """The projected token volume that every pod gets, and its mount in every container that has none there."""
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    if any(mount.get("mountPath") == path for item in containers for mount in item.get("volumeMounts", [])):
        return
    volume = f"kube-api-access-{random_suffix()}"
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": sources, "defaultMode": 420}})
    for container in containers:
        mounts = container.setdefault("volumeMounts", [])
        mounts.append({"name": volume, "readOnly": True, "mountPath": path})


def _namespace(store: Store, obj: Json) -> None:
    obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]


def _node(store: Store, obj: Json) -> None:
    """A new node takes no pods until the node controller has seen that it is ready."""
    taints = obj.setdefault("spec", {}).setdefault("taints", [])
    if not any(taint.get("key") == NOT_READY for taint in taints):
        taints.append({"key": NOT_READY, "effect": "NoSchedule"})


def _service(store: Store, obj: Json) -> None:
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    services = store.list("/services")
    if not spec.get("clusterIP"):
        taken = {service["spec"].get("clusterIP") for service in services}
        spec["clusterIP"] = next(str(host) for host in SERVICE_NETWORK.hosts() if str(host) not in taken)
    spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _node_ports(obj, services)


def inherit(resource: Resource, before: Json, after: Json) -> None:
    """Keep, in place, what the server gave an object and a replacing client leaves out: a service's addresses."""
    if resource.kind != "Service" or after.get("spec", {}).get("type") == "ExternalName":
        return
    spec, old = after.setdefault("spec", {}), before["spec"]
    for field in ("clusterIP", "clusterIPs"):
        if not spec.get(field) and field in old:
            spec[field] = old[field]
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        given = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in old.get("ports", [])}
        for port in spec.get("ports", []):
            number = given.get((port.get("port"), port.get("protocol", "TCP")))
            if number and not port.get("nodePort"):
                port["nodePort"] = number


def _node_ports(obj: Json, services: list[Json]) -> None:
    taken = {port.get("nodePort") for service in services for port in service["spec"].get("ports", [])}
    for index, port in enumerate(obj["spec"].get("ports", [])):
        if port.get("nodePort") in taken and port.get("nodePort"):
            field = f"spec.ports[{index}].nodePort"
            cause = Cause(field, f"Invalid value: {port['nodePort']}: provided port is already allocated")
            raise invalid(CATALOGUE.get("", "services"), obj["metadata"]["name"], [cause])
        port.setdefault("nodePort", next(number for number in NODE_PORTS if number not in taken))
        taken.add(port["nodePort"])


def _job(store: Store, obj: Json) -> None:
    """Jobs select their pods by their own uid unless told otherwise."""
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    uid = metadata["uid"]
    labels = spec["template"]["metadata"].setdefault("labels", {})
    labels.update({"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid})
    labels.update({"batch.kubernetes.io/job-name": metadata["name"], "job-name": metadata["name"]})
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})


_ADMIT: dict[str, Callable[[Store, Json], None]] = {
    "Pod": _pod, "Namespace": _namespace, "Node": _node, "Service": _service, "Job": _job,
}  # fmt: skip
