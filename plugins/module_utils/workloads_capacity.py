# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a cluster's nodes have room for more pods.

A necessary condition, not a sufficient one: requests, readiness, node selectors and taints are looked at; affinity,
spreading, volumes and preemption are the scheduler's.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from decimal import Decimal

from .kubernetes_api import Json, kubernetes
from .workloads_model import Observed
from .workloads_pods import is_finished

if kubernetes is not None:
    from kubernetes.utils.quantity import parse_quantity

Amounts = dict[str, Decimal]
_NONE = Decimal(0)


@dataclass
class _Node:
    raw: Json
    free: Amounts

    def takes(self, template: Json) -> bool:
        """True when the node is ready and its labels and taints let a pod of this template in."""
        spec, wanted = self.raw.get("spec") or {}, template["spec"]
        conditions = (self.raw.get("status") or {}).get("conditions") or []
        ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
        labels = self.raw["metadata"].get("labels") or {}
        selected = all(labels.get(key) == value for key, value in (wanted.get("nodeSelector") or {}).items())
        taints = [one for one in spec.get("taints") or [] if one.get("effect") in ("NoSchedule", "NoExecute")]
        tolerations = wanted.get("tolerations") or []
        tolerated = all(any(_tolerates(one, taint) for one in tolerations) for taint in taints)
        return ready and not spec.get("unschedulable") and selected and tolerated

    def room(self, needs: Amounts) -> bool:
        return all(self.free.get(name, _NONE) >= amount for name, amount in needs.items() if amount)


class Capacity:
    """The room on all nodes of a cluster; placing pods uses it up."""

    def __init__(self, nodes: t.Sequence[Json], pods: t.Sequence[Json]) -> None:
        self._pods = [pod for pod in pods if not is_finished(pod)]
        used: dict[str, Amounts] = {}
        for pod in self._pods:
            node = pod["spec"].get("nodeName")
            if node:
                used[node] = _sum(used.get(node, {}), requests(pod["spec"]))
        self._nodes = [
            _Node(node, _less(_amounts(node["status"].get("allocatable")), used.get(node["metadata"]["name"], {})))
            for node in nodes
        ]

    def lacks(self, observed: Observed, replicas: int) -> str:
        """Place the pods that a workload does not have yet; return what is missing, or an empty text."""
        here = [
            pod
            for pod in self._pods
            if pod["metadata"].get("namespace") == observed.raw["metadata"].get("namespace")
            and observed.selects(pod)
            and pod["spec"].get("nodeName")
        ]
        needed = replicas - len(here)
        needs = requests(observed.template["spec"])
        nodes = [node for node in self._nodes if node.takes(observed.template)]
        placed = sum(_place(nodes, needs) for _number in range(needed))
        if needed <= 0 or placed == needed:
            return ""
        shown = ", ".join(f"{name} {amount.normalize():f}" for name, amount in sorted(needs.items()))
        return f"capacity for {needed - placed} of {needed} new pods (each {shown}) on {len(nodes)} usable nodes"


def requests(spec: Json) -> Amounts:
    """Return what a pod asks of its node, as the scheduler adds it up: cpu in cores, memory in bytes, pods."""
    total: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("containers") or []:
        total = _sum(total, _requested(container))
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":  # a sidecar stays
            total = _sum(total, _requested(container))
        else:
            starting = _most(starting, _requested(container))
    return {**_sum(_most(total, starting), _amounts(spec.get("overhead"))), "pods": Decimal(1)}


def _requested(container: Json) -> Amounts:
    asked = container.get("resources") or {}
    return _amounts({**(asked.get("limits") or {}), **(asked.get("requests") or {})})


def _amounts(quantities: t.Mapping[str, t.Any] | None) -> Amounts:
    return {name: parse_quantity(amount) for name, amount in (quantities or {}).items()}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, _NONE) + other.get(name, _NONE) for name in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, _NONE), other.get(name, _NONE)) for name in {**one, **other}}


def _less(whole: Amounts, used: Amounts) -> Amounts:
    return {name: amount - used.get(name, _NONE) for name, amount in whole.items()}


def _place(nodes: t.Sequence[_Node], needs: Amounts) -> bool:
    """Use up one pod's room on the node with most left of what is scarce."""
    fitting = [node for node in nodes if node.room(needs)]
    if not fitting:
        return False
    best = max(fitting, key=lambda node: [node.free.get(name, _NONE) for name in ("cpu", "memory", "pods")])
    best.free = _less(best.free, needs)
    return True


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != taint.get("key"):
        return False
    return toleration.get("operator") == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")
