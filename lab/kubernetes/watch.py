"""Watches: streams of events from a revision on, with the recent past kept for those who come back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import ApiError, expired
from .storage import ADDED, DELETED, MODIFIED, Event, Store

Json = dict[str, Any]
HISTORY_PER_RESOURCE = 500
SLOW_WATCHER_EVENTS = 20_000


@dataclass(eq=False)
class Watch:
    """One client's stream: what it selects, and the events it has not read yet. None in the queue ends it."""

    resource: str
    namespace: str | None
    selects: Callable[[Json], bool]
    queue: asyncio.Queue[tuple[str, Json] | None] = field(default_factory=asyncio.Queue)

    def offer(self, event: Event) -> None:
        """Queue what the event means to this client: an object that leaves its selection is a deletion to it."""
        metadata = event.object["metadata"]
        if self.namespace is not None and metadata.get("namespace", "") != self.namespace:
            return
        was = event.previous is not None and self.selects(event.previous)
        is_selected = event.kind != DELETED and self.selects(event.object)
        if is_selected:
            self.queue.put_nowait((MODIFIED if was else ADDED, event.object))
        elif was and event.previous is not None:
            self.queue.put_nowait((DELETED, self._last_seen(event)))

    @staticmethod
    def _last_seen(event: Event) -> Json:
        if event.kind == DELETED or event.previous is None:
            return event.object
        metadata = {**event.previous["metadata"], "resourceVersion": str(event.revision)}
        return {**event.previous, "metadata": metadata}


class WatchHub:
    """Hands each write to the watches it concerns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._history: dict[str, deque[Event]] = {}
        self._floors: dict[str, int] = {}
        self._watches: dict[str, set[Watch]] = {}
        self._closed = False
        store.listen(self._on_event)

    def open(self, watch: Watch, revision: int | None) -> None:
        """Start a watch: from now (None), or from the events after ``revision``. ApiError 410 where those are gone."""
        if revision is not None:
            self._replay(watch, revision)
        self._watches.setdefault(watch.resource, set()).add(watch)
        if self._closed:
            watch.queue.put_nowait(None)

    def forget(self, watch: Watch) -> None:
        self._watches.get(watch.resource, set()).discard(watch)

    def close(self) -> None:
        """End every watch, and every one that is opened from now on."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.queue.put_nowait(None)

    def _replay(self, watch: Watch, revision: int) -> None:
        floor = self._floors.get(watch.resource, self._store.loaded_revision)
        if revision < floor:
            raise expired(f"too old resource version: {revision} ({floor})")
        if revision > self._store.revision:
            raise _from_the_future(revision, self._store.revision)
        for event in self._history.get(watch.resource, ()):
            if event.revision > revision:
                watch.offer(event)

    def _on_event(self, event: Event) -> None:
        history = self._history.setdefault(event.resource, deque())
        history.append(event)
        if len(history) > HISTORY_PER_RESOURCE:
            self._floors[event.resource] = history.popleft().revision
        for watch in list(self._watches.get(event.resource, ())):
            watch.offer(event)
            if watch.queue.qsize() > SLOW_WATCHER_EVENTS:
                self.forget(watch)
                watch.queue.put_nowait(None)


def _from_the_future(revision: int, current: int) -> ApiError:
    message = f"Too large resource version: {revision}, current: {current}"
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    return ApiError(504, "Timeout", message, {**details, "retryAfterSeconds": 1})
