"""Faults that a drill switches on: errors, latency, silence and slow propagation, by AWS service."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from lab.aws.errors import ApiError

ERRORS = {
    "throttle": ("Throttling", "Rate exceeded", 400),
    "503": ("ServiceUnavailable", "Service is temporarily unavailable.", 503),
}


class Swallowed(ConnectionAbortedError):
    """The request is not to be answered: the HTTP server closes its connection without a word."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one service. ``insync_seconds`` overrides how long Route 53 changes stay PENDING."""

    error: str | None = None
    #: take requests and never answer them
    blackhole: bool = False
    latency_seconds: float = 0.0
    insync_seconds: float | None = None

    @classmethod
    def from_dict(cls, service: str, data: dict[str, Any]) -> Fault:
        """Check plain JSON data. Raises ValueError naming the service and the key."""
        if unknown := set(data) - {item.name for item in fields(cls)}:
            raise ValueError(f"{service}: unknown keys: {', '.join(sorted(unknown))}")
        fault = cls(**data)
        if fault.error is not None and fault.error not in ERRORS:
            raise ValueError(f"{service}: error must be null or one of {', '.join(ERRORS)}, not {fault.error!r}")
        if not isinstance(fault.blackhole, bool):
            raise ValueError(f"{service}: blackhole must be true or false, not {fault.blackhole!r}")
        for key in ("latency_seconds", "insync_seconds"):
            value = getattr(fault, key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ValueError(f"{service}: {key} must be a number of seconds, not {value!r}")
        return fault


NO_FAULT = Fault()


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._by_service: dict[str, Fault] = {"route53": NO_FAULT}

    def replace(self, data: Any) -> None:
        """Put these faults in force and no others. Raises ValueError and changes nothing when the data is wrong."""
        if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
            raise ValueError("faults are an object of objects: service name to fault")
        faults = {service: Fault.from_dict(service, value) for service, value in data.items()}
        with self._lock:
            self._by_service = {"route53": NO_FAULT, **faults}
            self._changed.notify_all()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The faults in force as plain data."""
        with self._lock:
            return {service: asdict(fault) for service, fault in self._by_service.items()}

    def of(self, service: str) -> Fault:
        """One service's fault."""
        with self._lock:
            return self._by_service.get(service, NO_FAULT)

    def strike(self, service: str) -> None:
        """Do to a request what the fault says: wait, then perhaps raise ApiError; or Swallowed, once it closes."""
        fault = self.of(service)
        if fault.blackhole:
            with self._changed:
                self._changed.wait_for(lambda: not self._by_service.get(service, NO_FAULT).blackhole)
            raise Swallowed(f"a request to {service} went into the black hole")
        if fault.latency_seconds:
            time.sleep(fault.latency_seconds)
        if fault.error is not None:
            raise ApiError(*ERRORS[fault.error])
