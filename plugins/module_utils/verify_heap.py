# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amcheck's verify_heapam on one table: every row, and every value that is kept out of line.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .verify_pool import Task
from .verify_rung import Rung
from .verify_session import Session, literally

if t.TYPE_CHECKING:
    from .verify_structure import Relation

#: pages that one statement looks at
CHUNK = 65536
#: findings that are named, a chunk
MOST = 10

_VERIFY = """
SELECT blkno, offnum, attnum, msg, count(*) OVER ()
FROM {schema}.verify_heapam(%s::int8::oid::regclass, false, true, 'none', %s, %s) LIMIT 10
"""
_COLUMN = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum = %s"


class Heap:
    """The rows of one table."""

    def __init__(self, rung: Rung, database: str, relation: Relation, schema: str, block: int) -> None:
        self._rung, self._database, self._relation = rung, database, relation
        self._query = _VERIFY.format(schema=literally(schema))
        self._block = block

    def tasks(self) -> t.Iterator[Task]:
        """One task a chunk; the last one goes to wherever the table ends by then."""
        blocks = self._relation.sizes["main"] // self._block
        for first in range(0, max(blocks, 1), CHUNK):
            last = first + CHUNK - 1 if first + CHUNK < blocks else None
            size = (min(first + CHUNK, blocks) - first) * self._block
            yield Task(
                self._database, self._relation.described, self._relation.oid, size, self._verifier(first or None, last)
            )

    def _verifier(self, first: int | None, last: int | None) -> t.Callable[[Session], None]:
        def verify(session: Session) -> None:
            found = session.rows(self._query, (self._relation.oid, first, last))
            for block, line, attribute, message, _total in found:
                column = self._column(session, attribute)
                where = f"page {block}, line {line}" + (f", column {column}" if column else "")
                self._rung.failed(f"{self._database}: {self._relation.described}: {where}: {message}")
            if found and found[0][4] > MOST:
                more = found[0][4] - MOST
                self._rung.failed(f"{self._database}: {self._relation.described}: and {more} more findings of amcheck")

        return verify

    def _column(self, session: Session, attribute: int | None) -> str:
        if attribute is None:
            return ""
        # verify_heapam counts columns from 0
        found = session.rows(_COLUMN, (self._relation.oid, attribute + 1))
        return found[0][0] if found else ""
