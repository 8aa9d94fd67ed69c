# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a sequence would hand out a number again that its column already holds.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import verify_facts_queries as queries
from .verify_session import Session, literally

_STATE = """
SELECT s.last_value, s.is_called, p.seqincrement, p.seqcycle FROM {name} s, pg_sequence p
WHERE p.seqrelid = %s::regclass
"""


@dataclass(frozen=True)
class Numbering:
    """A sequence and the column that has gone furthest of those that it numbers."""

    sequence: str
    column: str
    #: the next number, and how far the column has gone (None: it is empty)
    next: int
    furthest: int | None
    step: int
    cycle: bool

    @property
    def is_behind(self) -> bool:
        """Whether the next number is not beyond all that are in use. One that cycles may be anywhere."""
        if self.furthest is None or self.cycle:
            return False
        return self.next <= self.furthest if self.step > 0 else self.next >= self.furthest


def numbered(session: Session) -> dict[str, Numbering]:
    """Return every sequence that numbers a column. Raises as Session.rows() does."""
    found: dict[str, Numbering] = {}
    for sequence, table, column in session.rows(queries.NUMBERED):
        one = _numbering(session, sequence, table, column)
        if sequence not in found or one.is_behind:
            found[sequence] = one
    return found


def _numbering(session: Session, sequence: str, table: str, column: str) -> Numbering:
    last, called, step, cycle = session.row(_STATE.format(name=literally(sequence)), (sequence,))
    extreme = "max" if step > 0 else "min"
    furthest = session.row(f"SELECT {extreme}({column}) FROM {table}")[0]
    return Numbering(
        sequence=sequence,
        column=f"{table}.{column}",
        next=last + step if called else last,
        furthest=None if furthest is None else int(furthest),
        step=step,
        cycle=cycle,
    )


def compare(
    session: Session, expected: t.Mapping[str, t.Any] | None, ignored: t.Callable[[str], bool]
) -> t.Iterator[str]:
    """Yield what is wrong: numbers that would come twice, and sequences that are behind where they were.

    A column that was ahead of its sequence in the source already is as it was, and nothing is said.
    """
    found = numbered(session)
    for name, one in found.items():
        was_behind = expected is not None and (expected.get(name) or {}).get("behind")
        if one.is_behind and not was_behind and not ignored(name):
            yield (
                f"sequence {name} is behind: its next number is {one.next}, and {one.column} has {one.furthest}. "
                f"SELECT setval('{name}', {one.furthest})."
            )
    if expected is None:
        return
    now = dict(session.rows(queries.SEQUENCES))
    for name, before in expected.items():
        if name not in now or name in found or before["cycle"] or before["last"] is None or ignored(name):
            continue
        last, step = now[name]["last"], now[name]["step"]
        if last is None or (last < before["last"] if step > 0 else last > before["last"]):
            where = "its start" if last is None else last
            yield f"sequence {name} is behind: it is at {where}, and was at {before['last']}"
