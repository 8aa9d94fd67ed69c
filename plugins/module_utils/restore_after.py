# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After the rows are in: sequences, foreign keys, materialized views, subscriptions put right; tables measured.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .clock import Deadline
from .divergence_catalog import literal
from .errors import RecoveryError
from .logical_messages import Problem
from .logical_restore import Restored
from .sql import Postgres, SqlFailed
from .verify_facts import CHEAP, count_rows
from .verify_sequences import numbered
from .verify_session import Limits, Session

_TABLES = """
SELECT n.nspname || '.' || c.relname, c.oid::regclass::text, pg_table_size(c.oid), c.reltuples::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema$)'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
ORDER BY 1
"""
_NOT_VALID = """
SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint
WHERE contype = 'f' AND NOT convalidated AND conparentid = 0 ORDER BY 1, 2
"""
_FOREIGN_KEYS = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
_EMPTY_VIEWS = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'm' AND NOT relispopulated ORDER BY oid"
_PULLING = """
SELECT subname FROM pg_subscription
WHERE subenabled AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_REMEDY = "Restore the table that it refers to as well, or take the constraint away."


@dataclass
class After:
    """What was put right. `tables` have name, rows (exact or an estimate), bytes, seconds and rate."""

    tables: list[dict[str, t.Any]] = field(default_factory=list)
    sequences: list[dict[str, t.Any]] = field(default_factory=list)
    validated: list[str] = field(default_factory=list)
    foreign_keys: int | None = None
    refreshed: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def put_right(
    options: t.Mapping[str, t.Any], database: str, selective: bool, seconds: t.Mapping[str, float], timeout: float
) -> After:
    """Put right and measure; a selection's sequences, foreign keys and views are put right beyond what the dump had.

    Raises RecoveryError when the database does not answer.
    """
    after = After()
    limits = Limits(statement=timeout, lock=60.0, deadline=Deadline(timeout))
    startup = "-c default_transaction_read_only=off -c search_path=pg_catalog"
    given = {**options, "database": database, "options": startup}
    with Postgres(given) as server, Session(options, database, limits) as session:
        pulling = [row[0] for row in server.rows(_PULLING)]
        for name in pulling:
            remedy = "ALTER SUBSCRIPTION ... DISABLE in it at once: it takes another server's changes."
            after.problems.append(Problem("would_pull", f"subscription {name}", "it is enabled", remedy))
        if selective:
            _sequences(server, session, after)
            _foreign_keys(server, after, timeout)
            _views(server, after, timeout)
        after.foreign_keys = int(server.row(_FOREIGN_KEYS)[0])
        after.tables = [_measured(session, row, seconds) for row in session.rows(_TABLES)]
    return after


def _sequences(server: Postgres, session: Session, after: After) -> None:
    """Set each sequence to at least what its column holds."""
    for name, one in numbered(session).items():
        if one.is_behind:
            server.rows(f"SELECT setval({literal(name)}::regclass, {one.furthest})")
            after.sequences.append({"sequence": name, "was": one.next, "set_to": one.furthest, "column": one.column})


def _foreign_keys(server: Postgres, after: After, timeout: float) -> None:
    for table, name in server.rows(_NOT_VALID):
        try:
            server.rows(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", timeout=timeout)
            after.validated.append(f"{table} {name}")
        except SqlFailed as error:
            after.problems.append(Problem("broken_constraint", f"{table} {name}", str(error), _REMEDY))


def _views(server: Postgres, after: After, timeout: float) -> None:
    for (name,) in server.rows(_EMPTY_VIEWS):
        try:
            server.rows(f"REFRESH MATERIALIZED VIEW {name}", timeout=timeout)
            after.refreshed.append(name)
        except SqlFailed as error:
            after.problems.append(Problem("empty_view", name, str(error), "See the message, then refresh it."))


def _measured(session: Session, row: tuple[t.Any, ...], seconds: t.Mapping[str, float]) -> dict[str, t.Any]:
    name, quoted, size, estimate = row
    took = seconds.get(name)
    exact = size <= CHEAP
    try:
        rows = count_rows(session, quoted) if exact else (estimate if estimate >= 0 else None)
    except RecoveryError:
        rows, exact = None, False
    return {
        "table": name, "rows": rows, "exact": exact, "bytes": size, "seconds": took,
        "bytes_per_second": round(size / took) if took else None,
    }  # fmt: skip


def problems_of(restored: Restored) -> list[Problem]:
    """Return the problems of a load as they were found."""
    return [Problem(**one) for one in restored.problems]
