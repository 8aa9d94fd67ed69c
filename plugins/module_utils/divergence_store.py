# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the divergent WAL says, in a temporary database on disk: memory stays constant however much was written.

It holds numbers only (positions, transactions, places of rows), never what a row contains.

PRIVATE to the collection.
"""

from __future__ import annotations

import sqlite3
import typing as t

from .divergence_records import Relation

Slot = tuple[int, int]

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE relation (id INTEGER PRIMARY KEY, spc INT, db INT, filenode INT, UNIQUE (spc, db, filenode));
CREATE TABLE event (lsn INT, operation TEXT, xid INT, relation INT, old INT, new INT);
CREATE TABLE committed (xid INTEGER PRIMARY KEY, top INT, at TEXT, lsn INT);
CREATE TABLE created (relation INT, xid INT);
CREATE TABLE dropped (relation INT, xid INT);
CREATE TABLE copied (relation INT, xid INT, UNIQUE (relation, xid));
CREATE TABLE sequence (relation INT, UNIQUE (relation));
CREATE TABLE catalog (xid INT, db INT, filenode INT, changes INT, UNIQUE (xid, db, filenode));
CREATE TABLE written (relation INT, slot INT, xid INT, origin INT, versions INT, PRIMARY KEY (relation, slot))
  WITHOUT ROWID;
CREATE TABLE deleted (relation INT, slot INT, xid INT, PRIMARY KEY (relation, slot)) WITHOUT ROWID;
"""


def pack(slot: Slot | None) -> int | None:
    """Return a row's place, (block, offset), as one number that sorts alike."""
    return None if slot is None else (slot[0] << 16) | slot[1]


def unpack(number: int) -> Slot:
    """Return what pack() was given."""
    return number >> 16, number & 0xFFFF


class Store:
    """The working tables. `with Store() as store` removes them in the end, and so does the end of the process."""

    def __init__(self) -> None:
        self.db = sqlite3.connect("", isolation_level=None)
        self.db.executescript(_SCHEMA)
        self.db.execute("BEGIN")
        self._ids: dict[Relation, int] = {}
        self._relations: dict[int, Relation] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.db.close()

    def relation_id(self, relation: Relation) -> int:
        """Return the number under which a relation's file is known here."""
        if relation not in self._ids:
            made = self.db.execute("INSERT INTO relation (spc, db, filenode) VALUES (?, ?, ?)", relation)
            self._ids[relation] = int(made.lastrowid or 0)
            self._relations[self._ids[relation]] = relation
        return self._ids[relation]

    def relation(self, number: int) -> Relation:
        """Return the relation of a number."""
        return self._relations[number]

    def known(self, relation: Relation) -> int | None:
        """Return the number of a relation that the WAL names; None for another."""
        return self._ids.get(relation)

    def insert(self, table: str, *values: t.Any) -> None:
        """Add one row; a second one of the same key is ignored."""
        marks = ", ".join("?" * len(values))
        self.db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)

    def has_committed(self, xid: int) -> bool:
        """Return whether a transaction is one that committed after the fork."""
        return self.db.execute("SELECT 1 FROM committed WHERE xid = ?", (xid,)).fetchone() is not None

    def touch_catalog(self, xid: int, relation: Relation) -> None:
        """Count one change of a system catalog."""
        self.db.execute(
            "INSERT INTO catalog VALUES (?, ?, ?, 1)"
            " ON CONFLICT (xid, db, filenode) DO UPDATE SET changes = changes + 1",
            (xid, relation.database, relation.filenode),
        )

    def rows(self, query: str, *values: t.Any) -> t.Iterator[tuple[t.Any, ...]]:
        """Yield the rows of a query."""
        yield from self.db.execute(query, values)

    def number(self, query: str, *values: t.Any) -> int:
        """Return the one number that a query asks for, 0 where it is null."""
        return int(self.db.execute(query, values).fetchone()[0] or 0)
