"""One session that never blocks: whoever asks waits as long as they like, and no longer."""

from __future__ import annotations

import contextlib
import enum
import select
import time
import typing as t

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

#: The highest lease epoch that this database knows: its guard writes it with every heartbeat.
_WRITE = """
insert into dr_observer.probe (region, number) values (%s, %s)
on conflict (region) do update set number = excluded.number, at = clock_timestamp()
returning (select max(epoch) from dr.heartbeat)
"""


class Phase(enum.Enum):
    """What a session is about."""

    CONNECTING = enum.auto()
    IDLE = enum.auto()
    WRITING = enum.auto()


class Session:
    """A connection in psycopg2's asynchronous mode: libpq never waits in it, a frozen server cannot hold us."""

    def __init__(self, dsn: dict[str, t.Any], statement_timeout: float) -> None:
        milliseconds = int(statement_timeout * 1000)
        self.phase = Phase.CONNECTING
        self.epoch: int | None = None
        self._connection: t.Any = psycopg2.connect(
            **dsn, async_=True, application_name="observer", options=f"-c statement_timeout={milliseconds}"
        )
        self._cursor: t.Any = None

    def write(self, region: str, number: int) -> None:
        """Send the write of an idle session; `advance` tells when it is answered."""
        self._cursor = self._connection.cursor()
        self.phase = Phase.WRITING
        self._cursor.execute(_WRITE, (region, number))

    def advance(self, until: float) -> bool:
        """Go on until the session is idle, at most until `until` of time.monotonic(); whether it is.

        Always looks once. Raises psycopg2.Error: the server's refusal, or a broken connection (`broken` tells which).
        """
        try:
            while (state := self._connection.poll()) != POLL_OK:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                reading, writing = [self] * (state == POLL_READ), [self] * (state == POLL_WRITE)
                select.select(reading, writing, [], left)
        except psycopg2.Error:
            self.phase = Phase.IDLE
            raise
        if self.phase is Phase.WRITING:
            row = self._cursor.fetchone()
            self.epoch = row[0] if row else None
        self.phase = Phase.IDLE
        return True

    @property
    def broken(self) -> bool:
        """Whether it is good for nothing more."""
        return bool(self._connection.closed) or self._cursor is None

    def fileno(self) -> int:
        """For select."""
        return int(self._connection.fileno())

    def close(self) -> None:
        """Leave; what was sent may still be carried out."""
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()
