# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's long programs: their progress in a log file, and an end to one that a killed run left behind.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t
from pathlib import Path

from .clock import Deadline, wait_until
from .errors import RecoveryError, TimedOut, failed
from .postgres_cluster import Cluster, last_words

#: seconds between two lines of progress
TELL_SECONDS = 10.0
Tell = t.Callable[[str], None]


class LongProgram:
    """Runs programs of one cluster as its owner; `log` keeps all that they say."""

    def __init__(self, cluster: Cluster, log: Path, timeout: float, tell: Tell | None = None) -> None:
        self.cluster = cluster
        self.log = log
        self.timeout = timeout
        self.tell = tell

    def run(self, name: str, arguments: t.Sequence[str]) -> str:
        """Run it and return what it said. Raises RecoveryError with its last words, TimedOut after `timeout` s."""
        with self.log.open("ab") as out:
            os.fchmod(out.fileno(), 0o644)
            begun = out.tell()
            process = subprocess.Popen(
                [self.cluster.program(name), *arguments], stdout=out, stderr=out, **self.cluster.as_owner()
            )
            self._wait(name, process)
        said = self._said(begun)
        if process.returncode != 0:
            raise RecoveryError(failed("run", f"{name} (log {self.log})", last_words(said)))
        return said

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        deadline = Deadline(self.timeout)
        try:
            while True:
                try:
                    process.wait(min(TELL_SECONDS, max(deadline.remaining, 0.01)))
                    return
                except subprocess.TimeoutExpired:
                    if deadline.expired:
                        raise TimedOut(
                            f"Timed out after {self.timeout:g} s waiting for {name}. Raise timeout."
                        ) from None
                    if self.tell:
                        self.tell(f"{name}: {self._progress()}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _progress(self) -> str:
        said = self._said(max(0, self.log.stat().st_size - 4096)).replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(said) if line.strip()), "has begun")

    def _said(self, begun: int) -> str:
        with self.log.open("rb") as file:
            file.seek(begun)
            return file.read().decode("utf-8", "replace")


def end_leftovers(workplace: Path) -> None:
    """End programs of an earlier run, which was killed, that still work on `workplace`."""

    def living() -> list[int]:
        return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit() and _works_on(entry.name)]

    def _works_on(pid: str) -> bool:
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.path.basename(argv[0]) in (b"pg_rewind", b"pg_basebackup") and os.fsencode(workplace) in argv

    def gone() -> bool:
        for pid in living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not living()

    wait_until(gone, 10, f"the end of programs that work on {workplace}")
