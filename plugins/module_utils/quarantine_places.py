# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a damaged cluster is kept while a recovered one takes its place: beside the data directory, by renames.

What stands at which path is all the memory that there is, so a killed run leaves nothing that has to be guessed.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import Refused, failed

#: nothing was moved yet
UNTOUCHED = "untouched"
#: there is no data directory, and none was set aside
LOST = "lost"
#: the damaged cluster is set aside, nothing is in its place
ASIDE = "aside"
#: the recovered cluster is in its place
PLACED = "placed"
#: the recovered cluster was taken away again, the damaged one is not back yet
RETURNING = "returning"
#: the damaged cluster is back, the recovered one is kept
RETURNED = "returned"

#: stands in what was set aside where there was nothing to set aside
NOTHING = "dr-nothing-was-here"


@dataclass(frozen=True)
class Places:
    """The paths of one cluster in one incident. `data` is the real data directory, no link to it."""

    data: Path
    damaged: Path
    recovered: Path
    saved: Path

    @classmethod
    def of(cls, data_directory: str, keep_directory: str | None, incident: str) -> Places:
        """Build from the options. Raises Refused for a name that cannot be part of a path."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", incident):
            remedy = "Use letters, digits, dots, dashes and underscores."
            raise Refused(failed("name files after", f"incident {incident!r}", "it is no plain name", remedy))
        data = Path(data_directory).resolve()
        keep = Path(keep_directory).resolve() if keep_directory else data.parent
        return cls(
            data,
            keep / f"{data.name}.damaged-{incident}",
            keep / f"{data.name}.recovered-{incident}",
            data.with_name(f"{data.name}.config-{incident}"),
        )

    @property
    def stage(self) -> str:
        """How far the exchange has come."""
        data, damaged, recovered = self.data.exists(), self.damaged.exists(), self.recovered.exists()
        if damaged:
            return RETURNING if recovered and not data else PLACED if data else ASIDE
        if recovered and data:
            return RETURNED
        return UNTOUCHED if data else LOST

    @property
    def kept(self) -> Path | None:
        """What the exchange keeps beside the cluster in place; None where nothing is kept."""
        return {ASIDE: self.damaged, PLACED: self.damaged, RETURNED: self.recovered}.get(self.stage)

    def need_renames(self) -> None:
        """Refuse where directories cannot be exchanged by renaming them."""
        what, keep = str(self.data), self.damaged.parent
        if os.path.ismount(self.data):
            remedy = "Make the data directory a directory below the mount, as PostgreSQL's manual advises."
            raise Refused(failed("set aside", what, "it is a mount point, which cannot be renamed", remedy))
        if not keep.is_dir() or os.stat(keep).st_dev != os.stat(self.data.parent).st_dev:
            remedy = "Give a directory of the same file system as keep_directory."
            raise Refused(failed("set aside", what, f"{keep} is not on its file system", remedy))
        for directory in (self.data.parent, keep):
            if not os.access(directory, os.W_OK | os.X_OK):
                remedy = "Run as root, or let the data directory's owner write there."
                raise Refused(failed("set aside", what, f"{directory} cannot be written to", remedy))
