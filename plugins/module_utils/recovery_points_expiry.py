# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which copies of which points may go, and why others stay.

Nothing goes that was not understood: an expired point has a seal that was verified, leftovers certainly have none.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass, field

from .recovery_points_component import Component
from .recovery_points_model import COMPLETE, FAILED, NOTICE, UNVERIFIED, Point
from .recovery_points_names import MANIFEST, PointName, named_time
from .recovery_points_store import PointStore
from .recovery_points_summary import Said, Summary
from .recovery_points_survey import Kept, View

EXPIRED, LEFTOVERS, HIDDEN, UPLOADS = "expired", "leftovers", "hidden", "unfinished_uploads"


@dataclass(frozen=True)
class Candidate:
    """One copy that may go, and what it is."""

    name: PointName
    store: PointStore
    why: str
    #: leftovers that were written to after this are somebody's work under way
    untouched_since: dt.datetime


@dataclass(frozen=True)
class Stays:
    """A copy that is past its retention and stays."""

    name: PointName
    store: str
    why: str


@dataclass
class Expiry:
    """What of one component may go."""

    component: Component
    said: t.Mapping[tuple[str, str], Said]
    now: dt.datetime
    leftover_seconds: float
    max_skew_seconds: float
    candidates: list[Candidate] = field(default_factory=list)
    stays: list[Stays] = field(default_factory=list)

    def decide(self) -> None:
        """Find the candidates. Where a store cannot be seen nothing goes anywhere: it may hold what others miss."""
        if not self._all_is_seen():
            return
        proven = self._newest_proven()
        for view in self.component.views:
            if abs(view.skew_seconds or 0.0) > self.max_skew_seconds or view.skew_seconds is None:
                text = f"Nothing was removed from {view.store.name}: its clock and this machine's differ"
                told = f"{text} by {view.skew_seconds or 0.0:+.0f} s. Set the clock right (NTP)"
                self.component.find(UNVERIFIED, "clock_skew", told, store=view.store.name)
                continue
            self._expired(view, proven)
            self._leftovers(view)
            if view.store.is_versioned:
                self._hidden(view)

    def _all_is_seen(self) -> bool:
        blind = [view.store.name for view in self.component.views if view.error]
        blind += sorted(
            {copy.store for one in self.component.points for copy in one.copies if copy.state == "unreachable"}
        )
        unread = [one for one in self.component.findings if one.kind == "proof_unread"]
        if not blind and not unread:
            return True
        why = f"{', '.join(dict.fromkeys(blind))} could not be asked" if blind else "not all proofs could be read"
        text = f"Nothing of {self.component.objectives.place} was removed: {why}"
        self.component.find(UNVERIFIED, "unreachable_store", text)
        return False

    def _newest_proven(self) -> Point | None:
        def passed(point: Point) -> bool:
            last = point.last_proof
            return last is not None and last.conclusive and last.outcome == "passed"

        return next((point for point in self.component.points if point.usable and passed(point)), None)

    def _expired(self, view: View, proven: Point | None) -> None:
        asked, store = self.component.objectives, view.store.name
        whole = [point for point in self.component.points if self._state(point, store) == COMPLETE]
        newest = {point.id for point in whole[: asked.minimum_points]}
        for point in self.component.points:
            summary = self.said.get((store, point.id))
            if not isinstance(summary, Summary):
                continue
            begun = max(summary.created_at, named_time(point.id))
            if (self.now - begun).total_seconds() <= asked.retention_days * 86400:
                continue
            name = point.place.point(point.id)
            if point.held:
                self.stays.append(Stays(name, store, "it is held"))
            elif proven is not None and point.id == proven.id:
                self.stays.append(Stays(name, store, "it is the newest proven point"))
            elif point.id in newest:
                self.stays.append(Stays(name, store, f"it is one of the {asked.minimum_points} newest"))
            else:
                self.candidates.append(Candidate(name, view.store, EXPIRED, self.now))

    @staticmethod
    def _state(point: Point, store: str) -> str:
        return next((copy.state for copy in point.copies if copy.store == store), "")

    def _leftovers(self, view: View) -> None:
        for identifier, kept in view.points.items():
            name = self.component.objectives.place.point(identifier)
            if kept.manifest is not None or not name.is_sealed_here:
                continue
            if self._is_held(identifier):
                self.stays.append(Stays(name, view.store.name, "it is held"))
            elif self._is_old(kept.newest):
                self.candidates.append(Candidate(name, view.store, LEFTOVERS, self._until))
            else:
                size = f"{kept.objects} objects, {kept.bytes} bytes"
                text = f"{view.store.name} has leftovers of {name}: {size}, too young to remove"
                self.component.find(NOTICE, "leftovers", text, identifier, view.store.name)

    def _is_held(self, identifier: str) -> bool:
        return any(view.points[identifier].held for view in self.component.views if identifier in view.points)

    @property
    def _until(self) -> dt.datetime:
        return self.now - dt.timedelta(seconds=self.leftover_seconds)

    def _is_old(self, newest: dt.datetime | None) -> bool:
        return newest is not None and newest <= self._until

    def _hidden(self, view: View) -> None:
        """Find what only delete markers hide: within its retention it is a finding, afterwards it goes."""
        place = self.component.objectives.place
        newest: dict[str, dt.datetime] = {}
        sealed: set[str] = set()
        for version in view.store.versions(place.prefix):
            identifier, rest = place.split(version.key)
            current = view.points.get(identifier, Kept())
            if not identifier or not place.point(identifier).is_sealed_here or current.manifest is not None:
                continue
            newest[identifier] = max(newest.get(identifier, version.modified), version.modified)
            if rest == MANIFEST and not version.marker:
                sealed.add(identifier)
        chosen = {one.name.id for one in self.candidates if one.store is view.store}
        for identifier, modified in newest.items():
            name = place.point(identifier)
            young = (
                self.now - named_time(identifier)
            ).total_seconds() <= self.component.objectives.retention_days * 86400
            if identifier in sealed and young:
                hidden = "was deleted: a version of its seal is still there"
                text = f"{name} in {view.store.name} is within its retention and {hidden}"
                self.component.find(FAILED, "hidden_point", text, identifier, view.store.name)
                self.candidates = [one for one in self.candidates if (one.name, one.store) != (name, view.store)]
            elif identifier not in chosen and self._is_old(modified) and not self._is_held(identifier):
                self.candidates.append(Candidate(name, view.store, HIDDEN, self._until))
