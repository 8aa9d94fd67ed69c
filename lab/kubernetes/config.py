"""The emulator's configuration file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file, the key and the remedy."""


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """Where to listen, where to keep state, who may come in, and how long a silent node stays ready (seconds).

    With a certificate and key it speaks HTTPS, which kubectl needs: Go clients send no token over plain HTTP.
    """

    host: str
    port: int
    state_directory: Path
    tokens: dict[str, User]
    node_grace_seconds: float = 10.0
    log_requests: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls_certificate else 'http'}://{self.host}:{self.port}"


def load_config(path: Path) -> Config:
    """Read the JSON file. ConfigError where it is missing, unreadable or incomplete."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"Failed to read configuration {path}: {problem}") from problem
    if not isinstance(document, dict):
        raise ConfigError(f"Failed to read configuration {path}: give a JSON object")
    try:
        return _parse(document)
    except KeyError as problem:
        raise ConfigError(f"Failed to read configuration {path}: add the key {problem}") from problem
    except (TypeError, ValueError, AttributeError) as problem:
        raise ConfigError(f"Failed to read configuration {path}: {problem}") from problem


def _parse(document: dict[str, Any]) -> Config:
    tokens = {
        token: User(str(user["user"]), tuple(user.get("groups", ()))) for token, user in document["tokens"].items()
    }
    config = Config(
        host=str(document["host"]),
        port=int(document["port"]),
        state_directory=Path(document["state_directory"]),
        tokens=tokens,
        node_grace_seconds=float(document.get("node_grace_seconds", 10.0)),
        log_requests=bool(document.get("log_requests", False)),
        tls_certificate=Path(document["tls_certificate"]) if "tls_certificate" in document else None,
        tls_key=Path(document["tls_key"]) if "tls_key" in document else None,
    )
    if config.node_grace_seconds <= 0:
        raise ValueError("node_grace_seconds must be more than 0")
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise ValueError("give both tls_certificate and tls_key, or neither")
    if not config.host.startswith("127.") and config.host not in ("localhost", "::1"):
        raise ValueError(f"host {config.host} is not a loopback address; the emulator is no server for a network")
    return config
