"""Watches over HTTP: one JSON object a line until the time is up, the client leaves or the server stops."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .errors import ApiError, bad_request
from .reading import Selection
from .requests import boolean
from .resources import Resource
from .storage import ADDED, Store
from .watch import Watch, WatchHub

Json = dict[str, Any]
BOOKMARK_SECONDS = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def _line(kind: str, obj: Json) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def _bookmark(resource: Resource, revision: int, *, initial: bool = False) -> bytes:
    metadata: Json = {"resourceVersion": str(revision)}
    if initial:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return _line("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata})


class WatchStream:
    """Answers one watch request."""

    def __init__(
        self, store: Store, hub: WatchHub, resource: Resource, chosen: Selection, query: Mapping[str, str]
    ) -> None:
        self._store, self._hub, self._resource, self._chosen = store, hub, resource, chosen
        self._revision = _revision(query)
        self._wants_initial = boolean(query, "sendInitialEvents")
        self._bookmarks = boolean(query, "allowWatchBookmarks")
        try:
            self._timeout = float(query.get("timeoutSeconds") or random.randint(1800, 3600))
        except ValueError as problem:
            raise bad_request(f"invalid timeoutSeconds {query['timeoutSeconds']!r}: give seconds") from problem

    async def run(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        watch = Watch(self._resource.key, self._chosen.namespace, self._chosen.selects)
        try:
            first = self._begin(watch)
        except ApiError as problem:
            await response.prepare(request)
            await response.write(_line("ERROR", problem.status()))
            return response
        try:
            await response.prepare(request)
            if first:
                await response.write(first)
            await self._pump(watch, response)
        except ConnectionError:
            # The client has left; there is nobody to tell.
            pass
        finally:
            self._hub.forget(watch)
        return response

    def _begin(self, watch: Watch) -> bytes:
        """Open the watch; what the client gets first (the present objects, where it asked from no revision)."""
        if self._revision and not self._wants_initial:
            self._hub.open(watch, self._revision)
            return b""
        self._hub.open(watch, None)
        objects = [
            obj for obj in self._store.list(self._resource.key, self._chosen.namespace) if self._chosen.selects(obj)
        ]
        lines = [_line(ADDED, obj) for obj in objects]
        if self._wants_initial and self._bookmarks:
            lines.append(_bookmark(self._resource, self._store.revision, initial=True))
        return b"".join(lines)

    async def _pump(self, watch: Watch, response: web.StreamResponse) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._timeout
        while (left := ends - loop.time()) > 0:
            wait = min(left, BOOKMARK_SECONDS) if self._bookmarks else left
            try:
                item = await asyncio.wait_for(watch.queue.get(), wait)
            except TimeoutError:
                if self._bookmarks:
                    await response.write(_bookmark(self._resource, self._store.revision))
                continue
            lines, is_over = [], False
            while True:
                if item is None:
                    is_over = True
                    break
                lines.append(_line(*item))
                if watch.queue.empty():
                    break
                item = watch.queue.get_nowait()
            if lines:
                await response.write(b"".join(lines))
            if is_over:
                return


def _revision(query: Mapping[str, str]) -> int | None:
    """The revision to watch from; None where the client gave none or 0, and so wants the present first."""
    text = query.get("resourceVersion") or "0"
    try:
        return int(text) or None
    except ValueError as problem:
        raise bad_request(f'Invalid value: "{text}": resourceVersion must be a number') from problem
