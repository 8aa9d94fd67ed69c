"""Runs the controllers: one queue, one task, timers only for what has to happen later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from ..deletion import Deleter
from ..errors import ApiError
from ..storage import ADDED, Event, Store
from ..writing import Writer
from .base import Context, Controller, Key
from .deployment import DeploymentController
from .disruption import DisruptionController
from .endpoints import EndpointSliceController
from .garbage import GarbageCollector
from .namespace import NamespaceController, bootstrap
from .node import NodeController
from .pod_garbage import PodGarbageCollector
from .replicaset import ReplicaSetController
from .scheduler import Scheduler
from .statefulset import StatefulSetController
from .taint import TaintEviction

log = logging.getLogger(__name__)
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.05, 30.0
CONTROLLERS: tuple[type[Controller], ...] = (
    NamespaceController, NodeController, TaintEviction, PodGarbageCollector, DeploymentController, ReplicaSetController,
    StatefulSetController, Scheduler, EndpointSliceController, DisruptionController, GarbageCollector,
)  # fmt: skip
_Item = tuple[int, Key]


class Controllers:
    """Feeds every write to every controller and reconciles the keys they name, each once however often it is named."""

    def __init__(self, store: Store, writer: Writer, deleter: Deleter, node_grace_seconds: float) -> None:
        self._store = store
        self._context = Context(store, writer, deleter, node_grace_seconds)
        self._controllers = [kind(self._context) for kind in CONTROLLERS]
        self._queue: deque[_Item] = deque()
        self._queued: set[_Item] = set()
        self._timers: dict[_Item, asyncio.TimerHandle] = {}
        self._failures: dict[_Item, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take in what the store holds, create what every cluster has, and begin."""
        for resource in self._store.resources():
            for obj in self._store.list(resource):
                self._observe(Event(ADDED, resource, self._store.revision, obj, None))
        self._store.listen(self._observe)
        bootstrap(self._context)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="controllers")

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _observe(self, event: Event) -> None:
        self._context.owners.observe(event)
        for index, controller in enumerate(self._controllers):
            for key in controller.keys(event):
                self._enqueue((index, key))

    def _enqueue(self, item: _Item) -> None:
        if item not in self._queued:
            self._queued.add(item)
            self._queue.append(item)
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                item = self._queue.popleft()
                self._queued.discard(item)
                self._reconcile(item)
                # Requests are served between two reconciliations, so a long queue delays nobody.
                await asyncio.sleep(0)

    def _reconcile(self, item: _Item) -> None:
        index, key = item
        timer = self._timers.pop(item, None)
        if timer is not None:
            timer.cancel()
        try:
            again = self._controllers[index].reconcile(key)
            self._failures.pop(item, None)
        except Exception as problem:
            again = self._retry_delay(item)
            self._report(item, problem, again)
        if again is not None:
            self._timers[item] = asyncio.get_running_loop().call_later(max(0.0, again), self._enqueue, item)

    def _retry_delay(self, item: _Item) -> float:
        count = self._failures[item] = self._failures.get(item, 0) + 1
        return float(min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (count - 1)))

    def _report(self, item: _Item, problem: Exception, again: float) -> None:
        name = type(self._controllers[item[0]]).__name__
        where = "/".join(filter(None, item[1]))
        if isinstance(problem, ApiError):
            log.warning("%s failed on %s: %s; next try in %.2f s", name, where, problem, again)
        else:
            log.error("%s failed on %s; next try in %.2f s", name, where, again, exc_info=problem)
