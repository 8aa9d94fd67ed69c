# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an encrypted backup's directory holds, in clear: names, types and sizes, never a value or a digest of one.

`index.json` is for whoever has no key. `index.age` is the same list encrypted, with which a proof finds an index that
was changed later. The digests are of ciphertext.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

from .encrypted_backup_item import Item, canonical
from .errors import RecoveryError, failed

INDEX, SEALED = "index.json", "index.age"
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One file of the backup: what an Item tells in clear, and the size and SHA-256 of its ciphertext."""

    path: str
    kind: str
    version: str
    facts: dict[str, t.Any]
    size: int
    digest: str

    @classmethod
    def of(cls, item: Item, data: bytes) -> Entry:
        """Describe an item and the age file that holds it."""
        return cls(item.path, item.kind, item.version, item.facts, len(data), digest(data))

    @property
    def file(self) -> str:
        """Its file, relative to the backup's directory."""
        return f"{self.path}.age"


@dataclass(frozen=True)
class Index:
    """The list of a whole backup. `sealed` is the SHA-256 of index.age."""

    created: str
    recipients: list[str]
    entries: list[Entry]
    sealed: str = ""

    def body(self) -> bytes:
        """Return what index.age encrypts: everything but its own digest."""
        return canonical({**asdict(self), "index": _VERSION, "count": len(self.entries), "sealed": ""})

    def to_bytes(self) -> bytes:
        """Return index.json."""
        return json.dumps({"index": _VERSION, "count": len(self.entries), **asdict(self)}, indent=1).encode() + b"\n"

    def by_path(self) -> dict[str, Entry]:
        """Return the entries by their path."""
        return {entry.path: entry for entry in self.entries}

    @classmethod
    def parse(cls, data: bytes, what: str) -> Index:
        """Read either form. Raises RecoveryError naming `what`."""
        remedy = "Take another recovery point, or back up again."
        try:
            read = json.loads(data)
            entries = [Entry(**one) for one in read["entries"]]
            index = cls(read["created"], list(read["recipients"]), entries, read["sealed"])
            version, count = read["index"], read["count"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            cause = f"it is no index of an encrypted backup ({type(error).__name__})"
            raise RecoveryError(failed("read", what, cause, remedy)) from None
        if version != _VERSION:
            raise RecoveryError(failed("read", what, f"its version is {version!r}, not {_VERSION}", remedy))
        paths = [entry.path for entry in entries]
        if count != len(entries) or paths != sorted(set(paths)) or not all(map(_inside, paths)):
            raise RecoveryError(failed("read", what, "its entries contradict each other", remedy))
        return index

    @classmethod
    def read(cls, directory: Path) -> Index | None:
        """Read index.json of a directory; None where there is none. Raises RecoveryError."""
        path = directory / INDEX
        try:
            return cls.parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecoveryError(failed("read", str(path), error.strerror or error)) from error


def digest(data: bytes) -> str:
    """Return the SHA-256 of ciphertext, in hex."""
    return hashlib.sha256(data).hexdigest()


def _inside(path: t.Any) -> bool:
    """Say whether a path is one that path_of() makes: three parts at most, none of which leads out."""
    parts = path.split("/") if isinstance(path, str) else []
    return len(parts) in (2, 3) and all(part and not part.startswith(".") for part in parts) and "\0" not in path
