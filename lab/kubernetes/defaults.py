"""What the server fills in for each kind, on every write."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from .pod_defaults import default_pod_spec, quality_of_service
from .resources import Resource

Json = dict[str, Any]


def apply_defaults(resource: Resource, obj: Json) -> None:
    """Fill the defaults of the object's kind, in place. The object has passed decoding, so its types are right."""
    fill = _DEFAULTS.get(resource.kind)
    if fill is not None:
        fill(obj)


def initial_status(kind: str) -> Json | None:
    """The status of a new object of this kind; None where the kind keeps the status it is created with."""
    status = _INITIAL_STATUS.get(kind)
    return dict(status) if status is not None else None


def _template(owner: Json) -> None:
    template = owner.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def _deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    if "template" in spec:
        _template(spec)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    if "template" in spec:
        _template(spec)
    obj.setdefault("status", {}).setdefault("replicas", 0)


def _stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    if "template" in spec:
        _template(spec)


def _daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    if "template" in spec:
        _template(spec)


def _job_spec(spec: Json) -> None:
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    if "template" in spec:
        _template(spec)


def _job(obj: Json) -> None:
    _job_spec(obj.setdefault("spec", {}))


def _cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    # A job template gets the pod template's defaults only; the job controller's own come with the Job.
    if "template" in template.setdefault("spec", {}):
        _template(template["spec"])


def _pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    status = obj.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", quality_of_service(spec))
    for condition in status.get("conditions", []):
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for kind in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(kind, []):
            container.setdefault("lastState", {})
            container.setdefault("state", {})
            container.setdefault("ready", False)
            container.setdefault("restartCount", 0)
            container.setdefault("imageID", "")


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault("timeoutSeconds", 10800)
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})


def _namespace(obj: Json) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _node(obj: Json) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    info = status.setdefault("nodeInfo", {})
    for name in (
        "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
        "kubeProxyVersion", "operatingSystem", "architecture",
    ):  # fmt: skip
        info.setdefault(name, "")
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


def _network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
        for port in rule.get("ports", []):
            port.setdefault("protocol", "TCP")


def _role_binding(obj: Json) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects", []):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _endpoint_slice(obj: Json) -> None:
    for port in obj.get("ports", []):
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


_DEFAULTS: dict[str, Callable[[Json], None]] = {
    "Deployment": _deployment, "ReplicaSet": _replica_set, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set,
    "Job": _job, "CronJob": _cron_job, "Pod": _pod, "Service": _service, "Secret": _secret, "Namespace": _namespace,
    "Node": _node, "NetworkPolicy": _network_policy, "RoleBinding": _role_binding, "ClusterRoleBinding": _role_binding,
    "EndpointSlice": _endpoint_slice,
}  # fmt: skip

_INITIAL_STATUS: dict[str, Json] = {
    "Deployment": {}, "ReplicaSet": {"replicas": 0}, "StatefulSet": {"replicas": 0, "availableReplicas": 0},
    "DaemonSet": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
    "Job": {}, "CronJob": {}, "Pod": {}, "Service": {"loadBalancer": {}}, "Ingress": {"loadBalancer": {}},
    "Namespace": {"phase": "Active"}, "PersistentVolumeClaim": {"phase": "Pending"},
    "PersistentVolume": {"phase": "Pending"}, "ReplicationController": {"replicas": 0}, "ResourceQuota": {},
    "HorizontalPodAutoscaler": {"desiredReplicas": 0, "currentMetrics": None},
    "PodDisruptionBudget": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
}  # fmt: skip
