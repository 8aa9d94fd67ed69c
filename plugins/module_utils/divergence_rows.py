# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the divergent rows of one table: as they are on the old primary now, and as they were at the fork.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from .divergence_catalog import Table
from .divergence_records import Relation
from .divergence_session import Session, SessionFailed
from .divergence_source import CHUNK, Source
from .divergence_store import Slot, Store, unpack
from .errors import RecoveryError

#: versions of a row that stands in a rewritten file: whether it was inserted or updated cannot be told
UNTOLD = -1


@dataclass
class Saved:
    """What was written of one table. `unresolved`: changes whose content could not be had; each has its line."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    written: int = 0
    unresolved: int = 0
    #: updates of which only the new row is known
    previous_missing: int = 0

    def add(self, other: Saved) -> None:
        """Add another file's counts of the same table."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def total(self) -> int:
        """Lines written."""
        return self.inserted + self.updated + self.deleted + self.written


class _Change(t.NamedTuple):
    slot: Slot
    xid: int
    origin: Slot | None
    versions: int
    committed_at: str | None


class RowWriter:
    """Writes one file of a table's rows: `session` reads the old primary, `source` asks the new one."""

    def __init__(self, store: Store, session: Session, source: Source, first_new_xid: int | None) -> None:
        self.store, self.session, self.source = store, session, source
        self.first_new_xid = first_new_xid

    def write(self, file: t.IO[bytes], relation: Relation, table: Table | None) -> Saved:
        """Write all changes of one file of a table; `table` is the one whose present file it is, if it is one's."""
        saved = Saved()
        number = self.store.known(relation)
        if number is None:
            return saved
        if table is not None:
            for chunk in self._chunks(_WRITTEN, number):
                self._written(file, saved, relation, table, chunk)
        for chunk in self._chunks(_DELETED, number):
            self._deleted(file, saved, relation, chunk)
        return saved

    def _chunks(self, query: str, number: int) -> t.Iterator[list[_Change]]:
        reading = self.store.db.cursor().execute(query, (number,))
        while rows := reading.fetchmany(CHUNK):
            yield [
                _Change(unpack(slot), xid, None if origin is None else unpack(origin), versions, at)
                for slot, xid, origin, versions, at in rows
            ]

    def _written(self, file: t.IO[bytes], saved: Saved, relation: Relation, table: Table, chunk: list[_Change]) -> None:
        before, why_not = self._before(relation, [one.origin for one in chunk if one.origin is not None])
        wanted = {one.slot: one for one in chunk}
        reasons: dict[Slot, str] = {}
        for slot, xid, row, nulls in self._rows(table, list(wanted), reasons):
            change = wanted.get(slot)
            if change is None or xid != change.xid & 0xFFFFFFFF or not _is_utf8(row):
                continue
            del wanted[slot]
            self._line(file, saved, change, row, nulls, before, why_not)
        for change in wanted.values():
            reason = reasons.get(change.slot, "the row cannot be seen at its place")
            self._line(file, saved, change, None, None, before, why_not, reason)

    def _line(
        self, file: t.IO[bytes], saved: Saved, change: _Change, row: bytes | None, nulls: bytes | None,
        before: dict[Slot, bytes], why_not: str, reason: str = "",
    ) -> None:  # fmt: skip
        line: dict[str, t.Any] = {"operation": _operation(change), **_about(change, change.slot)}
        raw: dict[str, bytes | None] = {"row": row}
        if nulls:
            raw["json_nulls"] = nulls
        if change.origin is not None:
            line["updates"] = change.versions
            raw["previous"] = before.get(change.origin)
            if raw["previous"] is None:
                saved.previous_missing += 1
                line["previous_unavailable"] = why_not or _CHANGED_THERE
        if row is None:
            saved.unresolved += 1
            line["unresolved"] = f"content not available: {reason}"
        kind = {"insert": "inserted", "update": "updated", "written": "written"}[line["operation"]]
        setattr(saved, kind, getattr(saved, kind) + 1)
        _write(file, line, raw)

    def _deleted(self, file: t.IO[bytes], saved: Saved, relation: Relation, chunk: list[_Change]) -> None:
        before, why_not = self._before(relation, [one.slot for one in chunk])
        for change in chunk:
            line: dict[str, t.Any] = {"operation": "delete", **_about(change, change.slot)}
            previous = before.get(change.slot)
            saved.deleted += 1
            if previous is None:
                saved.unresolved += 1
                line["unresolved"] = f"content not available: {why_not or _CHANGED_THERE}"
            _write(file, line, {"row": None, "previous": previous})

    def _rows(
        self, table: Table, slots: list[Slot], reasons: dict[Slot, str]
    ) -> t.Iterator[tuple[Slot, int, bytes, bytes | None]]:
        """Yield (place, transaction, row, JSON nulls); where the server refuses several at once, one by one."""
        given = set()
        try:
            for found in self._read(table, slots):
                given.add(found[0])
                yield found
        except SessionFailed as error:
            if len(slots) == 1:
                reasons[slots[0]] = str(error)
                return
            for slot in slots:
                if slot not in given:
                    yield from self._rows(table, [slot], reasons)

    def _read(self, table: Table, slots: list[Slot]) -> t.Iterator[tuple[Slot, int, bytes, bytes | None]]:
        places = ",".join(f'"({block},{offset})"' for block, offset in slots)
        query = (
            f"SELECT t.ctid, t.xmin, {table.row_json()}, {table.json_nulls()} FROM ONLY {table.sql_name} t"
            f" WHERE t.ctid = ANY ('{{{places}}}'::tid[])"
        )
        for ctid, xmin, row, nulls in self.session.rows(query):
            block, offset = (ctid or b"").strip(b"()").split(b",")
            yield (int(block), int(offset)), int(xmin or 0), row or b"", nulls

    def _before(self, relation: Relation, slots: list[Slot]) -> tuple[dict[Slot, bytes], str]:
        """Return the rows as they were at the fork, from the new primary, and why there may be none."""
        if not slots:
            return {}, ""
        if self.first_new_xid is None:
            return {}, "the WAL before the fork is gone, so that the new primary's own rows cannot be told from it"
        try:
            table = self.source.tables(self.session.database).get(relation)
            if table is None:
                return {}, "the new primary has no such file any more: it dropped or rewrote the table"
            found = self.source.rows_at(table, slots, self.first_new_xid)
            return {slot: row.encode() for slot, row in found.items()}, ""
        except RecoveryError as error:
            return {}, str(error)


_WRITTEN = (
    "SELECT w.slot, w.xid, w.origin, w.versions, c.at FROM written w LEFT JOIN committed c ON c.xid = w.xid"
    " WHERE w.relation = ? ORDER BY w.slot"
)
_DELETED = (
    "SELECT d.slot, d.xid, NULL, 0, c.at FROM deleted d LEFT JOIN committed c ON c.xid = d.xid"
    " WHERE d.relation = ? ORDER BY d.slot"
)
_CHANGED_THERE = "the new primary has changed this row too, or removed it"


def _operation(change: _Change) -> str:
    if change.versions == UNTOLD:
        return "written"
    return "insert" if change.origin is None else "update"


def _about(change: _Change, slot: Slot) -> dict[str, t.Any]:
    return {"xid": change.xid, "committed_at": change.committed_at, "ctid": f"({slot[0]},{slot[1]})"}


def _write(file: t.IO[bytes], line: dict[str, t.Any], raw: t.Mapping[str, bytes | None]) -> None:
    """Write one line. Rows go in as PostgreSQL wrote them: a number keeps its digits."""
    file.write(json.dumps(line, ensure_ascii=False).encode()[:-1])
    for name, value in raw.items():
        # line ends in a value of type json stand between its members, never inside a string
        file.write(f', "{name}": '.encode() + (b"null" if value is None else value.translate(_ONE_LINE)))
    file.write(b"}\n")


_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")


def _is_utf8(row: bytes) -> bool:
    try:
        row.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
