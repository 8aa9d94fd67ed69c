# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory that a recovery point is fetched into: one run at a time, nothing outside of it, no half file.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import typing as t
import uuid
from pathlib import Path

from .checksums_paths import to_bytes, why_unsafe, written
from .errors import RecoveryError, Refused, failed

_PART = ".recovery-point-"
_PART_NAME = re.compile(re.escape(_PART) + r"[0-9a-f]{32}")


def is_part(path: str) -> bool:
    """Whether this is a file that a run had not finished."""
    return _PART_NAME.fullmatch(path.rpartition("/")[2]) is not None


class Part:
    """A file that is being written, under a name of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.kept = False

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises OSError."""
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def keep(self) -> None:
        """Let it take its place when the block ends."""
        self.kept = True


class Target:
    """The directory `path`; made with mode 0700, its files with 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def held(self, check_mode: bool) -> t.Iterator[None]:
        """Keep other runs out meanwhile. Raises Refused where another run fetches into it."""
        if check_mode:
            yield
            return
        with self._trouble():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                remedy = "Wait for it, or give another directory."
                raise Refused(failed("fetch into", str(self.path), "another run fetches into it", remedy)) from error
            self._remove_parts()
            yield
        finally:
            os.close(descriptor)

    def require_room(self, needed: int) -> None:
        """Raise Refused when so many bytes do not fit."""
        about = os.statvfs(self.path)
        free = about.f_bavail * about.f_frsize
        if free < needed:
            cause = f"{needed} bytes do not fit, {free} are free"
            raise Refused(failed("fetch into", str(self.path), cause, "Make room, or give another directory."))

    @contextlib.contextmanager
    def writing(self, path: str) -> t.Iterator[Part]:
        """Write one file: it takes its name when it is kept, else it is removed. Raises OSError."""
        unsafe = why_unsafe(path)
        if unsafe:
            raise Refused(failed("write", written(path), unsafe, "Do not use this point."))
        final = os.path.join(os.fsencode(self.path), to_bytes(path))
        directory = os.path.dirname(final)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._require_inside(directory)
        name = os.path.join(directory, f"{_PART}{uuid.uuid4().hex}".encode())
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        part = Part(descriptor)
        try:
            try:
                yield part
            finally:
                os.close(descriptor)
            if part.kept:
                os.replace(name, final)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def trouble(self, error: OSError) -> RecoveryError:
        """Return the error of this directory for one of the operating system."""
        remedy = "Make room, or give a directory that this user can write to. What was fetched is kept; run again."
        return RecoveryError(failed("fetch into", str(self.path), error.strerror or error, remedy))

    def _require_inside(self, directory: bytes) -> None:
        """Refuse to follow a link that leads out."""
        top = os.path.realpath(os.fsencode(self.path))
        found = os.path.realpath(directory)
        if found != top and not found.startswith(top + b"/"):
            cause = f"{os.fsdecode(directory)} leads out of it"
            raise Refused(failed("fetch into", str(self.path), cause, "Give a new directory."))

    def _remove_parts(self) -> None:
        """Remove what a killed run left half written."""
        for directory, _names, files in os.walk(os.fsencode(self.path)):
            for name in files:
                if is_part(os.fsdecode(name)):
                    with self._trouble():
                        os.unlink(os.path.join(directory, name))

    @contextlib.contextmanager
    def _trouble(self) -> t.Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.trouble(error) from error
