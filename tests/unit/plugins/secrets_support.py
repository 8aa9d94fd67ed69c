"""What the tests of encrypted backups share: two clusters, an AWS, keys, and a search for what must be nowhere."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import typing as t
from pathlib import Path

import boto3
import pyrage
import yaml
from moto.server import ThreadedMotoServer

from tests.unit.lab.kubernetes_server import TOKEN, Server
from tests.unit.plugins.cluster_support import kubeconfig

NAMESPACE = "shop"
SECRET = "Tr0ub4dor-and-3-sentinels"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


def new_key(path: Path) -> str:
    """Write an identity file; its public key."""
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# created: 2026-11-23\n{identity}\n")
    path.chmod(0o600)
    return str(identity.to_public())


def secret(name: str, values: dict[str, str], kind: str = "Opaque", **more: t.Any) -> dict[str, t.Any]:
    """A Secret with plain text values."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **more},
        "type": kind,
        "data": data,
    }


class Region:
    """A cluster of a region, and short ways to its Secrets."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(server.url, TOKEN)))
        self.connection = {"kubeconfig": str(path)}

    def fresh(self) -> None:
        """A namespace without Secrets."""
        namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}
        self.server.call("POST", "/api/v1/namespaces", namespace)
        self.server.call("DELETE", SECRETS)

    def put(self, one: dict[str, t.Any]) -> None:
        """Make a Secret, in place of what was there."""
        self.server.call("DELETE", f"{SECRETS}/{one['metadata']['name']}")
        self.server.send("POST", SECRETS, one)

    def data(self) -> dict[str, dict[str, str]]:
        """Every Secret's data."""
        return {one["metadata"]["name"]: one.get("data") or {} for one in self.server.get(SECRETS)["items"]}


@contextlib.contextmanager
def moto_server() -> t.Iterator[str]:
    """AWS's APIs as moto serves them; the URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def aws_of(url: str, directory: Path, region: str = "us-east-1") -> dict[str, t.Any]:
    """The `aws` option for it."""
    path = directory / "aws-credentials"
    path.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = test\n")
    return {"endpoint_url": url, "region": region, "credentials_file": str(path), "timeout": 20}


def client_of(service: str, aws: dict[str, t.Any]) -> t.Any:
    """A client that the tests prepare an AWS with."""
    return boto3.client(
        service,
        endpoint_url=aws["endpoint_url"],
        region_name=aws["region"],
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="test",
    )


def forms_of(text: str) -> list[bytes]:
    """The ways in which a value could leak."""
    raw = text.encode()
    return [raw, base64.b64encode(raw).rstrip(b"=")[:-1], raw.hex().encode(), repr(raw).encode()]


def leaks(text: str, *places: Path | bytes | str) -> list[str]:
    """Where a value is found: files, directories, texts, and this process's own arguments and environment."""
    blobs: dict[str, bytes] = {}
    for number, place in enumerate(places):
        if isinstance(place, Path):
            files = [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]
            blobs |= {str(one): one.read_bytes() for one in files}
        else:
            blobs[f"text {number}"] = place.encode() if isinstance(place, str) else place
    for name in ("cmdline", "environ"):
        blobs[name] = Path(f"/proc/{os.getpid()}/{name}").read_bytes()
    return [name for name, blob in blobs.items() if any(form in blob for form in forms_of(text))]


def age(*arguments: str, data: bytes | None = None) -> bytes:
    """Run the age program."""
    return subprocess.run(["age", *arguments], input=data, capture_output=True, check=True).stdout
