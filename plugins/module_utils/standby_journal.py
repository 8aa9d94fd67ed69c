# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a rebuild came, in a small file beside the data directory. What is on disk decides; this says what it is.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import RecoveryError, Refused, failed
from .guard_state import write_atomically

#: the data directory may have been moved into the workplace, unaltered
PREPARED = "prepared"
#: pg_rewind was started: what it worked on is of no use unless it ended well
REWINDING = "rewinding"
#: pg_rewind ended well
REWOUND = "rewound"
#: pg_basebackup was started
COPYING = "copying"
#: pg_basebackup ended well
COPIED = "copied"


@dataclass(frozen=True)
class Entry:
    """One rebuild under way. Paths are absolute."""

    stage: str
    incident: str
    #: where the new data directory is made
    workplace: str
    #: where the region's own files were set aside
    saved: str
    #: where the old data directory goes
    kept: str
    #: what allowed divergent writes to be left behind: a manifest's path, a typed acceptance, or nothing to lose
    settled: str
    fork: str | None
    end: str | None
    #: what the old cluster's control file said when the work began; empty where it was not asked
    before: str = ""


class Journal:
    """The file, and the lock that keeps two runs apart."""

    def __init__(self, data: Path) -> None:
        self.path = data.with_name(f".{data.name}.dr-standby.json")
        self._lock = data.with_name(f".{data.name}.dr-standby.lock")

    def read(self) -> Entry | None:
        """Return what is under way. Raises RecoveryError for a file that is no journal."""
        try:
            return Entry(**json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as error:
            remedy = "Look at what is beside the data directory, put it right by hand, then remove this file."
            raise RecoveryError(failed("read the journal", str(self.path), error, remedy)) from error

    def write(self, entry: Entry) -> Entry:
        """Write it durably, before what it says is begun."""
        body = json.dumps(asdict(entry), indent=2).encode()
        write_atomically(self.path, body, os.stat(self._lock), mode=0o600)
        return entry

    def clear(self) -> None:
        """Forget it: all is done."""
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> t.Iterator[None]:
        """Keep every other run out. Raises Refused while one is at work."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            remedy = "Run as root, or let the data directory's owner write to the directory above it."
            raise Refused(failed("lock", str(self._lock), error.strerror, remedy)) from error
        try:
            if os.geteuid() == 0:  # whoever may work there may run this
                above = os.stat(self._lock.parent)
                os.fchown(descriptor, above.st_uid, above.st_gid)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            remedy = "Wait until it has ended."
            raise Refused(failed("rebuild", str(self._lock.parent), "another run is at work there", remedy)) from None
        try:
            yield
        finally:
            os.close(descriptor)
