# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of hashing has done already, in a file beside the manifest: an interrupted run goes on from there.

A sum is believed only while the file has the size, times, inode and device that it had when it was read. The change
time is among them, which no program can set back. What is not seen: content that rots on the disk after it was read.
So sums count for a day, and only for the same command over the same tree.

Whoever can write the journal can make a run believe a sum. So it is private to its user; any other one is refused.

PRIVATE to the collection.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
import typing as t
import zlib
from pathlib import Path

from .checksums_model import FileSum
from .checksums_paths import read, written
from .checksums_tree import Entry
from .errors import RecoveryError, Refused, failed

#: seconds for which a sum is believed
MAX_AGE = 86400.0
#: seconds between two flushes to disk
_SYNC_SECONDS = 5.0
#: A file changed so recently may change again without its times showing it: clocks tick in some milliseconds.
RACY_SECONDS = 2.0


class Journal:
    """`with Journal(path, about) as journal`: `get` and `put` sums, `finish` when they are not needed any more."""

    def __init__(self, path: Path, about: t.Mapping[str, t.Any]) -> None:
        self.path = path
        #: why nothing is kept any more; empty while all is well
        self.trouble = ""
        self._about = dict(about)
        self._known: dict[str, tuple[list[t.Any], FileSum]] = {}

    def __enter__(self) -> Journal:
        try:
            self._open()
            self._load()
        except OSError as error:
            remedy = "Give another journal, in a directory that this user can write to."
            raise RecoveryError(failed("open", f"journal {self.path}", error.strerror or error, remedy)) from error
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._file)

    def get(self, entry: Entry) -> FileSum | None:
        """Return the sum of a file that has not changed since it was read; None otherwise."""
        stamp, found = self._known.get(entry.path, (None, None))
        return found if stamp == list(entry.stamp) else None

    def put(self, entry: Entry, found: FileSum) -> None:
        """Remember the sum of a file."""
        if self.trouble or self._racy(entry):
            return
        line = json.dumps([list(entry.stamp), found.as_dict()]).encode()
        try:
            self._append(line)
        except OSError as error:
            self.trouble = f"journal {self.path} cannot be written ({error.strerror}): an interrupted run begins anew"

    def finish(self) -> None:
        """Remove the journal: the work is done."""
        self.path.unlink(missing_ok=True)

    def _open(self) -> None:
        """Open and lock the file that has the journal's name. Raises OSError and Refused."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o600)
            try:
                self._own()
                if self._is_named():
                    return
            except BaseException:
                os.close(self._file)
                raise
            os.close(self._file)  # a run that ended just now removed it

    def _own(self) -> None:
        about = os.fstat(self._file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            cause = "others than this user could write or read it"
            raise Refused(failed("trust", f"journal {self.path}", cause, "Remove it, then run again."))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            cause = "another run is hashing the same tree"
            remedy = "Wait until it ends, or give this one another journal."
            raise Refused(failed("lock", f"journal {self.path}", cause, remedy)) from error

    def _is_named(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _load(self) -> None:
        lines = self._lines()
        header = lines[0] if lines else None
        now = time.time()
        if isinstance(header, list) and header[0] == self._about and 0 <= now - header[1] <= MAX_AGE:
            for stamp, raw in lines[1:]:
                path = read(raw["path"])
                self._known[path] = (stamp, FileSum(path, raw["size"], raw["digest"], raw.get("version_id")))
            os.write(self._file, b"\n")  # after a line that a crash cut off
        else:
            os.ftruncate(self._file, 0)
            self._append(json.dumps([self._about, now]).encode())
        self._synced = time.monotonic()

    def _lines(self) -> list[t.Any]:
        """Return the lines that are whole: each ends with its own check sum."""
        with open(os.dup(self._file), "rb") as file:
            file.seek(0)
            found = []
            for line in file:
                body, _space, check = line.rstrip(b"\n").rpartition(b" ")
                if check == f"{zlib.crc32(body):08x}".encode():
                    found.append(json.loads(body))
            return found

    def _append(self, line: bytes) -> None:
        os.write(self._file, line + f" {zlib.crc32(line):08x}\n".encode())
        now = time.monotonic()
        if now - getattr(self, "_synced", now) >= _SYNC_SECONDS:
            os.fsync(self._file)
            self._synced = now

    @staticmethod
    def _racy(entry: Entry) -> bool:
        if len(entry.stamp) != 5:  # an object: each writing gives it another tag
            return False
        newest = max(int(entry.stamp[1]), int(entry.stamp[2])) / 1e9
        return time.time() - newest < RACY_SECONDS


def about(purpose: str, tree: str, algorithm: str) -> dict[str, t.Any]:
    """Return what a journal is for: sums count only for the same purpose, tree and algorithm."""
    return {"purpose": purpose, "tree": written(tree), "algorithm": algorithm}
