# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a long transfer is: a line every few seconds, appended to the file that option `log` names.

PRIVATE to the collection.
"""

from __future__ import annotations

import threading
import time
import typing as t
from pathlib import Path

from .clock import to_iso, utc_now
from .errors import RecoveryError, failed

TELL_SECONDS = 5.0


class Log:
    """Appends lines with their time; does nothing without a file."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path).expanduser() if path else None

    def __call__(self, line: str) -> None:
        """Append one line. Raises RecoveryError where the file cannot be written."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{to_iso(utc_now())} {line}\n")
        except OSError as error:
            remedy = "Make room, or leave log out."
            raise RecoveryError(failed("write to", f"log {self._path}", error.strerror or error, remedy)) from error


class Meter:
    """Counts files and bytes of one transfer, from any thread, and tells every few seconds."""

    def __init__(self, what: str, files: int, size: int, tell: t.Callable[[str], None]) -> None:
        self.what, self.total_files, self.total_bytes = what, files, size
        self.files = self.bytes = 0
        self._tell = tell
        self._lock = threading.Lock()
        self._started = self._told = time.monotonic()

    def add(self, size: int, files: int = 0) -> None:
        """Count what was transferred just now."""
        with self._lock:
            self.bytes += size
            self.files += files
            now = time.monotonic()
            due = now - self._told >= TELL_SECONDS
            if due:
                self._told = now
        if due:
            self._tell(self.line(now - self._started))

    def line(self, seconds: float) -> str:
        """Return how far it is after so many seconds."""
        rate = self.bytes / seconds / 2**20 if seconds > 0 else 0.0
        share = 100 * self.bytes // self.total_bytes if self.total_bytes else 100
        return (
            f"{self.what}: {self.bytes / 2**20:.1f} of {self.total_bytes / 2**20:.1f} MiB ({share} %), "
            f"{self.files} of {self.total_files} files, {rate:.1f} MiB/s"
        )
