# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a long run of hashing is, as one line every few seconds: a terminal and a plain log show the same.

PRIVATE to the collection.
"""

from __future__ import annotations

import threading
import time
import typing as t

#: seconds between two lines
TELL_SECONDS = 5.0
Tell = t.Callable[[str], None]


class Meter:
    """Counts what is done of `total_bytes` in `total_files`, and tells it to `tell`, if there is one."""

    def __init__(self, what: str, total_bytes: int, total_files: int, tell: Tell | None) -> None:
        self.what = what
        self.total_bytes = total_bytes
        self.total_files = total_files
        self.files = 0
        self.hashed = 0
        self._kept = 0
        self._tell = tell
        self._lock = threading.Lock()
        self._started = self._told = time.monotonic()

    def add(self, count: int) -> None:
        """Count bytes that were hashed just now, from any thread; negative for those that are hashed again."""
        with self._lock:
            self.hashed += count

    def keep(self, size: int) -> None:
        """Count a file whose sum is known from an earlier run."""
        self._kept += size
        self.files += 1

    def tell(self) -> None:
        """Tell how far it is, unless that was told a moment ago."""
        now = time.monotonic()
        if self._tell and now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(self.line(now - self._started))

    def line(self, seconds: float) -> str:
        """Return how far it is after so many seconds."""
        done = self._kept + self.hashed
        share = 100 * done // self.total_bytes if self.total_bytes else 100
        rate = self.hashed / seconds if seconds > 0 else 0.0
        left = f"{max(0, self.total_bytes - done) / rate:.0f} s left" if rate else "time left unknown"
        return (
            f"checksums of {self.what}: {done / 2**30:.1f} of {self.total_bytes / 2**30:.1f} GiB ({share} %), "
            f"{self.files} of {self.total_files} files, {rate / 2**20:.0f} MiB/s, {left}"
        )
