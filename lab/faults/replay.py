"""A standby goes on receiving, and no longer replays what it receives."""

from __future__ import annotations

from typing import Any

from lab.catalogue import REGIONS
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab


def _pause(lab: Lab, region: str) -> str:
    from lab.postgres import session  # noqa: PLC0415 needs the database driver

    with session(lab, region) as cursor:
        if not _in_recovery(cursor):
            raise LabError(
                f"Failed to pause replay in {region}: its PostgreSQL is no standby. Name the standby's region."
            )
        cursor.execute("SELECT pg_wal_replay_pause()")
    return f"standby in {region}: replay paused"


def _resume(lab: Lab, region: str) -> str:
    """Replay on; a server that was promoted meanwhile has replayed all it had."""
    from lab.postgres import session  # noqa: PLC0415

    with session(lab, region) as cursor:
        if not _in_recovery(cursor):
            return f"PostgreSQL in {region} is no standby any more: nothing to resume"
        cursor.execute("SELECT pg_wal_replay_resume()")
    return f"standby in {region}: replays again"


def _in_recovery(cursor: Any) -> bool:
    cursor.execute("SELECT pg_is_in_recovery()")
    return bool(cursor.fetchone()[0])


FAULTS = {
    "replay": Fault(
        help="let a standby receive and no longer replay; heal lets it replay on",
        subjects=REGIONS,
        break_it=_pause,
        heal_it=_resume,
    ),
}
