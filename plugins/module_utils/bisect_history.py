# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which backups lie on the history that is followed, and between the bounds that were given.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t
from dataclasses import dataclass

from .backrest_command import Backrest, Repository
from .backrest_info import Facts, sound
from .clock import from_iso, utc_now
from .errors import Refused, failed
from .postgres_state import lsn_number
from .standby_timelines import Stretch, parse_history

_LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
#: what the server's clock may be ahead of ours
_SKEW = dt.timedelta(seconds=60)


@dataclass(frozen=True)
class Bound:
    """A moment that limits the search: a time or a position in the WAL."""

    text: str
    time: dt.datetime | None = None
    lsn: int | None = None

    @classmethod
    def parse(cls, option: str, text: str | None) -> Bound | None:
        """Read an option. Raises Refused for a time without a zone or in the future."""
        if not text:
            return None
        if _LSN.fullmatch(text):
            return cls(text, lsn=lsn_number(text))
        what = f"{option} {text}"
        try:
            moment = from_iso(text)
        except ValueError as error:
            remedy = "Write a time with its zone, 2026-11-23T10:31:00Z, or a position, 0/3000000."
            raise Refused(failed("search with", what, error, remedy)) from None
        if moment > utc_now() + _SKEW:
            raise Refused(failed("search with", what, "it is in the future", "Name a moment that has been."))
        return cls(text, time=moment)

    def before(self, lsn: int, time: dt.datetime) -> bool:
        """Whether the bound lies before a moment; a moment at the bound belongs to what is before."""
        return self.lsn < lsn if self.lsn is not None else bool(self.time and self.time < time)


def history_of(
    backrest: Backrest, repository: Repository, entry: Facts, timeline: str, timeout: float
) -> list[Stretch]:
    """Return the stretches that lead to a timeline: a number, or `latest`, the newest that has WAL in the archive."""
    archive = entry["archives"][-1] if entry["archives"] else {"id": None, "timelines": []}
    known = [one["timeline"] for one in archive["timelines"]]
    wanted = max(known, default=1) if timeline == "latest" else int(timeline)
    if wanted not in known:
        told = ", ".join(map(str, known)) or "no WAL"
        what = f"timeline {wanted}"
        raise Refused(failed("follow", what, f"{repository} has {told}", "Name one of these timelines."))
    if wanted == 1:
        return parse_history(1, "")
    name = f"archive/{backrest.stanza}/{archive['id']}/{wanted:08X}.history"
    text = backrest.run(
        "read",
        f"the history of timeline {wanted} in {repository}",
        "repo-get",
        repository.option,
        name,
        timeout=timeout,
    )
    return parse_history(wanted, text)


def last_segment(entry: Facts, history: t.Sequence[Stretch]) -> str:
    """Return the newest WAL segment of the timeline that is followed, empty where there is none."""
    found = [one["max"] for one in entry["archives"][-1]["timelines"] if one["timeline"] == history[-1].timeline]
    return str(found[0]) if found else ""


def backups_on(
    entry: Facts, history: t.Sequence[Stretch], not_before: Bound | None, not_after: Bound | None
) -> list[Facts]:
    """Return the sound backups to begin from, oldest first: from the newest before `not_before` up to `not_after`.

    Raises Refused where there is none.
    """
    found = sorted(_of_this_cluster(entry, history), key=lambda one: lsn_number(one["lsn_stop"]))
    chosen = [one for one in found if not (not_after and _behind(not_after, one))]
    if not chosen:
        first = found[0] if found else None
        cause = f"its first one ended at {first['stopped']}, {first['lsn_stop']}" if first else "it holds none"
        remedy = "Name a later not_after, another timeline, or another repository."
        what = f"a sound backup on timeline {history[-1].timeline} in repository {entry['name']}"
        raise Refused(failed("find", what, cause, remedy))
    if not_before:
        early = [one for one in chosen if not _behind(not_before, one)]
        if not early:
            first = chosen[0]
            what = f"a backup before not_before {not_before.text} in repository {entry['name']}"
            cause = f"its first one ended at {first['stopped']}, {first['lsn_stop']}"
            raise Refused(failed("find", what, cause, "Name a later not_before, or leave it out."))
        chosen = chosen[len(early) - 1 :]
    return chosen


def _behind(bound: Bound, backup: Facts) -> bool:
    """Whether a backup ended after a bound."""
    return bound.before(lsn_number(backup["lsn_stop"]), from_iso(backup["stopped"]))


def _of_this_cluster(entry: Facts, history: t.Sequence[Stretch]) -> t.Iterator[Facts]:
    stanza = entry["info"][0] if entry["info"] else {}
    newest = max((one["id"] for one in stanza.get("db", [])), default=None)  # another one is before an upgrade
    kept = {one["label"] for one in stanza.get("backup", []) if one["database"]["id"] == newest}
    ends = {one.timeline: one.end for one in history}
    for backup in sound(entry):
        timeline = int((backup["wal_stop"] or "0" * 8)[:8], 16)
        if backup["label"] not in kept or timeline not in ends or not backup["lsn_stop"]:
            continue
        end = ends[timeline]
        if end is None or lsn_number(backup["lsn_stop"]) <= end:
            yield backup
