# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a health check is, where it is asked from, and what asking it found.

PRIVATE to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import Refused, failed

PASSED, FAILED, UNVERIFIED = "passed", "failed", "unverified"

#: Options that a check of each kind cannot do without.
NEEDED = {
    "http": ("url",),
    "tcp": ("host", "port"),
    "dns": ("dns",),
    "postgresql": ("postgres",),
    "write_read": ("url", "read_url"),
}


class CheckFailed(Exception):
    """The check ran, and what it asked is not well. The text says why."""

    def __init__(self, reason: str, address: str | None = None) -> None:
        super().__init__(reason)
        self.address = address


class CannotTell(Exception):
    """The check could not run from here: nothing is known of what it asks. The text says why."""


@dataclass(frozen=True)
class VantagePoint:
    """Where checks are asked from: its own address and its own name servers, each the system's when empty."""

    name: str
    source_address: str | None = None
    nameservers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Check:
    """One question to one service. Times are seconds; `attempts` counts the first one too."""

    name: str
    service: str
    kind: str
    points: tuple[VantagePoint, ...]
    agreement: int
    timeout: float
    attempts: int
    interval: float
    options: t.Mapping[str, t.Any]

    @property
    def label(self) -> str:
        """Service and name, for messages."""
        return self.name if self.name == self.service else f"{self.service}/{self.name}"


@dataclass(frozen=True)
class Finding:
    """What one vantage point found: outcome, reason unless it passed, seconds of the last attempt, who answered."""

    outcome: str
    reason: str = ""
    seconds: float = 0.0
    address: str | None = None


def parse_points(options: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[VantagePoint, ...]:
    """Build the vantage points. Raises Refused naming the one that makes no sense."""
    points = tuple(
        VantagePoint(
            one["name"],
            _address(one["source_address"], f"vantage point {one['name']}") if one.get("source_address") else None,
            tuple(endpoint(text, 53, f"vantage point {one['name']}") for text in one.get("nameservers") or ()),
        )
        for one in options
    )
    names = [point.name for point in points]
    if len(set(names)) != len(names) or not names:
        listed = ", ".join(names) or "none"
        raise Refused(failed("read", "vantage_points", f"names must be unique and at least one, got {listed}"))
    return points


def parse_check(raw: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any], points: tuple[VantagePoint, ...]) -> Check:
    """Build one check; `params` are the task's options, whose timing takes the place of the check's own."""
    service = raw.get("service") or raw["name"]
    what = f"check {raw['name']} of service {service}"
    missing = [key for key in NEEDED[raw["kind"]] if raw.get(key) is None]
    if missing:
        raise Refused(failed("read", what, f"a check of kind {raw['kind']} needs {' and '.join(missing)}"))
    for key in ("url", "read_url"):
        if raw.get(key):
            _validate_url(raw[key], f"{key} of {what}")
    if raw.get("address"):
        endpoint(raw["address"], 0, f"address of {what}")
    chosen = _points_of(raw, points, what)
    agreement = raw.get("agreement") or params.get("agreement") or len(chosen) // 2 + 1
    if not 1 <= agreement <= len(chosen):
        asked = f"agreement is {agreement}, it is asked from {len(chosen)} vantage point(s)"
        raise Refused(failed("read", what, asked, "Set agreement between one and their number."))

    def timing(key: str) -> float:
        value = raw[key] if params.get(key) is None else params[key]
        if value < 0 or (key == "timeout" and value == 0):
            raise Refused(failed("read", what, f"{key} cannot be {value}"))
        return float(value)

    return Check(
        name=raw["name"],
        service=service,
        kind=raw["kind"],
        points=chosen,
        agreement=agreement,
        timeout=timing("timeout"),
        attempts=int(timing("retries")) + 1,
        interval=timing("interval"),
        options=raw,
    )


def endpoint(text: str, default_port: int, what: str) -> tuple[str, int]:
    """Split `ip`, `ip:port` or `[v6]:port`. Raises Refused naming `what`."""
    host, port = text, str(default_port)
    if text.startswith("["):
        host, _bracket, rest = text[1:].partition("]")
        port = rest.lstrip(":") or port
    elif text.count(":") == 1:
        host, _colon, port = text.partition(":")
    if not port.isdigit() or int(port) > 65535:
        raise Refused(failed("read", what, f"{text!r} has no valid port"))
    return _address(host, what), int(port)


def _address(text: str, what: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Refused(failed("read", what, f"{text!r} is no IP address")) from error


def _validate_url(url: str, what: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise Refused(failed("read", what, f"{url!r} is no http or https URL"))
    if "@" in parts.netloc:
        raise Refused(failed("read", what, "a URL that holds credentials ends up in logs", "Use header_files."))


def _points_of(raw: t.Mapping[str, t.Any], points: tuple[VantagePoint, ...], what: str) -> tuple[VantagePoint, ...]:
    """Return the vantage points that a check names, else all that can ask it (libpq binds no source address)."""
    names = raw.get("vantage_points")
    if names:
        unknown = sorted(set(names) - {point.name for point in points})
        if unknown:
            raise Refused(failed("read", what, f"no vantage point is named {', '.join(unknown)}"))
        return tuple(point for point in points if point.name in names)
    if raw["kind"] == "postgresql":
        return tuple(point for point in points if not point.source_address) or points
    return points
