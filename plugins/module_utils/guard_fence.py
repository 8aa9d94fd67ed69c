# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fencing and opening one PostgreSQL: the two effects of the guard.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import threading
import typing as t

from .errors import RecoveryError
from .guard_config import GuardConfig, now
from .guard_hba import HbaFile
from .guard_postmaster import Postmaster
from .guard_state import StateDirectory, log


class Fence:
    """Opens and closes the server of one configuration; safe to use from several processes at once."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.hba = HbaFile(config.hba_file)
        self.postmaster = Postmaster(config.data_directory)
        self.state = StateDirectory(config.state_directory)
        self._ordered = 0.0
        self._trouble = ""

    @property
    def is_up(self) -> bool:
        """True when the server is stopped and would start rejecting everybody."""
        return self.hba.closed and self.postmaster.pid() is None

    @property
    def never_guarded(self) -> bool:
        """True before this guard has ever seen a lease, where it may create one: there is nothing to protect yet.

        A mistake in the first deployment must not stop a database that nobody else can be writing to.
        """
        try:
            return self.config.bootstrap and self.state.memory().highest_epoch == 0
        except RecoveryError:
            return False

    def put_up(self, reason: str, until: float | None, orderly: bool = False) -> str:
        """Close the file, stop the server, say how it was stopped. `until` (guard_config.now) is when it must be done.

        The file first: whoever starts the server from then on starts it closed. `orderly` gives the server nearly all
        of the time for its own shutdown, which hands the standby everything that was committed.
        """
        seconds = max(1.0, until - now()) if until is not None else 3.0
        running = self.postmaster.pid() is not None
        was_closed = self.hba.closed  # False, too, where the file is missing: the server is stopped all the same
        serves = running or not was_closed  # what is stopped here, or died while it was open, is started again
        writing = threading.Thread(target=self._write_down, args=(reason, serves), daemon=True)
        writing.start()
        writing.join(min(0.5, seconds * 0.2))  # a disk that hangs must not keep the server from being stopped
        spare = until - self.config.fence_margin_seconds - now() if orderly and until is not None else 0.0
        # Frozen or paused over the lease's end, with sessions that may commit: another region may serve already.
        overdue = until is not None and now() >= until and not was_closed
        how = self.postmaster.stop(0.0 if overdue else seconds, orderly_seconds=0.9 * spare)
        writing.join()
        if running:  # once more: another process of ours may have seen it run meanwhile, and forgotten
            self._remember_stop()
        if running or (not was_closed and self.hba.closed):
            log(self.config.region, f"FENCED ({reason}); server stopped: {how}")
        return how

    def take_down(self, may_serve: t.Callable[[], bool]) -> bool:
        """Open the file and let the server know, while `may_serve` holds. Returns True when something changed."""
        if not self.hba.closed:
            return False
        with self.state.lock(0.3) as locked:
            if not locked or not may_serve():
                return False
            changed = self.hba.open()
            self.postmaster.reload()
        return changed

    def start_again(self) -> None:
        """Start the server if the guard had stopped it; order a start at most once a renewal."""
        if not self.state.memory().stopped_by_guard:
            return
        if self.postmaster.pid() is not None:
            self.state.remember(stopped_by_guard=False)
            return
        if now() - self._ordered >= max(2.0, self.config.renew_seconds):
            self._ordered = now()
            if self.postmaster.start(self.config.start_argv):
                log(self.config.region, "starting PostgreSQL")

    def _write_down(self, reason: str, serves: bool) -> None:
        try:
            with self.state.lock(0.2):  # closing needs no lock, it only waits out an opening that is under way
                self.hba.close(reason)
            if serves:
                self.state.remember(stopped_by_guard=True)
            self._trouble = ""
        except (OSError, RecoveryError) as error:  # a full disk: stopping the server still fences
            if str(error) != self._trouble:
                self._trouble = str(error)
                log(self.config.region, f"could not close {self.hba.path}: {error}")

    def _remember_stop(self) -> None:
        with contextlib.suppress(OSError, RecoveryError):  # a full disk, which was told already
            self.state.remember(stopped_by_guard=True)


def before_start(config: GuardConfig) -> None:
    """Run before every start of PostgreSQL: a standby starts open, everything else starts closed."""
    fence = Fence(config)
    with fence.state.lock(2.0):
        if not fence.postmaster.is_primary:
            if fence.hba.open():
                log(config.region, "standby: pg_hba.conf opened before the start")
        elif fence.hba.close("closed before the start; the guard opens it when it holds the lease"):
            log(config.region, "pg_hba.conf closed before the start")
