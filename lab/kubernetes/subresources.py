"""The subresources with rules of their own: scale, eviction, binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import errors
from .deletion import Deleter
from .reading import get
from .requests import DeleteOptions, Result, WriteOptions, delete_options
from .resources import CATALOGUE, Resource
from .selectors import match_labels, selector_text
from .storage import Store
from .values import clone, timestamp
from .writing import Writer

Json = dict[str, Any]


def scale_of(obj: Json) -> Json:
    """The ``Scale`` of a workload."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = obj["spec"].get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            "selector": selector_text(obj["spec"].get("selector")),
        },
    }


def write_scale(
    writer: Writer,
    resource: Resource,
    namespace: str,
    name: str,
    change: Callable[[Json], Json],
    options: WriteOptions,
) -> Result:
    """Set a workload's replicas through its ``Scale``; ``change`` gets the present one and returns the wanted one."""

    def set_replicas(obj: Json) -> Json:
        wanted = change(scale_of(obj))
        replicas = (wanted.get("spec") or {}).get("replicas") or 0
        if not isinstance(replicas, int) or replicas < 0:
            cause = errors.Cause("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")
            raise errors.invalid(
                Resource("autoscaling", "v1", "", "Scale", True, frozenset(), frozenset()), name, [cause]
            )
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version and version != obj["metadata"]["resourceVersion"]:
            raise errors.modified(resource, name)
        obj["spec"]["replicas"] = replicas
        return obj

    result = writer.modify(resource, namespace, name, set_replicas, options, tracked_as="scale")
    return Result(scale_of(result.object), warnings=result.warnings)


def evict(store: Store, deleter: Deleter, namespace: str, name: str, body: Json) -> Result:
    """Delete a pod unless a disruption budget forbids it (ApiError 429)."""
    pods = CATALOGUE.get("", "pods")
    pod = get(store, pods, namespace, name)
    options = delete_options({}, body.get("deleteOptions"))
    is_over = pod["status"].get("phase") in ("Succeeded", "Failed") or pod["metadata"].get("deletionTimestamp")
    budgets = [] if is_over else _budgets(store, pod)
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise errors.ApiError(500, "InternalError", message)
    for budget in budgets:
        _take(store, budget, options)
    deleter.delete(pods, namespace, name, options)
    return Result({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)


def _budgets(store: Store, pod: Json) -> list[Json]:
    metadata = pod["metadata"]
    return [
        budget
        for budget in store.list("policy/poddisruptionbudgets", metadata["namespace"])
        if match_labels(budget["spec"].get("selector"), metadata.get("labels"))
    ]


def _take(store: Store, budget: Json, options: DeleteOptions) -> None:
    """Use up one allowed disruption; the disruption controller counts anew when the pod goes."""
    status = budget.get("status", {})
    name = budget["metadata"]["name"]
    if status.get("disruptionsAllowed", 0) <= 0:
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        message = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        raise errors.too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            {"causes": [{"reason": "DisruptionBudget", "message": message}]},
            10,
        )
    if not options.dry_run:
        taken = clone(budget)
        taken["status"]["disruptionsAllowed"] -= 1
        store.put("policy/poddisruptionbudgets", taken)


def bind(store: Store, namespace: str, name: str, body: Json) -> Result:
    """Assign a pod to a node. ApiError 409 where it has one already."""
    pods = CATALOGUE.get("", "pods")
    node = (body.get("target") or {}).get("name")
    if not node:
        raise errors.bad_request("Binding needs target.name, the node's name")
    pod = get(store, pods, namespace, name)
    if pod["spec"].get("nodeName"):
        raise errors.conflict(pods, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict(pods, name, f"pod {name} is being deleted, cannot be assigned to a host")
    store.put(pods.key, bound_to(pod, node))
    return Result({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)


def bound_to(pod: Json, node: str) -> Json:
    """The pod on its node. As in the real server this is one write that no field manager owns."""
    others = [item for item in pod["status"].get("conditions", []) if item["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()}
    return {
        **pod,
        "metadata": dict(pod["metadata"]),
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**pod["status"], "conditions": [*others, scheduled]},
    }
