# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts of a cluster: what a backup of it has to bring back. Taken before the backup begins, kept in its manifest.

A document of JSON values; no passwords, no contents of rows. Because it is older than the backup's end, a restored
sequence is never behind it.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import verify_facts_queries as queries
from .clock import to_iso
from .errors import RecoveryError
from .verify_sequences import numbered
from .verify_session import Limits, Session

VERSION = 1
Facts = dict[str, t.Any]
Connect = t.Callable[[str], Session]

#: tables up to this size are counted, bytes; of larger ones the estimate is kept
CHEAP = 32 * 1024 * 1024

_LEAVES = "SELECT relid::text FROM pg_partition_tree(%s::regclass) WHERE isleaf"
_CONNECTABLE = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"


def capture(
    options: t.Mapping[str, t.Any], limits: Limits, databases: t.Sequence[str] | None = None, count_bytes: int = CHEAP
) -> Facts:
    """Return the facts of a cluster; tables larger than `count_bytes` are estimated, not counted.

    Raises RecoveryError: facts are complete or they are none.
    """

    def connect(database: str) -> Session:
        return Session(options, database, limits)

    with connect(options.get("database") or "postgres") as session:
        found = cluster_facts(session)
        names = databases or connectable(session)
    found["databases"] = {name: database_facts(connect, name, count_bytes) for name in names}
    return found


def connectable(session: Session) -> list[str]:
    """Return the databases that take connections."""
    return [row[0] for row in session.rows(_CONNECTABLE)]


def cluster_facts(session: Session) -> Facts:
    """Return what all databases have in common."""
    version, number, system, timeline, in_recovery, lsn, now = session.row(queries.SERVER)
    return {
        "version": VERSION,
        "captured": to_iso(now),
        "server_version": version,
        "server_version_num": number,
        "system_identifier": system,
        "timeline": timeline,
        "in_recovery": in_recovery,
        "lsn": lsn,
        "settings": _pairs(session, queries.SETTINGS),
        "roles": _pairs(session, queries.ROLES),
        "memberships": _names(session, queries.MEMBERSHIPS),
        "tablespaces": _names(session, queries.TABLESPACES),
    }


def database_facts(connect: Connect, name: str, count_bytes: int | None) -> Facts:
    """Return one database's facts. With `count_bytes` None no table is counted."""
    with connect(name) as session:
        found: Facts = dict(_pairs(session, queries.DATABASES).get(name) or {})
        found["collations"] = collations(session)
        found["large_objects"] = session.row(queries.LARGE_OBJECTS)[0]
        for key, query in _DOCUMENTS.items():
            found[key] = _pairs(session, query)
        for sequence, behind in numbered(session).items():
            if sequence in found["sequences"]:
                found["sequences"][sequence]["behind"] = behind.is_behind
        if count_bytes is not None:
            _count(session, found["tables"], count_bytes)
    return found


def collations(session: Session) -> list[dict[str, t.Any]]:
    """Return {name, version, actual, indexes} of the database's own collation, and of others that have changed."""
    found = []
    if session.row("SELECT current_setting('server_version_num')::int")[0] >= 150000:
        version, actual = session.row(queries.DATABASE_COLLATION)
        found.append({"name": "the database's own", "version": version, "actual": actual, "indexes": None})
    names = ("name", "version", "actual", "indexes")
    return found + [dict(zip(names, row, strict=True)) for row in session.rows(queries.COLLATIONS)]


def count_rows(session: Session, table: str) -> int:
    """Return how many rows a table has, by its complete quoted name. Partitions are not its own."""
    return session.row(f"SELECT count(*) FROM ONLY {table}")[0]


def _count(session: Session, tables: Facts, count_bytes: int) -> None:
    for name, table in tables.items():
        if table["leaf"] and table["populated"] and table["bytes"] <= count_bytes:
            table["rows"] = count_rows(session, name)
    for name, table in tables.items():
        if table["kind"] == "p":
            leaves = [tables.get(row[0]) or {} for row in session.rows(_LEAVES, (name,))]
            if all("rows" in leaf for leaf in leaves):
                table["rows"] = sum(leaf["rows"] for leaf in leaves)


_DOCUMENTS = {
    "extensions": queries.EXTENSIONS,
    "tables": queries.TABLES,
    "sequences": queries.SEQUENCES,
    "constraints": queries.CONSTRAINTS,
    "indexes": queries.INDEXES,
    "triggers": queries.TRIGGERS,
    "switched_off": queries.SWITCHED_OFF,
    "functions": queries.FUNCTIONS,
    "policies": queries.POLICIES,
    "types": queries.TYPES,
    "grants": queries.GRANTS,
}


def _pairs(session: Session, query: str) -> dict[str, t.Any]:
    return {name: sorted(value) if isinstance(value, list) else value for name, value in session.rows(query)}


def _names(session: Session, query: str) -> list[str]:
    return sorted(row[0] for row in session.rows(query))


def readable(facts: t.Mapping[str, t.Any]) -> None:
    """Raise RecoveryError unless these are facts that this version wrote."""
    if facts.get("version") != VERSION or not isinstance(facts.get("databases"), dict):
        raise RecoveryError(
            f"Failed to read the facts of the source: version {facts.get('version')!r} is not {VERSION}, or they name "
            "no databases. Take them with capture: true of this release."
        )
