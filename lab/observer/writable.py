"""From the observer's record to a proof: did two regions take writes at one time?

An accepted write proves that its region was writable at some instant between its begin and its end. Nothing more is
assumed, so whatever is reported as a conflict was one.
"""

from __future__ import annotations

import datetime as dt
import itertools
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass, replace

Line = dict[str, t.Any]


@dataclass(frozen=True)
class Tenure:
    """A region's accepted writes, one after the other, with no probe between them that was not accepted."""

    region: str
    began: dt.datetime
    #: the end of the first write: by then the region had certainly been writable
    certain_from: dt.datetime
    #: the begin of the last write: it was writable once more after that
    certain_until: dt.datetime
    ended: dt.datetime
    #: the highest epoch of the lease that its database showed; None where it showed none
    epoch: int | None

    def with_write(self, began: dt.datetime, ended: dt.datetime, epoch: int | None) -> Tenure:
        """This tenure with one more write."""
        known = [one for one in (self.epoch, epoch) if one is not None]
        return replace(self, certain_until=began, ended=ended, epoch=max(known, default=None))

    def outlives(self, other: Tenure) -> bool:
        """Whether a write of this one began after a write of the other had ended."""
        return self.certain_until > other.certain_from


def tenures(lines: Iterable[Line], since: dt.datetime) -> list[Tenure]:
    """All tenures of all regions that ended after `since`."""
    found: list[Tenure] = []
    going: dict[str, int | None] = {}
    for line in lines:
        region, began = line["region"], dt.datetime.fromisoformat(line["t"])
        ended = began + dt.timedelta(seconds=line["seconds"])
        if ended < since:
            continue
        current = going.get(region)
        if not line["accepted"]:
            going[region] = None if not line.get("late") else current
        elif line.get("late"):  # it began before others that are on record already
            found.append(Tenure(region, began, ended, began, ended, line.get("epoch")))
        elif current is not None:
            found[current] = found[current].with_write(began, ended, line.get("epoch"))
        else:
            going[region] = len(found)
            found.append(Tenure(region, began, ended, began, ended, line.get("epoch")))
    return found


def conflict(one: Tenure, other: Tenure) -> bool:
    """Whether two tenures of two regions prove two writable primaries.

    Either each has a write that began after one of the other's had ended: neither stopped before the other began.
    Or the one of the lower epoch went on (or began again) after a write of the higher epoch had been accepted.
    """
    if one.region == other.region:
        return False
    if one.outlives(other) and other.outlives(one):
        return True
    if one.epoch is None or other.epoch is None or one.epoch == other.epoch:
        return False
    older, newer = sorted((one, other), key=lambda tenure: tenure.epoch or 0)
    return older.outlives(newer)


def undecided(one: Tenure, other: Tenure) -> bool:
    """Whether two regions accepted writes in overlapping time, and it cannot be told which came first."""
    overlap = one.began < other.ended and other.began < one.ended
    return one.region != other.region and overlap and not conflict(one, other)


def observed(lines: Iterable[Line], since: dt.datetime) -> dict[str, t.Any]:
    """How many regions took writes at one time, at most (2 stands for two or more), and where two did.

    `undecided` lists what may have been such a time and is not proven; `unanswered` counts writes that the client
    gave up on: whether they were committed is unknown, and nobody was told that they were.
    """
    seen = [line for line in lines if dt.datetime.fromisoformat(line["t"]) >= since or line.get("late")]
    found = tenures(seen, since)
    pairs = list(itertools.combinations(sorted(found, key=lambda tenure: tenure.began), 2))
    both = [_told(one, other) for one, other in pairs if conflict(one, other)]
    late = {(line["region"], line.get("number")) for line in seen if line.get("late")}
    unknown = [line for line in seen if line.get("outcome") == "unknown"]
    return {
        "rounds": sum(not line.get("late") for line in seen),
        "max_writable_primaries": 2 if both else min(1, len(found)),
        "both": both,
        "undecided": [_told(one, other) for one, other in pairs if undecided(one, other)],
        "unanswered": sum((line["region"], line.get("number")) not in late for line in unknown),
    }


def _told(one: Tenure, other: Tenure) -> dict[str, t.Any]:
    start, end = max(one.began, other.began), min(one.ended, other.ended)
    return {
        "regions": [one.region, other.region],
        "epochs": [one.epoch, other.epoch],
        "from": _iso(min(start, end)),
        "until": _iso(max(start, end)),
    }


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
