# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One S3 bucket with the conditional writes that leases and ledgers stand on.

Conditions are S3's own: `If-None-Match: *` creates only what is absent, `If-Match: <etag>` replaces
only what was read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import typing as t
from dataclasses import dataclass

from . import aws
from .errors import RecoveryError, Unreachable, failed

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = ClientError = Exception  # type: ignore[assignment,misc]


class ObjectMissing(RecoveryError):
    """There is no such object."""


class PreconditionFailed(RecoveryError):
    """Somebody else wrote first (S3 answered 412 or 409)."""


@dataclass(frozen=True)
class StoredObject:
    """An object as one GET saw it. Both times are the store's own clock, to the second, rounded down."""

    body: bytes
    etag: str
    modified: dt.datetime
    observed: dt.datetime

    @property
    def age_at_least(self) -> float:
        """Seconds that have certainly passed since the object was written, by the store's clock alone."""
        return max(0.0, (self.observed - self.modified).total_seconds() - 1.0)


class ObjectStore:
    """A bucket (and key prefix) behind the `store` option. Methods raise Unreachable when S3 does not answer."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        self.name: str = options["name"]
        self.bucket: str = options["bucket"]
        self.prefix: str = options.get("prefix") or ""
        self._client = aws.client("s3", options)

    def __str__(self) -> str:
        return f"store {self.name} (bucket {self.bucket})"

    def get(self, key: str) -> StoredObject:
        """Return the object. Raises ObjectMissing."""
        answer = self._call("read", key, "get_object")
        return StoredObject(
            body=answer["Body"].read(),
            etag=answer["ETag"],
            modified=answer["LastModified"],
            observed=_date(answer),
        )

    def put(
        self,
        key: str,
        body: bytes,
        *,
        absent: bool = False,
        match: str | None = None,
        retain_until: dt.datetime | None = None,
    ) -> str:
        """Write the object and return its ETag.

        `absent` writes only where nothing is, `match` only over that ETag; raises PreconditionFailed.
        `retain_until` puts the object under compliance retention (object lock).
        """
        arguments: dict[str, t.Any] = {"Body": body, "ContentType": "application/json"}
        if absent:
            arguments["IfNoneMatch"] = "*"
        if match is not None:
            arguments["IfMatch"] = match
        if retain_until is not None:
            arguments.update(ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=retain_until)
            arguments["ChecksumAlgorithm"] = "SHA256"  # S3 wants an integrity header on locked objects
        return self._call("write", key, "put_object", **arguments)["ETag"]

    def keys(self, prefix: str = "") -> list[str]:
        """Return all keys below `prefix`, sorted, without the store's own prefix."""
        found: list[str] = []
        arguments: dict[str, t.Any] = {}
        while True:
            answer = self._call("list", prefix, "list_objects_v2", **arguments)
            found += [item["Key"][len(self.prefix) :] for item in answer.get("Contents", [])]
            if not answer.get("IsTruncated"):
                return sorted(found)
            arguments = {"ContinuationToken": answer["NextContinuationToken"]}

    def _call(self, verb: str, key: str, method: str, **arguments: t.Any) -> t.Any:
        name = "Prefix" if method == "list_objects_v2" else "Key"
        arguments.update({"Bucket": self.bucket, name: self.prefix + key})
        what = f"{key or 'objects'} in {self}"
        try:
            return getattr(self._client, method)(**arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchBucket":
                raise RecoveryError(
                    failed(verb, what, "the bucket does not exist", "Create it or name another.")
                ) from error
            if status == 404:
                raise ObjectMissing(failed(verb, what, "there is no such object")) from error
            if status in (409, 412):
                raise PreconditionFailed(failed(verb, what, "another writer was first")) from error
            if status >= 500 or status == 429:
                raise Unreachable(failed(verb, what, error, "Retry, or check the store's health.")) from error
            raise RecoveryError(failed(verb, what, error, "Check the store's credentials and permissions.")) from error
        except BotoCoreError as error:
            raise Unreachable(failed(verb, what, error, "Check the store's endpoint and the network to it.")) from error


def _date(answer: t.Mapping[str, t.Any]) -> dt.datetime:
    """Return the store's clock as its Date header gives it."""
    return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
