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

from .guard_config import GuardConfig, now
from .guard_fence import Fence
from .guard_link import Link
from .guard_state import log

_TICK = 0.1


class Watchdog:
    """Starts the renewer, watches its deadline, and fences in its place."""

    def __init__(self, config: GuardConfig, config_path: str) -> None:
        self.config = config
        self.config_path = config_path
        self.fence = Fence(config)
        self.stopping = False
        self.renewer: subprocess.Popen[bytes] | None = None
        self.link: Link | None = None

    def run(self) -> int:
        """Guard until told to stop: a planned stop fences, too, since nobody would renew any more."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        _notify("READY=1")
        while not self.stopping:
            if self.link is None:
                self._start_renewer()
            assert self.link is not None
            self.link.say({})
            self.link.wait(_TICK)
            problem = self._problem(self.link)
            if problem and not self.stopping:
                self._take_over(problem)
            _notify("WATCHDOG=1")
        self._stop()
        return 0

    def _start_renewer(self) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        command = [sys.executable, "-m", f"{__package__}.guard", "renew", "--config", self.config_path]
        command += ["--link", f"{theirs_in},{theirs_out}"]
        self.renewer = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.link = Link(ours_in, ours_out)
        log(self.config.region, f"watchdog {os.getpid()} started renewer {self.renewer.pid}")

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
        assert self.renewer is not None and self.link is not None
        self.renewer.kill()
        until = self.link.last.get("until")
        self.link.close()
        if self.fence.postmaster.is_primary:
            self.fence.put_up(f"the renewer {problem}", until)
        self.renewer.wait()
        log(self.config.region, f"renewer {self.renewer.pid} {problem}; ended it (status {self.renewer.returncode})")
        self.link = None

    def _stop(self) -> None:
        _notify("STOPPING=1")
        until = None
        if self.renewer is not None and self.link is not None:
            until = self.link.last.get("until")
            self.renewer.terminate()
            try:
                self.renewer.wait(0.5)
            except subprocess.TimeoutExpired:
                self.renewer.kill()
                self.renewer.wait()
        if self.fence.postmaster.is_primary:
            self.fence.put_up("the guard was stopped", until)
        log(self.config.region, "stopped")

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
