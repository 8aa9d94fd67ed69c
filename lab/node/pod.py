"""One pod: its init containers one by one, then its containers together, until it is deleted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Sequence
from typing import Any

from lab.node.cluster import Cluster
from lab.node.container import Container, timestamp
from lab.node.launch import Services, container_directory
from lab.node.reporter import Reporter
from lab.node.status import container_status, pod_conditions, pod_phase

log = logging.getLogger(__name__)
Document = dict[str, Any]
# What a pod gets that was deleted by force: nobody waits for it any more.
FORCED_GRACE_SECONDS = 1.0


class Pod:
    """Runs one pod and reports on it. ``done`` is set once nothing of it is left on the node."""

    def __init__(self, services: Services, cluster: Cluster, pod: Document, address: str) -> None:
        self.address = address
        self.done = asyncio.Event()
        self._services = services
        self._document = pod
        self._initial, spec = pod.get("status") or {}, pod["spec"]
        policy = spec.get("restartPolicy") or "Always"
        init_policy = "Never" if policy == "Never" else "OnFailure"
        self._init = [self._container(entry, init_policy, "init") for entry in spec.get("initContainers") or []]
        self._containers = [self._container(entry, policy, "") for entry in spec["containers"]]
        self._started_at = self._initial.get("startTime") or timestamp()
        self._conditions: list[Document] = self._initial.get("conditions") or []
        self._failed_init = False
        self._reporter = Reporter(cluster, pod, self._status)
        self._tasks: list[asyncio.Task[Any]] = []
        self._end: asyncio.Task[None] | None = None

    @property
    def label(self) -> str:
        """The pod's full name, for people."""
        metadata = self._document["metadata"]
        return f"{metadata['namespace']}/{metadata['name']}"

    def start(self) -> None:
        """Begin to run and report."""
        log.info("pod %s begins at %s", self.label, self.address)
        self._tasks.append(asyncio.create_task(self._reporter.run()))
        self._tasks.append(asyncio.create_task(self._run()))
        self._reporter.mark()

    def update(self, pod: Document) -> None:
        """The API server's version changed: all that matters here is whether the pod is to end, and how soon."""
        self._document["metadata"] = pod["metadata"]
        if pod["metadata"].get("deletionTimestamp"):
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            self._begin_end(max(grace, FORCED_GRACE_SECONDS), report=True)

    def removed(self) -> None:
        """The API server has the pod no longer."""
        self._begin_end(FORCED_GRACE_SECONDS, report=False)

    async def stop(self, grace_seconds: float) -> None:
        """End the containers, because the node stops; the pod itself stays bound to the node."""
        await self._stop_containers(grace_seconds)
        self._reporter.mark()

    async def flush(self) -> None:
        """Wait until the newest status has arrived."""
        await self._reporter.flush()

    def _container(self, spec: Document, policy: str, kind: str) -> Container:
        container = Container(self._services, self._document, spec, self.address, policy, self._changed)
        field = "initContainerStatuses" if kind else "containerStatuses"
        for status in self._initial.get(field) or []:
            if status["name"] == spec["name"]:
                container.adopt(status)
        return container

    def _changed(self) -> None:
        self._reporter.mark()

    async def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            for container in self._init:
                await container.run()
                if container.finished != 0:
                    self._failed_init = True
                    self._changed()
                    return
            await asyncio.gather(*(container.run() for container in self._containers))
            self._changed()

    def _begin_end(self, grace_seconds: float, report: bool) -> None:
        if self._end is None:
            log.info("pod %s ends, within %g s", self.label, grace_seconds)
            self._end = asyncio.create_task(self._finish(grace_seconds, report))
        else:
            self._tasks.append(asyncio.create_task(self._stop_containers(grace_seconds)))

    async def _stop_containers(self, grace_seconds: float) -> None:
        await asyncio.gather(*(c.stop(grace_seconds) for c in [*self._init, *self._containers]))

    async def _finish(self, grace_seconds: float, report: bool) -> None:
        await self._stop_containers(grace_seconds)
        if report:
            self._reporter.mark()
            await self._reporter.flush()
            await self._reporter.remove()
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(shutil.rmtree, container_directory(self._services.config, self._document), True)
        log.info("pod %s is gone", self.label)
        self.done.set()

    def _status(self) -> Document:
        initialized = all(container.finished == 0 for container in self._init)
        host = self._services.config.address
        self._conditions = pod_conditions(self._conditions, self._containers, initialized)
        status = {
            "phase": self._phase(initialized),
            "conditions": self._conditions,
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._started_at,
            "containerStatuses": _statuses(self._containers, initialized),
        }
        if self._init:
            status["initContainerStatuses"] = [container_status(c, init=True) for c in self._init]
        return status

    def _phase(self, initialized: bool) -> str:
        if self._failed_init:
            return "Failed"
        return pod_phase(self._containers) if initialized else "Pending"


def _statuses(containers: Sequence[Container], initialized: bool) -> list[Document]:
    statuses = [container_status(container) for container in containers]
    if not initialized:
        for status in statuses:
            status["state"] = {"waiting": {"reason": "PodInitializing"}}
    return statuses
