# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local copy of a ledger: one line an event, appended and flushed to disk, under a lock of the machine.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t
from pathlib import Path

from .clock import Deadline
from .errors import RecoveryError, TimedOut, failed
from .ledger_event import BadEvent, Event

_BLOCK = 65536


class DamagedLedger(RecoveryError):
    """The local copy does not read as a ledger."""


class LedgerFile:
    """`<directory>/<incident>/ledger.jsonl`. Whoever writes holds the `lock`; readers see whole events without it."""

    def __init__(self, directory: str | Path, incident: str) -> None:
        self.folder = Path(directory).expanduser() / incident
        self.path = self.folder / "ledger.jsonl"

    @contextlib.contextmanager
    def lock(self, timeout: float = 30.0) -> t.Iterator[None]:
        """Hold the ledger against other processes of this machine. Raises TimedOut."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._acquire(handle, timeout)
            yield
        finally:
            os.close(handle)

    def _acquire(self, handle: int, timeout: float) -> None:
        deadline = Deadline(timeout)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if deadline.expired:
                    raise TimedOut(
                        f"Timed out after {timeout:g} s waiting for the ledger {self.path}: another process of this "
                        "machine holds it. End that process, or let it finish, and run again."
                    ) from None
                deadline.rest(0.005)

    def lines(self) -> tuple[list[bytes], bytes]:
        """Return the complete lines without their line feeds, and the torn rest of an interrupted write (or b"")."""
        try:
            *whole, rest = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], b""
        except OSError as error:
            raise RecoveryError(failed("read", f"the ledger {self.path}", error, "Check its permissions.")) from error
        return whole, rest

    def first(self) -> Event | None:
        """Return the first event."""
        try:
            with self.path.open("rb") as handle:
                line = handle.readline()
        except FileNotFoundError:
            return None
        return self._event(line[:-1]) if line.endswith(b"\n") else None

    def last(self) -> Event | None:
        """Return the last complete event, reading only the end of the file."""
        line = self._last_line()
        return self._event(line) if line else None

    def read(self) -> list[Event]:
        """Return all complete events. Raises DamagedLedger at the first that is none."""
        return [self._event(line) for line in self.lines()[0]]

    def append(self, events: t.Sequence[Event]) -> None:
        """Write events and wait for the disk: all of them, or none where the disk takes only a part."""
        if not events:
            return
        body = b"".join(event.to_bytes() + b"\n" for event in events)
        new = not self.path.exists()
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                _write_all(handle, body)
            finally:
                os.close(handle)
            if new:
                _sync_folder(self.folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def set_torn_aside(self) -> int:
        """Move the torn end of an interrupted write to `ledger.torn-<offset>` and return how many bytes it had."""
        if not self.is_torn():
            return 0
        whole, rest = self.lines()
        offset = sum(len(line) + 1 for line in whole)
        try:
            (self.folder / f"ledger.torn-{offset}").write_bytes(rest)
            with self.path.open("r+b") as handle:
                handle.truncate(offset)
                os.fsync(handle.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        return len(rest)

    def is_torn(self) -> bool:
        """True when the file ends inside an event."""
        try:
            with self.path.open("rb") as handle:
                if handle.seek(0, os.SEEK_END) == 0:
                    return False
                handle.seek(-1, os.SEEK_END)
                return handle.read(1) != b"\n"
        except FileNotFoundError:
            return False

    def _last_line(self) -> bytes:
        try:
            with self.path.open("rb") as handle:
                end = handle.seek(0, os.SEEK_END)
                tail = b""
                while end > 0 and tail.count(b"\n") < 2:  # the end of the last complete line, and of the one before
                    start = max(0, end - _BLOCK)
                    handle.seek(start)
                    tail = handle.read(end - start) + tail
                    end = start
        except FileNotFoundError:
            return b""
        complete = tail.split(b"\n")[:-1]
        return complete[-1] if complete else b""

    def _event(self, line: bytes) -> Event:
        try:
            return Event.from_bytes(line)
        except BadEvent as error:
            raise DamagedLedger(
                f"Failed to read the ledger {self.path}: an event {error}. "
                "Run incident_ledger with state=verified to find it; keep the file as evidence."
            ) from error

    def _unwritable(self, error: OSError) -> RecoveryError:
        remedy = "Free space there or make it writable, and run again."
        return RecoveryError(failed("write", f"the ledger {self.path}", error.strerror or error, remedy))


def _write_all(handle: int, body: bytes) -> None:
    """Append and flush; what was written of it is taken back where the rest finds no room (that needs none)."""
    before = os.fstat(handle).st_size
    try:
        written = 0
        while written < len(body):
            written += os.write(handle, body[written:])
        os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, before)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
