# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard's first process: keeps the lease and lets PostgreSQL serve for as long as it lasts.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import signal
import typing as t

from .errors import RecoveryError
from .guard_config import GuardConfig, now
from .guard_fence import Fence
from .guard_keeper import Keeper
from .guard_link import Link
from .guard_sampler import Sampler
from .guard_state import log

_TICK = 0.1


class Renewer:
    """Brings reality to what the lease allows, ten times a second. See docs/development.md for the rules."""

    def __init__(self, config: GuardConfig, link: Link) -> None:
        self.config = config
        self.fence = Fence(config)
        self.sampler = Sampler(config, self._serving_epoch)
        self.keeper = Keeper(config, self.fence, self.sampler.samples)
        self.sampler.lease = self.keeper.lease
        self.link = link
        self.state = ""
        self.stopping = False
        self._met: tuple[int, float] | None = None
        self._shown = 0.0
        self._trouble = ""

    def run(self) -> int:
        """Work until told to stop, or until the watchdog is gone: then fence and end.

        Beside a standby there is nothing to fence yet, so a watchdog that is only silent is borne: whoever left now
        would leave the server alone when it is promoted.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        self.keeper.start()
        self.sampler.start()
        while not self.stopping:
            self._tell()
            problem = self.link.problem(self.config.patience)
            if problem and (self.link.ended or self.fence.postmaster.is_primary):
                self._leave(f"the watchdog {problem}")
                return 1
            try:
                self.reconcile()
                self._note("")
            except (OSError, RecoveryError) as error:
                self._note(str(error))
            self.link.wait(_TICK)
        return 0

    def may_serve(self) -> bool:
        """True while the lease is ours for longer than a fence takes."""
        until = self.keeper.standing.until
        return until is not None and now() < until - self.config.fence_margin_seconds

    def reconcile(self) -> None:
        """Compare what is with what may be, and act on the difference."""
        server = self.fence.postmaster
        if not server.is_primary:
            self._met = None
            if self.fence.take_down(lambda: not server.is_primary):
                log(self.config.region, "standby: pg_hba.conf opened")
            self._become("standby")
            return
        met = self._meet(server.pid())
        if self.may_serve():
            self._serve()
        else:
            self._refuse(met)

    def _serve(self) -> None:
        if not self.keeper.standing.free and self.fence.hba.closed:
            self._become("waiting")
            return
        if self.fence.take_down(lambda: self.may_serve() and self.keeper.standing.free):
            log(self.config.region, f"holding epoch {self.keeper.standing.epoch}: pg_hba.conf opened")
        self.fence.start_again()
        self._become("serving")

    def _meet(self, pid: int | None) -> float:
        """Return when this primary was first seen; one just started or promoted makes old knowledge too old."""
        if self._met is None or self._met[0] != (pid or 0):
            self._met = (pid or 0, now())
            self.keeper.look_now()
        return self._met[1]

    def _refuse(self, met: float) -> None:
        """A primary without the lease: fence, as soon as that is known for sure or cannot be known in time."""
        standing, server = self.keeper.standing, self.fence.postmaster
        fresh = standing.seen >= met or standing.until is not None
        if not fresh and now() < met + self.config.answer_seconds:
            return
        if not fresh and self.fence.never_guarded:
            self._become("waiting")  # its first start, and the witness does not answer
            return
        if server.pid() is not None or not self.fence.hba.closed:
            why = standing.reason or "the lease was not renewed in time"
            self.fence.put_up(why, standing.until or standing.lasted, orderly=standing.planned)
        self._become("fenced")

    def _leave(self, why: str) -> None:
        if self.fence.postmaster.is_primary and not self.fence.never_guarded:
            self.fence.put_up(why, self.keeper.standing.until)
        log(self.config.region, f"renewer ends: {why}")

    def _serving_epoch(self) -> int | None:
        """For the sampler: the epoch under which this primary serves now."""
        if self.state == "serving" and self.may_serve() and self.fence.postmaster.pid() is not None:
            return self.keeper.standing.epoch
        return None

    def _tell(self) -> None:
        """Let the watchdog know until when this region may serve; of a lease that is lost, until when it lasted.

        Whoever hangs amid the fence that follows the loss has not fenced yet.
        """
        standing = self.keeper.standing
        self.link.say({"until": standing.until or standing.lasted, "state": self.state})

    def _become(self, state: str) -> None:
        standing = self.keeper.standing
        if state != self.state:
            why = f" ({standing.reason})" if standing.reason else ""
            log(self.config.region, f"{state}, epoch {standing.epoch} of {standing.holder or 'nobody'}{why}")
        if state != self.state or standing.seen != self._shown:
            self.state, self._shown = state, standing.seen
            self.fence.state.show(self.describe())

    def describe(self) -> dict[str, t.Any]:
        """What `status` prints."""
        standing, server = self.keeper.standing, self.fence.postmaster
        return {
            "state": self.state,
            "region": self.config.region,
            "holder": standing.holder,
            "epoch": standing.epoch,
            "lease_seconds": None if standing.until is None else round(standing.until - now(), 3),
            "reason": standing.reason,
            "hba": "closed" if self.fence.hba.closed else "open",
            "primary": server.is_primary,
            "postmaster_pid": server.pid(),
            "renewer_pid": os.getpid(),
            "watchdog_pid": os.getppid(),
            "samples": len(self.sampler.samples()),
        }

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log(self.config.region, trouble)
        self._trouble = trouble

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.stopping = True
