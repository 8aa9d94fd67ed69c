"""What the server fills into a pod's spec."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .values import quantity

Json = dict[str, Any]


def default_pod_spec(spec: Json) -> None:
    """Fill the defaults that templates and pods share, in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        _default_container(container)
    for volume in spec.get("volumes", []):
        _default_volume(volume)


def _default_container(container: Json) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _default_probe(container[probe])
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_probe(probe: Json) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_volume(volume: Json) -> None:
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if not any(key for key in volume if key != "name"):
        volume["emptyDir"] = {}


def requests_of(spec: Json) -> dict[str, Decimal]:
    """What a pod asks for: the sum over its containers, or one init container's need where that is larger."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers", []):
        for name, amount in (container.get("resources", {}).get("requests") or {}).items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    for container in spec.get("initContainers", []):
        for name, amount in (container.get("resources", {}).get("requests") or {}).items():
            total[name] = max(total.get(name, Decimal(0)), quantity(amount))
    return total


def quality_of_service(spec: Json) -> str:
    """``BestEffort``, ``Burstable`` or ``Guaranteed``, from the containers' requests and limits."""
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    resources = [container.get("resources", {}) for container in containers]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    guaranteed = all(
        set(entry.get("limits") or {}) >= {"cpu", "memory"} and entry.get("limits") == entry.get("requests")
        for entry in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
