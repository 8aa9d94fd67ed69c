# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rung `structure`: every page of every relation is read, every table and B-tree index is checked by amcheck.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .errors import RecoveryError
from .verify_extensions import Extensions
from .verify_heap import Heap
from .verify_index import Index
from .verify_pages import Pages
from .verify_pool import Pool, Task
from .verify_rung import Rung
from .verify_session import DAMAGED, Session

_RELATIONS = """
SELECT c.oid::int8, c.oid::regclass::text, c.relkind::text, c.relpersistence::text, coalesce(a.amname, ''),
       c.relisshared, coalesce(i.indisvalid AND i.indisready AND i.indislive, true), coalesce(i.indrelid::int8, 0),
       coalesce(i.indrelid::regclass::text, ''), i.indpred IS NOT NULL, pg_relation_filepath(c.oid),
       pg_relation_size(c.oid, 'main'), pg_relation_size(c.oid, 'fsm'), pg_relation_size(c.oid, 'vm'),
       pg_relation_size(c.oid, 'init')
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'm', 't', 'S', 'i') AND c.relpersistence <> 't'
"""

_INVALID_PARTED = """
SELECT c.oid::regclass::text, i.indrelid::regclass::text
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind = 'I' AND NOT i.indisvalid
"""

_SERVER = """
SELECT current_setting('server_version_num')::int, current_setting('block_size')::int,
       current_setting('data_checksums') = 'on', pg_is_in_recovery(),
       (SELECT coalesce(sum(checksum_failures), 0)::int8 FROM pg_stat_database)
"""
OLDEST = 140000


@dataclass(frozen=True)
class Server:
    """What a whole cluster has in common. `failures` counts pages with a wrong checksum since its statistics began."""

    version: int
    block: int
    checksums: bool
    in_recovery: bool
    failures: int

    @classmethod
    def of(cls, session: Session) -> Server:
        """Ask it. Raises as Session.rows() does."""
        return cls(*session.row(_SERVER))


@dataclass
class Relation:
    """One relation with files. Sizes are bytes by fork; `table` and `table_oid` are an index's."""

    oid: int
    name: str
    kind: str
    persistence: str
    access: str
    shared: bool
    valid: bool
    table_oid: int
    table: str
    partial: bool
    file: str
    sizes: dict[str, int]
    #: a valid B-tree index over all rows of a table: it knows where each of them has to be
    witness: bool = False
    witnessed: bool = False
    damaged: bool = False
    #: some of its pages have no line: they were vacuumed, never used, or lost
    has_empty_pages: bool = False

    @classmethod
    def of(cls, row: t.Sequence[t.Any]) -> Relation:
        """Build from a row of the query."""
        values: list[t.Any] = [*row[:11], dict(zip(("main", "fsm", "vm", "init"), row[11:], strict=True))]
        return cls(*values)

    @property
    def is_heap(self) -> bool:
        """Whether amcheck's verify_heapam can look at it."""
        return self.kind in "rmt" and self.access == "heap"

    @property
    def is_btree(self) -> bool:
        return self.kind == "i" and self.access == "btree"

    @property
    def described(self) -> str:
        """How a reason names it."""
        kinds = {"r": "table", "m": "materialized view", "t": "TOAST table", "S": "sequence", "i": "index"}
        return f"{kinds[self.kind]} {self.name}" + (f" of {self.table}" if self.table else "")


def structure(
    rung: Rung, pool: Pool, databases: t.Sequence[str], extensions: Extensions, scratch: bool, checksums: str
) -> None:
    """Check every database. `checksums` is `required` or `optional`."""
    catalogues: dict[str, list[Relation]] = {}
    server: Server | None = None
    for database in databases:
        with pool.connect(database) as session:
            try:
                server = server or Server.of(session)
                catalogues[database] = _relations(rung, session, server, first=not catalogues)
            except RecoveryError as error:
                rung.caught(f"database {database}", error, failing=DAMAGED)
    if server is None:
        return
    _explain(rung, server, checksums)
    if server.version < OLDEST:
        rung.unverified("the server is older than PostgreSQL 14: its amcheck knows no tables")
        return
    checks = [(database, _Check(rung, pool, database, relations, server)) for database, relations in catalogues.items()]
    ready = [check for database, check in checks if check.prepare(extensions)]
    pool.run(rung, [task for check in ready for task in check.page_tasks()])
    pool.run(rung, [task for check in ready for task in check.heap_tasks()])
    pool.run(rung, [task for check in ready for task in check.index_tasks(scratch)])
    _compare_failures(rung, pool, databases[0], server)


class _Check:
    """One database's tasks. Pages come first: what cannot be read is not checked any further."""

    def __init__(self, rung: Rung, pool: Pool, database: str, relations: list[Relation], server: Server) -> None:
        self.rung, self.pool, self.database = rung, pool, database
        self.relations, self.server = relations, server
        self.schemas: dict[str, str] = {}

    def prepare(self, extensions: Extensions) -> bool:
        """Find the extensions; without either nothing here can be told."""
        with self.pool.connect(self.database) as session:
            for name in ("amcheck", "pageinspect"):
                try:
                    self.schemas[name] = extensions.schema(session, name)
                except RecoveryError as error:
                    self.rung.unverified(f"{self.database}: {error}")
        return bool(self.schemas)

    def page_tasks(self) -> t.Iterator[Task]:
        if "pageinspect" not in self.schemas:
            return
        for one in self.relations:
            pages = Pages(self.rung, self.database, one, self.schemas["pageinspect"], self.server.block)
            yield from pages.tasks()

    def heap_tasks(self) -> t.Iterator[Task]:
        if "amcheck" not in self.schemas:
            return
        for one in self.relations:
            if one.is_heap and not one.damaged:
                yield from Heap(self.rung, self.database, one, self.schemas["amcheck"], self.server.block).tasks()

    def index_tasks(self, scratch: bool) -> t.Iterator[Task]:
        if "amcheck" not in self.schemas:
            return
        tables = {one.oid: one for one in self.relations}
        for one in self.relations:
            table = tables.get(one.table_oid)
            if one.is_btree and one.valid and not one.damaged and table is not None and not table.damaged:
                index = Index(self.rung, self.database, one, table, self.server.block, self.schemas)
                parents = scratch and not self.server.in_recovery
                size = one.sizes["main"] + table.sizes["main"]
                yield Task(self.database, one.described, one.oid, size, index.check(parents))


def _relations(rung: Rung, session: Session, server: Server, first: bool) -> list[Relation]:
    """Return the relations that can be read, shared ones with the first database only; name invalid indexes."""
    found = [Relation.of(row) for row in session.rows(_RELATIONS)]
    found = [one for one in found if first or not one.shared]
    if server.in_recovery:
        found = [one for one in found if one.persistence != "u"]
    for one in found:
        if not one.valid:
            _invalid(rung, session.database, one.name, one.table)
    for name, table in session.rows(_INVALID_PARTED):
        _invalid(rung, session.database, name, table)
    tables = {one.oid: one for one in found}
    for one in sorted(found, key=lambda one: one.sizes["main"]):
        table = tables.get(one.table_oid)
        if one.is_btree and one.valid and not one.partial and table is not None and not table.witnessed:
            one.witness = table.witnessed = True
    return found


def _invalid(rung: Rung, database: str, index: str, table: str) -> None:
    rung.failed(f"{database}: index {index} of {table} is invalid. REINDEX INDEX CONCURRENTLY {index}.")


def _explain(rung: Rung, server: Server, checksums: str) -> None:
    rung.details["page_checksums"] = "on" if server.checksums else "off"
    rung.details["server_version"] = server.version
    if not server.checksums and checksums == "required":
        rung.unverified(
            "the cluster has no page checksums, a flipped bit in a row cannot be told. Enable them in the source "
            "(pg_checksums --enable while it is stopped), or say expectations.page_checksums: optional."
        )


def _compare_failures(rung: Rung, pool: Pool, database: str, server: Server) -> None:
    """What the server itself counted while everything was read."""
    with pool.connect(database) as session:
        try:
            more = Server.of(session).failures - server.failures
        except RecoveryError as error:
            rung.caught("the server's count of wrong page checksums", error)
            return
    rung.details["checksum_failures"] = more
    if more > 0:
        rung.failed(f"the server counted {more} reads of pages with a wrong checksum (pg_stat_database)")
