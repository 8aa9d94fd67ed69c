# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of a ledger in a bucket: one object an event, created only where nothing is.

The bucket's refusal to create an object twice is what orders the events of several writers.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .clock import Deadline, utc_now
from .errors import RecoveryError, Unreachable
from .ledger_event import BadEvent, Event
from .object_store import ObjectMissing, ObjectStore, PreconditionFailed

_ATTEMPTS = 3
_PAUSE = 0.2
_READERS = 8


class LedgerStore:
    """The events of one incident in one bucket: `<prefix><incident>/<seq>.json`."""

    def __init__(self, store: ObjectStore, incident: str, retain_days: int | None = None) -> None:
        self.store = store
        self.incident = incident
        self.retain_days = retain_days

    def __str__(self) -> str:
        return str(self.store)

    def key(self, seq: int) -> str:
        """Return the key of an event."""
        return f"{self.incident}/{seq:06d}.json"

    def create(self, event: Event) -> Event | None:
        """Write one event where none is; return None, or the other event that stands there.

        A write whose answer was lost is tried again, and the event that then stands there is recognised as
        this one. Raises Unreachable when it stays unknown whether it was written: the next append finds out.
        """
        body = event.to_bytes()
        until = utc_now() + dt.timedelta(days=self.retain_days) if self.retain_days else None
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.store.put(self.key(event.seq), body, absent=True, retain_until=until)
                return None
            except PreconditionFailed:
                try:
                    there = self.event(event.seq)
                except ObjectMissing:  # 409: a write of another is under way, or ours
                    continue
                return None if there.hash == event.hash else there
            except Unreachable as error:
                if attempt == _ATTEMPTS:
                    raise self._unreachable(event.seq, error) from error
                Deadline(_PAUSE * attempt).rest(_PAUSE * attempt)
        raise self._unreachable(event.seq, "its writes keep conflicting with one under way")

    def _unreachable(self, seq: int, cause: object) -> Unreachable:
        return Unreachable(
            f"Failed to record event {seq} of incident {self.incident}: {str(cause).rstrip('.')}. Nothing that was "
            "recorded is lost: restore access to the store and run the same command again, or leave `store` out of "
            "the record to go on with the local ledger and publish it later (incident_ledger with state=published)."
        )

    def seqs(self) -> list[int]:
        """Return the sequence numbers that the store has, ascending. Other objects below the prefix are no events."""
        pattern = re.compile(re.escape(self.incident) + r"/(\d{6,})\.json")
        found = (pattern.fullmatch(key) for key in self.store.keys(f"{self.incident}/"))
        return sorted(int(match[1]) for match in found if match)

    def body(self, seq: int) -> bytes:
        """Return one event's bytes. Raises ObjectMissing."""
        return self.store.get(self.key(seq)).body

    def bodies(self, seqs: t.Sequence[int]) -> list[bytes]:
        """Return several events' bytes, read side by side."""
        if len(seqs) < 2:
            return [self.body(seq) for seq in seqs]
        with ThreadPoolExecutor(min(_READERS, len(seqs))) as pool:
            return list(pool.map(self.body, seqs))

    def event(self, seq: int) -> Event:
        """Return one event. Raises ObjectMissing, or RecoveryError when it is damaged."""
        return self.parse(seq, self.body(seq))

    def events(self, seqs: t.Sequence[int]) -> list[Event]:
        """Return several events."""
        return [self.parse(seq, body) for seq, body in zip(seqs, self.bodies(seqs), strict=True)]

    def parse(self, seq: int, body: bytes) -> Event:
        """Return the event that an object holds; raises RecoveryError when it is damaged."""
        try:
            return Event.from_bytes(body)
        except BadEvent as error:
            raise RecoveryError(
                f"Failed to read event {seq} of incident {self.incident} in {self.store}: the object {error}. "
                "Run incident_ledger with state=verified, and restore the object's first version."
            ) from error
