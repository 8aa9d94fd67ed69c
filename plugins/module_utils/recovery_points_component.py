# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery points of one component, put together from what each store has of them.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .clock import from_iso
from .errors import RecoveryError
from .object_store import ObjectMissing
from .recovery_points_model import (
    ABSENT,
    COMPLETE,
    FAILED,
    INCOMPLETE,
    NOTICE,
    UNREACHABLE,
    UNTRUSTED,
    CopyState,
    Finding,
    Objectives,
    Point,
)
from .recovery_points_names import named_time
from .recovery_points_proofs import Proof, read_proof
from .recovery_points_seal import BadSeal, Trust
from .recovery_points_summary import Said, Summary
from .recovery_points_survey import Kept, View

_AT_ONCE = 6


@dataclass(frozen=True)
class Leftover:
    """Objects of an identifier that no store has a seal for."""

    id: str
    store: str
    objects: int
    bytes: int
    newest: dt.datetime
    held: bool


@dataclass
class Component:
    """Everything known of one component; points newest first."""

    objectives: Objectives
    views: list[View]
    points: list[Point] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: identifiers of another system's points, of which the stores hold proofs
    labels: dict[str, list[tuple[View, Kept]]] = field(default_factory=dict)

    def find(self, level: str, kind: str, text: str, identifier: str = "", store: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(level, kind, self.objectives.place, text, identifier, store))

    @property
    def unreachable(self) -> list[str]:
        """Names of the stores and repositories that nothing is known of."""
        silent = [view.store.name for view in self.views if view.error]
        lost = [copy.store for point in self.points for copy in point.copies if copy.state == UNREACHABLE]
        return sorted({*silent, *lost})


def assemble(objectives: Objectives, views: list[View], said: t.Mapping[tuple[str, str], Said]) -> Component:
    """Return the component's points, with what is wrong with their copies among the findings."""
    component = Component(objectives, views)
    for identifier in sorted({one for view in views for one in view.points}, reverse=True):
        holders = [(view, view.points[identifier]) for view in views if identifier in view.points]
        if not objectives.place.point(identifier).is_sealed_here:
            component.labels[identifier] = holders
        elif any(kept.manifest for _view, kept in holders):
            component.points.append(_point(component, identifier, said))
        else:
            component.leftovers += [_leftover(identifier, view, kept) for view, kept in holders]
    component.points.sort(key=lambda point: (point.moment_to, point.id), reverse=True)
    return component


def _leftover(identifier: str, view: View, kept: Kept) -> Leftover:
    newest = kept.newest or named_time(identifier)
    return Leftover(identifier, view.store.name, kept.objects, kept.bytes, newest, kept.held)


def _point(component: Component, identifier: str, said: t.Mapping[tuple[str, str], Said]) -> Point:
    copies = [_copy(component, view, identifier, said) for view in component.views]
    there = [view.points[identifier] for view in component.views if identifier in view.points]
    summaries = [one for view in component.views if isinstance(one := said.get((view.store.name, identifier)), Summary)]
    if len({one.content for one in summaries}) > 1:
        text = f"{component.objectives.place}/{identifier}: its copies are sealed with different contents"
        component.find(FAILED, "copies_differ", text, identifier)
    place, kind = component.objectives.place, component.objectives.kind
    held = any(kept.held for kept in there)
    if not summaries:
        at = named_time(identifier)
        return Point(place, kind, identifier, at, at, at, max(kept.bytes for kept in there), 0, copies, held)
    best = summaries[0]
    return Point(
        place=place,
        kind=best.kind or kind,
        id=identifier,
        created=best.created_at,
        moment_from=from_iso(best.moment_from),
        moment_to=from_iso(best.moment_to),
        bytes=best.bytes,
        count=best.count,
        copies=copies,
        held=held,
        manifests={one.manifest_sha256 for one in summaries},
    )


def _copy(component: Component, view: View, identifier: str, said: t.Mapping[tuple[str, str], Said]) -> CopyState:
    """Return the state of one copy; one that is damaged is a finding."""
    store, region = view.store.name, view.store.region
    name = f"{component.objectives.place}/{identifier} in {store}"
    kept, told = view.points.get(identifier), said.get((store, identifier))
    if view.error:
        return CopyState(store, region, UNREACHABLE, view.error)
    if kept is None:
        return CopyState(store, region, ABSENT)
    if kept.manifest is None:
        why = f"it has no seal: {kept.objects} objects, {kept.bytes} bytes"
        return CopyState(store, region, INCOMPLETE, why)
    if isinstance(told, BadSeal):
        component.find(FAILED, told.kind, str(told), identifier, store)
        return CopyState(store, region, UNTRUSTED, str(told))
    if not isinstance(told, Summary):
        return CopyState(store, region, UNREACHABLE, told.why if told else "its seal was not read")
    why = told.lacks(kept)
    if why:
        component.find(FAILED, "incomplete_copy", f"{name}: {why}", identifier, store)
    return CopyState(store, region, INCOMPLETE if why else COMPLETE, why)


def read_proofs(component: Component, trust: Trust) -> None:
    """Read each point's proofs, newest first, until one says passed or failed. What cannot be believed is a finding."""
    holders = {
        point.id: [(view, view.points[point.id]) for view in component.views if point.id in view.points]
        for point in component.points
    }
    holders.update({point.id: component.labels.get(point.id, []) for point in component.points if not point.manifests})
    todo = [point for point in component.points if any(kept.proofs for _view, kept in holders[point.id])]
    if not todo:
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(todo)), thread_name_prefix="proofs") as pool:
        results = pool.map(lambda point: list(_proofs(point, holders[point.id], trust)), todo)
        for point, proofs in zip(todo, results, strict=True):
            for proof in proofs:
                if not proof.signature_ok and proof.why.startswith("unread: "):
                    component.find("unverified", "proof_unread", f"A proof of {point.place}/{point.id}: {proof.why}")
                elif not proof.signature_ok:
                    text = f"Proof {proof.name} of {point.place}/{point.id} cannot be believed: {proof.why}"
                    component.find(FAILED, "proof_invalid", text, point.id)
            point.proofs = proofs


def _proofs(point: Point, holders: list[tuple[View, Kept]], trust: Trust) -> t.Iterator[Proof]:
    stores = {rest: view for view, kept in reversed(holders) for rest in kept.proofs}
    for rest in sorted(stores, reverse=True):
        try:
            proof = read_proof(stores[rest].store, point.place.point(point.id), rest, trust)
        except ObjectMissing:
            continue
        except RecoveryError as error:
            yield Proof(rest, named_time(point.id), "", why=f"unread: {error}")
            continue
        if proof.signature_ok and point.manifests and proof.manifest_sha256 not in point.manifests:
            proof = Proof(rest, proof.time, proof.run, why="it is of another manifest")
        yield proof
        if proof.conclusive:
            return


def note_strangers(component: Component) -> None:
    """Report objects below the component that are of no point."""
    for view in component.views:
        if view.strangers:
            where = f"below {component.objectives.place}"
            text = f"{view.store.name} has {view.strangers} objects {where} that are of no point"
            component.find(NOTICE, "strangers", text, store=view.store.name)
