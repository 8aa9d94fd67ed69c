"""Builds reproducible OCI images: the same files give the same digest on any machine.

A store holds one OCI image layout a repository: ``<store>/<name>/{oci-layout,index.json,blobs/sha256/}``. A tag that
moves leaves the manifest that it pointed at in place, so that a rollback by digest can still pull it.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from lab.registry.layout import Layout, canonical_json

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# Not compressed: the bytes that gzip writes differ between versions of zlib, and with them the digest.
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
EPOCH = "1970-01-01T00:00:00Z"
LEFT_OUT = {"__pycache__", ".DS_Store"}


class ImageError(Exception):
    """An image could not be built."""


def build_image(
    source: Path,
    name: str,
    tag: str,
    store: Path,
    entrypoint: list[str],
    *,
    env: dict[str, str],
    labels: dict[str, str],
) -> str:
    """Pack the directory ``source`` as an image of one layer and tag it; the digest of its manifest."""
    if not source.is_dir():
        raise ImageError(f"Failed to build {name}:{tag}: {source} is no directory")
    layout = Layout.open(store, name)
    layer = _pack(source)
    layer_digest = layout.put_blob(layer)
    config = canonical_json(_config(layer_digest, entrypoint, env, labels))
    config_digest = layout.put_blob(config)
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config_digest, "size": len(config)},
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer_digest, "size": len(layer)}],
            "annotations": labels,
        }
    )
    digest = layout.put_blob(manifest)
    layout.tag(tag, {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(manifest)})
    return digest


def _config(layer_digest: str, entrypoint: list[str], env: dict[str, str], labels: dict[str, str]) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Entrypoint": entrypoint,
            "Env": [f"{key}={value}" for key, value in sorted(env.items())],
            "Labels": labels,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": EPOCH, "created_by": "lab.registry.images"}],
    }


def _pack(source: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            if LEFT_OUT.isdisjoint(relative.parts):
                _add(archive, path, relative.as_posix())
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = 0
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, path.readlink().as_posix()
        archive.addfile(entry)
    elif path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    else:
        data = path.read_bytes()
        entry.size = len(data)
        entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        archive.addfile(entry, io.BytesIO(data))
