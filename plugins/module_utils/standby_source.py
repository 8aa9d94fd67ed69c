# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The primary that a cluster is to follow: who it is, its history, its WAL, its replication slots.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .clock import Deadline, wait_until
from .errors import RecoveryError, Refused, Unreachable, failed, require
from .postgres_state import ServerState
from .sql import LoginFailed, Postgres, SqlFailed, WriteRefused, await_idle
from .standby_timelines import Stretch, parse_history

try:
    import psycopg2 as _psycopg2
    from psycopg2.extras import PhysicalReplicationConnection

    psycopg2: t.Any = _psycopg2
except ImportError:  # identify() names the missing library
    psycopg2 = None

#: where the option `source` is not the primary that can be followed
_DOWN = "Its region may still be down: bring the primary back, or correct the option source."
_FORBIDDEN = "42501"
GRANTS = "Grant the role dr_rewind to it: roles/lease_guard/files/schema.sql makes that role."


@dataclass(frozen=True)
class Slot:
    """A physical replication slot of the source."""

    name: str
    active: bool = False
    #: the WAL that it kept is gone: it serves nobody any more
    lost: bool = False


@dataclass(frozen=True)
class Primary:
    """What the source said of itself. Positions are as PostgreSQL writes them."""

    system_identifier: str
    timeline: int
    lsn: str
    history: list[Stretch] = field(default_factory=list)


class Source:
    """One connection to the primary for SQL, and one over the replication protocol where only that answers."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        self.options = options
        self.sql = Postgres(options)
        self.name = f"the source, {self.sql.name}"

    def close(self) -> None:
        """End the connection."""
        self.sql.close()

    def primary(self) -> Primary:
        """Return who it is. Raises Unreachable when it is down, Refused when it is not a primary."""
        try:
            state = ServerState.of(self.sql)
        except LoginFailed:
            raise
        except (Unreachable, WriteRefused) as error:
            raise Unreachable(failed("ask", self.name, error, _DOWN)) from error
        if state.in_recovery:
            remedy = "Name the primary, or promote it first."
            raise Refused(failed("follow", self.name, "it is not a primary, it is a standby itself", remedy))
        found = identify(self.options)
        return Primary(found.system_identifier, found.timeline, found.lsn, source_history(self.options, found.timeline))

    def lsn(self) -> str:
        """Return up to where it has written now."""
        return str(self.sql.row("SELECT pg_current_wal_flush_lsn()")[0])

    def slot(self, name: str) -> Slot | None:
        """Return a slot of that name, None without one. Raises Refused when it is of another kind."""
        query = "SELECT slot_type, active, coalesce(wal_status = 'lost', false) FROM pg_replication_slots"
        for kind, active, lost in self.sql.rows(query + " WHERE slot_name = %s", (name,)):
            if kind != "physical":
                raise Refused(failed("use", f"slot {name} of {self.name}", f"it is {kind}", "Give another slot."))
            return Slot(name, active, lost)
        return None

    def make_slot(self, name: str) -> None:
        """Create a slot that keeps WAL from now on, in place of one that lost its own."""
        present = self.slot(name)
        if present is not None and present.lost:
            self.sql.rows("SELECT pg_drop_replication_slot(%s)", (name,))
        if present is None or present.lost:
            self.sql.rows("SELECT pg_create_physical_replication_slot(%s, true)", (name,))

    def has_segment(self, segment: str) -> bool:
        """Return whether the source still has one WAL file. Needs the grants of dr_rewind."""
        return self._granted("SELECT (pg_stat_file('pg_wal/' || %s, true)).size IS NOT NULL", (segment,))[0] is True

    def need_checkpoint(self, timeline: int, timeout: float) -> None:
        """Let its control file know its timeline, from which pg_rewind learns it; a promotion leaves that for later.

        Takes the grants of dr_rewind on PostgreSQL 15 and newer; an older one is waited for. Raises TimedOut.
        """
        query = "SELECT timeline_id FROM pg_control_checkpoint()"
        if int(self.sql.row(query)[0]) < timeline:
            try:
                self.sql.rows("CHECKPOINT", timeout=timeout)
            except SqlFailed as error:
                if error.sqlstate != _FORBIDDEN:
                    raise
        what = f"a checkpoint of {self.name} on timeline {timeline}"
        wait_until(lambda: int(self.sql.row(query)[0]) >= timeline, timeout, what, interval=0.5)

    def size(self) -> int:
        """Return the bytes of its databases."""
        return int(self._granted("SELECT sum(pg_database_size(oid)) FROM pg_database")[0])

    def tablespaces(self) -> list[str]:
        """Return the directories of its tablespaces."""
        rows = self.sql.rows("SELECT pg_tablespace_location(oid) FROM pg_tablespace")
        return [str(location) for (location,) in rows if location]

    def _granted(self, query: str, values: t.Sequence[t.Any] = ()) -> tuple[t.Any, ...]:
        try:
            return self.sql.row(query, values, 60.0)
        except SqlFailed as error:
            if error.sqlstate != _FORBIDDEN:
                raise
            raise Refused(failed("ask", f"{self.name} as {self.options['user']}", error, GRANTS)) from error


def identify(options: t.Mapping[str, t.Any]) -> Primary:
    """Return who answers, by the replication protocol: also a fenced server does. The history is left out."""
    system, timeline, lsn, _database = _replication(options, "IDENTIFY_SYSTEM")
    return Primary(str(system), int(timeline), str(lsn))


def source_history(options: t.Mapping[str, t.Any], timeline: int) -> list[Stretch]:
    """Return the server's history up to `timeline`."""
    text = _replication(options, f"TIMELINE_HISTORY {int(timeline)}")[1] if timeline > 1 else ""
    return parse_history(timeline, bytes(text).decode() if isinstance(text, memoryview | bytes) else str(text))


def _replication(options: t.Mapping[str, t.Any], command: str) -> tuple[t.Any, ...]:
    """Run one command of the replication protocol, which returns one row."""
    require(psycopg2, "psycopg2-binary")
    what = f"PostgreSQL at {options['host']}:{options.get('port') or 5432} over the replication protocol"
    deadline = Deadline(float(options.get("connect_timeout") or 3) + 2.0)
    names = ("host", "port", "user", "passfile", "sslmode")
    given = {name: options.get(name) for name in names if options.get(name)}
    connection = None
    try:
        connection = psycopg2.connect(
            connection_factory=PhysicalReplicationConnection, async_=1, application_name="disaster_recovery", **given
        )
        await_idle(connection, deadline)
        cursor = connection.cursor()
        cursor.execute(command)
        await_idle(connection, deadline)
        return tuple(cursor.fetchone())
    except TimeoutError:
        raise Unreachable(failed("ask", what, f"no answer within {deadline.seconds:g} s", _DOWN)) from None
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        remedy = f"Let {options['user']} replicate (role attribute, pg_hba.conf, password), and see that it runs."
        raise RecoveryError(failed("ask", what, reason, remedy)) from None
    finally:
        if connection is not None:
            connection.close()
