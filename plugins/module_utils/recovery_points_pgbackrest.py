# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recovery points that pgBackRest keeps in repositories of its own, from what `pgbackrest info --output=json` printed.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass, field

from .clock import from_iso
from .errors import Refused
from .recovery_points_model import ABSENT, COMPLETE, INCOMPLETE, UNREACHABLE, CopyState, Point
from .recovery_points_names import Place

#: status codes of a stanza or repository that was read: it is fine, it holds no backup
_READ = (0, 2)


@dataclass
class Repository:
    """One repository: its backups, and until when WAL is in it."""

    name: str
    region: str
    error: str = ""
    archived_until: dt.datetime | None = None
    #: label -> {from, bytes, error}
    backups: dict[str, dict[str, t.Any]] = field(default_factory=dict)

    @property
    def newest_backup(self) -> dt.datetime | None:
        """When the newest backup ended."""
        return max((one["from"] for one in self.backups.values()), default=None)

    def until(self, began: dt.datetime) -> dt.datetime:
        """Return to which moment a backup of this repository can be restored, at least."""
        return max(began, self.archived_until) if self.archived_until else began


def repositories(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[Place, list[Repository]]:
    """Return the repositories of each component. Raises Refused for an entry that cannot be read."""
    found: dict[Place, list[Repository]] = {}
    for entry in entries:
        place = Place.of(entry["service"], entry["component"])
        try:
            found.setdefault(place, []).append(_repository(entry))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"what pgbackrest said of repository {entry.get('repository')} of {place}"
            raise Refused(
                f"Refused {what}: {type(error).__name__} {error}. Give what info --output=json prints."
            ) from error
    return found


def _repository(entry: t.Mapping[str, t.Any]) -> Repository:
    found = Repository(entry["repository"], entry.get("region") or "", entry.get("error") or "")
    if entry.get("archived_until"):
        found.archived_until = from_iso(entry["archived_until"])
    key = entry.get("repository_key")
    for stanza in entry.get("documents") or []:
        status = _status(stanza, key)
        if status["code"] not in _READ:
            found.error = found.error or f"stanza {stanza['name']}: {status['message']}"
        for backup in stanza.get("backup") or []:
            if key is None or backup["database"]["repo-key"] == key:
                ended = dt.datetime.fromtimestamp(backup["timestamp"]["stop"], dt.UTC)
                damaged = bool(backup.get("error"))
                found.backups[backup["label"]] = {"from": ended, "bytes": backup["info"]["size"], "error": damaged}
    if not entry.get("documents") and not found.error:
        found.error = "pgbackrest said nothing about it"
    return found


def _status(stanza: t.Mapping[str, t.Any], key: int | None) -> dict[str, t.Any]:
    """Return the status of one repository of a stanza; the stanza's own where it does not matter which."""
    for one in stanza.get("repo") or []:
        if one["key"] == key:
            return dict(one["status"])
    return dict(stanza["status"])


def points(place: Place, kind: str, holders: list[Repository]) -> list[Point]:
    """Return each backup as a point, which WAL takes from its end to the last moment that is archived."""
    found: list[Point] = []
    for label in sorted({one for repository in holders for one in repository.backups}, reverse=True):
        having = [repository for repository in holders if label in repository.backups]
        began = having[0].backups[label]["from"]
        until = max(repository.until(began) for repository in having)
        size = having[0].backups[label]["bytes"]
        copies = [_copy(repository, label) for repository in holders]
        found.append(Point(place, kind or "pgbackrest", label, began, began, until, size, 0, copies))
    return found


def _copy(repository: Repository, label: str) -> CopyState:
    if label not in repository.backups:
        state = UNREACHABLE if repository.error else ABSENT
        return CopyState(repository.name, repository.region, state, repository.error)
    if repository.backups[label]["error"]:
        return CopyState(repository.name, repository.region, INCOMPLETE, "pgbackrest found damaged pages in it")
    if repository.error:
        return CopyState(repository.name, repository.region, UNREACHABLE, repository.error)
    return CopyState(repository.name, repository.region, COMPLETE)
