# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a local directory of a recovery point: signature first, then each file, hashed as it arrives.

A file gets its name only when it is whole and as sealed. A run that was killed is continued: what is there and right
is kept. A copy that is damaged is named, and the next store's is used where that is allowed.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .checksums import hash_tree
from .checksums_compare import EXTRA, MISSING
from .checksums_model import FileSum, new_hasher
from .checksums_paths import written
from .errors import RecoveryError, Refused, Unreachable, failed
from .object_store import ObjectMissing
from .recovery_points_names import Place, is_identifier
from .recovery_points_progress import Log, Meter
from .recovery_points_seal import Seal, Trust, read_seal
from .recovery_points_store import PointStore
from .recovery_points_target import Target, is_part

try:
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = HTTPError = type("NoError", (Exception,), {})  # type: ignore[assignment,misc]

NEWEST = "newest"
_AT_ONCE = 4
_PIECE = 1 << 20
_ATTEMPTS = 3
#: files that a store did not give before it is asked no more
_GIVE_UP = 3


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched; `stores` in the order in which they are asked."""

    place: Place
    identifier: str
    stores: list[PointStore]
    trust: Trust
    fall_back: bool
    log: Log


@dataclass
class Fetched:
    """What became of it."""

    seal: Seal
    store: PointStore
    kept_files: int = 0
    fetched_files: int = 0
    fetched_bytes: int = 0
    replaced: list[str] = field(default_factory=list)
    #: copies of files that are not as sealed: {store, path, why}
    damaged: list[dict[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def fetch(wanted: Wanted, target: Target, check_mode: bool) -> dict[str, t.Any]:
    """Fetch a point into the target. Raises RecoveryError when a file of it is right in no store that may be asked."""
    seal, sources, problems = _sealed(wanted)
    if len(seal.kept_here) != len(seal.manifest.files):
        remedy = "Restore it from there."
        cause = "its content is not in these stores: its manifest names versions in a bucket of their own"
        raise Refused(failed("fetch", f"recovery point {seal.name}", cause, remedy))
    done = Fetched(seal, sources[0], problems=problems)
    with target.held(check_mode):
        todo = _todo(done, target, wanted.log)
        if not check_mode:
            target.require_room(sum(one.size for one in todo))
            _fetch_all(done, target, todo, sources, wanted.log)
    return _facts(done, target, todo, check_mode)


def _sealed(wanted: Wanted) -> tuple[Seal, list[PointStore], list[str]]:
    """Return the point's seal and the stores that have it, the first one first."""
    stores = wanted.stores if wanted.fall_back else wanted.stores[:1]
    problems: list[str] = []
    identifiers = [wanted.identifier] if wanted.identifier != NEWEST else _newest_first(wanted, stores, problems)
    for identifier in identifiers:
        name = wanted.place.point(identifier)
        seal, sources = None, []
        for store in stores:
            try:
                there = read_seal(store, name, wanted.trust)
            except ObjectMissing:
                problems.append(f"{store.name} has no sealed copy of {name}.")
                continue
            except RecoveryError as error:
                problems.append(f"{store.name}: {error}")
                continue
            if seal is not None and seal.differences(there.manifest.files):
                problems.append(f"{store.name} has another content sealed as {name} than {sources[0].name}.")
                continue
            seal = seal or there
            sources.append(store)
        if seal is not None:
            return seal, sources, problems
    what = f"recovery point {wanted.identifier} of {wanted.place}"
    raise RecoveryError(failed("fetch", what, " ".join(problems) or "there is none", ""), problems=problems)


def _newest_first(wanted: Wanted, stores: list[PointStore], problems: list[str]) -> list[str]:
    found: set[str] = set()
    for store in stores:
        try:
            names = [name for name in store.directories(wanted.place.prefix) if is_identifier(name)]
        except RecoveryError as error:
            problems.append(f"{store.name}: {error}")
            continue
        found.update(name for name in names if wanted.place.point(name).is_sealed_here)
    return sorted(found, reverse=True)


def _todo(done: Fetched, target: Target, log: Log) -> list[FileSum]:
    """Return the files that are not there, or not right. Raises Refused when the directory holds something else."""
    there = hash_tree(target.path, done.seal.manifest.algorithm, progress=log) if target.path.is_dir() else []
    differences = done.seal.differences(there)
    strangers = [one.path for one in differences if one.kind == EXTRA and not is_part(one.path)]
    if strangers:
        names = ", ".join(written(path) for path in sorted(strangers)[:5])
        cause = f"it holds what is not of this point: {names}"
        remedy = "Give a new directory: a point is restored beside what is there, never over it."
        raise Refused(failed("fetch", f"{done.seal.name} into {target.path}", cause, remedy))
    done.replaced = [written(one.path) for one in differences if one.kind not in (MISSING, EXTRA)]
    done.kept_files = len(done.seal.manifest.files) - sum(one.expected is not None for one in differences)
    return [one.expected for one in differences if one.expected is not None]


def _fetch_all(done: Fetched, target: Target, todo: list[FileSum], sources: list[PointStore], log: Log) -> None:
    manifest = done.seal.manifest
    meter = Meter(f"{done.seal.name} from {done.store.name}", len(todo), sum(one.size for one in todo), log)
    crew = _Crew(done, target, sources, meter, manifest.algorithm)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
        futures = [pool.submit(crew.fetch, one) for one in sorted(todo, key=lambda one: -one.size)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Damaged(RecoveryError):
    """This copy of the file is not as sealed."""


@dataclass
class _Crew:
    """Fetches files side by side, each from the first store that has it right."""

    done: Fetched
    target: Target
    sources: list[PointStore]
    meter: Meter
    algorithm: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _silent: dict[str, int] = field(default_factory=dict)

    def fetch(self, one: FileSum) -> None:
        reasons = []
        for store in list(self.sources):
            try:
                self._from(store, one)
            except _Damaged as error:
                reasons.append(str(error))
                self._note(store, one, str(error))
            except Unreachable as error:
                reasons.append(str(error))
                self._note(store, one, str(error))
                self._give_up(store)
            else:
                with self._lock:
                    self.done.fetched_files += 1
                    self.done.fetched_bytes += one.size
                return
        what = f"{written(one.path)} of {self.done.seal.name}"
        remedy = "What was fetched is kept: run again once another store can be asked, or fetch an older point."
        raise RecoveryError(failed("fetch", what, " ".join(reasons), remedy), damaged=list(self.done.damaged))

    def _note(self, store: PointStore, one: FileSum, why: str) -> None:
        with self._lock:
            self.done.damaged.append({"store": store.name, "path": written(one.path), "why": why})

    def _give_up(self, store: PointStore) -> None:
        """Ask a store no more that did not answer for several files, while there is another."""
        with self._lock:
            self._silent[store.name] = self._silent.get(store.name, 0) + 1
            if self._silent[store.name] >= _GIVE_UP and len(self.sources) > 1 and store in self.sources:
                self.sources.remove(store)

    def _from(self, store: PointStore, one: FileSum) -> None:
        key = self.done.seal.name.file_key(one.path)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._stream(store, key, one)
                return
            except ObjectMissing as error:
                raise _Damaged(f"{store.name}: {key} is missing.") from error
            except (BotoCoreError, HTTPError, OSError) as error:
                if isinstance(error, OSError) and not isinstance(error, (HTTPError, ConnectionError, TimeoutError)):
                    raise self.target.trouble(error) from error
                if attempt == _ATTEMPTS:
                    raise Unreachable(failed("read", f"{key} in {store}", error, "Retry.")) from error

    def _stream(self, store: PointStore, key: str, one: FileSum) -> None:
        hasher, size = new_hasher(self.algorithm), 0
        with contextlib.closing(store.stream(key)) as body, self.target.writing(one.path) as part:
            while piece := body.read(_PIECE):
                hasher.update(piece)
                size += len(piece)
                if size > one.size:
                    break
                part.write(piece)
            found = hasher.hexdigest()
            if (size, found) != (one.size, one.digest):
                length = f", {size} bytes in place of {one.size}" if size != one.size else ""
                raise _Damaged(f"{store.name}: {key} is not as it was sealed ({self.algorithm} {found[:16]}…{length}).")
            part.keep()
        self.meter.add(size, files=1)


def _facts(done: Fetched, target: Target, todo: list[FileSum], check_mode: bool) -> dict[str, t.Any]:
    seal = done.seal
    named = sorted({f"{one['store']}: {one['path']}" for one in done.damaged})
    if named:
        done.problems.append(f"Damaged or not readable, so taken from another store: {', '.join(named[:5])}.")
    facts: dict[str, t.Any] = {
        "changed": bool(todo),
        **seal.name.subject,
        "directory": str(target.path),
        "store": done.store.name,
        "created": seal.manifest.created,
        "facts": seal.manifest.facts,
        "manifest_sha256": seal.digest,
        "signed_by": seal.key,
        "bytes": seal.manifest.total_bytes,
        "count": len(seal.manifest.files),
        "fetched_files": 0 if check_mode else done.fetched_files,
        "fetched_bytes": 0 if check_mode else done.fetched_bytes,
        "kept_files": done.kept_files,
        "replaced": done.replaced,
        "damaged": done.damaged,
        "outcome": "unverified" if check_mode and todo else "passed",
        "problems": done.problems,
        "diff": {
            "before": {"files": done.kept_files},
            "after": {"point": str(seal.name), "files": len(seal.manifest.files), "bytes": seal.manifest.total_bytes},
        },
    }
    keys = ("id", "store", "manifest_sha256", "signed_by", "bytes", "count", "damaged")
    return {**facts, "evidence": {key: facts[key] for key in keys}}
