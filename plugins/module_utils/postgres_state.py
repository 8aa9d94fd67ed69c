# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one PostgreSQL server is: primary or standby, how far it is, and whether it commits a write.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
import uuid
from dataclasses import dataclass

from .clock import to_iso
from .errors import RecoveryError
from .postgres import QueryFailed, Session

#: A probe must find out whether anybody can write. A read-only default binds nobody who does not want it, and a
#: standby that is away must not hold up the answer.
PROBE_SETTINGS = {"default_transaction_read_only": "off", "synchronous_commit": "local"}

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

_PROBE = """
INSERT INTO dr.probe AS old (region, token, written_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (region) DO UPDATE SET token = excluded.token, written_at = excluded.written_at
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
    def of(cls, session: Session) -> ServerState:
        """Ask. Raises QueryFailed, Unreachable."""
        try:
            row = session.query(_STATE)[0]
        except QueryFailed as error:
            if error.code != _PROMOTED_MEANWHILE:
                raise
            row = session.query(_STATE)[0]
        in_recovery, system, timeline, *rest = row
        return cls(in_recovery, system, int(timeline, 10 if in_recovery else 16), *rest)

    @property
    def position(self) -> str | None:
        """Where it is: written for a primary, replayed for a standby."""
        return self.replay_lsn if self.in_recovery else self.lsn


def heartbeats(session: Session) -> list[Heartbeat]:
    """Return the heartbeats that the server has, the newest first. Raises QueryFailed, Unreachable."""
    rows = session.query("SELECT region, epoch, sequence, written_at, lsn FROM dr.heartbeat")
    found = [Heartbeat(*row) for row in rows]
    return sorted(found, key=lambda one: (one.epoch, one.written_at), reverse=True)


def write_probe(session: Session, region: str, timeout: float | None = None) -> str:
    """Commit one row into dr.probe and return its token. Raises QueryFailed, Unreachable, RecoveryError."""
    token = uuid.uuid4().hex
    try:
        session.query(_PROBE, region, token, timeout=timeout)
    except QueryFailed as error:
        if error.code in ("3F000", "42P01", "42501"):
            raise ProbeMissing(f"{error} Apply the role lease_guard's schema.sql to this cluster.") from error
        raise
    return token


class ProbeMissing(RecoveryError):
    """There is no table dr.probe, or this user may not write to it: whether a write is accepted cannot be asked."""
