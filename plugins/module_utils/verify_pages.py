# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads every page of a relation through the server, which verifies its checksum and its header.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t

from .sql import SqlFailed
from .verify_pool import Task
from .verify_rung import Rung
from .verify_session import DAMAGED, Session, literally

if t.TYPE_CHECKING:
    from .verify_structure import Relation

#: pages that one statement reads
CHUNK = 16384
#: damaged pages that are named, a relation
MOST = 20

_INVALID = re.compile(r"invalid page in block (\d+) of relation|could not read block (\d+) in file")
_READ = """
SELECT count({schema}.get_raw_page(%s, %s, block)) FROM generate_series(%s::int8, %s::int8) AS block
"""
#: reads the same, and counts pages that have no line
_READ_LINES = """
SELECT count(*)
FROM generate_series(%s::int8, %s::int8) AS block, {schema}.page_header({schema}.get_raw_page(%s, block))
WHERE lower <= 24
"""
_EMPTY = """
SELECT block FROM generate_series(%s::int8, %s::int8) AS block, {schema}.page_header({schema}.get_raw_page(%s, block))
WHERE upper = 0 LIMIT 20
"""


class Pages:
    """The pages of one relation, all forks."""

    def __init__(self, rung: Rung, database: str, relation: Relation, schema: str, block: int) -> None:
        self._rung, self._database, self._relation = rung, database, relation
        self._schema, self._block = schema, block
        self._named = 0

    def tasks(self) -> t.Iterator[Task]:
        """One task a chunk of a fork. A file that ends within a page fails at once."""
        for fork, size in self._relation.sizes.items():
            blocks, rest = divmod(size, self._block)
            if rest:
                self._relation.damaged = True
                self._rung.failed(
                    f"{self._what(fork)} ends {rest} bytes into page {blocks} (file {self._relation.file})"
                )
            for first in range(0, blocks, CHUNK):
                last = min(first + CHUNK, blocks) - 1
                pages = (last - first + 1) * self._block
                yield Task(
                    self._database, self._relation.described, self._relation.oid, pages, self._reader(fork, first, last)
                )

    def _reader(self, fork: str, first: int, last: int) -> t.Callable[[Session], None]:
        def read(session: Session) -> None:
            self._read(session, fork, first, last)
            if fork == "main" and self._relation.is_heap and not self._relation.witnessed:
                self._find_empty(session, first, last)

        return read

    def _read(self, session: Session, fork: str, first: int, last: int) -> None:
        """Read on behind each damaged page, so that every one of them is named."""
        while first <= last:
            try:
                self._ask(session, fork, first, last)
                return
            except SqlFailed as error:
                found = _INVALID.search(str(error))
                if error.sqlstate not in DAMAGED or not found:
                    raise
                block = int(found[1] or found[2])
                self._damaged(fork, block, error)
                if self._named >= MOST or not first <= block <= last:
                    return
                first = block + 1

    def _ask(self, session: Session, fork: str, first: int, last: int) -> None:
        schema, name = literally(self._schema), self._relation.name
        if fork != "main" or not self._relation.is_heap:
            session.rows(_READ.format(schema=schema), (name, fork, first, last))
        elif session.row(_READ_LINES.format(schema=schema), (first, last, name))[0]:
            self._relation.has_empty_pages = True

    def _damaged(self, fork: str, block: int, error: SqlFailed) -> None:
        self._relation.damaged = True
        self._named += 1
        more = ", and it was read no further" if self._named >= MOST else ""
        said = str(error).split(": ", 1)[-1]
        self._rung.failed(f"{self._what(fork)}: page {block} is damaged: {said}{more}")

    def _find_empty(self, session: Session, first: int, last: int) -> None:
        """A page of zeros is valid, and may have held rows. Where an index knows of them, it is asked instead."""
        if self._relation.damaged:
            return
        query = _EMPTY.format(schema=literally(self._schema))
        found = [row[0] for row in session.rows(query, (first, last, self._relation.name))]
        if found:
            self._rung.unverified(
                f"{self._what('main')}: pages {', '.join(map(str, found))} hold zeros, and no index tells whether they "
                "had rows. Compare its row count with the source, or VACUUM the source before its backup."
            )

    def _what(self, fork: str) -> str:
        where = "" if fork == "main" else f" (its {fork} file)"
        return f"{self._database}: {self._relation.described}{where}"
