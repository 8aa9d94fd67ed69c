# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the rows obey the foreign keys that are said to hold: nobody looks at them again once they are in.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .verify_pool import Task
from .verify_rung import Rung
from .verify_session import Session

#: rows without their parent are counted up to this
MOST = 1000

_KEYS = """
SELECT c.oid::int8, quote_ident(c.conname), c.conrelid::regclass::text, c.confrelid::regclass::text,
       c.confmatchtype::text,
       pg_relation_size(c.conrelid) + pg_relation_size(c.confrelid), r.relkind = 'p', f.relkind = 'p',
       array_agg(quote_ident(a.attname) ORDER BY k.n), array_agg(quote_ident(b.attname) ORDER BY k.n),
       array_agg(format('OPERATOR(%I.%s)', s.nspname, o.oprname) ORDER BY k.n)
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
CROSS JOIN LATERAL unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY AS k(child, parent, operator, n)
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child
JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent
JOIN pg_operator o ON o.oid = k.operator JOIN pg_namespace s ON s.oid = o.oprnamespace
WHERE c.contype = 'f' AND c.convalidated AND c.conparentid = 0
GROUP BY c.oid, r.relkind, f.relkind
"""


def key_tasks(rung: Rung, session: Session) -> list[Task]:
    """Return one task a foreign key of the session's database. Raises as Session.rows() does."""
    tasks = []
    for oid, name, child, parent, match, size, child_parted, parent_parted, *columns in session.rows(_KEYS):
        one = _Key(name, _only(child, child_parted), _only(parent, parent_parted), match, *columns)
        what, check = f"foreign key {name} of {child}", one.checker(rung, child, parent)
        tasks.append(Task(session.database, what, oid, size, check, "pg_constraint"))
    return tasks


def _only(table: str, parted: bool) -> str:
    return table if parted else f"ONLY {table}"


class _Key:
    """One foreign key; names are complete and quoted."""

    def __init__(
        self, name: str, child: str, parent: str, match: str, columns: list[str], keys: list[str], equals: list[str]
    ) -> None:
        self.name, self.child, self.parent, self.match = name, child, parent, match
        self.columns, self.keys, self.equals = columns, keys, equals

    def query(self) -> str:
        """What PostgreSQL itself asks before it believes a foreign key."""
        joined = " AND ".join(
            f"parent.{key} {equals} child.{column}"
            for column, key, equals in zip(self.columns, self.keys, self.equals, strict=True)
        )
        glue = " AND " if self.match == "s" else " OR "
        given = glue.join(f"child.{column} IS NOT NULL" for column in self.columns)
        return (
            f"SELECT count(*) FROM (SELECT FROM {self.child} AS child LEFT JOIN {self.parent} AS parent ON {joined} "
            f"WHERE parent.{self.keys[0]} IS NULL AND ({given}) LIMIT {MOST}) AS orphans"
        )

    def checker(self, rung: Rung, child: str, parent: str) -> t.Callable[[Session], None]:
        def check(session: Session) -> None:
            orphans = session.row(self.query())[0]
            if orphans:
                count = f"{MOST} or more" if orphans >= MOST else orphans
                rung.failed(
                    f"{session.database}: foreign key {self.name} is violated: {count} rows of {child} have no row in "
                    f"{parent}. Delete or complete them."
                )

        return check
