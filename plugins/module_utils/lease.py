# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lease kept by S3 conditional writes in one witness store or in a majority of several.

One JSON object a lease in each store. Whoever holds it replaces the object it last read (`If-Match`);
whoever takes it over does the same with the next epoch. The epoch is the fencing token: it only grows.
Two majorities meet in at least one store, so a holder that lost the lease cannot renew it.

Time is the store's: how long ago the holder renewed is the distance of two of the store's own times
(`Date` less `Last-Modified`), so a holder or reader whose clock is minutes off changes nothing.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import json
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

from .clock import to_iso, utc_now
from .errors import RecoveryError, Refused, Unreachable
from .object_store import ObjectMissing, ObjectStore, PreconditionFailed

R = t.TypeVar("R")


class LeaseUnavailable(Unreachable):
    """Fewer than a majority of the stores answered: the lease can be neither read nor written."""


class LeaseLost(Refused):
    """Another holder or another epoch stands in a majority of the stores."""


@dataclass(frozen=True)
class Predecessor:
    """Who held the lease before, and when it is certain that this holder has stopped."""

    holder: str
    epoch: int
    #: by the store's clock: last renewal + its TTL + clock allowance, rounded up; None if the lease was released
    expires_at: str | None
    renewed_at: str | None = None
    samples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LeaseRecord:
    """What a lease object says. Times are RFC 3339 by the writer's clock; `samples` are (time, LSN), oldest first."""

    key: str
    holder: str
    epoch: int
    ttl_seconds: float
    sequence: int = 0
    renewed_at: str = ""
    claimed_by: str = ""
    released: bool = False
    samples: tuple[tuple[str, str], ...] = ()
    data: dict[str, t.Any] = field(default_factory=dict)
    previous: Predecessor | None = None

    def to_bytes(self) -> bytes:
        """Serialise."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> LeaseRecord:
        """Parse; raises RecoveryError when the object is no lease."""
        try:
            raw = json.loads(body)
            old = raw.pop("previous", None)
            samples = _samples(raw.pop("samples", ()))
            previous = Predecessor(**{**old, "samples": _samples(old.get("samples", ()))}) if old else None
            return cls(**raw, samples=samples, previous=previous)
        except (ValueError, TypeError) as error:
            raise RecoveryError(f"Failed to read a lease: the object is not a lease record ({error}).") from error


@dataclass(frozen=True)
class LeaseView:
    """A lease as a majority of the stores showed it. `etags` holds only stores that answered (None: no object)."""

    record: LeaseRecord | None
    etags: dict[str, str | None]
    #: how many stores show exactly this record's epoch
    agreeing: int = 0
    #: how many it takes
    majority: int = 1
    #: seconds that have certainly passed since anybody wrote this lease, by the stores' clocks
    age_seconds: float = 0.0
    #: latest store time at which anybody, of any epoch, can have written (rounded up to the next second)
    written_before: dt.datetime | None = None
    #: earliest store time at which the stores can have been read
    observed_at: dt.datetime | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def released(self) -> bool:
        """True when nobody holds the lease."""
        return self.record is None or self.record.released

    def held_by(self, holder: str) -> bool:
        """True when a majority shows this holder, unreleased. Says nothing of expiry."""
        record = self.record
        return record is not None and record.holder == holder and not record.released and self.agreeing >= self.majority

    def expires_at(self, allowance: float) -> dt.datetime | None:
        """Store time at which whoever wrote last has certainly stopped; None when nobody holds the lease."""
        if self.record is None or self.record.released or self.written_before is None:
            return None
        return self.written_before + dt.timedelta(seconds=self.record.ttl_seconds + allowance)


class Lease:
    """One lease over one or several stores. Use one instance a process; renewals remember each store's ETag."""

    def __init__(self, key: str, stores: t.Sequence[ObjectStore]) -> None:
        if not stores:
            raise RecoveryError(f"Failed to open lease {key}: it names no store. List one witness store, or three.")
        self.key = key
        self.stores = list(stores)
        self.majority = len(self.stores) // 2 + 1

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> Lease:
        """Build from the shared `lease` option."""
        return cls(options["key"], [ObjectStore(store) for store in options["stores"]])

    def read(self) -> LeaseView:
        """Return the newest record that a majority can vouch for. Raises LeaseUnavailable."""
        answers = self._each(self._read_one)
        errors = {name: str(got) for name, got in answers.items() if isinstance(got, Exception)}
        good = {name: got for name, got in answers.items() if not isinstance(got, Exception)}
        self._need_majority("read", len(good), errors)
        found = [got for got in good.values() if got is not None]
        etags = {name: (got[1].etag if got else None) for name, got in good.items()}
        if not found:
            return LeaseView(None, etags, majority=self.majority, errors=errors)
        newest = max((record for record, _stored in found), key=lambda r: (r.epoch, r.sequence))
        # Expiry counts from the last write of any epoch: a claim that reached only a minority leaves the
        # older holder renewing in the others.
        return LeaseView(
            record=newest,
            etags=etags,
            agreeing=sum(record.epoch == newest.epoch for record, _stored in found),
            majority=self.majority,
            age_seconds=min(stored.age_at_least for _record, stored in found),
            written_before=max(stored.modified for _record, stored in found) + dt.timedelta(seconds=1),
            observed_at=min(stored.observed for _record, stored in found),
            errors=errors,
        )

    def claim(
        self, view: LeaseView, holder: str, ttl: float, *, allowance: float, claimed_by: str, data: dict | None = None
    ) -> LeaseView:
        """Take the lease for `holder` with the next epoch, over exactly what `view` showed.

        The new record names its predecessor and when that one has certainly stopped, so that whoever
        reads the lease later, after any crash, knows how long to wait. Raises LeaseLost when somebody
        else wrote in between (read again and decide again), LeaseUnavailable without a majority.
        """
        old = view.record
        expires = view.expires_at(allowance)
        previous: Predecessor | None = None
        if old is not None:
            ends = None if expires is None else to_iso(expires)
            previous = Predecessor(old.holder, old.epoch, ends, old.renewed_at or None, old.samples)
            if old.holder == holder and old.previous is not None:  # our own claim, repeated: keep the first story
                previous = replace(old.previous, expires_at=ends or old.previous.expires_at)
        record = LeaseRecord(
            key=self.key,
            holder=holder,
            epoch=(old.epoch if old else 0) + 1,
            ttl_seconds=ttl,
            renewed_at=to_iso(utc_now()),
            claimed_by=claimed_by,
            data=data or {},
            previous=previous,
        )
        return self._write(record, view, "claim", adopt_older=False)

    def renew(self, view: LeaseView, **changes: t.Any) -> LeaseView:
        """Write the holder's next renewal over what `view` showed; `changes` replace fields of the record.

        Raises LeaseLost when a majority no longer shows this holder and epoch, LeaseUnavailable when
        too few stores answered (the caller's time to live keeps running).
        """
        if view.record is None:
            raise LeaseLost(f"Failed to renew lease {self.key}: nobody has claimed it.")
        old = view.record
        record = replace(old, sequence=old.sequence + 1, renewed_at=to_iso(utc_now()), **changes)
        return self._write(record, view, "renew", adopt_older=True)

    def release(self, view: LeaseView) -> LeaseView:
        """Give the lease back: the next claimant need not wait for its end."""
        return self.renew(view, released=True)

    def _write(self, record: LeaseRecord, view: LeaseView, verb: str, adopt_older: bool) -> LeaseView:
        body = record.to_bytes()

        def put(store: ObjectStore) -> str:
            if store.name not in view.etags:  # it did not answer when the view was taken
                etag = self._replaceable(store, record, adopt_older)
            else:
                etag = view.etags[store.name]
            try:
                return self._put(store, body, etag)
            except PreconditionFailed:
                # Our own earlier try may have landed although its answer was lost.
                return self._put(store, body, self._replaceable(store, record, adopt_older))

        answers = self._each(put)
        etags: dict[str, str | None] = {name: got for name, got in answers.items() if isinstance(got, str)}
        errors = {name: str(got) for name, got in answers.items() if isinstance(got, Exception)}
        if len(etags) >= self.majority:
            return LeaseView(record, etags, len(etags), self.majority, errors=errors)
        lost = [name for name, got in answers.items() if isinstance(got, PreconditionFailed)]
        if len(lost) > len(self.stores) - self.majority:
            raise LeaseLost(f"Failed to {verb} lease {self.key} for {record.holder}: another writer was first.")
        self._need_majority(verb, len(etags), errors)
        return view

    def _put(self, store: ObjectStore, body: bytes, etag: str | None) -> str:
        if etag is None:
            return store.put(self.key, body, absent=True)
        return store.put(self.key, body, match=etag)

    def _replaceable(self, store: ObjectStore, record: LeaseRecord, adopt_older: bool) -> str | None:
        """Return the ETag of a store's object if `record` may replace it; raise PreconditionFailed if not.

        Our own earlier try may always be replaced. A renewal may replace an older epoch too (a store that was
        away); a claim may not: its wait was computed from what it read, and a holder may have renewed since.
        """
        try:
            stored = store.get(self.key)
        except ObjectMissing:
            return None
        there = LeaseRecord.from_bytes(stored.body)
        same = (there.holder, there.epoch, there.claimed_by) == (record.holder, record.epoch, record.claimed_by)
        if (same and there.sequence <= record.sequence) or (adopt_older and there.epoch < record.epoch):
            return stored.etag
        raise PreconditionFailed(f"Lease {self.key} in {store} is held by {there.holder} with epoch {there.epoch}.")

    def _read_one(self, store: ObjectStore) -> tuple[LeaseRecord, t.Any] | None:
        try:
            stored = store.get(self.key)
        except ObjectMissing:
            return None
        return LeaseRecord.from_bytes(stored.body), stored

    def _each(self, call: t.Callable[[ObjectStore], R]) -> dict[str, R | RecoveryError]:
        """Ask all stores at once; an error is an answer too."""

        def ask(store: ObjectStore) -> R | RecoveryError:
            try:
                return call(store)
            except RecoveryError as error:
                return error

        if len(self.stores) == 1:
            return {self.stores[0].name: ask(self.stores[0])}
        with ThreadPoolExecutor(len(self.stores)) as pool:
            return dict(zip([store.name for store in self.stores], pool.map(ask, self.stores), strict=True))

    def _need_majority(self, verb: str, count: int, errors: dict[str, str]) -> None:
        if count >= self.majority:
            return
        reasons = "; ".join(f"{name}: {reason}" for name, reason in errors.items())
        raise LeaseUnavailable(
            f"Failed to {verb} lease {self.key}: {count} of {len(self.stores)} witness stores answered, "
            f"{self.majority} are needed. Check the witness. ({reasons})"
        )


def _samples(raw: t.Iterable[t.Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(time), str(lsn)) for time, lsn in raw)
