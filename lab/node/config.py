"""The node agent's configuration."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration file cannot be used."""


@dataclass(frozen=True)
class Config:
    """Everything the agent is told.

    Delays are the kubelet's unless the file says otherwise: a crashed container or a failed pull is tried again after
    ``backoff_initial_seconds``, then twice that, up to ``backoff_maximum_seconds``.
    """

    node_name: str
    kubeconfig: Path
    context: str | None
    pod_network: ipaddress.IPv4Network
    pod_address_start: int
    directory: Path
    python: Path
    capacity: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    #: run pods of these namespaces only, None for all: a cluster's own daemons are no processes for this machine
    namespaces: frozenset[str] | None = None
    #: registry in an image's name, where its images are pulled from: {"images.example:5000": "10.0.0.4:5000"}
    mirrors: dict[str, str] = field(default_factory=dict)
    lease_seconds: int = 12
    backoff_initial_seconds: float = 10.0
    backoff_maximum_seconds: float = 300.0

    @property
    def address(self) -> str:
        """The node's own address: the first of the pod network."""
        return str(self.pod_network[1])

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the JSON file; ConfigError names what is wrong with it."""
        try:
            document = json.loads(path.read_text())
            config = cls._from_document(document)
        except KeyError as error:
            raise ConfigError(f"Failed to read {path}: no value for {error}") from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"Failed to read {path}: {error}") from error
        if not config.python.is_file():
            raise ConfigError(f"Failed to read {path}: python is {config.python}, which is no file")
        if not 1 < config.pod_address_start < config.pod_network.num_addresses - 1:
            raise ConfigError(f"Failed to read {path}: pod_address_start is not inside {config.pod_network}")
        return config

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Config:
        return cls(
            node_name=str(document["node_name"]),
            kubeconfig=Path(document["kubeconfig"]),
            context=document.get("context"),
            pod_network=ipaddress.IPv4Network(document["pod_network"]),
            pod_address_start=int(document["pod_address_start"]),
            directory=Path(document["directory"]).absolute(),
            python=Path(document["python"]).absolute(),
            capacity={str(key): str(value) for key, value in document["capacity"].items()},
            labels={str(key): str(value) for key, value in document.get("labels", {}).items()},
            namespaces=frozenset(map(str, document["namespaces"])) if "namespaces" in document else None,
            mirrors={str(key): str(value) for key, value in document.get("mirrors", {}).items()},
            lease_seconds=int(document.get("lease_seconds", cls.lease_seconds)),
            backoff_initial_seconds=float(document.get("backoff_initial_seconds", cls.backoff_initial_seconds)),
            backoff_maximum_seconds=float(document.get("backoff_maximum_seconds", cls.backoff_maximum_seconds)),
        )
