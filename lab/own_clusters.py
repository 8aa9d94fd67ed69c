"""Clusters of the user's own in place of the emulator: whether they can serve a lab, and leaving them as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from lab.errors import LabError
from lab.layout import Lab
from lab.node.cluster import ClusterError, KubeconfigError, call, connect

Document = dict[str, Any]
DEPLOYER = "terragon.disaster_recovery"
NO_PODS = {"NoSchedule", "NoExecute"}


def node_name(region: str) -> str:
    """The name of a region's node."""
    return f"node-{region}"


def current_context(kubeconfig: str) -> str:
    """The context that the lab uses from its start to its end. Raises LabError where there is none."""
    try:
        document = yaml.safe_load(Path(kubeconfig).read_text())
        context = document["current-context"] if isinstance(document, dict) else None
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        raise LabError(f"Failed to read the current context of {kubeconfig}: {error!r}.") from error
    if not context:
        raise LabError(f"Failed to use {kubeconfig}: no context is current. Run: kubectl config use-context NAME.")
    return str(context)


def check(kubeconfigs: Mapping[str, str], contexts: Mapping[str, str]) -> None:
    """Raise LabError for a cluster that refuses, that two regions share, or in which pods would run elsewhere."""
    regions: dict[str, str] = {}
    for region, path in kubeconfigs.items():
        try:
            core = client.CoreV1Api(connect(Path(path), contexts[region]))
            uid = call(core.read_namespace, "kube-system")["metadata"]["uid"]
            nodes = call(core.list_node)["items"]
        except (ClusterError, KubeconfigError) as error:
            raise LabError(f"Failed to use the cluster of {region} ({path}, {contexts[region]}): {error}") from error
        if uid in regions:
            raise LabError(
                f"Failed to use the cluster of {region}: it is that of {regions[uid]}, too. Give each one its own."
            )
        regions[uid] = region
        if others := [name for name in map(_takes_pods, nodes) if name and name != node_name(region)]:
            raise LabError(
                f"Failed to use the cluster of {region}: {', '.join(others)} would take the services' pods and cannot "
                f"reach the lab. Run: kubectl --context {contexts[region]} cordon {' '.join(others)}"
            )


def clean(lab: Lab, region: str) -> str:
    """Remove from a region's cluster what a lab put there, but for its namespaces; what could not be removed, or ''."""
    try:
        api = connect(lab.kubeconfig(region), lab.context(region))
        for delete in _deletions(lab, api, region):
            _unless_absent(delete)
    except (ClusterError, KubeconfigError) as error:
        namespaces = " and ".join(service.name for service in lab.services)
        return (
            f"Failed to clean the cluster of {region}: {error}. The node {node_name(region)} may still be there, and "
            f"the lab's deployments and secrets in {namespaces}."
        )
    return ""


def _deletions(lab: Lab, api: client.ApiClient, region: str) -> Iterator[Callable[[], Any]]:
    """What to delete, in the order in which nothing makes anew what is gone.

    The node's agent has ended, so nobody would confirm the end of a pod: pods go without grace.
    """
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    now: Document = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    for service in lab.services:
        mine = f"app={service.name}"
        deployed = f"{mine},app.kubernetes.io/managed-by={DEPLOYER}"
        for delete, selector in (
            (apps.delete_collection_namespaced_deployment, deployed),
            (apps.delete_collection_namespaced_replica_set, mine),
            (core.delete_collection_namespaced_pod, mine),
        ):
            yield partial(call, delete, service.name, label_selector=selector, body=now)
        for secret in service.secrets:
            yield partial(call, core.delete_namespaced_secret, secret, service.name)
    yield partial(call, core.delete_node, node_name(region))


def _unless_absent(delete: Callable[[], Any]) -> None:
    try:
        delete()
    except ClusterError as error:
        if error.status != 404:
            raise


def _takes_pods(node: Document) -> str:
    """The name of a node on which the scheduler may put a pod that tolerates nothing, else ''."""
    spec = node.get("spec") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    closed = spec.get("unschedulable") or any(taint["effect"] in NO_PODS for taint in spec.get("taints") or [])
    return str(node["metadata"]["name"]) if ready and not closed else ""
