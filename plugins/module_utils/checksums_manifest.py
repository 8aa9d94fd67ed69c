# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A checksum manifest, version 1: what a tree holds, whose tree it is, and what is known about it.

It is written as canonical JSON (keys sorted, no spaces, UTF-8: `jq -jcS .` prints the same), and read only from
exactly that form, so that a signature of it says one thing. docs/checksum-manifest.md describes it for auditors.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

from .checksums_compare import Difference, compare_sums
from .checksums_model import ALGORITHMS, FileSum
from .checksums_paths import read, to_bytes, why_unsafe
from .clock import from_iso, to_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .ledger_event import canonical

VERSION = 1
_MEMBERS = {"version", "algorithm", "created", "subject", "facts", "files", "bytes", "count"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TAMPERED = "Do not use it: fetch another copy, or make it anew from files that are known to be good."


class BadManifest(RecoveryError):
    """The bytes are no manifest that this version reads, or not as they were written."""


class OtherTree(Refused):
    """The manifest is whole, and is not the one of this tree."""


@dataclass(frozen=True)
class Manifest:
    """`files` are kept in the order of their paths' bytes; `created` is RFC 3339 in UTC."""

    subject: dict[str, t.Any]
    facts: dict[str, t.Any]
    files: list[FileSum]
    algorithm: str = "sha256"
    created: str = field(default_factory=lambda: to_iso(utc_now()))

    @property
    def total_bytes(self) -> int:
        """Size of all files in bytes."""
        return sum(one.size for one in self.files)

    def to_bytes(self) -> bytes:
        """Return the canonical form: what is stored and signed. Raises RecoveryError for what it cannot hold."""
        content = {
            "version": VERSION,
            "algorithm": self.algorithm,
            "created": self.created,
            "subject": self.subject,
            "facts": self.facts,
            "files": [one.as_dict() for one in sorted(self.files, key=lambda one: to_bytes(one.path))],
            "bytes": self.total_bytes,
            "count": len(self.files),
        }
        try:
            body = canonical(content)
            _check(json.loads(body))
        except (TypeError, ValueError) as error:
            raise RecoveryError(failed("write", "manifest", error, "Correct subject, facts or the names.")) from error
        return body

    @classmethod
    def parse(cls, body: bytes, what: str = "manifest") -> Manifest:
        """Return the manifest in `body`; `what` names it in messages. Raises BadManifest naming what is wrong."""
        try:
            raw = json.loads(body, object_pairs_hook=_members)
        except ValueError as error:
            raise BadManifest(failed("read", what, f"it is truncated or no JSON ({error})", _TAMPERED)) from error
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > VERSION:
            cause = f"it has version {version}, this collection reads version {VERSION}"
            raise BadManifest(failed("read", what, cause, "Use the release of the collection that wrote it."))
        try:
            manifest = _check(raw)
            if manifest.to_bytes() != body:
                raise ValueError("it is not in canonical form, so its bytes were changed")
        except (ValueError, RecoveryError) as error:
            raise BadManifest(failed("read", what, error, _TAMPERED)) from error
        return manifest

    def require_subject(self, expected: t.Mapping[str, t.Any], what: str = "manifest") -> None:
        """Raise OtherTree when a member of `expected` is another one in the manifest: it is for another tree."""
        for name, wanted in sorted(expected.items()):
            if self.subject.get(name) != wanted:
                cause = f"it is for another tree: {name} is {self.subject.get(name)!r}, not {wanted!r}"
                raise OtherTree(failed("use", what, cause, "Name this tree's manifest, or correct the subject."))


def compare(manifest: Manifest, found: list[FileSum]) -> list[Difference]:
    """Return how a tree differs from its manifest, in the order of paths; nothing where they are the same."""
    return compare_sums(manifest.files, found)


def _members(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _check(raw: t.Any) -> Manifest:
    """Return the manifest that parsed JSON is. Raises ValueError saying what is wrong."""
    if not isinstance(raw, dict) or set(raw) != _MEMBERS or raw["version"] != VERSION:
        raise ValueError("it is not a checksum manifest: its members are not those of one")
    if raw["algorithm"] not in ALGORITHMS:
        raise ValueError(f"its algorithm {raw['algorithm']!r} is not known")
    if not isinstance(raw["subject"], dict) or not isinstance(raw["facts"], dict) or not isinstance(raw["files"], list):
        raise ValueError("it is not a checksum manifest: subject, facts or files have another type")
    try:
        from_iso(raw["created"])
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError("it has no valid time of creation") from error
    files = [_file(one) for one in raw["files"]]
    seen: set[str] = set()
    for one in files:
        if one.path in seen:
            raise ValueError(f"it lists {one.as_dict()['path']} twice")
        seen.add(one.path)
    manifest = Manifest(raw["subject"], raw["facts"], files, raw["algorithm"], raw["created"])
    if raw["count"] != len(files) or raw["bytes"] != manifest.total_bytes:
        cause = (
            f"it counts {raw['count']} files of {raw['bytes']} bytes and lists {len(files)} of {manifest.total_bytes}"
        )
        raise ValueError(cause)
    return manifest


def _file(raw: t.Any) -> FileSum:
    if not isinstance(raw, dict) or set(raw) - {"version_id"} != {"path", "size", "digest"}:
        raise ValueError("an entry of files is not one of a checksum manifest")
    name, size, digest = raw["path"], raw["size"], raw["digest"]
    if not isinstance(name, str) or not isinstance(raw.get("version_id", ""), str):
        raise ValueError("an entry of files has a path or version of another type")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"the size of {name!r} is no size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"the digest of {name!r} is no digest")
    try:
        path = read(name)
    except ValueError as error:
        raise ValueError(f"the path {name!r} is refused: {error}") from error
    unsafe = why_unsafe(path)
    if unsafe:
        raise ValueError(f"the path {name!r} is refused: {unsafe}")
    return FileSum(path, size, digest, raw.get("version_id"))
