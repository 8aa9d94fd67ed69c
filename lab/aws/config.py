"""The configuration of the lab's AWS process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lab.aws.arc_config import RecoveryConfig
from lab.aws.rate import Rate


class ConfigError(ValueError):
    """The configuration file is unusable; the message says where and why."""


DEFAULT_OPERATION_RATES = {"GetHealthCheckStatus": Rate(1, 4), "CreateHealthCheck": Rate(0.5, 5)}


@dataclass(frozen=True)
class Throttle:
    """The account's request rate, and separate ones for single operations."""

    account: Rate = field(default_factory=lambda: Rate(10, 50))
    operations: dict[str, Rate] = field(default_factory=lambda: dict(DEFAULT_OPERATION_RATES))


@dataclass(frozen=True)
class ZoneConfig:
    """A hosted zone to create when the state holds none of that name."""

    name: str
    id: str | None = None


@dataclass(frozen=True)
class Config:
    """Addresses, credentials and the timing of what AWS does later.

    ``insync_seconds`` is how long a change stays PENDING, ``processing_seconds`` how long a change request occupies
    its zone, ``health_interval_scale`` what a health check's interval and timeouts are multiplied by.
    """

    host: str
    port: int
    dns_host: str
    dns_port: int
    state_file: Path
    access_keys: dict[str, str]
    insync_seconds: float = 1.0
    processing_seconds: float = 0.02
    health_interval_scale: float = 0.1
    throttle: Throttle = Throttle()
    zones: tuple[ZoneConfig, ...] = ()
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read a JSON file. Raises ConfigError."""
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"Failed to read {path}: {error}") from error
        try:
            return cls.from_dict(data)
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"Failed to read {path}: {error}") from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Config:
        """From plain JSON data. Raises ConfigError for an unknown or missing key."""
        known = {item.name for item in fields(cls)}
        if unknown := set(data) - known:
            raise ConfigError(f"unknown keys: {', '.join(sorted(unknown))}")
        if missing := {"host", "port", "dns_host", "dns_port", "state_file", "access_keys"} - set(data):
            raise ConfigError(f"missing keys: {', '.join(sorted(missing))}")
        values = dict(data, state_file=Path(data["state_file"]))
        values["zones"] = tuple(ZoneConfig(**zone) for zone in data.get("zones", ()))
        values["recovery"] = RecoveryConfig.from_dict(dict(data.get("recovery", {})))
        values["throttle"] = _throttle(dict(data.get("throttle", {})))
        return cls(**values)


def _throttle(data: dict[str, Any]) -> Throttle:
    rates = {name: Rate(**rate) for name, rate in data.pop("operations", {}).items()}
    return Throttle(Rate(**{"rate": 10, "burst": 50, **data}), {**DEFAULT_OPERATION_RATES, **rates})
