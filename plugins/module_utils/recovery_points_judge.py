# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a component's recovery points, and what is due.

What could not be seen is unverified, never passed; what can be seen to be missing is failed, whatever else is unseen.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

from .clock import to_iso
from .recovery_points_component import Component
from .recovery_points_model import COMPLETE, FAILED, INCOMPLETE, NOTICE, UNREACHABLE, UNVERIFIED, Point
from .recovery_points_proofs import Proof

#: a backup or proof is due when so much of its interval has passed: timers are not exact
_DUE = 0.9


@dataclass(frozen=True)
class Limits:
    """How exactly objectives are taken. `grace` is a part of an interval: what a backup itself takes."""

    now: dt.datetime
    grace: float
    leftover_seconds: float
    max_skew_seconds: float


class Judge:
    """Judges one component; findings go to the component."""

    def __init__(self, component: Component, limits: Limits) -> None:
        self.component = component
        self.asked = component.objectives
        self.place = component.objectives.place
        self.limits = limits
        self.due: dict[str, t.Any] | None = None
        self.proof_due: dict[str, t.Any] | None = None

    def judge(self) -> None:
        """Find what is wrong."""
        self._stores()
        usable = [point for point in self.component.points if point.usable and not self._is_future(point)]
        self._backups(usable[0] if usable else None)
        if usable:
            self._copies(usable)
        self._proofs(usable)
        self._leftovers()

    def _stores(self) -> None:
        for view in self.component.views:
            if view.error:
                text = f"{view.store.name} could not be asked: {view.error}"
                self.component.find(UNVERIFIED, "unreachable_store", text, store=view.store.name)
            if abs(view.skew_seconds or 0.0) > self.limits.max_skew_seconds:
                text = (
                    f"This machine's clock is {view.skew_seconds:+.0f} s off that of {view.store.name}: "
                    "no age can be told. Set it right (NTP)"
                )
                self.component.find(UNVERIFIED, "clock_skew", text, store=view.store.name)

    def _is_future(self, point: Point) -> bool:
        latest = max(point.moment_to, point.created)
        ahead = (latest - self.limits.now).total_seconds()
        if ahead <= self.limits.max_skew_seconds:
            return False
        text = f"{self.place}/{point.id} is of {to_iso(latest)}, which is {ahead:.0f} s ahead: it counts for nothing"
        self.component.find(FAILED, "future_point", text, point.id)
        return True

    def _age(self, moment: dt.datetime) -> float:
        return (self.limits.now - moment).total_seconds()

    def _backups(self, newest: Point | None) -> None:
        asked = self.asked.every_seconds
        if newest is None:
            silent = self.component.unreachable
            more = f" in what can be asked ({', '.join(silent)} cannot)" if silent else ""
            self.component.find(FAILED, "no_point", f"{self.place} has no point that can be restored{more}")
            self._is_due("there is none", None)
            return
        age = self._age(newest.moment_to)
        if age > asked * (1 + self.limits.grace):
            to = to_iso(newest.moment_to)
            text = f"{self.place} can be restored to {to} at best, {age:.0f} s ago; asked are {asked} s"
            self.component.find(FAILED, "overdue_backup", text, newest.id)
        if age >= asked * _DUE:
            self._is_due(f"the newest is {age:.0f} s old", age)

    def _is_due(self, reason: str, age: float | None) -> None:
        self.due = {
            "service": self.place.service,
            "component": self.place.component,
            "kind": self.asked.kind,
            "reason": reason,
            "age_seconds": None if age is None else round(age, 3),
            "every_seconds": self.asked.every_seconds,
        }

    def _copies(self, usable: list[Point]) -> None:
        few = [point for point in usable if self._complete(point) < self.asked.copies]
        newest = usable[0]
        if newest in few:
            silent = sum(copy.state == UNREACHABLE for copy in newest.copies)
            level = UNVERIFIED if self._complete(newest) + silent >= self.asked.copies else FAILED
            lacking = [f"{copy.store} {copy.state}" for copy in newest.copies if copy.state != COMPLETE]
            text = (
                f"The newest point of {self.place}, {newest.id}, is complete in {self._complete(newest)} of "
                f"{self.asked.copies} stores: {', '.join(lacking) or 'no other is given'}"
            )
            self.component.find(level, "too_few_copies", text, newest.id)
        older = [point.id for point in few if point is not newest]
        if older:
            text = f"{len(older)} older points of {self.place} have too few copies, the newest of them {older[0]}"
            self.component.find(NOTICE, "too_few_copies", text, older[0])

    @staticmethod
    def _complete(point: Point) -> int:
        return sum(copy.state == COMPLETE for copy in point.copies)

    def _proofs(self, usable: list[Point]) -> None:
        proven = [(point, one) for point in self.component.points for one in point.proofs if one.conclusive]
        proven.sort(key=lambda pair: pair[1].time)
        last_point, last = proven[-1] if proven else (None, None)
        if last is not None and last_point is not None and last.outcome == FAILED:
            text = f"{self.place}/{last_point.id} failed its proof by run {last.run} at {to_iso(last.time)}"
            self.component.find(FAILED, "failed_proof", text, last_point.id)
        self._unverified_since(last)
        asked = self.asked.prove_every_seconds
        latest = asked * (1 + self.limits.grace)
        age = self._age(last.time) if last else None
        oldest = max((self._age(point.created) for point in usable), default=0.0)
        if last is not None and age is not None and age > latest:
            text = f"{self.place} was last proven at {to_iso(last.time)}, {age:.0f} s ago; asked are {asked} s"
            self.component.find(FAILED, "overdue_proof", text)
        elif last is None and oldest > latest:
            text = f"{self.place} was never proven, and has had points for {oldest:.0f} s; asked are {asked} s"
            self.component.find(FAILED, "overdue_proof", text)
        elif last is None and usable:
            self.component.find(UNVERIFIED, "never_proven", f"{self.place} was never proven")
        stale = last is None or (age or 0.0) >= asked * _DUE
        another = last is not None and last.outcome == FAILED and bool(usable) and usable[0] is not last_point
        if usable and (stale or another):
            self._is_proof_due(usable[0], last, age)

    def _unverified_since(self, last: Proof | None) -> None:
        tried = [
            (one.time, point, one)
            for point in self.component.points
            for one in point.proofs
            if one.signature_ok and not one.conclusive and (last is None or one.time > last.time)
        ]
        if tried:
            _time, point, proof = max(tried, key=lambda item: item[0])
            text = f"{self.place}/{point.id} could not be proven by run {proof.run} at {to_iso(proof.time)}"
            self.component.find(UNVERIFIED, "unverified_proof", text, point.id)

    def _is_proof_due(self, newest: Point, last: Proof | None, age: float | None) -> None:
        self.proof_due = {
            "service": self.place.service,
            "component": self.place.component,
            "kind": self.asked.kind,
            "id": newest.id,
            "reason": "it was never proven" if last is None else f"the last proof {last.outcome}, {age:.0f} s ago",
            "last_proof": to_iso(last.time) if last else None,
            "prove_every_seconds": self.asked.prove_every_seconds,
        }

    def _leftovers(self) -> None:
        for one in self.component.leftovers:
            age = self._age(one.newest)
            level = FAILED if age > self.limits.leftover_seconds else NOTICE
            size = f"{one.objects} objects, {one.bytes} bytes, {age:.0f} s old"
            text = f"{one.store} has leftovers of {self.place}/{one.id}, never sealed: {size}"
            self.component.find(level, "leftovers", text, one.id, one.store)
        for point in self.component.points:
            for copy in point.copies:
                if copy.state == INCOMPLETE and copy.why.startswith("it has no seal") and not point.usable:
                    self.component.find(
                        NOTICE, "leftovers", f"{copy.store}: {self.place}/{point.id}: {copy.why}", point.id
                    )
