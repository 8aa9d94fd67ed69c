# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lease object says, and how it looks through the stores that answered.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import json
import typing as t
from dataclasses import dataclass, field

from .clock import from_iso, to_iso
from .errors import RecoveryError

Samples = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Predecessor:
    """Who held the lease before, and when it is certain that this holder has stopped."""

    holder: str
    epoch: int
    #: by the stores' clocks: last renewal + its TTL + clock allowance, rounded up; None if the lease was released
    expires_at: str | None
    renewed_at: str | None = None
    samples: Samples = ()
    #: the same moment by each store's own clock: one store that shows it passed is enough, however clocks differ
    ends: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeaseRecord:
    """What a lease object says.

    `renewed_at` is RFC 3339 by the writer's clock, for people. `samples` are (time, LSN), oldest first: at that
    time of the witness's clock, or a little later, the holder's database had written up to that position.
    """

    key: str
    holder: str
    epoch: int
    ttl_seconds: float
    sequence: int = 0
    renewed_at: str = ""
    claimed_by: str = ""
    #: unique to one claim, so that a repeated write of ours is told from another's that looks the same
    claim: str = ""
    released: bool = False
    samples: Samples = ()
    data: dict[str, t.Any] = field(default_factory=dict)
    previous: Predecessor | None = None

    def to_bytes(self) -> bytes:
        """Serialise."""
        previous = vars(self.previous) if self.previous else None  # not asdict: it copies every sample
        return json.dumps({**vars(self), "previous": previous}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> LeaseRecord:
        """Parse; raises RecoveryError when the object is no lease."""
        try:
            raw = json.loads(body)
            old = raw.pop("previous", None)
            samples = _samples(raw.pop("samples", ()))
            previous = Predecessor(**{**old, "samples": _samples(old.get("samples", ()))}) if old else None
            return cls(**raw, samples=samples, previous=previous)
        except (ValueError, TypeError, AttributeError) as error:
            raise RecoveryError(f"Failed to read a lease: the object is not a lease record ({error}).") from error

    def same_claim(self, other: LeaseRecord) -> bool:
        """True when both are states of one and the same claim."""
        mine = (self.holder, self.epoch, self.claimed_by, self.claim)
        return mine == (other.holder, other.epoch, other.claimed_by, other.claim)


@dataclass(frozen=True)
class LeaseView:
    """A lease as a majority of the stores showed it. `etags` holds only stores that answered (None: no object)."""

    record: LeaseRecord | None
    etags: dict[str, str | None]
    #: how many stores show this record's claim, whatever its sequence
    agreeing: int = 0
    #: how many it takes
    majority: int = 1
    #: the last record that may stand in a majority: the predecessor of whoever claims now
    standing: LeaseRecord | None = None
    #: longest time to live that any store shows
    ttl_seconds: float = 0.0
    #: by each store's own clock, the latest moment at which anybody of any epoch can have written
    last_writes: dict[str, dt.datetime] = field(default_factory=dict)
    #: by each store's own clock, a moment that had been reached when the view was taken
    observed: dict[str, dt.datetime] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def released(self) -> bool:
        """True when nobody holds the lease."""
        return self.record is None or self.record.released

    def held_by(self, holder: str) -> bool:
        """True when a majority shows this holder, unreleased. Says nothing of expiry."""
        record = self.record
        return record is not None and record.holder == holder and not record.released and self.agreeing >= self.majority

    @property
    def observed_at(self) -> dt.datetime | None:
        """Earliest store time at which the stores can have been read."""
        return min(self.observed.values(), default=None)

    def ends(self, allowance: float) -> dict[str, dt.datetime]:
        """By each store's clock: when whoever wrote last has certainly stopped. Empty when nobody holds the lease.

        A release by the newest record frees the claimant only when a majority shows it.
        """
        if self.record is None or (self.record.released and self.agreeing >= self.majority):
            return {}
        span = dt.timedelta(seconds=self.ttl_seconds + allowance)
        return {name: written + span for name, written in self.last_writes.items()}

    def expires_at(self, allowance: float) -> dt.datetime | None:
        """Store time at which whoever wrote last has certainly stopped; None when nobody holds the lease."""
        return max(self.ends(allowance).values(), default=None)

    def remaining(self, previous: Predecessor) -> float:
        """Seconds until `previous` has certainly stopped, by the stores' clocks at this view; 0 when it has."""
        if previous.expires_at is None:
            return 0.0
        left = [from_iso(end) - self.observed[name] for name, end in previous.ends.items() if name in self.observed]
        if not left and self.observed_at is not None:
            left = [from_iso(previous.expires_at) - self.observed_at]
        if not left:
            return float("inf")
        return max(0.0, min(left).total_seconds())

    def predecessor(self, holder: str, allowance: float) -> Predecessor | None:
        """What a claim by `holder` over this view says of whom it follows; None over no lease."""
        old = self.standing or self.record
        if old is None:
            return None
        ends = {name: to_iso(end) for name, end in self.ends(allowance).items()}
        expires = max(ends.values(), default=None)
        if old.holder == holder and old.previous is not None:  # our own claim, repeated: keep the first story
            first = old.previous
            return Predecessor(
                first.holder, first.epoch, expires or first.expires_at, first.renewed_at, first.samples,
                ends or first.ends,
            )  # fmt: skip
        return Predecessor(old.holder, old.epoch, expires, old.renewed_at or None, old.samples, ends)


def receipt_key(lease_key: str, region: str, epoch: int) -> str:
    """Return the key of the receipt by which `region`'s guard says that it is fenced against the claim with `epoch`."""
    return f"{lease_key}.receipts/{region}-{epoch}.json"


def _samples(raw: t.Iterable[t.Sequence[str]]) -> Samples:
    return tuple((str(time), str(lsn)) for time, lsn in raw)
