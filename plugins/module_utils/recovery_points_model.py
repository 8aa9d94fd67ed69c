# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recovery points as they are reported, and the objectives that they are held against.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import asdict, dataclass, field

from .clock import to_iso
from .errors import Refused
from .recovery_points_names import Place
from .recovery_points_proofs import Proof

#: what a store may have of a point
COMPLETE, INCOMPLETE, UNTRUSTED, ABSENT, UNREACHABLE = "complete", "incomplete", "untrusted", "absent", "unreachable"

FAILED, UNVERIFIED, NOTICE = "failed", "unverified", "notice"


@dataclass(frozen=True)
class Objectives:
    """One component and what is asked of its points."""

    place: Place
    kind: str
    every_seconds: int
    retention_days: int
    copies: int
    prove_every_seconds: int
    minimum_points: int

    @classmethod
    def of(cls, entry: t.Mapping[str, t.Any], service: str | None) -> Objectives:
        """Return what an entry of option `components` says; other keys of it are ignored. Raises Refused."""
        place = Place.of(entry.get("service") or service, entry.get("component"))
        numbers = {
            key: _positive(place, key, entry.get(key, default))
            for key, default in (
                ("every_seconds", None),
                ("retention_days", None),
                ("copies", 1),
                ("prove_every_seconds", None),
                ("minimum_points", 1),
            )
        }
        return cls(place, str(entry.get("kind") or ""), **numbers)


def _positive(place: Place, key: str, value: t.Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise Refused(f"Refused component {place}: {key} is {value!r}. Set it to a whole number above zero.")
    return number


def objectives_of(entries: t.Sequence[t.Mapping[str, t.Any]], service: str | None) -> list[Objectives]:
    """Return the components. Raises Refused for none, and for one that is there twice."""
    found = [Objectives.of(entry, service) for entry in entries]
    places = [str(one.place) for one in found]
    twice = sorted({place for place in places if places.count(place) > 1})
    if not found or twice:
        raise Refused(f"Refused components: {', '.join(twice) + ' twice' if twice else 'none is given'}.")
    return found


@dataclass(frozen=True)
class CopyState:
    """What one store, or one repository, has of a point."""

    store: str
    region: str
    state: str
    why: str = ""


@dataclass
class Point:
    """One recovery point, whatever made it. Times are aware, sizes in bytes."""

    place: Place
    kind: str
    id: str
    created: dt.datetime
    moment_from: dt.datetime
    moment_to: dt.datetime
    bytes: int
    count: int
    copies: list[CopyState]
    held: bool = False
    #: digests of the manifests of its good copies
    manifests: set[str] = field(default_factory=set)
    #: newest first
    proofs: list[Proof] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether it can be restored from somewhere, as far as is known without restoring it."""
        return any(copy.state == COMPLETE for copy in self.copies)

    @property
    def last_proof(self) -> Proof | None:
        """The newest proof that says passed or failed, else the newest at all."""
        return next((one for one in self.proofs if one.conclusive), self.proofs[0] if self.proofs else None)

    def as_dict(self, now: dt.datetime) -> dict[str, t.Any]:
        """Return it as it is reported."""
        proof = self.last_proof
        return {
            "service": self.place.service,
            "component": self.place.component,
            "kind": self.kind,
            "id": self.id,
            "created": to_iso(self.created),
            "window": {"from": to_iso(self.moment_from), "to": to_iso(self.moment_to)},
            "age_seconds": round((now - self.moment_to).total_seconds(), 3),
            "bytes": self.bytes,
            "count": self.count,
            "copies": [asdict(copy) for copy in self.copies],
            "usable": self.usable,
            "held": self.held,
            "proof": proof.as_dict() if proof else None,
        }


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be; `level` is failed, unverified or notice."""

    level: str
    kind: str
    place: Place
    text: str
    id: str = ""
    store: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as it is reported."""
        return {
            "level": self.level,
            "kind": self.kind,
            "service": self.place.service,
            "component": self.place.component,
            "id": self.id,
            "store": self.store,
            "text": self.text,
        }


def outcome_of(findings: t.Iterable[Finding]) -> str:
    """Return failed, unverified or passed."""
    levels = {one.level for one in findings}
    return FAILED if FAILED in levels else UNVERIFIED if UNVERIFIED in levels else "passed"
