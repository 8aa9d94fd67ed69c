# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a rebuild works and what it keeps: all beside the data directory, nothing over anything.

PRIVATE to the collection.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import standby_files as files
from .errors import Refused, failed

_SPARE = 256 << 20


@dataclass(frozen=True)
class Places:
    """The paths of one cluster's rebuild in one incident. `data` is the real data directory, no link to it."""

    data: Path
    keep: Path
    incident: str

    @classmethod
    def of(cls, data_directory: str, keep_directory: str | None, incident: str) -> Places:
        """Build from the options. Raises Refused for a name that cannot be part of a path."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", incident):
            remedy = "Use letters, digits, dots, dashes and underscores."
            raise Refused(failed("name files after", f"incident {incident!r}", "it is no plain name", remedy))
        data = Path(data_directory).resolve()
        return cls(data, Path(keep_directory).resolve() if keep_directory else data.parent, incident)

    def beside(self, what: str) -> Path:
        """Return a path in the data directory's own parent."""
        return self.data.with_name(f"{self.data.name}.{what}-{self.incident}")

    @property
    def saved(self) -> Path:
        """Where the region's own files are set aside."""
        return self.beside("config")

    @property
    def log(self) -> Path:
        """What PostgreSQL's programs said."""
        return self.keep / f"{self.data.name}.standby-{self.incident}.log"

    def free_kept(self) -> Path:
        """Return a path for the old data directory that nothing stands at; no incident has a `+` in its name."""
        first = self.keep / f"{self.data.name}.kept-{self.incident}"
        others = (first.with_name(f"{first.name}+{number}") for number in itertools.count(2))
        return next(path for path in itertools.chain([first], others) if not path.exists())

    def kept(self) -> list[dict[str, t.Any]]:
        """Return what earlier rebuilds kept, of any incident, with sizes in bytes."""
        found = sorted(self.keep.glob(f"{self.data.name}.kept-*"))
        return [{"path": str(path), "bytes": files.size(path)} for path in found]

    def need_room_to_rename(self) -> None:
        """Refuse where the data directory cannot be swapped by a rename."""
        what = str(self.data)
        if os.path.ismount(self.data):
            remedy = "Make the data directory a directory below the mount, as PostgreSQL's manual advises."
            raise Refused(failed("rebuild", what, "it is a mount point, which cannot be renamed", remedy))
        if not self.keep.is_dir() or os.stat(self.keep).st_dev != os.stat(self.data.parent).st_dev:
            remedy = "Give a directory of the same file system as keep_directory."
            raise Refused(failed("keep the old files of", what, f"{self.keep} is not on its file system", remedy))
        for directory in (self.data.parent, self.keep):
            if not os.access(directory, os.W_OK | os.X_OK):
                remedy = "Run as root, or let the data directory's owner write there."
                raise Refused(failed("rebuild", what, f"{directory} cannot be written to", remedy))

    def need_room_to_copy(self, size: int) -> dict[str, int]:
        """Refuse where `size` bytes and some more do not fit beside what is there; return what was found, in bytes."""
        needed = size + size // 10 + _SPARE
        free = shutil.disk_usage(self.data.parent).free
        if free < needed:
            old = ", ".join(one["path"] for one in self.kept())
            remedy = f"Free some{f', for example by removing {old}' if old else ''}, or enlarge the file system."
            cause = f"a copy beside the old one takes about {needed} bytes, and {free} are free"
            raise Refused(failed("copy the source to", str(self.data.parent), cause, remedy))
        return {"needed": needed, "free": free}
