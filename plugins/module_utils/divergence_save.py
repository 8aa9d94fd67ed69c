# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saves what the store says: one database after the other, one table after the other.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from .divergence_catalog import DATABASES, RELATIONS, Table, identifier
from .divergence_effects import Effects
from .divergence_files import Directory, file_name
from .divergence_records import Relation
from .divergence_rows import UNTOLD, RowWriter, Saved
from .divergence_scan import Found, Scan
from .divergence_session import Session, SessionFailed
from .divergence_source import Source
from .divergence_store import Store, pack
from .errors import RecoveryError
from .postgres_cluster import Cluster

_ATTRIBUTES = 1249  # pg_attribute
_CATALOGS = 16384  # relations of an older number are PostgreSQL's own

Other = dict[str, t.Any]


@dataclass
class Report:
    """What was saved, without any row's content."""

    tables: list[dict[str, t.Any]] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)


@dataclass
class Saver:
    """One cluster's divergence, to be written into one directory."""

    cluster: Cluster
    scan: Scan
    store: Store
    source: Source
    effects: dict[int, Effects]
    timeout: float

    @property
    def found(self) -> Found:
        """Return what the WAL says besides rows."""
        return self.scan.found

    def save(self, directory: Directory) -> Report:
        """Write all rows. The cluster has to be stopped in order."""
        report = Report()
        with Session(self.cluster, "template1", self.timeout) as session:
            databases = {int(row[0] or 0): (row[1] or b"").decode() for row in session.rows(DATABASES)}
        touched = self._databases()
        for oid, name in sorted(databases.items()):
            if oid in touched or name not in ("template0", "template1"):
                _Database(self, name, oid, directory, report).save()
        for oid in sorted(touched - set(databases) - {0}):
            report.others.append(self._dropped_database(oid))
        return report

    def _databases(self) -> set[int]:
        query = "SELECT db FROM relation UNION SELECT db FROM catalog"
        return {db for (db,) in self.store.rows(query)}

    def _dropped_database(self, oid: int) -> Other:
        mine = [self.effects[n] for n in self.effects if self.store.relation(n).database == oid]
        return {
            "kind": "dropped_database",
            "database": self.source.database_names().get(oid, str(oid)),
            "changes": sum(one.inserted + one.updated + one.deleted for one in mine),
        }


class _Database:
    def __init__(self, saver: Saver, name: str, oid: int, directory: Directory, report: Report) -> None:
        self.saver, self.store, self.name, self.oid = saver, saver.store, name, oid
        self.directory, self.report = directory, report
        self.created = {
            self.store.relation(n) for (n,) in self.store.rows("SELECT relation FROM created")
            if self.store.relation(n).database == oid
        }  # fmt: skip
        self.created_oids = {relation.filenode for relation in self.created}
        self.is_new = oid in {database for _spc, database in saver.found.databases_created}
        self.tables: dict[Relation, Table] = {}

    def save(self) -> None:
        with Session(self.saver.cluster, self.name, self.saver.timeout) as self.session:
            for row in self.session.rows(RELATIONS):
                table = Table.from_json(row[0] or b"")
                if table.filenode:
                    self.tables[Relation(table.tablespace, table.database_oid, table.filenode)] = table
            self.by_oid = {table.oid: table for table in self.tables.values()}
            self._complete()
            for owner, relations in self._mine():
                self._table(owner, relations)
            self._others()

    def _complete(self) -> None:
        """Find the rows that no record of their own tells of: in files that were copied or made as a whole."""
        for relation, table in self.tables.items():
            if table.kind != "r" or table.is_catalog:
                continue
            number = self.store.known(relation)
            copied = number is not None and self.store.number("SELECT count(*) FROM copied WHERE relation = ?", number)
            if self.is_new or (copied and relation in self.created):
                self._take_all(relation, table)
            elif relation in self.created and self._existed(table):
                self._mark_copies(relation)
            if not self.saver.found.complete:
                self._take_crossing(relation, table)

    def _take_all(self, relation: Relation, table: Table) -> None:
        """Take the rows of a file that was copied: those of divergent transactions; all, of a new table."""
        number = self.store.relation_id(relation)
        everything = self.is_new or not self._existed(table)
        versions = 0 if everything else UNTOLD
        for ctid, xmin in self.session.rows(f"SELECT t.ctid, t.xmin FROM ONLY {table.sql_name} t"):
            xid = self.saver.scan.full(int(xmin or 0))
            if everything or self.store.has_committed(xid):
                block, offset = (ctid or b"").strip(b"()").split(b",")
                self.store.insert("written", number, pack((int(block), int(offset))), xid, None, versions)

    def _take_crossing(self, relation: Relation, table: Table) -> None:
        """Take the rows of transactions whose beginning is in no WAL any more: each row names its transaction."""
        query = "SELECT min(xid), max(xid) FROM committed WHERE xid < ?"
        first, last = next(self.store.rows(query, self.saver.found.first_new_xid or self.saver.scan.reference))
        if first is None:
            return
        crossed = f"((t.xmin::text::int8 - {first & 0xFFFFFFFF}) & 4294967295) <= {last - first}"
        for ctid, xmin in self.session.rows(f"SELECT t.ctid, t.xmin FROM ONLY {table.sql_name} t WHERE {crossed}"):
            xid = self.saver.scan.full(int(xmin or 0))
            if self.store.has_committed(xid):
                block, offset = (ctid or b"").strip(b"()").split(b",")
                number = self.store.relation_id(relation)
                self.store.insert("written", number, pack((int(block), int(offset))), xid, None, UNTOLD)

    def _mark_copies(self, relation: Relation) -> None:
        """Mark what ALTER TABLE copied into a new file: it changed the catalog of columns, which TRUNCATE does not."""
        number = self.store.known(relation)
        query = (
            "SELECT xid FROM created WHERE relation = ?"
            " AND xid IN (SELECT xid FROM catalog WHERE filenode = ? AND db = ?)"
        )
        for (xid,) in list(self.store.rows(query, number, _ATTRIBUTES, self.oid)):
            self.store.db.execute(
                "UPDATE written SET versions = ? WHERE relation = ? AND xid = ? AND origin IS NULL",
                (UNTOLD, number, xid),
            )

    def _existed(self, table: Table) -> bool:
        """Whether the table is older than the fork: a new table's first file has the number of the table itself."""
        return not self.is_new and table.oid not in self.created_oids

    def _mine(self) -> list[tuple[Table | None, list[Relation]]]:
        """Return the tables with changes, each with its files; without a table the files of one that is gone."""
        query = "SELECT DISTINCT relation FROM (SELECT relation FROM written UNION SELECT relation FROM deleted)"
        found: dict[int | None, list[Relation]] = {}
        for (number,) in list(self.store.rows(query)):
            relation = self.store.relation(number)
            if relation.database == self.oid:
                table = self.tables.get(relation) or self._former(relation)
                if table is None or (table.kind == "r" and not table.is_catalog):
                    found.setdefault(table.oid if table else None, []).append(relation)
        return [(self.by_oid.get(oid) if oid else None, found[oid]) for oid in sorted(found, key=lambda oid: oid or 0)]

    def _former(self, relation: Relation) -> Table | None:
        """Return the table whose file this was before it was rewritten or truncated."""
        there = self._there(relation)
        return self.by_oid.get(there.oid if there else relation.filenode)

    def _there(self, relation: Relation) -> Table | None:
        """Return the new primary's table of this file."""
        try:
            return self.saver.source.tables(self.name).get(relation)
        except RecoveryError:
            return None

    def _table(self, table: Table | None, relations: list[Relation]) -> None:
        if table is None:
            for relation in relations:
                self._gone(relation)
            return
        self._write(table, relations)

    def _gone(self, relation: Relation) -> None:
        """Report a file of a table that is gone: a dropped one, or one between two rewrites."""
        there, counts = self._there(relation), self._effects(relation)
        if there is not None and (there.kind != "r" or there.is_catalog):
            return
        if there is not None:
            self._write(there, [relation], dropped=True)
        elif relation not in self.created or counts.deleted:
            what = {"kind": "lost_storage", "database": self.name, "filenode": relation.filenode}
            self.report.others.append({**what, **vars(counts)})

    def _write(self, table: Table, relations: list[Relation], dropped: bool = False) -> None:
        name = f"rows/{file_name(self.name, table.schema, table.name)}"
        writer = RowWriter(self.store, self.session, self.saver.source, self.saver.found.first_new_xid)
        saved, counts = Saved(), Effects()
        with self.directory.open(name) as file:
            for relation in relations:
                present = None if dropped or self.tables.get(relation) is not table else table
                saved.add(writer.write(file, relation, present))
                mine = self._effects(relation)
                counts.gone += mine.gone + (0 if present else mine.inserted)
                counts.updates += mine.updates
        self.report.tables.append(
            {
                "database": self.name,
                "schema": table.schema,
                "table": table.name,
                "partition_of": ".".join(table.root) if table.root else None,
                "key": list(table.key),
                **vars(saved),
                "gone_again": counts.gone,
                "updates": counts.updates,
                "dropped": dropped,
                "file": name,
            }
        )

    def _effects(self, relation: Relation) -> Effects:
        number = self.store.known(relation)
        return self.saver.effects.get(number or 0) or Effects()

    def _others(self) -> None:
        add = self.report.others.append
        for relation, table in self.tables.items():
            where = {"database": self.name, "schema": table.schema, "name": table.name}
            number = self.store.known(relation)
            if (
                table.kind == "S"
                and number
                and self.store.number("SELECT count(*) FROM sequence WHERE relation = ?", number)
            ):
                add({"kind": "sequence", **where, **self._sequence(table)})
            elif table.kind == "m" and relation in self.created:
                add({"kind": "materialized_view", **where})
            elif table.kind == "r" and not table.is_catalog and relation in self.created:
                add({"kind": self._what(relation, table), **where})
        self._dropped()
        self._ddl()
        unlogged = [f"{one.schema}.{one.name}" for one in self.tables.values() if _is_unlogged(one)]
        if unlogged:
            add({"kind": "unlogged", "database": self.name, "tables": sorted(unlogged)})

    def _what(self, relation: Relation, table: Table) -> str:
        if not self._existed(table):
            return "created_table"
        number = self.store.known(relation)
        copied = self.store.number("SELECT count(*) FROM copied WHERE relation = ?", number)
        copied = copied or self.store.number(
            "SELECT count(*) FROM written WHERE relation = ? AND versions = ?", number, UNTOLD
        )
        return "rewritten_table" if copied else "truncated_table"

    def _sequence(self, table: Table) -> dict[str, t.Any]:
        query = f"SELECT last_value, is_called FROM {identifier(table.schema)}.{identifier(table.name)}"
        try:
            ((last, called),) = list(self.session.rows(query))
        except (SessionFailed, ValueError) as error:
            return {"unresolved": str(error)}
        return {"last_value": int(last or 0), "is_called": called == b"t"}

    def _dropped(self) -> None:
        """Name the tables that were there at the fork and are not any more, as far as the new primary knows them."""
        for (number,) in list(self.store.rows("SELECT DISTINCT relation FROM dropped")):
            relation = self.store.relation(number)
            if relation.database != self.oid or relation in self.created:
                continue
            there = self._there(relation)
            if there is not None and there.kind in "rSm" and there.oid not in self.by_oid:
                about = {"database": self.name, "schema": there.schema, "name": there.name}
                self.report.others.append({"kind": "dropped_table" if there.kind == "r" else "dropped", **about})

    def _ddl(self) -> None:
        names = {table.filenode: table.name for table in self.tables.values() if table.oid < _CATALOGS}
        query = (
            "SELECT c.top, c.at, k.filenode, sum(k.changes) FROM catalog k JOIN committed c ON c.xid = k.xid"
            " WHERE k.db = ? GROUP BY c.top, c.at, k.filenode ORDER BY c.top"
        )
        lines: dict[int, dict[str, t.Any]] = {}
        for top, at, filenode, changes in self.store.rows(query, self.oid):
            one = lines.setdefault(top, {"xid": top, "committed_at": at, "catalogs": {}})
            one["catalogs"][names.get(filenode, str(filenode))] = changes
        noise = {"pg_statistic", "pg_statistic_ext_data"}
        real = [one for one in lines.values() if set(one["catalogs"]) - noise]
        if real:
            name = f"rows/{file_name(self.name, 'ddl')}"
            with self.directory.open(name) as file:
                for one in real:
                    file.write(json.dumps(one).encode() + b"\n")
            catalogs = sorted({catalog for one in real for catalog in one["catalogs"]} - noise)
            about = {"transactions": len(real), "catalogs": catalogs, "file": name}
            self.report.others.append({"kind": "ddl", "database": self.name, **about})


def _is_unlogged(table: Table) -> bool:
    return table.kind == "r" and table.persistence == "u"
