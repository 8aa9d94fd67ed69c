# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removing what is older than its retention, by pgBackRest itself, and never more than may go.

pgBackRest keeps the newest full backups by count. How many that are follows from the days, from the least that has to
remain, and from the backups that somebody proved: all that is newer than one of these stays, too.

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

_LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")


@dataclass(frozen=True)
class Retention:
    """Days that backups are kept; at least `minimum_full` full backups stay, and every label of `keep`."""

    full_days: float
    diff_days: float | None
    archive_days: float | None
    minimum_full: int
    keep: tuple[str, ...]


@dataclass(frozen=True)
class Keep:
    """How many full and differential backups stay, and over how many full ones the WAL stays continuous."""

    full: int
    diff: int | None
    archive: int


def keeps(backups: list[Facts], retention: Retention, now: dt.datetime | None = None) -> Keep:
    """Return what has to stay. The full backup before the window's beginning stays: the window begins from it.

    Only backups without damaged pages count to the least that remains.
    """
    moment = now or utc_now()
    full = [one for one in reversed(backups) if one["type"] == "full"]  # newest first
    good = [number for number, one in enumerate(full, 1) if not one["error"]]
    least = good[min(retention.minimum_full, len(good)) - 1] if good and retention.minimum_full else len(full)
    proven = [number for number, one in enumerate(full, 1) if any(kept[:16] == one["label"] for kept in retention.keep)]
    wanted = max(_window(full, retention.full_days, moment), least, *proven, 1)
    diff = [one for one in reversed(backups) if one["type"] == "diff"]
    diffs = None
    if retention.diff_days is not None and diff:
        needed = [number for number, one in enumerate(diff, 1) if _needed(one, retention.keep, backups)]
        diffs = max(_window(diff, retention.diff_days, moment), *needed, 1)
    archive = wanted if retention.archive_days is None else _window(full, retention.archive_days, moment)
    return Keep(wanted, diffs, max(1, min(wanted, archive)))


def _window(backups: list[Facts], days: float, now: dt.datetime) -> int:
    """Return how many of them, newest first, reach back so far; the first older one is among them."""
    begins = now - dt.timedelta(days=days)
    for number, one in enumerate(backups, 1):
        if from_iso(one["stopped"]) < begins:
            return number
    return max(1, len(backups))


def _needed(diff: Facts, keep: tuple[str, ...], backups: list[Facts]) -> bool:
    """Whether a kept backup is, or stands on, this differential one."""
    return any(
        one["label"] in keep and (one["label"] == diff["label"] or diff["label"] in one["reference"]) for one in backups
    )


def require_known(entries: list[Facts], keep: tuple[str, ...]) -> None:
    """Raise Refused where a label to keep is in none of the repositories: it may be a slip."""
    known = {one["label"] for entry in entries for one in entry["backups"]}
    for label in keep:
        if label not in known:
            where = ", ".join(entry["name"] for entry in entries)
            raise Refused(failed("keep", f"backup {label}", f"{where} has no such backup", "Correct retention.keep."))


def expire(backrest: Backrest, entry: Facts, retention: Retention, dry_run: bool, timeout: float) -> list[str]:
    """Remove what may go from one repository; its labels. With `dry_run`, what would go."""
    repository: Repository = backrest.repository(entry["name"])
    if not sound(entry):
        return []  # nothing would be left of what can be restored
    keep, number = keeps(entry["backups"], retention), repository.number
    options = [f"--repo{number}-retention-full-type=count", f"--repo{number}-retention-full={keep.full}"]
    options += [f"--repo{number}-retention-archive-type=full", f"--repo{number}-retention-archive={keep.archive}"]
    if keep.diff is not None:
        options.append(f"--repo{number}-retention-diff={keep.diff}")
    lines: list[str] = []

    def watch(line: str) -> None:
        if "expire" in line and "backup" in line:
            lines.append(line)

    backrest.run(
        "expire", f"the backups in {repository}", "expire", repository.option, *options,
        *(["--dry-run"] if dry_run else []), timeout=timeout, watch=watch,
    )  # fmt: skip
    found: t.Iterable[str] = (label for line in lines for label in _LABEL.findall(line.partition("remove")[0]))
    return sorted(set(found) & {one["label"] for one in entry["backups"]})
