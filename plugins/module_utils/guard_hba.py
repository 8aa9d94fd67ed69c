# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rejecting pg_hba.conf: who may connect while the region may not write.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import RecoveryError
from .guard_state import write_atomically

_MARK = "# FENCED by the disaster-recovery lease guard."


class HbaFile:
    """pg_hba.conf, open (the administrator's own) or closed (rejecting everybody but physical replication).

    While it is closed the original stands beside it as `<name>.dr-open`. Which of the two states holds is
    read from the file itself, so closing or opening twice, or after a crash between two steps, loses nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.original = path.with_name(path.name + ".dr-open")

    @property
    def closed(self) -> bool:
        """True when the file is there and rejects."""
        try:
            with self.path.open("rb") as file:
                return file.read(len(_MARK)) == _MARK.encode()
        except OSError:
            return False

    def close(self, reason: str) -> bool:
        """Make the file reject; returns False when it did already."""
        content = self._read(self.path)
        if content.startswith(_MARK.encode()):
            return False
        like = os.stat(self.path)
        write_atomically(self.original, content, like)
        write_atomically(self.path, _rejecting(content.decode("utf-8", "surrogateescape"), reason), like)
        return True

    def open(self) -> bool:
        """Put the original back; returns False when it stands already. Raises RecoveryError without an original."""
        if not self.closed:
            return False
        like = os.stat(self.path)
        write_atomically(self.path, self._read(self.original), like)
        return True

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            remedy = "Restore it, or correct hba_file in the guard's configuration."
            raise RecoveryError(f"Failed to read {path}: {error.strerror}. {remedy}") from error


def _rejecting(original: str, reason: str) -> bytes:
    """Keep the original's rules for physical replication (they can run no SQL); reject the rest."""
    rules = [line for line in original.splitlines() if _replication_only(line)]
    lines = [
        _MARK,
        f"# {reason.splitlines()[0] if reason else ''}",
        "# This region does not hold the lease, or its guard has not confirmed it yet. Do not edit: the guard puts the",
        "# original back (beside this file, ending in .dr-open) once the lease is held. roles/lease_guard/README.md",
        *rules,
        "local all all reject",
        "host all all all reject",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _replication_only(line: str) -> bool:
    fields = line.split()
    return len(fields) > 3 and fields[0].startswith(("local", "host")) and fields[1].strip('"') == "replication"
