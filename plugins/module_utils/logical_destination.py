# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory that one logical backup is written into: its own, and marked until it is whole.

PRIVATE to the collection.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import typing as t
from pathlib import Path

from .clock import to_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .guard_state import write_atomically

#: stands in the directory from the first byte until everything is written
PARTIAL = ".partial"
DUMP, GLOBALS, FACTS = "dump", "globals.sql", "facts.json"
#: all that a run writes; anything else in the directory is somebody's
_OURS = (DUMP, GLOBALS, FACTS, PARTIAL)


class Destination:
    """A directory of mode 0700. `begin` makes it ours, `finish` says that the backup in it is whole."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock: t.IO[str] | None = None

    @property
    def dump(self) -> Path:
        """Where pg_dump writes."""
        return self.path / DUMP

    @property
    def globals(self) -> Path:
        """Roles, memberships and tablespaces, as SQL."""
        return self.path / GLOBALS

    @property
    def facts(self) -> Path:
        """What the source was like when the dump's snapshot was taken."""
        return self.path / FACTS

    def check(self) -> bool:
        """Raise Refused when the directory cannot be used; returns whether an unfinished run of ours is in it."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return self._check_parent()
        except OSError as error:
            raise Refused(failed("use", f"the directory {self.path}", error.strerror)) from error
        if not stat.S_ISDIR(found.st_mode):
            raise Refused(failed("use", f"the directory {self.path}", "it is no directory", "Name a new directory."))
        if found.st_uid != os.geteuid():
            cause, remedy = f"it belongs to user id {found.st_uid}", "Name a new directory, or run as that user."
            raise Refused(failed("use", f"the directory {self.path}", cause, remedy))
        names = sorted(os.listdir(self.path))
        foreign = [name for name in names if name not in _OURS and not name.startswith(f".{FACTS}.")]
        if names and (foreign or PARTIAL not in names):
            shown = ", ".join(foreign[:3] or names[:3])
            remedy = "Name a new directory; seal or remove what is in this one."
            raise Refused(failed("back up into", str(self.path), f"it is not empty ({shown})", remedy))
        return bool(names)

    def _check_parent(self) -> bool:
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            cause = f"{self.path.parent} does not exist or may not be written to"
            raise Refused(failed("make", f"the directory {self.path}", cause, "Make it, or correct directory."))
        return False

    def begin(self, database: str) -> None:
        """Make the directory ours and empty. Raises Refused while another run is at work in it."""
        self.check()
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.path.chmod(0o700)
        self._lock = (self.path / PARTIAL).open("a+", encoding="utf-8")  # held until release
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            remedy = "Wait for it, or name another directory."
            raise Refused(failed("back up into", str(self.path), "another run is at work in it", remedy)) from None
        self.note({"database": database, "started": to_iso(utc_now())})

    def clear(self) -> None:
        """Remove what an earlier run left; call it once nothing writes there any more."""
        for entry in list(os.scandir(self.path)):
            if entry.name == PARTIAL:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)

    def note(self, what: t.Mapping[str, t.Any]) -> None:
        """Keep in the marker what is going on, for whoever looks."""
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(json.dumps(what) + "\n")
            self._lock.flush()

    def write_facts(self, facts: t.Mapping[str, t.Any]) -> None:
        """Write facts.json as a whole."""
        text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_atomically(self.facts, text.encode("utf-8", "surrogateescape"), os.stat(self.path), mode=0o600)

    def finish(self) -> None:
        """Everything is on disk: take the marker away."""
        sync(self.path)
        (self.path / PARTIAL).unlink()
        sync(self.path)
        self.release()

    def release(self) -> None:
        """Let others have the directory; without `finish` it stays marked as unfinished."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def bytes(self) -> int:
        """Bytes written so far."""
        return sum(size for _path, size in files_of(self.path))

    @property
    def free_bytes(self) -> int:
        """Bytes that the file system still takes."""
        found = os.statvfs(self.path if self.path.exists() else self.path.parent)
        return found.f_bavail * found.f_frsize


def files_of(root: Path) -> t.Iterator[tuple[Path, int]]:
    """Yield each regular file below `root` with its size; the marker is none of the backup."""
    for directory, _names, files in os.walk(root):
        for name in files:
            try:
                found = os.lstat(os.path.join(directory, name))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode) and name != PARTIAL:
                yield Path(directory, name), found.st_size


def sync(path: Path) -> None:
    """Bring a file, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_whole(directory: Path) -> None:
    """Raise RecoveryError when `directory` holds no finished logical backup."""
    what = f"the logical backup in {directory}"
    if (directory / PARTIAL).exists():
        raise RecoveryError(failed("read", what, "its run has not finished", "Take the backup again."))
    missing = [name for name in (DUMP, GLOBALS, FACTS) if not (directory / name).exists()]
    if missing:
        remedy = "Fetch another copy, or use another recovery point."
        raise RecoveryError(failed("read", what, f"{', '.join(missing)} missing", remedy))
