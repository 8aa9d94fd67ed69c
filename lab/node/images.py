"""Pulls images, verifies every byte against its digest, and keeps them unpacked by digest."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from lab.node.references import Reference
from lab.node.unpack import extract_member

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
LAYER_SUFFIXES = ("tar", "tar+gzip", "tar.gzip", "diff.tar.gzip")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)
WHITEOUT = ".wh."


class PullError(Exception):
    """An image could not be had, or its bytes are not those of its digest."""


@dataclass(frozen=True)
class Image:
    """An unpacked image."""

    identifier: str
    directory: Path
    config: dict[str, Any]

    @property
    def root(self) -> Path:
        """Its files."""
        return self.directory / "rootfs"

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        return dict(entry.split("=", 1) for entry in self.config.get("Env") or [] if "=" in entry)


class ImageStore:
    """The images on this node."""

    def __init__(self, directory: Path, mirrors: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._mirrors = mirrors or {}
        self._by_name = directory / "names"
        self._by_digest = directory / "sha256"
        for path in (self._by_name, self._by_digest):
            path.mkdir(parents=True, exist_ok=True)
        self._http = urllib3.PoolManager(timeout=TIMEOUT, retries=urllib3.Retry(2, backoff_factor=0.1))
        self._locks: dict[Reference, asyncio.Lock] = {}

    async def get(self, reference: Reference, policy: str) -> Image:
        """The image, pulled where the policy (Always, IfNotPresent, Never) says so; PullError otherwise."""
        async with self._locks.setdefault(reference, asyncio.Lock()):
            return await asyncio.to_thread(self._get, reference, policy)

    def _get(self, reference: Reference, policy: str) -> Image:
        name = self._by_name / hashlib.sha256(repr(reference).encode()).hexdigest()
        if policy != "Always" or reference.digest:
            digest = reference.digest or (name.read_text() if name.exists() else None)
            if digest and (self._directory_of(digest) / "config.json").exists():
                return self._load(reference, digest)
        if policy == "Never":
            raise PullError("the image is not on this node, and its pull policy is Never")
        digest = self._pull(reference)
        name.write_text(digest)
        return self._load(reference, digest)

    def _load(self, reference: Reference, digest: str) -> Image:
        directory = self._directory_of(digest)
        config = json.loads((directory / "config.json").read_bytes())
        return Image(reference.pinned(digest), directory, config.get("config") or {})

    def _directory_of(self, digest: str) -> Path:
        return self._by_digest / digest.removeprefix("sha256:")

    def _pull(self, reference: Reference) -> str:
        digest, manifest = self._manifest(reference, reference.manifest)
        directory = self._directory_of(digest)
        if (directory / "config.json").exists():
            return digest
        temporary = Path(tempfile.mkdtemp(dir=self._directory, prefix="pull-"))
        try:
            self._unpack(reference, manifest, temporary)
            shutil.rmtree(directory, ignore_errors=True)
            os.rename(temporary, directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return digest

    def _manifest(self, reference: Reference, wanted: str) -> tuple[str, dict[str, Any]]:
        """The manifest for this machine, and its digest; an index leads to the one of its platform."""
        accept = ", ".join(MANIFEST_TYPES + INDEX_TYPES)
        data, kind = self._fetch(f"{self._url(reference)}/manifests/{wanted}", accept)
        digest = _digest_of(data)
        if wanted.startswith("sha256:") and digest != wanted:
            raise PullError(f"the manifest's digest is {digest}, not {wanted}")
        try:
            document = json.loads(data)
            if (document.get("mediaType") or kind) in INDEX_TYPES:
                return self._manifest(reference, _for_this_machine(document))
            return digest, {"config": document["config"]["digest"], "layers": document["layers"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PullError(f"the manifest {digest} cannot be read: {error}") from error

    def _unpack(self, reference: Reference, manifest: dict[str, Any], directory: Path) -> None:
        root = directory / "rootfs"
        root.mkdir()
        for layer in manifest["layers"]:
            if not layer["mediaType"].endswith(LAYER_SUFFIXES):
                raise PullError(f"layers of type {layer['mediaType']} are not supported")
            _extract(self._blob(reference, layer["digest"]), root)
        (directory / "config.json").write_bytes(self._blob(reference, manifest["config"]))

    def _blob(self, reference: Reference, digest: str) -> bytes:
        data, _ = self._fetch(f"{self._url(reference)}/blobs/{digest}", "*/*")
        actual = _digest_of(data)
        if actual != digest:
            raise PullError(f"the digest of blob {digest} is {actual}")
        return data

    def _url(self, reference: Reference) -> str:
        """Where the image is pulled from: its registry, or the mirror that stands for it."""
        return reference.base_url(self._mirrors.get(reference.registry, reference.registry))

    def _fetch(self, url: str, accept: str) -> tuple[bytes, str]:
        try:
            response = self._http.request("GET", url, headers={"Accept": accept})
        except urllib3.exceptions.HTTPError as error:
            raise PullError(f"Failed to get {url}: {error}") from error
        if response.status != 200:
            raise PullError(f"Failed to get {url}: HTTP {response.status}")
        return response.data, response.headers.get("Content-Type", "").partition(";")[0]


def _digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _for_this_machine(index: dict[str, Any]) -> str:
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    for entry in index["manifests"]:
        where = entry.get("platform") or {}
        if (where.get("os"), where.get("architecture")) == ("linux", architecture):
            return str(entry["digest"])
    raise PullError(f"the image has no manifest for linux/{architecture}")


def _extract(layer: bytes, root: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive:
                path = Path(member.name)
                if path.name.startswith(WHITEOUT):
                    _remove(root, path)
                else:
                    extract_member(archive, member, root)
    except (tarfile.TarError, OSError) as error:
        raise PullError(f"a layer cannot be unpacked: {error}") from error


def _remove(root: Path, whiteout: Path) -> None:
    """Hide what a lower layer holds: one name, or with ``.wh..wh..opq`` everything in the directory."""
    parent = (root / whiteout.parent).resolve()
    if not parent.is_relative_to(root.resolve()):
        raise PullError(f"{whiteout} points outside the image")
    name = whiteout.name.removeprefix(WHITEOUT)
    targets = list(parent.iterdir()) if name == ".wh..opq" and parent.is_dir() else [parent / name]
    for target in targets:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
