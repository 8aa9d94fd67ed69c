# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rung `invariants`: the plan's SQL, each with one value that is expected, and bounds of row counts.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t

from .errors import RecoveryError
from .verify_pool import Pool
from .verify_rung import Rung
from .verify_session import MISSING, Session

Check = t.Mapping[str, t.Any]

_FOREIGN = "SELECT EXISTS (SELECT FROM pg_foreign_table)"
_COMPLETE = "SELECT to_regclass(%s)::text"


def invariants(rung: Rung, pool: Pool, home: str, databases: t.Sequence[str], expected: t.Mapping[str, t.Any]) -> None:
    """Check all of them. One that cannot be asked is unverified, one whose object is missing has failed.

    `databases` are all that the cluster has; a check without its own asks `home`.
    """
    checks = expected.get("invariants") or []
    bounds = [one for one in expected.get("row_counts") or [] if _absolute(one)]
    rung.details["checks"] = len(checks) + len(bounds)
    if not checks and not bounds:
        rung.unverified("the plan names no invariants. Name some, or leave this rung out of rungs.")
    for check in checks:
        if check.get("database") in (None, *databases):
            check_value(rung, pool, home, check)
        else:
            rung.failed(f"{check['database']}: {check['name']}: there is no such database")
    for bound in bounds:
        if bound["database"] in databases:
            _check_count(rung, pool, bound)
        else:
            rung.failed(f"{bound['database']}: rows of {bound['table']}: there is no such database")


def check_value(rung: Rung, pool: Pool, home: str, check: Check) -> None:
    """Ask one query and compare the first column of its only row, as psql writes it, with `expect`."""
    database = check.get("database") or home
    what = f"{database}: {check['name']}"
    pool.progress.tell(f"{rung.name}: {what}")
    try:
        with pool.open(database) as session:
            found = value_of(rung, session, what, check["query"])
    except RecoveryError as error:
        rung.caught(what, error, failing=MISSING)
        return
    if found is None:
        return
    if len(found) != 1:
        rung.failed(f"{what}: the query returned {len(found)} rows, one was expected")
        return
    value = "NULL" if found[0][1] else found[0][0]
    if value != str(check["expect"]):
        rung.failed(f"{what}: {value}, expected {check['expect']}")


def value_of(rung: Rung, session: Session, what: str, query: str) -> list[tuple[t.Any, ...]] | None:
    """Return at most two rows of (text, is null); None where asking would reach another server."""
    # Inside a subquery it is one statement, and one that reads. format() writes values as psql does.
    asked = query.strip().rstrip(";")
    wrapped = f"SELECT format('%s', value), value IS NULL FROM (\n{asked}\n) AS asked(value) LIMIT 2"
    if session.rows(_FOREIGN)[0][0]:
        plan = session.rows(f"EXPLAIN (FORMAT JSON) {wrapped}")
        if "Foreign Scan" in json.dumps(plan[0][0]):
            rung.unverified(f"{what}: it reads a foreign table, which is not in this cluster. Leave that table out.")
            return None
    return session.rows(wrapped)


def _absolute(bound: Check) -> bool:
    return bound.get("minimum") is not None or bound.get("maximum") is not None


def _check_count(rung: Rung, pool: Pool, bound: Check) -> None:
    what = f"{bound['database']}: rows of {bound['table']}"
    try:
        with pool.open(bound["database"]) as session:
            table = session.row(_COMPLETE, (bound["table"],))[0]
            if table is None:
                rung.failed(f"{what}: there is no such table")
                return
            found = session.row(f"SELECT count(*) FROM {table}")[0]
    except RecoveryError as error:
        rung.caught(what, error)
        return
    least, most = bound.get("minimum"), bound.get("maximum")
    if (least is not None and found < least) or (most is not None and found > most):
        span = f"at least {least}" if most is None else f"at most {most}" if least is None else f"{least} to {most}"
        rung.failed(f"{what}: {found}, expected {span}")
