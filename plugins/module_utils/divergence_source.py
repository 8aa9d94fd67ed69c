# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new primary: its timelines, and what it still has of rows as they were at the fork.

Both servers are physical copies up to the fork: a row that was there then stands at the same place in a table's file
on both, until the new primary's own writes move it. A row found there whose transaction is older than the
fork is that row.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .divergence_catalog import DATABASES, RELATIONS, Table
from .divergence_records import Relation
from .errors import RecoveryError
from .sql import Postgres
from .standby_source import identify, source_history
from .standby_timelines import Stretch

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

    def history(self) -> tuple[str, list[Stretch]]:
        """Return its system identifier and its timelines, over the replication protocol. Raises RecoveryError."""
        found = identify(self.options)
        return found.system_identifier, source_history(self.options, found.timeline)

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
