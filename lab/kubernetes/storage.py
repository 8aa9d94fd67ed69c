"""The objects: all in memory, every write in SQLite before anyone hears of it.

Stored objects are never changed in place; whoever wants a change stores a changed copy. WAL without a sync per commit
survives the kill of this process; a crash of the machine may lose the last moments, and the lab with it.
"""

from __future__ import annotations

import builtins
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);
INSERT OR IGNORE INTO revision VALUES (1, 0);
"""


@dataclass(frozen=True)
class Event:
    """One write: what happened, the object after it (for a deletion: as it was last) and the object before it."""

    kind: str
    resource: str
    revision: int
    object: Json
    previous: Json | None


Listener = Callable[[Event], None]


class StateError(Exception):
    """The state directory cannot be used."""


def _open(directory: Path) -> sqlite3.Connection:
    """The database, locked for this process alone. StateError where it cannot be opened."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(directory / "state.sqlite3", isolation_level=None, timeout=0.5)
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.executescript(_SCHEMA)
    except (OSError, sqlite3.Error) as problem:
        remedy = "stop the other emulator that uses it, or give another state_directory"
        raise StateError(f"Failed to open state in {directory}: {problem}; {remedy}") from problem
    return database


class Store:
    """Objects by resource key, namespace and name; each write gets the next revision and is announced to listeners."""

    def __init__(self, directory: Path) -> None:
        self._database = _open(directory)
        self._objects: dict[str, dict[Key, Json]] = {}
        self._listeners: list[Listener] = []
        self.revision: int = self._database.execute("SELECT value FROM revision").fetchone()[0]
        for resource, namespace, name, body in self._database.execute("SELECT * FROM objects"):
            self._objects.setdefault(resource, {})[(namespace, name)] = json.loads(body)
        self.loaded_revision = self.revision

    def close(self) -> None:
        self._database.close()

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after every write, in order, from within the write."""
        self._listeners.append(listener)

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> list[Json]:
        """The objects of a resource, in the order of namespace and name; all namespaces where None is given."""
        objects = self._objects.get(resource, {})
        keys = sorted(key for key in objects if namespace is None or key[0] == namespace)
        return [objects[key] for key in keys]

    def each(self, resource: str) -> Iterator[Json]:
        """The objects of a resource in no order; do not write while iterating."""
        return iter(self._objects.get(resource, {}).values())

    def resources(self) -> builtins.list[str]:
        """The resource keys that hold any object."""
        return [resource for resource, objects in self._objects.items() if objects]

    def put(self, resource: str, obj: Json) -> Json:
        """Store the object under its metadata's name with the next revision; the object now belongs to the store."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        objects = self._objects.setdefault(resource, {})
        previous = objects.get(key)
        revision = self.revision + 1
        metadata["resourceVersion"] = str(revision)
        body = json.dumps(obj, separators=(",", ":"))
        self._commit(revision, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (resource, *key, body))
        objects[key] = obj
        self._announce(Event(MODIFIED if previous else ADDED, resource, revision, obj, previous))
        return obj

    def remove(self, resource: str, obj: Json) -> Json:
        """Remove the object; returns it as it was last, carrying the revision of its deletion."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        revision = self.revision + 1
        last = {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}
        self._commit(
            revision, "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", (resource, *key)
        )
        previous = self._objects[resource].pop(key)
        self._announce(Event(DELETED, resource, revision, last, previous))
        return last

    def _commit(self, revision: int, statement: str, values: tuple[str, ...]) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            database.execute(statement, values)
            database.execute("UPDATE revision SET value = ?", (revision,))
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.revision = revision

    def _announce(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
