# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a ledger's first and last events say of its incident.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .ledger_event import Event

#: steps that the ledger writes about itself
DECLARE, RESUME, PUBLISH, CLOSE = "declare", "resume", "publish", "close"


@dataclass(frozen=True)
class Status:
    """What a ledger says of its incident. Times are RFC 3339 in UTC, None where it has not happened."""

    declared_at: str | None = None
    closed_at: str | None = None
    count: int = 0
    head: str | None = None
    mode: str | None = None
    #: what the declaration named: {rto_seconds, rpo_seconds, services}
    objectives: dict[str, t.Any] | None = None
    #: data of the closing event: where the report is
    closing: dict[str, t.Any] | None = None


def is_closing(event: Event) -> bool:
    """True for the event that ends a ledger."""
    return (event.phase, event.step, event.state) == ("close", CLOSE, "verified")


def status_of(events: t.Sequence[Event]) -> Status:
    """Return the status that a ledger's first and last events tell."""
    if not events:
        return Status()
    last = events[-1]
    closed = is_closing(last)
    return Status(
        declared_at=events[0].time,
        closed_at=last.time if closed else None,
        count=last.seq,
        head=last.hash,
        mode=last.mode,
        objectives=events[0].data.get("objectives"),
        closing=last.data if closed else None,
    )
