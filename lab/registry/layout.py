"""An OCI image layout on disk: blobs by digest, and an index that names manifests."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
# The grammar of the OCI distribution specification.
NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


class LayoutError(Exception):
    """A name is not allowed, or the layout's files cannot be read."""


def canonical_json(document: Any) -> bytes:
    """JSON in one form only."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest_of(data: bytes) -> str:
    """The content address of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Layout:
    """One repository's images."""

    directory: Path

    @classmethod
    def open(cls, store: Path, name: str) -> Layout:
        """The layout of repository ``name``, made if it is missing."""
        layout = cls.find(store, name)
        (layout.directory / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        _write(layout.directory / "oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}))
        return layout

    @classmethod
    def find(cls, store: Path, name: str) -> Layout:
        """The layout of repository ``name``, which need not exist; LayoutError for a name that is none."""
        if not NAME.fullmatch(name):
            raise LayoutError(f"{name!r} is not a repository name")
        return cls(store / name)

    def put_blob(self, data: bytes) -> str:
        """Keep ``data``; its digest."""
        digest = digest_of(data)
        path = self.blob_path(digest)
        if not path.exists():
            _write(path, data)
        return digest

    def blob_path(self, digest: str) -> Path:
        """Where a blob is, or would be; LayoutError for what is no SHA-256 digest."""
        if not DIGEST.fullmatch(digest):
            raise LayoutError(f"{digest!r} is not a SHA-256 digest")
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def exists(self) -> bool:
        """Whether there is such a repository."""
        return (self.directory / "index.json").is_file()

    def manifests(self) -> list[dict[str, Any]]:
        """The index's descriptors; LayoutError when there is no index or it is damaged."""
        path = self.directory / "index.json"
        try:
            return list(json.loads(path.read_bytes())["manifests"])
        except (OSError, ValueError, KeyError) as error:
            raise LayoutError(f"Failed to read {path}: {error}") from error

    def tag(self, tag: str, descriptor: dict[str, Any]) -> None:
        """Let ``tag`` name the manifest; what it named before stays, without a name."""
        if not TAG.fullmatch(tag):
            raise LayoutError(f"{tag!r} is not a tag")
        with self._locked():
            kept = [_without_name(d, tag) for d in self.manifests()] if self.exists() else []
            tagged = {**descriptor, "annotations": {REF_NAME: tag}}
            others = [d for d in kept if "annotations" in d or d["digest"] != descriptor["digest"]]
            unique = {(d["digest"], _name(d)): d for d in [*others, tagged]}
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(unique.values())}
            _write(self.directory / "index.json", canonical_json(index))

    def tags(self) -> list[str]:
        """Every tag, sorted."""
        return sorted(name for d in self.manifests() if (name := _name(d)))

    def resolve(self, reference: str) -> dict[str, Any] | None:
        """The descriptor of the manifest with this tag or digest."""
        by_digest = reference.startswith("sha256:")
        for descriptor in self.manifests():
            if (descriptor["digest"] if by_digest else _name(descriptor)) == reference:
                return descriptor
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _name(descriptor: dict[str, Any]) -> str:
    return str(descriptor.get("annotations", {}).get(REF_NAME, ""))


def _without_name(descriptor: dict[str, Any], tag: str) -> dict[str, Any]:
    if _name(descriptor) != tag:
        return descriptor
    return {key: value for key, value in descriptor.items() if key != "annotations"}


def _write(path: Path, data: bytes) -> None:
    """Replace a file whole: a reader sees the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o644)
    os.replace(temporary, path)
