# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions that only look: read only, with an end to every statement and to every wait for a lock.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .clock import Deadline
from .errors import TimedOut
from .sql import Postgres, SqlFailed

#: what cannot be read because it is damaged or its file is gone
DAMAGED = ("XX001", "XX002", "58P01")
#: what is asked for is not there: table, column, function, schema, type or role, database
MISSING = ("42P01", "42703", "42883", "3F000", "42704", "3D000")
#: seconds that we wait longer than the server was told to work
_GRACE = 5.0


@dataclass(frozen=True)
class Limits:
    """Seconds that one statement, one wait for a lock, and the whole run may take."""

    statement: float
    lock: float
    deadline: Deadline


class Session:
    """One database of a cluster. `catalogue` hides the users' schemas, so that every name is written in full."""

    def __init__(self, options: t.Mapping[str, t.Any], database: str, limits: Limits, catalogue: bool = True) -> None:
        self.database = database
        self._limits = limits
        self._server = Postgres({**options, "database": database, "options": _startup(limits, catalogue)})

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._server.close()

    def rows(self, query: str, values: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
        """Run one statement and return its rows.

        Raises as Postgres.rows() does, and TimedOut once the run's time is over.
        """
        remaining = self._limits.deadline.remaining
        if remaining <= 0:
            raise TimedOut(f"The run's {self._limits.deadline.seconds:g} s are over. Raise timeout.")
        try:
            return self._server.rows(query, values, timeout=min(self._limits.statement + _GRACE, remaining))
        except UnicodeDecodeError as error:
            self.close()
            raise SqlFailed(f"Failed to read what database {self.database} holds: {error}.", "22021") from None

    def row(self, query: str, values: t.Sequence[t.Any] = ()) -> tuple[t.Any, ...]:
        """Return the only row of a query that always has one."""
        return self.rows(query, values)[0]


class Writer:
    """The one session that changes something: it adds an extension to a scratch cluster."""

    def __init__(self, options: t.Mapping[str, t.Any], database: str, limits: Limits) -> None:
        self._server = Postgres({**options, "database": database, "options": _timeouts(limits)})
        self._seconds = limits.statement + _GRACE

    def run(self, *statements: str) -> None:
        """Run statements, each committing by itself. Raises as Postgres.rows() does."""
        with self._server as server:
            for statement in statements:
                server.rows(statement, timeout=self._seconds)


def literally(name: str) -> str:
    """Return a quoted name as it stands in a query that takes values."""
    return name.replace("%", "%%")


def _timeouts(limits: Limits) -> str:
    milliseconds = {"statement_timeout": limits.statement, "lock_timeout": limits.lock}
    return " ".join(f"-c {name}={max(1, round(seconds * 1000))}" for name, seconds in milliseconds.items())


def _startup(limits: Limits, catalogue: bool) -> str:
    settings = {
        "default_transaction_read_only": "on",
        "client_encoding": "UTF8",
        "client_connection_check_interval": "1s",  # what we no longer wait for is not left running
        "row_security": "off",  # rows that a policy hides are an error, not fewer rows
        "timezone": "UTC",
        "datestyle": "ISO",
        "intervalstyle": "postgres",
        "jit": "off",
    }
    if catalogue:
        settings["search_path"] = "pg_catalog"
    return " ".join([_timeouts(limits), *(f"-c {name}={value}" for name, value in settings.items())])
