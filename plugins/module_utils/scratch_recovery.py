# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recovery in a scratch: to its target, where it pauses, or to the end of the WAL; then, when asked, promotion.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import asdict, dataclass

from .clock import Deadline, Wait, to_iso, wait_until
from .errors import RecoveryError, TimedOut, Unreachable, failed
from .logical_process import TELL_SECONDS, Tell
from .postgres_state import lsn_number
from .scratch_cluster import ScratchServer
from .sql import Postgres, WriteRefused

_LOOK = """
SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
       pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),
       (SELECT timeline_id FROM pg_control_checkpoint())
"""


@dataclass(frozen=True)
class Replay:
    """One look. `replayed_at` is when the last replayed transaction committed, by its primary's clock."""

    in_recovery: bool
    paused: bool
    replay_lsn: str | None
    replayed_at: str | None
    timeline: int

    @classmethod
    def of(cls, server: Postgres) -> Replay:
        """Ask. Raises as Postgres.rows() does."""
        in_recovery, paused, lsn, moment, timeline = server.row(_LOOK)
        return cls(in_recovery, paused, lsn, to_iso(moment) if moment else None, timeline)

    def as_dict(self) -> dict[str, t.Any]:
        """Return JSON-safe members."""
        return asdict(self)


class Recovery:
    """Waits for the recovery of one scratch server."""

    def __init__(self, server: ScratchServer, tell: Tell) -> None:
        self.server = server
        self.tell = tell
        self.wait = Wait("replay")
        self._tick = Deadline(TELL_SECONDS)
        self._last: tuple[float, int] | None = None

    def await_end(self, has_target: bool) -> Replay:
        """Return once the target is reached (paused) or recovery has ended.

        Raises RecoveryError with the log's words when the server ended, TimedOut saying how far it came.
        """
        seen: list[Replay] = []

        def ended() -> Replay | None:
            if not self.server.running:
                raise self.server.log.explained(self.server.scratch.path)
            try:
                with Postgres(self.server.options("template1")) as sql:
                    look = Replay.of(sql)
            except (Unreachable, WriteRefused):
                return None
            seen[:] = [look]
            self._say(look)
            if look.paused and not has_target:
                raise self._paused(look)
            return look if look.paused or not look.in_recovery else None

        with self.wait:
            try:
                return wait_until(ended, self.server.timeout, "the end of recovery", interval=0.1)
            except TimedOut as error:
                where = f" It has replayed until {seen[0].replay_lsn}." if seen else ""
                raise TimedOut(f"{error}{where} Raise timeout, or look at {self.server.log.path}.") from None

    def _paused(self, look: Replay) -> RecoveryError:
        cause = (
            f"it paused at {look.replay_lsn} without a target: {self.server.log.explained(self.server.scratch.path)}"
        )
        return RecoveryError(failed("recover", f"the scratch {self.server.scratch.path}", cause))

    def _say(self, look: Replay) -> None:
        if not look.replay_lsn or not self._tick.expired:
            return
        self._tick = Deadline(TELL_SECONDS)
        now, position = time.monotonic(), lsn_number(look.replay_lsn)
        rate = ""
        if self._last and now > self._last[0]:
            rate = f", {(position - self._last[1]) / (now - self._last[0]) / 1e6:.1f} MB/s"
        self._last = (now, position)
        self.tell(f"recovery: replayed {look.replay_lsn}{rate}, commits until {look.replayed_at}")

    def promote(self) -> Replay:
        """End recovery here; the scratch gets a timeline of its own. Raises TimedOut."""
        seconds = max(1, round(self.server.timeout))
        with Postgres(self.server.options("template1")) as sql:
            before = Replay.of(sql)
            if not before.in_recovery:
                return before
            if not sql.row("SELECT pg_promote(true, %s)", (seconds,), timeout=seconds + 5.0)[0]:
                raise TimedOut(f"Timed out after {seconds} s waiting for the scratch's promotion. Raise timeout.")
            sql.rows("CHECKPOINT", timeout=float(seconds))  # until then the control file says the old timeline
            after = Replay.of(sql)
            return Replay(False, False, before.replay_lsn, before.replayed_at, after.timeline)
