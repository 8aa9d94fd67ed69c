# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""WAL records as pg_waldump prints them (PostgreSQL 12 to 18): which tell of rows, transactions and storage.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .postgres_state import lsn_number

#: row operations
INSERT, MULTI_INSERT, UPDATE, DELETE, SHRINK = "insert", "multi_insert", "update", "delete", "shrink"

_RECORD = re.compile(
    r"rmgr: (?P<rmgr>\S+) +len \(rec/tot\): +\d+/ *(?P<length>\d+), tx: +(?P<xid>\d+), "
    r"lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+), prev \S+, desc: (?P<kind>\S+) ?(?P<about>.*)"
)
_BLOCK = re.compile(r"blkref #(\d+): rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+)")
_PATH = re.compile(r"(?:base|global|pg_tblspc/(?P<spc>\d+)/\S+?)/(?:(?P<db>\d+)/)?(?P<rel>\d+)(?=[\s;]|$)")
_OFFSET = re.compile(r"\boff:? (\d+)")
_OLD = re.compile(r"(?:^|old_)off:? (\d+)")
_NEW = re.compile(r"new[_ ]off:? (\d+)")
_FLAGS = re.compile(r"flags:? 0x([0-9A-Fa-f]+)")
_TUPLES = re.compile(r"ntuples: (\d+)|(\d+) tuples")
_SUBXACTS = re.compile(r"subxacts: ([\d ]+)")
_RELS = re.compile(r"\brels: ([^;]*)")
_TIME = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) UTC")
_NEXT_XID = re.compile(r"nextXid (\d+)|\bxid \d+:(\d+)")
_GID = re.compile(r"^gid (.*?): ")
_DIRECTORIES = re.compile(r"(\d+)/(\d+)")

#: XLH_DELETE_IS_SUPER: the row of an INSERT ... ON CONFLICT that met a conflict never was one
_SUPER = 0x08


class Relation(t.NamedTuple):
    """A file of the database: tablespace, database and filenode."""

    tablespace: int
    database: int
    filenode: int


@dataclass(frozen=True)
class Record:
    """What every record has: its position, its length in bytes, its transaction (32 bits, 0 for none)."""

    rmgr: str
    kind: str
    lsn: int
    length: int
    xid: int
    about: str

    def blocks(self) -> dict[int, tuple[Relation, int]]:
        """Return the blocks of tables' and indexes' own files that it names, by their number in the record."""
        found = {}
        for number, spc, db, rel, fork, block in _BLOCK.findall(self.about):
            if not fork or fork == "main":
                found[int(number)] = (Relation(int(spc), int(db), int(rel)), int(block))
        return found


@dataclass(frozen=True)
class RowChange:
    """One row operation. `old` and `new` are (block, offset); a multi-insert has its offsets in `count` and the WAL."""

    operation: str
    relation: Relation
    old: tuple[int, int] | None = None
    new: tuple[int, int] | None = None
    count: int = 1
    #: of a multi-insert: the page was empty before, so that the rows are its first
    fresh_page: bool = False
    #: a row of INSERT ... ON CONFLICT that was taken back
    taken_back: bool = False


@dataclass(frozen=True)
class Commit:
    """A transaction that committed, with its subtransactions, the time, and the files that it dropped."""

    xid: int
    committed_at: str
    subtransactions: tuple[int, ...] = ()
    dropped: tuple[Relation, ...] = field(default=())


def parse_record(line: str) -> Record | None:
    """Read one line of pg_waldump; None for one that is no record."""
    found = _RECORD.match(line)
    if found is None:
        return None
    return Record(
        found["rmgr"], found["kind"], lsn_number(found["lsn"]), int(found["length"]), int(found["xid"]), found["about"]
    )


def row_change(record: Record) -> RowChange | None:
    """Return what a record of rmgr Heap, Heap2 or Storage does to rows; None when it does nothing to them."""
    if record.rmgr == "Storage":
        return _shrink(record) if record.kind == "TRUNCATE" else None
    kind = record.kind.removesuffix("+INIT")
    blocks = record.blocks()
    if not blocks or 0 not in blocks:
        return None
    relation, block = blocks[0]
    if kind == "INSERT":
        return RowChange(INSERT, relation, new=(block, _number(_OFFSET, record)))
    if kind == "MULTI_INSERT":
        many = _TUPLES.search(record.about)
        count = int(many[1] or many[2]) if many else 0
        return RowChange(MULTI_INSERT, relation, new=(block, 0), count=count, fresh_page=record.kind.endswith("+INIT"))
    return _replaced(record, kind, blocks)


def _replaced(record: Record, kind: str, blocks: dict[int, tuple[Relation, int]]) -> RowChange | None:
    relation, block = blocks[0]
    if kind in ("UPDATE", "HOT_UPDATE"):
        old_block = blocks[1][1] if 1 in blocks else block
        return RowChange(UPDATE, relation, old=(old_block, _number(_OLD, record)), new=(block, _number(_NEW, record)))
    if kind == "DELETE":
        flags = _FLAGS.search(record.about)
        taken_back = bool(flags and int(flags[1], 16) & _SUPER)
        return RowChange(DELETE, relation, old=(block, _number(_OFFSET, record)), taken_back=taken_back)
    return None


def commit_of(record: Record) -> Commit | None:
    """Return the transaction that a record of rmgr Transaction commits; None when it commits none."""
    if record.kind not in ("COMMIT", "COMMIT_PREPARED"):
        return None
    xid = record.xid
    if record.kind == "COMMIT_PREPARED":
        xid = int(record.about.split(":", 1)[0])
    at = _TIME.search(record.about)
    subxacts, dropped = _SUBXACTS.search(record.about), _RELS.search(record.about)
    return Commit(
        xid,
        f"{at[1]}T{at[2]}Z" if at else "",
        tuple(map(int, subxacts[1].split())) if subxacts else (),
        tuple(paths(dropped[1])) if dropped else (),
    )


def prepared_name(record: Record) -> str:
    """Return the name under which a record of kind PREPARE keeps its transaction."""
    found = _GID.match(record.about)
    return found[1] if found else ""


def next_xid(record: Record) -> int | None:
    """Return the next transaction id that a checkpoint or a list of running transactions states."""
    if record.kind != "RUNNING_XACTS" and not record.kind.startswith("CHECKPOINT"):
        return None
    found = _NEXT_XID.search(record.about)
    return int(found[1] or found[2]) if found else None


def paths(text: str) -> list[Relation]:
    """Return the main files among the paths below a data directory, for example base/5/16384."""
    found = []
    for match in _PATH.finditer(text):
        default = 1663 if match["db"] else 1664
        found.append(Relation(int(match["spc"] or default), int(match["db"] or 0), int(match["rel"])))
    return found


def directories(record: Record) -> list[tuple[int, int]]:
    """Return the (tablespace, database) pairs that a record of rmgr Database names."""
    return [(int(spc), int(db)) for spc, db in _DIRECTORIES.findall(record.about)]


def _shrink(record: Record) -> RowChange | None:
    found = paths(record.about.split(" to ", 1)[0])
    blocks = re.search(r" to (\d+) blocks", record.about)
    return RowChange(SHRINK, found[0], old=(int(blocks[1]), 0)) if found and blocks else None


def _number(pattern: re.Pattern[str], record: Record) -> int:
    found = pattern.search(record.about)
    if found is None:
        raise ValueError(f"{record.rmgr} {record.kind} {record.about!r}")
    return int(found[1])
