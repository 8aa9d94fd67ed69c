# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checksums of the objects below a prefix of an S3 bucket, streamed: nothing is kept of what is read.

The version that was read is recorded, so that it can be read again whatever is written over it.

PRIVATE to the collection.
"""

from __future__ import annotations

import threading
import typing as t

from .checksums import Examined, Known, gather
from .checksums_model import NAME, UNREADABLE, VANISHED, BadFile, FileSum, new_hasher
from .checksums_paths import why_unsafe
from .checksums_pool import Pool, Stopped, cores
from .checksums_progress import Meter, Tell
from .checksums_tree import Entry, Listing
from .errors import RecoveryError, Unreachable, failed
from .object_store import ObjectMissing, ObjectStore

try:
    from botocore.exceptions import BotoCoreError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]

_PIECE = 1 << 20
_ATTEMPTS = 3
#: So many objects one after the other that the store does not give: it is gone, and asking for the rest is idle.
_GIVE_UP = 8
#: connections that the client keeps
_MOST_WORKERS = 10


class Prefix(ObjectStore):
    """The objects below the prefix of a `store` option and, below that, `prefix`: a directory."""

    def __init__(self, options: t.Mapping[str, t.Any], prefix: str = "") -> None:
        whole = (options.get("prefix") or "") + prefix
        super().__init__({**options, "prefix": f"{whole.rstrip('/')}/" if whole.strip("/") else ""})
        self._unanswered = 0
        self._lock = threading.Lock()

    def listing(self, skip: t.Collection[str] = ()) -> Listing:
        """Return the objects but those whose places are in `skip`. Empty ones that end in a slash are directories.

        Raises RecoveryError where the bucket cannot be listed.
        """
        found = Listing()
        arguments: dict[str, t.Any] = {}
        while True:
            answer = self._call("list", "", "list_objects_v2", **arguments)
            for item in answer.get("Contents", []):
                if self.place + item["Key"][len(self.prefix) :] not in skip:
                    self._take(item, found)
            if not answer.get("IsTruncated"):
                return found
            arguments = {"ContinuationToken": answer["NextContinuationToken"]}

    def hash(
        self,
        entry: Entry,
        algorithm: str,
        version_id: str | None,
        counted: t.Callable[[int], None],
        stopping: threading.Event,
    ) -> FileSum:
        """Return the sum of one object. Raises BadFile, and Unreachable once the store gives nothing any more."""
        attempt = 0
        while True:
            attempt += 1
            try:
                found = self._read(entry.path, algorithm, version_id, counted, stopping)
            except ObjectMissing as error:
                cause = f"there is no such {'version' if version_id else 'object'} any more"
                raise BadFile(entry.path, VANISHED, cause, "Run again, or look who removed it.") from error
            except Unreachable as error:
                if attempt < _ATTEMPTS:
                    stopping.wait(0.2 * 2**attempt)
                    continue
                if self._answered(False):
                    raise
                raise BadFile(entry.path, UNREADABLE, f"{str(error).rstrip('.')} ({attempt} attempts)") from error
            except RecoveryError as error:
                raise BadFile(entry.path, UNREADABLE, str(error)) from error
            self._answered(True)
            return found

    def _take(self, item: t.Mapping[str, t.Any], found: Listing) -> None:
        path, size = item["Key"][len(self.prefix) :], item["Size"]
        if item["Key"].endswith("/") and size == 0:
            return
        unsafe = "it has no name" if not path else why_unsafe(path)
        if unsafe:
            remedy = "Rename the object: no file can have that name."
            found.problems.append(BadFile(path, NAME, unsafe, remedy))
            return
        found.entries.append(Entry(path, size, (item["ETag"], str(item["LastModified"]), size)))

    def _read(
        self,
        path: str,
        algorithm: str,
        version_id: str | None,
        counted: t.Callable[[int], None],
        stopping: threading.Event,
    ) -> FileSum:
        hasher, size = new_hasher(algorithm), 0
        which: dict[str, t.Any] = {"VersionId": version_id} if version_id else {}
        answer = self._call("read", path, "get_object", **which)
        try:
            while piece := answer["Body"].read(_PIECE):
                if stopping.is_set():
                    raise Stopped
                hasher.update(piece)
                size += len(piece)
                counted(len(piece))
        except BotoCoreError as error:
            counted(-size)
            raise Unreachable(failed("read", f"{path} in {self}", error, "Retry.")) from error
        finally:
            answer["Body"].close()
        version = answer.get("VersionId")
        return FileSum(path, size, hasher.hexdigest(), None if version == "null" else version)

    def _answered(self, well: bool) -> bool:
        """Count objects that the store did not give; True when these are too many in a row."""
        with self._lock:
            self._unanswered = 0 if well else self._unanswered + 1
            return self._unanswered >= _GIVE_UP


def examine_prefix(
    store: Prefix,
    algorithm: str = "sha256",
    workers: int | None = None,
    progress: Tell | None = None,
    known: Known | None = None,
    skip: t.Collection[str] = (),
) -> Examined:
    """Return what is below a prefix now: sums with versions, and problems in place of errors."""
    listing = store.listing(skip)
    examined = _examine(store, listing.entries, {}, algorithm, workers, progress, known)
    examined.problems += listing.problems
    return examined


def examine_versions(
    store: Prefix,
    files: t.Sequence[FileSum],
    algorithm: str = "sha256",
    workers: int | None = None,
    progress: Tell | None = None,
    known: Known | None = None,
) -> Examined:
    """Return what exactly the recorded versions of `files` hold, whatever was written over them since."""
    without = next((one for one in files if not one.version_id), None)
    if without is not None:
        cause = "the manifest records no version of it"
        remedy = "Verify the current objects, or keep versions in the bucket before the manifest is made."
        raise RecoveryError(failed("read the recorded version of", without.as_dict()["path"], cause, remedy))
    versions = {one.path: one.version_id or "" for one in files}
    entries = [Entry(one.path, one.size, ("version", versions[one.path])) for one in files]
    return _examine(store, entries, versions, algorithm, workers, progress, known)


def _examine(
    store: Prefix,
    entries: t.Sequence[Entry],
    versions: t.Mapping[str, str],
    algorithm: str,
    workers: int | None,
    progress: Tell | None,
    known: Known | None,
) -> Examined:
    new_hasher(algorithm)
    meter = Meter(str(store), sum(one.size for one in entries), len(entries), progress)

    def work(entry: Entry) -> FileSum:
        return store.hash(entry, algorithm, versions.get(entry.path), meter.add, pool.stopping)

    pool: Pool[Entry, FileSum] = Pool(work, workers or min(_MOST_WORKERS, max(4, 2 * cores())))
    return gather(pool, entries, meter, known)
