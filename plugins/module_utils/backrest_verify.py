# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgBackRest's own check of a repository: every file of every backup and every WAL segment against its checksum.

`pgbackrest verify` ends with status 0 whatever it finds, and finds no gap in the WAL. So what it says is read: its
verdict on each backup and archive, and the ranges of WAL, between which segments are missing.

PRIVATE to the collection.
"""

from __future__ import annotations

import itertools
import re
import typing as t
from dataclasses import dataclass, field

from .backrest_command import Backrest
from .backrest_info import Facts
from .errors import RecoveryError

_BACKUP = re.compile(r"backup: (\S+), status: ([^,]+), total files checked: (\d+), total valid files: (\d+)")
_ARCHIVE = re.compile(r"archiveId: (\S+), total WAL checked: (\d+), total valid WAL: (\d+)")
_RANGE = re.compile(r"archiveId: (\S+), wal start: ([0-9A-F]{24}), wal stop: ([0-9A-F]{24})")
_LINE = r"^[0-9:. -]*(?:P\d+ +)?(?:INFO|WARN|ERROR): +"
_PROBLEM = re.compile(_LINE + r"((?:invalid|missing|duplicate|unable|archive|no ).*)")
#: how many problems of a kind are told one by one
_TOLD = 20


@dataclass
class Findings:
    """What pgBackRest said, line by line."""

    backups: dict[str, Facts] = field(default_factory=dict)
    archives: dict[str, Facts] = field(default_factory=dict)
    #: first and last segment of every stretch without a gap, in order
    ranges: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        """Take one line."""
        text = line.strip()
        if found := _RANGE.search(text):
            self.ranges.append((found[1], found[2], found[3]))
        elif found := _ARCHIVE.search(text):
            self.archives[found[1]] = {"id": found[1], "segments": int(found[2]), "valid": int(found[3])}
        elif found := _BACKUP.search(text):
            files, valid = int(found[3]), int(found[4])
            self.backups[found[1]] = {"label": found[1], "status": found[2], "files": files, "valid": valid}
        elif (found := _PROBLEM.search(text)) and len(self.problems) < _TOLD:
            self.problems.append(found[1][:240])


def verify(backrest: Backrest, entry: Facts, timeout: float) -> Facts:
    """Return the verdict on one repository: outcome, reasons, backups and archives with counts."""
    repository = backrest.repository(entry["name"])
    told: Facts = {"name": entry["name"], "outcome": "unverified", "reasons": [], "backups": [], "archives": []}
    if entry["outcome"] == "unverified" or not entry["backups"]:
        return {**told, "outcome": entry["outcome"], "reasons": entry["reasons"]}
    found = Findings()
    try:
        backrest.run(
            "verify", str(repository), "verify", repository.option, "--output=text", "--verbose", timeout=timeout,
            watch=found,
        )  # fmt: skip
    except RecoveryError as error:
        return {**told, "reasons": [str(error), *found.problems]}
    told.update(backups=list(found.backups.values()), archives=list(found.archives.values()))
    unseen = [one["label"] for one in entry["backups"] if one["label"] not in found.backups]
    if unseen:
        return {**told, "reasons": [f"pgbackrest verify did not say anything of {', '.join(unseen[:5])}."]}
    reasons = _reasons(entry, found)
    return {**told, "outcome": "failed" if reasons else "passed", "reasons": reasons}


def _reasons(entry: Facts, found: Findings) -> list[str]:
    name, listed = entry["name"], {one["label"] for one in entry["backups"]}
    reasons = [
        f"Backup {one['label']} in {name} is {one['status']}: {one['files'] - one['valid']} of {one['files']} files."
        for one in found.backups.values()
        # what is not listed is no backup: the rest of one that was killed, or expired, which the next one removes
        if one["label"] in listed and (one["status"] != "valid" or one["files"] != one["valid"])
    ]
    reasons += [
        f"{one['segments'] - one['valid']} of {one['segments']} WAL segments of {one['id']} in {name} are not valid."
        for one in found.archives.values()
        if one["segments"] != one["valid"]
    ]
    reasons += [f"{name}: {problem}." for problem in found.problems]
    absent = missing_segments(found.ranges, entry["backups"])
    reasons += [f"WAL segment {segment} is missing in {name}." for segment in absent[:_TOLD]]
    return reasons + ([f"{len(absent) - _TOLD} more WAL segments are missing in {name}."] if absent[_TOLD:] else [])


def missing_segments(ranges: t.Iterable[tuple[str, str, str]], backups: list[Facts]) -> list[str]:
    """Return the names of the segments that are missing between the ranges (archive, first, last).

    WAL between two backups that retention took away is not missing: there the gap begins after one backup's last
    segment and ends before another one's first. What a backup needs and no range reaches is missing, too.
    """
    ordered = sorted(set(ranges))
    stops, starts = {one["wal_stop"] for one in backups}, {one["wal_start"] for one in backups}
    per_log = 4096 if any(int(name[16:], 16) > 255 for one in ordered for name in one[1:]) else 256
    absent: list[str] = []
    for (archive, _first, last), (next_archive, after, _last) in itertools.pairwise(ordered):
        # between two timelines, too: what the old one lacks up to the segment in which the new one begins
        if archive == next_archive and not (last in stops and after in starts):
            absent += _between(last, after, per_log)
    held = [(_number(first, per_log), _number(last, per_log), first[:8]) for _archive, first, last in ordered]
    for one in backups:
        timeline = one["wal_start"][:8]
        if one["wal_stop"][:8] == timeline:
            for number in range(_number(one["wal_start"], per_log), _number(one["wal_stop"], per_log) + 1):
                if not any(low <= number <= high and timeline == held_by for low, high, held_by in held):
                    absent.append(_name(timeline, number, per_log))
    return sorted(set(absent))


def _between(last: str, after: str, per_log: int) -> list[str]:
    return [_name(last[:8], one, per_log) for one in range(_number(last, per_log) + 1, _number(after, per_log))]


def _number(segment: str, per_log: int) -> int:
    return int(segment[8:16], 16) * per_log + int(segment[16:24], 16)


def _name(timeline: str, number: int, per_log: int) -> str:
    return f"{timeline}{number // per_log:08X}{number % per_log:08X}"
