# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One S3 bucket with the conditional writes that leases and ledgers stand on.

Conditions are S3's own: `If-None-Match: *` creates only what is absent, `If-Match: <etag>` replaces
only what was read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).

Every answer also shows the store's clock: leases count time by it, never by the clock of this machine.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import datetime as dt
import email.utils
import time
import typing as t
from dataclasses import dataclass

from . import aws
from .errors import RecoveryError, Unreachable, failed

try:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]
    ClientError = type("ClientError", (Exception,), {})  # type: ignore[assignment,misc]
    NoCredentialsError = type("NoCredentialsError", (Exception,), {})  # type: ignore[assignment,misc]
    PartialCredentialsError = type("PartialCredentialsError", (Exception,), {})  # type: ignore[assignment,misc]


#: Floats count from here: they tell microseconds for centuries.
_ORIGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class ObjectMissing(RecoveryError):
    """There is no such object."""


class PreconditionFailed(RecoveryError):
    """Somebody else wrote first (S3 answered 412 or 409)."""


class StoreClock:
    """The store's clock, between bounds, at any moment of this machine's monotonic clock.

    Each answer carries the store's time (`Date`, rounded down to the second), made between our request and its
    arrival. That bounds the store's clock from both sides; several answers narrow the bounds to much less than
    a second. Only recent answers count, and the older one is, the wider are its bounds: two clocks may run at
    different rates.
    """

    RECENT = 64
    #: By how much the rates of two clocks may differ: twenty times what a clock that is being corrected may be off.
    RATE = 0.01

    def __init__(self) -> None:
        #: what was shown, in seconds since _ORIGIN, and our clock around it
        self._seen: collections.deque[tuple[float, float, float]] = collections.deque(maxlen=self.RECENT)

    def observe(self, date: dt.datetime, sent: float, received: float) -> None:
        """Learn from one answer; `sent` and `received` are time.monotonic() around it."""
        self._seen.append(((date - _ORIGIN).total_seconds(), sent, received))

    def at_least(self, moment: float) -> dt.datetime | None:
        """Return a time that the store's clock had certainly reached at `moment`; None before any answer."""
        bounds = (
            shown + moment - received - abs(moment - received) * self.RATE
            for shown, _sent, received in tuple(self._seen)
        )
        return self._time(max(bounds, default=None))

    def at_most(self, moment: float) -> dt.datetime | None:
        """Return a time that the store's clock had certainly not passed at `moment`; None before any answer."""
        bounds = (
            shown + 1 + moment - sent + abs(moment - sent) * self.RATE for shown, sent, _received in tuple(self._seen)
        )
        return self._time(min(bounds, default=None))

    def _time(self, seconds: float | None) -> dt.datetime | None:
        return None if seconds is None else _ORIGIN + dt.timedelta(seconds=seconds)


@dataclass(frozen=True)
class StoredObject:
    """An object as one GET saw it. Both times are the store's own clock, to the second, rounded down."""

    body: bytes
    etag: str
    modified: dt.datetime
    observed: dt.datetime
    #: time.monotonic() by which the answer was here
    received: float = 0.0

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
        self.clock = StoreClock()
        self._client = aws.client("s3", options)

    @property
    def place(self) -> str:
        """What stands for this bucket in all of this process, whoever opened it: where it is."""
        return f"{self._client.meta.endpoint_url}/{self.bucket}/{self.prefix}"

    def __str__(self) -> str:
        return f"store {self.name} (bucket {self.bucket})"

    def get(self, key: str) -> StoredObject:
        """Return the object. Raises ObjectMissing."""
        answer = self._call("read", key, "get_object")
        received = time.monotonic()
        try:
            body = answer["Body"].read()
        except BotoCoreError as error:
            raise Unreachable(failed("read", f"{key} in {self}", error, "Retry.")) from error
        observed = _date(answer)
        if observed is None:
            remedy = "Leases need the store's clock; let the proxy in front of it pass the header on."
            raise RecoveryError(failed("read", f"{key} in {self}", "the answer has no Date header", remedy))
        return StoredObject(body, answer["ETag"], answer["LastModified"], observed, received)

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
        # To If-Match where nothing is S3 answers 404.
        return self._call("write", key, "put_object", PreconditionFailed, **arguments)["ETag"]

    def delete(self, key: str, *, match: str) -> None:
        """Remove the object if it still has that ETag. Raises PreconditionFailed."""
        self._call("remove", key, "delete_object", PreconditionFailed, IfMatch=match)

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

    def _call(
        self, verb: str, key: str, method: str, missing: type[RecoveryError] = ObjectMissing, **arguments: t.Any
    ) -> t.Any:
        name = "Prefix" if method.startswith("list_") else "Key"
        arguments[name] = self.prefix + key
        return self._ask(verb, f"{key or 'objects'} in {self}", method, missing, **arguments)

    def _ask(
        self, verb: str, what: str, method: str, missing: type[RecoveryError] = ObjectMissing, **arguments: t.Any
    ) -> t.Any:
        sent = time.monotonic()
        try:
            answer = getattr(self._client, method)(Bucket=self.bucket, **arguments)
            self._learn(answer, sent)
            return answer
        except ClientError as error:
            self._learn(error.response, sent)
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchBucket":
                raise RecoveryError(
                    failed(verb, what, "the bucket does not exist", "Create it or name another.")
                ) from error
            if status == 404:
                raise missing(failed(verb, what, "there is no such object")) from error
            if status in (409, 412):
                raise PreconditionFailed(failed(verb, what, "another writer was first")) from error
            if status >= 500 or status == 429:
                raise Unreachable(failed(verb, what, error, "Retry, or check the store's health.")) from error
            remedy = "Check the store's credentials and permissions."
            if code == "RequestTimeTooSkewed":
                remedy = "This machine's clock is too far off for signed requests. Set it right (NTP)."
            raise RecoveryError(failed(verb, what, error, remedy)) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            remedy = "Set the store's profile or credentials_file."
            raise RecoveryError(failed(verb, what, error, remedy)) from error
        except BotoCoreError as error:
            raise Unreachable(failed(verb, what, error, "Check the store's endpoint and the network to it.")) from error

    def _learn(self, answer: t.Mapping[str, t.Any], sent: float) -> None:
        date = _date(answer)
        if date is not None:
            self.clock.observe(date, sent, time.monotonic())


def _date(answer: t.Mapping[str, t.Any]) -> dt.datetime | None:
    """Return the store's clock as the answer's Date header gives it."""
    header = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return email.utils.parsedate_to_datetime(header) if header else None
