"""The documents that tell clients what this API serves."""

from __future__ import annotations

import platform
from typing import Any

from .resources import CATALOGUE

Json = dict[str, Any]
VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+lab-emulator",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": "",
    "platform": "linux/amd64",
}
HEALTH_PATHS = ("/readyz", "/livez", "/healthz")


def document(path: str, address: str) -> Json | None:
    """The discovery document at a path, or None where there is none; ``address`` is the server's own."""
    if path == "/version":
        return VERSION
    if path == "/api":
        servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}
    if path == "/apis":
        return CATALOGUE.group_list()
    return _of_group(path.strip("/").split("/"))


def _of_group(parts: list[str]) -> Json | None:
    if parts == ["api", "v1"]:
        return CATALOGUE.resource_list("v1")
    if parts[0] != "apis" or len(parts) not in (2, 3):
        return None
    if len(parts) == 3:
        return CATALOGUE.resource_list(f"{parts[1]}/{parts[2]}")
    group = CATALOGUE.group(parts[1])
    return {"kind": "APIGroup", "apiVersion": "v1", **group} if group else None
