# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a scratch PostgreSQL says: why it ended, and how far its recovery is while nobody can connect.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from .clock import Deadline
from .errors import RecoveryError, failed
from .logical_process import TELL_SECONDS, Tell

#: bytes of the log's end that are read
_END = 65536
_FATAL = re.compile(r"\b(FATAL|PANIC|ERROR):\s+(.*)")
#: these say that it could not be tried here
_NOT_THE_BACKUP = ("No space left on device", "could not map anonymous shared memory", "incompatible with server",
                   "could not access file", "could not load library", "has wrong ownership")  # fmt: skip
#: what our own attempts to connect leave in the log
_ASKED_TOO_EARLY = ("the database system is", "terminating connection")
_RESTORED = re.compile(r'restored log file "([0-9A-F]+)"')

#: words of the log, and what to do
_CAUSES = (
    ("recovery ended before configured recovery target", "The WAL ends before the target: name an earlier target, or "
     "look for missing WAL in the archive."),
    ("recovery stop point is before consistent recovery point", "The backup is newer than the target: restore an "
     "earlier one."),
    ("could not locate required checkpoint record", "WAL of the backup itself is missing: check restore_command "
     "and the archive, or use another backup."),
    ("could not locate a valid checkpoint record", "WAL or control file are damaged or missing: use another copy."),
    ("must specify restore_command", "Give recovery.restore_command."),
    ("WAL ends before end of online backup", "WAL of the backup is missing: check the archive, or use another backup."),
    ("WAL ends before consistent recovery point", "WAL is missing: check the archive, or use another backup."),
    ("recovery target timeline", "Name a timeline that the archive has."),
    ("insufficient parameter settings", "Restore an earlier or a later backup: a setting was raised in between."),
    ("could not access file", "Install the library, or leave it out of preload."),
    ("could not load library", "Install the library in this server's version, or leave it out of preload."),
    ("No space left on device", "Free space, or name a scratch directory on another disk."),
    ("incompatible with server", "Give bin_directory of the server's version, on the same architecture."),
    ("could not map anonymous shared memory", "Give memory_mb."),
    ("invalid checksum in control file", "The control file is damaged: use another copy."),
    ("incorrect checksum in control file", "The control file is damaged: use another copy."),
    ("has wrong ownership", "Restore the files as the account that runs the server."),
)  # fmt: skip


class Owner(t.Protocol):
    """Whose file it becomes."""

    def give(self, path: Path) -> None:
        """Make a path the account's own."""


class Log:
    """The server's log file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = 0

    def begin(self, owner: Owner) -> None:
        """From here on the log is this start's."""
        self.path.touch(mode=0o600)
        owner.give(self.path)
        self._begun = self.path.stat().st_size

    def end(self) -> str:
        """Return the end of what was said since the start."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(self._begun, self.path.stat().st_size - _END))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def explained(self, scratch: Path) -> RecoveryError:
        """Return why the server ended, as an error."""
        said = self.end()
        fatal = [match[2].strip() for match in _FATAL.finditer(said) if not match[2].startswith(_ASKED_TOO_EARLY)]
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        cause = "; ".join((fatal or lines)[-2:]) or "it said nothing"
        remedy = next((remedy for words, remedy in _CAUSES if words in said), f"Look at {self.path}.")
        message = failed("start", f"the scratch PostgreSQL in {scratch}", cause, remedy)
        if any(words in said for words in _NOT_THE_BACKUP):
            return RecoveryError(message, outcome="unverified")
        return RecoveryError(message)

    def progress(self, tell: Tell) -> t.Callable[[], None]:
        """Return what says now and then which WAL file was restored last."""
        tick = [Deadline(TELL_SECONDS)]

        def say() -> None:
            if tick[0].expired:
                tick[0] = Deadline(TELL_SECONDS)
                restored = _RESTORED.findall(self.end())
                tell(f"recovery: replayed WAL file {restored[-1]}" if restored else "recovery: has begun")

        return say
