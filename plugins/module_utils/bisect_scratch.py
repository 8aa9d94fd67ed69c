# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restored cluster that recovery brings from moment to moment, forward only; a step back is another restore.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t
from pathlib import Path

from .backrest_command import Backrest, Repository, Tell
from .backrest_info import Facts
from .backrest_restore import restore
from .clock import Deadline
from .errors import RecoveryError, failed
from .guard_postmaster import Postmaster
from .postgres_cluster import Cluster
from .postgres_state import lsn_number
from .scratch_cluster import Account, ScratchServer
from .scratch_owner import Scratch, ScratchRoot
from .scratch_present import libraries
from .scratch_recovery import Recovery, Replay
from .scratch_settings import base_settings, inherited, require_inside, restored_settings
from .standby_timelines import lsn_text

_STOP_SECONDS, _ORDERLY_SECONDS = 60.0, 30.0
_PORT = 5432
#: bytes of WAL that are replayed again in less time than a checkpoint takes
_WORTH_KEEPING = 32 << 20
#: a primary's settings that were raised on the way are known once their record was replayed
_TRIES = 2


class Machine:
    """One scratch directory. `backup` and `position` say what it holds; None for nothing, or for what cannot go on.

    Raises RecoveryError, TimedOut when `deadline` is over.
    """

    def __init__(
        self, scratch: Scratch, backrest: Backrest, repository: Repository, timeline: int, processes: int,
        superuser: str, bin_directory: str | None, deadline: Deadline, tell: Tell,
    ) -> None:  # fmt: skip
        self.scratch, self.backrest, self.repository, self.timeline = scratch, backrest, repository, timeline
        self.processes, self.superuser, self.bin_directory = processes, superuser, bin_directory
        self.deadline, self.tell = deadline, tell
        self.account = Account(backrest.uid, backrest.gid)
        self.backup: str | None = None
        self.position: int | None = None
        self.restores = self.steps = 0
        self.restore_seconds, self.step_seconds = list[float](), list[float]()
        self._brought: dict[str, str] = {}
        self._replayed = 0  # bytes of WAL since where a start would begin
        self._server().prepare()

    @property
    def cluster(self) -> Cluster:
        """The restored cluster's files."""
        return Cluster(self.scratch.data, self.bin_directory)

    @property
    def options(self) -> dict[str, t.Any]:
        """The `postgres` option that reaches the server."""
        return self._server().options()

    def reaches(self, backup: str, lsn: int) -> bool:
        """Whether a position is ahead of what is there."""
        return self.backup == backup and self.position is not None and self.position <= lsn

    def ensure(self, backup: Facts) -> None:
        """Have some restored files there."""
        if self.backup is None:
            self._restore(backup)

    def at_backup(self, backup: Facts) -> None:
        """Restore a backup and stop as soon as it is consistent."""
        self._restore(backup)
        self._recover({"recovery_target": "immediate"}, lsn_number(backup["lsn_stop"]))

    def at(self, backup: Facts, lsn: int) -> None:
        """Be right after the record that begins at a position behind the end of `backup`."""
        if not self.reaches(backup["label"], lsn):
            self._restore(backup)
        target = {"recovery_target_lsn": lsn_text(lsn), "recovery_target_inclusive": "on"}
        self._recover(target, lsn)

    def stop(self, orderly: bool = False) -> None:
        """Stop the server; `orderly` keeps what it has replayed, so that the next start need not replay it again."""
        postmaster = Postmaster(self.scratch.data)
        pid = postmaster.pid()
        if pid is not None and not orderly:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
        postmaster.stop(_STOP_SECONDS, _ORDERLY_SECONDS)

    def _restore(self, backup: Facts) -> None:
        """Fill the data directory anew; what is as it was in the backup stays."""
        started = time.monotonic()
        self.stop()
        again, self.backup, self.position = self.restores > 0, None, None
        target = {"immediate": True}  # ours are the settings that count
        restore(
            self.backrest, self.repository, backup, self.scratch.data, target, self.processes, self._remaining,
            self.tell, delta=again,
        )  # fmt: skip
        require_inside(self.scratch.data, self.scratch.path)
        self._brought = inherited(self.scratch.data)
        self.backup, self.position = backup["label"], 0
        self.restores += 1
        self.restore_seconds.append(time.monotonic() - started)

    def _recover(self, target: dict[str, str], lsn: int) -> None:
        """Start with a target and wait until it is reached."""
        started = time.monotonic()
        for _try in range(_TRIES):
            self.stop(orderly=self._replayed > _WORTH_KEEPING)
            self.position = None
            server = self._server()
            server.start(self._settings(target), self.bin_directory)
            server.await_answers(self.tell)
            with server.explaining():
                server.ask()
                reached = Recovery(server, self.tell).await_end(True)
            if not reached.in_recovery or lsn_number(reached.replay_lsn or "0/0") >= lsn:
                self._arrived(reached, lsn)
                self.step_seconds.append(time.monotonic() - started)
                return
        cause = f"its recovery stopped at {reached.replay_lsn}: {server.log.end()[-400:].strip()}"
        raise RecoveryError(failed("bring", f"the scratch {self.scratch.path} to {lsn_text(lsn)}", cause))

    def _arrived(self, reached: Replay, lsn: int) -> None:
        self.steps += 1
        # A server that could not yet answer at its target ends recovery there: it is at the moment, and cannot go on.
        self.position = lsn if reached.in_recovery else None
        self._replayed = lsn - lsn_number(self.cluster.control().redo)

    def _settings(self, target: dict[str, str]) -> t.Any:
        free = ScratchRoot(str(self.scratch.path)).free_bytes
        base = base_settings(self.scratch.path, _PORT, None, free)
        cluster, preload = self.cluster, self._brought.get("shared_preload_libraries", "")
        fetch = self._brought["restore_command"]
        recovery = {"restore_command": fetch, "recovery_target_timeline": str(self.timeline), **target}
        slots = max(10, len(os.listdir(self.scratch.data / "pg_replslot")))
        settings = restored_settings(base, cluster.control().settings, recovery, preload, libraries(cluster), slots)
        settings.values["fsync"] = "off"  # what a power failure leaves here is restored again
        return settings

    def _server(self) -> ScratchServer:
        return ScratchServer(self.scratch, self.account, self.superuser, _PORT, self._remaining)

    @property
    def _remaining(self) -> float:
        return max(1.0, self.deadline.remaining)


def wal_directory(scratch: Scratch) -> Path:
    """Return where segments are kept while they are read."""
    return scratch.path / "wal"
