# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps an incident's lease for as long as its run lives, and gives it back when the run has ended, however it ended.

Workers of ansible-playbook live for one task, and its own process must not be forked with threads in it; so the
keeper is a process beside the run: it watches the run by a pidfd, renews after each third of the TTL, and
releases once the run and every worker of it are gone. It renews nothing while the run is stopped (SIGSTOP, a
suspended terminal): a run that is frozen may be taken over, and one whose machine dies is too, after the TTL.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ..module_utils.clock import Deadline
from ..module_utils.errors import RecoveryError
from ..module_utils.incident_holding import Holding, Standing
from ..module_utils.process_identity import ProcessIdentity

#: Seconds without any answer from the witness after which the keeper leaves it to the run's own steps.
_GIVE_UP = 600.0


def start(options: t.Mapping[str, t.Any], incident: str, token: int, run: ProcessIdentity) -> None:
    """Start the keeper of `run`, which claimed `token`. Does nothing where no process can be watched (not Linux)."""
    if not run.started or not hasattr(os, "pidfd_open"):
        return
    told = {"lease": dict(options), "incident": incident, "token": token, "run": run.as_dict()}
    root = str(Path(__file__).parents[5])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.terragon.disaster_recovery.plugins.plugin_utils.lease_keeper"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    if process.stdin is None:
        raise RuntimeError("a process with a pipe has one")
    with process.stdin:
        process.stdin.write(json.dumps(told).encode())


class Keeper:
    """Holds on for one run."""

    def __init__(self, told: t.Mapping[str, t.Any]) -> None:
        run = ProcessIdentity.from_dict(told["run"])
        if run is None:
            raise ValueError("the run is no process identity")
        self.run = run
        self.me = ProcessIdentity.of(os.getpid(), run.user)
        self.holding = Holding(told["lease"], told["incident"], int(told["token"]), run)
        self.answered = time.monotonic()

    def keep(self) -> None:
        """Renew until the run has ended, then release; end early when the lease is another's or was given back."""
        pause = self.holding.ttl / 3
        while not self._ends_within(pause):
            if self.run.is_frozen:
                continue
            standing = self._try(self._renewed)
            if standing in (Standing.LOST, Standing.GIVEN_BACK) or time.monotonic() - self.answered > _GIVE_UP:
                return
            pause = self.holding.ttl / (10 if standing is None else 3)
        self._await_workers()
        self._release()

    def _ends_within(self, seconds: float) -> bool:
        """Watch the run for at most `seconds`; True as soon as it has ended."""
        try:
            handle = os.pidfd_open(self.run.pid)  # type: ignore[attr-defined,unused-ignore]
        except ProcessLookupError:
            return True
        try:
            if self.run.has_ended:  # the process id is another's
                return True
            watched = select.poll()
            watched.register(handle, select.POLLIN)
            return bool(watched.poll(seconds * 1000))
        finally:
            os.close(handle)

    def _await_workers(self) -> None:
        """A worker of a killed run may be within a step: hold on until it is done."""
        due = Deadline(self.holding.ttl / 3)
        while self.run.workers(self.me):
            if due.expired:
                if self._try(self._renewed) not in (None, Standing.HELD):
                    return
                due = Deadline(self.holding.ttl / 3)
            due.rest(0.2)

    def _release(self) -> None:
        """Try for as long as the lease would live anyway."""
        deadline = Deadline(self.holding.ttl)
        while self._try(self._released) is None and not deadline.expired:
            deadline.rest(1.0)

    def _renewed(self) -> Standing:
        return self.holding.standing(self.holding.renew())

    def _released(self) -> Standing:
        self.holding.release()
        return Standing.GIVEN_BACK

    def _try(self, act: t.Callable[[], Standing]) -> Standing | None:
        """Return what the witness says, None when it cannot be asked."""
        try:
            standing = act()
        except RecoveryError:
            return None
        self.answered = time.monotonic()
        return standing


if __name__ == "__main__":
    Keeper(json.load(sys.stdin)).keep()
