"""Makes the node known to the API server, and keeps saying that it lives."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from datetime import UTC, datetime
from typing import Any

from lab.node.cluster import Cluster, ClusterError
from lab.node.config import Config
from lab.node.container import timestamp

log = logging.getLogger(__name__)
Document = dict[str, Any]
LEASES = "kube-node-lease"
STATUS_SECONDS = 10.0
HEALTHY = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "the agent does not limit memory"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "the agent does not limit disk"),
    ("PIDPressure", "KubeletHasSufficientPID", "the agent does not limit processes"),
)


class Registration:
    """The Node object, its status and its lease."""

    def __init__(self, cluster: Cluster, config: Config) -> None:
        self._cluster = cluster
        self._config = config
        self._since = timestamp()
        self._lease: Document | None = None
        self._uid = ""

    async def run(self) -> None:
        """Register, then renew for ever. An API server that forgot the node is told of it again."""
        pause = self._config.lease_seconds / 4
        status_due = 0.0
        well = False
        while True:
            try:
                if not self._uid:
                    await self._register()
                    status_due = 0.0
                if time.monotonic() >= status_due:
                    await self._patch_status(ready=True)
                    status_due = time.monotonic() + STATUS_SECONDS
                await self._renew()
                if not well:
                    log.info("node %s is ready", self._config.node_name)
                well = True
            except ClusterError as error:
                if well or not self._uid:
                    log.warning("Failed to renew node %s: %s", self._config.node_name, error)
                well = False
                if error.status == 404:
                    self._uid = ""
                await asyncio.sleep(min(pause, 1.0))
                continue
            await asyncio.sleep(pause)

    async def say_goodbye(self) -> None:
        """Say that the node takes no more work, as far as that can be said."""
        try:
            await self._patch_status(ready=False)
        except ClusterError as error:
            log.warning("Failed to report that node %s stops: %s", self._config.node_name, error)

    async def _register(self) -> None:
        core, name = self._cluster.core, self._config.node_name
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            **self._config.labels,
        }
        metadata = {"name": name, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": self._status(ready=True)}
        try:
            node = await self._cluster.call(core.create_node, body)
        except ClusterError as error:
            if error.status != 409:
                raise
            node = await self._cluster.patch(core.patch_node, name, {"metadata": {"labels": labels}})
        self._uid = node["metadata"]["uid"]
        log.info("node %s is registered", name)

    async def _patch_status(self, ready: bool) -> None:
        patch = self._cluster.core.patch_node_status
        await self._cluster.patch(patch, self._config.node_name, {"status": self._status(ready)})

    def _status(self, ready: bool) -> Document:
        now = timestamp()
        verdict = ("Ready", "KubeletReady", "the agent takes pods") if ready else ("Ready", "NodeShutdown", "stopping")
        conditions = [_condition(kind, "False", reason, message, now, self._since) for kind, reason, message in HEALTHY]
        since = self._since if ready else now
        conditions.append(_condition(verdict[0], str(ready), verdict[1], verdict[2], now, since))
        addresses = {"InternalIP": self._config.address, "Hostname": self._config.node_name}
        return {
            "capacity": self._config.capacity,
            "allocatable": self._config.capacity,
            "conditions": conditions,
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
            "nodeInfo": _node_info(self._config),
        }

    async def _renew(self) -> None:
        """Renew the lease; one that somebody else changed, or deleted, is read or made anew."""
        api, name = self._cluster.coordination, self._config.node_name
        if self._lease is None:
            self._lease = await self._find_lease()
        lease = {**self._lease, "spec": {**self._lease["spec"], "renewTime": _micro_time()}}
        try:
            self._lease = await self._cluster.call(api.replace_namespaced_lease, name, LEASES, lease)
        except ClusterError as error:
            self._lease = None
            if error.status not in {404, 409}:
                raise

    async def _find_lease(self) -> Document:
        api, name = self._cluster.coordination, self._config.node_name
        try:
            return await self._cluster.call(api.read_namespaced_lease, name, LEASES)
        except ClusterError as error:
            if error.status != 404:
                raise
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
        spec = {"holderIdentity": name, "leaseDurationSeconds": self._config.lease_seconds, "renewTime": _micro_time()}
        metadata = {"name": name, "namespace": LEASES, "ownerReferences": [owner]}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        return await self._cluster.call(api.create_namespaced_lease, LEASES, body)


def _condition(kind: str, status: str, reason: str, message: str, now: str, since: str) -> Document:
    times = {"lastHeartbeatTime": now, "lastTransitionTime": since}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


def _node_info(config: Config) -> Document:
    return {
        "machineID": config.node_name,
        "systemUUID": config.node_name,
        "bootID": config.node_name,
        "kernelVersion": platform.release(),
        "osImage": "lab node: containers are processes",
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": "v1.36.0-lab",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
