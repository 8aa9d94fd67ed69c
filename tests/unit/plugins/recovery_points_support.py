"""Stores, keys and trees for the tests of recovery points."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import os
import subprocess
import urllib.parse
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_manifest import Manifest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_model import FileSum
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_names import Place
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_seal import make_seal
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
        self.client = self.server.client()
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

    def seal(
        self,
        ago: float = 0.0,
        *,
        numbers: tuple[int, ...] = (0, 1),
        component: str | None = None,
        facts: dict[str, Any] | None = None,
        created_ago: float | None = None,
        content: bytes = b"content",
    ) -> str:
        """Put a sealed point of one file into stores: begun `ago` seconds ago; return its identifier."""
        begun = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago)
        created = begun if created_ago is None else dt.datetime.now(dt.UTC) - dt.timedelta(seconds=created_ago)
        digest = hashlib.sha256(content).hexdigest()
        name = Place.of(self.service, component or self.component).point(
            f"{begun.strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:8]}"
        )
        files = [FileSum("file", len(content), digest)]
        seal = make_seal(name, Manifest(name.subject, facts or {}, files, "sha256", to_iso(created)), self.signing_key)
        for number in numbers:
            for rest, body in (
                ("files/file", content), ("manifest.json.sig", seal.signature), ("manifest.json", seal.body)
            ):  # fmt: skip
                self.put(number, name.key(rest), body)
        return name.id

    def looking(self, **more: Any) -> dict[str, Any]:
        """Options of recovery_point_info for the one component."""
        component = {
            "service": self.service, "component": self.component, "kind": "directory", "tier": 1,
            "every_seconds": 900, "retention_days": 30, "minimum_points": 3, "copies": 2, "prove_every_seconds": 86400,
        }  # fmt: skip
        given = {"components": [component], "stores": self.stores, "public_keys": [self.public_key]}
        return {**given, **more}

    def pruning(self, **more: Any) -> dict[str, Any]:
        """Options of recovery_point_prune for the one component."""
        return {**self.looking(), **more}

    def holding(self, identifier: str, **more: Any) -> dict[str, Any]:
        """Options of state held."""
        return self.arguments(**{"state": "held", "id": identifier, "reason": "INC-7", **more})

    def store(self, number: int = 0) -> PointStore:
        """One of the stores."""
        return PointStore(self.stores[number])

    def keys(self, number: int = 0) -> list[str]:
        """Everything in a store."""
        return self.store(number).keys()

    def put(self, number: int, key: str, body: bytes) -> None:
        """Write over an object, as somebody who may."""
        options = self.stores[number]
        self.client.put_object(Bucket=options["bucket"], Key=options["prefix"] + key, Body=body)

    def put_quickly(self, number: int, key: str, body: bytes) -> None:
        """Write an object through SeaweedFS's own door, which takes a tenth of the time."""
        options = self.stores[number]
        connection = http.client.HTTPConnection(self.server.host, self.server.filer_port, timeout=60)
        path = urllib.parse.quote(f"/buckets/{options['bucket']}/{options['prefix']}{key}")
        with contextlib.closing(connection):
            connection.request("PUT", path, body)
            assert connection.getresponse().status < 300

    def remove(self, number: int, key: str) -> None:
        """Remove an object, as somebody who may."""
        options = self.stores[number]
        self.client.delete_object(Bucket=options["bucket"], Key=options["prefix"] + key)
