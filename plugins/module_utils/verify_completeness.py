# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rung `completeness`: is everything there that the source had, and does it still hold what it promises.

Without facts of the source the cluster is checked by itself: sequences, constraints, indexes, collations, extensions.

PRIVATE to the collection.
"""

from __future__ import annotations

import fnmatch
import typing as t

from . import verify_sequences
from .errors import RecoveryError
from .verify_compare import Comparison
from .verify_facts import Facts, cluster_facts, database_facts, readable
from .verify_identity import check_identity
from .verify_keys import key_tasks
from .verify_pool import Pool
from .verify_rung import Rung
from .verify_session import Session

Expectations = t.Mapping[str, t.Any]


def completeness(
    rung: Rung, pool: Pool, home: str, databases: t.Sequence[str], expected: Expectations, scratch: bool
) -> None:
    """Compare a cluster with `expected.facts`, as far as they are given. `home` is the database to ask first."""
    facts: Facts | None = expected.get("facts")
    ignored = _ignored(rung, expected.get("ignore") or [])
    rung.details["facts"] = facts.get("captured") if facts else None
    if facts is None:
        rung.unverified(
            "what the source had is not known: the cluster was checked by itself alone. Take the facts of the source "
            "(capture: true) before its backup, and give them as expectations.facts."
        )
    try:
        if facts is not None:
            readable(facts)
        with pool.connect(home) as session:
            now = cluster_facts(session)
        if facts is not None:
            _compare_clusters(rung, facts, now, expected, scratch, ignored)
    except RecoveryError as error:
        rung.caught("the cluster", error)
        return
    check_identity(rung, pool, home, now, expected)
    for database in databases:
        before = facts["databases"].get(database) if facts else None
        pool.progress.tell(f"{rung.name}: database {database}", now=True)
        try:
            _check_database(rung, pool, database, before, expected, ignored)
        except RecoveryError as error:
            rung.caught(f"database {database}", error)
    for database in facts["databases"] if facts else ():
        if database not in databases and not ignored(database):
            rung.failed(f"database {database} is missing: the source had it. Restore it, or correct databases.")
    _check_keys(rung, pool, databases, ignored)


def _ignored(rung: Rung, patterns: t.Sequence[str]) -> t.Callable[[str], bool]:
    """Return a test whether a name is left out, and keep in the details what was."""
    left_out: list[str] = []
    rung.details["ignored"] = left_out

    def ignored(name: str) -> bool:
        hit = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        if hit and name not in left_out:
            left_out.append(name)
        return hit

    return ignored


def _compare_clusters(
    rung: Rung, facts: Facts, now: Facts, expected: Expectations, scratch: bool, ignored: t.Callable[[str], bool]
) -> None:
    """Roles, memberships, tablespaces; of a cluster that is to serve, its libraries too."""
    whole = Comparison(rung, "", ignored)
    whole.documents("role", facts["roles"], now["roles"])
    whole.names("membership", facts["memberships"], now["memberships"])
    if expected.get("physical"):
        whole.names("tablespace", facts["tablespaces"], now["tablespaces"])
    rung.details["settings"] = {
        name: {"source": value, "here": now["settings"].get(name)}
        for name, value in facts["settings"].items()
        if now["settings"].get(name) != value
    }
    if not scratch:
        name = "shared_preload_libraries"
        wanted, found = (set(_listed(one["settings"].get(name) or "")) for one in (facts, now))
        for library in sorted(wanted - found):
            rung.failed(f"{name} lacks {library}. Add it and restart the server.")
    if expected.get("physical") and now["timeline"] < facts["timeline"]:
        rung.failed(f"the cluster is on timeline {now['timeline']}, its source was on {facts['timeline']} already")


def _listed(text: str) -> list[str]:
    return [part.strip().strip('"') for part in text.split(",") if part.strip()]


def _check_database(
    rung: Rung,
    pool: Pool,
    database: str,
    before: Facts | None,
    expected: Expectations,
    ignored: t.Callable[[str], bool],
) -> None:
    now = database_facts(pool.connect, database, count_bytes=None)
    _check_alone(rung, database, before, now, ignored)
    if before is not None:
        _compare_database(Comparison(rung, database, ignored), before, now, bool(expected.get("physical")))
    with pool.connect(database) as session:
        for problem in verify_sequences.compare(session, before and before["sequences"], ignored):
            rung.failed(f"{database}: {problem}")
        _compare_rows(rung, pool, session, before, now, expected, ignored)


def _check_alone(rung: Rung, database: str, before: Facts | None, now: Facts, ignored: t.Callable[[str], bool]) -> None:
    """What is wrong whatever the source was; where the source had it so too, it is as it was."""
    for one in now["collations"]:
        if one["version"] is not None and one["version"] != one["actual"]:
            sorted_by = f" (indexes: {one['indexes']})" if one["indexes"] else ""
            rung.failed(
                f"{database}: collation {one['name']} was version {one['version']}, here it is {one['actual']}"
                f"{sorted_by}. "
                "Text may be sorted wrongly: REINDEX what is sorted by it, then REFRESH COLLATION VERSION."
            )
    for name, one in now["extensions"].items():
        if not one["installed"]:
            rung.failed(f"{database}: the files of extension {name} are not installed on this server. Install them.")
    for name, one in now["constraints"].items():
        was = ((before or {}).get("constraints") or {}).get(name)
        if not one["validated"] and not (was and not was["validated"]) and not ignored(name):
            rung.failed(f"{database}: constraint {name} is NOT VALID. ALTER TABLE ... VALIDATE CONSTRAINT.")
    for name, one in now["tables"].items():
        was = ((before or {}).get("tables") or {}).get(name)
        if not one["populated"] and not (was and not was["populated"]) and not ignored(name):
            rung.failed(f"{database}: materialized view {name} is not populated. REFRESH MATERIALIZED VIEW {name}.")
    for name, count in now["switched_off"].items():
        was_off = ((before or {}).get("switched_off") or {}).get(name, 0)
        if count > was_off and not ignored(name):
            rung.failed(
                f"{database}: {count} foreign key triggers of {name} are disabled. "
                f"ALTER TABLE {name} ENABLE TRIGGER ALL."
            )


def _compare_database(comparison: Comparison, before: Facts, now: Facts, exact: bool) -> None:
    for key in ("encoding", "collate", "ctype", "owner"):
        comparison.value(key, before.get(key), now.get(key))
    comparison.extensions(before["extensions"], now["extensions"])
    comparison.tables(before["tables"], now["tables"])
    comparison.names("sequence", before["sequences"], now["sequences"])
    comparison.definitions("constraint", before["constraints"], now["constraints"], exact)
    comparison.definitions("index", before["indexes"], now["indexes"], exact)
    comparison.definitions("trigger", before["triggers"], now["triggers"], exact)
    comparison.documents("function", before["functions"], now["functions"])
    comparison.names("policy", before["policies"], now["policies"])
    comparison.documents("type", before["types"], now["types"])
    comparison.grants(before["grants"], now["grants"])
    if before["large_objects"] and not now["large_objects"]:
        comparison.failed(
            f"its {before['large_objects']} large objects are missing. Restore them (pg_dump --large-objects)"
        )


def _compare_rows(
    rung: Rung,
    pool: Pool,
    session: Session,
    before: Facts | None,
    now: Facts,
    expected: Expectations,
    ignored: t.Callable[[str], bool],
) -> None:
    """Tables that had rows and have none, and the relative bounds of the plan."""
    tables = (before or {}).get("tables") or {}
    for name, was in tables.items():
        here = now["tables"].get(name)
        if here is None or not here["leaf"] or was["persistence"] == "u" or ignored(name) or not here["populated"]:
            continue
        had = was.get("rows", was["estimate"])
        if had > 0 and not session.rows(f"SELECT 1 FROM ONLY {name} LIMIT 1"):
            rung.failed(f"{session.database}: table {name} is empty, the source had {had} rows. Restore it.")
    for bound in expected.get("row_counts") or []:
        if bound["database"] == session.database and bound.get("relative") is not None:
            _compare_count(rung, pool, session, tables, bound)


def _compare_count(rung: Rung, pool: Pool, session: Session, tables: Facts, bound: t.Mapping[str, t.Any]) -> None:
    name, what = bound["table"], f"{session.database}: rows of {bound['table']}"
    try:
        with pool.open(session.database) as named:  # as the plan writes it, by the database's own search_path
            oid = named.row("SELECT to_regclass(%s)::oid::int8", (name,))[0]
        if oid is None:
            rung.failed(f"{what}: there is no such table")
            return
        complete, parted = session.row("SELECT oid::regclass::text, relkind = 'p' FROM pg_class WHERE oid = %s", (oid,))
        was = (tables.get(complete) or {}).get("rows")
        if was is None:
            rung.unverified(f"{what}: the facts have no count of them. Take the facts with a larger count_bytes.")
            return
        found = session.row(f"SELECT count(*) FROM {'' if parted else 'ONLY '}{complete}")[0]
    except RecoveryError as error:
        rung.caught(what, error)
        return
    if abs(found - was) > was * bound["relative"]:
        rung.failed(f"{what}: {found}, the source had {was}, which is more than {bound['relative']:.1%} apart")


def _check_keys(rung: Rung, pool: Pool, databases: t.Sequence[str], ignored: t.Callable[[str], bool]) -> None:
    tasks = []
    for database in databases:
        with pool.connect(database) as session:
            try:
                tasks += [task for task in key_tasks(rung, session) if not ignored(task.what)]
            except RecoveryError as error:
                rung.caught(f"{database}: foreign keys", error)
    pool.run(rung, tasks, failing=())
