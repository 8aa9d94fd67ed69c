# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables by their files, and the SQL that reads their rows as JSON: the same on the old primary and on the new one.

A value becomes JSON as PostgreSQL itself writes it where that can be read back as the same value. Every other value,
of a type that is not built in or an array that does not begin at 1, becomes the text that its type's input function
takes. No cast that a user defined is called: this runs as superuser.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

#: one line, ASCII: single-user mode takes no other. A JSON object a table, sequence or materialized view.
RELATIONS = re.sub(
    r"\s+",
    " ",
    """SELECT pg_catalog.json_build_object('oid', c.oid::int8, 'filenode', pg_catalog.pg_relation_filenode(c.oid)::int8,
'tablespace', coalesce(nullif(c.reltablespace, 0), d.dattablespace)::int8,
'database', CASE WHEN c.relisshared THEN 0 ELSE d.oid::int8 END,
'database_name', d.datname, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
'persistence', c.relpersistence, 'root', (SELECT pg_catalog.json_build_array(rn.nspname, rc.relname)
FROM pg_catalog.pg_class rc JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace
WHERE c.relispartition AND rc.oid = pg_catalog.pg_partition_root(c.oid)),
'key', (SELECT pg_catalog.json_agg(a.attname ORDER BY pg_catalog.array_position(i.indkey::int2[], a.attnum))
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = c.oid AND i.indisprimary),
'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, b.oid::int8, b.typcategory, b.typtype)
ORDER BY a.attnum) FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL (WITH RECURSIVE base AS (
SELECT y.oid, y.typbasetype, y.typcategory, y.typtype FROM pg_catalog.pg_type y WHERE y.oid = a.atttypid UNION ALL
SELECT y.oid, y.typbasetype, y.typcategory, y.typtype FROM base JOIN pg_catalog.pg_type y ON y.oid = base.typbasetype
WHERE base.typtype = 'd') SELECT * FROM base WHERE base.typtype <> 'd') b
WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
WHERE c.relkind IN ('r', 'S', 'm', 't')""",
)

DATABASES = "SELECT oid::int8, datname, datistemplate FROM pg_catalog.pg_database"

_FIRST_USER_OID = 16384
_JSON_TYPES = (114, 3802)


@dataclass(frozen=True)
class Table:
    """A table, sequence ('S'), materialized view ('m') or toast table ('t') of one database."""

    oid: int
    filenode: int | None
    tablespace: int
    database_oid: int
    database: str
    schema: str
    name: str
    kind: str
    persistence: str
    root: tuple[str, str] | None = None
    key: tuple[str, ...] = ()
    #: (name, base type, category, kind of type)
    columns: tuple[tuple[str, int, str, str], ...] = field(default=())

    @classmethod
    def from_json(cls, text: str | bytes) -> Table:
        """Read one row of RELATIONS."""
        raw: dict[str, t.Any] = json.loads(text)
        return cls(
            oid=raw["oid"],
            filenode=raw["filenode"],
            tablespace=raw["tablespace"],
            database_oid=raw["database"],
            database=raw["database_name"],
            schema=raw["schema"],
            name=raw["name"],
            kind=raw["kind"],
            persistence=raw["persistence"],
            root=tuple(raw["root"]) if raw["root"] else None,
            key=tuple(raw["key"] or ()),
            columns=tuple(tuple(column) for column in raw["columns"] or ()),
        )

    @property
    def is_catalog(self) -> bool:
        """Whether it is PostgreSQL's own; large objects are a user's data in a catalog."""
        return self.oid < _FIRST_USER_OID and self.oid != 2613

    @property
    def sql_name(self) -> str:
        """Return its name, quoted, with its schema."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    def row_json(self) -> str:
        """Return an expression: the row as JSON text. The table's alias is `t`."""
        values = ", ".join(f"{_value(*column)} AS {identifier(column[0])}" for column in self.columns)
        return f"(SELECT pg_catalog.row_to_json(r)::text FROM (SELECT {values}) r)"

    def json_nulls(self) -> str:
        """Return an expression: a JSON array of the columns that hold JSON's null, which is not SQL's; else NULL."""
        mine = [column for column in self.columns if column[1] in _JSON_TYPES]
        if not mine:
            return "NULL::text"
        cases = ", ".join(
            f"CASE WHEN pg_catalog.btrim(t.{identifier(name)}::text, E' \\t\\n\\r') = 'null'"
            f" THEN {literal(name)}::text END"
            for name, *_type in mine
        )
        array = f"pg_catalog.array_remove(ARRAY[{cases}], NULL)"
        return f"(SELECT pg_catalog.to_json(a)::text FROM (SELECT {array} AS a) s WHERE pg_catalog.cardinality(a) > 0)"


def identifier(name: str) -> str:
    """Quote a name in ASCII, on one line, whatever is in it."""
    return _quoted(name, '"')


def literal(text: str) -> str:
    """Quote a text in ASCII, on one line, whatever is in it."""
    return _quoted(text, "'")


def _quoted(text: str, mark: str) -> str:
    doubled = text.replace(mark, mark * 2)
    if re.fullmatch(r"[ -~]*", doubled):
        return f"{mark}{doubled}{mark}"
    escaped = "".join(_escape(character) for character in doubled.replace("\\", "\\\\"))
    return f"U&{mark}{escaped}{mark}"


def _escape(character: str) -> str:
    return character if " " <= character <= "~" else f"\\+{ord(character):06X}"


def _value(name: str, base: int, category: str, kind: str) -> str:
    column = f"t.{identifier(name)}"
    text = f"pg_catalog.to_json(pg_catalog.format('%s', {column}))"
    if base >= _FIRST_USER_OID or kind != "b":
        return f"CASE WHEN {column} IS DISTINCT FROM NULL THEN {text} END"
    if category == "A":
        plain = f"coalesce(pg_catalog.array_dims({column}), '') ~ '^(\\[1:[0-9]+\\])*$'"
        return (
            f"CASE WHEN {column} IS NOT NULL THEN CASE WHEN {plain} THEN pg_catalog.to_json({column})"
            f" ELSE {text} END END"
        )
    return column
