# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One PostgreSQL server over SQL, where every wait has an end even when the server is frozen.

PRIVATE to the collection.
"""

from __future__ import annotations

import secrets
import select
import typing as t

from .clock import Deadline
from .errors import RecoveryError, Unreachable, failed, require

try:
    import psycopg2 as _psycopg2
    from psycopg2 import extensions

    psycopg2: t.Any = _psycopg2
except ImportError:  # connect() names the missing library
    psycopg2 = None

_NO_LOGIN = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "authentication failed for user",
)
_REJECTS = ("no pg_hba.conf entry", "pg_hba.conf rejects connection")
_REFUSES = ("Connection refused", "No such file or directory")
_READ_ONLY = "25006"

_PROBE = """
INSERT INTO dr.probe (region, token) VALUES (%s, %s)
ON CONFLICT (region) DO UPDATE SET token = excluded.token, written_at = clock_timestamp()
"""


class LoginFailed(RecoveryError):
    """The server answers; the role, its password or the database is wrong. Nothing is known of its state."""


class WriteRefused(RecoveryError):
    """The server, or its absence, refused: nobody listens there, logins are rejected, or it is read-only."""


class SqlFailed(RecoveryError):
    """The server answered a statement with an error. `sqlstate` is its code."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Postgres:
    """One connection, opened when it is first needed; every statement commits by itself."""

    def __init__(self, options: t.Mapping[str, t.Any], region: str = "") -> None:
        self.options = options
        where = f"{options['host']}:{options.get('port') or 5432}"
        self.name = f"PostgreSQL of {region} ({where})" if region else f"PostgreSQL at {where}"
        self._connection: t.Any = None

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, query: str, values: t.Sequence[t.Any] = (), timeout: float | None = None) -> list[tuple[t.Any, ...]]:
        """Run one statement and return its rows; `timeout` seconds, the connection's own when left out.

        Raises Unreachable, LoginFailed, WriteRefused (logins rejected, read-only) or SqlFailed. After Unreachable it
        is unknown whether a write took place.
        """
        deadline = Deadline(timeout or self._patience)
        try:
            connection = self._open()
            cursor = connection.cursor()
            cursor.execute(query, values or None)
            await_idle(connection, deadline)
            return list(cursor.fetchall()) if cursor.description else []
        except TimeoutError:
            self.close()
            raise Unreachable(
                failed("ask", self.name, f"no answer within {deadline.seconds:g} s", "Check the server.")
            ) from None
        except psycopg2.Error as error:
            self.close()
            raise self._explained(error) from None

    def row(self, query: str, values: t.Sequence[t.Any] = (), timeout: float | None = None) -> tuple[t.Any, ...]:
        """Return the only row of a query that always has one."""
        return self.rows(query, values, timeout)[0]

    def probe_write(self, region: str) -> str:
        """Commit one row into the probe table and return its token. Raises as rows() does."""
        token = secrets.token_hex(8)
        self.rows("SET synchronous_commit = local")  # a synchronous standby that is away makes no primary read-only
        self.rows(_PROBE, (region, token))
        return token

    @property
    def _patience(self) -> float:
        return float(self.options.get("connect_timeout") or 3) + 2.0

    def _open(self) -> t.Any:
        if self._connection is not None:
            return self._connection
        require(psycopg2, "psycopg2-binary")
        deadline = Deadline(float(self.options.get("connect_timeout") or 3))
        given = {name: self.options.get(name) for name in ("host", "port", "user", "passfile", "sslmode", "options")}
        connection = psycopg2.connect(
            dbname=self.options.get("database") or "postgres",
            application_name="disaster_recovery",
            async_=True,
            **{name: value for name, value in given.items() if value},
        )
        try:
            await_idle(connection, deadline)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _explained(self, error: t.Any) -> RecoveryError:
        reason = " ".join(str(error).split())
        code = getattr(error, "pgcode", None) or ""
        user = self.options["user"]
        if any(words in reason for words in _REJECTS):
            return WriteRefused(
                failed("log in to", self.name, reason, "It is fenced, or its pg_hba.conf lacks a rule.")
            )
        if not code and any(words in reason for words in _REFUSES):
            return WriteRefused(failed("connect to", self.name, reason, "Start it, or correct host and port."))
        if not code and any(words in reason for words in _NO_LOGIN):
            remedy = f"Correct the password of {user} in the passfile, the role, or the database."
            return LoginFailed(failed("log in to", f"{self.name} as {user}", reason, remedy))
        if code == _READ_ONLY:
            return WriteRefused(failed("write to", self.name, reason))
        if not code or code.startswith(("57P", "08", "53")):
            return Unreachable(failed("ask", self.name, reason, "Check the server and the network to it."))
        remedy = "Apply roles/lease_guard/files/schema.sql." if code in ("42P01", "3F000", "42501") else ""
        return SqlFailed(failed("ask", self.name, reason, remedy), code)


def await_idle(connection: t.Any, deadline: Deadline) -> None:
    """Drive an asynchronous connection until it is idle. Raises TimeoutError at the deadline."""
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        wanted = ([connection], []) if state == extensions.POLL_READ else ([], [connection])
        readable, writable, _failed = select.select(*wanted, [], deadline.remaining)
        if not readable and not writable:
            raise TimeoutError
