# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a manifest and its signature are: a local file, or an object in a store. Each is there whole or not at all.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import typing as t
from pathlib import Path

from .errors import RecoveryError, failed
from .object_store import ObjectMissing, ObjectStore

SIGNATURE = ".sig"
_PART = ".part"


class Place(t.Protocol):
    """One file or object."""

    def read(self) -> bytes | None:
        """Return its content; None where there is nothing."""

    def write(self, body: bytes) -> None:
        """Put the content there, durably, over what `read` gave last and nothing else."""

    def remove(self) -> None:
        """Remove what `read` gave last."""


class LocalPlace:
    """A local file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes | None:
        """Return its content; None where there is nothing. Raises RecoveryError."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble("read", error) from error

    def write(self, body: bytes) -> None:
        """Put the content there, durably; a file of that name is replaced. Raises RecoveryError."""
        part = ""
        try:
            self._tidy()
            descriptor, part = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=_PART, dir=self.path.parent)
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.fchmod(descriptor, 0o644)
                file.write(body)
                file.flush()
                os.fsync(descriptor)
            os.replace(part, self.path)
            self._sync()
        except OSError as error:
            with contextlib.suppress(OSError):
                if part:
                    os.unlink(part)
            raise self._trouble("write", error) from error

    def remove(self) -> None:
        """Remove it. Raises RecoveryError."""
        try:
            self.path.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise self._trouble("remove", error) from error

    def leftovers(self) -> list[Path]:
        """Return the unfinished files of writers, living and killed ones."""
        begin = f".{self.path.name}."
        with contextlib.suppress(OSError):
            return [one for one in self.path.parent.iterdir() if one.name.startswith(begin) and one.suffix == _PART]
        return []

    def _tidy(self) -> None:
        """Remove what killed writers left: a living one holds a lock."""
        for path in self.leftovers():
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _sync(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _trouble(self, verb: str, error: OSError) -> RecoveryError:
        remedy = "Name a file in a directory that is there and that this user may use."
        return RecoveryError(failed(verb, str(self.path), error.strerror or error, remedy))


class StorePlace:
    """An object; what another run wrote meanwhile is never overwritten."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self.store = store
        self.key = key
        self._etag: str | None = None

    def __str__(self) -> str:
        return f"{self.key} in {self.store}"

    @property
    def address(self) -> str:
        """What stands for the object in all of this process."""
        return self.store.place + self.key

    def read(self) -> bytes | None:
        """Return its content; None where there is nothing. Raises RecoveryError."""
        try:
            found = self.store.get(self.key)
        except ObjectMissing:
            self._etag = None
            return None
        self._etag = found.etag
        return found.body

    def write(self, body: bytes) -> None:
        """Put the content there. Raises PreconditionFailed where another run was first."""
        self._etag = self.store.put(self.key, body, absent=self._etag is None, match=self._etag)

    def remove(self) -> None:
        """Remove what was read last."""
        if self._etag is not None:
            self.store.delete(self.key, match=self._etag)
            self._etag = None


def place_of(name: str, store: t.Mapping[str, t.Any] | None) -> tuple[Place, Place]:
    """Return the places of a manifest and of its signature."""
    if store is None:
        return LocalPlace(Path(name).expanduser()), LocalPlace(Path(name + SIGNATURE).expanduser())
    bucket = ObjectStore(store)
    return StorePlace(bucket, name), StorePlace(bucket, name + SIGNATURE)


def place_name(name: str, store: t.Mapping[str, t.Any] | None) -> str:
    """Return how messages name a manifest's place, without asking anybody."""
    return name if store is None else f"{(store.get('prefix') or '') + name} in store {store['name']}"
