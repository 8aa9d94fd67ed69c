# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rung `freshness`: a row that is young enough, and both sides of the moment that was to be recovered.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import functools
import typing as t

from .clock import from_iso, to_iso
from .errors import RecoveryError
from .verify_pool import Pool
from .verify_rung import Rung
from .verify_session import MISSING, Session, literally

Options = t.Mapping[str, t.Any]


def freshness(rung: Rung, pool: Pool, home: str, expected: Options) -> None:
    """Check canaries and PITR targets. Raises RecoveryError for a moment that is none."""
    canaries, targets = expected.get("canaries") or [], expected.get("pitr") or []
    rung.details["canaries"], rung.details["pitr"] = [], []
    if not canaries and not targets:
        rung.unverified(
            "the plan names no canary: nothing shows how old the newest row is. "
            "Set expectations.canaries, or leave this rung out of rungs."
        )
    as_of = expected.get("as_of") or (expected.get("facts") or {}).get("captured")
    for canary in canaries:
        moment = canary.get("as_of") or as_of
        _ask(rung, pool, home, canary, functools.partial(_canary, rung, canary, moment))
    for target in targets:
        _ask(rung, pool, home, target, functools.partial(_target, rung, target))


def _ask(rung: Rung, pool: Pool, home: str, one: Options, look: t.Callable[[Session], None]) -> None:
    database = one.get("database") or home
    what = f"{database}: {one['table']}"
    pool.progress.tell(f"{rung.name}: {what}")
    try:
        with pool.open(database) as session:
            if session.row("SELECT to_regclass(%s) IS NULL", (one["table"],))[0]:
                rung.failed(f"{what}: there is no such table")
                return
            look(session)
    except RecoveryError as error:
        rung.caught(what, error, failing=MISSING)


def _moment(what: str, text: t.Any) -> dt.datetime:
    try:
        return from_iso(str(text))
    except ValueError:
        raise RecoveryError(
            f"{what} is {text!r}. Write a time with its zone, for example 2026-11-23T10:31:00Z."
        ) from None


def _newest(session: Session, table: str, column: str) -> dt.datetime | None:
    """Return the newest value of a column; one without a zone is UTC."""
    name = session.row("SELECT quote_ident(%s)", (column,))[0]
    text = session.row(f'SELECT to_char(max({name})::timestamptz, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') FROM {table}')[0]
    return None if text is None else from_iso(text)


def _canary(rung: Rung, canary: Options, as_of: str | None, session: Session) -> None:
    what = f"{session.database}: canary {canary['table']}.{canary['column']}"
    if as_of is None:
        rung.unverified(f"{what}: the moment it is to be compared with is not given. Set expectations.as_of.")
        return
    moment = _moment("as_of", as_of)
    newest = _newest(session, canary["table"], canary["column"])
    found: dict[str, t.Any] = {"database": session.database, "table": canary["table"], "as_of": to_iso(moment)}
    found["newest"] = newest and to_iso(newest)
    found["age_seconds"] = newest and round((moment - newest).total_seconds(), 3)
    rung.details["canaries"].append(found)
    if newest is None:
        rung.failed(f"{what}: the table is empty")
    elif found["age_seconds"] > canary["max_age_seconds"]:
        rung.failed(
            f"{what}: the newest row is of {found['newest']}, {found['age_seconds']:g} s before {found['as_of']}; at "
            f"most {canary['max_age_seconds']:g} s are allowed"
        )


def _target(rung: Rung, target: Options, session: Session) -> None:
    """Both sides have to be shown, by ids or by times: without them a target that was missed looks right."""
    before, after = _by_ids(rung, session, target)
    if target.get("column"):
        other = _by_time(rung, session, target)
        before, after = before or other[0], after or other[1]
    what = f"{session.database}: {target['table']}"
    if not before:
        rung.unverified(f"{what}: no row before the target is named. Give present, or column with target and before.")
    if not after:
        rung.unverified(f"{what}: no row after the target is named. Give absent, or column with target and after.")


def _by_ids(rung: Rung, session: Session, target: Options) -> tuple[bool, bool]:
    present, absent = target.get("present") or [], target.get("absent") or []
    what = f"{session.database}: {target['table']}"
    there = _ids(session, target, [*present, *absent])
    rung.details["pitr"].append({"table": target["table"], "present": len(present), "absent": len(absent)})
    lost = [one for one in present if str(one) not in there]
    passed = [one for one in absent if str(one) in there]
    if lost:
        rung.failed(f"{what}: the recovery ended before its target: rows {_listed(lost)} are missing")
    if passed:
        rung.failed(f"{what}: the recovery went beyond its target: rows {_listed(passed)} are there")
    return bool(present), bool(absent)


def _ids(session: Session, target: Options, ids: t.Sequence[t.Any]) -> set[str]:
    if not ids:
        return set()
    key = session.row("SELECT quote_ident(%s)", (target.get("key") or "id",))[0]
    key, table = literally(key), literally(target["table"])
    query = f"SELECT {key}::text FROM {table} WHERE {key}::text = ANY(%s)"
    return {row[0] for row in session.rows(query, ([str(one) for one in ids],))}


def _by_time(rung: Rung, session: Session, target: Options) -> tuple[bool, bool]:
    """`before` and `after` are the source's last row until the target and its first one beyond."""
    what = f"{session.database}: {target['table']}.{target['column']}"
    if target.get("target") is None:
        rung.unverified(f"{what}: the target is not given")
        return False, False
    moment = _moment("pitr.target", target["target"])
    newest = _newest(session, target["table"], target["column"])
    rung.details["pitr"][-1].update(target=to_iso(moment), newest=newest and to_iso(newest))
    if newest is not None and newest > moment:
        rung.failed(f"{what}: the recovery went beyond its target {to_iso(moment)}: a row is of {to_iso(newest)}")
    before, after = target.get("before"), target.get("after")
    if before is not None:
        wanted = _moment("pitr.before", before)
        if newest is None or newest < wanted:
            ended = "the table is empty" if newest is None else f"its newest row is of {to_iso(newest)}"
            rung.failed(
                f"{what}: the recovery ended before its target: {ended}, one of {to_iso(wanted)} has to be there"
            )
    if after is not None and _moment("pitr.after", after) <= moment:
        rung.unverified(f"{what}: the row of {after} is not after the target {to_iso(moment)}")
        after = None
    return before is not None, after is not None


def _listed(ids: t.Sequence[t.Any]) -> str:
    return ", ".join(map(str, ids[:10])) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
