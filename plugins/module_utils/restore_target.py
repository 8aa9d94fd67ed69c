# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new database: may it be made here, is it half made, made, marked as finished, dropped.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .clock import to_iso, utc_now
from .divergence_catalog import identifier, literal
from .errors import RecoveryError, Refused, failed
from .logical_globals import statements
from .logical_messages import Problem
from .restore_marker import FINISHED, RESTORING, Marker, split_comment
from .restore_needs import Needed
from .sql import Postgres, SqlFailed

#: databases that others rely on
_RESERVED = ("template0", "template1", "postgres")
#: of the advisory lock that a run holds on the name of its database
_LOCK = 1685221234
_SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
       rolsuper, rolcreatedb OR rolsuper, current_user::text, current_database()::text,
       pg_size_bytes(current_setting('maintenance_work_mem'))
FROM pg_roles WHERE rolname = current_user
"""
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_DATABASE = """
SELECT oid::int8, shobj_description(oid, 'pg_database'), pg_get_userbyid(datdba)::text, datallowconn,
       pg_has_role(datdba, 'USAGE'), pg_encoding_to_char(encoding)
FROM pg_database WHERE datname = %s
"""
_OBJECTS = """
SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_type WHERE oid >= 16384) + (SELECT count(*) FROM pg_namespace WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_extension WHERE oid >= 16384) + (SELECT count(*) FROM pg_largeobject_metadata)
"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY gid LIMIT 20"
_SESSIONS = """
SELECT format('%%s (%%s, %%s)', pid, coalesce(usename, '-'), coalesce(nullif(application_name, ''), 'no name'))
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
ORDER BY pid LIMIT 20
"""


@dataclass(frozen=True)
class Server:
    """One look at the server, as the role that restores. `memory` is maintenance_work_mem in bytes."""

    version: str
    version_num: int
    in_recovery: bool
    superuser: bool
    may_create: bool
    user: str
    home: str
    memory: int
    system: str


@dataclass(frozen=True)
class Found:
    """The database of that name, as it was found. `own` is its comment without our mark."""

    oid: int
    own: str
    marker: Marker | None
    empty: bool
    encoding: str


class Target:
    """A name on a server. Holds a session on another database, and with it the lock on the name."""

    def __init__(self, options: t.Mapping[str, t.Any], database: str, timeout: float) -> None:
        self.options, self.database, self.timeout = options, database, timeout
        self.sql = Postgres({**options, "options": "-c idle_session_timeout=0 -c default_transaction_read_only=off"})
        self.created = False
        self.marker: Marker | None = None
        self.own = ""

    def look(self) -> Server:
        """Raises Refused where nothing can be created; Unreachable and the like as Postgres.rows()."""
        row = self.sql.row(_SERVER)
        try:
            system = str(self.sql.row(_SYSTEM)[0])
        except SqlFailed:
            system = "unknown"
        server = Server(*(*row, system))
        if server.in_recovery:
            self._refuse("the server is a standby", "Name the primary in postgres.host.")
        if server.home == self.database:
            self._refuse("postgres.database is the same", "Name another one there, as postgres, to work from.")
        return server

    def _refuse(self, cause: str, remedy: str, verb: str = "restore into") -> t.NoReturn:
        raise Refused(failed(verb, f"database {self.database}", cause, remedy))

    def hold(self) -> None:
        """Hold the name until the session ends, however it ends. Raises Refused while another run has it."""
        if not self.sql.row("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK, self.database))[0]:
            self._refuse("another run is at work on it", "Wait for it, or name another database.")

    def find(self, server: Server) -> Found | None:
        """Return what is there under the name."""
        rows = self.sql.rows(_DATABASE, (self.database,))
        if not rows:
            return None
        oid, comment, owner, connects, mine, encoding = rows[0]
        own, marker = split_comment(comment, server.system, oid)
        if not connects:  # template0, or a quarantined one: nothing of it can be seen
            return Found(oid, own, marker, False, encoding)
        if not (mine or server.superuser):
            self._refuse(f"it exists and belongs to {owner}", f"Use a role that is a member of {owner}.")
        with Postgres({**self.options, "database": self.database}) as inside:
            return Found(oid, own, marker, not inside.row(_OBJECTS, timeout=60.0)[0], encoding)

    def require_usable(self, found: Found, source: str, dumped: str | None, into_existing: str | None) -> None:
        """Raise Refused unless the database may take a restore: empty, or told by name; nobody in it."""
        if found.marker and found.marker.state != FINISHED and found.marker.created:
            if found.marker.source != source:
                remedy = "Finish that one, or drop the database by hand."
                self._refuse("it is half restored, from another dump or with other options", remedy)
            self._require_nobody(sessions=False)
            return
        if self.database in _RESERVED or self.database == dumped:
            what = "is the dump's own" if self.database == dumped else "is the server's own"
            remedy = "Restore beside it, into a new database; then swap."
            self._refuse(f"it exists and {what} database", remedy)
        if into_existing is not None and into_existing != self.database:
            self._refuse(f"into_existing is {into_existing!r}", "Type the name of the database there.")
        if not found.empty and into_existing != self.database:
            remedy = "Name a new database; or type its name in into_existing to add to what is there."
            self._refuse("it exists and is not empty", remedy)
        self._require_nobody(sessions=True)

    def _require_nobody(self, sessions: bool) -> None:
        prepared = [row[0] for row in self.sql.rows(_PREPARED, (self.database,))]
        if prepared:
            remedy = f"In it: COMMIT PREPARED {literal(prepared[0])}, or ROLLBACK PREPARED; each by whoever owns it."
            self._refuse(f"prepared transactions hold locks in it: {', '.join(prepared)}", remedy)
        there = [row[0] for row in self.sql.rows(_SESSIONS, (self.database,))] if sessions else []
        if there:
            remedy = "End them, or name a new database."
            self._refuse(f"sessions are open in it: {', '.join(there)}", remedy)

    def create(
        self, server: Server, source: str, needed: Needed, no_tablespaces: bool, roles: t.Container[str]
    ) -> None:
        """Create it from template0 and mark it as half restored. Raises RecoveryError."""
        self._run(f"CREATE DATABASE {identifier(self.database)} WITH {creation(needed, no_tablespaces)}")
        self.created = True
        self.own = split_comment(needed.comment, "", 0)[0]
        if needed.owner and needed.owner in roles:
            self._run(f"ALTER DATABASE {identifier(self.database)} OWNER TO {identifier(needed.owner)}")
        self.mark(server, source, RESTORING)

    def adopt(self, server: Server, source: str, own: str) -> None:
        """Mark a database that was there. It is never dropped."""
        self.own = own
        self.mark(server, source, RESTORING)

    def mark(self, server: Server, source: str, state: str) -> None:
        """Write the mark into the comment; the last statement of a restore, and durable."""
        oid = self.sql.row("SELECT oid::int8 FROM pg_database WHERE datname = %s", (self.database,))[0]
        self.marker = Marker(state, source, server.system, oid, self.created, to_iso(utc_now()))
        self.comment(self.marker.in_comment(self.own))

    def comment(self, text: str) -> None:
        """Replace the database's comment."""
        self._run(f"COMMENT ON DATABASE {identifier(self.database)} IS {literal(text) if text else 'NULL'}")

    def properties(self, needed: Needed) -> list[Problem]:
        """Give it the settings and grants that the dump's database had. Each failure is a problem."""
        problems = []
        called = re.compile(rf"\bDATABASE {re.escape(needed.called)}(?=\s)")
        renamed = f"DATABASE {identifier(self.database)}".replace("\\", "\\\\")
        for text in needed.properties:
            for statement in statements(text):
                try:
                    self.sql.rows(called.sub(renamed, statement, count=1), timeout=60.0)
                except SqlFailed as error:
                    problems.append(Problem.of_statement("database properties", statement, str(error)))
        return problems

    def drop(self) -> None:
        """Drop it, with whatever an earlier run left at work in it. Raises RecoveryError."""
        self._run(f"DROP DATABASE IF EXISTS {identifier(self.database)} WITH (FORCE)")
        self.created = False

    def _run(self, statement: str) -> None:
        try:
            self.sql.rows(statement, timeout=min(600.0, self.timeout))
        except SqlFailed as error:
            what = f"database {self.database}"
            if error.sqlstate == "42501":
                cause = f"permission denied to run {' '.join(statement.split()[:2])}"
                remedy = f"Use a role that may do that; {self.options['user']} may not."
                raise Refused(failed("restore into", what, cause, remedy)) from None
            raise RecoveryError(failed("restore into", what, error)) from None


def creation(needed: Needed, no_tablespaces: bool) -> str:
    """Return how the database is created: as the dump's was, as far as the dump tells."""
    told = needed.creation or (f"ENCODING = {literal(needed.encoding)}" if needed.encoding else "")
    told = re.sub(r"TEMPLATE = \S+ ?", "", told)
    if no_tablespaces:
        told = re.sub(r' ?TABLESPACE = (?:"(?:[^"]|"")+"|\S+)', "", told)
    return f"TEMPLATE = template0 {told}".strip()
