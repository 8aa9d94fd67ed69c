"""Brings a pod's status, and in the end its removal, to the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lab.node.cluster import Cluster, ClusterError

log = logging.getLogger(__name__)
Document = dict[str, Any]
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 3.0
POD_IS_ANOTHER = {404, 409}


class Reporter:
    """Sends the newest status of one pod whenever it differs from the last one that arrived."""

    def __init__(self, cluster: Cluster, pod: Document, compose: Callable[[], Document]) -> None:
        metadata = pod["metadata"]
        self._cluster = cluster
        self._name, self._namespace, self._uid = metadata["name"], metadata["namespace"], metadata["uid"]
        self._compose = compose
        self._sent: Document | None = None
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def mark(self) -> None:
        """Something may have changed."""
        self._idle.clear()
        self._due.set()

    async def run(self) -> None:
        """Report for ever, until the pod is no longer there."""
        while True:
            await self._due.wait()
            self._due.clear()
            status = self._compose()
            if status != self._sent and not await self._patch(status):
                self._idle.set()
                return
            if not self._due.is_set():
                self._idle.set()

    async def flush(self) -> None:
        """Wait until the newest status has arrived."""
        await self._idle.wait()

    async def remove(self) -> None:
        """Tell the API server that nothing of the pod is left, until it has heard it."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
        delete = self._cluster.core.delete_namespaced_pod
        await self._insist(lambda: self._cluster.call(delete, self._name, self._namespace, body=body))

    async def _patch(self, status: Document) -> bool:
        body = {"metadata": {"uid": self._uid}, "status": status}
        patch = self._cluster.core.patch_namespaced_pod_status
        done = await self._insist(lambda: self._cluster.patch(patch, self._name, self._namespace, body))
        self._sent = status
        return done

    async def _insist(self, call: Callable[[], Any]) -> bool:
        """Repeat a call until it succeeds; False when the pod is gone or another one has its name."""
        delay = FIRST_DELAY_SECONDS
        complained = False
        while True:
            try:
                await call()
                return True
            except ClusterError as error:
                if error.status in POD_IS_ANOTHER:
                    return False
                if not complained:
                    log.warning("Failed to report on pod %s/%s: %s", self._namespace, self._name, error)
                    complained = True
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
