# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a sealed recovery point of a local directory, one copy in each store.

The last eight digits of an identifier are those of its content. So a run that was killed before anything was sealed is
continued by the next one with the same content, and another content never meets its leftovers.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .checksums import hash_tree
from .checksums_manifest import Manifest
from .checksums_model import FileSum
from .checksums_paths import written
from .checksums_tree import walk
from .clock import to_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .object_store import ObjectMissing
from .recovery_points_names import Place, PointName, fingerprint, is_identifier, named_time, new_identifier
from .recovery_points_progress import Log, Meter
from .recovery_points_seal import Seal, Trust, make_seal, read_seal, require_same, write_seal
from .recovery_points_store import PointStore
from .recovery_points_upload import SourceChanged, Upload

#: seconds by which this machine's clock may be off: a point's time is what its age is counted from
MAX_SKEW = 60.0
#: leftovers that are older are left to recovery_point_prune, which removes them after a day
CONTINUE_WITHIN = dt.timedelta(hours=12)


@dataclass
class Copy:
    """What became of the copy in one store: sealed, kept (it was sealed before), planned, or failed."""

    store: str
    region: str
    state: str = "failed"
    sent_files: int = 0
    sent_bytes: int = 0
    kept_files: int = 0
    reason: str = ""


@dataclass
class Taken:
    """A point and its copies."""

    name: PointName
    seal: Seal
    copies: list[Copy] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def facts(self, changed: bool) -> dict[str, t.Any]:
        """Return what the module returns of it."""
        return {
            "changed": changed,
            **self.name.subject,
            "key_prefix": self.name.prefix,
            "created": self.seal.manifest.created,
            "manifest_sha256": self.seal.digest,
            "signed_by": self.seal.key,
            "bytes": self.seal.manifest.total_bytes,
            "count": len(self.seal.manifest.files),
            "copies": [asdict(copy) for copy in self.copies],
            "outcome": "failed" if self.problems else "passed",
            "problems": self.problems,
        }


@dataclass(frozen=True)
class Order:
    """What is to be taken."""

    source: Path
    place: Place
    stores: list[PointStore]
    signing_key: str
    trust: Trust
    identifier: str | None
    facts: dict[str, t.Any]
    copies: int
    algorithm: str
    log: Log


def take(order: Order, check_mode: bool) -> dict[str, t.Any]:
    """Take a point. Raises RecoveryError, with all that is known, when fewer copies than asked for are sealed."""
    before = {entry.path: entry.stamp for entry in walk(order.source).entries}
    files = hash_tree(order.source, order.algorithm, progress=order.log)
    if not files:
        remedy = "An empty backup restores nothing: look why its source is empty."
        raise Refused(failed("take", f"{order.place} from {order.source}", "there are no files in it", remedy))
    reached, lost = _reachable(order)
    name = _name(order, files, reached)
    taken = Taken(name, _seal(order, name, files, reached))
    for copy_store in order.stores:
        taken.copies.append(Copy(copy_store.name, copy_store.region, reason=lost.get(copy_store.name, "")))
    if check_mode:
        for copy, store in _pairs(taken, reached):
            copy.state = "kept" if _is_sealed(store, name, order.trust) else "planned"
    else:
        pairs = _pairs(taken, reached)
        _side_by_side(pairs, lambda copy, store: _upload(order, taken, files, copy, store))
        _refuse_change(order, before, taken)
        _side_by_side(pairs, lambda copy, store: _close(order, taken, copy, store))
    return _concluded(order, taken)


def _reachable(order: Order) -> tuple[list[PointStore], dict[str, str]]:
    """Return the stores that answer, and why the others do not count. Raises where none does, or our clock is off."""
    lost: dict[str, str] = {}
    skews: list[float] = []
    reached = []
    for store in order.stores:
        try:
            next(iter(store.directories(order.place.prefix)), None)
        except RecoveryError as error:
            lost[store.name] = str(error)
            continue
        reached.append(store)
        skews.append(store.skew_seconds or 0.0)
    if not reached:
        raise RecoveryError(failed("take", f"a recovery point of {order.place}", "; ".join(lost.values())))
    if min(abs(skew) for skew in skews) > MAX_SKEW:
        cause = f"this machine's clock is {skews[0]:+.0f} s off the store's ({reached[0].name})"
        remedy = "Set the clock right (NTP): the age of every point is counted by it."
        raise Refused(failed("take", f"a recovery point of {order.place}", cause, remedy))
    return reached, lost


def _name(order: Order, files: list[FileSum], reached: list[PointStore]) -> PointName:
    content = fingerprint((one.path, one.size, one.digest) for one in files)
    if order.identifier:
        name = order.place.point(order.identifier)
        if not name.is_sealed_here:
            raise Refused(f"Refused recovery point {name}: that is an identifier of pgBackRest, which takes its own.")
        return name
    return order.place.point(_continued(order, content, reached) or new_identifier(utc_now(), content))


def _continued(order: Order, content: str, reached: list[PointStore]) -> str | None:
    """Return the newest leftovers of the same content that no store has sealed."""
    found = {
        identifier
        for store in reached
        for identifier in store.directories(order.place.prefix)
        if is_identifier(identifier) and identifier.endswith(f"-{content[:8]}")
    }
    for identifier in sorted(found, reverse=True):
        if utc_now() - named_time(identifier) > CONTINUE_WITHIN:
            return None
        if not any(_has_manifest(store, order.place.point(identifier)) for store in reached):
            return identifier
    return None


def _has_manifest(store: PointStore, name: PointName) -> bool:
    try:
        store.size_and_metadata(name.key("manifest.json"))
    except ObjectMissing:
        return False
    return True


def _seal(order: Order, name: PointName, files: list[FileSum], reached: list[PointStore]) -> Seal:
    """Return the seal that all copies get: the one that a store has already, else a new one."""
    manifest = Manifest(name.subject, order.facts, files, order.algorithm, to_iso(utc_now()))
    mine = make_seal(name, manifest, order.signing_key)
    for store in reached:
        try:
            there = read_seal(store, name, order.trust)
        except ObjectMissing:
            continue
        require_same(mine, there.body, store)
        return there
    return mine


def _is_sealed(store: PointStore, name: PointName, trust: Trust) -> bool:
    try:
        read_seal(store, name, trust)
    except ObjectMissing:
        return False
    return True


def _side_by_side(pairs: list[tuple[Copy, PointStore]], work: t.Callable[[Copy, PointStore], None]) -> None:
    """Work on all copies at once; what goes wrong with one is its reason, and the others go on."""

    def guarded(copy: Copy, store: PointStore) -> None:
        if copy.reason:
            return
        try:
            work(copy, store)
        except RecoveryError as error:
            copy.reason = str(error)

    with ThreadPoolExecutor(len(pairs), thread_name_prefix="copy") as pool:
        for future in [pool.submit(guarded, copy, store) for copy, store in pairs]:
            future.result()


def _pairs(taken: Taken, reached: list[PointStore]) -> list[tuple[Copy, PointStore]]:
    stores = {store.name: store for store in reached}
    return [(copy, stores[copy.store]) for copy in taken.copies if copy.store in stores]


def _upload(order: Order, taken: Taken, files: list[FileSum], copy: Copy, store: PointStore) -> None:
    meter = Meter(f"{taken.name} to {store.name}", len(files), taken.seal.manifest.total_bytes, order.log)
    upload = Upload(store, taken.name, order.source, order.algorithm, meter)
    try:
        upload.run(files)
    finally:
        copy.sent_files, copy.sent_bytes, copy.kept_files = upload.sent_files, upload.sent_bytes, upload.kept_files


def _close(order: Order, taken: Taken, copy: Copy, store: PointStore) -> None:
    copy.state = "sealed" if write_seal(store, taken.seal, order.signing_key) else "kept"


def _refuse_change(order: Order, before: dict[str, t.Any], taken: Taken) -> None:
    """Raise SourceChanged when the source is not as it was: files that belong together would not be of one moment."""
    after = {entry.path: entry.stamp for entry in walk(order.source).entries}
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        cause = f"it changed while it was taken: {', '.join(written(path) for path in changed[:5])}{more}"
        remedy = "Stop what writes to it, or take a snapshot first, then run again. Nothing was sealed."
        raise SourceChanged(failed("take", str(order.source), cause, remedy), **taken.facts(_has_sent(taken)))


def _has_sent(taken: Taken) -> bool:
    return any(copy.state in ("sealed", "planned") or copy.sent_files for copy in taken.copies)


def _concluded(order: Order, taken: Taken) -> dict[str, t.Any]:
    good = [copy for copy in taken.copies if copy.state != "failed"]
    missing = [copy for copy in taken.copies if copy.state == "failed"]
    taken.problems += [f"The copy in {copy.store} is missing: {copy.reason}" for copy in missing]
    facts = taken.facts(_has_sent(taken))
    facts["diff"] = {
        "before": {"copies": [copy.store for copy in good if copy.state == "kept"]},
        "after": {"point": str(taken.name), "copies": [copy.store for copy in good], "bytes": facts["bytes"]},
    }
    facts["evidence"] = {key: facts[key] for key in ("id", "manifest_sha256", "signed_by", "bytes", "count", "copies")}
    if len(good) < order.copies:
        cause = f"{len(good)} of {order.copies} are sealed. {' '.join(taken.problems)}"
        remedy = f"Heal that, then run again with id={taken.name.id} to complete it." if good else ""
        raise RecoveryError(failed("take", f"all copies of {taken.name}", cause, remedy), **facts)
    return facts
