# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard's second process, and its parent: fences when the first one dies, hangs or is frozen.

It imports neither boto3 nor psycopg2 and talks to nobody but the renewer, so that what hurts the renewer does not
hurt it.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

from .guard_config import GuardConfig, now
from .guard_fence import Fence
from .guard_link import Link
from .guard_state import log

_TICK = 0.1
_PAUSE = 1.0


class Watchdog:
    """Starts the renewer, watches its deadline, and fences in its place."""

    def __init__(self, config: GuardConfig, config_path: str) -> None:
        self.config = config
        self.config_path = config_path
        self.fence = Fence(config)
        self.stopping = False
        self.renewer: subprocess.Popen[bytes] | None = None
        self.link: Link | None = None
        self._until: float | None = None
        self._started = -_PAUSE

    def run(self) -> int:
        """Guard until told to stop: a planned stop fences, too, since nobody would renew any more."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        _notify("READY=1")
        while not self.stopping:
            try:
                self._watch(self.link or self._start_renewer())
            except OSError as error:  # no process, no memory, no descriptor: nobody renews
                log(self.config.region, f"the watchdog cannot work: {error}")
                self._fence(f"the watchdog cannot work: {error}")
                threading.Event().wait(_PAUSE)
            _notify("WATCHDOG=1")
        self._stop()
        return 0

    def _watch(self, link: Link) -> None:
        link.say({})
        link.wait(_TICK)
        problem = self._problem(link)
        if problem and not self.stopping:
            self._take_over(problem)

    def _start_renewer(self) -> Link:
        if now() - self._started < _PAUSE:  # one that ends at once is not started without a pause
            threading.Event().wait(_PAUSE)
        self._started = now()
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        command = [sys.executable, "-m", f"{__package__}.guard", "renew", "--config", self.config_path]
        command += ["--link", f"{theirs_in},{theirs_out}"]
        self.renewer = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.link = Link(ours_in, ours_out)
        log(self.config.region, f"watchdog {os.getpid()} started renewer {self.renewer.pid}")
        return self.link

    def _problem(self, link: Link) -> str:
        """What is wrong, if anything: the renewer ended, is silent, or let its own deadline pass."""
        until = link.last.get("until")
        due = until is not None and now() > until - self.config.fence_margin_seconds + self.config.watchdog_grace
        if due and not self._fenced():
            return "let the lease's end come near without fencing"
        return link.problem(self.config.patience + self.config.watchdog_grace)

    def _fenced(self) -> bool:
        return self.fence.is_up or not self.fence.postmaster.is_primary

    def _take_over(self, problem: str) -> None:
        """End the renewer for certain, fence, and let a new renewer find out what may be."""
        if self.renewer is None or self.link is None:
            raise RuntimeError("there is no renewer to take over from")
        self.renewer.kill()
        self._until = self.link.last.get("until")
        self.link.close()
        self._fence(f"the renewer {problem}")
        self.renewer.wait()
        log(self.config.region, f"renewer {self.renewer.pid} {problem}; ended it (status {self.renewer.returncode})")
        self.link = None

    def _stop(self) -> None:
        _notify("STOPPING=1")
        if self.renewer is not None and self.link is not None:
            self._until = self.link.last.get("until")
            self.renewer.terminate()
            try:
                self.renewer.wait(0.5)
            except subprocess.TimeoutExpired:
                self.renewer.kill()
                self.renewer.wait()
        self._fence("the guard was stopped")
        log(self.config.region, "stopped")

    def _fence(self, why: str) -> None:
        if self.fence.postmaster.is_primary and not self.fence.never_guarded:
            self.fence.put_up(why, self._until)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.stopping = True


def _notify(message: str) -> None:
    """Tell systemd, where it started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect("\0" + address[1:] if address.startswith("@") else address)
        out.send(message.encode())
