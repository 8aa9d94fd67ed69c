"""The rules an object must keep, and the causes clients get where it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from .cron import schedule_problem
from .errors import Cause
from .resources import Resource
from .schema import SCHEMA, List, Map, Node, Struct
from .selectors import match_labels
from .values import quantity

Json = dict[str, Any]
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_NAMES = frozenset({"Namespace", "Service"})
_FREE_NAMES = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
# Where a required field is a rule of the object and not only of its Go type.
_REQUIRED_IN = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Pod", "Job", "CronJob"})


def shown(value: Any) -> str:
    """A value as messages show it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def validate(resource: Resource, obj: Json, before: Json | None) -> list[Cause]:
    """Every broken rule of the object; ``before`` is the stored object in an update."""
    causes = list(_metadata(resource, obj))
    if resource.kind in _REQUIRED_IN:
        struct = SCHEMA.of_kind(resource.api_version, resource.kind)
        causes += _required(obj.get("spec", {}), struct.fields["spec"], "spec")
    check = _CHECKS.get(resource.kind)
    if check is not None:
        causes += check(obj, before)
    return causes


def _metadata(resource: Resource, obj: Json) -> Iterator[Cause]:
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif resource.kind in _LABEL_NAMES and not _DNS_LABEL.fullmatch(name):
        rule = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
        yield Cause("metadata.name", f"Invalid value: {shown(name)}: {rule}")
    elif resource.kind not in _FREE_NAMES and not (_DNS_SUBDOMAIN.fullmatch(name) and len(name) <= 253):
        rule = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        yield Cause("metadata.name", f"Invalid value: {shown(name)}: {rule}")
    for value in (metadata.get("labels") or {}).values():
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
            yield Cause("metadata.labels", f"Invalid value: {shown(value)}: {rule}")


def _required(value: Any, node: Node, path: str) -> Iterator[Cause]:
    if isinstance(node, Struct) and isinstance(value, dict):
        for name in node.required:
            if value.get(name) in (None, "") or (name == "containers" and not value[name]):
                yield Cause(f"{path}.{name}", "Required value", "FieldValueRequired")
        for key, item in value.items():
            if key in node.fields:
                yield from _required(item, node.fields[key], f"{path}.{key}")
    elif isinstance(node, List) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _required(item, node.element, f"{path}[{index}]")
    elif isinstance(node, Map) and isinstance(value, dict):
        for key, item in value.items():
            yield from _required(item, node.element, f"{path}[{key}]")


def _negative(spec: Json, *names: str) -> Iterator[Cause]:
    for name in names:
        value = spec.get(name)
        if isinstance(value, int) and value < 0:
            yield Cause(f"spec.{name}", f"Invalid value: {value}: must be greater than or equal to 0")


def _pod_spec(spec: Json, path: str, *, only_always: bool = False) -> Iterator[Cause]:
    names: set[str] = set()
    for index, container in enumerate(spec.get("containers", [])):
        here = f"{path}.containers[{index}]"
        name = container.get("name", "")
        if name in names:
            yield Cause(f"{here}.name", f"Duplicate value: {shown(name)}", "FieldValueDuplicate")
        names.add(name)
        if not container.get("image"):
            yield Cause(f"{here}.image", "Required value", "FieldValueRequired")
        yield from _container_resources(container.get("resources", {}), f"{here}.resources")
    policy = spec.get("restartPolicy", "Always")
    allowed = ("Always",) if only_always else ("Always", "OnFailure", "Never")
    if policy not in allowed:
        values = ", ".join(shown(value) for value in allowed)
        message = f"Unsupported value: {shown(policy)}: supported values: {values}"
        yield Cause(f"{path}.restartPolicy", message, "FieldValueNotSupported")


def _container_resources(resources: Json, path: str) -> Iterator[Cause]:
    amounts: dict[tuple[str, str], Any] = {}
    for kind in ("limits", "requests"):
        for name, text in (resources.get(kind) or {}).items():
            try:
                amounts[kind, name] = quantity(text)
            except ValueError:
                yield Cause(f"{path}.{kind}.{name}", f"Invalid value: {shown(text)}: must be a quantity")
    for (kind, name), amount in amounts.items():
        limit = amounts.get(("limits", name))
        if kind == "requests" and limit is not None and amount > limit:
            text = shown(str(resources["requests"][name]))
            message = (
                f"Invalid value: {text}: must be less than or equal to {name} limit of {resources['limits'][name]}"
            )
            yield Cause(f"{path}.requests", message)


def _workload(obj: Json, before: Json | None) -> Iterator[Cause]:
    """The rules that deployments, replica sets, stateful sets and daemon sets share."""
    spec = obj.get("spec", {})
    yield from _negative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    template = spec.get("template", {})
    labels = template.get("metadata", {}).get("labels") or {}
    selector = spec.get("selector")
    if selector == {}:
        message = "Invalid value: {}: empty selector is invalid for deployment"
        yield Cause("spec.selector", message)
    elif selector is not None and not match_labels(selector, labels):
        message = f"Invalid value: {shown(labels)}: `selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", message)
    yield from _pod_spec(template.get("spec", {}), "spec.template.spec", only_always=True)
    if before is not None and before.get("spec", {}).get("selector") != selector:
        yield Cause("spec.selector", f"Invalid value: {shown(selector)}: field is immutable")


def _deployment(obj: Json, before: Json | None) -> Iterator[Cause]:
    yield from _workload(obj, before)
    spec = obj.get("spec", {})
    strategy = spec.get("strategy", {})
    kind = strategy.get("type")
    if kind not in ("Recreate", "RollingUpdate"):
        message = f'Unsupported value: {shown(kind)}: supported values: "Recreate", "RollingUpdate"'
        yield Cause("spec.strategy.type", message, "FieldValueNotSupported")
    rolling = strategy.get("rollingUpdate")
    if kind == "Recreate" and rolling is not None:
        message = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield Cause("spec.strategy.rollingUpdate", message, "FieldValueForbidden")
    elif rolling is not None:
        yield from _rolling(rolling)
    deadline = spec.get("progressDeadlineSeconds", 600)
    if deadline <= spec.get("minReadySeconds", 0):
        yield Cause("spec.progressDeadlineSeconds", f"Invalid value: {deadline}: must be greater than minReadySeconds")


def _rolling(rolling: Json) -> Iterator[Cause]:
    amounts = {}
    for name in ("maxUnavailable", "maxSurge"):
        value = rolling.get(name, 0)
        path = f"spec.strategy.rollingUpdate.{name}"
        if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
            rule = "a valid percent string must be a numeric string followed by an ending '%'"
            yield Cause(path, f"Invalid value: {shown(value)}: {rule}")
            return
        amounts[name] = int(str(value).rstrip("%"))
        if amounts[name] < 0:
            yield Cause(path, f"Invalid value: {value}: must be greater than or equal to 0")
    if amounts["maxUnavailable"] == 0 and amounts["maxSurge"] == 0:
        path = "spec.strategy.rollingUpdate.maxUnavailable"
        yield Cause(path, f"Invalid value: {shown(rolling.get('maxUnavailable'))}: may not be 0 when `maxSurge` is 0")


_POD_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", "nodeName")


def _pod(obj: Json, before: Json | None) -> Iterator[Cause]:
    yield from _pod_spec(obj.get("spec", {}), "spec")
    if before is not None and _frozen(obj["spec"]) != _frozen(before["spec"]):
        message = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
            "negative)"
        )
        yield Cause("spec", message, "FieldValueForbidden")


def _frozen(spec: Json) -> Json:
    kept = {key: value for key, value in spec.items() if key not in _POD_MUTABLE}
    for kind in ("containers", "initContainers"):
        if kind in kept:
            kept[kind] = [{key: value for key, value in item.items() if key != "image"} for item in kept[kind]]
    return kept


def _job(obj: Json, before: Json | None) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    yield from _negative(spec, "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds")
    yield from _job_template(spec, "spec")
    if before is not None and before["spec"].get("template") != spec.get("template"):
        yield Cause("spec.template", f"Invalid value: {shown(spec.get('template'))}: field is immutable")


def _job_template(spec: Json, path: str) -> Iterator[Cause]:
    pod = spec.get("template", {}).get("spec", {})
    yield from _pod_spec(pod, f"{path}.template.spec")
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        message = f'Unsupported value: {shown(pod.get("restartPolicy"))}: supported values: "OnFailure", "Never"'
        yield Cause(f"{path}.template.spec.restartPolicy", message, "FieldValueNotSupported")


def _cron_job(obj: Json, before: Json | None) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    schedule = spec.get("schedule", "")
    problem = schedule_problem(schedule) if schedule else None
    if problem:
        yield Cause("spec.schedule", f"Invalid value: {shown(schedule)}: {problem}")
    policy = spec.get("concurrencyPolicy")
    if policy not in ("Allow", "Forbid", "Replace"):
        message = f'Unsupported value: {shown(policy)}: supported values: "Allow", "Forbid", "Replace"'
        yield Cause("spec.concurrencyPolicy", message, "FieldValueNotSupported")
    yield from _job_template(spec.get("jobTemplate", {}).get("spec", {}), "spec.jobTemplate.spec")


def _lease(obj: Json, before: Json | None) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    for name in ("leaseDurationSeconds", "leaseTransitions"):
        value = spec.get(name)
        if isinstance(value, int) and (value < 0 or (value == 0 and name == "leaseDurationSeconds")):
            yield Cause(f"spec.{name}", f"Invalid value: {value}: must be greater than 0")


def _service(obj: Json, before: Json | None) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    ports = spec.get("ports", [])
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield Cause("spec.ports", "Required value", "FieldValueRequired")
    for index, port in enumerate(ports):
        if not 1 <= port.get("port", 0) <= 65535:
            message = f"Invalid value: {port.get('port', 0)}: must be between 1 and 65535, inclusive"
            yield Cause(f"spec.ports[{index}].port", message)
        if len(ports) > 1 and not port.get("name"):
            yield Cause(f"spec.ports[{index}].name", "Required value", "FieldValueRequired")
    address = (before or {}).get("spec", {}).get("clusterIP")
    if address and spec.get("type") != "ExternalName" and spec.get("clusterIP") != address:
        message = f"Invalid value: {shown([spec.get('clusterIP')])}: may not change once set"
        yield Cause("spec.clusterIPs[0]", message)


def _immutable_data(obj: Json, before: Json | None) -> Iterator[Cause]:
    if before is None or not before.get("immutable"):
        return
    for field in ("data", "binaryData", "immutable"):
        if before.get(field) != obj.get(field):
            yield Cause(field, "Forbidden: field is immutable when `immutable` is set", "FieldValueForbidden")


_CHECKS: dict[str, Callable[[Json, Json | None], Iterator[Cause]]] = {
    "Deployment": _deployment, "ReplicaSet": _workload, "StatefulSet": _workload, "DaemonSet": _workload, "Pod": _pod,
    "Job": _job, "CronJob": _cron_job, "Lease": _lease, "Service": _service, "Secret": _immutable_data,
    "ConfigMap": _immutable_data,
}  # fmt: skip
