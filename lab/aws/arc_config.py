"""The configuration of the lab's Application Recovery Controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.aws.rate import Rate

#: where the real clusters have their endpoints
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")


@dataclass(frozen=True)
class EndpointConfig:
    """Where one endpoint listens; port 0 takes a free one."""

    region: str
    host: str
    port: int


@dataclass(frozen=True)
class RuleConfig:
    """An assertion rule that at least ``threshold`` of these controls are On."""

    name: str
    controls: list[str]
    threshold: int = 1
    wait_ms: int = 0


@dataclass(frozen=True)
class PanelConfig:
    """A control panel with its routing controls by name, those On in ``on``."""

    name: str
    controls: list[str]
    on: list[str] = field(default_factory=list)
    assertions: list[RuleConfig] = field(default_factory=list)


@dataclass(frozen=True)
class RecoveryConfig:
    """Endpoints, the rate of changes at each (the real quota is 3 a second), and what exists from the start."""

    endpoints: tuple[EndpointConfig, ...] = ()
    cluster: str | None = None
    panels: tuple[PanelConfig, ...] = ()
    mutations: Rate = field(default_factory=lambda: Rate(3, 3))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RecoveryConfig:
        """From plain JSON data. Raises TypeError for an unknown key."""
        values = dict(data)
        values["endpoints"] = tuple(EndpointConfig(**one) for one in data.get("endpoints", ()))
        values["panels"] = tuple(_panel(one) for one in data.get("panels", ()))
        if "mutations" in data:
            values["mutations"] = Rate(**data["mutations"])
        return cls(**values)


def _panel(data: dict[str, Any]) -> PanelConfig:
    return PanelConfig(**{**data, "assertions": [RuleConfig(**one) for one in data.get("assertions", [])]})
