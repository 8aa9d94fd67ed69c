# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in a restored database's comment: of which dump it is, and whether the restore has ended.

The mark names system and database, so that a copy of the comment, as a later dump carries it, is not believed.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict, dataclass

_PREFIX = "[terragon.disaster_recovery.pg_restore] "
RESTORING, FAILED, FINISHED = "restoring", "failed", "finished"


@dataclass(frozen=True)
class Marker:
    """`source` is the mark of the dump and of what was asked of it; `created`: by pg_restore, which may drop it."""

    state: str
    source: str
    system: str
    oid: int
    created: bool
    at: str

    def in_comment(self, own: str) -> str:
        """Return the database's comment: its own, then the mark on the last line."""
        line = _PREFIX + json.dumps(asdict(self), sort_keys=True)
        return f"{own}\n{line}" if own else line


def split_comment(comment: str | None, system: str, oid: int) -> tuple[str, Marker | None]:
    """Return a database's own comment and the mark in it; a mark that is another database's is none."""
    own, _line_end, last = (comment or "").rpartition("\n")
    if not last.startswith(_PREFIX):
        return comment or "", None
    try:
        raw: dict[str, t.Any] = json.loads(last.removeprefix(_PREFIX))
        found = Marker(**{name: raw[name] for name in Marker.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return own, None
    return own, found if (found.system, found.oid) == (system, oid) else None
