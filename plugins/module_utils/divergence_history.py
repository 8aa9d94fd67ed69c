# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timelines: where two histories of one PostgreSQL cluster part, and which timeline a piece of WAL belongs to.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .postgres_state import lsn_number

#: beyond every position
NEVER = 1 << 64

_LINE = re.compile(r"^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)\b")


@dataclass(frozen=True)
class Era:
    """One timeline of a history: it begins at position `begin` and was left at `end`, or is the present one."""

    timeline: int
    begin: int
    end: int = NEVER

    def within(self, start: int, end: int) -> Era:
        """Return the part of it that lies in [start, end)."""
        return Era(self.timeline, max(self.begin, start), min(self.end, end))


History = list[Era]


def lsn_text(position: int) -> str:
    """Return a position as PostgreSQL writes it, for example 0/16B3748."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def parse_history(text: str, timeline: int) -> History:
    """Read a timeline history file; `timeline` is the one that it belongs to. Timeline 1 has an empty one."""
    eras, begin = [], 0
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            eras.append(Era(int(found[1]), begin, lsn_number(found[2])))
            begin = eras[-1].end
    return [*eras, Era(timeline, begin)]


def fork_of(ours: History, theirs: History) -> int | None:
    """Return the position where two histories part; None when they have nothing in common.

    Where both are on one timeline they never parted: the answer is NEVER.
    """
    fork = None
    for mine, other in zip(ours, theirs, strict=False):
        if (mine.timeline, mine.begin) != (other.timeline, other.begin):
            break
        fork = min(mine.end, other.end)
    return fork


def spans(history: History, start: int, end: int = NEVER) -> t.Iterator[Era]:
    """Yield the pieces of [start, end), each with the timeline whose WAL files hold it."""
    for era in history:
        piece = era.within(start, end)
        if piece.begin < piece.end:
            yield piece
