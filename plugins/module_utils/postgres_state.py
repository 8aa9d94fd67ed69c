# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one PostgreSQL server is: primary or standby, how far it is, and which heartbeats it has.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

from .clock import to_iso
from .sql import Postgres, SqlFailed

_STATE = """
SELECT in_recovery,
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN in_recovery THEN greatest(
              (SELECT received_tli FROM pg_stat_wal_receiver),
              (SELECT timeline_id FROM pg_control_checkpoint()),
              (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::text
            ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
       CASE WHEN in_recovery THEN NULL ELSE pg_current_wal_lsn() END,
       CASE WHEN in_recovery THEN pg_last_wal_receive_lsn() END,
       pg_last_wal_replay_lsn(),
       CASE WHEN in_recovery THEN pg_is_wal_replay_paused() ELSE false END
FROM (SELECT pg_is_in_recovery() AS in_recovery) AS role
"""

#: object_not_in_prerequisite_state: the server was promoted between two functions of one statement.
_PROMOTED_MEANWHILE = "55000"


@dataclass(frozen=True)
class Heartbeat:
    """One row of dr.heartbeat: at `written_at` of the witness's clock, or later, `region` had written up to `lsn`."""

    region: str
    epoch: int
    sequence: int
    written_at: dt.datetime
    lsn: str

    def as_dict(self) -> dict[str, t.Any]:
        """JSON-safe."""
        return {
            "region": self.region,
            "epoch": self.epoch,
            "sequence": self.sequence,
            "written_at": to_iso(self.written_at),
            "lsn": self.lsn,
        }


@dataclass(frozen=True)
class ServerState:
    """One look at a server. Positions are as PostgreSQL writes them, for example 0/16B3748."""

    in_recovery: bool
    system_identifier: str
    timeline: int
    #: last position written, of a primary
    lsn: str | None
    #: last position received, of a standby
    receive_lsn: str | None
    #: last position replayed, of a standby; of a promoted server until it restarts
    replay_lsn: str | None
    replay_paused: bool

    @classmethod
    def of(cls, server: Postgres) -> ServerState:
        """Ask. Raises as Postgres.rows() does."""
        try:
            row = server.row(_STATE)
        except SqlFailed as error:
            if error.sqlstate != _PROMOTED_MEANWHILE:
                raise
            row = server.row(_STATE)
        in_recovery, system, timeline, *rest = row
        return cls(in_recovery, system, int(timeline, 10 if in_recovery else 16), *rest)

    @property
    def position(self) -> str | None:
        """Where it is: written for a primary, replayed for a standby."""
        return self.replay_lsn if self.in_recovery else self.lsn


def heartbeats(server: Postgres) -> list[Heartbeat]:
    """Return the heartbeats that the server has, the newest first. Raises as Postgres.rows() does."""
    rows = server.rows("SELECT region, epoch, sequence, written_at, lsn FROM dr.heartbeat")
    found = [Heartbeat(*row) for row in rows]
    return sorted(found, key=lambda one: (one.epoch, one.written_at), reverse=True)


def lsn_number(lsn: str) -> int:
    """Return a position in the WAL, for example 0/16B3748, as a number that can be compared."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
