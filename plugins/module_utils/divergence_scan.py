# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the divergent WAL into the store: committed transactions, what they did to rows, and the rest.

A transaction that began before the fork and committed after it is divergent as a whole: the new primary has its rows,
but not its commit. So the scan begins where the oldest of them cannot have begun yet.

PRIVATE to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import divergence_records as wal
from .divergence_records import Record, RowChange
from .divergence_store import Store, pack
from .divergence_wal import Wal

#: filenodes below are of system catalogs, unless the catalog was rewritten; large objects are a catalog with user data
FIRST_USER_OID = 16384
LARGE_OBJECTS = 2613
#: catalogs that ANALYZE and autovacuum write by themselves: pg_statistic, pg_statistic_ext_data
_MAINTENANCE = (2619, 3429)
_ROWS = ("Heap", "Heap2", "Storage")


@dataclass
class Found:
    """What a scan found besides what is in the store. Transaction ids are 64 bits wide."""

    fork: int
    end: int
    #: the scan began here; later than the fork's oldest divergent transaction where the WAL before is gone
    start: int = 0
    complete: bool = True
    #: the first transaction id that the new primary gave to a transaction of its own
    first_new_xid: int | None = None
    transactions: int = 0
    maintenance: int = 0
    prepared: dict[int, str] = field(default_factory=dict)
    #: rows that they would change, without those of their subtransactions
    prepared_rows: dict[int, int] = field(default_factory=dict)
    databases_created: list[tuple[int, int]] = field(default_factory=list)
    databases_dropped: list[tuple[int, int]] = field(default_factory=list)
    last_change: int = 0


class Scan:
    """One reading of the WAL. `next_xid` is the 64-bit id that pg_controldata gives, for the upper half of all."""

    def __init__(self, source: Wal, store: Store, fork: int, next_xid: int) -> None:
        self.wal, self.store, self.reference = source, store, next_xid
        self.found = Found(fork=fork, end=fork)

    def run(self) -> Found:
        """Read from the fork to the end, then what lies before the fork of the transactions that crossed it."""
        for record in self.wal.records(self.found.fork):
            self.found.end = self.wal.after(record)
            self.take(record)
        self._look_back()
        self._settle()
        return self.found

    def full(self, xid: int) -> int:
        """Return the 64-bit form of a transaction id: the one nearest to the cluster's next."""
        distance = (xid - self.reference) & 0xFFFFFFFF
        return self.reference + (distance - (1 << 32) if distance >= 1 << 31 else distance)

    def take(self, record: Record) -> None:
        """Keep what one record says."""
        if record.rmgr in _ROWS:
            self._rows(record)
        elif record.rmgr == "Transaction":
            self._transaction(record)
        elif record.rmgr == "Sequence":
            for relation, _block in record.blocks().values():
                self.store.insert("sequence", self.store.relation_id(relation))
                self.found.last_change = record.lsn
        elif record.rmgr == "XLOG" and record.kind == "FPI":
            for relation, _block in record.blocks().values():
                if relation.filenode >= FIRST_USER_OID:
                    self.store.insert("copied", self.store.relation_id(relation), self.full(record.xid))
        elif record.rmgr == "Database":
            places = wal.directories(record)
            if record.kind == "DROP":
                self.found.databases_dropped.extend(places)
            else:
                self.found.databases_created.append(places[-1])

    def _rows(self, record: Record) -> None:
        if record.rmgr == "Storage" and record.kind == "CREATE":
            for relation in wal.paths(record.about):
                self.store.insert("created", self.store.relation_id(relation), self.full(record.xid))
            return
        change = wal.row_change(record)
        if change is not None:
            self._change(record, change)

    def _change(self, record: Record, change: RowChange) -> None:
        xid, relation = self.full(record.xid), change.relation
        if relation.filenode < FIRST_USER_OID and relation.filenode != LARGE_OBJECTS:
            if change.operation != wal.SHRINK:
                self.store.touch_catalog(xid, relation)
            return
        number = self.store.relation_id(relation)
        if change.operation == wal.MULTI_INSERT:
            block = (change.new or (0, 0))[0]
            for offset in self.wal.offsets(record, change):
                self.store.insert("event", record.lsn, wal.INSERT, xid, number, None, pack((block, offset)))
            return
        operation = "taken_back" if change.taken_back else change.operation
        old = change.old
        self.store.insert("event", record.lsn, operation, xid, number, pack(old), pack(change.new))

    def _transaction(self, record: Record) -> None:
        if record.kind == "PREPARE":
            self.found.prepared[self.full(record.xid)] = wal.prepared_name(record)
            return
        if record.kind == "ABORT_PREPARED":
            self.found.prepared.pop(self.full(int(record.about.split(":", 1)[0])), None)
            return
        commit = wal.commit_of(record)
        if commit is None or not commit.xid:
            return
        top = self.full(commit.xid)
        self.found.prepared.pop(top, None)
        for xid in (top, *map(self.full, commit.subtransactions)):
            self.store.insert("committed", xid, top, commit.committed_at, record.lsn)
        for relation in commit.dropped:
            self.store.insert("dropped", self.store.relation_id(relation), top)

    def _look_back(self) -> None:
        """Find where the new primary's own transaction ids begin, and read what crossed the fork."""
        oldest = self.store.db.execute("SELECT min(xid) FROM committed").fetchone()[0]
        needed = min([*([oldest] if oldest else []), *self.found.prepared], default=None)
        self.found.start, self.found.complete = self._beginning(needed)
        crossing = Crossing(self)
        for record in self.wal.records(self.found.start, self.found.fork):
            crossing.take(record)
        self.found.first_new_xid = crossing.first_new_xid

    def _beginning(self, needed: int | None) -> tuple[int, bool]:
        """Return a position before the fork where no transaction from `needed` on has begun, and whether it is one."""
        size = self.wal.segment_size
        position = self.found.fork - self.found.fork % size
        start = self.found.fork
        while position >= 0 and self.wal.has(position):
            for record in self.wal.records(position, min(start, position + size)):
                stated = wal.next_xid(record)
                if stated is not None and (needed is None or self.full(stated) <= needed):
                    return record.lsn, True
            start, position = position, position - size
        return start, False

    def _settle(self) -> None:
        """Keep the events of committed transactions only, and count the transactions that wrote something."""
        store, found = self.store, self.found
        for xid in found.prepared:
            found.prepared_rows[xid] = store.number("SELECT count(*) FROM event WHERE xid = ?", xid)
        store.db.execute("CREATE INDEX event_order ON event (relation, lsn, new)")
        store.db.execute("DELETE FROM event WHERE operation <> 'shrink' AND xid NOT IN (SELECT xid FROM committed)")
        for table in ("catalog", "created", "copied"):
            store.db.execute(f"DELETE FROM {table} WHERE xid NOT IN (SELECT xid FROM committed)")
        marks = ", ".join(map(str, _MAINTENANCE))
        wrote = (
            "SELECT c.top AS top, c.lsn AS lsn FROM committed c WHERE c.xid IN (SELECT xid FROM event)"
            f" OR c.xid IN (SELECT xid FROM catalog WHERE filenode NOT IN ({marks}))"
            " OR c.xid IN (SELECT xid FROM created) OR c.xid IN (SELECT xid FROM dropped)"
        )
        found.transactions = store.number(f"SELECT count(DISTINCT top) FROM ({wrote})")
        last = store.number(f"SELECT max(lsn) FROM ({wrote})")
        found.last_change = max(found.last_change, last)
        found.maintenance = store.number(
            f"SELECT count(DISTINCT xid) FROM catalog WHERE filenode IN ({marks})"
            f" AND xid NOT IN (SELECT xid FROM event) AND xid NOT IN"
            f" (SELECT xid FROM catalog WHERE filenode NOT IN ({marks}))"
        )


class Crossing:
    """Reads what lies before the fork: only committed divergent transactions count, and ids that were given out."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.first_new_xid: int | None = None

    def take(self, record: Record) -> None:
        """Take one record."""
        stated = wal.next_xid(record)
        seen = [self.scan.full(stated)] if stated is not None else []
        if record.xid:
            xid = self.scan.full(record.xid)
            seen.append(xid + 1)
            if record.rmgr in (*_ROWS, "XLOG") and self.scan.store.has_committed(xid):
                self.scan.take(record)
        if seen:
            self.first_new_xid = max(self.first_new_xid or 0, *seen)
