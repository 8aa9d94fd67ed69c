"""Whether a killed backup or validation and the one after it left what one run leaves: whole points, nothing else."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.kill.backups import MINIMUM, Backups

#: findings that a kill may leave: nobody has proven anything yet, and what is not sealed is pruned a day later
_HARMLESS = ("never_proven", "leftovers", "too_few_copies")
#: seconds that a worker, which outlives the run it was forked by, may take to end its step
_PATIENCE = 60


@dataclass(frozen=True)
class BackupStory:
    """One trial: `before` is what recovery_point_info found before it, `expired` has to be gone after a backup."""

    playbook: str
    before: dict[str, Any]
    expired: list[str]
    physical: bool
    active: str


def after_the_kill(backups: Backups, story: BackupStory) -> Iterator[str]:
    """What must hold before anybody has run again: nothing half is listed, nothing protected is gone."""
    found = backups.look()
    yield from (f"after the kill: {one}" for one in (*_points(found), *_kept(backups, story, found)))


def at_the_end(backups: Backups, story: BackupStory) -> Iterator[str]:
    """What must hold once the same command ended well."""
    found = backups.look()
    yield from _points(found)
    yield from _kept(backups, story, found)
    yield from _new(backups, story, found)
    if story.playbook == "backup":
        yield from _removed(backups, story, found)
    if story.physical:
        yield from _physical(backups.physical(story.active), story)
    yield from _nothing_left(backups, story)


def _points(found: dict[str, Any]) -> Iterator[str]:
    for one in found["findings"]:
        if one["level"] != "notice" and one["kind"] not in _HARMLESS:
            yield f"{one['kind']}: {one['text']}"


def _kept(backups: Backups, story: BackupStory, found: dict[str, Any]) -> Iterator[str]:
    """Every point that was complete and has not expired is as complete as it was; each store keeps the minimum."""
    now = _copies(found)
    for copy in _copies(story.before) - now:
        if copy[1] not in story.expired:
            yield f"{copy[0]} {copy[1]} was complete in {copy[2]} and is not any more"
    for component in backups.components:
        for store in backups.stores:
            count = sum(1 for name, _id, there in now if (name, there) == (component, store["name"]))
            if count < MINIMUM:
                yield f"{store['name']} has {count} complete points of {component}, fewer than {MINIMUM}"


def _new(backups: Backups, story: BackupStory, found: dict[str, Any]) -> Iterator[str]:
    """A backup left a point of each component that each store can restore, a validation a proof of each."""
    known = {(name, identifier) for name, identifier, _store in _copies(story.before)}
    for component in backups.components:
        if story.playbook == "backup":
            fresh = sorted({one for one in _copies(found) if one[0] == component and one[:2] not in known})
            ids = [identifier for _name, identifier, _store in fresh]
            if not any(ids.count(one) == len(backups.stores) for one in ids):
                yield f"no new point of {component} in every store: {fresh}"
            yield from _restorable(backups, fresh)
        else:
            proofs = next(one["last_proof"] for one in found["components"] if one["component"] == component)
            before = next(one["last_proof"] for one in story.before["components"] if one["component"] == component)
            if not proofs or proofs == before or proofs["outcome"] != "passed":
                yield f"no new proof of {component}: {proofs}"


def _restorable(backups: Backups, copies: list[tuple[str, str, str]]) -> Iterator[str]:
    stores = {one["name"]: one for one in backups.stores}
    with tempfile.TemporaryDirectory(dir=backups.world.scratch) as place:
        for number, (component, identifier, store) in enumerate(copies):
            problem = backups.restorable(component, identifier, stores[store], Path(place, str(number)))
            if problem:
                yield f"{component} {identifier} in {store} cannot be restored: {problem}"


def _removed(backups: Backups, story: BackupStory, found: dict[str, Any]) -> Iterator[str]:
    there = {identifier for _name, identifier, _store in _copies(found)}
    there |= {one["id"] for component in found["components"] for one in component["leftovers"]}
    for identifier in sorted(there & set(story.expired)):
        yield f"expired point {identifier} is still there"


def _physical(found: dict[str, Any], story: BackupStory) -> Iterator[str]:
    if found["outcome"] != "passed":
        yield f"pgBackRest is {found['outcome']}: {'; '.join(found['problems'])}"
    for one in found["repositories"]:
        if one["locked"]:
            yield f"repository {one['name']} is locked"
        if story.playbook == "backup" and not any(backup["type"] == "full" for backup in one["backups"]):
            yield f"repository {one['name']} has no full backup"


def _nothing_left(backups: Backups, story: BackupStory) -> Iterator[str]:
    if holder := backups.held(story.playbook):
        yield f"{holder} still holds the lease"
    deadline = time.monotonic() + _PATIENCE
    while (alive := list(backups.alive())) and time.monotonic() < deadline:
        time.sleep(0.2)
    yield from (f"process {one} outlived its run" for one in alive)
    yield from (f"{one} is left" for one in backups.left())


def _copies(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Component, point and store of every copy that is complete."""
    return {
        (point["component"], point["id"], copy["store"])
        for point in found["points"]
        for copy in point["copies"]
        if copy["state"] == "complete"
    }
