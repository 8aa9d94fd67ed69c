# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes one copy of one point: its seal first, so that what is half removed is never taken for a point.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError, Refused
from .recovery_points_expiry import EXPIRED, Candidate
from .recovery_points_names import HOLD, MANIFEST
from .recovery_points_store import PointStore


@dataclass
class Removed:
    """What became of one candidate; with `stayed` nothing was removed."""

    candidate: Candidate
    objects: int = 0
    bytes: int = 0
    refused: list[str] = field(default_factory=list)
    stayed: str = ""
    error: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Return it as it is reported."""
        name = self.candidate.name
        return {
            **name.subject,
            "store": self.candidate.store.name,
            "why": self.candidate.why,
            "objects": self.objects,
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class _Thing:
    key: str
    version: str | None
    size: int
    modified: dt.datetime
    current: bool


def remove(candidate: Candidate, check_mode: bool) -> Removed:
    """Remove one copy, after a last look at it. Errors of the store are the result's `error`."""
    done = Removed(candidate)
    try:
        _remove(candidate, done, check_mode)
    except RecoveryError as error:
        done.error = str(error)
    return done


def _remove(candidate: Candidate, done: Removed, check_mode: bool) -> None:
    things = list(_things(candidate.store, candidate.name.prefix))
    done.stayed = _why_not(candidate, things)
    if done.stayed or not things:
        return
    seal_key = candidate.name.key(MANIFEST)
    seal = sorted((one for one in things if one.key == seal_key), key=lambda one: one.modified)
    rest = [one for one in things if one.key != seal_key]
    if check_mode:
        _count(done, things)
        return
    for part in (seal, rest):
        refused = candidate.store.remove([(one.key, one.version) for one in part])
        if refused:
            done.refused = refused
            if part is seal:
                return
            gone = [one for one in rest if not any(one.key in line for line in refused)]
            _count(done, gone)
            return
        _count(done, part)


def _count(done: Removed, things: t.Sequence[_Thing]) -> None:
    done.objects += len(things)
    done.bytes += sum(one.size for one in things)


def _things(store: PointStore, prefix: str) -> t.Iterator[_Thing]:
    """Yield all objects of a point, in a bucket with versions all of them and the delete markers."""
    if len([part for part in prefix.split("/") if part]) != 3 or not prefix.endswith("/"):
        raise Refused(f"Refused to remove below {prefix!r} in {store}: that is not one point.")
    if store.is_versioned:
        for one in store.versions(prefix):
            yield _Thing(one.key, one.version, one.size, one.modified, one.latest and not one.marker)
    else:
        for item in store.listing(prefix):
            yield _Thing(item.key, None, item.size, item.modified, True)


def _why_not(candidate: Candidate, things: t.Sequence[_Thing]) -> str:
    """Return what has changed since it was chosen."""
    current = {one.key for one in things if one.current}
    if candidate.name.key(HOLD) in current:
        return "it is held"
    sealed = candidate.name.key(MANIFEST) in current
    if candidate.why == EXPIRED:
        return "" if sealed else "its seal is gone"
    if sealed:
        return "it was sealed meanwhile"
    newest = max((one.modified for one in things), default=None)
    return "somebody is writing to it" if newest and newest > candidate.untouched_since else ""
