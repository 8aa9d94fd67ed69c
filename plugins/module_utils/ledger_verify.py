# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks both copies of a ledger, event by event, and names the first bad one of each.

What it finds: a changed byte, an event removed, added, doubled or out of order, a torn end, copies that
differ or end at different events. What one copy alone cannot show is that its last events are gone: the
other copy shows it, or the head hash that a report keeps.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError
from .ledger_event import GENESIS, BadEvent, Event
from .ledger_file import LedgerFile
from .ledger_store import LedgerStore


@dataclass(frozen=True)
class Problem:
    """One thing wrong: `seq` is the event's number, `copy` is local, store or both."""

    seq: int
    copy: str
    problem: str

    def __str__(self) -> str:
        return f"event {self.seq} ({self.copy}): {self.problem}"


@dataclass(frozen=True)
class Verification:
    """What was found. `unverified` holds reasons why a copy could not be checked: that is no pass."""

    #: the events that are right, of the copy that has more of them
    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """`failed`, `unverified` or `passed`."""
        if self.problems:
            return "failed"
        return "unverified" if self.unverified else "passed"

    @property
    def valid(self) -> bool:
        """True only when everything was checked and is right."""
        return self.outcome == "passed"


def verify(incident: str, file: LedgerFile, remote: LedgerStore | None, expect_head: str | None = None) -> Verification:
    """Check the local file and, where there is one, the store. Writes nothing."""
    lines, rest = file.lines()
    problems: list[Problem] = []
    unverified: list[str] = []
    local = _chain(incident, lines, "local", problems)
    if rest:
        text = f"the file ends inside this event ({len(rest)} bytes without a line feed): its write was interrupted"
        problems.append(Problem(len(lines) + 1, "local", text))
    stored: list[Event] = []
    if remote is not None:
        try:
            stored = _check_store(incident, remote, lines, problems)
        except RecoveryError as error:
            unverified.append(f"The store's copy could not be checked: {error}")
    if not lines and not stored and not problems and not unverified:
        places = f"{file.path} or {remote}" if remote else f"{file.path}"
        unverified.append(f"There is no ledger of incident {incident} in {places}.")
    events = max(local, stored, key=len)
    if expect_head and expect_head not in {event.hash for event in events}:
        text = f"no event has the expected hash {expect_head}: the end is missing, or another ledger stands here"
        problems.append(Problem(len(events), "both", text))
    return Verification(events, problems, unverified)


def _chain(incident: str, bodies: t.Sequence[bytes], copy: str, problems: list[Problem]) -> list[Event]:
    """Return the events up to the first bad one, which is added to `problems`."""
    events: list[Event] = []
    before = GENESIS
    for seq, body in enumerate(bodies, 1):
        try:
            event = Event.from_bytes(body)
        except BadEvent as error:
            problems.append(Problem(seq, copy, str(error)))
            return events
        wrong = _wrong(event, incident, seq, before)
        if wrong:
            problems.append(Problem(seq, copy, wrong))
            return events
        events.append(event)
        before = event.hash
    return events


def _wrong(event: Event, incident: str, seq: int, before: str) -> str:
    if event.incident != incident:
        return f"belongs to incident {event.incident}"
    if event.seq != seq:
        return f"is missing: event {event.seq} stands in its place"
    if event.prev != before:
        return f"does not follow event {seq - 1}: that one was replaced"
    return ""


def _check_store(incident: str, remote: LedgerStore, lines: t.Sequence[bytes], problems: list[Problem]) -> list[Event]:
    seqs = remote.seqs()
    whole = len(seqs)
    for index, seq in enumerate(seqs, 1):
        if index != seq:
            problems.append(Problem(index, "store", f"is missing: event {seq} is there"))
            whole = index - 1
            break
    bodies = remote.bodies(seqs[:whole])
    found = _chain(incident, bodies, "store", problems)
    for seq, (line, body) in enumerate(zip(lines, bodies, strict=False), 1):
        if line != body:
            problems.append(Problem(seq, "both", "differs between the local file and the store"))
            break
    if whole == len(seqs) and lines and whole != len(lines):  # without any line, this machine never had a copy
        ahead, behind = ("store", "local") if whole > len(lines) else ("local", "store")
        problems.append(Problem(min(whole, len(lines)) + 1, behind, f"is missing, and is in the {ahead} copy"))
    return found
