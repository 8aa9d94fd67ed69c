"""EndpointSlices: the addresses behind each service that selects pods."""

from __future__ import annotations

from typing import Any

from ..resources import CATALOGUE
from ..selectors import match_labels
from ..storage import DELETED, Event
from .base import PODS, Controller, Key, is_over, is_true, key_of, owner_reference

Json = dict[str, Any]
SERVICES = CATALOGUE.get("", "services")
SLICES = CATALOGUE.get("discovery.k8s.io", "endpointslices")
SERVICE_LABEL = "kubernetes.io/service-name"


class EndpointSliceController(Controller):
    """One slice for each service."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == SERVICES.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.resource != PODS.key or not _matters(event):
            return []
        versions = [pod for pod in (event.object, event.previous) if pod is not None]
        found = []
        for service in self.context.store.list(SERVICES.key, event.object["metadata"]["namespace"]):
            selector = service["spec"].get("selector")
            if selector and any(
                match_labels({"matchLabels": selector}, pod["metadata"].get("labels")) for pod in versions
            ):
                found.append(key_of(service))
        return found

    def reconcile(self, key: Key) -> float | None:
        service = self.context.get(SERVICES, key)
        if service is None or not service["spec"].get("selector") or service["spec"]["type"] == "ExternalName":
            return None
        selector = {"matchLabels": service["spec"]["selector"]}
        pods = [
            pod
            for pod in self.context.store.list(PODS.key, key[0])
            if match_labels(selector, pod["metadata"].get("labels")) and pod["status"].get("podIP") and not is_over(pod)
        ]
        wanted = {"endpoints": [_endpoint(pod) for pod in pods], "ports": _ports(service, pods)}
        owned = self.context.owned(service, SLICES)
        if owned:
            self.context.modify(SLICES, owned[0], lambda copy: copy.update(wanted))
            return None
        metadata = {
            "generateName": f"{key[1]}-",
            "labels": {
                SERVICE_LABEL: key[1],
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [owner_reference(service)],
        }
        self.context.create(SLICES, key[0], {"metadata": metadata, "addressType": "IPv4", **wanted})
        return None


def _matters(event: Event) -> bool:
    if event.kind == DELETED or event.previous is None:
        return True
    return _view(event.object) != _view(event.previous)


def _view(pod: Json) -> tuple[Any, ...]:
    metadata, status = pod["metadata"], pod["status"]
    return (
        metadata.get("labels"),
        metadata.get("deletionTimestamp"),
        status.get("podIP"),
        is_true(pod, "Ready"),
        is_over(pod),
    )


def _endpoint(pod: Json) -> Json:
    is_ready, is_leaving = is_true(pod, "Ready"), bool(pod["metadata"].get("deletionTimestamp"))
    namespace, name = key_of(pod)
    endpoint: Json = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": is_ready and not is_leaving, "serving": is_ready, "terminating": is_leaving},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]},
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    return endpoint


def _ports(service: Json, pods: list[Json]) -> list[Json]:
    ports = []
    for port in service["spec"].get("ports", []):
        number = port["targetPort"] if isinstance(port["targetPort"], int) else _named(port["targetPort"], pods)
        if number is not None:
            ports.append({"name": port.get("name", ""), "protocol": port["protocol"], "port": number})
    return ports


def _named(name: str, pods: list[Json]) -> int | None:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                if port.get("name") == name:
                    return int(port["containerPort"])
    return None
