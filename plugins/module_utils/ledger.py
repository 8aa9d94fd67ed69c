# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An incident's ledger: append-only, hash-chained, in a bucket and in a local file.

An event is created in the store first, where a second writer is refused, and then appended to the local file
and flushed to disk. So the store is never behind the local file, and a local file that is behind (a run
died between the two, or ran on another machine) is caught up from the store.

Who may write: any process of this machine, one at a time (a lock), and of all machines the one with the
highest fencing token. An event of an earlier token, or of this very run, that this machine had not seen
is taken in; an event of anybody else stops the writer.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import shutil
import typing as t
from pathlib import Path

from .clock import to_iso, utc_now
from .clock_skew import skew_evidence
from .errors import RecoveryError, Refused
from .ledger_event import GENESIS, PHASES, STATES, Event, plain
from .ledger_file import LedgerFile
from .ledger_status import CLOSE, DECLARE, PUBLISH, RESUME, Status, is_closing, status_of
from .ledger_store import LedgerStore
from .ledger_verify import Verification, verify
from .object_store import ObjectStore

_INCIDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AnotherWriter(Refused):
    """Somebody else appended an event first: two runs act on one incident."""


class Diverged(RecoveryError):
    """The store and the local file tell different stories."""


class Ledger:
    """One incident's ledger, for one writer. `store` may be None: then the local file is all there is."""

    def __init__(
        self,
        incident: str,
        mode: str,
        directory: str | Path,
        store: ObjectStore | None = None,
        *,
        actor: str = "",
        token: int | None = None,
        retain_days: int | None = None,
    ) -> None:
        if not _INCIDENT.fullmatch(incident):
            raise Refused(
                f"Failed to open the ledger of incident {incident!r}: an identifier is a letter or digit, then up to "
                "63 letters, digits, dots, dashes or underscores. Name it so, for example INC-7."
            )
        self.incident = incident
        self.mode = mode
        self.actor = actor
        self.token = token
        self.file = LedgerFile(directory, incident)
        self.remote = LedgerStore(store, incident, retain_days) if store else None

    @classmethod
    def from_record(cls, record: t.Mapping[str, t.Any], actor: str = "") -> Ledger:
        """Build from the shared `record` option."""
        store = record.get("store")
        return cls(
            incident=record["incident"],
            mode=record.get("mode") or "incident",
            directory=record["directory"],
            store=ObjectStore(store) if store else None,
            actor=actor or record.get("actor") or "",
            token=record.get("token"),
            retain_days=record.get("retain_days"),
        )

    @property
    def path(self) -> Path:
        """The local file."""
        return self.file.path

    def declare(self, data: t.Mapping[str, t.Any] | None = None) -> Event | None:
        """Open the incident, once; return the event that was appended, or None when this run had done so before.

        A later run with another fencing token appends `resume`: it shows in the story, and from then on the
        store refuses the earlier run. Raises Refused for an incident that is closed.
        """
        with self.file.lock():
            self._catch_up()
            last = self._last()
            if last is None:
                return self._append("detect", DECLARE, "verified", self._with_clock(data))
            self._refuse_closed(last)
            if self.token is None or last.token == self.token:
                return None
            return self._append("detect", RESUME, "verified", self._with_clock(data))

    def append(self, phase: str, step: str, state: str, data: t.Mapping[str, t.Any] | None = None) -> Event:
        """Append one event: one write to the store, one to the local file.

        Raises AnotherWriter, Refused (not declared, closed, an old token), Unreachable (nothing is lost).
        """
        self._refuse_unknown(step)
        with self.file.lock():
            if self._last() is None:
                self._catch_up()  # another machine declared it
            last = self._last()
            if last is None:
                raise self._undeclared(step)
            self._refuse_closed(last)
            return self._append(phase, step, state, data or {})

    def close(self, data: t.Mapping[str, t.Any] | None = None) -> Event | None:
        """End the ledger: nothing can be appended after. Return None when it was closed before."""
        self._refuse_unknown(CLOSE)
        with self.file.lock():
            self._catch_up()
            last = self._last()
            if last is None:
                raise self._undeclared(CLOSE)
            if is_closing(last):
                return None
            return self._append("close", CLOSE, "verified", data or {})

    def publish(self) -> list[int]:
        """Put events that only the local file has into the store, and say so in the ledger; return their numbers.

        For an incident that had to go on while its store was away. Raises Diverged when the store holds others.
        """
        remote = self._need_store()
        with self.file.lock():
            missing = self.unpublished()
            for event in self.file.read():
                if event.seq in missing and remote.create(event) is not None:
                    raise self._diverged(f"event {event.seq} differs between the two")
            self._catch_up()  # also proves that the two are now one story
            last = self._last()
            if missing and last is not None and not is_closing(last):
                self._append("close", PUBLISH, "verified", {"events": missing})
        return missing

    def unpublished(self) -> list[int]:
        """Return the numbers of the events that the local file has and the store lacks."""
        present = set(self._need_store().seqs())
        return [event.seq for event in self.file.read() if event.seq not in present]

    def _need_store(self) -> LedgerStore:
        if self.remote is None:
            raise Refused(f"Failed to publish the ledger of incident {self.incident}: no store is named. Set `store`.")
        return self.remote

    def read(self) -> list[Event]:
        """Return all events, the store's included. Writes nothing. Raises Diverged, DamagedLedger, Unreachable."""
        events = self.file.read()
        return events + self._unseen(events[-1] if events else None)

    def status(self) -> Status:
        """Return what the local file says, which `declare`, `close` and `catch_up` brought up to date."""
        first, last = self.file.first(), self.file.last()
        return status_of([event for event in (first, last) if event is not None])

    def catch_up(self) -> int:
        """Take events of the store that the local file lacks into it; return how many there were."""
        with self.file.lock():
            return self._catch_up()

    def verify(self, expect_head: str | None = None) -> Verification:
        """Check every event of both copies; see ledger_verify. Writes nothing."""
        return verify(self.incident, self.file, self.remote, expect_head)

    def copy_to(self, path: Path) -> None:
        """Copy the local file, whole, to `path`."""
        temporary = path.with_name(f".{path.name}.new")
        shutil.copyfile(self.path, temporary)
        temporary.replace(path)

    # -- with the lock held ---------------------------------------------------------------------------------------

    def _append(self, phase: str, step: str, state: str, data: t.Mapping[str, t.Any]) -> Event:
        if phase not in PHASES or state not in STATES:
            raise Refused(f"Failed to record {step}: {phase}/{state} is no phase and state of the ledger.")
        told = plain(data)
        torn = self.file.set_torn_aside()
        if torn:
            told["torn_bytes_set_aside"] = torn
        while True:
            last = self._last()
            self._refuse_stale(last)
            event = self._event(last, phase, step, state, told)
            there = self.remote.create(event) if self.remote else None
            if there is None:
                self.file.append([event])
                return event
            self._take_in(there, last)

    def _with_clock(self, data: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
        """Return the data of a run's first event, with how far this machine's clock is from the store's."""
        told = dict(data or {})
        clock = skew_evidence(self.remote.store) if self.remote else {}
        return {**told, "evidence": {**(told.get("evidence") or {}), "controller_clock": clock}} if clock else told

    def _event(self, last: Event | None, phase: str, step: str, state: str, data: dict[str, t.Any]) -> Event:
        content: dict[str, t.Any] = {
            "seq": last.seq + 1 if last else 1,
            "time": to_iso(utc_now()),
            "incident": self.incident,
            "mode": self.mode,
            "phase": phase,
            "step": str(step),
            "state": state,
            "actor": str(self.actor),
            "token": self.token,
            "data": data,
            "prev": last.hash if last else GENESIS,
        }
        return Event(**content, hash=Event(**content).digest())

    def _take_in(self, there: Event, last: Event | None) -> None:
        """Accept an event that we had not seen, or raise AnotherWriter."""
        ours = there.actor == self.actor and there.token == self.token
        earlier = there.token is not None and self.token is not None and there.token < self.token
        if not (ours or earlier) or is_closing(there):
            raise AnotherWriter(self._conflict(there))
        self._check_follows(there, last)
        self.file.append([there])

    def _catch_up(self) -> int:
        if self.remote is None:
            return 0
        self.file.set_torn_aside()
        missing = self._unseen(self._last())
        self.file.append(missing)
        return len(missing)

    def _unseen(self, last: Event | None) -> list[Event]:
        """Return the store's events after `last`; raises Diverged unless both copies are one story up to there."""
        if self.remote is None:
            return []
        seqs = self.remote.seqs()
        count = last.seq if last else 0
        if seqs != list(range(1, len(seqs) + 1)):
            hole = next(index for index, seq in enumerate(seqs, 1) if index != seq)
            raise self._diverged(f"event {hole} is missing in the store although later ones are there")
        if len(seqs) < count:
            raise self._diverged(f"the store ends at event {len(seqs)}, the local file at event {count}")
        if last is not None and self.remote.event(count).hash != last.hash:
            raise self._diverged(f"event {count} differs between the two")
        events = self.remote.events(seqs[count:])
        for event in events:
            self._check_follows(event, last)
            last = event
        return events

    def _last(self) -> Event | None:
        return self.file.last()

    # -- refusals -------------------------------------------------------------------------------------------------

    def refuse(self, last: Event) -> None:
        """Raise what an append after `last` would raise: Refused (closed, another mode), AnotherWriter."""
        self._refuse_closed(last)
        self._refuse_stale(last)

    def _check_follows(self, event: Event, last: Event | None) -> None:
        expected = (last.seq + 1, last.hash) if last else (1, GENESIS)
        if (event.seq, event.prev) != expected:
            raise self._diverged(f"event {event.seq} of the store does not follow event {expected[0] - 1} of the file")

    def _diverged(self, cause: str) -> Diverged:
        return Diverged(
            f"Failed to open the ledger of incident {self.incident}: {self.path} and {self.remote} disagree: {cause}. "
            "Check that the store is the one this incident was declared in. If it was away while the run went on, "
            "publish the local events (incident_ledger, state=published); if one was altered, state=verified names it."
        )

    def _refuse_unknown(self, step: str) -> None:
        """Refuse an incident that neither copy knows before anything is made for it: its name may be mistyped."""
        if not self.path.exists() and not self.read():
            raise self._undeclared(step)

    def _undeclared(self, step: str) -> Refused:
        places = f"{self.path} or {self.remote}" if self.remote else f"{self.path}"
        return Refused(
            f"Failed to record {step} of incident {self.incident}: it is not declared in {places}. "
            "Declare it first (incident_ledger, state=declared)."
        )

    def _refuse_closed(self, last: Event) -> None:
        if is_closing(last):
            where = last.data.get("report") or f"{self.path}"
            raise Refused(
                f"Incident {self.incident} is already closed (at {last.time}). Declare a new one, or read its report "
                f"at {where}.",
                closed_at=last.time,
            )

    def _refuse_stale(self, last: Event | None) -> None:
        if last is None:
            return
        if last.mode != self.mode:
            raise Refused(
                f"Failed to record in incident {self.incident}: it was declared as {last.mode}, not as {self.mode}. "
                "Name another incident."
            )
        if last.token is not None and self.token is not None and last.token > self.token:
            raise AnotherWriter(self._conflict(last))

    def _conflict(self, there: Event) -> str:
        holder = f"{there.actor or 'unknown'} with token {there.token}"
        return (
            f"Failed to record in incident {self.incident}: another writer appended event {there.seq} ({holder}: "
            f"{there.phase}, {there.step}, {there.state}, at {there.time}). Two runs act on this incident: let that "
            "one finish, or end it and run again; the incident's lease says who holds it."
        )
