# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the clients saw: outage and lost writes of each service, and how many primaries took writes at once.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .clock import from_iso
from .errors import RecoveryError, failed


@dataclass(frozen=True)
class ServiceMeasurement:
    """One service as its clients saw it. Seconds; an outage without end lasted at least until the record's end."""

    acknowledged: int
    lost: int
    rpo_seconds: float | None
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    recovered: bool = True

    @property
    def outage_seconds(self) -> float:
        """Length of the outage, 0 where there was none."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else 0.0


@dataclass(frozen=True)
class Measurement:
    """The clients' record of one incident."""

    path: str
    sha256: str
    since: str
    until: str
    services: dict[str, ServiceMeasurement] = field(default_factory=dict)
    #: how often the observer looked, and the most primaries that took writes at one time
    rounds: int = 0
    max_writable_primaries: int | None = None
    #: how often two primaries may have done so and it cannot be told
    undecided: int = 0

    @classmethod
    def read(cls, path: str) -> Measurement:
        """Read the file; raises RecoveryError naming it and what is wrong."""
        what = f"the measurement {path}"
        try:
            body = Path(path).read_bytes()
        except OSError as error:
            raise RecoveryError(failed("read", what, error.strerror or error, "Write it, or leave it out.")) from error
        try:
            raw = json.loads(body)
            observer = raw.get("observer") or {}
            return cls(
                path=path,
                sha256=hashlib.sha256(body).hexdigest(),
                since=str(raw["since"]),
                until=str(raw["until"]),
                services={name: _service(one, raw["until"]) for name, one in raw["services"].items()},
                rounds=int(observer.get("rounds") or 0),
                max_writable_primaries=observer.get("max_writable_primaries"),
                undecided=len(observer.get("undecided") or ()),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"
            raise RecoveryError(failed("read", what, cause, "It must hold since, until and services.")) from error


def _service(raw: t.Mapping[str, t.Any], until: str) -> ServiceMeasurement:
    outage = raw.get("outage") or {}
    started = from_iso(outage["started"]) if outage.get("started") else None
    ended = from_iso(outage["ended"]) if outage.get("ended") else None
    rpo = raw.get("rpo_seconds")
    return ServiceMeasurement(
        acknowledged=int(raw["acknowledged_writes"]),
        lost=int(raw["lost_acknowledged_writes"]),
        rpo_seconds=None if rpo is None else float(rpo),
        started=started,
        ended=ended or (from_iso(until) if started else None),
        recovered=started is None or ended is not None,
    )
