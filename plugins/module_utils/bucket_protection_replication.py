# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replication between two buckets as it is observed: are the newest versions of the one in the other?

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import heapq
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .bucket_protection_lifecycle import Check, Json, ask
from .clock import utc_now
from .errors import RecoveryError

_WORKERS = 8
_BATCH = 500
_SHOWN = 10
PRESENT, MISSING, DIFFERENT = "present", "missing", "different"


@dataclass(frozen=True, order=True)
class Version:
    """One version of one object."""

    modified: dt.datetime
    key: str
    version_id: str
    size: int
    etag: str

    def __str__(self) -> str:
        return f"{self.key} (version {self.version_id})"


class Bucket:
    """One of the two."""

    def __init__(self, client: t.Any, store: t.Mapping[str, t.Any]) -> None:
        self.client = client
        self.name: str = store["bucket"]
        self.prefix: str = store.get("prefix") or ""
        self.now = utc_now()

    def versions(self, prefix: str) -> t.Iterator[Version]:
        """Yield every version below a prefix, page by page. Raises RecoveryError."""
        following: Json = {}
        while True:
            what = f"the versions in bucket {self.name}"
            page = ask(self.client, "list_object_versions", what, Bucket=self.name, Prefix=prefix, **following) or {}
            date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
            self.now = email.utils.parsedate_to_datetime(date) if date else utc_now()
            for one in page.get("Versions") or []:
                yield Version(one["LastModified"], one["Key"], one["VersionId"], one["Size"], one["ETag"])
            if not page.get("IsTruncated"):
                return
            following = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker") or ""}

    def find(self, key: str, version: Version) -> str:
        """Say whether a version is here: by its id, else by size and ETag of any version of the key."""
        what = f"{key} in bucket {self.name}"
        try:
            found = ask(self.client, "head_object", what, Bucket=self.name, Key=key, VersionId=version.version_id)
            if found is not None:
                return PRESENT if found["ContentLength"] == version.size else DIFFERENT
        except RecoveryError as error:
            if error.facts.get("status") not in (400, 404, 405):  # an id that is none of its own may be called invalid
                raise
        others = [one for one in self.versions(key) if one.key == key]
        if any((one.size, one.etag) == (version.size, version.etag) for one in others):
            return PRESENT
        return DIFFERENT if others else MISSING


def observe(source: Bucket, replica: Bucket, newest: int, maximum_lag: float) -> Check:
    """Look for the newest versions (all, where `newest` is 0) of `source` in `replica`.

    What is missing there, and younger than `maximum_lag` seconds by the source's clock, is under way.
    """
    check = Check("replication")
    compared, late, under_way, lag = 0, [], 0, 0.0
    try:
        for batch in _batches(source, newest):
            compared += len(batch)
            for version, found in _look(source, replica, batch):
                age = (source.now - version.modified).total_seconds()
                if found == PRESENT:
                    continue
                lag = max(lag, age)
                if age > maximum_lag:
                    late.append(f"{version} is {found} in bucket {replica.name} after {age:.0f} s")
                else:
                    under_way += 1
    except RecoveryError as error:
        check.doubt(str(error))
    check.facts = {"compared": compared, "under_way": under_way, "late": len(late), "lag_seconds": round(lag, 3)}
    for reason in late[:_SHOWN]:
        check.fail(reason)
    if len(late) > _SHOWN:
        check.fail(f"{len(late) - _SHOWN} more versions are late")
    if not compared and not check.reasons:
        check.doubt(f"bucket {source.name} holds no version to observe")
    return check


def _batches(source: Bucket, newest: int) -> t.Iterator[list[Version]]:
    versions = source.versions(source.prefix)
    if newest:
        yield sorted(heapq.nlargest(newest, versions), reverse=True)
        return
    batch: list[Version] = []
    for version in versions:
        batch.append(version)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _look(source: Bucket, replica: Bucket, batch: list[Version]) -> t.Iterator[tuple[Version, str]]:
    def find(version: Version) -> str:
        return replica.find(replica.prefix + version.key[len(source.prefix) :], version)

    with ThreadPoolExecutor(_WORKERS) as pool:
        yield from zip(batch, pool.map(find, batch), strict=True)
