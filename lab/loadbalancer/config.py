"""The load balancer's configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration file cannot be used."""


@dataclass(frozen=True)
class ListenerConfig:
    """One address to listen on, and the pods behind it."""

    host: str
    port: int
    namespace: str
    selector: str
    target_port: int


@dataclass(frozen=True)
class Config:
    """Everything the load balancer is told."""

    kubeconfig: Path
    context: str | None
    listeners: tuple[ListenerConfig, ...]

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the JSON file; ConfigError names what is wrong with it."""
        try:
            document = json.loads(path.read_text())
            listeners = tuple(_listener(entry) for entry in document["listeners"])
            return cls(Path(document["kubeconfig"]), document.get("context"), listeners)
        except KeyError as error:
            raise ConfigError(f"Failed to read {path}: no value for {error}") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"Failed to read {path}: {error}") from error


def _listener(entry: dict[str, Any]) -> ListenerConfig:
    return ListenerConfig(
        host=str(entry["host"]),
        port=int(entry["port"]),
        namespace=str(entry["namespace"]),
        selector=str(entry["selector"]),
        target_port=int(entry["target_port"]),
    )
