"""Pods whose node object is gone: nobody will ever confirm their end, so they are removed."""

from __future__ import annotations

import asyncio

from ..requests import DeleteOptions
from ..storage import DELETED, Event
from .base import NODES, PODS, Context, Controller, Key


class PodGarbageCollector(Controller):
    """Keys are names of deleted nodes. Waits as long as a silent node may take, in case it registers again."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._gone_since: dict[str, float] = {}

    def keys(self, event: Event) -> list[Key]:
        if event.resource == NODES.key and event.kind == DELETED:
            return [("", event.object["metadata"]["name"])]
        if event.resource == PODS.key and event.kind != DELETED:
            node = event.object["spec"].get("nodeName")
            if node and self.context.get(NODES, ("", node)) is None:
                return [("", node)]
        return []

    def reconcile(self, key: Key) -> float | None:
        if self.context.get(NODES, key) is not None:
            self._gone_since.pop(key[1], None)
            return None
        moment = asyncio.get_running_loop().time()
        left = self._gone_since.setdefault(key[1], moment) + self.context.node_grace_seconds - moment
        if left > 0:
            return left
        for pod in self.context.store.list(PODS.key):
            if pod["spec"].get("nodeName") == key[1]:
                self.context.delete(PODS, pod, DeleteOptions(grace_seconds=0))
        self._gone_since.pop(key[1], None)
        return None
