# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lease kept by S3 conditional writes in one witness store or in a majority of several.

One JSON object a lease in each store. Whoever holds it replaces the object it last read (`If-Match`);
whoever takes it over does the same with the next epoch. The epoch is the fencing token: it only grows.
Two majorities meet in at least one store, so a holder that lost the lease cannot renew it.

Time is the stores': how long ago anybody wrote is the distance of two times of one store (`Date` less
`Last-Modified`), and the end of a holder's time is kept by each store's own clock. A holder, a reader or a store
whose clock is minutes off changes nothing; clocks that run at other rates are what the allowance is for.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
import typing as t
import uuid
from dataclasses import replace

from .clock import from_iso, to_iso, utc_now
from .errors import RecoveryError, Refused, Unreachable
from .lease_patience import LONGEST, Patience
from .lease_record import LeaseRecord, LeaseView, Predecessor
from .object_store import ObjectMissing, ObjectStore, PreconditionFailed, StoredObject

__all__ = ["Lease", "LeaseLost", "LeaseRecord", "LeaseUnavailable", "LeaseView", "Predecessor"]

R = t.TypeVar("R")
Found = tuple[LeaseRecord, StoredObject]

_PATIENCE = Patience()


class LeaseUnavailable(Unreachable):
    """Fewer than a majority of the stores answered: the lease can be neither read nor written."""


class LeaseLost(Refused):
    """Another holder or another epoch stands in a majority of the stores."""


class Lease:
    """One lease over one or several stores. Use one instance a process; renewals remember each store's ETag."""

    def __init__(self, key: str, stores: t.Sequence[ObjectStore]) -> None:
        if not stores:
            raise RecoveryError(f"Failed to open lease {key}: it names no store. List one witness store, or three.")
        if len({store.name for store in stores}) < len(stores):
            raise RecoveryError(f"Failed to open lease {key}: two stores share a name. Give each its own.")
        self.key = key
        self.stores = list(stores)
        self.majority = len(self.stores) // 2 + 1

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> Lease:
        """Build from the shared `lease` option."""
        return cls(options["key"], [ObjectStore(store) for store in options["stores"]])

    def read(self) -> LeaseView:
        """Return the newest record that the answering majority shows. Raises LeaseUnavailable."""
        answers = self.each(self._read_one, self._agreed)
        errors = {name: str(got) for name, got in answers.items() if isinstance(got, Exception)}
        good = {name: got for name, got in answers.items() if not isinstance(got, Exception)}
        self._need_majority("read", len(good), errors)
        found = {name: got for name, got in good.items() if got is not None}
        etags = {name: (got[1].etag if got else None) for name, got in good.items()}
        if not found:
            return LeaseView(None, etags, majority=self.majority, errors=errors)
        records = _ranked([record for record, _stored in found.values()])
        newest = records[-1]
        return LeaseView(
            record=newest,
            etags=etags,
            agreeing=_showing(newest, records),
            majority=self.majority,
            standing=self._standing(records, len(self.stores) - len(good)),
            ttl_seconds=max(record.ttl_seconds for record in records),
            last_writes=self._last_writes(found),
            observed={name: stored.observed for name, (_record, stored) in found.items()},
            errors=errors,
        )

    def claim(
        self,
        view: LeaseView,
        holder: str,
        ttl: float,
        *,
        allowance: float,
        claimed_by: str,
        data: dict[str, t.Any] | None = None,
    ) -> LeaseView:
        """Take the lease for `holder` with the next epoch, over exactly what `view` showed.

        The new record names its predecessor and when that one has certainly stopped, so that whoever
        reads the lease later, after any crash, knows how long to wait. Raises LeaseLost when somebody
        else wrote in between (read again and decide again), LeaseUnavailable without a majority.
        """
        record = LeaseRecord(
            key=self.key,
            holder=holder,
            epoch=(view.record.epoch if view.record else 0) + 1,
            ttl_seconds=ttl,
            renewed_at=to_iso(utc_now()),
            claimed_by=claimed_by,
            claim=uuid.uuid4().hex,
            data=data or {},
            previous=view.predecessor(holder, allowance),
        )
        return self._write(record, view, "claim", adopt_older=False)

    def time_at_least(self, moment: float) -> dt.datetime | None:
        """Return a time that every known store's clock had certainly reached at `moment` of time.monotonic().

        None before a majority has answered at least once.
        """
        known = [bound for store in self.stores if (bound := store.clock.at_least(moment)) is not None]
        return min(known) if len(known) >= self.majority else None

    def time_at_most(self, moment: float) -> dt.datetime | None:
        """Return a time that no known store's clock had passed at `moment`; None before a majority has answered."""
        known = [bound for store in self.stores if (bound := store.clock.at_most(moment)) is not None]
        return max(known) if len(known) >= self.majority else None

    def remaining(self, previous: Predecessor, view: LeaseView) -> float:
        """Seconds until `previous` has certainly stopped, now, by all that is known of the stores' clocks."""
        now = time.monotonic()
        observed = dict(view.observed)
        for store in self.stores:
            bound = store.clock.at_least(now)
            if bound is not None and store.name in observed:
                observed[store.name] = max(bound, observed[store.name])
        return replace(view, observed=observed).remaining(previous)

    def has_ended(self, previous: Predecessor) -> bool:
        """True where a store's clock has certainly passed the end of `previous`, or it had released the lease."""
        now = time.monotonic()
        bounds = {store.name: store.clock.at_least(now) for store in self.stores}
        known = {name: bound for name, bound in bounds.items() if bound is not None}
        return previous.expires_at is None or any(
            known[name] >= from_iso(end) for name, end in previous.ends.items() if name in known
        )

    def may_have_ended(self, previous: Predecessor) -> bool:
        """False where the stores' clocks rule out that `previous` has stopped; they show seconds, rounded down."""
        now = time.monotonic()
        bounds = {store.name: store.clock.at_most(now) for store in self.stores}
        known = {name: bound for name, bound in bounds.items() if bound is not None}
        return any(known[name] >= from_iso(end) for name, end in previous.ends.items() if name in known)

    def renew(self, view: LeaseView, **changes: t.Any) -> LeaseView:
        """Write the holder's next renewal over what `view` showed; `changes` replace fields of the record.

        Raises LeaseLost when a majority no longer shows this holder and epoch, LeaseUnavailable when
        too few stores answered (the caller's time to live keeps running).
        """
        if view.record is None:
            raise LeaseLost(f"Failed to renew lease {self.key}: nobody has claimed it.")
        if view.agreeing < view.majority:
            holder = view.record.holder
            raise LeaseLost(f"Failed to renew lease {self.key}: the claim of {holder} reached too few stores.")
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

        answers = self.each(put)
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

        Our own earlier try may always be replaced. A renewal, which only a majority's holder gets to, may replace
        what is older too (a store that was away), and another's claim of the same epoch that reached too few stores.
        A claim may not: its wait was computed from what it read, and a holder may have renewed since.
        """
        try:
            stored = store.get(self.key)
        except ObjectMissing:
            return None
        there = LeaseRecord.from_bytes(stored.body)
        ours = there.same_claim(record)
        if (ours and there.sequence <= record.sequence) or (adopt_older and not ours and there.epoch <= record.epoch):
            return stored.etag
        raise PreconditionFailed(f"Lease {self.key} in {store} is held by {there.holder} with epoch {there.epoch}.")

    def _read_one(self, store: ObjectStore) -> Found | None:
        try:
            stored = store.get(self.key)
        except ObjectMissing:
            return None
        return LeaseRecord.from_bytes(stored.body), stored

    def _agreed(self, found: t.Sequence[Found | None]) -> bool:
        """Whether what a majority of the stores shows is known already."""
        records = [one[0] for one in found if one is not None]
        newest = _ranked(records)[-1] if records else None
        showing = len(found) if newest is None else _showing(newest, records)
        return showing >= self.majority

    def _standing(self, records: t.Sequence[LeaseRecord], silent: int) -> LeaseRecord:
        """Return the newest record that a majority may hold: a claim that reached too few stores never stood."""
        for record in reversed(records):
            if _showing(record, records) + silent >= self.majority:
                return record
        return records[-1]

    def _last_writes(self, found: dict[str, Found]) -> dict[str, dt.datetime]:
        """By each store's own clock: the latest moment at which anybody can have written to any of them.

        A claim that reached only a minority leaves the older holder renewing in the others, so the last
        write of any epoch counts; what other stores saw is carried over by how long ago they saw it.
        """
        writes = {
            name: stored.received - stored.age_at_least for name, (_record, stored) in found.items()
        }  # on our monotonic clock, no earlier than the write
        latest: dict[str, dt.datetime] = {}
        for store in self.stores:
            if store.name not in found:
                continue
            own = found[store.name][1].modified + dt.timedelta(seconds=1)
            others = max((moment for name, moment in writes.items() if name != store.name), default=None)
            carried = None if others is None else store.clock.at_most(others)
            latest[store.name] = own if carried is None else max(own, carried)
        return latest

    def each(
        self, call: t.Callable[[ObjectStore], R], agreed: t.Callable[[t.Sequence[R]], bool] = lambda answers: True
    ) -> dict[str, R | RecoveryError]:
        """Ask all stores at once; an error is an answer too.

        Once a majority has answered well, and the same, a store that hangs is hardly waited for: a renewal must not
        take as long as its slowest store. Where the answers are not `agreed`, the missing one decides.
        """
        began = time.monotonic()

        def ask(store: ObjectStore) -> R | RecoveryError:
            try:
                got: R | RecoveryError = call(store)
            except RecoveryError as error:
                got = error
            if isinstance(got, Unreachable):
                _PATIENCE.failed(store.place)
            else:
                _PATIENCE.answered(store.place, time.monotonic() - began)
            return got

        if len(self.stores) == 1:
            return {self.stores[0].name: ask(self.stores[0])}
        inbox: queue.SimpleQueue[tuple[str, R | RecoveryError]] = queue.SimpleQueue()
        for store in self.stores:
            work = threading.Thread(target=lambda one=store: inbox.put((one.name, ask(one))), daemon=True)
            work.start()
        answers: dict[str, R | RecoveryError] = {}
        end: float | None = None
        while missing := [store for store in self.stores if store.name not in answers]:
            good = [got for got in answers.values() if not isinstance(got, Exception)]
            if end is None and len(good) >= self.majority:
                now = time.monotonic()
                slow = [store.place for store in missing]
                end = now + (_PATIENCE.grace(now - began, slow) if agreed(good) else LONGEST)
            try:
                name, got = inbox.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            answers[name] = got
        for store in missing:
            _PATIENCE.failed(store.place)
            answers[store.name] = Unreachable(f"{store} did not answer as fast as the majority")
        return answers

    def _need_majority(self, verb: str, count: int, errors: dict[str, str]) -> None:
        if count >= self.majority:
            return
        reasons = "; ".join(f"{name}: {reason}" for name, reason in errors.items())
        raise LeaseUnavailable(
            f"Failed to {verb} lease {self.key}: {count} of {len(self.stores)} witness stores answered, "
            f"{self.majority} are needed. Check the witness. ({reasons})"
        )


def _showing(record: LeaseRecord, records: t.Iterable[LeaseRecord]) -> int:
    """How many of the records are states of the same claim."""
    return sum(other.same_claim(record) for other in records)


def _ranked(records: list[LeaseRecord]) -> list[LeaseRecord]:
    """Order the stores' records: the newest epoch last, and of two claims of one epoch the one that more stores show.

    Two claimants may have won the same epoch in different stores; only one of them can have a majority.
    """
    return sorted(records, key=lambda one: (one.epoch, _showing(one, records), one.sequence))
