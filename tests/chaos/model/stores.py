"""A witness store: S3's conditional writes over one bucket, with a clock of its own, and boto3's client for it.

Objects are there at once and as a whole. `Date` and `Last-Modified` are the store's time rounded down to seconds.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import io
import itertools
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.chaos.model.network import NoAnswer, Reply

if TYPE_CHECKING:
    from tests.chaos.model.world import World

_BEGINNING = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)


@functools.lru_cache(4096)
def _header(second: int) -> str:
    return email.utils.format_datetime(_BEGINNING + dt.timedelta(seconds=second), usegmt=True)


@dataclass
class Stored:
    """One object."""

    body: bytes
    etag: str
    second: int


class Store:
    """The server side."""

    def __init__(self, world: World, name: str, offset: float, rate: float) -> None:
        self.world = world
        self.name = name
        self.offset = offset
        self.rate = rate
        self.up = True
        self.throttling = False
        self.slow = 0.0
        self.objects: dict[str, Stored] = {}
        self._backups: list[dict[str, Stored]] = []
        self._numbers = itertools.count(1)

    def time(self, moment: float) -> dt.datetime:
        """What this store's clock shows at a moment of virtual time."""
        return _BEGINNING + dt.timedelta(seconds=self.offset + moment * self.rate)

    @property
    def second(self) -> int:
        """Its time now, as answers show it."""
        return math.floor(self.offset + self.world.engine.now * self.rate)

    def serve(self, reply: Reply, work: Any) -> None:
        """Do what was asked now, or a little later."""
        if not self.up:
            reply(EndpointConnectionError(endpoint_url=self.name))
        elif self.throttling and self.world.rng.random() < 0.5:
            landed = self.world.rng.random() < 0.3  # an error does not say that nothing was done
            if landed:
                work()
            reply(self._error(503, "SlowDown"))
        elif self.slow:
            self.world.engine.at(self.world.rng.uniform(0.0, self.slow), lambda: reply(work()))
        else:
            reply(work())

    def get(self, key: str) -> Any:
        """GetObject."""
        found = self.objects.get(key)
        if found is None:
            return self._error(404, "NoSuchKey")
        return {
            "Body": io.BytesIO(found.body),
            "ETag": found.etag,
            "LastModified": _BEGINNING + dt.timedelta(seconds=found.second),
            **self._shown(),
        }

    def put(self, key: str, body: bytes, absent: bool, match: str | None) -> Any:
        """PutObject with its conditions."""
        found = self.objects.get(key)
        if match is not None and found is None:
            return self._error(404, "NoSuchKey")
        if (absent and found is not None) or (match is not None and found is not None and found.etag != match):
            return self._error(412, "PreconditionFailed")
        etag = f'"{self.name}-{next(self._numbers)}"'
        self.objects[key] = Stored(body, etag, self.second)
        self.world.truth.written(self.name, key, found.body if found else None, body)
        return {"ETag": etag, **self._shown()}

    def remember(self) -> None:
        """Make a backup; the one before it is kept, too."""
        self._backups = [*self._backups[-1:], dict(self.objects)]

    def go_back(self) -> None:
        """Restore the older backup."""
        if len(self._backups) == 2:
            self.objects = self._backups[0]

    def _shown(self) -> dict[str, Any]:
        return {"ResponseMetadata": {"HTTPHeaders": {"date": _header(self.second)}}}

    def _error(self, status: int, code: str) -> ClientError:
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"date": _header(self.second)}}
        return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, code)  # type: ignore[typeddict-item]


class S3Client:
    """boto3's client, as far as leases use it."""

    def __init__(self, world: World, store: Store, timeout: float) -> None:
        self.world = world
        self.store = store
        self.timeout = timeout
        self.meta = SimpleNamespace(endpoint_url=f"https://{store.name}")

    def get_object(self, Bucket: str, Key: str) -> Any:
        """Read."""
        return self._ask(lambda: self.store.get(Key), "get")

    def put_object(self, Bucket: str, Key: str, Body: bytes, **given: Any) -> Any:
        """Write."""
        absent, match = "IfNoneMatch" in given, given.get("IfMatch")
        return self._ask(lambda: self.store.put(Key, Body, absent, match), "put")

    def _ask(self, work: Any, what: str) -> Any:
        try:
            return self.world.network.request(
                self.store.name,
                lambda reply: self.store.serve(reply, work),
                self.timeout,
                what,
                again=0.02 if self.world.duplicates else 0.0,
            )
        except NoAnswer:
            if self.world.network.open(self.world.here(), self.store.name):
                raise ReadTimeoutError(endpoint_url=self.store.name) from None
            raise ConnectTimeoutError(endpoint_url=self.store.name) from None
