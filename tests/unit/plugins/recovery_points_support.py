"""Stores, keys and trees for the tests of recovery points."""

from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_store import PointStore

from tests.unit.servers import S3Server

#: names that stores and shells make something else of
ODD_NAMES = [
    b"plain",
    b"sp ace",
    b"new\nline",
    b"not-utf8-\xff\xfe",
    b"back\\slash",
    b"per%41cent",
    "é".encode(),
    b"a-b",
    b"a/b",
]


def make_key(directory: Path, name: str = "signing") -> tuple[str, str]:
    """A signing key and its public half, made as the documentation says."""
    private, public = directory / f"{name}.pem", directory / f"{name}.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return str(private), str(public)


def make_tree(root: Path, files: dict[bytes, bytes]) -> Path:
    """Write files below a new directory."""
    for name, content in files.items():
        path = Path(root, *[part.decode("utf-8", "surrogateescape") for part in name.split(b"/")])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def read_tree(root: Path) -> dict[bytes, bytes]:
    """All files below a directory."""
    return {
        os.path.relpath(os.path.join(directory, name), os.fsencode(root)): Path(
            os.fsdecode(os.path.join(directory, name))
        ).read_bytes()
        for directory, _names, names in os.walk(os.fsencode(root))
        for name in names
    }


@dataclass
class Vault:
    """Two stores of one's own prefix, a key, and a directory."""

    server: S3Server
    directory: Path
    service: str = "shop"
    component: str = "configuration"
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def __post_init__(self) -> None:
        self.signing_key, self.public_key = make_key(self.directory)
        self.stores = [self.server.store(f"points-{name}", name, prefix=f"{self.run}/") for name in ("east", "west")]

    def arguments(self, **more: Any) -> dict[str, Any]:
        """What every call takes."""
        return {"service": self.service, "component": self.component, "stores": self.stores, **more}

    def taking(self, source: Path, **more: Any) -> dict[str, Any]:
        """Options of state taken."""
        return self.arguments(**{"src": str(source), "signing_key": self.signing_key, **more})

    def fetching(self, dest: Path, **more: Any) -> dict[str, Any]:
        """Options of state fetched."""
        given = {"state": "fetched", "id": "newest", "dest": str(dest), "public_keys": [self.public_key]}
        return self.arguments(**{**given, **more})

    def recording(self, identifier: str, run: str = "run-1", **more: Any) -> dict[str, Any]:
        """Options of state recorded."""
        given = {"state": "recorded", "id": identifier, "run": run, "proof": {"outcome": "passed"}}
        return self.arguments(**{**given, "signing_key": self.signing_key, **more})

    def store(self, number: int = 0) -> PointStore:
        """One of the stores."""
        return PointStore(self.stores[number])

    def keys(self, number: int = 0) -> list[str]:
        """Everything in a store."""
        return self.store(number).keys()

    def put(self, number: int, key: str, body: bytes) -> None:
        """Write over an object, as somebody who may."""
        options = self.stores[number]
        self.server.client().put_object(Bucket=options["bucket"], Key=options["prefix"] + key, Body=body)

    def remove(self, number: int, key: str) -> None:
        """Remove an object, as somebody who may."""
        options = self.stores[number]
        self.server.client().delete_object(Bucket=options["bucket"], Key=options["prefix"] + key)
