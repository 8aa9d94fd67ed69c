# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scratch directories: whose each one is, and whether its owner has ended.

`<root>/<run>-<8 hex>/owner.json` names the run and its process. What has no owner file is nobody's to remove.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import secrets
import stat
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .clock import from_iso, to_iso, utc_now
from .errors import Refused, failed
from .guard_state import write_atomically
from .process_identity import ProcessIdentity

OWNER_FILE = "owner.json"
VERSION = 1
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}-[0-9a-f]{8}")


@dataclass(frozen=True)
class Owner:
    """What owner.json says. `boot_id` is that of the machine that has the directory, `what` names the thing."""

    run: str
    what: str
    created: str
    path: str
    boot_id: str
    process: ProcessIdentity

    def is_dead(self, max_age_hours: float) -> bool:
        """True when the owner has provably ended; where nothing can be proven, when the directory is too old."""
        here = ProcessIdentity.of(self.process.pid, self.process.user)
        place = (here.boot_id, here.pid_namespace)
        if self.process.started and place == (self.process.boot_id, self.process.pid_namespace):
            return self.process.has_ended
        if self.boot_id != here.boot_id:
            return True  # no server of it can have lived on, and nobody's restore goes on after a reboot
        return utc_now() - from_iso(self.created) > dt.timedelta(hours=max_age_hours)

    def is_of(self, process: ProcessIdentity) -> bool:
        """True when `process` is the owner."""
        names = ("boot_id", "pid_namespace", "pid", "started")
        return all(getattr(self.process, name) == getattr(process, name) for name in names)

    def as_dict(self) -> dict[str, t.Any]:
        """Return the content of owner.json."""
        return {"version": VERSION, **vars(self), "process": self.process.as_dict()}


class Foreign(Exception):
    """A directory, or something else, that is not a scratch of ours. Says why."""


class ScratchRoot:
    """The one directory below which all scratch directories lie."""

    def __init__(self, directory: str) -> None:
        self.path = Path(directory)

    def require(self, make: bool) -> None:
        """Raise Refused unless the directory is there (`make` makes it), and nobody else can put things there."""
        if make:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            found = os.lstat(self.path)
        except OSError as error:
            raise Refused(failed("use", f"the scratch directory {self.path}", error.strerror)) from error
        what, remedy = f"the scratch directory {self.path}", "Name a directory of your own, mode 0711 or stricter."
        if not stat.S_ISDIR(found.st_mode):
            raise Refused(failed("use", what, "it is no directory", remedy))
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            cause = f"it belongs to user id {found.st_uid} and has mode {stat.S_IMODE(found.st_mode):04o}"
            raise Refused(failed("use", what, cause, remedy))

    def create(self, run: str, what: str, process: ProcessIdentity, gid: int) -> Scratch:
        """Make one more scratch directory, which group `gid` may enter."""
        if not _RUN.fullmatch(run):
            remedy = "Use letters, digits, dots, dashes and underscores, at most 64."
            raise Refused(failed("name", f"a scratch of run {run!r}", "that is no name for a directory", remedy))
        path = self.path / f"{run}-{secrets.token_hex(4)}"
        path.mkdir(mode=0o700)
        scratch = Scratch(path)
        scratch.own(run, what, process)
        if os.geteuid() == 0:
            os.chown(path, 0, gid)
            path.chmod(0o710)
        return scratch

    def entries(self) -> list[Path]:
        """Return everything that lies there, sorted."""
        return sorted(self.path.iterdir()) if self.path.is_dir() else []

    def find(self, run: str, what: str) -> list[Scratch]:
        """Return the scratches of a run for one thing."""
        found = []
        for path in self.entries():
            try:
                scratch = Scratch(path)
                owner = scratch.owner()
            except Foreign:
                continue
            if (owner.run, owner.what) == (run, what):
                found.append(scratch)
        return found

    @property
    def free_bytes(self) -> int:
        """Bytes that the file system still takes from an ordinary user."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def require_space(self, needed: int) -> None:
        """Raise Refused when the file system has fewer than `needed` bytes left."""
        free = self.free_bytes
        if free < needed:
            cause = f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
            remedy = "Free space there, or name a scratch directory on another disk."
            raise Refused(failed("restore into", f"the scratch directory {self.path}", cause, remedy))


class Scratch:
    """One scratch directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def data(self) -> Path:
        """The data directory of its PostgreSQL."""
        return self.path / "data"

    def own(self, run: str, what: str, process: ProcessIdentity) -> Owner:
        """Write owner.json: from now on this process is the owner."""
        boot_id = ProcessIdentity.of(os.getpid(), "").boot_id
        owner = Owner(run, what, to_iso(utc_now()), str(self.path.resolve()), boot_id, process)
        content = json.dumps(owner.as_dict(), indent=1, sort_keys=True).encode()
        write_atomically(self.path / OWNER_FILE, content, os.stat(self.path), mode=0o644)
        return owner

    def owner(self) -> Owner:
        """Return whose it is. Raises Foreign saying why it cannot be a scratch of ours."""
        try:
            found = os.lstat(self.path)
        except OSError as error:
            raise Foreign(str(error.strerror)) from None
        if not stat.S_ISDIR(found.st_mode):
            raise Foreign("a symbolic link" if stat.S_ISLNK(found.st_mode) else "no directory")
        if found.st_uid != os.geteuid():
            raise Foreign(f"it belongs to user id {found.st_uid}")
        file = self.path / OWNER_FILE
        if file.is_symlink() or not file.is_file():
            raise Foreign(f"it has no {OWNER_FILE}")
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            process = ProcessIdentity.from_dict(raw["process"])
            owner = Owner(raw["run"], raw["what"], raw["created"], raw["path"], raw["boot_id"], process or _NOBODY)
            from_iso(owner.created)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Foreign(f"its {OWNER_FILE} cannot be read ({type(error).__name__}: {error})") from None
        if process is None or owner.path != str(self.path.resolve()):
            raise Foreign(f"its {OWNER_FILE} is of {owner.path}")
        return owner

    @property
    def is_remnant(self) -> bool:
        """True for what a run leaves that is killed as it begins or ends: a directory of ours with nothing in it."""
        try:
            found = os.lstat(self.path)
            names = os.listdir(self.path) if stat.S_ISDIR(found.st_mode) else ["?"]
        except OSError:
            return False
        ours = found.st_uid == os.geteuid() and _NAME.fullmatch(self.path.name) is not None
        return ours and all(name.startswith(f".{OWNER_FILE}.") for name in names)


_NOBODY = ProcessIdentity("", "", 0)
