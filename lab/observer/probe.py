"""Probe one region's PostgreSQL with committed writes, many times a second, whatever state the server is in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
import time
import typing as t
from pathlib import Path

import psycopg2

from .session import Phase, Session

#: seconds that a try may take; the server gives up first, where it can
DEADLINE = 1.0
STATEMENT_TIMEOUT = 0.8
#: writes without an answer that are listened to at once
MOST_UNANSWERED = 5

ACCEPTED, REFUSED, UNKNOWN = "accepted", "refused", "unknown"


@dataclasses.dataclass
class Attempt:
    """One try. It begins when its write is sent; one that never got so far cannot have been accepted."""

    number: int
    moment: dt.datetime
    begun: float
    outcome: str = REFUSED
    error: str | None = None
    epoch: int | None = None
    late: bool = False

    @classmethod
    def now(cls, number: int) -> Attempt:
        """A try that begins now."""
        return cls(number, dt.datetime.now(dt.UTC), time.monotonic())

    def line(self, region: str) -> str:
        """One line of the record. `seconds` runs to now."""
        told = {
            "t": self.moment.isoformat().replace("+00:00", "Z"),
            "region": region,
            "accepted": self.outcome == ACCEPTED,
            "outcome": self.outcome,
            "number": self.number,
            "epoch": self.epoch,
            "seconds": round(time.monotonic() - self.begun, 6),
            "late": self.late,
            "error": self.error,
        }
        return json.dumps(told) + "\n"


class RegionProbe(threading.Thread):
    """One region's probe. Appends one JSON line a try, and one more where an answer comes after its deadline.

    A write that was not answered in time is `unknown`, and its session stays open: should the server (one that
    was frozen, say) commit it after all, a line with `late` and the same number says so.
    """

    def __init__(self, region: str, dsn: dict[str, t.Any], path: Path, per_second: float) -> None:
        super().__init__(name=f"observer-{region}", daemon=True)
        self.region = region
        self.stopping = threading.Event()
        self._dsn = dsn
        self._path = path
        self._pause = 1.0 / per_second
        self._number = 0
        self._session: Session | None = None
        self._unanswered: list[tuple[Session, Attempt]] = []

    def run(self) -> None:
        """Try, put on record, rest; until told to stop."""
        with self._path.open("a", encoding="utf-8", buffering=1) as record:
            while not self.stopping.is_set():
                begun = time.monotonic()
                record.write(self._try().line(self.region))
                for attempt in self._late_answers():
                    record.write(attempt.line(self.region))
                self.stopping.wait(max(0.0, self._pause - (time.monotonic() - begun)))
        for session in [self._session, *(session for session, _attempt in self._unanswered)]:
            if session is not None:
                session.close()

    def _try(self) -> Attempt:
        self._number += 1
        attempt = Attempt.now(self._number)
        until = attempt.begun + DEADLINE
        sent = False
        try:
            if self._session is None:
                self._session = Session(self._dsn, STATEMENT_TIMEOUT)
            session = self._session
            if session.phase is Phase.CONNECTING and not session.advance(until):
                attempt.error = f"no session within {DEADLINE:g} s"
                return attempt  # and the next try waits on for the same session
            attempt = Attempt.now(self._number)
            sent = True
            session.write(self.region, self._number)
            if session.advance(attempt.begun + DEADLINE):
                attempt.outcome, attempt.epoch = ACCEPTED, session.epoch
            else:
                attempt.outcome, attempt.error = UNKNOWN, f"no answer within {DEADLINE:g} s"
                self._listen_on(session, attempt)
        except psycopg2.Error as problem:
            attempt.outcome = REFUSED if not sent or problem.pgcode else UNKNOWN
            attempt.error = " ".join(str(problem).split())[:200]
            self._drop_unless_read_only(problem)
        return attempt

    def _drop_unless_read_only(self, problem: psycopg2.Error) -> None:
        """A standby refuses the write and stays connected; anything else is asked anew."""
        if self._session is None:
            return
        if not isinstance(problem, psycopg2.errors.ReadOnlySqlTransaction) or self._session.broken:
            self._session.close()
            self._session = None

    def _listen_on(self, session: Session, attempt: Attempt) -> None:
        """Keep the session for a late answer. Of too many the oldest is given up: its write stays unknown."""
        self._session = None
        self._unanswered.append((session, attempt))
        if len(self._unanswered) > MOST_UNANSWERED:
            self._unanswered.pop(0)[0].close()

    def _late_answers(self) -> t.Iterator[Attempt]:
        """Yield the attempts that were answered after their deadline. A session that breaks leaves its own unknown."""
        for entry in list(self._unanswered):
            session, attempt = entry
            try:
                if not session.advance(0):
                    continue
                attempt.outcome, attempt.epoch, attempt.error = ACCEPTED, session.epoch, None
            except psycopg2.Error as problem:
                attempt.outcome = REFUSED if problem.pgcode else UNKNOWN
                attempt.error = " ".join(str(problem).split())[:200]
            self._unanswered.remove(entry)
            session.close()
            attempt.late = True
            if attempt.outcome != UNKNOWN:
                yield attempt
