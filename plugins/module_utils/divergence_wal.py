# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The WAL of a stopped cluster, read by pg_waldump of its own version: streams, so that memory stays constant.

PRIVATE to the collection.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import typing as t
from pathlib import Path

from .divergence_records import Record, RowChange, parse_record
from .errors import RecoveryError, failed
from .postgres_cluster import Cluster, last_words
from .standby_timelines import Stretch, lsn_text, record_end, segment_name, waldump_range

_PAGE = 8192
_SHORT, _LONG = 24, 40  # bytes of a page's header, and of that of a segment's first page
_MULTI_INSERT = 4  # bytes before the offsets
#: what pg_waldump says where the WAL simply ends
_ENDS = ("error in WAL record", "could not find a valid record", "could not find file", "could not locate WAL file")


class Wal:
    """pg_wal of one cluster along its own history. Raises RecoveryError throughout."""

    def __init__(self, cluster: Cluster, history: t.Sequence[Stretch], segment_size: int) -> None:
        self.cluster, self.history, self.segment_size = cluster, history, segment_size
        self.directory = cluster.data / "pg_wal"

    def records(self, start: int, end: int | None = None) -> t.Iterator[Record]:
        """Yield the records that begin in [start, end), in order; without `end` up to the end of the WAL."""
        for piece in self._spans(start, end):
            yield from self._dump(piece)

    def segments(self, start: int, end: int) -> list[Path]:
        """Return the files that hold [start, end), in order; raise RecoveryError when one is missing."""
        found: list[Path] = []
        for piece in self._spans(start, end):
            last = max(piece.begin, (piece.end or piece.begin) - 1) // self.segment_size
            first = piece.begin // self.segment_size
            found.extend(self._file(piece.timeline, number) for number in range(first, last + 1))
        missing = [path.name for path in found if not path.exists()]
        if missing:
            remedy = "Fetch it from the WAL archive into pg_wal, then run again."
            raise RecoveryError(failed("read the WAL of", str(self.cluster.data), f"{missing[0]} is gone", remedy))
        return found

    def has(self, position: int) -> bool:
        """Return whether the segment with this position is still there."""
        pieces = list(self._spans(position, position + 1))
        return bool(pieces) and self._file(pieces[0].timeline, position // self.segment_size).exists()

    def after(self, record: Record) -> int:
        """Return the position right after a record."""
        return record_end(record.lsn, record.length, self.segment_size)

    def offsets(self, record: Record, change: RowChange) -> list[int]:
        """Return the places on its page of the rows of a multi-insert: pg_waldump tells them only since version 16."""
        if change.fresh_page:
            return list(range(1, change.count + 1))
        tail = self._tail(record, _MULTI_INSERT + 2 * change.count)
        return list(struct.unpack(f"<{change.count}H", tail[_MULTI_INSERT:]))

    def _dump(self, piece: Stretch) -> t.Iterator[Record]:
        if piece.end is None and not self._file(piece.timeline, piece.begin // self.segment_size).exists():
            return  # the WAL ends where a segment does
        where = waldump_range(self.directory, piece.timeline, piece.begin, self.segment_size, piece.end)
        command = [self.cluster.program("pg_waldump"), *where]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, **self.cluster.as_owner())
            try:
                for line in t.cast("t.IO[bytes]", process.stdout):
                    record = parse_record(line.decode("utf-8", "replace"))
                    if record is not None:
                        yield record
                process.wait()
            finally:
                process.kill()
                process.wait()
                t.cast("t.IO[bytes]", process.stdout).close()
            said.seek(0)
            error = said.read().decode("utf-8", "replace")
        if process.returncode and (piece.end is not None or not any(words in error for words in _ENDS)):
            what = f"the WAL of {self.cluster.data} from {lsn_text(piece.begin)} on timeline {piece.timeline}"
            remedy = "Fetch what is missing from the WAL archive into pg_wal, then run again."
            raise RecoveryError(failed("read", what, last_words(error), remedy))

    def _file(self, timeline: int, number: int) -> Path:
        return self.directory / segment_name(timeline, number * self.segment_size, self.segment_size)

    def _spans(self, start: int, end: int | None) -> t.Iterator[Stretch]:
        """Yield the pieces of [start, end), each with the timeline whose files hold it.

        A server that changed its timeline copied the segment in which it did: the new timeline's file has all of it.
        """
        size = self.segment_size
        begins = [one.begin // size * size for one in self.history]
        for one, begin, after in zip(self.history, begins, [*begins[1:], None], strict=True):
            ends = [each for each in (after, end) if each is not None]
            first, last = max(begin, start), min(ends, default=None)
            if last is None or first < last:
                yield Stretch(one.timeline, first, last)

    def _parts(self, record: Record) -> t.Iterator[tuple[int, int]]:
        """Yield (position, bytes) of the record's parts: a page's header interrupts it."""
        position, left = record.lsn, record.length
        while left > 0:
            if position % _PAGE == 0:
                position += _LONG if position % self.segment_size == 0 else _SHORT
            size = min(left, _PAGE - position % _PAGE)
            yield position, size
            position, left = position + size, left - size

    def _tail(self, record: Record, size: int) -> bytes:
        """Return the last bytes of a record, which are its own data (without blocks)."""
        body = bytearray()
        for position, length in self._parts(record):
            piece = next(self._spans(position, position + 1))
            with self._file(piece.timeline, position // self.segment_size).open("rb") as file:
                file.seek(position % self.segment_size)
                body += file.read(length)
        return bytes(body[-size:])
