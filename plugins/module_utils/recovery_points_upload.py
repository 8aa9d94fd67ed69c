# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts the files of a point into one store: what is sent is hashed as it is read, and is checked by the store.

Nothing is written over. A file is in the store whole or not at all; one that a killed run left there is kept when it
has the sealed digest. Memory: a few parts of 8 MiB, whatever the size of a file.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import os
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .checksums_model import FileSum, new_hasher
from .checksums_paths import to_bytes, written
from .errors import RecoveryError, Refused, failed
from .object_store import ObjectMissing, PreconditionFailed
from .recovery_points_names import FILES, PointName
from .recovery_points_progress import Meter
from .recovery_points_store import PointStore, was_damaged_on_the_way

AT_ONCE = 4
PART = 8 << 20
#: S3 takes 10,000 parts of an object
_PARTS = 9_000
_DIGEST = "digest"


class SourceChanged(RecoveryError):
    """A file of the source is not as it was when it was hashed."""


@dataclass
class Upload:
    """The files of one point on their way into one store."""

    store: PointStore
    name: PointName
    root: Path
    algorithm: str
    meter: Meter
    sent_files: int = 0
    sent_bytes: int = 0
    kept_files: int = 0

    def run(self, files: t.Sequence[FileSum]) -> None:
        """Upload what is missing, then look whether the store has all of it.

        Raises SourceChanged, Refused where the store has something else under this point's name, and RecoveryError.
        """
        there = self._there()
        self._refuse_strangers(files, there)
        large = [one for one in files if one.size > PART]
        small = [one for one in files if one.size <= PART]
        for one in large:
            self._count(one, self._sends(one, there))
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"upload {self.store.name}") as pool:
            for one, sent in zip(small, _in_order(pool, lambda one: self._sends(one, there), small), strict=True):
                self._count(one, sent)
        self._require_all(files)

    def _count(self, one: FileSum, sent: bool) -> None:
        self.sent_files += sent
        self.sent_bytes += one.size if sent else 0
        self.kept_files += not sent

    def _there(self) -> dict[str, int]:
        return {item.key: item.size for item in self.store.listing(self.name.key(FILES))}

    def _refuse_strangers(self, files: t.Sequence[FileSum], there: t.Mapping[str, int]) -> None:
        expected = {self.name.file_key(one.path): one for one in files}
        for key, size in there.items():
            if key not in expected or expected[key].size != size:
                raise self._collision(key)

    def _require_all(self, files: t.Sequence[FileSum]) -> None:
        there = self._there()
        for one in files:
            if there.get(self.name.file_key(one.path)) != one.size:
                remedy = "Somebody removes what is being taken, or the store lost it: run again."
                raise RecoveryError(failed("seal", f"{self.name} in {self.store}", "not all files are there", remedy))

    def _collision(self, key: str) -> Refused:
        cause = f"{key} is there already, with other content"
        remedy = "Leave id out, or give another. recovery_point_prune removes what was never sealed."
        return Refused(failed("take", f"recovery point {self.name} in {self.store}", cause, remedy))

    def _sends(self, one: FileSum, there: t.Mapping[str, int]) -> bool:
        """Send one file; return False where the store has it already."""
        key = self.name.file_key(one.path)
        if key in there:
            self._require_kept(key, one)
            return False
        try:
            if one.size > PART:
                _Parts(self, key, one).send()
            else:
                self._send(key, one)
        except (PreconditionFailed, ObjectMissing):
            # Ours, whose answer was lost (a completed upload is no longer there), or of a run with the same content.
            self._require_kept(key, one)
            return False
        self.meter.add(0, files=1)
        return True

    def _require_kept(self, key: str, one: FileSum) -> None:
        size, metadata = self.store.size_and_metadata(key)
        if (size, metadata.get(_DIGEST)) != (one.size, self.digest(one)):
            raise self._collision(key)
        self.meter.add(one.size, files=1)

    def _send(self, key: str, one: FileSum) -> None:
        with self.opened(one) as file:
            body = file.read(one.size + 1)
        hasher = new_hasher(self.algorithm)
        hasher.update(body)
        self.require_sealed(one, len(body), hasher.hexdigest())
        for attempt in range(2):
            try:
                self.store.create(key, body, {_DIGEST: self.digest(one)})
                break
            except RecoveryError as error:
                if attempt or not was_damaged_on_the_way(error):
                    raise
        self.meter.add(len(body))

    def digest(self, one: FileSum) -> str:
        """Return what the object says that its content is."""
        return f"{self.algorithm}:{one.digest}"

    def opened(self, one: FileSum) -> t.IO[bytes]:
        """Open a file of the source; no link is followed at its end. Raises SourceChanged."""
        path = os.path.join(os.fsencode(self.root), to_bytes(one.path))
        try:
            return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except OSError as error:
            raise self.changed(one, f"it can no longer be read ({error.strerror or error})") from error

    def require_sealed(self, one: FileSum, size: int, digest: str) -> None:
        """Raise SourceChanged unless what was read is what was hashed before."""
        if (size, digest) != (one.size, one.digest):
            raise self.changed(one, "it changed while it was taken")

    def changed(self, one: FileSum, cause: str) -> SourceChanged:
        """Return the error of a file that is not as it was."""
        remedy = "Stop what writes to it, or take a snapshot first, then run again. Nothing was sealed."
        return SourceChanged(failed("take", f"{written(one.path)} of {self.root}", cause, remedy))


class _Parts:
    """One large file: read once in order, sent in parts side by side, completed only when its digest is the sealed."""

    def __init__(self, upload: Upload, key: str, one: FileSum) -> None:
        self.upload, self.store, self.key, self.one = upload, upload.store, key, one
        self.size = max(PART, -(-one.size // _PARTS))

    def send(self) -> None:
        metadata = {_DIGEST: self.upload.digest(self.one)}
        call = self.store.call
        begun = call("upload", self.key, "create_multipart_upload", Metadata=metadata, ChecksumAlgorithm="SHA256")
        self.id = begun["UploadId"]
        try:
            parts = self._send_parts()
            call(
                "complete", self.key, "complete_multipart_upload", UploadId=self.id, IfNoneMatch="*",
                MultipartUpload={"Parts": parts},
            )  # fmt: skip
        except BaseException:
            with contextlib.suppress(RecoveryError):
                self.store.abort_upload(self.key, self.id)
            raise

    def _send_parts(self) -> list[dict[str, t.Any]]:
        hasher, size, done = new_hasher(self.upload.algorithm), 0, []
        running: collections.deque[Future[dict[str, t.Any]]] = collections.deque()
        with self.upload.opened(self.one) as file, ThreadPoolExecutor(AT_ONCE) as pool:
            while body := file.read(self.size):
                hasher.update(body)
                size += len(body)
                if size > self.one.size:
                    break
                if len(running) == AT_ONCE:
                    done.append(running.popleft().result())
                running.append(pool.submit(self._part, len(done) + len(running) + 1, body))
            done += [future.result() for future in running]
        self.upload.require_sealed(self.one, size, hasher.hexdigest())
        return done

    def _part(self, number: int, body: bytes) -> dict[str, t.Any]:
        total = base64.b64encode(hashlib.sha256(body).digest()).decode()
        arguments = {"UploadId": self.id, "PartNumber": number, "Body": body, "ChecksumSHA256": total}
        for attempt in range(2):
            try:
                answer = self.store.call("upload a part of", self.key, "upload_part", **arguments)
                break
            except RecoveryError as error:
                if attempt or not was_damaged_on_the_way(error):
                    raise
        self.upload.meter.add(len(body))
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": total}


def _in_order(pool: ThreadPoolExecutor, work: t.Callable[[FileSum], bool], files: t.Sequence[FileSum]) -> list[bool]:
    """Return what the work gave for each; at the first error leave out what has not begun, and raise it."""
    futures = [pool.submit(work, one) for one in files]
    try:
        return [future.result() for future in futures]
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
