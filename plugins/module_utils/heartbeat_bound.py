# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much is lost at most when a standby takes over: counted by the witness's clock, never by the standby's opinion.

Everything committed before `from` is replayed on the target, and nothing is committed in the old region after
`until`. So what is lost was committed in between.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass, field

from .clock import from_iso, to_iso
from .fencing_receipts import from_guard
from .lease import Lease
from .lease_record import LeaseView, Samples
from .postgres_state import Heartbeat, ServerState, lsn_number

Moment = tuple[dt.datetime, str]


class Unknown(Exception):
    """The bound cannot be told; the text says why."""


@dataclass(frozen=True)
class Source:
    """Whose commits may be lost: the last holder before the target, its epoch, and the samples that it left."""

    holder: str
    epoch: int
    samples: Samples


@dataclass(frozen=True)
class Target:
    """The region that takes over, and what its server shows."""

    region: str
    state: ServerState | None = None
    heartbeats: list[Heartbeat] = field(default_factory=list)
    #: why the server could not be asked, or its heartbeats not be read
    error: str | None = None


@dataclass(frozen=True)
class LeaseNow:
    """The lease as it was read, and the options that a claim would be made with (seconds)."""

    lease: Lease
    view: LeaseView
    read_at: float
    ttl: float
    allowance: float


def loss_bound(target: Target, now: LeaseNow) -> dict[str, t.Any]:
    """Return {seconds, from, until, predicted, basis}; `seconds` is None where `basis` says what is not known."""
    claimed = now.view.held_by(target.region)
    try:
        source = _source(target, now, claimed)
        since, replayed = _replayed_until(target, source)
        until, stopped = _fence_certain(source, now) if claimed else _fence_predicted(source, target, now)
    except Unknown as reason:
        return unknown(str(reason), predicted=not claimed)
    lost = max(dt.timedelta(0), until - since)
    return {
        "seconds": -(-lost // dt.timedelta(milliseconds=1)) / 1000,  # rounded up
        "from": to_iso(since),
        "until": to_iso(until),
        "predicted": not claimed,
        "basis": f"{replayed}; {stopped}",
    }


def unknown(reason: str, predicted: bool = True) -> dict[str, t.Any]:
    """Return a bound that is not known."""
    return {"seconds": None, "from": None, "until": None, "predicted": predicted, "basis": reason}


def _source(target: Target, now: LeaseNow, claimed: bool) -> Source:
    record = now.view.record
    if record is None:
        raise Unknown(f"nobody has ever held lease {now.lease.key}")
    if target.error is not None:
        raise Unknown(target.error)
    if claimed:
        if record.previous is None:
            raise Unknown(f"{target.region} holds the lease and followed nobody")
        return Source(record.previous.holder, record.previous.epoch, record.previous.samples)
    if target.state is not None and not target.state.in_recovery:
        raise Unknown(f"PostgreSQL of {target.region} is no standby, and {target.region} does not hold the lease")
    standing = now.view.standing or record
    return Source(standing.holder, standing.epoch, standing.samples)


def _replayed_until(target: Target, source: Source) -> Moment:
    """Before when everything committed is on the target.

    A heartbeat of a later epoch is the target's own, or another branch's. A sample counts only where a heartbeat
    of the same epoch proves that the target follows that history: positions of different histories compare to
    nothing. After a promotion the target's position is its own.
    """
    beat = next((one for one in target.heartbeats if one.epoch <= source.epoch), None)
    if beat is None:
        raise Unknown(f"{target.region} has replayed no heartbeat of {source.holder}, nor of who served before it")
    told = f"{target.region} has replayed heartbeat {beat.sequence} of {beat.region} (epoch {beat.epoch})"
    state = target.state
    if state is None or not state.in_recovery or state.replay_lsn is None:
        return beat.written_at, told
    if (beat.region, beat.epoch) != (source.holder, source.epoch):
        return beat.written_at, told
    reached = lsn_number(state.replay_lsn)
    times = [from_iso(moment) for moment, lsn in source.samples if lsn_number(lsn) <= reached]
    newest = max(times, default=beat.written_at)
    if newest <= beat.written_at:
        return beat.written_at, told
    return newest, f"{target.region} has replayed the position that {source.holder} left in the lease"


def _fence_certain(source: Source, now: LeaseNow) -> Moment:
    """When the claimed lease's last holder had certainly stopped."""
    record = now.view.record
    if record is None or record.previous is None:
        raise RuntimeError("a claimed lease has a record and a predecessor")
    ends: list[Moment] = []
    if record.previous.expires_at is not None:
        ends.append((from_iso(record.previous.expires_at), f"the lease of {source.holder} has ended by then"))
    receipt = from_guard(now.lease, source.holder, record.epoch)
    if receipt is not None:
        ends.append((from_iso(receipt["certain_at"]), f"the guard of {source.holder} had fenced it by then"))
    if not ends:  # released before the claim, which was written no later than the object's last write
        ends += [(end, f"{source.holder} had released the lease by then") for end in _last_write(now)]
    if not ends:
        raise Unknown(f"nothing says when {source.holder} stopped")
    return min(ends)


def _fence_predicted(source: Source, target: Target, now: LeaseNow) -> Moment:
    """When the holder would certainly have stopped, were the lease claimed now."""
    view = now.view
    previous = view.predecessor(target.region, now.allowance)
    ends = view.expires_at(now.allowance)
    if ends is None or previous is None:
        for end in _last_write(now):
            return end, f"{source.holder} has released the lease"
        raise Unknown(f"nothing says when {source.holder} stopped")
    if now.lease.remaining(previous, view) <= 0:
        return ends, f"the lease of {source.holder} has ended"
    at_most = now.lease.time_at_most(now.read_at)
    span = dt.timedelta(seconds=max(now.ttl, view.ttl_seconds) + now.allowance)
    latest = max(at_most + span, ends) if at_most is not None else ends
    return latest, f"{source.holder} may renew until the claim and stops {span.total_seconds():g} s later"


def _last_write(now: LeaseNow) -> list[dt.datetime]:
    return [max(now.view.last_writes.values())] if now.view.last_writes else []
