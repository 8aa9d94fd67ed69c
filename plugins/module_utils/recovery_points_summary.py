# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the seals of many points say, in short: read side by side, and each distinct seal only once.

Copies whose listing shows the same bytes in both stores are read from one of them. With a cache, a file of its own, a
seal that was verified before is not read again: a sealed point never changes, and another one has another ETag.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import sqlite3
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from . import signatures
from .clock import from_iso, to_iso
from .errors import RecoveryError, failed
from .object_store import ObjectMissing
from .recovery_points_names import Place, PointName, fingerprint
from .recovery_points_seal import BadSeal, Seal, Trust, read_seal
from .recovery_points_store import Listed, PointStore
from .recovery_points_survey import Kept, Tally, View

_AT_ONCE = 8


@dataclass(frozen=True)
class Summary:
    """What a verified seal says of its point; times are RFC 3339."""

    created: str
    moment_from: str
    moment_to: str
    bytes: int
    count: int
    #: sum of the names and sizes of the files that belong beside the manifest
    files: int
    files_count: int
    content: str
    manifest_sha256: str
    key: str
    kind: str

    @classmethod
    def of(cls, seal: Seal) -> Summary:
        """Return what matters of a seal. Raises BadSeal where its times are none."""
        tally = Tally()
        for one in seal.kept_here:
            tally.add(seal.name.file_key(one.path).removeprefix(seal.name.key("files/")), one.size)
        began, ended = _window(seal)
        manifest = seal.manifest
        return cls(
            created=to_iso(seal.created),
            moment_from=began,
            moment_to=ended,
            bytes=manifest.total_bytes,
            count=len(manifest.files),
            files=tally.total,
            files_count=tally.count,
            content=fingerprint((one.path, one.size, one.digest) for one in manifest.files),
            manifest_sha256=seal.digest,
            key=seal.key,
            kind=str(manifest.facts.get("kind") or ""),
        )

    def lacks(self, kept: Kept) -> str:
        """Return why a store has not exactly the files of the point, by names and sizes; empty where it has."""
        if (kept.files.total, kept.files.count) == (self.files, self.files_count):
            return ""
        return f"{kept.files.count} files of {kept.files.bytes} bytes are not the {self.files_count} that were sealed"

    @property
    def created_at(self) -> dt.datetime:
        """When it was sealed."""
        return from_iso(self.created)


@dataclass(frozen=True)
class Unknown:
    """A seal that could not be read now."""

    why: str


Said: t.TypeAlias = "Summary | BadSeal | Unknown"


def _window(seal: Seal) -> tuple[str, str]:
    """Return the moments that the point restores: its facts' window or moment, else when it was sealed."""
    facts = seal.manifest.facts
    window = facts.get("window") or {}
    moment = facts.get("moment") or seal.manifest.created
    try:
        began, ended = from_iso(str(window.get("from") or moment)), from_iso(str(window.get("to") or moment))
    except (ValueError, AttributeError) as error:
        what = f"the window of {seal.name}"
        raise BadSeal("manifest_unparsable", failed("read", what, error, "Give moments as RFC 3339.")) from error
    return to_iso(began), to_iso(ended)


class Cache:
    """Summaries of seals that were verified, in an SQLite file; nothing is kept without a path."""

    def __init__(self, path: str | None, public_keys: t.Sequence[str]) -> None:
        keys = sorted(signatures.fingerprint(key) for key in public_keys)
        self._trusted = hashlib.sha256(json.dumps(keys).encode()).hexdigest()
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        if path:
            self._database = self._open(Path(path))

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            path.chmod(0o600)
            database.execute("CREATE TABLE IF NOT EXISTS seal (name TEXT PRIMARY KEY, summary TEXT) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise RecoveryError(failed("open", f"cache {path}", error, "Remove it, or name another.")) from error
        return database

    def get(self, name: PointName, manifest: Listed, signature: Listed) -> Summary | None:
        """Return what is known of a seal with these ETags."""
        if self._database is None:
            return None
        query = "SELECT summary FROM seal WHERE name = ?"
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._database.execute(query, (self._key(name, manifest, signature),)).fetchone()
            with contextlib.suppress(TypeError, ValueError):
                return Summary(**json.loads(row[0])) if row else None
        return None

    def put(self, name: PointName, manifest: Listed, signature: Listed, summary: Summary) -> None:
        """Remember a seal that was verified; a cache that cannot be written only costs time."""
        if self._database is None:
            return
        values = (self._key(name, manifest, signature), json.dumps(asdict(summary)))
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.execute("INSERT OR REPLACE INTO seal VALUES (?, ?)", values)

    def _key(self, name: PointName, manifest: Listed, signature: Listed) -> str:
        return f"{name} {manifest.etag} {manifest.size} {signature.etag} {self._trusted}"


def summaries(views: t.Sequence[View], place: Place, trust: Trust, cache: Cache) -> dict[tuple[str, str], Said]:
    """Return what the seals say: {(store's name, identifier): ...}, for each copy that has a manifest."""
    groups: dict[tuple[str, str, int, str], list[View]] = {}
    for view in views:
        for identifier, kept in view.points.items():
            if kept.manifest is not None:
                tag = kept.signature.etag if kept.signature else ""
                groups.setdefault((identifier, kept.manifest.etag, kept.manifest.size, tag), []).append(view)

    def say(identifier: str, holders: list[View]) -> list[tuple[tuple[str, str], Said]]:
        said: Said = Unknown("it was not read")
        for view in holders:  # the next one when a store has gone away since it was listed
            said = _read(view.store, place.point(identifier), view.points[identifier], trust, cache)
            if not isinstance(said, Unknown):
                break
        return [((view.store.name, identifier), said) for view in holders]

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="seals") as pool:
        told = pool.map(lambda group: say(group[0][0], group[1]), groups.items())
        return {key: said for group in told for key, said in group}


def _read(store: PointStore, name: PointName, kept: Kept, trust: Trust, cache: Cache) -> Said:
    manifest, signature = kept.manifest, kept.signature
    if manifest and signature:
        known = cache.get(name, manifest, signature)
        if known is not None:
            return known
    try:
        summary = Summary.of(read_seal(store, name, trust))
    except BadSeal as error:
        return error
    except ObjectMissing:
        return Unknown(f"the seal of {name} in {store.name} went away while it was read")
    except RecoveryError as error:
        return Unknown(str(error))
    if manifest and signature:
        cache.put(name, manifest, signature, summary)
    return summary
