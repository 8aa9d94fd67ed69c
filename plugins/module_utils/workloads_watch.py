# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collections of the Kubernetes API, kept up to date by watches.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import threading
import typing as t

from .clock import Deadline
from .errors import RecoveryError
from .kubernetes_api import Denied, Gone, Json, KubernetesApi, Watch

#: Seconds between two lists where the API cannot be watched, and after an error.
_PAUSE = 0.5
#: Seconds before the next watch, so that a server that ends every watch at once is not flooded.
_BETWEEN_WATCHES = 0.02
#: Seconds that one watch is asked to last; the next one goes on where it ended.
_WATCH_SECONDS = 240.0


class Mirror:
    """One collection by name, as of the last event. Lists, watches from there, and lists again when it must."""

    def __init__(self, api: KubernetesApi, path: str, changed: threading.Condition, deadline: Deadline) -> None:
        self.objects: dict[str, Json] = {}
        self.complete = False
        self.error: RecoveryError | None = None
        self._api = api
        self._path = path
        self._changed = changed
        self._deadline = deadline
        self._over = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True, name=f"watch {path}")

    def start(self) -> None:
        """Begin to follow the collection."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch. A thread that the server holds a moment longer is left behind."""
        self._over.set()
        watch = self._watch
        if watch is not None:
            watch.close()

    def _follow(self) -> None:
        watchable = True
        while not self._over.is_set():
            try:
                version = self._list()
                while watchable and not self._over.is_set():
                    version = self._events(version)
                    self._over.wait(_BETWEEN_WATCHES)
            except Gone:
                pass
            except RecoveryError as error:
                if isinstance(error, Denied) and self.complete:
                    watchable = False  # listing is allowed and watching is not
                else:
                    self._tell(error)
            self._over.wait(_PAUSE)

    def _list(self) -> str:
        found = self._api.get(self._path)
        with self._changed:
            self.objects = {item["metadata"]["name"]: item for item in found.get("items") or []}
            self.complete, self.error = True, None
            self._changed.notify_all()
        return str(found["metadata"]["resourceVersion"])

    def _events(self, version: str) -> str:
        seconds = max(1.0, min(_WATCH_SECONDS, self._deadline.remaining))
        self._watch = watch = self._api.watch(self._path, version, seconds)
        for kind, item in watch:
            version = str(item["metadata"]["resourceVersion"])
            if self._over.is_set():
                break
            if kind != "BOOKMARK":
                self._apply(kind, item)
        return version

    def _apply(self, kind: str, item: Json) -> None:
        with self._changed:
            if kind == "DELETED":
                self.objects.pop(item["metadata"]["name"], None)
            else:
                self.objects[item["metadata"]["name"]] = item
            self.error = None
            self._changed.notify_all()

    def _tell(self, error: RecoveryError) -> None:
        with self._changed:
            self.error = error
            self._changed.notify_all()


@contextlib.contextmanager
def mirrors(
    api: KubernetesApi, paths: t.Iterable[str], changed: threading.Condition, deadline: Deadline
) -> t.Iterator[dict[str, Mirror]]:
    """Follow several collections for the length of a block; `changed` is notified of every event."""
    found = {path: Mirror(api, path, changed, deadline) for path in dict.fromkeys(paths)}
    for one in found.values():
        one.start()
    try:
        yield found
    finally:
        for one in found.values():
            one.stop()
