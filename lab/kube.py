"""What the regions' Kubernetes API holds when the lab begins: namespaces and secrets; nodes that are ready."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lab import own_clusters
from lab.catalogue import Service
from lab.components import Component, check_alive
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import Lab
from lab.node.cluster import as_cluster_error, connect
from lab.waiting import until

TIMEOUT_SECONDS = 5.0
CONFLICT = 409


def api(lab: Lab, region: str) -> client.CoreV1Api:
    """The core API of a region."""
    return client.CoreV1Api(connect(lab.kubeconfig(region), lab.context(region)))


def fill(lab: Lab, keys: Keys, region: str) -> None:
    """Wait for the API, clean a user's cluster, then create each service's namespace and secrets."""
    core = api(lab, region)

    def answers() -> bool:
        if region not in lab.kubeconfigs:
            check_alive(lab, Component("kubernetes", region))
        try:
            core.list_namespace(_request_timeout=TIMEOUT_SECONDS)
        except (ApiException, HTTPError):
            return False
        return True

    until(answers, f"the Kubernetes API of {region} (log {lab.log('kubernetes', region)})", timeout=60)
    if region in lab.kubeconfigs and (left := own_clusters.clean(lab, region)):  # by a lab that was killed
        raise LabError(left)
    for service in lab.services:
        ending = f"the end of the namespace {service.name} of {region}, which is being deleted"
        until(partial(_namespace, core, service.name), ending, timeout=60)
        for name, data in _secrets(keys, region, service).items():
            body = {"metadata": {"name": name}, "type": "Opaque", "stringData": data}
            _ensure(
                lambda body, to=service.name: core.create_namespaced_secret(to, body),
                lambda name, body, to=service.name: core.replace_namespaced_secret(name, to, body),
                body,
            )


def wait_for_node(lab: Lab, region: str) -> None:
    """Wait until the region's node is ready to run pods."""
    core = api(lab, region)

    def ready() -> bool:
        check_alive(lab, Component("node", region))
        return node_is_ready(core, f"node-{region}")

    until(ready, f"the node of {region} (log {lab.log('node', region)})", timeout=60)


def node_is_ready(core: client.CoreV1Api, name: str) -> bool:
    """True when the API says so."""
    try:
        node = core.read_node(name, _request_timeout=TIMEOUT_SECONDS)
    except (ApiException, HTTPError):
        return False
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or [])


def _namespace(core: client.CoreV1Api, name: str) -> bool:
    """Create a namespace, or find it. False while one of that name is being deleted: nothing can be put into it."""
    try:
        core.create_namespace({"metadata": {"name": name}}, _request_timeout=TIMEOUT_SECONDS)
        return True
    except ApiException as error:
        if error.status != CONFLICT:
            raise LabError(f"Failed to create namespace {name}: {as_cluster_error(error)}") from error
    try:
        return core.read_namespace(name, _request_timeout=TIMEOUT_SECONDS).status.phase != "Terminating"
    except ApiException:
        return False


def _secrets(keys: Keys, region: str, service: Service) -> dict[str, dict[str, str]]:
    key = keys.aws[region]
    database, models = service.secrets
    return {
        database: {"PGPASSWORD": keys.database[service.database_role]},
        models: {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret},
    }


def _ensure(create: Callable[..., Any], replace: Callable[..., Any], body: dict[str, Any]) -> None:
    """Create an object, or replace the one that a cluster of the user's own still has."""
    name = body["metadata"]["name"]
    try:
        create(body)
    except ApiException as error:
        if error.status != CONFLICT:
            raise LabError(f"Failed to create {name}: {as_cluster_error(error)}") from error
        replace(name, body)
