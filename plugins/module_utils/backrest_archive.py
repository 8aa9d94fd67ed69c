# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far the archive is behind the server: seconds and bytes that would be lost if the server's disk were lost now.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t

from .backrest_info import Facts
from .clock import to_iso
from .errors import RecoveryError
from .postgres_state import lsn_number
from .sql import Postgres

_SERVER = """
SELECT pg_is_in_recovery(), current_setting('archive_mode'), clock_timestamp(),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       last_archived_wal, last_archived_time, last_failed_wal, last_failed_time, archived_count, failed_count
FROM pg_stat_archiver
"""
_WAL = """
SELECT pg_current_wal_lsn()::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
"""
_WAITING = r"""
SELECT count(*) FILTER (WHERE name ~ '^[0-9A-F]{24}\.ready$'),
       coalesce((SELECT sum(size) FROM pg_ls_waldir()), 0)::bigint
FROM pg_ls_archive_statusdir()
"""
#: a status file keeps the time at which its segment was complete
_COMPLETED = """
SELECT min(modification) FROM pg_ls_archive_statusdir() WHERE name IN (%s, %s)
"""
#: the oldest segment after that one which was complete; None where there is none
_NEXT = r"""
SELECT min(modification) FROM pg_ls_archive_statusdir()
WHERE name ~ '^[0-9A-F]{24}\.(ready|done)$' AND substr(name, 1, 24) > %s
"""


def measure(postgres: t.Mapping[str, t.Any], repositories: list[Facts], objective: float | None) -> Facts:
    """Return the archive's state, with outcome and reasons. `objective` is the RPO in seconds.

    The age is that of the oldest WAL that a repository has not: since the last segment it has was complete. Nothing
    written since is age 0. Where a checkpoint removed that segment's status file, and none came after it, the time
    counts at which it was archived, which is later by as long as archive_command took.
    """
    told = _nothing(objective)
    try:
        with Postgres(postgres) as server:
            _ask(server, repositories, told)
    except RecoveryError as error:
        return {**told, "outcome": "unverified", "reasons": [str(error)]}
    return {**told, **_verdict(told)}


def not_asked(objective: float | None) -> Facts:
    """Return what is known where no server was named."""
    return {**_nothing(objective), "outcome": "unverified", "reasons": ["The option postgres is not given."]}


def _nothing(objective: float | None) -> Facts:
    names = (
        "in_recovery", "archive_mode", "current_lsn", "last_archived_wal", "last_archived_time", "last_failed_wal",
        "last_failed_time", "archived_count", "failed_count", "waiting", "wal_bytes", "seconds_behind", "bytes_behind",
        "checked_seconds",
    )  # fmt: skip
    more: Facts = {"failing": None, "repositories": [], "outcome": "unverified", "reasons": []}
    return {**dict.fromkeys(names), **more, "objective_seconds": objective}


def _ask(server: Postgres, repositories: list[Facts], told: Facts) -> None:
    row = server.row(_SERVER)
    told["in_recovery"], told["archive_mode"], now, size = row[:4]
    wal, archived_at, failed_wal, failed_at, archived, failures = row[4:]
    told.update(last_archived_wal=wal, last_failed_wal=failed_wal, archived_count=archived, failed_count=failures)
    told.update(last_archived_time=_iso(archived_at), last_failed_time=_iso(failed_at))
    told["failing"] = failed_at is not None and (archived_at is None or failed_at > archived_at)
    if told["in_recovery"]:
        return
    told["current_lsn"], timeline = server.row(_WAL)
    told["waiting"], told["wal_bytes"] = server.row(_WAITING)
    current = lsn_number(told["current_lsn"])
    for entry in repositories:
        newest = max((one["max"] for one in entry["archives"] if one["max"]), default=None)
        behind = _behind(server, newest, timeline, current, size, now, {wal: archived_at})
        told["repositories"].append({"name": entry["name"], "outcome": entry["outcome"], "max": newest, **behind})
    known = [one for one in told["repositories"] if one["bytes_behind"] is not None]
    if known and len(known) == len(repositories):
        told["bytes_behind"] = max(one["bytes_behind"] for one in known)
        seconds = [one["seconds_behind"] for one in known]
        told["seconds_behind"] = None if None in seconds else max(seconds)


def _behind(
    server: Postgres, newest: str | None, timeline: str, current: int, size: int, now: dt.datetime,
    archived: dict[str, dt.datetime],
) -> Facts:  # fmt: skip
    if newest is None:
        return {"seconds_behind": None, "bytes_behind": None}
    # where an older timeline's last segment is, this one's beginning is not archived
    reached = segment_end(newest, size) - (0 if newest.startswith(timeline) else size)
    behind = max(0, current - reached)
    if behind == 0:
        return {"seconds_behind": 0.0, "bytes_behind": 0}
    completed = server.row(_COMPLETED, (f"{newest}.ready", f"{newest}.done"))[0]
    completed = completed or server.row(_NEXT, (newest,))[0]  # its status file is gone with the segment
    completed = completed or archived.get(newest)
    age = round((now - completed).total_seconds(), 3) if completed else None
    return {"seconds_behind": max(0.0, age) if age is not None else None, "bytes_behind": behind}


def segment_end(name: str, size: int) -> int:
    """Return the position after a WAL segment, from its name."""
    return int(name[8:16], 16) * 0x1_0000_0000 + (int(name[16:24], 16) + 1) * size


def _verdict(told: Facts) -> Facts:
    if told["in_recovery"]:
        return {"outcome": "unverified", "reasons": ["The server is a standby: the primary archives."]}
    if told["archive_mode"] not in ("on", "always"):
        return {"outcome": "failed", "reasons": [f"archive_mode is {told['archive_mode']}: nothing is archived."]}
    reasons = []
    if told["failing"]:
        reasons.append(f"archive_command failed for {told['last_failed_wal']} at {told['last_failed_time']}.")
    objective, unknown = told["objective_seconds"], []
    for one in told["repositories"]:
        seconds = one["seconds_behind"]
        if seconds is None:
            unknown.append(f"How far the archive in {one['name']} is behind is unknown.")
        elif objective is not None and seconds > objective:
            reasons.append(
                f"The archive in {one['name']} is {seconds:.0f} s and {one['bytes_behind']} bytes behind; "
                f"the objective is {objective:g} s."
            )
    if reasons:
        return {"outcome": "failed", "reasons": reasons + unknown}
    if unknown or objective is None:
        return {"outcome": "unverified", "reasons": unknown or ["No objective was given."]}
    return {"outcome": "passed", "reasons": []}


def _iso(moment: dt.datetime | None) -> str | None:
    return to_iso(moment) if moment else None
