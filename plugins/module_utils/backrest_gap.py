# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Handing in the WAL that a standby received before its promotion and that the old primary never archived.

A standby marks every segment that it receives as archived, because its primary archives it. Where the primary died
before it did, nobody would: the archive would have a hole before the new timeline, and no moment after the hole could
be restored from a backup before it. The promoted server has these segments still, as long as `wal_keep_size` or a
slot keeps them.

PRIVATE to the collection.
"""

from __future__ import annotations

import re

from .backrest_command import Backrest
from .backrest_info import Facts, segments_of, sound, usable
from .backrest_verify import missing_segments
from .errors import RecoveryError, failed
from .sql import Postgres

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_QUESTION = """
SELECT pg_is_in_recovery(), (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
"""


def absent(backrest: Backrest, entries: list[Facts], timeout: float) -> dict[str, list[str]]:
    """Return the segments of older timelines that the server has and a repository has not, with those repositories.

    Empty on a standby. Raises RecoveryError where the server or a repository cannot be asked.
    """
    if not backrest.postgres:
        return {}
    with Postgres(backrest.postgres) as server:
        in_recovery, size, timeline = server.row(_QUESTION)
    if in_recovery:
        return {}
    try:
        local = sorted(
            one.name
            for one in (backrest.pg_path / "pg_wal").iterdir()
            # after a promotion those of older timelines end before the fork, whose own segment is `.partial`
            if _SEGMENT.fullmatch(one.name) and one.name[:8] < timeline and one.stat().st_size == size
        )
    except OSError as error:
        raise RecoveryError(failed("list", f"{backrest.pg_path}/pg_wal", error.strerror)) from None
    found: dict[str, list[str]] = {}
    for entry in entries:
        if usable(entry) and entry["archives"] and local:
            present = segments_of(backrest, entry, {name[:16] for name in local}, timeout)
            begins = min((archive["min"] for archive in entry["archives"] if archive["min"]), default="")
            for name in local:
                if name not in present and name >= begins:  # older ones went by retention
                    found.setdefault(name, []).append(entry["name"])
    return dict(sorted(found.items()))


def holes(entries: list[Facts]) -> list[str]:
    """Return what nobody can hand in any more: WAL missing between two timelines, with no backup after it yet.

    `entries` know their timelines. Each reason names segment, repository and remedy.
    """
    told = []
    for entry in entries:
        ranges = [(one["id"], line["min"], line["max"]) for one in entry["archives"] for line in one["timelines"]]
        newest = max((one["wal_start"] for one in sound(entry)), default="")
        gone = [name for name in missing_segments(ranges, []) if name[8:] >= newest[8:]]
        if gone:
            told.append(
                f"WAL segments {gone[0]} to {gone[-1]} are missing in {entry['name']}: no moment after them can be "
                "restored from the backups there are. Take a backup."
            )
    return told


def hand_in(backrest: Backrest, segment: str, timeout: float) -> None:
    """Push one segment into every repository; one that has it already, and the same, stays as it is."""
    path = backrest.pg_path / "pg_wal" / segment
    backrest.run(
        "hand in", f"WAL segment {segment}", "archive-push", "--no-archive-async", str(path), timeout=timeout
    )  # fmt: skip
