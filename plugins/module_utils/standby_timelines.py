# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where two servers of one system parted: their timeline histories, and where a stopped cluster's WAL ends.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import RecoveryError, failed
from .postgres_cluster import Cluster, ControlData, last_words
from .postgres_state import lsn_number

_LONG_PAGE_HEADER, _PAGE_HEADER, _PAGE = 40, 24, 8192
_RECORD = re.compile(r"len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*\d+, lsn: ([0-9A-F]+/[0-9A-F]+)")
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_LAST = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+):")


def lsn_text(number: int) -> str:
    """Write a number as a position in the WAL, for example 0/16B3748."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


@dataclass(frozen=True)
class Stretch:
    """One timeline of a history: from `begin` up to `end`, None for the last one."""

    timeline: int
    begin: int
    end: int | None


def parse_history(timeline: int, text: str) -> list[Stretch]:
    """Read a timeline history file; `timeline` is the one that it leads to. Its absence is an empty text."""
    stretches, begin = [], 0
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) >= 2:
            end = lsn_number(words[1])
            stretches.append(Stretch(int(words[0]), begin, end))
            begin = end
    return [*stretches, Stretch(timeline, begin, None)]


def fork_of(ours: t.Sequence[Stretch], theirs: t.Sequence[Stretch]) -> int | None:
    """Return up to where both histories are one; None where neither has left the other's last timeline.

    Raises ValueError when they have nothing in common.
    """
    shared: tuple[Stretch, Stretch] | None = None
    for mine, other in zip(ours, theirs, strict=False):
        if (mine.timeline, mine.begin) != (other.timeline, other.begin):
            break
        shared = mine, other
        if mine.end != other.end:
            break
    if shared is None:
        raise ValueError("no common timeline")
    ends = [stretch.end for stretch in shared if stretch.end is not None]
    return min(ends, default=None)


def local_history(cluster: Cluster, timeline: int) -> list[Stretch]:
    """Return the cluster's own history up to `timeline`, from its pg_wal."""
    if timeline == 1:
        return parse_history(1, "")
    path = cluster.data / "pg_wal" / f"{timeline:08X}.history"
    try:
        return parse_history(timeline, path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        remedy = "Restore the file from the WAL archive, or copy the primary (method copy)."
        raise RecoveryError(failed("read", str(path), error.strerror, remedy)) from error


def own_timeline(cluster: Cluster, control: ControlData) -> int:
    """Return the timeline that the cluster is on. A standby's control file learns late what its receiver wrote."""
    found = [control.timeline]
    if control.state == "in archive recovery":
        names = (entry.name for entry in os.scandir(cluster.data / "pg_wal"))
        found += [int(name[:8], 16) for name in names if _SEGMENT.fullmatch(name)]
    return max(found)


def wal_end(cluster: Cluster) -> str:
    """Return where the cluster's WAL ends: after the last record that a stopped server would replay.

    Reads only. Raises RecoveryError where the WAL cannot be read from the last checkpoint on.
    """
    control = cluster.control()
    own = local_history(cluster, own_timeline(cluster, control))[-1]
    begin, size = max(lsn_number(control.redo), own.begin), control.segment_size
    start = lsn_text(begin)
    where = waldump_range(cluster.data / "pg_wal", own.timeline, begin, size)
    done = cluster.run("pg_waldump", "--quiet", *where, check=False, timeout=1800)
    last = _LAST.search(done.stderr)
    if last is not None and last[1] != "0/0":
        where = waldump_range(cluster.data / "pg_wal", own.timeline, lsn_number(last[1]), size)
        found = _RECORD.findall(cluster.run("pg_waldump", "-n", "1", *where, check=False).stdout)
    else:  # the last segment is full, and the one after it was never made
        found = _RECORD.findall(_last_segment(cluster, own.timeline, begin, size))
    if not found:
        remedy = "Restore the missing WAL from the archive, or copy the primary (method copy)."
        raise RecoveryError(failed("read the WAL of", f"{cluster.data} from {start}", last_words(done.stderr), remedy))
    length, lsn = found[-1]
    return lsn_text(record_end(lsn_number(lsn), int(length), control.segment_size))


def waldump_range(directory: Path, timeline: int, start: int, segment_size: int, end: int | None = None) -> list[str]:
    """Return pg_waldump's arguments for [start, end) of a timeline, without `end` up to the last file in a row.

    The files are named: left to itself, pg_waldump takes the segments' size from whichever file it comes across first,
    and one that the server made ahead of its use is all zeros.
    """
    first = segment_name(timeline, start, segment_size)
    if end is None:
        found, until = last_in_row(directory, timeline, start, segment_size), []
        last = found.name if found else first
    else:
        last, until = segment_name(timeline, max(start, end - 1), segment_size), ["-e", lsn_text(end)]
    return ["-p", str(directory), "-s", lsn_text(start), *until, first, last]


def last_in_row(directory: Path, timeline: int, start: int, segment_size: int) -> Path | None:
    """Return the last of the files that are there in a row from `start` on; None where not even the first is."""
    number, last = start // segment_size, None
    while (path := directory / segment_name(timeline, number * segment_size, segment_size)).exists():
        last, number = path, number + 1
    return last


def _last_segment(cluster: Cluster, timeline: int, start: int, segment_size: int) -> str:
    """Print the records of the last segment in a row of those that are there."""
    last = last_in_row(cluster.data / "pg_wal", timeline, start, segment_size)
    return cluster.run("pg_waldump", str(last), check=False).stdout if last else ""


def segment_name(timeline: int, position: int, segment_size: int) -> str:
    """Return the name of the WAL file that holds `position` on `timeline`."""
    number, each = position // segment_size, 0x100000000 // segment_size
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def segment_on(history: t.Sequence[Stretch], position: int, segment_size: int) -> str:
    """Return the WAL file that a server of this history reads `position` from: the one of the newest timeline in it."""
    last = (position // segment_size + 1) * segment_size
    timeline = max(stretch.timeline for stretch in history if stretch.begin < last)
    return segment_name(timeline, position, segment_size)


def record_end(start: int, length: int, segment_size: int) -> int:
    """Return where a record of `length` bytes ends, page headers within it and alignment included."""
    position, left = start, length
    while True:
        room = _PAGE - position % _PAGE
        if left <= room:
            break
        left -= room
        position += room
        position += _LONG_PAGE_HEADER if position % segment_size == 0 else _PAGE_HEADER
    return (position + left + 7) // 8 * 8
