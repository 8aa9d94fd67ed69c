# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amcheck on one B-tree index, with every row of its table looked up in it; and the way back, from its entries to rows.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .sql import SqlFailed
from .verify_rung import Rung
from .verify_session import DAMAGED, Session, literally

if t.TYPE_CHECKING:
    from .verify_structure import Relation

#: pages of an index that one statement reads
CHUNK = 32768
#: what amcheck raises for an index that is not what it has to be, beside what is damaged
_WRONG = (*DAMAGED, "XX000")

_HAS_UNIQUE = "SELECT to_regprocedure(%s) IS NOT NULL"

# An entry of a leaf page has to point at a line that its table's page has, used or not. Its first entry is the
# page's upper bound, unless it is the rightmost one. What is marked dead is about to go.
_ENTRIES = """
FROM generate_series(%(first)s::int8, %(last)s::int8) AS page,
     LATERAL {schema}.bt_page_stats(%(index)s, page) AS stats,
     LATERAL {schema}.bt_page_items(%(index)s, page) AS item, unnest(coalesce(item.tids, ARRAY[item.htid])) AS place
WHERE stats.type IN ('l', 'r') AND stats.btpo_level = 0 AND (stats.btpo_next = 0 OR item.itemoffset > 1)
  AND NOT item.dead
"""
#: to take each entry's place apart costs most: where all pages have lines only the last place matters
_LAST = "SELECT max(place)::text, pg_relation_size(%(table)s::regclass) / %(size)s" + _ENTRIES
_CLAIMED = "SELECT (place::text::point)[0]::int8 AS block, max((place::text::point)[1]::int4) AS line"
_DANGLING = (
    f"WITH claimed AS MATERIALIZED ({_CLAIMED} {_ENTRIES} GROUP BY 1)"
    + """
SELECT block, line FROM claimed
WHERE CASE WHEN block >= pg_relation_size(%(table)s::regclass) / %(size)s THEN true
      ELSE line > (SELECT greatest(0, (lower - 24) / 4)
                   FROM {schema}.page_header({schema}.get_raw_page(%(table)s, block)))
      END
ORDER BY 1 LIMIT 10
"""
)


class Index:
    """One valid B-tree index of a table that can be read."""

    def __init__(
        self, rung: Rung, database: str, index: Relation, table: Relation, block: int, schemas: t.Mapping[str, str]
    ) -> None:
        self._rung, self._database, self._index, self._table = rung, database, index, table
        self._block, self._schemas = block, schemas

    def check(self, parents: bool) -> t.Callable[[Session], None]:
        """Return a task's call. `parents` checks from parent to child pages too, which keeps writers out."""

        def look(session: Session) -> None:
            try:
                self._amcheck(session, parents)
            except SqlFailed as error:
                if error.sqlstate not in _WRONG:
                    raise
                self._rung.failed(f"{self._what}: {str(error).split(': ', 1)[-1]} REINDEX INDEX {self._index.name}.")
                return
            if self._index.witness and "pageinspect" in self._schemas:
                self._look_back(session)

        return look

    @property
    def _what(self) -> str:
        return f"{self._database}: {self._index.described}"

    def _amcheck(self, session: Session, parents: bool) -> None:
        function = f"{self._schemas['amcheck']}.bt_index_{'parent_' if parents else ''}check"
        flags = ["true", "false"] if parents else ["true"]
        signature = f"{function}(regclass{', boolean' * (len(flags) + 1)})"
        if session.row(_HAS_UNIQUE, (signature,))[0]:  # since PostgreSQL 17
            flags.append("true")
        session.rows(f"SELECT {literally(function)}(%s::int8::oid::regclass, {', '.join(flags)})", (self._index.oid,))

    def _look_back(self, session: Session) -> None:
        """Name the places in the table that the index knows and the table has not.

        Asked twice: a table that is vacuumed or extended between two pages looks so for a moment.
        """
        blocks = self._index.sizes["main"] // self._block
        for first in range(1, blocks, CHUNK):
            last = min(first + CHUNK, blocks) - 1
            if not self._may_dangle(session, first, last):
                continue
            found = self._dangling(session, first, last)
            found = found and [one for one in self._dangling(session, first, last) if one in found]
            for block, line in found:
                self._rung.failed(
                    f"{self._database}: {self._table.described} has lost rows: page {block} has no line {line}, "
                    f"which index {self._index.name} points at"
                )

    def _may_dangle(self, session: Session, first: int, last: int) -> bool:
        if self._table.has_empty_pages:
            return True
        place, blocks = self._rows(session, _LAST, first, last)[0]
        return place is not None and int(place.strip("(").split(",")[0]) >= blocks

    def _dangling(self, session: Session, first: int, last: int) -> list[tuple[t.Any, ...]]:
        return self._rows(session, _DANGLING, first, last)

    def _rows(self, session: Session, query: str, first: int, last: int) -> list[tuple[t.Any, ...]]:
        values = {
            "first": first, "last": last, "index": self._index.name, "table": self._table.name, "size": self._block,
        }  # fmt: skip
        return session.rows(query.format(schema=literally(self._schemas["pageinspect"])), t.cast(t.Any, values))
