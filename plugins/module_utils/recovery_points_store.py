# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bucket that holds recovery points: listings in one pass, versions, removal of many, streams.

Every call may be repeated: what is created is created conditionally, so that an answer that was lost shows.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import threading
import typing as t
from dataclasses import dataclass

from .clock import Deadline
from .clock_skew import skew_evidence
from .errors import RecoveryError, Unreachable
from .object_store import ObjectMissing, ObjectStore

_ATTEMPTS = 3
_PAUSE = 0.3
_BATCH = 1000
#: What stores answer to content that is not as its checksum says.
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"})


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it; `key` is without the store's own prefix."""

    key: str
    size: int
    modified: dt.datetime
    etag: str


@dataclass(frozen=True)
class Version:
    """One version of an object, or one delete marker."""

    key: str
    version: str
    size: int
    modified: dt.datetime
    latest: bool
    marker: bool


class PointStore(ObjectStore):
    """One store of recovery points. Methods raise Unreachable after three attempts without an answer."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        super().__init__(options)
        self.region: str = options.get("region") or ""
        self.calls = 0
        self._counting = threading.Lock()

    def listing(self, prefix: str) -> t.Iterator[Listed]:
        """Yield every object below a prefix, page by page."""
        for page in self._pages(prefix, "list_objects_v2", {"ContinuationToken": "NextContinuationToken"}):
            for item in page.get("Contents", []):
                yield Listed(self._bare(item["Key"]), item["Size"], item["LastModified"], item.get("ETag", ""))

    def directories(self, prefix: str) -> t.Iterator[str]:
        """Yield the names right below a prefix that have something below them."""
        pages = self._pages(prefix, "list_objects_v2", {"ContinuationToken": "NextContinuationToken"}, Delimiter="/")
        for page in pages:
            for item in page.get("CommonPrefixes", []):
                yield self._bare(item["Prefix"])[len(prefix) :].rstrip("/")

    def versions(self, prefix: str) -> t.Iterator[Version]:
        """Yield every version and delete marker below a prefix."""
        tokens = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
        for page in self._pages(prefix, "list_object_versions", tokens):
            for name, marker in (("Versions", False), ("DeleteMarkers", True)):
                for item in page.get(name, []):
                    key, size = self._bare(item["Key"]), item.get("Size", 0)
                    yield Version(key, item["VersionId"], size, item["LastModified"], item["IsLatest"], marker)

    def uploads(self, prefix: str) -> list[tuple[str, str, dt.datetime]]:
        """Return the multipart uploads that nobody has completed: (key, upload id, when begun)."""
        tokens = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        return [
            (self._bare(item["Key"]), item["UploadId"], item["Initiated"])
            for page in self._pages(prefix, "list_multipart_uploads", tokens)
            for item in page.get("Uploads", [])
        ]

    def call(self, verb: str, key: str, method: str, **arguments: t.Any) -> t.Any:
        """Ask for something that concerns one object and return the answer. Raises ObjectMissing."""
        return self._call(verb, key, method, **arguments)

    def abort_upload(self, key: str, upload: str) -> None:
        """Remove the parts of a multipart upload; one that is gone is no error."""
        try:
            self._call("abort the upload of", key, "abort_multipart_upload", UploadId=upload)
        except ObjectMissing:
            return

    @functools.cached_property
    def is_versioned(self) -> bool:
        """Whether the bucket keeps, or kept, versions."""
        return bool(self._ask("read the versioning of", str(self), "get_bucket_versioning").get("Status"))

    def create(self, key: str, body: bytes, metadata: t.Mapping[str, str] | None = None) -> None:
        """Write an object where none is; the store checks it by its SHA-256. Raises PreconditionFailed."""
        self.write(key, body, IfNoneMatch="*", Metadata=dict(metadata or {}))

    def write(self, key: str, body: bytes, **arguments: t.Any) -> None:
        """Write an object; the store checks it by its SHA-256."""
        self._call("write", key, "put_object", Body=body, ChecksumSHA256=checksum(body), **arguments)

    def size_and_metadata(self, key: str) -> tuple[int, dict[str, str]]:
        """Return what is known of an object without its content. Raises ObjectMissing."""
        answer = self._call("look at", key, "head_object")
        return int(answer["ContentLength"]), dict(answer.get("Metadata") or {})

    def stream(self, key: str) -> t.Any:
        """Return the body of an object, to be read in pieces. Raises ObjectMissing; reading it botocore's errors."""
        return self._call("read", key, "get_object")["Body"]

    def remove(self, objects: t.Sequence[tuple[str, str | None]]) -> list[str]:
        """Remove objects, or versions of them; return what was refused, one line each."""
        refused: list[str] = []
        for start in range(0, len(objects), _BATCH):
            batch = [
                {"Key": self.prefix + key, **({"VersionId": version} if version else {})}
                for key, version in objects[start : start + _BATCH]
            ]
            what = f"{len(batch)} objects in {self}"
            answer = self._ask("remove", what, "delete_objects", Delete={"Objects": batch, "Quiet": True})
            for error in answer.get("Errors", []):
                if error.get("Code") not in ("NoSuchKey", "NoSuchVersion"):
                    why = error.get("Message") or error.get("Code")
                    refused.append(f"{self.name}: {self._bare(error['Key'])} was not removed: {why}")
        return refused

    @property
    def skew_seconds(self) -> float | None:
        """By how much this machine's clock is ahead of the store's; None before the store has answered."""
        skew = skew_evidence(self).get("skew_seconds")
        return None if skew is None else float(skew)

    def _pages(
        self, prefix: str, method: str, tokens: t.Mapping[str, str], **arguments: t.Any
    ) -> t.Iterator[dict[str, t.Any]]:
        while True:
            answer = self._call("list", prefix, method, **arguments)
            yield answer
            if not answer.get("IsTruncated"):
                return
            for given, told in tokens.items():
                arguments[given] = answer[told]

    def _bare(self, key: str) -> str:
        return key[len(self.prefix) :]

    def _ask(
        self, verb: str, what: str, method: str, missing: type[RecoveryError] = ObjectMissing, **arguments: t.Any
    ) -> t.Any:
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._ask_once(verb, what, method, missing, **arguments)
            except Unreachable:
                Deadline(_PAUSE * attempt).rest(_PAUSE * attempt)
        return self._ask_once(verb, what, method, missing, **arguments)

    def _ask_once(self, verb: str, what: str, method: str, missing: type[RecoveryError], **arguments: t.Any) -> t.Any:
        with self._counting:
            self.calls += 1
        return super()._ask(verb, what, method, missing, **arguments)


def checksum(body: bytes) -> str:
    """Return the SHA-256 of a body as S3 takes it."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def was_damaged_on_the_way(error: BaseException) -> bool:
    """Whether a store refused content because it is not as its checksum says."""
    return _code(error) in _DAMAGED


def was_denied(error: BaseException) -> bool:
    """Whether a store refused an act: a lock, a policy, a permission."""
    return _code(error) in ("AccessDenied", "ObjectLocked", "InvalidRequest")


def _code(error: BaseException) -> str:
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
