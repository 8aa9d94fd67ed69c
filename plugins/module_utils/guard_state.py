# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guard remembers over its own restarts, what it shows, and how it logs.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import typing as t
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .clock import Deadline, to_iso, utc_now
from .errors import RecoveryError


def write_atomically(path: Path, data: bytes, like: os.stat_result, mode: int | None = None) -> None:
    """Replace a file as a whole; the new one has the owner and the mode (unless given) of `like`.

    Raises OSError, with the file as it was: a disk that takes only a part of `data` has taken none of it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(descriptor, like.st_mode & 0o7777 if mode is None else mode)
        if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, like.st_uid, like.st_gid)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@dataclass(frozen=True)
class Memory:
    """What must outlive the guard."""

    #: highest epoch of the lease that this guard ever saw; it never serves under a lower one
    highest_epoch: int = 0
    #: the guard stopped the server, so the guard starts it again when the lease allows
    stopped_by_guard: bool = False
    #: claims that a receipt was written for in every store, by epoch
    receipt_epoch: int = 0


class StateDirectory:
    """Memory, status and lock of one guard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def memory(self) -> Memory:
        """Read what is remembered; nothing on the first start."""
        try:
            return Memory(**json.loads((self.path / "memory.json").read_text()))
        except FileNotFoundError:
            return Memory()
        except (ValueError, TypeError) as error:
            remedy = "Restore it; without it this region could serve under an epoch that is long past."
            raise RecoveryError(f"Failed to read {self.path / 'memory.json'}: {error}. {remedy}") from error

    def remember(self, **changes: t.Any) -> Memory:
        """Change what is remembered, durably; writes only when something differs."""
        old = self.memory()
        new = replace(old, **changes)
        if new != old:
            self._write("memory.json", json.dumps(asdict(new)).encode())
        return new

    def show(self, status: dict[str, t.Any]) -> None:
        """Write what `status` prints."""
        body = json.dumps({**status, "updated_at": to_iso(utc_now())}, indent=2).encode()
        with contextlib.suppress(OSError):  # a full disk must not stop a renewal
            self._write("status.json", body)

    def status(self) -> dict[str, t.Any] | None:
        """Read what was shown last; None when no guard ever ran."""
        try:
            return dict(json.loads((self.path / "status.json").read_text()))
        except (FileNotFoundError, ValueError):
            return None

    @contextlib.contextmanager
    def lock(self, patience: float) -> t.Iterator[bool]:
        """Hold the lock that opening and closing share; yields False when it is not to be had in time, or at all.

        It is the directory's own lock, so that root's hook and an unprivileged guard can both take it.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            yield False
            return
        try:
            yield self._locked(descriptor, Deadline(patience))
        finally:
            os.close(descriptor)

    def _locked(self, descriptor: int, deadline: Deadline) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if deadline.expired:
                    return False
                deadline.rest(0.02)
            except OSError:
                return False

    def _write(self, name: str, body: bytes) -> None:
        """Write one file as the directory's owner's, whoever we are."""
        write_atomically(self.path / name, body, self.path.stat(), mode=0o644)


def log(region: str, text: str) -> None:
    """Write one line for people; the journal or the lab keeps it. Where it cannot be kept, the guard guards on."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{to_iso(utc_now())} lease-guard[{region}]: {text}\n".encode())
