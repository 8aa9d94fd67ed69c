# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The postmaster of one data directory, by its files, its process id and signals: no SQL, so nothing can hang.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from .guard_config import now


class Postmaster:
    """PostgreSQL as the operating system sees it. Needs the server's own user, or root."""

    def __init__(self, data_directory: Path) -> None:
        self.data = data_directory
        self._starting: subprocess.Popen[bytes] | None = None

    @property
    def is_primary(self) -> bool:
        """True unless a signal file keeps the server in recovery; promotion removes it before writes begin."""
        return not any((self.data / name).exists() for name in ("standby.signal", "recovery.signal"))

    def pid(self) -> int | None:
        """Process id of the running postmaster, None when none runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def processes(self) -> list[int]:
        """Every server process in this data directory: postmaster, backends and orphans of a killed postmaster."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid() and self._works_here(int(entry)):
                found.append(int(entry))
        return found

    def reload(self) -> None:
        """Let the running server read pg_hba.conf again."""
        self._signal(self.pid(), signal.SIGHUP)

    def start(self, argv: tuple[str, ...]) -> bool:
        """Order the start without waiting for it; returns False while an earlier order runs."""
        if self._starting is not None and self._starting.poll() is None:
            return False
        quiet = subprocess.DEVNULL
        self._starting = subprocess.Popen(argv, stdin=quiet, stdout=quiet, start_new_session=True)
        return True

    def stop(self, seconds: float, orderly_seconds: float = 0.0) -> str:
        """Stop the server for certain and say how: `not running`, `fast`, `immediate` or `kill`.

        Fast shutdown first: it ends every session and hands what is committed to the standbys. What lives on is
        shut down immediately, then killed; `seconds` is how long all of it may take, `orderly_seconds` how long the
        fast shutdown gets at least. Returns only when no process is left.
        """
        if self.pid() is None and not self.processes():
            return "not running"
        for how, number, patience in (
            ("fast", signal.SIGINT, max(orderly_seconds, min(0.5, seconds * 0.2))),
            ("immediate", signal.SIGQUIT, min(1.0, seconds * 0.3)),
        ):
            self._signal(self.pid(), number)
            if self._gone_within(patience):
                return how
        while not self._gone_within(0.05):
            self._signal(self.pid(), signal.SIGSTOP)  # no new backends while the old ones are counted
            for pid in self.processes():
                self._signal(pid, signal.SIGKILL)
        return "kill"

    def last_checkpoint(self) -> dict[str, str]:
        """What pg_controldata says of the stopped server: state and checkpoint position; empty without the program."""
        program = self._program("pg_controldata")
        if program is None:
            return {}
        try:
            done = subprocess.run(
                [program, "-D", str(self.data)],
                capture_output=True,
                text=True,
                check=True,
                timeout=5,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        wanted = {"cluster state": "Database cluster state", "checkpoint": "Latest checkpoint location"}
        found = {name: re.search(rf"^{label}:\s+(.+)$", done.stdout, re.M) for name, label in wanted.items()}
        return {name: match[1] for name, match in found.items() if match}

    def _gone_within(self, seconds: float) -> bool:
        end = now() + seconds
        while True:
            if self.pid() is None and not self.processes():
                return True
            if now() >= end:
                return False
            threading.Event().wait(0.02)

    def _is_ours(self, pid: int) -> bool:
        """True when `pid` is a living process of this data directory, not a later user of the number."""
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == self.data.resolve()
        except FileNotFoundError:  # no process, or a zombie
            return False
        except PermissionError:  # another user's: it cannot be looked at, so it counts
            return True

    def _works_here(self, pid: int) -> bool:
        try:
            if Path(os.readlink(f"/proc/{pid}/cwd")) != self.data.resolve():
                return False
            return Path(f"/proc/{pid}/comm").read_text().strip() in ("postgres", "postmaster")
        except OSError:
            return False

    def _signal(self, pid: int | None, number: int) -> None:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _program(self, name: str) -> str | None:
        version = ""
        with contextlib.suppress(OSError):
            version = (self.data / "PG_VERSION").read_text().strip()
        places = [f"/usr/lib/postgresql/{version}/bin", f"/usr/pgsql-{version}/bin", os.environ.get("PATH", "")]
        return shutil.which(name, path=os.pathsep.join(places))
