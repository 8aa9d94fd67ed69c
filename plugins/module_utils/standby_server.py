# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The standby itself, asked over SQL: does it stream from the source, and how far has it replayed?

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .clock import Wait, wait_until
from .errors import RecoveryError, TimedOut, Unreachable
from .postgres_state import lsn_number
from .sql import Postgres, WriteRefused
from .standby_source import Primary, Source

_QUERY = """
SELECT pg_is_in_recovery(), (SELECT system_identifier::text FROM pg_control_system()),
       receiver.status, receiver.sender_host, receiver.sender_port, receiver.slot_name, receiver.received_tli,
       pg_last_wal_replay_lsn(), current_setting('primary_conninfo'), current_setting('primary_slot_name')
FROM (SELECT) AS one LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


@dataclass(frozen=True)
class Standby:
    """One look at the server. What a receiver would say is None while none runs."""

    in_recovery: bool
    system_identifier: str
    status: str | None
    host: str | None
    port: int | None
    slot: str | None
    timeline: int | None
    replay_lsn: str | None
    conninfo: str
    slot_name: str

    @classmethod
    def of(cls, server: Postgres) -> Standby:
        """Ask. Raises as Postgres.rows() does."""
        return cls(*server.row(_QUERY))

    def streams_from(self, source: t.Mapping[str, t.Any], slot: str, primary: Primary) -> bool:
        """Return whether it receives the source's present timeline, over the slot."""
        where = (source["host"], int(source.get("port") or 5432), slot)
        streams = self.in_recovery and self.status == "streaming" and self.timeline == primary.timeline
        return streams and (self.host, self.port, self.slot) == where


def lag_bytes(source: Source, standby: Standby) -> int | None:
    """Return by how many bytes of WAL the standby's replay is behind the source now."""
    if standby.replay_lsn is None:
        return None
    return max(0, lsn_number(source.lsn()) - lsn_number(standby.replay_lsn))


class CatchUp:
    """Waits until the server streams and has replayed what the source had written when the wait began."""

    def __init__(self, server: Postgres, source: Source, slot: str, primary: Primary) -> None:
        self.server = server
        self.source = source
        self.slot = slot
        self.primary = primary
        self.wait = Wait("standby_catch_up")
        self.last: Standby | None = None
        self._trouble = "it does not run"

    def done(self, timeout: float) -> Standby:
        """Return the standby once it has caught up. Raises TimedOut naming what is missing, RecoveryError when lost."""
        target = lsn_number(self.source.lsn())
        what = f"{self.server.name} to stream from {self.source.name} and to catch up"
        with self.wait:
            try:
                return wait_until(lambda: self._caught_up(target), timeout, what, interval=0.1)
            except TimedOut as error:
                remedy = "Look at the server's log, then run the same command again."
                raise TimedOut(f"{error} The last look: {self._trouble}. {remedy}") from None

    def _caught_up(self, target: int) -> Standby | None:
        try:
            self.last = found = Standby.of(self.server)
        except (Unreachable, WriteRefused) as error:  # it starts, or its guard has not opened it yet
            self._trouble = str(error).rstrip(".")
            return None
        if not found.in_recovery:
            remedy = "See the lease guard of its region, which should have fenced it."
            raise RecoveryError(f"Failed to follow {self.source.name}: {self.server.name} is no standby. {remedy}")
        replayed = lsn_number(found.replay_lsn) if found.replay_lsn else 0
        self._trouble = (
            f"receiver {found.status or 'not running'}, timeline {found.timeline}, slot {found.slot}, replayed "
            f"{found.replay_lsn}, {max(0, target - replayed)} bytes to go"
        )
        streams = found.streams_from(self.source.options, self.slot, self.primary)
        return found if streams and replayed >= target else None
