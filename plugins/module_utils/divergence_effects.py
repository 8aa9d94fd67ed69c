# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the divergent transactions did to each row in the end: written, deleted, or gone again within the divergence.

Operations on one row follow each other in the WAL in the order of their commits, because a row is locked until the
transaction that changed it ends. So one pass in the order of the WAL gives each row's whole story.

PRIVATE to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import divergence_records as wal
from .divergence_store import Store

_LIVE = "SELECT origin, versions FROM written WHERE relation = ? AND slot = ?"


@dataclass
class Effects:
    """One relation's counts. `gone`: rows inserted and deleted again, `updates`: how many updates there were."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    gone: int = 0
    updates: int = 0


def settle(store: Store) -> dict[int, Effects]:
    """Fill the store's tables `written` and `deleted` from its events; return the counts by relation number."""
    found: dict[int, Effects] = {}
    query = "SELECT relation, operation, xid, old, new FROM event ORDER BY relation, lsn, new"
    reading = store.db.cursor()
    for relation, operation, xid, old, new in reading.execute(query):
        counts = found.setdefault(relation, Effects())
        if operation == wal.SHRINK:
            counts.gone += _forget_from(store, relation, old)
            continue
        if operation == wal.INSERT:
            store.db.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?, NULL, 0)", (relation, new, xid))
            continue
        live = store.db.execute(_LIVE, (relation, old)).fetchone()
        origin, versions = live or (old, 0)
        if live:
            store.db.execute("DELETE FROM written WHERE relation = ? AND slot = ?", (relation, old))
        if operation == wal.UPDATE:
            counts.updates += 1
            written = (relation, new, xid, origin, versions + 1)
            store.db.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?, ?, ?)", written)
        elif operation == wal.DELETE and origin is not None:
            store.db.execute("INSERT OR REPLACE INTO deleted VALUES (?, ?, ?)", (relation, origin, xid))
        elif operation == wal.DELETE:
            counts.gone += 1
    _count(store, found)
    return found


def _forget_from(store: Store, relation: int, slot: int) -> int:
    """Forget the rows of pages that were cut off; returns how many of them the divergence had inserted."""
    gone = store.number(
        "SELECT count(*) FROM written WHERE relation = ? AND slot >= ? AND origin IS NULL", relation, slot
    )
    store.db.execute("DELETE FROM written WHERE relation = ? AND slot >= ?", (relation, slot))
    return gone


def _count(store: Store, found: dict[int, Effects]) -> None:
    query = "SELECT relation, sum(origin IS NULL), sum(origin IS NOT NULL) FROM written GROUP BY relation"
    for relation, inserted, updated in store.rows(query):
        found[relation].inserted, found[relation].updated = inserted, updated
    for relation, deleted in store.rows("SELECT relation, count(*) FROM deleted GROUP BY relation"):
        found[relation].deleted = deleted
