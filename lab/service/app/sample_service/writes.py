"""The service's rows: written once, read back by id."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from .pool import ConnectionPool, DeadlineExceeded

CALL_SECONDS = 2.0
# The update of a row that is already there makes a repeated write wait for the same replication as the first one.
INSERT = """
INSERT INTO writes (id, seq, payload, region) VALUES (%s::uuid, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET seq = writes.seq
RETURNING seq, payload, region
"""
SELECT_ONE = "SELECT seq, payload, region, written_at FROM writes WHERE id = %s::uuid"
SELECT_PRESENT = "SELECT id::text FROM writes WHERE id = ANY (%s::uuid[])"
SELECT_STATE = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, EXISTS (TABLE writes)"

T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """The database did not do the work. ``reason`` is a word for machines, the message a sentence for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class WriteConflict(Exception):
    """Another row already has this id."""


@dataclass(frozen=True)
class Write:
    """One row as a caller sends it."""

    id: uuid.UUID
    seq: int
    payload: str


@dataclass(frozen=True)
class Acknowledgement:
    """Proof that a row is committed; ``committed_at`` is this process's clock once COMMIT had returned."""

    id: uuid.UUID
    region: str
    committed_at: datetime


class WriteStore:
    """Reads and writes rows; every method raises DatabaseUnavailable within a few seconds rather than hang."""

    def __init__(self, pool: ConnectionPool, region: str) -> None:
        self._pool = pool
        self._region = region

    def add(self, write: Write) -> Acknowledgement:
        """Commit one row. Repeating a write is safe; WriteConflict when the id holds something else."""
        row = self._one(INSERT, (str(write.id), write.seq, write.payload, self._region), durable=True)
        committed_at = datetime.now(UTC)
        assert row is not None
        seq, payload, region = row
        if (seq, payload) != (write.seq, write.payload):
            raise WriteConflict(f"write {write.id} already exists with another seq or payload")
        return Acknowledgement(write.id, region, committed_at)

    def get(self, write_id: uuid.UUID) -> dict[str, Any] | None:
        """One row, or None."""
        row = self._one(SELECT_ONE, (str(write_id),))
        if row is None:
            return None
        seq, payload, region, written_at = row
        stamp = written_at.astimezone(UTC).isoformat()
        return {"id": str(write_id), "seq": seq, "payload": payload, "region": region, "written_at": stamp}

    def present(self, ids: Sequence[uuid.UUID]) -> list[str]:
        """Those of ``ids`` that have a row."""
        rows: list[tuple[str]] = self._run(lambda cursor: _fetch(cursor, SELECT_PRESENT, ([str(i) for i in ids],)))
        return [row[0] for row in rows]

    def read_only(self) -> bool:
        """Prove that rows can be read; whether the database takes reads only."""
        row = self._one(SELECT_STATE, ())
        assert row is not None
        return bool(row[0])

    def _one(self, statement: str, values: tuple[Any, ...], durable: bool = False) -> tuple[Any, ...] | None:
        rows = self._run(lambda cursor: _fetch(cursor, statement, values), durable)
        return rows[0] if rows else None

    def _run(self, work: Callable[[Any], T], durable: bool = False) -> T:
        """Do ``work``, once more on a new connection when one kept from before turns out to be dead.

        Every statement here may be repeated: reads change nothing, and a write carries its id.
        """
        reused = False
        try:
            with self._pool.connection(CALL_SECONDS) as (connection, reused):
                return _execute(connection, work, durable)
        except DatabaseUnavailable:
            raise
        except psycopg2.Error as error:
            if not (reused and _connection_is_gone(error)):
                raise _unavailable(error) from error
        try:
            with self._pool.connection(CALL_SECONDS, fresh=True) as (connection, _):
                return _execute(connection, work, durable)
        except psycopg2.Error as error:
            raise _unavailable(error) from error


def _execute(connection: Any, work: Callable[[Any], T], durable: bool) -> T:
    del connection.notices[:]
    with connection.cursor() as cursor:
        result = work(cursor)
    if durable and any(notice.startswith("WARNING") for notice in connection.notices):
        # PostgreSQL answers "committed" with a warning when it stopped waiting for a synchronous standby.
        raise DatabaseUnavailable("not_replicated", "the database committed without its synchronous standby")
    return result


def _fetch(cursor: Any, statement: str, values: tuple[Any, ...]) -> list[Any]:
    cursor.execute(statement, values)
    return cursor.fetchall()


def _connection_is_gone(error: psycopg2.Error) -> bool:
    """Whether the connection itself died (SQLSTATE classes 08 and 57P, or none at all), rather than the statement."""
    if isinstance(error, DeadlineExceeded):
        return False
    dead = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError))
    return dead if error.pgcode is None else error.pgcode.startswith(("08", "57P"))


def _unavailable(error: psycopg2.Error) -> DatabaseUnavailable:
    if isinstance(error, DeadlineExceeded):
        reason = "timeout"
    elif isinstance(error, psycopg2.errors.ReadOnlySqlTransaction):
        reason = "read_only"
    elif isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        reason = "unreachable" if error.pgcode is None else "refused"
    else:
        reason = "refused"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DatabaseUnavailable(reason, lines[0])
