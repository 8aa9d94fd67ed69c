# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time: UTC for what people and ledgers read, the monotonic clock for everything that is awaited.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import typing as t

from .errors import TimedOut

T = t.TypeVar("T")


def utc_now() -> dt.datetime:
    """Return the present moment, timezone-aware."""
    return dt.datetime.now(dt.UTC)


def to_iso(moment: dt.datetime) -> str:
    """Render a moment as RFC 3339 in UTC with microseconds, for example 2026-11-23T10:31:00.250000Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_iso(text: str) -> dt.datetime:
    """Parse what to_iso wrote (and any RFC 3339 time that names its zone)."""
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return moment


class Deadline:
    """A span of seconds on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return time.monotonic() - self._started

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        """True once no time is left."""
        return self.remaining <= 0

    def rest(self, seconds: float) -> None:
        """Give the awaited condition `seconds` (at most what remains) before it is looked at again."""
        threading.Event().wait(min(seconds, self.remaining))


def wait_until(
    observe: t.Callable[[], T | None], timeout: float, what: str, interval: float = 0.1, **facts: t.Any
) -> T:
    """Call `observe` until it returns something true; look at least twice. Raise TimedOut naming `what`."""
    deadline = Deadline(timeout)
    while True:
        found = observe()
        if found:
            return found
        if deadline.expired:
            raise TimedOut(f"Timed out after {timeout:g} s waiting for {what}.", **facts)
        deadline.rest(interval)


#: Waits that belong to other systems; a report subtracts their union from the RTO.
NAMED_WAITS = ("lease_expiry", "replay", "promotion", "pods_ready", "dns_ttl")


class Wait:
    """Measures one wait: `with Wait("pods_ready") as wait: ...`, then `wait.as_dict()`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = utc_now()
        self.seconds = 0.0

    def __enter__(self) -> Wait:
        self.started = utc_now()
        self._from = time.monotonic()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.monotonic() - self._from

    def as_dict(self) -> dict[str, t.Any]:
        """Return {name, started, ended, seconds}: UTC times, seconds by the monotonic clock."""
        ended = self.started + dt.timedelta(seconds=self.seconds)
        return {
            "name": self.name,
            "started": to_iso(self.started),
            "ended": to_iso(ended),
            "seconds": round(self.seconds, 3),
        }
