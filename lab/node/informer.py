"""Keeps a local copy of a list of objects by list and watch, as long as the process lives.

A watch may end at any time, its version may be too old (410), the server may go away for minutes: the copy is kept,
and made right by a new list. Callbacks run on the informer's own thread, one at a time.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import urllib3
from kubernetes import client

from lab.node.cluster import CONNECT_SECONDS, ClusterError, as_cluster_error, call

log = logging.getLogger(__name__)
WATCH_SECONDS = 60
# Longer than the watch itself: a server that is frozen is found out this late, and never before it had its chance.
SILENCE_SECONDS = WATCH_SECONDS + 10.0
# A server that ends every watch at once is asked again at a slower pace.
SHORTEST_WATCH_SECONDS = 1.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 2.0
GONE = 410

Document = dict[str, Any]


class Expired(Exception):
    """The version to watch from is no longer known to the server: list again."""


class Informer:
    """Tells of every object that appears, changes or goes."""

    def __init__(
        self,
        name: str,
        lister: Callable[..., Any],
        applied: Callable[[Document], object],
        deleted: Callable[[Document], object],
        **selection: Any,
    ) -> None:
        """``lister`` is a list method of a ``kubernetes`` API class, ``selection`` its arguments."""
        self.synced = threading.Event()
        self._name = name
        self._lister = lister
        self._applied = applied
        self._deleted = deleted
        self._selection = selection
        self._known: dict[str, Document] = {}
        self._version = ""
        self._delay = FIRST_DELAY_SECONDS

    def start(self) -> None:
        """Begin, on a daemon thread that ends with the process."""
        threading.Thread(target=self._run, name=f"informer {self._name}", daemon=True).start()

    def _run(self) -> None:
        lost_since: float | None = None
        while True:
            try:
                if not self._version:
                    self._list()
                if lost_since is not None:
                    log.info("watching %s again after %.1f s", self._name, time.monotonic() - lost_since)
                    lost_since = None
                began = time.monotonic()
                self._watch()
                if time.monotonic() - began < SHORTEST_WATCH_SECONDS:
                    self._pause()
            except Expired:
                log.info("the watch of %s is out of date: listing again", self._name)
                self._version = ""
            except ClusterError as error:
                if lost_since is None:
                    lost_since = time.monotonic()
                    log.warning("Failed to watch %s: %s", self._name, error)
                # What the server forgot, or another server in its place, shows in a list only.
                self._version = ""
                self._pause()
            except Exception:
                log.exception("Failed to handle an event of %s", self._name)
                self._version = ""
                self._pause()

    def _pause(self) -> None:
        time.sleep(self._delay * random.uniform(0.5, 1.0))
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    def _list(self) -> None:
        document = call(self._lister, **self._selection)
        items = {item["metadata"]["uid"]: item for item in document.get("items") or []}
        for uid in [uid for uid in self._known if uid not in items]:
            self._forget(self._known[uid])
        for item in items.values():
            self._remember(item)
        self._version = str(document["metadata"]["resourceVersion"])
        self._delay = FIRST_DELAY_SECONDS
        self.synced.set()

    def _watch(self) -> None:
        for event in self._events():
            kind, document = event["type"], event["object"]
            if kind == "ERROR":
                if document.get("code") == GONE:
                    raise Expired
                raise ClusterError(int(document.get("code") or 0), str(document.get("message")))
            self._version = str(document["metadata"]["resourceVersion"])
            if kind == "DELETED":
                self._forget(document)
            elif kind in {"ADDED", "MODIFIED"}:
                self._remember(document)

    def _events(self) -> Iterator[Document]:
        """The events of one watch, until it ends."""
        options = {**self._selection, "watch": True, "resource_version": self._version}
        options |= {"allow_watch_bookmarks": True, "timeout_seconds": WATCH_SECONDS}
        response = None
        try:
            response = self._lister(
                **options, _preload_content=False, _request_timeout=(CONNECT_SECONDS, SILENCE_SECONDS)
            )
            for line in _lines(response):
                yield json.loads(line)
        except client.ApiException as error:
            if error.status == GONE:
                raise Expired from error
            raise as_cluster_error(error) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(0, f"the watch was cut: {error}") from error
        finally:
            if response is not None:
                response.close()

    def _remember(self, document: Document) -> None:
        metadata = document["metadata"]
        before = self._known.get(metadata["uid"])
        self._known[metadata["uid"]] = document
        if before is None or before["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            self._applied(document)

    def _forget(self, document: Document) -> None:
        if self._known.pop(document["metadata"]["uid"], None) is not None:
            self._deleted(document)


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
