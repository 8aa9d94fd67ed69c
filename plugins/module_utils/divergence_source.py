# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new primary: its timelines, and what it still has of rows as they were at the fork.

Both servers are physical copies up to the fork: a row that was there then stands at the same place in a table's file
on both, until the new primary's own writes move it. A row found there whose transaction is older than the
fork is that row.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t

from .divergence_catalog import DATABASES, RELATIONS, Table
from .divergence_history import History, parse_history
from .divergence_records import Relation
from .errors import RecoveryError, Unreachable, failed, require
from .sql import Postgres

try:
    import psycopg2 as _psycopg2
    from psycopg2 import extras

    psycopg2: t.Any = _psycopg2
except ImportError:  # history() names the missing library
    psycopg2 = None

Slot = tuple[int, int]

#: rows asked for at once; their content is in memory
CHUNK = 100
_SETTINGS = (
    "SET search_path = pg_catalog", "SET timezone = 'UTC'", "SET \"DateStyle\" = 'ISO, MDY'",
    "SET \"IntervalStyle\" = 'postgres'", "SET bytea_output = 'hex'", "SET extra_float_digits = 1",
    "SET standard_conforming_strings = on", "SET row_security = off", "SET default_transaction_read_only = on",
)  # fmt: skip


class Source:
    """The new primary, asked through one connection a database."""

    def __init__(
        self, options: t.Mapping[str, t.Any], databases: t.Mapping[str, t.Mapping[str, t.Any]], timeout: float
    ) -> None:
        self.options, self.databases, self.timeout = dict(options), databases, timeout
        self._open: dict[str, Postgres] = {}
        self._tables: dict[str, dict[Relation, Table] | RecoveryError] = {}

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        for server in self._open.values():
            server.close()

    def history(self) -> tuple[str, History]:
        """Return its system identifier and its timelines, over the replication protocol. Raises RecoveryError."""
        require(psycopg2, "psycopg2-binary")
        where = f"{self.options['host']}:{self.options.get('port') or 5432}"
        given = {name: self.options.get(name) for name in ("host", "port", "user", "passfile", "sslmode")}
        try:
            opened = contextlib.closing(
                psycopg2.connect(
                    connection_factory=extras.PhysicalReplicationConnection,
                    connect_timeout=int(self.options.get("connect_timeout") or 3),
                    tcp_user_timeout=int(self.timeout * 1000),
                    application_name="disaster_recovery",
                    **{name: value for name, value in given.items() if value},
                )
            )
            with opened as connection, connection.cursor() as cursor:
                cursor.execute("IDENTIFY_SYSTEM")
                system, timeline = cursor.fetchone()[:2]
                if int(timeline) == 1:
                    return str(system), parse_history("", 1)
                cursor.execute(f"TIMELINE_HISTORY {int(timeline)}")
                content = cursor.fetchone()[1]
        except psycopg2.Error as error:
            remedy = "The role needs REPLICATION, and a rule for replication in pg_hba.conf."
            cause = " ".join(str(error).split())
            raise Unreachable(failed("read the timelines of", f"PostgreSQL at {where}", cause, remedy)) from None
        text = bytes(content).decode() if not isinstance(content, str) else content
        return str(system), parse_history(text, int(timeline))

    def in_recovery(self) -> bool:
        """Return whether it is a standby. Raises RecoveryError."""
        return bool(self._server(self.options.get("database") or "postgres").row("SELECT pg_is_in_recovery()")[0])

    def database_names(self) -> dict[int, str]:
        """Return the names of its databases by their ids; none when it cannot be asked."""
        try:
            rows = self._server(self.options.get("database") or "postgres").rows(DATABASES, timeout=self.timeout)
        except RecoveryError:
            return {}
        return {int(oid): name for oid, name, _template in rows}

    def tables(self, database: str) -> dict[Relation, Table]:
        """Return a database's tables by their present files. Raises RecoveryError, the same one each time."""
        if database not in self._tables:
            try:
                rows = self._server(database).rows(RELATIONS, timeout=self.timeout)
                tables = [Table.from_json(text) for (text,) in rows]
                self._tables[database] = {
                    Relation(one.tablespace, one.database_oid, one.filenode): one for one in tables if one.filenode
                }
            except RecoveryError as error:
                self._tables[database] = error
        found = self._tables[database]
        if isinstance(found, RecoveryError):
            raise found
        return found

    def rows_at(self, table: Table, slots: t.Sequence[Slot], first_new_xid: int) -> dict[Slot, str]:
        """Return, as JSON text, the rows at these places that no transaction from `first_new_xid` (64 bits) on wrote.

        Raises RecoveryError when the table cannot be read, or has moved to another file meanwhile.
        """
        places = ",".join(f'"({block},{offset})"' for block, offset in slots)
        query = (
            f"SELECT t.ctid::text, t.xmin::text::int8, {table.row_json()}, pg_relation_filenode({table.oid}::oid)"
            "::int8, txid_snapshot_xmax(txid_current_snapshot())"
            f" FROM ONLY {table.sql_name} t WHERE t.ctid = ANY ('{{{places}}}'::tid[])"
        )
        found = {}
        for place, xid, row, filenode, next_xid in self._server(table.database).rows(query, timeout=self.timeout):
            if filenode != table.filenode:
                return {}
            if (xid - first_new_xid) & 0xFFFFFFFF >= next_xid - first_new_xid:
                block, offset = place.strip("()").split(",")
                found[int(block), int(offset)] = row
        return found

    def _server(self, database: str) -> Postgres:
        if database not in self._open:
            own = {name: value for name, value in (self.databases.get(database) or {}).items() if value is not None}
            server = Postgres({**self.options, **own, "database": database})
            for statement in _SETTINGS:
                server.rows(statement, timeout=self.timeout)
            self._open[database] = server
        return self._open[database]
