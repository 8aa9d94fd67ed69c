"""What the lab's Application Recovery Controller remembers, its lock and its file."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.aws.errors import ApiError


class ArcError(ApiError):
    """An error answer with the members that this API's errors have beside their message."""

    def __init__(self, code: str, message: str, status: int = 400, **members: str) -> None:
        super().__init__(code, message, status)
        self.members = members


@dataclass(frozen=True)
class Endpoint:
    """One Regional endpoint of the data plane."""

    region: str
    url: str


@dataclass
class Cluster:
    """A cluster; its endpoints are where the lab listens, and are not remembered."""

    arn: str
    name: str


@dataclass
class ControlPanel:
    """A control panel; the default one comes with its cluster."""

    arn: str
    name: str
    cluster_arn: str
    default: bool = False


@dataclass
class RoutingControl:
    """A switch. ``changed`` is when its state last changed, in seconds since the epoch."""

    arn: str
    name: str
    panel_arn: str
    on: bool = False
    changed: float = 0.0


@dataclass
class SafetyRule:
    """An assertion rule (about ``controls``) or a gating rule (``controls`` allow changes of ``targets``)."""

    arn: str
    name: str
    panel_arn: str
    kind: str
    type: str
    threshold: int
    inverted: bool
    wait_ms: int
    controls: list[str]
    targets: list[str] = field(default_factory=list)


@dataclass
class ArcState:
    """Everything of one account, by ARN."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    panels: dict[str, ControlPanel] = field(default_factory=dict)
    controls: dict[str, RoutingControl] = field(default_factory=dict)
    rules: dict[str, SafetyRule] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the state file."""
        return {kind: [asdict(one) for one in getattr(self, kind).values()] for kind in _KINDS}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArcState:
        """The state that ``to_json`` wrote."""
        return cls(**{kind: {one["arn"]: made(**one) for one in data[kind]} for kind, made in _KINDS.items()})


_KINDS: dict[str, Any] = {
    "clusters": Cluster,
    "panels": ControlPanel,
    "controls": RoutingControl,
    "rules": SafetyRule,
}


class ArcStore:
    """State under one lock: every endpoint sees the same, as a quorum of the real ones does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._state = ArcState.from_json(json.loads(path.read_text())) if path.exists() else ArcState()
        #: set once the endpoints listen
        self.endpoints: tuple[Endpoint, ...] = ()

    @contextmanager
    def read(self) -> Iterator[ArcState]:
        """The state; do not alter it."""
        with self._lock:
            yield self._state

    @contextmanager
    def write(self) -> Iterator[ArcState]:
        """The state to alter; saved, atomically and durably, when the block ends well."""
        with self._lock:
            yield self._state
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            with partial.open("w") as file:
                json.dump(self._state.to_json(), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)

    def is_on(self, control_arn: str) -> bool:
        """Whether a routing control is On, as its health checks see it; one that does not exist is Off."""
        with self._lock:
            control = self._state.controls.get(control_arn)
            return control is not None and control.on

    def has_control(self, control_arn: str) -> bool:
        """Whether a routing control exists."""
        with self._lock:
            return control_arn in self._state.controls


def missing(kind: str, arn: str) -> ArcError:
    """ResourceNotFoundException."""
    message = f"Unable to find {kind} with ARN {arn}"
    return ArcError("ResourceNotFoundException", message, 404, resourceId=arn, resourceType=kind)


def invalid(message: str) -> ArcError:
    """ValidationException."""
    return ArcError("ValidationException", message, 400)


def paged(items: list[Any], params: dict[str, Any], key: str, largest: int = 100) -> dict[str, Any]:
    """One page of a list, with the token of the next one."""
    size = int(params.get("MaxResults") or largest)
    token = params.get("NextToken") or "0"
    if not 1 <= size <= 1000 or not token.isdigit():
        raise invalid("MaxResults must be between 1 and 1000, and NextToken one that was given out")
    start = int(token)
    following = {"NextToken": str(start + size)} if start + size < len(items) else {}
    return {key: items[start : start + size], **following}
